"""A QR scanner that types: USB "keyboard wedge" scanners, read as an input device and kept from typing elsewhere.

As delivered nearly every hand scanner is a keyboard that types the text and Enter. It is opened by its stable name,
``/dev/input/by-id/...-event-kbd``, and *grabbed* (``EVIOCGRAB``), so that a visitor's code never lands in a console's
input field. Keys are read by the US layout, which is what scanners type unless configured otherwise.

Input events (Linux, ``struct input_event``): two longs of time, u16 type, u16 code, s32 value. Type 1 is a key, value 1
its press and 0 its release.
"""

from __future__ import annotations

import fcntl
import os
import select
import struct
import threading
import time
from collections.abc import Callable

from drivers.devices import DeviceEvent, DeviceFault, DeviceReady, Emit, FaultKind, QrText
from drivers.errors import PortError
from drivers.folder_watch import still_named
from drivers.qr_scanner import LINE_SILENCE_S, QrScannerDecoder

EVENT = struct.Struct("@llHHi")
EVIOCGRAB = 0x40044590

_LOOK_S = 0.5
"""How often an open device is compared with what its name leads to: one moved to another socket goes on sending."""

_KEY, _PRESS, _RELEASE = 1, 1, 0
_SHIFTS = frozenset({42, 54})  # left, right
_ENTERS = frozenset({28, 96})  # main block, keypad


def _row(first: int, plain: str, shifted: str) -> dict[int, tuple[str, str]]:
    """The keys of a row, whose codes follow each other."""
    return dict(enumerate(zip(plain, shifted, strict=True), first))


_LAYOUT: dict[int, tuple[str, str]] = {
    **_row(2, "1234567890-=", "!@#$%^&*()_+"),
    **_row(16, "qwertyuiop[]", "QWERTYUIOP{}"),
    **_row(30, "asdfghjkl;'`", 'ASDFGHJKL:"~'),
    **_row(43, "\\zxcvbnm,./", "|ZXCVBNM<>?"),
    57: (" ", " "),
    55: ("*", "*"),
    74: ("-", "-"),
    78: ("+", "+"),
}


class QrWedgeDecoder:
    """Key events in, QrText out; lines, bounds and ``discarded`` as in :class:`QrScannerDecoder`."""

    def __init__(self) -> None:
        self._line = QrScannerDecoder()
        self._rest = b""
        self._shifts: set[int] = set()

    @property
    def discarded(self) -> int:
        """Characters that belonged to no acceptable line."""
        return self._line.discarded

    @property
    def in_line(self) -> bool:
        """A line was begun and has not ended."""
        return self._line.in_line

    def feed(self, data: bytes, at_ns: int) -> list[DeviceEvent]:
        """The next bytes of the device, cut anywhere."""
        data = self._rest + data
        whole = len(data) - len(data) % EVENT.size
        self._rest = data[whole:]
        events: list[DeviceEvent] = []
        for _, _, kind, code, value in EVENT.iter_unpack(data[:whole]):
            if kind != _KEY:
                continue
            if code in _SHIFTS:
                (self._shifts.discard if value == _RELEASE else self._shifts.add)(code)
            elif value == _PRESS:
                events += self._line.feed(self._typed(code), at_ns)
        return [self._named(event) for event in events]

    def silence(self, at_ns: int) -> list[DeviceEvent]:
        """The typing stopped in the middle of a line."""
        return self._line.silence(at_ns)

    def _typed(self, code: int) -> bytes:
        if code in _ENTERS:
            return b"\n"
        pair = _LAYOUT.get(code)
        # a key that no text has (a function key) spoils the line, as a control character does
        return pair[bool(self._shifts)].encode("ascii") if pair else b"\x00"

    @staticmethod
    def _named(event: DeviceEvent) -> DeviceEvent:
        if isinstance(event, QrText):
            return QrText(text=event.text, data=event.data, corners=(), engine="wedge", at_ns=event.at_ns)
        return event


