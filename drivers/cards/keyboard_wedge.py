"""USB readers that pretend to be a keyboard and type the card's number, ended by Enter.

The input device is read directly and grabbed (``EVIOCGRAB``), so that card numbers never reach the browser or a
console. Reference: Linux input subsystem, ``linux/input.h`` and ``input-event-codes.h``: 24-byte ``input_event``
(seconds, microseconds, type, code, value) on 64-bit systems; EV_KEY values are 1 down, 0 up, 2 repeated.

A reader types faster than 60 ms a key, a person does not; what stops for longer is dropped.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import select
import struct
import threading
import time
from collections.abc import Callable
from pathlib import Path

from drivers.cards.card_numbers import Form, parse, tap_of
from drivers.cards.presentation import Presentations
from drivers.devices import DeviceFault, DeviceReady, Emit, FaultKind
from drivers.errors import PortError
from drivers.folder_watch import FolderWatch, still_named

EVENT = struct.Struct("<qqHHi")
EV_KEY = 1
EVIOCGRAB = 0x40044590
KEY_GAP_NS = 60_000_000
MIN_LENGTH = 4
MAX_LENGTH = 40
REOPEN_S = 0.5
LOOK_S = 0.5
"""How often an open device is compared with what its name leads to: a reader moved to another socket keeps sending."""

_ENTER = frozenset({28, 96})
_SHIFT = frozenset({42, 54})
_KEYS = dict(zip((2, 3, 4, 5, 6, 7, 8, 9, 10, 11), "1234567890", strict=True))
_KEYS |= dict(zip((79, 80, 81, 75, 76, 77, 71, 72, 73, 82), "1234567890", strict=True))
_KEYS |= dict(zip((30, 48, 46, 32, 18, 33), "abcdef", strict=True))
_KEYS |= {51: ",", 12: "-", 39: ";"}
_SHIFTED = {39: ":"}


class Decoder:
    """Key events of one device to the texts that were typed by a reader; one decoder a device."""

    def __init__(self) -> None:
        self.discarded = 0
        self._text = ""
        self._shift = False
        self._last_ns = 0

    def key(self, code: int, value: int, at_ns: int) -> str | None:
        """Take one EV_KEY event; the text when Enter ends it."""
        if code in _SHIFT:
            self._shift = value != 0
            return None
        if value != 1:
            return None
        if at_ns - self._last_ns > KEY_GAP_NS:
            self._drop()
        self._last_ns = at_ns
        if code in _ENTER:
            text, self._text = self._text, ""
            if len(text) >= MIN_LENGTH:
                return text
            self.discarded += len(text)
            return None
        typed = _SHIFTED.get(code, _KEYS.get(code, "?").upper()) if self._shift else _KEYS.get(code, "?")
        if len(self._text) < MAX_LENGTH:
            self._text += typed
        return None

    def _drop(self) -> None:
        self.discarded += len(self._text)
        self._text = ""


class WedgeDevice:
    """A :class:`drivers.devices.Device` on ``/dev/input/by-id/...-event-kbd``.

    ``form`` says how the reader writes the number. A device that cannot be grabbed is a fault: its numbers would go
    to whatever has the keyboard. ``grab`` is the ioctl, for tests on systems without input devices.
    """

    def __init__(
        self,
        name: str,
        path: str,
        form: Form,
        *,
        clock_ns: Callable[[], int] = time.monotonic_ns,
        grab: Callable[[int], object] = lambda fd: fcntl.ioctl(fd, EVIOCGRAB, 1),
    ) -> None:
        if not os.path.isabs(path) or Path(path).name.startswith("event"):
            raise PortError(
                f"keyboard reader {path!r}",
                seen="a name that changes at the next start",
                expected="a stable name: /dev/input/by-id/... or /dev/input/by-path/...",
                hint="`ls -l /dev/input/by-id` lists them",
            )
        self.name = name
        self.path = path
        self._form = form
        self._clock_ns = clock_ns
        self._grab = grab
        self._emit: Emit = lambda _event: None
        self._thread: threading.Thread | None = None
        self._stop_read = self._stop_write = -1
        self._fault: FaultKind | None = None

    def start(self, emit: Emit) -> None:
        """Begin; faults arrive as events."""
        self._emit = emit
        self._fault = None
        self._stop_read, self._stop_write = os.pipe()
        self._thread = threading.Thread(target=self._run, name=f"wedge-{self.name}", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Release the device and end the thread within a second."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        os.write(self._stop_write, b"x")
        thread.join(1.0)
        if not thread.is_alive():
            os.close(self._stop_read)
        os.close(self._stop_write)

    def _run(self) -> None:
        watch = FolderWatch(Path(self.path).parent)
        with contextlib.closing(watch):
            while True:
                try:
                    fd = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
                except OSError as error:
                    self._lost(error)
                else:
                    try:
                        self._grab(fd)
                        self._fault = None
                        self._emit(DeviceReady(detail=f"keyboard reader {self.path}, grabbed", at_ns=self._clock_ns()))
                        if self._serve(fd):
                            return
                    except OSError as error:
                        self._lost(error)
                    finally:
                        os.close(fd)
                if self._wait(watch):
                    return

    def _wait(self, watch: FolderWatch) -> bool:
        """Until the next try; true when stop() was called."""
        watched = watch.fileno()
        waiting = [self._stop_read] if watched is None else [self._stop_read, watched]
        ready, _, _ = select.select(waiting, [], [], REOPEN_S)
        watch.drain()
        return self._stop_read in ready

    def _serve(self, fd: int) -> bool:
        """Read until the device is lost (false; OSError, too) or stop() was called (true)."""
        decoder, presentations, rest = Decoder(), Presentations(), b""
        while True:
            ready, _, _ = select.select([fd, self._stop_read], [], [], LOOK_S)
            if self._stop_read in ready:
                return True
            if not still_named(self.path, fd):
                raise OSError(errno.ENODEV, "unplugged, or the name now leads elsewhere")
            if fd not in ready:
                continue
            data = os.read(fd, 64 * EVENT.size)
            if not data:
                raise OSError(errno.ENODEV, "end of file")
            rest += data
            while len(rest) >= EVENT.size:
                seconds, micros, kind, code, value = EVENT.unpack_from(rest)
                rest = rest[EVENT.size :]
                if kind == EV_KEY:
                    # The kernel's time stamps the key; a late thread must not make a reader look like a person.
                    self._typed(decoder.key(code, value, (seconds * 1_000_000 + micros) * 1000), presentations)

    def _typed(self, text: str | None, presentations: Presentations) -> None:
        number = parse(self._form, text) if text else None
        now_ns = self._clock_ns()
        if number is not None and presentations.is_new(number.known, now_ns):
            self._emit(tap_of(number, now_ns))

    def _lost(self, error: OSError) -> None:
        kind = {errno.EACCES: FaultKind.NOT_PERMITTED, errno.EBUSY: FaultKind.BUSY}.get(
            error.errno or 0,
            FaultKind.WRONG_DEVICE if error.errno in (errno.ENOTTY, errno.EINVAL) else FaultKind.MISSING,
        )
        if self._fault != kind:
            self._fault = kind
            detail = f"{self.path}: {error.strerror}; it must be an input device that the gate's user may grab"
            self._emit(DeviceFault(kind=kind, detail=detail, at_ns=self._clock_ns()))
