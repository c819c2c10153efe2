"""Small files that a power cut leaves as the old one or the new one, never half of either. Raises OSError throughout.

The bytes are on the disk before the name is (fsync(2) of the file), and the name before the call returns (fsync(2) of
the folder); rename(2) replaces at once.
"""

from __future__ import annotations

import os
from pathlib import Path

OWNER_ONLY = 0o600
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC


def replace_file(path: Path, content: bytes, *, mode: int = OWNER_ONLY) -> None:
    """Put ``content`` in the place of whatever ``path`` held."""
    beside = path.with_name(path.name + ".new")
    _write(os.open(beside, _CREATE | os.O_TRUNC, mode), content)
    beside.replace(path)
    sync_folder(path.parent)


def new_file(path: Path, content: bytes, *, mode: int = OWNER_ONLY) -> None:
    """Write a file that is not there yet; FileExistsError, and nothing changed, when it is.

    A file that the disk did not take whole is removed again: it would stand in the way of the next try.
    """
    fd = os.open(path, _CREATE | os.O_EXCL, mode)
    try:
        _write(fd, content)
    except OSError:
        path.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make new and exchanged names in ``folder`` durable."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _write(fd: int, content: bytes) -> None:
    with os.fdopen(fd, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(fd)