def _grab(fd: int) -> None:
    fcntl.ioctl(fd, EVIOCGRAB, 1)


class QrWedge:
    """A ``Device``: the typing scanner at ``path``. One text within ``repeat_s`` counts once."""

    def __init__(
        self,
        name: str,
        path: str,
        *,
        repeat_s: float = 3.0,
        reopen_s: float = 0.5,
        clock_ns: Callable[[], int] = time.monotonic_ns,
        grab: Callable[[int], None] = _grab,
    ) -> None:
        self.name = name
        self._path = path
        self._repeat_ns = int(repeat_s * 1e9)
        self._reopen_s = reopen_s
        self._clock_ns = clock_ns
        self._grab = grab
        self._emit: Emit = lambda event: None
        self._fault: FaultKind | None = None
        self._last: tuple[bytes, int] = (b"", 0)
        self._stop = threading.Event()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._thread = threading.Thread(target=self._run, name=f"{name}-wedge", daemon=True)

    def start(self, emit: Emit) -> None:
        """See :class:`drivers.devices.Device`."""
        self._emit = emit
        self._thread.start()

    def stop(self) -> None:
        """See :class:`drivers.devices.Device`."""
        self._stop.set()
        os.eventfd_write(self._wake, 1)
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(1.0)

    def _run(self) -> None:
        while not self._stop.is_set():
            fd = -1
            try:
                fd = self._open()
                self._fault = None
                self._emit(DeviceReady(detail=f"{self._path}, for this gate alone", at_ns=self._clock_ns()))
                self._listen(fd)
            except PortError as error:
                self._fail(error)
            finally:
                if fd >= 0:
                    os.close(fd)
            self._stop.wait(self._reopen_s)

    def _open(self) -> int:
        fd = -1
        try:
            fd = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            self._grab(fd)
        except OSError as error:
            if fd >= 0:
                os.close(fd)
            hint = {
                PermissionError: "not permitted; give it to the gate by a udev rule, as in systemd/60-gatepost.rules",
                FileNotFoundError: "no such device; `ls /dev/input/by-id` lists keyboards",
            }.get(type(error), "busy or no input device: another program may have grabbed it")
            raise PortError(f"scanner {self._path}: {hint}") from error
        return fd

    def _listen(self, fd: int) -> None:
        """Until the device is gone (raises PortError) or stopped."""
        decoder = QrWedgeDecoder()
        while not self._stop.is_set():
            wait_s = LINE_SILENCE_S if decoder.in_line else _LOOK_S
            if not still_named(self._path, fd):
                raise PortError(f"scanner {self._path}: gone; unplugged, or the name now leads elsewhere")
            readable, _, _ = select.select([fd, self._wake], [], [], wait_s)
            at_ns = self._clock_ns()
            events = decoder.silence(at_ns) if not readable else []
            if fd in readable:
                try:
                    data = os.read(fd, 64 * EVENT.size)
                except OSError as error:
                    raise PortError(f"scanner {self._path}: gone ({error.strerror}); unplugged?") from error
                if not data:
                    raise PortError(f"scanner {self._path}: gone; unplugged?")
                events += decoder.feed(data, at_ns)
            for event in events:
                self._tell(event)

    def _tell(self, event: DeviceEvent) -> None:
        if isinstance(event, QrText):
            text, told_ns = self._last
            self._last = (event.data, event.at_ns)
            if event.data == text and event.at_ns - told_ns < self._repeat_ns:
                return
        self._emit(event)

    def _fail(self, error: PortError) -> None:
        kind = FaultKind.NOT_PERMITTED if "not permitted" in str(error) else FaultKind.MISSING
        kind = FaultKind.BUSY if "busy" in str(error) else kind
        if self._fault is not kind and not self._stop.is_set():
            self._fault = kind
            self._emit(DeviceFault(kind=kind, detail=str(error), at_ns=self._clock_ns()))
