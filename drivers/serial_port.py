"""The serial line: the only import of pyserial, one thread a port, the same for every protocol.

What it promises to the floors above:

* a port is opened by a stable name, exclusively (``flock`` and ``TIOCEXCL``), and never as ``ttyUSB0``, whose
  number changes at the next hub reset (klipper#299, venus#1680);
* no event counts before the conversation says ``Proven``; bytes that were waiting before the opening, or that piled
  up while this thread could not run, are thrown away: a stale reading is never served;
* an unplugged or silent device is reported once, by a ``DeviceFault``, within 1.5 s; its return by a ``DeviceReady``;
* the port is tried again after 0.25 to 1 s, and at once when something changes in its folder;
* neither bad bytes nor a fault in a protocol file ends the thread.

Unplugging shows in three ways, all of which are watched: the read fails (EIO, end of file), the name vanishes, or the
name leads to another device than the one that is open.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import stat
import termios
import time
from collections.abc import Callable
from dataclasses import dataclass

import serial
import structlog

from drivers.device_file import DeviceThread, StopAskedError, fault_kind, still_named
from drivers.devices import (
    Broken,
    Conversation,
    DeviceFault,
    DeviceReady,
    Emit,
    FaultKind,
    Proven,
    Send,
    Step,
)
from drivers.errors import PortError

REOPEN_MIN_S = 0.25
REOPEN_MAX_S = 1.0
WRITE_TIMEOUT_S = 0.5
READ_BYTES_MAX = 4096

_LOOK_S = 0.25
"""How often an open port's name is compared with what is open, watch or no watch."""

_STALL_S = 0.5
"""A pass later than this by its own time-out: the machine stood still and waiting bytes are of unknown age."""

_UNSTABLE_NAME = re.compile(r"/dev/tty(USB|ACM)\d+")

_PTY_MAJORS = range(136, 144)
"""Unix98 pseudo-terminals (Linux devices.txt)."""

_TRY_NEXT = {
    FaultKind.MISSING: "plug the device in; `ls -l /dev/serial/by-id /dev/serial/by-path` lists what is there",
    FaultKind.NOT_PERMITTED: "add the gate's user to the group that owns the port (usually dialout)",
    FaultKind.BUSY: "end the other program that has the port open (`fuser -v` names it)",
    FaultKind.WRONG_DEVICE: "this is not a serial port: check the path in the settings",
}

_log = structlog.get_logger(__name__)


def check_port_name(path: str, *, allow_unstable: bool = False) -> None:
    """Refuse a name that may lead to another device tomorrow.

    Raises:
        PortError: the path is not absolute, or is a ``/dev/ttyUSBn`` or ``/dev/ttyACMn`` and ``allow_unstable``
            (a laptop on a desk) is not set.
    """
    if not os.path.isabs(path):
        raise PortError(f"serial port {path!r}", seen="a relative path", expected="an absolute path under /dev")
    if not allow_unstable and _UNSTABLE_NAME.fullmatch(os.path.normpath(path)):
        raise PortError(
            f"serial port {path!r}",
            seen="a name whose number is given out anew at each plugging in",
            expected="a stable name: /dev/serial/by-path/..., /dev/serial/by-id/... or a udev link of your own",
            hint="`ls -l /dev/serial/by-path` shows the stable name of this port",
        )


@dataclass(frozen=True, slots=True)
class _Loss:
    """Why an opening of the port ended. ``probe_on`` means that another baud rate may still do."""

    kind: FaultKind
    detail: str
    probe_on: bool = False


