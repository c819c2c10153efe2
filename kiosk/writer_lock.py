"""One writer a journal, for certain: a lock that ends with its process, however that ends."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from kiosk.database import Failure
from kiosk.journal_types import JournalError


class WriterLock:
    """Keeps a second program from writing the same journal.

    A POSIX record lock: the kernel drops it when the process ends in any way, and a child that was forked (the relay's
    supervisor) does not hold on to it. Within one process the set below does the same.
    """

    _held: set[Path] = set()  # noqa: RUF012

    def __init__(self, path: Path) -> None:
        self._path = path.absolute()
        self._file = path.with_name(path.name + ".lock")
        self._fd: int | None = None

    @property
    def held(self) -> bool:
        """Whether this object holds the lock."""
        return self._fd is not None

    def take(self) -> None:
        """Take the lock. Raises JournalError when somebody else has it, OSError when its file cannot be made."""
        busy = JournalError(
            str(self._path),
            failure=Failure.BUSY,
            seen="another program (or part of this one) writes it",
            expected="one writer",
            hint="stop the other gatepost, or give this one a journal of its own",
        )
        if self._path in self._held:
            raise busy
        fd = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(fd)
            raise busy from None
        self._fd = fd
        self._held.add(self._path)

    def release(self) -> None:
        """Let go, if held."""
        if self._fd is not None:
            self._held.discard(self._path)
            os.close(self._fd)
            self._fd = None
