"""Small files that a power cut leaves as the old one or the new one, never half of either. Raises OSError throughout.

The bytes are on the disk before the name is (fsync(2) of the file), and the name before the call returns (fsync(2) of
the folder); rename(2) replaces at once, and link(2) gives a name that nobody had. What root makes belongs to its
folder's owner: what an installer writes by sudo into the gate's folder, the gate can read. In such a folder the gate
could put a link under a name that root is about to write: links are never followed (open(2), O_NOFOLLOW).
"""

from __future__ import annotations

import errno
import os
import secrets
from pathlib import Path

OWNER_ONLY = 0o600
OWNER_ONLY_FOLDER = 0o700
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS)
"""What a file system without hard links (FAT, on a stick) answers."""


def replace_file(path: Path, content: bytes, *, mode: int = OWNER_ONLY) -> None:
    """Put ``content`` in the place of whatever ``path`` held."""
    beside = path.with_name(path.name + ".new")
    _write(beside, os.O_TRUNC, content, mode)
    beside.replace(path)
    sync_folder(path.parent)


def new_file(path: Path, content: bytes, *, mode: int = OWNER_ONLY) -> None:
    """Write a file that is not there yet; FileExistsError, and nothing changed, when it is."""
    beside = path.with_name(f"{path.name}.{secrets.token_hex(4)}.new")  # of two writers at once, one finds the other's
    _write(beside, os.O_EXCL, content, mode)
    try:
        os.link(beside, path)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        _write(path, os.O_EXCL, content, mode)
    finally:
        beside.unlink(missing_ok=True)
    sync_folder(path.parent)


def owned_file(path: Path, how: int, mode: int = OWNER_ONLY) -> int:
    """A file open for writing, made when it is not there; ``how`` is os.O_TRUNC or os.O_EXCL."""
    fd = os.open(path, _CREATE | how, mode)
    try:
        _give_away(fd, path.parent)
    except OSError:
        os.close(fd)
        raise
    return fd


def owned_folder(path: Path, mode: int = OWNER_ONLY_FOLDER) -> None:
    """Make a folder, and those above it, where they are not there."""
    if path.is_dir():
        return
    owned_folder(path.parent, mode)
    path.mkdir(mode=mode, exist_ok=True)
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        _give_away(fd, path.parent)
    finally:
        os.close(fd)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make new and exchanged names in ``folder`` durable."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _give_away(fd: int, folder: Path) -> None:
    owner, made = folder.stat(), os.fstat(fd)
    if os.geteuid() == 0 and (owner.st_uid, owner.st_gid) != (made.st_uid, made.st_gid):
        os.fchown(fd, owner.st_uid, owner.st_gid)


def _write(path: Path, how: int, content: bytes, mode: int) -> None:
    """A file that the disk did not take whole is removed again: it would stand in the way of the next try."""
    fd = owned_file(path, how, mode)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(fd)
    except OSError:
        path.unlink(missing_ok=True)
        raise