class SerialDevice:
    """One device on one port: a thread between the port and ``emit``, led by a sans-I/O conversation.

    ``name`` is the device's name in the settings, ``path`` its stable name in the file system. The constructor
    raises PortError for a name that is not stable (see :func:`check_port_name`); everything later is an event.
    """

    def __init__(
        self,
        name: str,
        path: str,
        conversation: Conversation,
        *,
        clock_ns: Callable[[], int] = time.monotonic_ns,
        allow_unstable_name: bool = False,
    ) -> None:
        check_port_name(path, allow_unstable=allow_unstable_name)
        self.name = name
        self.path = path
        self.baud: int | None = None
        """The rate at which the device last proved itself, tried first at the next opening."""
        self._conversation = conversation
        self._clock_ns = clock_ns
        self._emit: Emit = lambda _event: None
        self._thread: DeviceThread | None = None
        self._fault: FaultKind | None = None
        self._ready = False
        self._proven = False

    def start(self, emit: Emit) -> None:
        """Begin; the first fault, too, arrives as an event."""
        if self._thread is not None:
            raise PortError(f"device {self.name}", seen="start() of a running device", expected="stop() before")
        self._emit = emit
        self._fault, self._ready = None, False
        self._thread = DeviceThread(f"serial-{self.name}", self.path, self._run)

    def stop(self) -> None:
        """Close the port and end the thread within a second; harmless when it does not run."""
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.stop()

    # --- the thread ---------------------------------------------------------------------------------------------

    def _run(self, thread: DeviceThread) -> None:
        pause_s = REOPEN_MIN_S
        while True:
            self._proven = False
            try:
                loss = self._serve(thread)
            except StopAskedError:
                raise
            except Exception as error:  # noqa: BLE001 - a fault in a protocol file must not silence the port for ever
                if self._fault is not FaultKind.GARBLED:  # told once, not once a second
                    _log.exception("serial_conversation_failed", device=self.name)
                loss = _Loss(FaultKind.GARBLED, f"{self.path}: {type(error).__name__}: {error}")
            pause_s = REOPEN_MIN_S if self._proven else min(2 * pause_s, REOPEN_MAX_S)
            self._report(loss)
            thread.wait(pause_s)

    def _report(self, loss: _Loss) -> None:
        """One fault a period of absence; another one only when the reason is another."""
        if self._fault != loss.kind:
            self._fault, self._ready = loss.kind, False
            self._emit(DeviceFault(kind=loss.kind, detail=loss.detail, at_ns=self._clock_ns()))

    def _serve(self, thread: DeviceThread) -> _Loss:
        """Open at each baud rate until one is proven, then stay until the device is lost."""
        rates = sorted(self._conversation.baud_rates, key=lambda rate: rate != self.baud)
        loss = _Loss(FaultKind.SILENT, "no baud rate to try")
        worst: _Loss | None = None
        for rate in rates:
            try:
                port = _open(self.path, rate)
            except OSError as error:
                return _loss_of(self.path, error)
            with contextlib.closing(port):
                loss = self._converse(port, rate, thread)
            if not loss.probe_on:
                return loss
            # A rate at which bytes came says more about the device than one at which nothing did.
            if worst is None or worst.kind is FaultKind.SILENT:
                worst = loss
        return worst or loss

    def _converse(self, port: serial.Serial, rate: int, thread: DeviceThread) -> _Loss:
        """Carry the conversation over one opening; returns when it ended."""
        fd = port.fileno()
        conversation = self._conversation
        proof_ns = int(conversation.proof_timeout_s * 1e9)
        look_ns = int(_LOOK_S * 1e9)
        now = last_pass = self._clock_ns()
        opened = last_look = now
        heard = 0
        loss = self._carry(port, rate, conversation.begin(now))
        while loss is None:
            wake_at = conversation.wake_at_ns()
            until = min(last_look + look_ns, wake_at if wake_at is not None else now + look_ns)
            if not self._proven:
                until = min(until, opened + proof_ns)
            # At least a millisecond, so that a conversation that asks for the past cannot spin the processor.
            woken = thread.wait(max(0.001, (until - self._clock_ns()) / 1e9), fd)
            now = self._clock_ns()
            if now - last_pass > look_ns + int(_STALL_S * 1e9):
                with contextlib.suppress(termios.error):  # a device that left meanwhile shows at the next read
                    termios.tcflush(fd, termios.TCIFLUSH)
                self._proven, opened, heard = False, now, 0
                last_pass = last_look = now
                loss = self._carry(port, rate, conversation.begin(now))
                continue
            last_pass = now
            if woken.folder_changed or now - last_look >= look_ns:
                last_look = now
                if not still_named(self.path, fd):
                    return _Loss(FaultKind.MISSING, f"{self.path}: unplugged, or the name now leads elsewhere")
            if woken.readable:
                try:
                    data = os.read(fd, READ_BYTES_MAX)
                except BlockingIOError:
                    continue
                except OSError as error:
                    return _loss_of(self.path, error)
                if not data:
                    return _Loss(FaultKind.MISSING, f"{self.path}: the line was hung up")
                heard += len(data)
                loss = self._carry(port, rate, conversation.receive(data, now))
            wake_at = conversation.wake_at_ns()
            if loss is None and wake_at is not None and now >= wake_at:
                loss = self._carry(port, rate, conversation.wake(now))
            if loss is None and not self._proven and now - opened >= proof_ns:
                loss = _unproven(self.path, rate, heard)
        return loss

    def _carry(self, port: serial.Serial, rate: int, steps: list[Step]) -> _Loss | None:
        """Do what the conversation asked for; a loss when the opening is over."""
        for step in steps:
            if isinstance(step, Send):
                try:
                    port.write(step.data)
                except (OSError, serial.SerialException) as error:
                    return _loss_of(self.path, error)
            elif isinstance(step, Proven):
                self._prove(step, rate)
            elif isinstance(step, Broken):
                return _Loss(step.kind, f"{self.path} at {rate} baud: {step.detail}", probe_on=not self._proven)
            elif self._proven:
                if isinstance(step, DeviceFault) and not step.transient:
                    self._fault, self._ready = step.kind, False
                self._emit(step)
        return None

    def _prove(self, step: Proven, rate: int) -> None:
        self._proven, self.baud, self._fault = True, rate, None
        if not self._ready:
            self._ready = True
            detail = f"{step.detail} ({self.path} at {rate} baud)"
            self._emit(DeviceReady(detail=detail, at_ns=self._clock_ns()))


