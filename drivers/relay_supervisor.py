"""The process that owns a USB relay board and sees to it that no output stays on longer than its pulse.

The board (LCUS-1/-2/-4/-8 and its many copies: a CH340 and a small controller) latches: what was switched on stays
on until it is switched off, and it answers nothing. So a process of its own, in its own session, times every pulse
and drives all channels off

* when it starts, and first of all when the port comes back after it was unplugged;
* when the gate's process dies (its process descriptor tells, also after kill -9 and even if somebody inherited the
  pipe), closes the pipe, or sends SIGTERM;
* once more 50 ms after each switching off, since one damaged byte would otherwise leave a gate open.

    A0 | channel 1.. | 01 on, 00 off | sum of the three (mod 256)        9600 baud, 8N1, no answer
    A0 01 01 A2   channel 1 on           A0 01 00 A1   channel 1 off

(Source: the LCUS seller's leaflet, as quoted in many projects; the board's controller ignores a wrong sum.)

Run by ``drivers/outputs.py`` as ``python -m drivers.relay_supervisor``: commands as JSON lines on standard input,
events as JSON lines on standard output. It imports the standard library alone, so that it is up quickly.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import fcntl
import json
import os
import select
import signal
import struct
import sys
import termios
import time
from dataclasses import dataclass, field
from typing import Any

STALE_NS = 1_000_000_000
REPEAT_OFF_NS = 50_000_000
LOOK_NS = 250_000_000
RETRY_WRITE_NS = 20_000_000
ALIVE_NS = 500_000_000
MAX_LINE = 512
MAX_CHANNELS = 8
FINAL_OFF_S = 0.3

_KINDS = {errno.EACCES: "not_permitted", errno.EPERM: "not_permitted", errno.EBUSY: "busy", errno.EWOULDBLOCK: "busy"}


def frame(channel: int, on: bool) -> bytes:
    """The four bytes that switch a channel (1 to 8)."""
    if not 1 <= channel <= MAX_CHANNELS:
        raise ValueError(f"relay channel {channel}: expected 1 to {MAX_CHANNELS}")
    head = bytes((0xA0, channel, on))
    return head + bytes((sum(head) & 0xFF,))


@dataclass(slots=True)
class Channel:
    """What one channel should do, and what it was last told."""

    number: int
    until_ns: int = 0
    held: bool = False
    told: bool | None = None
    repeat_ns: int | None = None

    def wanted(self, now_ns: int) -> bool:
        """On while held or inside a pulse."""
        return self.held or now_ns < self.until_ns


@dataclass(slots=True)
class Board:
    """The timing of all channels, without a port: what to write next, and when. Times are monotonic nanoseconds.

    Only whole frames count as written; an off that could not be written stays due.
    """

    channels: int
    max_pulse_ns: int
    _all: dict[int, Channel] = field(init=False)
    _nonces: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._all = {number: Channel(number) for number in range(1, self.channels + 1)}

    def obey(self, order: dict[str, Any], now_ns: int) -> str | None:
        """Take a command; the reason why it is not carried out, or None."""
        channel = self._all.get(order["channel"])
        if channel is None:
            return f"no channel {order['channel']}; the board has 1 to {self.channels}"
        if order["do"] == "hold":
            channel.held = bool(order["on"])
            return None
        if order["nonce"] in self._nonces:
            return "repeated"
        self._nonces = [*self._nonces[-63:], order["nonce"]]
        if not 0 <= now_ns - order["issued_ns"] <= STALE_NS:
            return f"{(now_ns - order['issued_ns']) / 1e9:.1f} s old, the limit is 1 s"
        duration_ns = min(order["duration_ns"], self.max_pulse_ns)
        channel.until_ns = max(channel.until_ns, now_ns + duration_ns)
        return None

    def forget(self) -> None:
        """The port was opened afresh or lost: pulses end, holds stay wanted, and every channel is to be told off."""
        for channel in self._all.values():
            channel.until_ns, channel.told, channel.repeat_ns = 0, None, None

    def all_off(self) -> bytes:
        """Off for every channel."""
        return b"".join(frame(number, False) for number in self._all)

    def release(self) -> None:
        """Nothing is wanted any more."""
        for channel in self._all.values():
            channel.until_ns, channel.held = 0, False

    def due(self, now_ns: int) -> list[Channel]:
        """The channels that have to be told something now, those to be switched off first."""
        changes = [
            channel
            for channel in self._all.values()
            if channel.told is not channel.wanted(now_ns)
            or (channel.repeat_ns is not None and now_ns >= channel.repeat_ns)
        ]
        return sorted(changes, key=lambda channel: channel.wanted(now_ns))

    def told(self, channel: Channel, on: bool, now_ns: int) -> bool:
        """The whole frame was written; true when the channel changed."""
        changed = channel.told is not on
        channel.told = on
        channel.repeat_ns = now_ns + REPEAT_OFF_NS if changed and not on else None
        return changed

    def next_ns(self, now_ns: int) -> int | None:
        """When :meth:`due` will have something."""
        times = [channel.until_ns for channel in self._all.values() if now_ns < channel.until_ns]
        times += [channel.repeat_ns for channel in self._all.values() if channel.repeat_ns is not None]
        return min(times, default=None)


def open_port(path: str) -> int:
    """The port, raw, 9600 8N1, not waiting, locked against programs that ask. Raises OSError, termios.error."""
    fd = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        control = termios.CS8 | termios.CREAD | termios.CLOCAL
        cc = termios.tcgetattr(fd)[6]
        termios.tcsetattr(fd, termios.TCSANOW, [0, 0, control, 0, termios.B9600, termios.B9600, cc])
        termios.tcflush(fd, termios.TCIOFLUSH)
    except BaseException:
        os.close(fd)
        raise
    return fd


class Supervisor:
    """The loop around a :class:`Board`: port, pipe, parent, time."""

    def __init__(self, path: str, board: Board, parent: int) -> None:
        self._path = path
        self._board = board
        self._parent = parent
        self._port = -1
        self._fault: str | None = None
        self._line = b""
        self._stop_read, self._stop_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def run(self) -> None:
        """Serve until the parent is gone or says so; whatever happens, the last act is to switch off."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's business: its death reaches us anyway
        signal.signal(signal.SIGTERM, lambda *_: None)
        signal.set_wakeup_fd(self._stop_write)
        try:
            self._serve()
        finally:
            self._final_off()

    def _serve(self) -> None:
        parent_fd = os.pidfd_open(self._parent)
        if os.getppid() != self._parent:
            return  # it died before we could watch it
        os.set_blocking(0, False)
        alive_ns = look_ns = 0
        while True:
            now_ns = time.monotonic_ns()
            if now_ns >= alive_ns:
                self._tell({"event": "alive"})
                alive_ns = now_ns + ALIVE_NS
            if now_ns >= look_ns:
                self._look(now_ns)
                look_ns = now_ns + LOOK_NS
            retry_ns = self._drive(now_ns)
            times = [alive_ns, look_ns]
            times += [t for t in (self._board.next_ns(now_ns), retry_ns) if t is not None]
            wait_ms = max(0.0, (min(times) - time.monotonic_ns()) / 1e6)
            ready = self._wait([0, parent_fd, self._stop_read], wait_ms)
            if parent_fd in ready or self._stop_read in ready:
                return
            if 0 in ready and not self._read():
                return

    def _wait(self, fds: list[int], wait_ms: float) -> set[int]:
        poll = select.poll()
        for fd in fds:
            poll.register(fd, select.POLLIN)
        return {fd for fd, _ in poll.poll(wait_ms)}

    # Commands.

    def _read(self) -> bool:
        """Commands from the pipe; false when it is closed."""
        try:
            data = os.read(0, 4096)
        except BlockingIOError:
            return True
        self._line += data
        *lines, self._line = self._line.split(b"\n")
        self._line = self._line[:MAX_LINE]
        for line in lines:
            self._obey(line)
        return bool(data)

    def _obey(self, line: bytes) -> None:
        now_ns = time.monotonic_ns()
        try:
            order = json.loads(line)
            nonce = str(order["nonce"])
            refused = None
            if order["do"] == "pulse" and self._port < 0:
                refused = "the board is not connected"
            refused = refused or self._board.obey(order, now_ns)
        except (ValueError, KeyError, TypeError) as error:
            self._tell({"event": "refused", "nonce": "", "detail": f"command not understood: {error!r}"})
            return
        if refused:
            self._tell({"event": "refused", "nonce": nonce, "detail": refused})
        else:
            self._drive(now_ns)

    # The port.

    def _look(self, now_ns: int) -> None:
        """Is the port still there; if not, try to open it."""
        if self._port >= 0:
            try:
                if os.stat(self._path).st_rdev == os.fstat(self._port).st_rdev:
                    return
                self._lose("missing", "the name now leads elsewhere")
            except OSError:
                self._lose("missing", "unplugged")
        try:
            self._port = open_port(self._path)
        except termios.error as error:
            self._lose("wrong_device", f"not a serial port: {error}")
            return
        except OSError as error:
            self._lose(_KINDS.get(error.errno or 0, "missing"), os.strerror(error.errno or 0))
            return
        self._board.forget()
        self._drive(now_ns)
        if self._port >= 0:
            self._fault = None
            self._tell({"event": "ready"})

    def _lose(self, kind: str, detail: str) -> None:
        if self._port >= 0:
            os.close(self._port)
            self._port = -1
            self._board.forget()
        if self._fault != kind:
            self._fault = kind
            self._tell({"event": "fault", "kind": kind, "detail": f"{self._path}: {detail}"})

    def _drive(self, now_ns: int) -> int | None:
        """Tell the channels what is due; when to try again if the port takes nothing."""
        if self._port < 0:
            return None
        for channel in self._board.due(now_ns):
            on = channel.wanted(now_ns)
            data = frame(channel.number, False) if channel.told is None else b""
            data += frame(channel.number, on) if on or not data else b""
            try:
                written = os.write(self._port, data)
            except BlockingIOError:
                written = 0
            except OSError as error:
                self._lose("missing", os.strerror(error.errno or 0))
                return None
            if written < len(data):
                # A board that takes no bytes: the rest of the frame would be misread, so begin anew behind a flush.
                with contextlib.suppress(OSError, termios.error):
                    termios.tcflush(self._port, termios.TCOFLUSH)
                return now_ns + RETRY_WRITE_NS
            if self._board.told(channel, on, now_ns):
                self._tell({"event": "on" if on else "off", "channel": channel.number, "at_ns": now_ns})
        return None

    def _final_off(self) -> None:
        """Switch everything off, and wait until the bytes have left; open the port for it if need be."""
        self._board.release()
        with contextlib.suppress(OSError, termios.error):
            if self._port < 0:
                self._port = open_port(self._path)
            termios.tcflush(self._port, termios.TCOFLUSH)
            # Twice: the flush may have cut a frame in half, and the board then eats the beginning of the next.
            data = self._board.all_off() * 2
            end_s = time.monotonic() + FINAL_OFF_S
            while time.monotonic() < end_s:
                with contextlib.suppress(BlockingIOError):
                    data = data[os.write(self._port, data) :] if data else data
                (waiting,) = struct.unpack("i", fcntl.ioctl(self._port, termios.TIOCOUTQ, bytes(4)))
                if not data and not waiting:
                    break
                time.sleep(0.005)

    def _tell(self, event: dict[str, Any]) -> None:
        with contextlib.suppress(OSError):  # a parent that does not listen any more is noticed elsewhere
            os.write(1, json.dumps(event).encode() + b"\n")


def main() -> None:
    """Entry of ``python -m drivers.relay_supervisor``."""
    parser = argparse.ArgumentParser(
        description="Times the pulses of one USB relay board (started by the gate itself)."
    )
    parser.add_argument("--path", required=True)
    parser.add_argument("--channels", type=int, required=True, choices=range(1, MAX_CHANNELS + 1))
    parser.add_argument("--max-pulse-ms", type=int, required=True)
    parser.add_argument("--parent", type=int, required=True)
    options = parser.parse_args()
    board = Board(options.channels, options.max_pulse_ms * 1_000_000)
    os.set_blocking(1, False)
    Supervisor(options.path, board, options.parent).run()
    sys.exit(0)


if __name__ == "__main__":
    main()
