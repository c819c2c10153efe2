"""Walks the chains of a journal and names the first bad record of each.

The walk works on the stored canonical bytes, never building a record, because it must keep up with a month of
records at every start. What it proves of each record: its hash follows from the hash before it, its header and its
digests; its header names the very kiosk, incarnation, stream and sequence number under which it is stored; each
payload still there matches its digest; each payload gone was older than what retention erased. What it proves of
each chain: no sequence number is missing and the head is the last record's hash. A file that was rolled back as a
whole is found only against what somebody else knows (``known``: the central's acknowledgements).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from kiosk.database import Database, DatabaseError, Failure, OpenDatabase, SqliteDatabase
from kiosk.journal_tables import (
    CHAINS,
    PAYLOADS_BETWEEN,
    RECORD_HASH,
    RECORDS_AFTER,
    SEQ_MASK,
    STREAM_OF_NUMBER,
    row_key,
    rows_after,
)
from kiosk.journal_types import Acknowledged, BadRecord, ChainReport, Head, JournalError, VerifyReport
from kiosk.records import PayloadClass, Stream, canonical

CHUNK_RECORDS = 4000
_NEVER = -(2**63)

_sha256 = hashlib.sha256


@dataclass(frozen=True, slots=True)
class ChainRow:
    """A row of ``journal_chain`` with its incarnation."""

    number: int
    incarnation: str
    kiosk_id: str
    stream: Stream
    head: Head
    base: Head


def chain_rows(database: Database) -> list[ChainRow]:
    """Every chain of the file, oldest incarnation first. Raises DatabaseError."""
    return [
        ChainRow(number, incarnation, kiosk_id, STREAM_OF_NUMBER[stream], Head(last, head), Head(base, base_head))
        for number, incarnation, kiosk_id, stream, last, head, base, base_head in database.rows(CHAINS)
    ]


def erasure_horizons(database: Database) -> dict[PayloadClass, int]:
    """Up to when (UTC microseconds) payloads of each class were erased."""
    rows = database.rows("SELECT payload_class, before_us FROM journal_erasure")
    return {PayloadClass(name): before_us for name, before_us in rows}


def verify(
    path: Path, *, known: Iterable[Acknowledged] = (), open_database: OpenDatabase = SqliteDatabase
) -> VerifyReport:
    """Walk every chain of the journal at ``path``, also while another process writes it.

    ``known`` are positions that somebody else vouches for. Damage ends in the report, never in an exception;
    raises JournalError when the file cannot be opened for another reason.
    """
    if not path.exists():
        raise JournalError(str(path), failure=Failure.NOT_OPENED, seen="no such file", expected="a journal")
    database = None
    try:
        database = open_database(path, read_only=True)
        database.run("BEGIN")
        return verify_database(database, known=known)
    except DatabaseError as error:
        if error.failure.means_damage:
            return VerifyReport((), (BadRecord("", None, 0, str(error)),))
        raise JournalError(
            error.thing, failure=error.failure, seen=error.seen, expected=error.expected, hint=error.hint
        ) from error
    finally:
        if database is not None:
            database.rollback()
            database.close()


def verify_database(
    database: Database, *, known: Iterable[Acknowledged] = (), newest: int | None = None
) -> VerifyReport:
    """As :func:`verify`, on an open connection; with ``newest`` only so many records at the end of each chain.

    Raises DatabaseError where the file cannot be read.
    """
    reports: list[ChainReport] = []
    bads: list[BadRecord] = []
    marks = list(known)
    try:
        horizons = erasure_horizons(database)
        rows = chain_rows(database)
        for row in rows:
            report, bad = walk_chain(database, _end_of(database, row, newest), horizons)
            reports.append(report)
            bad = bad or _against_known(database, row, marks)
            if bad is not None:
                bads.append(bad)
        strays = _records_without_chain(database, rows)
    except (TypeError, ValueError, KeyError) as error:
        # A damaged cell can hand back a value of another type than was written.
        return VerifyReport(tuple(reports), (BadRecord("", None, 0, f"a row of the file's own is damaged: {error!r}"),))
    streams: dict[str, set[Stream]] = {}
    for row in rows:
        streams.setdefault(row.incarnation, set()).add(row.stream)
    for incarnation, seen in streams.items():
        bads += [BadRecord(incarnation, stream, 0, "its chain is missing") for stream in Stream if stream not in seen]
    if not rows:
        bads.append(BadRecord("", None, 0, "no incarnation was ever begun"))
    if strays:
        bads.append(BadRecord("", None, 0, "there are records that belong to no chain"))
    return VerifyReport(tuple(reports), tuple(bads))


def contradicted(database: Database, known: Iterable[Acknowledged]) -> bool:
    """Whether somebody vouches for a position that this journal does not hold. Raises DatabaseError."""
    marks = list(known)
    return any(_against_known(database, row, marks) is not None for row in chain_rows(database))


def _end_of(database: Database, row: ChainRow, newest: int | None) -> ChainRow:
    """The chain as if everything before its newest records had been purged."""
    if newest is None or row.head.seq - row.base.seq <= newest:
        return row
    seq = row.head.seq - newest
    found = database.rows(RECORD_HASH, (row_key(row.number, row.stream, seq),))
    # Where that very record is missing the whole chain is walked, and the walk says why.
    return replace(row, base=Head(seq, found[0][0])) if found else row


def _records_without_chain(database: Database, rows: list[ChainRow]) -> bool:
    edge = -(2**63)
    spans = sorted((row_key(r.number, r.stream, 0), row_key(r.number, r.stream, SEQ_MASK)) for r in rows)
    for begin, end in [*spans, (2**63 - 1, 2**63 - 1)]:
        if database.rows("SELECT 1 FROM journal_record WHERE id >= ? AND id <= ? LIMIT 1", (edge, begin)):
            return True
        edge = end + 1
    return False


def _against_known(database: Database, row: ChainRow, known: list[Acknowledged]) -> BadRecord | None:
    for mark in known:
        if (mark.incarnation, mark.stream) != (row.incarnation, row.stream):
            continue
        if mark.seq > row.head.seq:
            what = f"ends at {row.head.seq}, but {mark.seq} was acknowledged: the journal went back"
            return BadRecord(row.incarnation, row.stream, row.head.seq, what)
        if row.base.seq < mark.seq:
            found = database.rows(RECORD_HASH, (row_key(row.number, row.stream, mark.seq),))
            if not found or found[0][0] != mark.hash:
                return BadRecord(row.incarnation, row.stream, mark.seq, "not the record that was acknowledged")
    return None


class Needles:
    """Byte strings that a stored header must hold, made once a chain.

    They cannot hide inside a string value: there every quotation mark stands behind a backslash.
    """

    def __init__(self, incarnation: str, kiosk_id: str, stream: Stream) -> None:
        self.incarnation = b'","incarnation":' + canonical(incarnation) + b',"kind":"'
        self.kiosk = b'","kiosk_id":' + canonical(kiosk_id) + b',"lane":"'
        self.tail = b'","seq":%d,"stream":' + canonical(str(stream)) + b',"v":1}'

    def misplaced(self, header: bytes, seq: int) -> str:
        """What the header names differently from the place where it is stored; "" when nothing."""
        if not header.endswith(self.tail % seq):
            return "its header names another sequence number or stream"
        if self.incarnation not in header or self.kiosk not in header:
            return "its header names another incarnation or kiosk"
        return ""


def classes_of(header: bytes) -> tuple[PayloadClass, ...]:
    """The payload classes that a canonical header lists; raises ValueError for an unknown one."""
    start = header.rindex(b',"payloads":[') + 13
    return _classes(header[start : header.index(b"]", start)])


_CLASSES: dict[bytes, tuple[PayloadClass, ...]] = {}


def _classes(listed: bytes) -> tuple[PayloadClass, ...]:
    known = _CLASSES.get(listed)
    if known is None:
        known = tuple(PayloadClass(name.strip(b'"').decode("ascii")) for name in listed.split(b",") if name)
        _CLASSES[listed] = known
    return known


PayloadRows = dict[PayloadClass, dict[int, tuple[int, bytes | None, bytes | None]]]


def payload_rows(
    database: Database,
    number: int,
    stream: Stream,
    first: int,
    last: int,
    *,
    classes: Iterable[PayloadClass] = tuple(PayloadClass),
) -> PayloadRows:
    """The stored payloads of ``first`` to ``last`` as ``{class: {seq: (at_us, salt, body)}}``."""
    parameters = (row_key(number, stream, first), row_key(number, stream, last))
    return {
        cls: {seq: (at_us, salt, body) for seq, at_us, salt, body in database.rows(PAYLOADS_BETWEEN[cls], parameters)}
        for cls in classes
    }


def walk_chain(
    database: Database, row: ChainRow, horizons: Mapping[PayloadClass, int]
) -> tuple[ChainReport, BadRecord | None]:
    """Walk one chain up to its first bad record. Raises DatabaseError."""
    try:
        return _walk(database, row, horizons)
    except (TypeError, ValueError, KeyError, IndexError) as error:
        # A damaged cell can hand back a value of another type than was written.
        report = ChainReport(row.incarnation, row.stream, row.base.seq + 1, row.base.seq, 0, 0, 0, row.base.hash)
        return report, BadRecord(row.incarnation, row.stream, row.base.seq + 1, f"cannot be walked: {error!r}")


def _walk(
    database: Database, row: ChainRow, horizons: Mapping[PayloadClass, int]
) -> tuple[ChainReport, BadRecord | None]:
    needles = Needles(row.incarnation, row.kiosk_id, row.stream)
    seq, prev = row.base.seq, row.base.hash
    first = records = erased = lost = bad_seq = 0
    what = ""
    while not what:
        rows = database.rows(RECORDS_AFTER, rows_after(row.number, row.stream, seq, CHUNK_RECORDS))
        if not rows:
            break
        stored = payload_rows(database, row.number, row.stream, seq + 1, rows[-1][0])
        payloads = _PayloadCheck(stored, horizons)
        for at, header, digests, digest in rows:
            bad_seq = at
            if not header and at > seq:
                # A hole that a salvage left, declared by a gap record: the chain goes on from its hash.
                lost += at - seq
                seq, prev = at, digest
                continue
            if at != seq + 1:
                bad_seq, what = seq + 1, "missing"
                break
            if _sha256(prev + header + digests).digest() != digest:
                what = "its hash does not follow from the record before it and its own content"
                break
            what = needles.misplaced(header, at) or payloads.fault(at, header, digests)
            if what:
                break
            first = first or at
            records += 1
            seq, prev = at, digest
        erased += payloads.erased
        lost += payloads.lost
        if not what and payloads.unclaimed():
            bad_seq = rows[0][0]
            what = f"{payloads.unclaimed()} payloads between here and {rows[-1][0]} belong to no record"
    if not what and (seq, prev) != (row.head.seq, row.head.hash):
        bad_seq, what = min(seq, row.head.seq) + 1, f"the chain's head is at {row.head.seq}, its last record at {seq}"
    report = ChainReport(row.incarnation, row.stream, first or row.base.seq + 1, seq, records, erased, lost, prev)
    return report, BadRecord(row.incarnation, row.stream, bad_seq, what) if what else None


class _PayloadCheck:
    """Checks the payloads of a run of records against their digests, and counts.

    This and the loop above are the walk's inner part: no enum is hashed here (that alone would cost a third).
    """

    def __init__(self, stored: PayloadRows, horizons: Mapping[PayloadClass, int]) -> None:
        self._tables = {
            str(cls).encode(): (str(cls), table, horizons.get(cls, _NEVER)) for cls, table in stored.items()
        }
        self._listed: dict[bytes, list[tuple[str, dict[int, tuple[int, bytes | None, bytes | None]], int]]] = {}
        self._total = sum(map(len, stored.values()))
        self._found = 0
        self.erased = 0
        self.lost = 0

    def unclaimed(self) -> int:
        """How many stored payloads belonged to no record of the run."""
        return self._total - self._found

    def fault(self, seq: int, header: bytes, digests: bytes) -> str:
        """What is wrong with the payloads of one record; "" when nothing. Raises ValueError for a strange header."""
        begin = header.rindex(b',"payloads":[') + 13
        listed = header[begin : header.index(b"]", begin)]
        classes = self._listed.get(listed)
        if classes is None:
            names = [name.strip(b'"') for name in listed.split(b",") if name]
            classes = self._listed[listed] = [self._tables[name] for name in names]
        if len(digests) != 32 * len(classes):
            return "its digests are not as many as its payloads"
        filed_us = int(header[9 : header.index(b",")])
        start = 0
        for name, table, horizon_us in classes:
            payload = table.get(seq)
            if payload is None:
                self.erased += 1
                if filed_us >= horizon_us:
                    return f"its {name} payload is missing without having been erased by retention"
            else:
                self._found += 1
                at_us, salt, body = payload
                if salt is None or body is None:
                    self.lost += 1
                elif _sha256(salt + body).digest() != digests[start : start + 32]:
                    return f"its {name} payload does not match its digest"
                if at_us != filed_us:
                    return f"its {name} payload is filed under another time"
            start += 32
        return ""


def at_us_of(header: bytes) -> int:
    """The ``at_us`` of a canonical header, of which it is the first member."""
    return int(header[9 : header.index(b",")])
