"""What can still be proved of a damaged journal is carried over into the new one.

Carrying over copies each chain, record by record, as far as its hashes hold, into the new file under the old
incarnation, so that what was not sent yet still is. A bad record leaves a *hole*: a row without header that keeps the
hash from which the chain goes on, where the next record proves that hash; all holes are told in ``gap`` records.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from kiosk.database import Database, DatabaseError
from kiosk.journal_tables import (
    INSERT_CHAIN,
    INSERT_INCARNATION,
    INSERT_PAYLOAD,
    INSERT_RECORD,
    RECORDS_AFTER,
    STREAM_NUMBER,
    row_key,
    rows_after,
)
from kiosk.journal_types import Head
from kiosk.journal_verify import (
    ChainRow,
    Needles,
    PayloadRows,
    at_us_of,
    chain_rows,
    classes_of,
    erasure_horizons,
    payload_rows,
)
from kiosk.records import MAX_SAFE_INTEGER, PayloadClass, Stream

MAX_UNREADABLE = 100_000
"""So many records in one chain that cannot be read end the attempt."""


@dataclass(frozen=True, slots=True)
class Hole:
    """Records ``first_seq`` to ``last_seq`` of an old chain that could not be carried over."""

    incarnation: str
    stream: Stream
    first_seq: int
    last_seq: int


@dataclass(frozen=True, slots=True)
class Salvage:
    """What was carried over: how many records, the head of each old chain, and the holes."""

    records: int = 0
    heads: tuple[tuple[str, Stream, Head], ...] = ()
    holes: tuple[Hole, ...] = ()


def carry_over(old: Database, new: Database) -> Salvage:
    """Copy every chain of ``old`` into ``new`` (inside the caller's transaction), as far as its hashes hold.

    Never raises for what is wrong with ``old``. Raises DatabaseError when ``new`` cannot be written.
    """
    try:
        chains = _named_by_their_records(old, chain_rows(old))
    except (DatabaseError, TypeError, ValueError, KeyError):
        return Salvage()
    horizons = _horizons(old)
    for cls, before_us in horizons.items():
        new.run("INSERT OR REPLACE INTO journal_erasure (payload_class, before_us) VALUES (?, ?)", (cls, before_us))
    records = 0
    heads: list[tuple[str, Stream, Head]] = []
    holes: list[Hole] = []
    written: set[int] = set()
    for row in chains:
        if not _usable(row):
            continue
        if row.number not in written:
            new.run(INSERT_INCARNATION, (row.number, row.incarnation, row.kiosk_id))
            written.add(row.number)
        count, head, lost = _carry_chain(old, new, row, horizons)
        records += count
        heads.append((row.incarnation, row.stream, head))
        holes += lost
    for number in written:
        # A chain whose own row was destroyed begins empty, so that every incarnation has its three.
        present = {row.stream for row in chains if row.number == number and _usable(row)}
        for stream in set(Stream) - present:
            zero = Head()
            new.run(INSERT_CHAIN, (number, STREAM_NUMBER[stream], 0, zero.hash, 0, zero.hash))
    return Salvage(records, tuple(heads), tuple(holes))


def _named_by_their_records(old: Database, chains: list[ChainRow]) -> list[ChainRow]:
    # The row that names an incarnation can be damaged too. Its records name it a thousand times, under their hashes.
    named: list[ChainRow] = []
    for row in chains:
        names: Counter[tuple[str, str]] = Counter()
        for chain in chains:
            if chain.number == row.number:
                names.update(_names(old, chain))
        incarnation, kiosk_id = names.most_common(1)[0][0] if names else (row.incarnation, row.kiosk_id)
        named.append(replace(row, incarnation=incarnation, kiosk_id=kiosk_id))
    return named


def _names(old: Database, row: ChainRow) -> Iterator[tuple[str, str]]:
    try:
        rows = old.rows(RECORDS_AFTER, rows_after(row.number, row.stream, 0, 50))
    except DatabaseError:
        return
    for _, header, _, _ in rows:
        try:
            fields = json.loads(header)
            if isinstance(fields["incarnation"], str) and isinstance(fields["kiosk_id"], str):
                yield fields["incarnation"], fields["kiosk_id"]
        except (TypeError, ValueError, KeyError):
            continue


def _usable(row: ChainRow) -> bool:
    # A damaged cell can hand back a value of another type than was written.
    texts = (row.incarnation, row.kiosk_id)
    heads = (row.head, row.base)
    return all(isinstance(text, str) for text in texts) and all(
        isinstance(head.seq, int) and head.seq >= 0 and isinstance(head.hash, bytes) and len(head.hash) == 32
        for head in heads
    )


def _horizons(old: Database) -> dict[str, int]:
    try:
        return {str(cls): before_us for cls, before_us in erasure_horizons(old).items()}
    except (DatabaseError, TypeError, ValueError):
        return {}


def _carry_chain(old: Database, new: Database, row: ChainRow, horizons: dict[str, int]) -> tuple[int, Head, list[Hole]]:
    needles = Needles(row.incarnation, row.kiosk_id, row.stream)
    holes: list[Hole] = []
    good: Head = row.base
    bridge: Head | None = row.base
    count = 0
    for chunk in _readable(old, row):
        payloads = _Payloads(old, row, chunk[0].seq, chunk[-1].seq)
        for stored in chunk:
            # The hash before this record: of the last good one, or what the bad one just before claims to be.
            before = bridge if bridge is not None and bridge.seq == stored.seq - 1 else None
            if before is not None and stored.follows(before.hash, needles):
                if before.seq > good.seq:
                    holes.append(Hole(row.incarnation, row.stream, good.seq + 1, before.seq))
                    new.run(INSERT_RECORD, (row_key(row.number, row.stream, before.seq), b"", b"", before.hash))
                key = row_key(row.number, row.stream, stored.seq)
                new.run(INSERT_RECORD, (key, *stored[1:]))
                for cls, payload in payloads.to_keep(stored, horizons):
                    new.run(INSERT_PAYLOAD[cls], (key, *payload))
                good = bridge = Head(stored.seq, stored.hash)
                count += 1
            else:
                bridge = stored.claim()
    last = min(row.head.seq, MAX_SAFE_INTEGER)
    if last > good.seq:
        holes.append(Hole(row.incarnation, row.stream, good.seq + 1, last))
    new.run(INSERT_CHAIN, (row.number, STREAM_NUMBER[row.stream], good.seq, good.hash, row.base.seq, row.base.hash))
    return count, good, holes


class _Stored(NamedTuple):
    """A row of ``journal_record`` as read from a file that may be damaged: any value may be of any type."""

    seq: int
    header: bytes
    digests: bytes
    hash: bytes

    def follows(self, prev: bytes, needles: Needles) -> bool:
        """Whether this row is a whole record that comes after ``prev``."""
        if not isinstance(self.header, bytes) or not isinstance(self.digests, bytes):
            return False
        if hashlib.sha256(prev + self.header + self.digests).digest() != self.hash:
            return False
        try:
            return not needles.misplaced(self.header, self.seq) and len(self.digests) == 32 * len(
                classes_of(self.header)
            )
        except ValueError:
            return False

    def claim(self) -> Head | None:
        """The head that this row claims to be, which only a next record can prove."""
        return Head(self.seq, self.hash) if isinstance(self.hash, bytes) and len(self.hash) == 32 else None


class _Payloads:
    """The stored payloads of a run of records: read at once, or one by one where a page cannot be read."""

    def __init__(self, old: Database, row: ChainRow, first: int, last: int) -> None:
        self._old = old
        self._row = row
        self._at_once: PayloadRows | None = None
        try:
            self._at_once = payload_rows(old, row.number, row.stream, first, last)
        except (DatabaseError, TypeError, ValueError):
            self._at_once = None

    def _of(self, cls: PayloadClass, seq: int) -> tuple[bytes | None, bytes | None] | None:
        """Salt and body as stored, or None where there is no row that can be read."""
        rows = self._at_once
        if rows is None:
            try:
                rows = payload_rows(self._old, self._row.number, self._row.stream, seq, seq, classes=(cls,))
            except (DatabaseError, TypeError, ValueError):
                return None
        found = rows[cls].get(seq)
        return found[1:] if found else None

    def to_keep(
        self, stored: _Stored, horizons: dict[str, int]
    ) -> Iterator[tuple[PayloadClass, tuple[int, bytes | None, bytes | None]]]:
        """The payload rows of a sound record for the new file.

        One that was destroyed (not erased by retention) gets a row without salt and body: only the digest is left.
        """
        at_us = at_us_of(stored.header)
        for index, cls in enumerate(classes_of(stored.header)):
            salt, body = self._of(cls, stored.seq) or (None, None)
            digest = stored.digests[index * 32 : index * 32 + 32]
            if isinstance(salt, bytes) and isinstance(body, bytes) and hashlib.sha256(salt + body).digest() == digest:
                yield cls, (at_us, salt, body)
            elif at_us >= horizons.get(str(cls), -(2**63)):
                yield cls, (at_us, None, None)


def _readable(old: Database, row: ChainRow) -> Iterator[list[_Stored]]:
    # Reads in large steps; where a page cannot be read, one record at a time, and past those that cannot.
    after, step, failures = row.base.seq, 1000, 0
    while failures < MAX_UNREADABLE:
        try:
            rows = old.rows(RECORDS_AFTER, rows_after(row.number, row.stream, after, step))
        except DatabaseError:
            if step == 1:
                after += 1
                failures += 1
            step = 1
            continue
        chunk = [
            _Stored(seq, header, digests, digest)
            for seq, header, digests, digest in rows
            if isinstance(seq, int) and after < seq <= MAX_SAFE_INTEGER
        ]
        if not chunk:
            return
        yield chunk
        after, step = chunk[-1].seq, min(step * 2, 1000)
