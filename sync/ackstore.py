"""What the central has acknowledged, kept by the sync process in a database of its own (``sync.db``).

The kiosk reads it (view ``acknowledged``) to know what may be purged: a record goes only when the central has
confirmed its acknowledgement *again* at least the retention later (``confirmed_us - at_us``), so that a central
restored from last night's backup can still be given everything it lost. Age alone is not enough: a kiosk that was
cut off for a week has old acknowledgements, too, from a central that may have gone back meanwhile.

Acknowledgements are kept as points ``(seq, head, when)``, at most one a minute and stream. The points also tell
where a journal that was restored from a backup still agreed with the central.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from pathlib import Path

from kiosk.database import Failure, failure_of
from kiosk.records import MAX_SAFE_INTEGER, ZERO_HASH, Stream
from kiosk.wal import use_wal
from sync.errors import SyncError

SCHEMA_VERSION = 1
MINUTE_US = 60_000_000
_SCHEMA = """
CREATE TABLE IF NOT EXISTS ack_points (
  incarnation TEXT NOT NULL, stream TEXT NOT NULL, seq INTEGER NOT NULL, head BLOB NOT NULL,
  at_us INTEGER NOT NULL, server_us INTEGER NOT NULL,
  PRIMARY KEY (incarnation, stream, seq)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS set_aside (
  incarnation TEXT NOT NULL, stream TEXT NOT NULL, seq INTEGER NOT NULL, head BLOB NOT NULL,
  PRIMARY KEY (incarnation, stream)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS confirmed (
  incarnation TEXT NOT NULL, stream TEXT NOT NULL, at_us INTEGER NOT NULL, server_us INTEGER NOT NULL,
  PRIMARY KEY (incarnation, stream)) WITHOUT ROWID;
CREATE VIEW IF NOT EXISTS acknowledged AS
  SELECT incarnation, stream, seq, head AS hash, p.at_us, p.server_us,
    coalesce(c.at_us, p.at_us) AS confirmed_us, coalesce(c.server_us, p.server_us) AS confirmed_server_us
  FROM ack_points p LEFT JOIN confirmed c USING (incarnation, stream);
"""

OPEN_WITHIN_S = 10.0
"""So long another process's hold on the file is waited for."""


@dataclass(frozen=True, slots=True)
class AckPoint:
    """The central had committed the stream up to ``seq``, whose hash is ``head``.

    ``at_us`` is when the kiosk learnt it by its own clock, ``server_us`` by the central's.
    """

    seq: int
    head: bytes
    at_us: int
    server_us: int


class DamagedStateError(SyncError):
    """The file is a database no longer; nothing is in it that the central does not know."""


class AckStore:
    """The sync process's own small database; opened by one process, read by others.

    Raises SyncError when the file cannot be opened or is of a later version, DamagedStateError when it is damaged.
    """

    def __init__(self, path: Path | str) -> None:
        try:
            self._db = sqlite3.connect(path, isolation_level=None, timeout=OPEN_WITHIN_S, check_same_thread=False)
        except sqlite3.Error as error:
            raise _not_opened(path, error) from error
        try:
            self._settle(path)
        except sqlite3.Error as error:
            self._db.close()
            raise _not_opened(path, error) from error
        except BaseException:
            self._db.close()
            raise

    def _settle(self, path: Path | str) -> None:
        use_wal(self._db, within_s=OPEN_WITHIN_S)
        ((check,), *_) = self._db.execute("PRAGMA quick_check(1)").fetchall()
        if check != "ok":
            raise _damaged(path, str(check))
        self._db.execute("PRAGMA synchronous=FULL")
        version = int(self._db.execute("PRAGMA user_version").fetchone()[0])
        if version > SCHEMA_VERSION:
            raise SyncError(
                f"sync state {path}",
                seen=f"version {version}",
                expected=f"at most {SCHEMA_VERSION}",
                hint="install the newer gatepost",
            )
        self._db.executescript(_SCHEMA)
        self._db.execute(f"PRAGMA user_version={SCHEMA_VERSION}")

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def acked(self, incarnation: str, stream: Stream) -> AckPoint:
        """The newest acknowledgement of a stream; seq 0 with the zero hash before the first."""
        return self.newest_point_below(incarnation, stream, MAX_SAFE_INTEGER)

    def newest_point_below(self, incarnation: str, stream: Stream, seq: int) -> AckPoint:
        """The newest acknowledgement at a seq lower than ``seq``; seq 0 with the zero hash when there is none."""
        row = self._db.execute(
            "SELECT seq, head, at_us, server_us FROM ack_points"
            " WHERE incarnation = ? AND stream = ? AND seq < ? ORDER BY seq DESC LIMIT 1",
            (incarnation, str(stream), seq),
        ).fetchone()
        return AckPoint(*row) if row else AckPoint(0, ZERO_HASH, 0, 0)

    def advance(self, incarnation: str, stream: Stream, point: AckPoint) -> None:
        """Note a further acknowledgement, or the same one confirmed again, durably.

        Points of the same minute as the newest replace it.

        Replacing moves ``at_us`` later by less than a minute, so nothing is purged too early by it.
        """
        newest = self.acked(incarnation, stream)
        if point.seq < newest.seq:
            return
        with self._db:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.execute(
                "INSERT INTO confirmed VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET at_us = excluded.at_us,"
                " server_us = excluded.server_us",
                (incarnation, str(stream), point.at_us, point.server_us),
            )
            if point.seq == newest.seq:
                return
            if newest.seq and point.at_us // MINUTE_US == newest.at_us // MINUTE_US:
                self._db.execute(
                    "DELETE FROM ack_points WHERE incarnation = ? AND stream = ? AND seq = ?",
                    (incarnation, str(stream), newest.seq),
                )
            self._db.execute(
                "INSERT INTO ack_points VALUES (?, ?, ?, ?, ?, ?)",
                (incarnation, str(stream), point.seq, point.head, point.at_us, point.server_us),
            )

    def go_back(self, incarnation: str, stream: Stream, point: AckPoint) -> None:
        """The central (or the journal) went back: forget every acknowledgement above ``point``.

        ``point`` itself becomes an acknowledgement learnt now; one at seq 0 forgets them all.
        """
        with self._db:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.execute(
                "DELETE FROM ack_points WHERE incarnation = ? AND stream = ? AND seq >= ?",
                (incarnation, str(stream), point.seq),
            )
            if point.seq > 0:
                self._db.execute(
                    "INSERT INTO ack_points VALUES (?, ?, ?, ?, ?, ?)",
                    (incarnation, str(stream), point.seq, point.head, point.at_us, point.server_us),
                )

    def forget_points_before(self, server_us: int) -> None:
        """Drop points older than ``server_us``, keeping each stream's newest two."""
        with self._db:
            self._db.execute(
                "DELETE FROM ack_points WHERE server_us < ? AND (SELECT count(*) FROM ack_points q WHERE"
                " q.incarnation = ack_points.incarnation AND q.stream = ack_points.stream"
                " AND q.seq > ack_points.seq) >= 2",
                (server_us,),
            )

    def set_aside_to(self, incarnation: str, stream: Stream) -> AckPoint:
        """How far the central has set a forked stream aside in quarantine; seq 0 for a sound one."""
        row = self._db.execute(
            "SELECT seq, head FROM set_aside WHERE incarnation = ? AND stream = ?", (incarnation, str(stream))
        ).fetchone()
        return AckPoint(row[0], row[1], 0, 0) if row else AckPoint(0, ZERO_HASH, 0, 0)

    def set_aside(self, incarnation: str, stream: Stream, seq: int, head: bytes) -> None:
        """Note how far the central has set a forked stream aside; seq 0 clears it."""
        with self._db:
            self._db.execute(
                "INSERT INTO set_aside VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET seq = excluded.seq,"
                " head = excluded.head",
                (incarnation, str(stream), seq, head),
            )

    def fact(self, name: str, default: str = "") -> str:
        """A remembered fact (``store_epoch``, ``last_contact_us``, ``last_error``, …)."""
        row = self._db.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return str(row[0]) if row else default

    def remember(self, **facts: str | int) -> None:
        """Store facts, durably and together."""
        with self._db:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany(
                "INSERT INTO facts VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value",
                [(name, str(value)) for name, value in facts.items()],
            )

    def facts(self) -> dict[str, str]:
        """Every remembered fact."""
        return dict(self._db.execute("SELECT name, value FROM facts"))


def _not_opened(path: Path | str, error: sqlite3.Error) -> SyncError:
    if failure_of(getattr(error, "sqlite_errorcode", None)) is Failure.DAMAGED:
        return _damaged(path, str(error))
    return SyncError(f"sync state {path}", seen=str(error), expected="a writable SQLite file")


def _damaged(path: Path | str, seen: str) -> DamagedStateError:
    return DamagedStateError(
        f"sync state {path}",
        seen=seen[:200],
        expected="a whole SQLite file",
        hint="start gatepost-sync: it sets the file aside, and the central recognises what is sent once more",
    )
