"""Reads a journal that another process writes: positions and slices for the sync process.

The connection is read-only. It survives the writer's death at any moment, and notices when the file at the path was
replaced (a damaged one is set aside whole) and opens the new one.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from kiosk.database import Database, DatabaseError, Failure, OpenDatabase, SqliteDatabase
from kiosk.journal_tables import RECORD_HASH, RECORDS_AFTER, row_key, rows_after
from kiosk.journal_types import Head, JournalError, Slice, StreamKey
from kiosk.journal_verify import ChainRow, chain_rows, payload_rows
from kiosk.records import Kind, Payload, PayloadClass, Record, Stream

MAX_SLICE_RECORDS = 500
MAX_SLICE_BYTES = 256 * 1024
TOLD_STEP = 2_000
_TOLD_CLASSES = (PayloadClass.FACTS, PayloadClass.PERSON)


class JournalReader:
    """A reading view of the journal at ``path``. Thread-safe; opens the file when it is first asked something."""

    def __init__(self, path: Path | str, *, open_database: OpenDatabase = SqliteDatabase) -> None:
        self._path = Path(path)
        self._open_database = open_database
        self._lock = threading.Lock()
        self._database: Database | None = None
        self._file_id: tuple[int, int] | None = None

    def positions(self) -> dict[StreamKey, Head]:
        """Where every chain of the file stands, by ``(incarnation, stream)``; older incarnations first.

        Raises JournalError when there is no journal yet or it cannot be read now.
        """
        with self._reading() as database:
            return {(row.incarnation, row.stream): row.head for row in chain_rows(database)}

    def bases(self) -> dict[StreamKey, Head]:
        """The last purged record of every chain (``Head(0)`` where nothing was purged)."""
        with self._reading() as database:
            return {(row.incarnation, row.stream): row.base for row in chain_rows(database)}

    def slice(
        self,
        incarnation: str,
        stream: Stream,
        after_seq: int,
        *,
        max_records: int = MAX_SLICE_RECORDS,
        max_bytes: int = MAX_SLICE_BYTES,
    ) -> Slice:
        """The records that follow ``after_seq``, in order, as many as fit: one at least, where there is one.

        ``max_bytes`` bounds the canonical bytes of headers and payloads, about what the records take on the wire
        before compression. Each record's hash is checked on the way. Raises JournalError for an unknown chain, for
        an ``after_seq`` beyond its head (the journal went back) and for a record that does not check.
        """
        with self._reading() as database:
            row = self._chain(database, incarnation, stream)
            if after_seq > row.head.seq:
                raise JournalError(
                    f"{self._path}: {stream} of {incarnation}",
                    seen=f"head at {row.head.seq}",
                    expected=f"at least {after_seq}, which was already sent: the journal went back",
                    hint="gatepost journal verify",
                )
            return self._slice(database, row, max(after_seq, row.base.seq), max_records, max_bytes)

    def all_told(self, stream: Stream, kinds: Collection[Kind], *, holding: bytes = b"") -> Iterator[Record]:
        """What :meth:`told` gives of every incarnation's stream, oldest first."""
        bases = self.bases()
        for (incarnation, found), head in self.positions().items():
            if found is not stream:
                continue
            for after in range(bases[incarnation, stream].seq, head.seq, TOLD_STEP):
                up_to = min(head.seq, after + TOLD_STEP)
                yield from self.told(incarnation, stream, kinds, after_seq=after, up_to_seq=up_to, holding=holding)

    def told(
        self,
        incarnation: str,
        stream: Stream,
        kinds: Collection[Kind],
        *,
        after_seq: int,
        up_to_seq: int,
        holding: bytes = b"",
    ) -> list[Record]:
        """The records of these kinds beyond ``after_seq`` up to ``up_to_seq``, in order, for the kiosk's own use.

        Quicker than :meth:`slice`: payloads of class health stay behind as digests, and the chain is not walked (the
        daily audit does that). With ``holding``, only those whose facts are there and hold these canonical bytes.
        Raises JournalError for an unknown chain and for a record that cannot be read.
        """
        wanted = tuple(f'"kind":"{kind}"'.encode() for kind in kinds)
        with self._reading() as database:
            row = self._chain(database, incarnation, stream)
            after = max(after_seq, row.base.seq)
            if up_to_seq <= after:
                return []
            rows = database.rows(RECORDS_AFTER, rows_after(row.number, row.stream, after, up_to_seq - after))
            rows = [each for each in rows if each[0] <= up_to_seq and any(kind in each[1] for kind in wanted)]
            if not rows:
                return []
            payloads = payload_rows(database, row.number, row.stream, rows[0][0], rows[-1][0], classes=_TOLD_CLASSES)
            facts = payloads[PayloadClass.FACTS]
            return [
                record_of(header, digests, {cls: found[seq] for cls, found in payloads.items() if seq in found})
                for seq, header, digests, _ in rows
                if not holding or holding in (facts[seq][2] or b"" if seq in facts else b"")
            ]

    def close(self) -> None:
        """Let go of the file; the next question opens it again."""
        with self._lock:
            self._close()

    def _slice(self, database: Database, row: ChainRow, after: int, max_records: int, max_bytes: int) -> Slice:
        prev = row.base.hash if after == row.base.seq else self._hash_at(database, row, after)
        rows = database.rows(RECORDS_AFTER, rows_after(row.number, row.stream, after, max(1, max_records)))
        if rows and not rows[0][1]:
            # A hole that a salvage left: begin behind it.
            return self._slice(database, row, rows[0][0], max_records, max_bytes)
        payloads = payload_rows(database, row.number, row.stream, after + 1, rows[-1][0]) if rows else {}
        records: list[Record] = []
        size = 0
        head = prev
        for seq, header, digests, digest in rows:
            stored = {cls: found[seq] for cls, found in payloads.items() if seq in found}
            size += len(header) + sum(len(body or b"") + 64 for _, _, body in stored.values())
            if records and (size > max_bytes or not header):
                break
            if hashlib.sha256(head + header + digests).digest() != digest or seq != after + len(records) + 1:
                raise JournalError(
                    f"{self._path}: {row.stream} record {seq} of {row.incarnation}",
                    failure=Failure.DAMAGED,
                    seen="a hash that does not follow from the record before it",
                    hint="restart gatepost: a damaged file is set aside and a new one begun",
                )
            records.append(record_of(header, digests, stored))
            head = digest
        return Slice(tuple(records), prev, head)

    def _hash_at(self, database: Database, row: ChainRow, seq: int) -> bytes:
        found = database.rows(RECORD_HASH, (row_key(row.number, row.stream, seq),))
        if not found:
            raise JournalError(
                f"{self._path}: {row.stream} record {seq} of {row.incarnation}",
                failure=Failure.DAMAGED,
                seen="no such record",
                expected=f"records {row.base.seq + 1} to {row.head.seq}",
                hint="gatepost journal verify",
            )
        digest: bytes = found[0][0]
        return digest

    def _chain(self, database: Database, incarnation: str, stream: Stream) -> ChainRow:
        for row in chain_rows(database):
            if (row.incarnation, row.stream) == (incarnation, stream):
                return row
        raise JournalError(
            f"{self._path}: {stream} of {incarnation}", seen="no such chain", hint="ask positions() again"
        )

    @contextmanager
    def _reading(self) -> Iterator[Database]:
        with self._lock:
            try:
                database = self._current()
                database.run("BEGIN")
                try:
                    yield database
                finally:
                    database.rollback()
            except DatabaseError as error:
                self._close()
                raise JournalError(
                    error.thing, failure=error.failure, seen=error.seen, expected=error.expected, hint=error.hint
                ) from error
            except (TypeError, ValueError, KeyError) as error:
                self._close()
                raise JournalError(str(self._path), failure=Failure.DAMAGED, seen=repr(error)) from error

    def _current(self) -> Database:
        try:
            stat = os.stat(self._path)
        except OSError as error:
            self._close()
            raise JournalError(
                str(self._path),
                failure=Failure.NOT_OPENED,
                seen=error.strerror or str(error),
                hint="gatepost makes it when it first runs",
            ) from error
        file_id = (stat.st_dev, stat.st_ino)
        if self._database is not None and file_id != self._file_id:
            self._close()
        if self._database is None:
            self._database = self._open_database(self._path, read_only=True)
            self._file_id = file_id
        return self._database

    def _close(self) -> None:
        database, self._database = self._database, None
        if database is not None:
            try:
                database.close()
            except DatabaseError:
                return


def record_of(
    header: bytes, digests: bytes, stored: dict[PayloadClass, tuple[int, bytes | None, bytes | None]]
) -> Record:
    """The record of its stored bytes; payloads that are not there any more keep their digest alone."""
    fields = json.loads(header)
    payloads: dict[PayloadClass, Payload] = {}
    for index, name in enumerate(fields["payloads"]):
        cls = PayloadClass(name)
        digest = digests[index * 32 : index * 32 + 32]
        _, salt, body = stored.get(cls, (0, None, None))
        if salt is None or body is None:
            payloads[cls] = Payload(digest=digest)
        else:
            payloads[cls] = Payload(digest=digest, salt=salt, body=json.loads(body))
    return Record(
        kiosk_id=fields["kiosk_id"],
        incarnation=fields["incarnation"],
        stream=Stream(fields["stream"]),
        seq=fields["seq"],
        kind=Kind(fields["kind"]),
        at_us=fields["at_us"],
        clock_trust=fields["clock_trust"],
        boot_id=fields["boot_id"],
        mono_ns=fields["mono_ns"],
        lane=fields["lane"],
        ref=fields["ref"],
        payloads=payloads,
    )
