"""What the central has acknowledged, read from the sync process's own file (``sync.db``), never written here."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from kiosk.journal_types import Acknowledged
from kiosk.records import Stream


def read_acknowledged(path: Path) -> list[Acknowledged]:
    """Every acknowledgement point of the sync process's view ``acknowledged`` (pinned in ``docs/formats-sync.md``).

    Empty while there is no such file or it cannot be read now: without an acknowledgement nothing is purged, so not
    knowing is always safe.
    """
    if not path.exists():
        return []
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, timeout=1.0)) as db:
            rows = db.execute("SELECT incarnation, stream, seq, hash, at_us FROM acknowledged").fetchall()
        return [Acknowledged(row[0], Stream(row[1]), row[2], row[3], row[4]) for row in rows]
    except (sqlite3.Error, ValueError):
        return []


def read_confirmed(path: Path, now_us: int) -> list[Acknowledged]:
    """The same points, each as much later as the central's last confirmation of its chain lies back: for purging.

    Retention runs only while the central goes on confirming. Without that, an acknowledgement from before a long
    outage would look old enough, although the central may have been restored from a backup meanwhile.
    """
    if not path.exists():
        return []
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, timeout=1.0)) as db:
            rows = db.execute("SELECT incarnation, stream, seq, hash, at_us, confirmed_us FROM acknowledged").fetchall()
        return [Acknowledged(row[0], Stream(row[1]), row[2], row[3], row[4] + max(0, now_us - row[5])) for row in rows]
    except (sqlite3.Error, ValueError):
        return []


def newest(points: list[Acknowledged]) -> dict[tuple[str, Stream], Acknowledged]:
    """The highest acknowledged point of each chain."""
    best: dict[tuple[str, Stream], Acknowledged] = {}
    for point in points:
        key = (point.incarnation, point.stream)
        if key not in best or point.seq > best[key].seq:
            best[key] = point
    return best
