"""A device that is a file with a stable name: the thread that waits for it, and what an error of it means.

Shared by serial ports (``drivers/serial_port.py``) and by readers that type (``drivers/typed_input.py``).
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from drivers.devices import FaultKind
from drivers.folder_watch import FolderWatch

_KIND_OF_ERRNO = {
    errno.ENOENT: FaultKind.MISSING,
    errno.ENODEV: FaultKind.MISSING,
    errno.ENXIO: FaultKind.MISSING,
    errno.EIO: FaultKind.MISSING,
    errno.EACCES: FaultKind.NOT_PERMITTED,
    errno.EPERM: FaultKind.NOT_PERMITTED,
    errno.EBUSY: FaultKind.BUSY,
    errno.EWOULDBLOCK: FaultKind.BUSY,
    errno.ENOTTY: FaultKind.WRONG_DEVICE,
    errno.EISDIR: FaultKind.WRONG_DEVICE,
    errno.EINVAL: FaultKind.WRONG_DEVICE,
}


def fault_kind(error: OSError) -> FaultKind:
    """What opening, grabbing or reading a device came to; one that is gone for any other reason is missing."""
    return _KIND_OF_ERRNO.get(error.errno or 0, FaultKind.MISSING)


def still_named(path: str, fd: int) -> bool:
    """Does the name still lead to the device that is open, and not to another one or nowhere?"""
    try:
        return os.stat(path).st_rdev == os.fstat(fd).st_rdev
    except OSError:
        return False


class StopAskedError(Exception):
    """Somebody called :meth:`DeviceThread.stop`."""


@dataclass(frozen=True, slots=True)
class Woken:
    """Why a wait ended; neither when its time ran out."""

    readable: bool = False
    """Bytes, or the end of them."""
    folder_changed: bool = False
    """Something came to, or left, the folder of the device's name."""


class DeviceThread:
    """One thread for ``path``, begun at once with ``run(thread)`` and ended by :meth:`stop`, whatever it waits for."""

    def __init__(self, name: str, path: str, run: Callable[[DeviceThread], None]) -> None:
        self._run = run
        self._watch = FolderWatch(Path(path).parent)
        self._stop_read, self._stop_write = os.pipe2(os.O_CLOEXEC)
        self._thread = threading.Thread(target=self._main, name=name, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread, or leave it behind after a second; one that ended by itself is no trouble."""
        with contextlib.suppress(BrokenPipeError):
            os.write(self._stop_write, b"x")
        os.close(self._stop_write)
        self._thread.join(1.0)

    def wait(self, timeout_s: float, fd: int | None = None) -> Woken:
        """Sleep until ``fd`` can be read, the folder changes or the time is over. Raises StopAskedError.

        Only for ``run``, and only in its own thread.
        """
        poller = select.poll()
        watch_fd = self._watch.fileno()
        for each in (self._stop_read, fd, watch_fd):
            if each is not None:
                poller.register(each, select.POLLIN)
        ready = dict(poller.poll(timeout_s * 1000))
        if self._stop_read in ready:
            raise StopAskedError
        changed = watch_fd is not None and watch_fd in ready
        if changed or not ready:  # an idle moment, too, is one to look for the folder itself
            self._watch.drain()
        return Woken(readable=fd in ready, folder_changed=changed)

    def _main(self) -> None:
        try:
            self._run(self)
        except StopAskedError:
            return
        finally:
            self._watch.close()
            os.close(self._stop_read)
