"""What the central has acknowledged, read from the sync process's own file (``sync.db``, view ``acknowledged``).

The kiosk never writes that file. A missing or unreadable one means: nothing is known to be acknowledged, so nothing
may be purged.
"""

from __future__ import annotations

from pathlib import Path

from kiosk.database import DatabaseError, OpenDatabase, SqliteDatabase
from kiosk.journal_types import Acknowledged
from kiosk.records import Stream

_QUERY = (
    "SELECT incarnation, stream, seq, hash, at_us, confirmed_us FROM acknowledged ORDER BY incarnation, stream, seq"
)


def read_acknowledgements(path: Path, *, open_database: OpenDatabase = SqliteDatabase) -> list[Acknowledged]:
    """Every acknowledgement kept there, oldest first in each chain; empty when the file cannot be read now."""
    if not path.exists():
        return []
    try:
        database = open_database(path, read_only=True)
        try:
            rows = database.rows(_QUERY)
        finally:
            database.close()
        return [
            Acknowledged(incarnation, Stream(stream), seq, bytes(digest), at_us, confirmed_us)
            for incarnation, stream, seq, digest, at_us, confirmed_us in rows
        ]
    except (DatabaseError, ValueError, TypeError):
        return []
