"""The watched child that runs libzbar: asked with a deadline, killed when it overruns, restarted when it dies.

One thread reads the child's answers and is also its watchdog; it sleeps while nothing is asked. Frames travel in
anonymous shared memory (``memfd``), never through a file.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import select
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from drivers import qr_worker

MEMORY_BYTES = 16 * 1024 * 1024
"""The largest frame a child takes, in gray bytes; larger frames are the caller's to shrink."""

START_TIMEOUT_S = 20.0
"""A child that has not said it is ready by then (a Pi under load needs seconds) is started anew."""

_RESTART_PAUSE_S = (0.0, 0.1, 0.3, 0.6)
"""Before the first, second, ... restart in a row; the last for all further ones, so always within a second."""


@dataclass(frozen=True, slots=True)
class ChildSymbol:
    """Exact bytes and the four corners (clockwise from the top left, pixels of the frame that was handed over)."""

    data: bytes
    corners: tuple[tuple[float, float], ...]


class GarbledError(Exception):
    """The child wrote what the wire does not know."""


def parse_answer(buffer: bytes) -> tuple[int, list[ChildSymbol], int] | None:
    """(number, symbols, bytes used) of the first whole answer, None while it is incomplete.

    Raises :class:`GarbledError` when a count or a length is out of bounds: the child's memory cannot be trusted.
    """
    if len(buffer) < qr_worker.ANSWER.size:
        return None
    number, count = qr_worker.ANSWER.unpack_from(buffer)
    if count > qr_worker.MAX_SYMBOLS:
        raise GarbledError
    symbols, at = [], qr_worker.ANSWER.size
    for _ in range(count):
        if len(buffer) < at + qr_worker.SYMBOL.size:
            return None
        *corners, length = qr_worker.SYMBOL.unpack_from(buffer, at)
        at += qr_worker.SYMBOL.size
        if length > qr_worker.MAX_TEXT_BYTES:
            raise GarbledError
        if len(buffer) < at + length:
            return None
        points = tuple((corners[i], corners[i + 1]) for i in range(0, 8, 2))
        symbols.append(ChildSymbol(buffer[at : at + length], points))
        at += length
    return number, symbols, at


