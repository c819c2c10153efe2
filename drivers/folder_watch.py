"""Noticing within milliseconds that a name appeared in, left or changed in a folder (Linux inotify).

A serial adapter that is plugged in shows up as a new link in ``/dev/serial/by-id``; without the watch the kiosk
would learn of it only at its next try. The folder itself may be missing (udev removes ``/dev/serial`` with the last
adapter): then its nearest existing parent is watched. Where inotify is not to be had, the watch stays quiet and the
caller's own time-out decides, so nothing depends on it but speed.

Source: inotify(7), Linux man-pages.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
from pathlib import Path

_IN_ATTRIB = 0x004
_IN_MOVED_FROM = 0x040
_IN_MOVED_TO = 0x080
_IN_CREATE = 0x100
_IN_DELETE = 0x200
_IN_DELETE_SELF = 0x400
_CHANGES = _IN_ATTRIB | _IN_MOVED_FROM | _IN_MOVED_TO | _IN_CREATE | _IN_DELETE | _IN_DELETE_SELF

_libc = ctypes.CDLL(None, use_errno=True)


class FolderWatch:
    """Watches ``folder``; :meth:`fileno` becomes readable after a change. Not thread-safe; one owner."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._fd = -1
        self._watched: Path | None = None
        self.renew()

    def renew(self) -> None:
        """Forget what was noticed and watch the folder (or its nearest existing parent) as it is now."""
        self.close()
        if not hasattr(_libc, "inotify_init1"):
            return
        fd = int(_libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))
        if fd < 0:
            return
        for place in (self._folder, *self._folder.parents):
            if int(_libc.inotify_add_watch(fd, os.fsencode(place), _CHANGES)) >= 0:
                self._fd, self._watched = fd, place
                return
        os.close(fd)

    def fileno(self) -> int | None:
        """The descriptor to poll for reading; None where there is no watch."""
        return self._fd if self._fd >= 0 else None

    def drain(self) -> None:
        """Take what was noticed off the queue; watch anew where the folder itself came or went."""
        with contextlib.suppress(BlockingIOError):
            while self._fd >= 0 and os.read(self._fd, 4096):
                pass
        if self._watched != self._folder or not self._folder.is_dir():
            self.renew()

    def close(self) -> None:
        """Stop watching."""
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1
        self._watched = None
