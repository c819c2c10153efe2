"""Sets a damaged database aside whole, for inquiry.

That is three renames (file, ``-wal``, ``-shm``), and a write-ahead log must never meet another file than its own. So
the intention is written down first (``NAME.set-aside``), and whoever starts next finishes it. The retention job removes
what was set aside.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from kiosk.durable_file import replace_file, sync_folder

SUFFIXES = ("", "-wal", "-shm")
ASIDE = "*.damaged-*"
"""What the files are called, as a pattern."""


def set_aside(path: Path, now: datetime) -> Path:
    """Rename a database and its companions to a name that nothing else has; the new name. Raises OSError."""
    stem = f"{path.name}.damaged-{now.astimezone(UTC):%Y%m%dT%H%M%SZ}"
    aside = path.with_name(stem)
    count = 1
    while any(_with(aside, suffix).exists() for suffix in SUFFIXES):
        count += 1
        aside = path.with_name(f"{stem}-{count}")
    replace_file(_intention(path), aside.name.encode("utf-8"))
    finish_set_aside(path)
    return aside


def finish_set_aside(path: Path) -> Path | None:
    """Finish what a crash interrupted: the set-aside file, or None when nothing was begun. Raises OSError."""
    intention = _intention(path)
    try:
        name = intention.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    aside = path.with_name(Path(name).name) if name else None
    if aside is not None:
        for suffix in reversed(SUFFIXES):
            source = _with(path, suffix)
            if source.exists():
                source.rename(_with(aside, suffix))
        sync_folder(path.parent)
    intention.unlink()
    sync_folder(path.parent)
    return aside


def _intention(path: Path) -> Path:
    return path.with_name(path.name + ".set-aside")


def _with(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)
