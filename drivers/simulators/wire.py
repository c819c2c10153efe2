"""A simulated line on a pseudo-terminal, in real time: what the kiosk opens instead of a serial port.

The kiosk opens ``link`` exactly as it opens a udev link; unplugging removes the link and hangs the line up, plugging
in makes a new pseudo-terminal behind the same link. What the device says while nobody has the port open is lost. Pace
and faults: ``drivers/simulators/line.py``.
"""

from __future__ import annotations

import contextlib
import errno
import os
import pty
import select
import termios
import threading
import time
import tty
from pathlib import Path
from typing import Any

from drivers.simulators.line import Line
from drivers.simulators.registry import Player

_TICK_S = 0.002
"""A long message passes in portions of this length; a short one arrives whole, when its last bit has passed."""
_IDLE_S = 0.02
"""How often to look whether somebody opened the port (the kernel does not tell)."""
_READ_BYTES = 4096


class Wire:
    """One simulated device on one pseudo-terminal; thread-safe. ``start()``, then ``plug()`` and ``unplug()`` at will.

    ``baud`` is the device's own rate, ``seed`` decides every spoiled byte, ``checksum_index`` as for
    :class:`~drivers.simulators.line.Line`.
    """

    def __init__(self, link: Path, player: Player, *, baud: int, seed: int, checksum_index: int = -1) -> None:
        self.link = link
        self.baud = baud
        self._line = Line(player, baud=baud, seed=seed, checksum_index=checksum_index)
        self._lock = threading.RLock()
        self._thread: threading.Thread | None = None
        self._stopping = False
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._master = -1
        self._fault_ends_ns: int | None = None

    # --- what the demo and the tests call -----------------------------------------------------------------------

    def start(self) -> None:
        """Plug in and begin to serve the line from a thread of its own."""
        self.plug()
        self._thread = threading.Thread(target=self._run, name=f"wire-{self.link.name}", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Unplug and end the thread."""
        self.unplug()
        self._stopping = True
        self._poke()
        if self._thread is not None:
            self._thread.join(2.0)
            self._thread = None
        os.close(self._wake_write)
        os.close(self._wake_read)

    def plug(self) -> None:
        """Make a pseudo-terminal and the link to it; nothing happens when it is there already."""
        with self._lock:
            if self._master >= 0:
                return
            master, slave = pty.openpty()
            tty.setraw(slave)
            os.set_blocking(master, False)
            name = os.ttyname(slave)
            # Opened and closed once, so that the kernel reports "nobody there" until the kiosk opens it.
            os.close(slave)
            self._master = master
            self._line.power_on()
            self.link.parent.mkdir(parents=True, exist_ok=True)
            fresh = self.link.with_name(f".{self.link.name}.new")
            fresh.unlink(missing_ok=True)
            fresh.symlink_to(name)
            fresh.replace(self.link)
        self._poke()

    def unplug(self) -> None:
        """Remove the link and hang the line up."""
        with self._lock:
            if self._master < 0:
                return
            self.link.unlink(missing_ok=True)
            os.close(self._master)
            self._master = -1
            self._line.clear()
        self._poke()

    @property
    def plugged(self) -> bool:
        """Is the device on the line?"""
        return self._master >= 0

    @property
    def speaking(self) -> bool:
        """Is a message on its way to the kiosk?"""
        with self._lock:
            return self._line.speaking(time.monotonic_ns())

    def fault(self, name: str, *, share: float = 1.0, for_s: float | None = None) -> None:
        """Begin the fault ``name`` (it replaces the one before), for ``share`` (0 to 1) of the messages.

        Raises ValueError for a name that is not one of :data:`drivers.simulators.line.FAULTS`, or a share outside
        0 to 1.
        """
        with self._lock:
            self._line.spoil(name, share)
            self._fault_ends_ns = None if for_s is None else time.monotonic_ns() + int(for_s * 1e9)
        if name == "unplug":
            self.unplug()
        self._poke()

    def clear(self) -> None:
        """End the fault; an unplugged device is plugged in."""
        with self._lock:
            self._line.spoil(None)
            self._fault_ends_ns = None
        self.plug()

    def command(self, line: dict[str, Any]) -> dict[str, Any]:
        """Carry out a control line: ``unplug``, ``plug``, ``fault``, ``clear``, ``status`` here, the rest by the model.

        Raises ValueError with a sentence for people.
        """
        match line.get("do"):
            case "unplug":
                self.unplug()
            case "plug" | "clear":
                self.clear()
            case "fault":
                for_ms, share = _number(line, "for_ms"), _number(line, "share")
                self.fault(
                    str(line.get("name")),
                    share=1.0 if share is None else share,
                    for_s=None if for_ms is None else for_ms / 1000,
                )
            case "status":
                return {"plugged": self.plugged, "fault": self._line.fault, "link": str(self.link)}
            case _:
                with self._lock:
                    answer = self._line.player.command(line)
                self._poke()
                return answer
        return {}

    # --- the thread ---------------------------------------------------------------------------------------------

    def _poke(self) -> None:
        with contextlib.suppress(BlockingIOError, OSError):
            os.write(self._wake_write, b"x")

    def _run(self) -> None:
        while not self._stopping:
            with self._lock:
                wait_s = self._serve(time.monotonic_ns())
                attached = self._master >= 0 and self._attached()
                # A port that nobody has open is always "readable" (hung up) and must not be waited for.
                ears = [self._wake_read, self._master] if attached else [self._wake_read]
            try:
                ready, _, _ = select.select(ears, [], [], wait_s if attached else min(wait_s, _IDLE_S))
            except (OSError, ValueError):  # unplugged meanwhile
                continue
            if self._wake_read in ready:
                with contextlib.suppress(BlockingIOError):
                    os.read(self._wake_read, 4096)

    def _serve(self, now: int) -> float:
        """Move what is due in both directions; how many seconds until there is more to do."""
        if self._fault_ends_ns is not None and now >= self._fault_ends_ns:
            self.clear()
        if self._master < 0:
            return _until(now, self._fault_ends_ns)
        self._listen(now)
        self._line.run(now)
        self._hand_over(self._line.spoken(now))
        wait_s = _until(now, self._line.next_ns(), self._fault_ends_ns)
        return min(wait_s, _TICK_S) if self._line.speaking(now) else wait_s

    def _attached(self) -> bool:
        """Has somebody the port open?"""
        poller = select.poll()
        poller.register(self._master, 0)
        return not any(event & (select.POLLHUP | select.POLLERR) for _, event in poller.poll(0))

    def _same_rate(self) -> bool:
        """Does the kiosk listen at the device's own rate?"""
        want = getattr(termios, f"B{self.baud}", None)
        return bool(want is None or termios.tcgetattr(self._master)[5] == want)

    def _listen(self, now: int) -> None:
        try:
            data = os.read(self._master, _READ_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno == errno.EIO:  # nobody has the port open
                return
            raise
        if data:
            self._line.hear(data, now, same_rate=self._same_rate())

    def _hand_over(self, data: bytes) -> None:
        if not data or not self._attached():
            return
        portion = data if self._same_rate() else self._line.scrambled(data)
        with contextlib.suppress(BlockingIOError, OSError):
            # A full buffer (a kiosk that stopped reading) loses bytes, as an overrun UART does.
            os.write(self._master, portion)


def _until(now: int, *times: int | None) -> float:
    nearest = min((time_ns for time_ns in times if time_ns is not None), default=now + 500_000_000)
    return max(0.0001, min(0.5, (nearest - now) / 1e9))


def _number(line: dict[str, Any], key: str) -> float | None:
    value = line.get(key)
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise ValueError(f"{key}: {value!r}, expected a number")
    return value
