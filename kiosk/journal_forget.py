"""Deleting from a journal's file in short steps, so that a passage never waits long. SQL; raises DatabaseError."""

from __future__ import annotations

from kiosk.database import Database, transaction
from kiosk.journal_tables import PAYLOAD_TABLE, RECORD_HASH, SEQ_MASK, STREAM_NUMBER, row_key
from kiosk.journal_types import Acknowledged, Head
from kiosk.journal_verify import chain_rows
from kiosk.records import PayloadClass, Stream

STEP_ROWS = 2000
_STEP_PAGES = 500


def purge_step(database: Database, mark: Acknowledged) -> int:
    """Delete the oldest records of the mark's chain up to it, in one transaction; how many, 0 when none is left.

    A mark whose hash is not this journal's deletes nothing.
    """
    row = next((r for r in chain_rows(database) if (r.incarnation, r.stream) == (mark.incarnation, mark.stream)), None)
    if row is None or not row.base.seq < mark.seq <= row.head.seq:
        return 0
    at_mark = database.rows(RECORD_HASH, (row_key(row.number, row.stream, mark.seq),))
    if not at_mark or at_mark[0][0] != mark.hash:
        return 0
    begin, end = row_key(row.number, row.stream, 0), row_key(row.number, row.stream, mark.seq)
    oldest = database.rows(
        f"SELECT id & {SEQ_MASK}, hash FROM journal_record WHERE id > ? AND id <= ? ORDER BY id LIMIT ?",  # noqa: S608
        (begin, end, STEP_ROWS),
    )
    with transaction(database):
        return delete_to(database, row.number, row.stream, Head(*oldest[-1]))


def note_erasure(database: Database, cls: PayloadClass, before_us: int) -> None:
    """Write down, in the caller's transaction, up to when this class is erased: what is missing before is no theft."""
    database.run(
        "INSERT INTO journal_erasure (payload_class, before_us) VALUES (?, ?) ON CONFLICT "
        "(payload_class) DO UPDATE SET before_us = max(before_us, excluded.before_us)",
        (str(cls), before_us),
    )


def erase_step(database: Database, cls: PayloadClass, before_us: int) -> int:
    """Erase some payloads of records made before ``before_us`` in the caller's transaction; how many (fewer than
    ``STEP_ROWS``: none is left). The digests stay, so every chain still verifies.
    """
    table = PAYLOAD_TABLE[cls]
    return database.run(
        f"DELETE FROM {table} WHERE id IN (SELECT id FROM {table} WHERE at_us < ? LIMIT {STEP_ROWS})",  # noqa: S608
        (before_us,),
    )


def shrink_step(database: Database) -> bool:
    """Give some free pages back to the file system, in one transaction; false when there are none."""
    ((free,),) = database.rows("PRAGMA freelist_count")
    if not free:
        return False
    with transaction(database):
        for _ in range(min(free, _STEP_PAGES)):
            database.rows("PRAGMA incremental_vacuum(1)")  # the driver steps it once: one page
    return True


def empty_log(database: Database) -> None:
    """Bring the write-ahead log into the file, so that erased bytes stand nowhere; later where a reader holds it."""
    database.rows("PRAGMA wal_checkpoint(TRUNCATE)")


def delete_to(database: Database, number: int, stream: Stream, last: Head) -> int:
    """Delete a chain's records up to ``last``, which becomes its base (in the caller's transaction); how many."""
    keys = row_key(number, stream, 0), row_key(number, stream, last.seq)
    count = database.run("DELETE FROM journal_record WHERE id > ? AND id <= ?", keys)
    for table in PAYLOAD_TABLE.values():
        database.run(f"DELETE FROM {table} WHERE id > ? AND id <= ?", keys)  # noqa: S608
    database.run(
        "UPDATE journal_chain SET base_seq = ?, base_head = ? WHERE number = ? AND stream = ?",
        (last.seq, last.hash, number, STREAM_NUMBER[stream]),
    )
    return count
