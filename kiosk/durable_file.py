"""Small files that a power cut leaves as the old one or the new one, never half of either. Raises OSError throughout.

The bytes are on the disk before the name is (fsync(2) of the file), and the name before the call returns (fsync(2) of
the folder); rename(2) replaces at once. A file made by root belongs to its folder's owner: what an installer writes by
sudo into the gate's folder, the gate can read.
"""

from __future__ import annotations

import os
from pathlib import Path

OWNER_ONLY = 0o600
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC


def replace_file(path: Path, content: bytes, *, mode: int = OWNER_ONLY) -> None:
    """Put ``content`` in the place of whatever ``path`` held."""
    beside = path.with_name(path.name + ".new")
    _write(owned_file(beside, os.O_TRUNC, mode), content)
    beside.replace(path)
    sync_folder(path.parent)


def new_file(path: Path, content: bytes, *, mode: int = OWNER_ONLY) -> None:
    """Write a file that is not there yet; FileExistsError, and nothing changed, when it is.

    A file that the disk did not take whole is removed again: it would stand in the way of the next try.
    """
    fd = owned_file(path, os.O_EXCL, mode)
    try:
        _write(fd, content)
    except OSError:
        path.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def owned_file(path: Path, how: int, mode: int = OWNER_ONLY) -> int:
    """A file open for writing, made when it is not there; ``how`` is os.O_TRUNC or os.O_EXCL."""
    fd = os.open(path, _CREATE | how, mode)
    folder, made = path.parent.stat(), os.fstat(fd)
    if os.geteuid() == 0 and (folder.st_uid, folder.st_gid) != (made.st_uid, made.st_gid):
        os.fchown(fd, folder.st_uid, folder.st_gid)
    return fd


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