class WatchedChild:
    """libzbar in a process of its own.

    ``restarts`` counts children that died by themselves, ``overruns`` those killed because one frame took longer
    than ``overrun_s``. ``available`` is False for good when pyzbar or libzbar is not installed.
    """

    def __init__(self, *, overrun_s: float = 0.5, command: tuple[str, ...] | None = None) -> None:
        """``command`` replaces the program (tests let it die or hang); it gets the fd and the size as arguments."""
        self.restarts = 0
        self.overruns = 0
        self.available = True
        self._overrun_s = overrun_s
        self._command = command or (sys.executable, "-I", str(Path(qr_worker.__file__)))
        self._memory_fd = os.memfd_create("gatepost-qr", os.MFD_CLOEXEC)
        os.ftruncate(self._memory_fd, MEMORY_BYTES)
        self._memory = mmap.mmap(self._memory_fd, MEMORY_BYTES)
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._state = threading.Condition()
        self._process: subprocess.Popen[bytes] | None = None
        self._ready = False
        self._closed = False
        self._number = 0
        self._asked_ns: int | None = None
        self._answer: tuple[int, list[ChildSymbol]] | None = None
        self._thread = threading.Thread(target=self._watch, name="qr-child", daemon=True)
        self._thread.start()

    @property
    def pid(self) -> int | None:
        """The child's process id, None while there is none."""
        process = self._process
        return process.pid if process else None

    def wait_ready(self, timeout_s: float) -> bool:
        """Wait until the child can be asked; False when it cannot be by then."""
        with self._state:
            self._state.wait_for(lambda: self._ready or not self.available or self._closed, timeout_s)
            return self._ready

    def read(self, gray: NDArray[np.uint8], timeout_s: float) -> list[ChildSymbol] | None:
        """What the child sees in a gray frame, or None when it is starting, busy or late."""
        number = self.ask(gray)
        return None if number is None else self.collect(number, timeout_s)

    def ask(self, gray: NDArray[np.uint8]) -> int | None:
        """Hand a frame over and do not wait: the number of the question, None when the child is starting or busy.

        Frames over :data:`MEMORY_BYTES` are not taken. The child is killed when it takes longer than ``overrun_s``.
        """
        height, width = gray.shape
        if gray.size > MEMORY_BYTES or gray.size == 0:
            return None
        with self._state:
            process = self._process
            if not self._ready or self._asked_ns is not None or process is None or process.stdin is None:
                return None
            np.copyto(np.frombuffer(self._memory, np.uint8, gray.size).reshape(height, width), gray)
            self._number = number = (self._number + 1) & 0xFFFFFFFF
            self._answer = None
            self._asked_ns = time.monotonic_ns()
            try:
                os.write(process.stdin.fileno(), qr_worker.ASK.pack(number, width, height))
            except OSError:  # it has just died; the watchdog is about to see that
                return None
            os.eventfd_write(self._wake, 1)
            return number

    def collect(self, number: int, timeout_s: float) -> list[ChildSymbol] | None:
        """The answer to a question, None when it is late or the child died; a late answer is dropped, and the child
        serves again as soon as it has finished."""
        with self._state:
            self._state.wait_for(lambda: self._answer is not None or self._asked_ns is None, max(0.0, timeout_s))
            answer = self._answer
        return answer[1] if answer is not None and answer[0] == number else None

    def close(self) -> None:
        """End the child and the thread."""
        with self._state:
            if self._closed:
                return
            self._closed = True
            self._state.notify_all()
        os.eventfd_write(self._wake, 1)
        self._thread.join(2.0)
        if not self._thread.is_alive():
            os.close(self._wake)
            self._memory.close()
            os.close(self._memory_fd)

    def _watch(self) -> None:
        """The thread: child after child until closed or not installed."""
        in_a_row = 0
        while not self._closed and self.available:
            started_ns = time.monotonic_ns()
            self._serve_one_child()
            if self._closed or not self.available:
                break
            in_a_row = in_a_row + 1 if time.monotonic_ns() - started_ns < 2_000_000_000 else 0
            with self._state:
                self._state.wait_for(lambda: self._closed, _RESTART_PAUSE_S[min(in_a_row, len(_RESTART_PAUSE_S) - 1)])
        with self._state:
            self._state.notify_all()

    def _serve_one_child(self) -> None:
        try:
            process = subprocess.Popen(
                (*self._command, str(self._memory_fd), str(MEMORY_BYTES)),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,  # zbar writes what it saw there
                pass_fds=(self._memory_fd,),
                bufsize=0,
            )
        except OSError:
            self.restarts += 1
            return
        self._process = process
        overran = False
        try:
            overran = self._relay(process)
        except GarbledError:
            pass
        finally:
            with self._state:
                self._ready, self._asked_ns, self._process = False, None, None
                self._state.notify_all()
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with contextlib.suppress(OSError):
                        pipe.close()
        if not self._closed and self.available:
            if overran:
                self.overruns += 1
            else:
                self.restarts += 1

    def _relay(self, process: subprocess.Popen[bytes]) -> bool:
        """Pass answers on until the child dies (False) or has to be killed for being late (True)."""
        assert process.stdout is not None  # noqa: S101 - Popen was given a pipe
        output = process.stdout.fileno()
        buffer = b""
        give_up_ns = time.monotonic_ns() + int(START_TIMEOUT_S * 1e9)
        while not self._closed:
            with self._state:
                limit_ns = give_up_ns if not self._ready else None
                if self._asked_ns is not None:
                    limit_ns = self._asked_ns + int(self._overrun_s * 1e9)
            wait_s = None if limit_ns is None else max(0.0, (limit_ns - time.monotonic_ns()) / 1e9)
            readable, _, _ = select.select([output, self._wake], [], [], wait_s)
            if self._wake in readable:
                os.eventfd_read(self._wake)
            if output in readable:
                part = os.read(output, 65536)
                if not part:
                    return False
                buffer = self._take(buffer + part)
                if not self.available:
                    return False
            elif not readable and limit_ns is not None and time.monotonic_ns() >= limit_ns:
                return True
        return False

    def _take(self, buffer: bytes) -> bytes:
        """Use up the whole messages in ``buffer``; what is left comes back."""
        with self._state:
            if not self._ready:
                if len(buffer) < len(qr_worker.READY):
                    return buffer
                greeting, buffer = buffer[:4], buffer[4:]
                if greeting == qr_worker.MISSING:
                    self.available = False
                    return b""
                if greeting != qr_worker.READY:
                    raise GarbledError
                self._ready = True
            while (answer := parse_answer(buffer)) is not None:
                number, symbols, used = answer
                buffer = buffer[used:]
                if self._asked_ns is None:  # nobody asked
                    raise GarbledError
                self._answer, self._asked_ns = (number, symbols), None
            self._state.notify_all()
            return buffer
