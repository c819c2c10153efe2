"""The far end of a serial line on a pseudo-terminal: a device model behind the pace and the faults of a real wire.

The kiosk opens ``link`` exactly as it opens a udev link; unplugging removes the link and hangs the line up, plugging
in makes a new pseudo-terminal behind the same link. What a real line does, this one does:

* bytes take ten bit times each, both ways, at the device's own baud rate;
* a kiosk that listens at another baud rate gets, and sends, garbage;
* what the device says while nobody has the port open is lost.

Faults, by name and seed (the same seed spoils the same bytes), each touching ``share`` of the messages:

========== =============================================================================================
noise      random bytes before and behind a message
split      a message arrives in random pieces with pauses between them
bad_checksum  the byte of the checksum is changed
silence    the device says nothing
stuck      the device repeats its last message for ever
slow       each message comes 400 ms late
unplug     the line is hung up and the link removed (until ``plug``)
========== =============================================================================================
"""

from __future__ import annotations

import contextlib
import errno
import os
import pty
import random
import select
import termios
import threading
import time
import tty
from collections import deque
from pathlib import Path
from typing import Any

from drivers.simulators.registry import Player

FAULTS = ("noise", "split", "bad_checksum", "silence", "stuck", "slow", "unplug")

_TICK_S = 0.002
"""The line is served in portions of this length: fine enough for every protocol, coarse enough for a Pi."""
_IDLE_S = 0.02
"""How often to look whether somebody opened the port (the kernel does not tell)."""
_SLOW_NS = 400_000_000
_WAITING_MAX = 64
"""Messages that may wait for the line; a device that talks faster than its line loses the rest."""
_BITS_A_BYTE = 10
_READ_BYTES = 4096