def _open(path: str, rate: int) -> serial.Serial:
    """Open raw 8N1, exclusively, with nothing waiting (pyserial flushes). Raises OSError (pyserial's error is one)."""
    if not stat.S_ISCHR(os.stat(path).st_mode):
        raise OSError(errno.ENOTTY, os.strerror(errno.ENOTTY))
    try:
        port = serial.Serial(path, rate, timeout=0, write_timeout=WRITE_TIMEOUT_S, exclusive=True)
    except termios.error as error:  # pyserial lets this one through when the device leaves while it is opened
        raise OSError(*error.args) from error
    try:
        # flock keeps out programs that ask; TIOCEXCL keeps out those that do not. A pseudo-terminal would keep the
        # flag when its holder is killed, and lock out every later opening but root's; a real port forgets it.
        if os.major(os.fstat(port.fileno()).st_rdev) not in _PTY_MAJORS:
            fcntl.ioctl(port.fileno(), termios.TIOCEXCL)
    except OSError:
        port.close()
        raise
    with contextlib.suppress(ValueError, OSError):
        # FTDI adapters hold bytes back for 16 ms otherwise, at each exchange with a card; others know no such thing.
        port.set_low_latency_mode(True)
    return port


def _loss_of(path: str, error: OSError) -> _Loss:
    """An operating system error as the fault that people are told."""
    if isinstance(error, serial.SerialTimeoutException):
        return _Loss(FaultKind.SILENT, f"{path}: takes no bytes for {WRITE_TIMEOUT_S} s; check the cable")
    kind = fault_kind(error)
    reason = os.strerror(error.errno) if error.errno else str(error)
    return _Loss(kind, f"{path}: {reason}; {_TRY_NEXT[kind]}")


def _unproven(path: str, rate: int, heard: int) -> _Loss:
    if heard:
        detail = f"{path} at {rate} baud: {heard} bytes, none of them proving the expected device"
        return _Loss(FaultKind.GARBLED, f"{detail}; check model and baud rate", probe_on=True)
    detail = f"{path} at {rate} baud: the port is there, the device says nothing; check its power and its wires"
    return _Loss(FaultKind.SILENT, detail, probe_on=True)
