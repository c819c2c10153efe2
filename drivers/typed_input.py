"""Devices that pretend to be a keyboard and type: card readers and hand scanners.

The input device is read directly and *grabbed* (``EVIOCGRAB``), so that neither card numbers nor a visitor's code reach
a browser or a console. Reference: Linux input subsystem, ``linux/input.h`` and ``input-event-codes.h``: an
``input_event`` is two longs of time (seconds, microseconds), u16 type, u16 code, s32 value; values of EV_KEY are 1
down, 0 up, 2 repeated by the kernel. Where a program reads too slowly the kernel drops events and says so once
(SYN_DROPPED): what was being typed then is not whole.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import structlog

from drivers.device_file import DeviceThread, StopAskedError, fault_kind, still_named
from drivers.devices import DeviceEvent, DeviceFault, DeviceReady, Emit, FaultKind
from drivers.errors import PortError

EVENT = struct.Struct("@llHHi")
EVIOCGRAB = 0x40044590
EVIOCSCLOCKID = 0x400445A0
EV_SYN, EV_KEY = 0, 1
SYN_DROPPED = 3
LOST_KEYS = -1
"""In place of a key's code: the kernel has dropped keys here."""
KEY_UP, KEY_DOWN = 0, 1
SHIFT_KEYS = frozenset({42, 54})
"""Left, right."""
ENTER_KEYS = frozenset({28, 96})
"""Of the main block, of the keypad."""

_REOPEN_S = 0.5
_LOOK_S = 0.5
"""How often an open device is compared with what its name leads to: one moved to another socket goes on sending."""

_TRY_NEXT = {
    FaultKind.MISSING: "plug it in; `ls /dev/input/by-id` lists keyboards",
    FaultKind.NOT_PERMITTED: "give it to the gate by a udev rule, as in systemd/60-gatepost.rules",
    FaultKind.BUSY: "another program may have grabbed it",
    FaultKind.WRONG_DEVICE: "it must be an input device that the gate's user may grab",
}

_log = structlog.get_logger(__name__)


class Keys:
    """Bytes of an input device, cut anywhere, to its key events: code, value, and the kernel's time in nanoseconds."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[tuple[int, int, int]]:
        """The next bytes; what is no key is left out."""
        data = self._rest + data
        whole = len(data) - len(data) % EVENT.size
        self._rest = data[whole:]
        for seconds, micros, kind, code, value in EVENT.iter_unpack(data[:whole]):
            if kind == EV_KEY:
                yield code, value, (seconds * 1_000_000 + micros) * 1000
            elif (kind, code) == (EV_SYN, SYN_DROPPED):
                yield LOST_KEYS, KEY_DOWN, (seconds * 1_000_000 + micros) * 1000

    def silence(self) -> None:
        """Nothing came for long: the rest of a torn event will not come, and the next byte begins one."""
        self._rest = b""


class TypedDecoder(Protocol):
    """What reads the typing; a fresh one for each opening of the device."""

    def feed(self, data: bytes, at_ns: int) -> list[DeviceEvent]:
        """The next bytes of the device, cut anywhere."""
        ...

    def silence(self, at_ns: int) -> list[DeviceEvent]:
        """Nothing was typed for half a second."""
        ...


def grab_keys(fd: int) -> None:
    """Nobody else gets this device's keys while ``fd`` is open. Raises OSError.

    They are stamped by a clock that nobody sets; a kernel without that stamps them by wall time, as decoders allow for.
    """
    fcntl.ioctl(fd, EVIOCGRAB, 1)
    with contextlib.suppress(OSError):
        fcntl.ioctl(fd, EVIOCSCLOCKID, struct.pack("@i", time.CLOCK_MONOTONIC))


class TypedInput:
    """A :class:`drivers.devices.Device` on ``/dev/input/by-id/...-event-kbd``; the texts are ``make_decoder``'s.

    A device that cannot be grabbed is a fault: its texts would go to whatever has the keyboard. ``grab`` is the ioctl,
    for tests on systems without input devices. Raises PortError for a name that changes at the next start.
    """

    def __init__(
        self,
        name: str,
        path: str,
        make_decoder: Callable[[], TypedDecoder],
        *,
        clock_ns: Callable[[], int] = time.monotonic_ns,
        grab: Callable[[int], object] = grab_keys,
    ) -> None:
        if not os.path.isabs(path) or Path(path).name.startswith("event"):
            raise PortError(
                f"keyboard {path!r}",
                seen="a name that changes at the next start",
                expected="a stable name: /dev/input/by-id/... or /dev/input/by-path/...",
                hint="`ls -l /dev/input/by-id` lists them",
            )
        self.name = name
        self.path = path
        self._make_decoder = make_decoder
        self._clock_ns = clock_ns
        self._grab = grab
        self._emit: Emit = lambda _event: None
        self._thread: DeviceThread | None = None
        self._fault: FaultKind | None = None

    def start(self, emit: Emit) -> None:
        """Begin; faults arrive as events."""
        self._emit, self._fault = emit, None
        self._thread = DeviceThread(f"typed-{self.name}", self.path, self._run)

    def stop(self) -> None:
        """Release the device and end the thread within a second; harmless when it does not run."""
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.stop()

    def _run(self, thread: DeviceThread) -> None:
        while True:
            try:
                fd = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
                try:
                    self._serve(fd, thread)
                finally:
                    os.close(fd)
            except OSError as error:
                self._lost(fault_kind(error), error.strerror or str(error))
            except StopAskedError:
                raise
            except Exception as error:  # noqa: BLE001 - a fault in a decoder must not silence the reader for ever
                if self._fault is not FaultKind.GARBLED:  # told once, not twice a second
                    _log.exception("typed_input_failed", device=self.name)
                self._lost(FaultKind.GARBLED, f"{type(error).__name__}: {error}")
            thread.wait(_REOPEN_S)

    def _serve(self, fd: int, thread: DeviceThread) -> None:
        """Grab and read until the device is lost (OSError)."""
        self._grab(fd)
        self._fault = None
        self._emit(DeviceReady(detail=f"{self.path}, grabbed for this gate alone", at_ns=self._clock_ns()))
        decoder = self._make_decoder()
        while True:
            woken = thread.wait(_LOOK_S, fd)
            if not still_named(self.path, fd):
                raise OSError(errno.ENODEV, "unplugged, or the name now leads elsewhere")
            events: list[DeviceEvent] = []
            if woken.readable:
                data = os.read(fd, 64 * EVENT.size)
                if not data:
                    raise OSError(errno.ENODEV, "end of file")
                events = decoder.feed(data, self._clock_ns())
            elif not woken.folder_changed:
                events = decoder.silence(self._clock_ns())
            for event in events:
                self._emit(event)

    def _lost(self, kind: FaultKind, why: str) -> None:
        if self._fault is not kind:
            self._fault = kind
            detail = f"{self.path}: {why}" + (f"; {_TRY_NEXT[kind]}" if kind in _TRY_NEXT else "")
            self._emit(DeviceFault(kind=kind, detail=detail, at_ns=self._clock_ns()))