class Wire:
    """One simulated device on one pseudo-terminal; thread-safe. ``start()``, then ``plug()`` and ``unplug()`` at will.

    ``baud`` is the device's own rate, ``seed`` decides every spoiled byte, ``checksum_index`` is the byte of a
    message that ``bad_checksum`` changes (see :class:`drivers.simulators.registry.Kind`).
    """

    def __init__(self, link: Path, player: Player, *, baud: int, seed: int, checksum_index: int = -1) -> None:
        self.link = link
        self.baud = baud
        self._player = player
        self._random = random.Random(seed)
        self._checksum_index = checksum_index
        self._byte_ns = _BITS_A_BYTE * 1_000_000_000 // baud
        self._lock = threading.RLock()
        self._thread: threading.Thread | None = None
        self._stopping = False
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._master = -1
        self._fault: str | None = None
        self._share = 1.0
        self._fault_ends_ns: int | None = None
        self._last_message = b""
        self._clear_line()

    def _clear_line(self) -> None:
        self._outgoing: deque[tuple[int, bytes]] = deque()
        """What is to be said, in order: (not before, bytes)."""
        self._line_free_ns = 0
        self._incoming: deque[tuple[int, bytes]] = deque()
        self._incoming_free_ns = 0

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
            self._clear_line()
            self._player.command({"do": "power_on"})
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
            self._clear_line()
        self._poke()

    @property
    def plugged(self) -> bool:
        """Is the device on the line?"""
        return self._master >= 0

    def fault(self, name: str, *, share: float = 1.0, for_s: float | None = None) -> None:
        """Begin the fault ``name`` (it replaces the one before), for ``share`` (0 to 1) of the messages.

        Raises ValueError for a name that is not one of :data:`FAULTS`, or a share outside 0 to 1.
        """
        if name not in FAULTS:
            raise ValueError(f"unknown fault {name!r}; known: {', '.join(FAULTS)}")
        if not 0.0 <= share <= 1.0:
            raise ValueError(f"share {share}: expected 0 to 1")
        with self._lock:
            self._fault, self._share = name, share
            self._fault_ends_ns = None if for_s is None else time.monotonic_ns() + int(for_s * 1e9)
        if name == "unplug":
            self.unplug()
        self._poke()

    def clear(self) -> None:
        """End the fault; an unplugged device is plugged in."""
        with self._lock:
            self._fault = None
        self.plug()

    def command(self, line: dict[str, Any]) -> dict[str, Any]:
        """Carry out a control line: ``unplug``, ``plug``, ``fault``, ``clear`` here, the rest by the device model.

        Raises ValueError with a sentence for people.
        """
        do = line.get("do")
        if do == "unplug":
            self.unplug()
        elif do in ("plug", "clear"):
            self.clear()
        elif do == "fault":
            for_ms = _number(line, "for_ms", None)
            share = _number(line, "share", 1.0)
            self.fault(str(line.get("name")), share=1.0 if share is None else share, for_s=_seconds(for_ms))
        elif do == "status":
            return {"plugged": self.plugged, "fault": self._fault, "link": str(self.link)}
        else:
            with self._lock:
                answer = self._player.command(line)
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
                wait_s, master = self._serve(time.monotonic_ns()), self._master
            poller = select.poll()
            poller.register(self._wake_read, select.POLLIN)
            if master >= 0 and wait_s > _TICK_S:
                # Between ticks the bytes can wait; a closed port reports a hang-up at once and must not be polled.
                poller.register(master, select.POLLIN)
            events = dict(poller.poll(wait_s * 1000))
            if events.get(master, 0) & (select.POLLHUP | select.POLLERR | select.POLLNVAL):
                time.sleep(_IDLE_S)
            if self._wake_read in events:
                with contextlib.suppress(BlockingIOError):
                    os.read(self._wake_read, 4096)

    def _serve(self, now: int) -> float:
        """Move what is due in both directions; how many seconds until there is more to do."""
        if self._fault_ends_ns is not None and now >= self._fault_ends_ns:
            self._fault_ends_ns = None
            self.clear()
        if self._master < 0:
            return self._until(now, self._fault_ends_ns)
        self._listen(now)
        while self._incoming and self._incoming[0][0] <= now:
            at_ns, data = self._incoming.popleft()
            self._say(self._player.received(data, at_ns), now)
        due = self._player.due_ns()
        if due is not None and due <= now:
            self._say(self._player.due(now), now)
            due = self._player.due_ns()
        self._speak(now)
        if self._outgoing and self._outgoing[0][0] <= now:
            return _TICK_S
        times = [due, self._fault_ends_ns]
        times += [self._incoming[0][0] if self._incoming else None, self._outgoing[0][0] if self._outgoing else None]
        return self._until(now, *times)

    @staticmethod
    def _until(now: int, *times: int | None) -> float:
        nearest = min((time_ns for time_ns in times if time_ns is not None), default=now + 500_000_000)
        return max(0.0005, min(0.5, (nearest - now) / 1e9))

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
        if not data:
            return
        if not self._same_rate():
            data = self._scrambled(data)
        self._incoming_free_ns = max(self._incoming_free_ns, now) + len(data) * self._byte_ns
        self._incoming.append((self._incoming_free_ns, data))

    def _say(self, messages: list[bytes], now: int) -> None:
        """Put messages on the line, through the fault that is on."""
        for whole in messages[: max(0, _WAITING_MAX - len(self._outgoing))]:
            not_before, pieces = now, [whole]
            if self._fault is not None and self._random.random() < self._share:
                not_before, pieces = self._spoiled(whole, now)
            self._last_message = self._last_message if self._fault == "stuck" and self._last_message else whole
            for piece in pieces:
                # A line keeps the order: nothing overtakes a message that is late.
                not_before = max(not_before, self._outgoing[-1][0] if self._outgoing else 0)
                self._outgoing.append((not_before, piece))
                if self._fault == "split":
                    not_before += self._random.randrange(2, 30) * 1_000_000

    def _spoiled(self, whole: bytes, now: int) -> tuple[int, list[bytes]]:
        match self._fault:
            case "silence":
                return now, []
            case "noise":
                return now, [self._junk() + whole + self._junk()]
            case "split" if len(whole) > 1:
                cuts = sorted(self._random.sample(range(1, len(whole)), min(3, len(whole) - 1)))
                return now, [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
            case "bad_checksum":
                spoiled = bytearray(whole)
                spoiled[self._checksum_index] ^= self._random.randrange(1, 256)
                return now, [bytes(spoiled)]
            case "stuck":
                return now, [self._last_message or whole]
            case "slow":
                return now + _SLOW_NS, [whole]
            case _:
                return now, [whole]

    def _junk(self) -> bytes:
        return self._random.randbytes(self._random.randrange(1, 9))

    def _scrambled(self, data: bytes) -> bytes:
        """What a receiver at another baud rate makes of these bytes."""
        return bytes(byte ^ self._random.randrange(1, 256) for byte in data)

    def _speak(self, now: int) -> None:
        """Hand over the bytes whose last bit has passed by now."""
        attached: bool | None = None
        while self._outgoing and self._outgoing[0][0] <= now:
            not_before, data = self._outgoing.popleft()
            begins = max(self._line_free_ns, not_before)
            passed = max(0, min(len(data), (now - begins) // self._byte_ns))
            if passed:
                attached = self._attached() if attached is None else attached
                self._line_free_ns = begins + passed * self._byte_ns
                if attached:
                    self._hand_over(data[:passed])
            if passed < len(data):
                self._outgoing.appendleft((not_before, data[passed:]))
                return

    def _hand_over(self, data: bytes) -> None:
        portion = data if self._same_rate() else self._scrambled(data)
        with contextlib.suppress(BlockingIOError, OSError):
            # A full buffer (a kiosk that stopped reading) loses bytes, as an overrun UART does.
            os.write(self._master, portion)


def _number(line: dict[str, Any], key: str, default: float | None) -> float | None:
    value = line.get(key, default)
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise ValueError(f"{key}: {value!r}, expected a number")
    return value


def _seconds(for_ms: float | None) -> float | None:
    return None if for_ms is None else for_ms / 1000
