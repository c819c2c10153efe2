"""Stores a batch that repeats, overlaps, leaves a gap, forks, or holds a record outside the contract."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, and_, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from sync.answer import Result
from sync.batch_header import BatchHeader
from sync.batch_scan import ParsedRecord
from sync.central.alerts import raise_alert
from sync.central.chain_compare import compare
from sync.central.chains import Chain, write_moves
from sync.central.checks import CheckedBatch
from sync.central.kiosk_notes import note_headers
from sync.central.record_alerts import tell_of
from sync.central.record_rows import write_records
from sync.central.sync_log import line_of, write_lines
from sync.central.tables import Fork, Gap, Quarantined, table

quarantine, forks, gaps = table(Quarantined), table(Fork), table(Gap)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of the batch: which records were rejected, how far a fork is set aside (0: none)."""

    result: Result
    rejected: Sequence[ParsedRecord] = ()
    quarantined_to: int = 0


@dataclass(frozen=True, slots=True)
class _Entry:
    """The line of the sync log that a change belongs to."""

    batch_id: int
    now_us: int


def store_odd(connection: Connection, batch: CheckedBatch, chain: Chain, now_us: int) -> Outcome:
    """Store what is new and sound of it, set aside what must be; ``chain`` stands behind it from now on."""
    header = batch.parsed.header
    verdict, first_different = compare(connection, chain, header, batch.parsed.records)
    fresh = [item for item in batch.parsed.records if item.seq > chain.hi] if verdict is None else []
    rejected = [item for item in fresh if item.record is None]
    if verdict is None:
        verdict = Result.DUPLICATE if not fresh else Result.PARTIAL if rejected else Result.STORED
    line = line_of(batch, verdict, now_us, fresh=len(fresh), rejected=len(rejected))
    (batch_id,) = write_lines(connection, [line])
    entry = _Entry(batch_id, now_us)
    quarantined_to = 0
    if verdict is Result.GAP and first_different:
        detail = f"{header.stream} {header.incarnation[:8]} < {header.first}"
        raise_alert(connection, now_us, "fork", header.kiosk_id, detail)
    if verdict is Result.FORK:
        quarantined_to = _set_aside_fork(connection, batch, entry, chain, first_different)
    elif fresh:
        _append(connection, header, entry, chain, fresh)
    note_headers(connection, [header], now_us)
    return Outcome(verdict, rejected, quarantined_to)


def _append(
    connection: Connection, header: BatchHeader, entry: _Entry, chain: Chain, fresh: Sequence[ParsedRecord]
) -> None:
    """Store what is new of a batch and move the ledger."""
    if fresh[0].seq > chain.hi + 1:
        _note_gap(connection, chain, fresh[0].seq - 1, entry)
    sound = [item for item in fresh if item.record is not None]
    write_records(connection, [(entry.batch_id, sound)], entry.now_us)
    tell_of(connection, header.kiosk_id, sound, entry.now_us)
    set_aside = [item for item in fresh if item.record is None]
    if set_aside:
        _quarantine(connection, chain.key, set_aside, "outside the contract", entry)
        detail = f"{header.stream} {len(set_aside)}"
        raise_alert(connection, entry.now_us, "records_rejected", header.kiosk_id, detail)
    write_moves(connection, [chain.move(header, entry.now_us, len(sound))])


def _set_aside_fork(
    connection: Connection, batch: CheckedBatch, entry: _Entry, chain: Chain, first_different: int
) -> int:
    """Put what contradicts the stored chain into quarantine; returns how far the fork is set aside now."""
    header = batch.parsed.header
    different = [item for item in batch.parsed.records if item.seq >= first_different]
    _quarantine(connection, chain.key, different, "fork", entry)
    known = connection.execute(select(forks.c.fork_id).where(_of(chain)).limit(1)).scalar()
    if known is None:
        connection.execute(
            insert(forks).values(
                **chain.key,
                seq=first_different,
                stored_hash=chain.hash_at(connection, first_different) or chain.head,
                seen_hash=different[0].hash or header.last_head,
                quarantined_to=header.last,
                first_seen_us=entry.now_us,
                last_seen_us=entry.now_us,
            )
        )
        chain.count_fork(connection)
    else:
        connection.execute(
            update(forks).where(forks.c.fork_id == known).values(quarantined_to=header.last, last_seen_us=entry.now_us)
        )
    detail = f"{header.stream} {header.incarnation[:8]} {first_different}"
    raise_alert(connection, entry.now_us, "fork", header.kiosk_id, detail)
    return header.last


def _of(chain: Chain) -> ColumnElement[bool]:
    return and_(*(forks.c[name] == value for name, value in chain.key.items()))


def _quarantine(
    connection: Connection,
    key: dict[str, str],
    items: Sequence[ParsedRecord],
    reason: str,
    entry: _Entry,
) -> None:
    rows = []
    for item in items:
        rows.append(
            {
                **key,
                "seq": item.seq,
                "digest": item.hash or hashlib.sha256(item.raw.encode()).digest(),
                "reason": reason,
                "detail": item.refusal,
                "raw": item.raw,
                "batch_id": entry.batch_id,
                "received_us": entry.now_us,
            }
        )
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    connection.execute(dialect.insert(quarantine).on_conflict_do_nothing(), rows)


def _note_gap(connection: Connection, chain: Chain, last: int, entry: _Entry) -> None:
    connection.execute(
        insert(gaps).values(
            **chain.key, first_seq=chain.hi + 1, last_seq=last, batch_id=entry.batch_id, declared_us=entry.now_us
        )
    )
    detail = f"{chain.key['stream']} {chain.hi + 1}–{last}"
    raise_alert(connection, entry.now_us, "records_gone", chain.key["kiosk_id"], detail)
