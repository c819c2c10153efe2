"""What the tests of sync share: chains of records in memory, and a central reached without a network."""

from __future__ import annotations

import sqlite3
from functools import cache
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import insert, select

from kiosk.clock import Instant
from kiosk.journal_types import Head, JournalError, Slice, StreamKey
from kiosk.records import Kind, Payload, PayloadClass, Record, Stream, canonical
from sync import keys
from sync.batch import build
from sync.batch_header import BatchHeader, head_statement
from sync.central.checks import SignedBody
from sync.central.ingest import Ingest
from sync.central.store import Store
from sync.central.tables import Kiosk, StoredRecord, table
from sync.compression import compress
from sync.errors import WireError
from sync.uplink import BATCHES_PATH, Reply, SignedRequest
from tests.fakes import MORNING_US

KIOSK = "gate-east"
INCARNATION = "0123456789abcdef0123456789abcdef"
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
BOOT = "00000000-0000-4000-8000-000000000001"

PASSAGE_FACTS: dict[str, Any] = {
    "admit": True,
    "category": "resident",
    "checks": [
        {"by": "", "name": "pass", "reason": "", "state": "pass"},
        {"by": "policy clear", "name": "temperature", "reason": "", "state": "waived"},
    ],
    "credential": "uid",
    "credential_to_verdict_ms": 812,
    "direction": "in",
    "policy": "clear-3",
    "reasons": ["admitted_with_waiver"],
}


def make_record(
    seq: int,
    *,
    stream: Stream = Stream.PASSAGE,
    incarnation: str = INCARNATION,
    kiosk_id: str = KIOSK,
    kind: Kind = Kind.PASSAGE,
    facts: dict[str, Any] | None = None,
    ref: str = "",
) -> Record:
    """An ordinary record; its salt is made of its seq, so that tests repeat."""
    body = {**PASSAGE_FACTS, "passage": ref or f"p{seq}"} if facts is None else facts
    return Record(
        kiosk_id=kiosk_id,
        incarnation=incarnation,
        stream=stream,
        seq=seq,
        kind=kind,
        at_us=MORNING_US + seq * 1_000_000,
        clock_trust="synced",
        boot_id=BOOT,
        mono_ns=seq * 1_000_000_000,
        lane="in",
        ref=ref or f"p{seq}",
        payloads={PayloadClass.FACTS: Payload.of(seq.to_bytes(16, "big"), body)},
    )


class ChainJournal:
    """A journal in memory with the promises of ``kiosk.journal.JournalReader``; it can be backed up and restored."""

    def __init__(self, kiosk_id: str = KIOSK, incarnation: str = INCARNATION) -> None:
        self.kiosk_id = kiosk_id
        self.incarnation = incarnation
        self.chains: dict[StreamKey, list[tuple[Record, bytes]]] = {}
        self.bases: dict[StreamKey, Head] = {}

    def append(self, stream: Stream, **fields: Any) -> Record:
        """One more record of the current incarnation."""
        key = (self.incarnation, stream)
        head = self.head(key)
        record = make_record(
            head.seq + 1, stream=stream, incarnation=self.incarnation, kiosk_id=self.kiosk_id, **fields
        )
        self.chains.setdefault(key, []).append((record, record.hash(head.hash)))
        return record

    def head(self, key: StreamKey) -> Head:
        """Where a chain stands."""
        chain = self.chains.get(key, [])
        return Head(chain[-1][0].seq, chain[-1][1]) if chain else self.bases.get(key, Head())

    def positions(self) -> dict[StreamKey, Head]:
        """Every chain's head."""
        return {key: self.head(key) for key in self.chains.keys() | self.bases.keys()}

    def slice(self, incarnation: str, stream: Stream, after_seq: int, *, max_records: int, max_bytes: int) -> Slice:
        """Consecutive records after ``after_seq``."""
        key = (incarnation, stream)
        base, head = self.bases.get(key, Head()), self.head(key)
        if after_seq > head.seq:
            raise JournalError("journal", seen=f"head at {head.seq}", expected=f"at least {after_seq}")
        after = max(after_seq, base.seq)
        chain = self.chains.get(key, [])
        start = after - base.seq
        part = chain[start : start + max_records]
        size, count = 0, 0
        for record, _ in part:
            size += len(canonical(record.header())) + 400
            if count and size > max_bytes:
                break
            count += 1
        prev = chain[start - 1][1] if start else base.hash
        return Slice(tuple(r for r, _ in part[:count]), prev, part[count - 1][1] if count else prev)

    def purge(self, key: StreamKey, up_to: int) -> None:
        """Drop records up to and with ``up_to``."""
        base = self.bases.get(key, Head())
        chain = self.chains[key]
        count = max(0, up_to - base.seq)
        if count:
            self.bases[key] = Head(chain[count - 1][0].seq, chain[count - 1][1])
            del chain[:count]

    def backup(self) -> Any:
        """The state, to be restored later."""
        return self.incarnation, {key: list(chain) for key, chain in self.chains.items()}, dict(self.bases)

    def restore(self, backup: Any) -> None:
        """Go back to an earlier state."""
        self.incarnation = backup[0]
        self.chains = {key: list(chain) for key, chain in backup[1].items()}
        self.bases = dict(backup[2])


def header_of(part: Slice, *, gap_first: int | None = None, **changes: Any) -> BatchHeader:
    """The header of a batch that carries ``part``."""
    first = part.records[0]
    fields: dict[str, Any] = {
        "kiosk_id": first.kiosk_id,
        "incarnation": first.incarnation,
        "stream": first.stream,
        "first": first.seq,
        "last": part.records[-1].seq,
        "prev_head": part.prev_head,
        "last_head": part.last_head,
        "wall_us": MORNING_US + 3_600_000_000,
        "mono_ns": 3_600_000_000_000,
        "boot_id": BOOT,
        "clock_trust": "synced",
        "software": "gatepost test",
        "backlog": len(part.records),
        "oldest_us": first.at_us,
        "gap_first": gap_first,
        "held": {"policy": "3", "roster": "17"},
    }
    return BatchHeader(**{**fields, **changes})


def sign_batch(
    header: BatchHeader, body: bytes, *, encoding: str = "zstd", key: Ed25519PrivateKey = KEY, request: str = "r1"
) -> SignedRequest:
    """A batch body, compressed and signed as the agent does it."""
    packed = compress(body, encoding)
    return SignedRequest(
        path=BATCHES_PATH,
        kiosk_id=header.kiosk_id,
        request=request,
        body=packed,
        signature=keys.sign(key, keys.BATCH_CONTEXT, packed),
        encoding=encoding,
        head_signature=keys.sign(key, keys.HEAD_CONTEXT, head_statement(header)),
    )


def batch_of(journal: ChainJournal, stream: Stream, first: int, last: int, **changes: Any) -> SignedRequest:
    """Records ``first`` to ``last`` of the journal's incarnation as a signed batch."""
    part = journal.slice(journal.incarnation, stream, first - 1, max_records=last - first + 1, max_bytes=2**30)
    header = header_of(part, **changes)
    return sign_batch(header, build(header, part.records))


def empty_store() -> Store:
    """A new store in memory, as a copy of one that was made once: making one takes longer than most schedules."""
    store = Store.as_it_stands("sqlite://")
    with store.reading() as connection:
        raw: sqlite3.Connection = connection.connection.driver_connection  # type: ignore[assignment]
        connection.rollback()
        raw.deserialize(_new_store())
    return store


@cache
def _new_store() -> bytes:
    with Store("sqlite://").reading() as connection:
        raw: sqlite3.Connection = connection.connection.driver_connection  # type: ignore[assignment]
        connection.rollback()
        return raw.serialize()


class MemoryCentral:
    """The real ingest over SQLite in memory, reached by a call; it can be backed up and restored."""

    def __init__(self, now: Any, *, store: Store | None = None) -> None:
        self._now = now
        self.store = store or empty_store()
        self.ingest = Ingest(self.store, now_us=self._now_us)
        if store is None:
            self.admit(KIOSK)

    def _now_us(self) -> int:
        instant: Instant = self._now()
        return instant.at_us

    def admit(self, kiosk_id: str, key: Ed25519PrivateKey = KEY, state: str = "approved") -> None:
        """Enrol a kiosk without ceremony."""
        public_key = keys.public_bytes(key)
        with self.store.writing() as connection:
            connection.execute(
                insert(table(Kiosk)).values(
                    kiosk_id=kiosk_id,
                    public_key=public_key,
                    fingerprint=keys.fingerprint(public_key),
                    state=state,
                    enrolled_us=self._now_us(),
                    decided_by="test",
                    heartbeat_boot_id="",
                    heartbeat_mono_ns=0,
                    clock_trust="",
                    backlog=0,
                    software="",
                    held="{}",
                    alarms="",
                )
            )

    def exchange(self, request: SignedRequest) -> Reply:
        """What the HTTP application does with a request, without HTTP."""
        signed = SignedBody(
            kiosk_id=request.kiosk_id,
            request=request.request,
            body=request.body,
            signature=request.signature,
            encoding=request.encoding,
            head_signature=request.head_signature,
        )
        try:
            if request.path == BATCHES_PATH:
                checked = self.ingest.checks.batch(signed)
                with self.store.writing() as connection:
                    answer = self.ingest.store_batch(connection, checked)
            else:
                heartbeat = self.ingest.checks.heartbeat(signed)
                with self.store.writing() as connection:
                    answer = self.ingest.note_heartbeat(connection, signed, heartbeat)
        except WireError as error:
            return Reply(status=error.status, body=str(error).encode())
        status = 409 if answer.result is not None and answer.result in ("gap", "fork") else 200
        return Reply(status=status, body=canonical(answer.to_wire()))

    def rows(self, model: Any) -> list[Any]:
        """Every row of a table."""
        with self.store.reading() as connection:
            return list(connection.execute(select(table(model))).all())

    def stored(self) -> list[tuple[str, str, int]]:
        """Identities of the stored records in the order of their numbers."""
        return [
            (row.incarnation, row.stream, row.seq)
            for row in sorted(self.rows(StoredRecord), key=lambda row: row.receive_id)
        ]

    def backup(self) -> bytes:
        """The whole database."""
        with self.store.reading() as connection:
            raw: sqlite3.Connection = connection.connection.driver_connection  # type: ignore[assignment]
            connection.rollback()
            return raw.serialize()

    def restore(self, backup: bytes) -> None:
        """Go back to an earlier state of the whole database."""
        with self.store.reading() as connection:
            raw: sqlite3.Connection = connection.connection.driver_connection  # type: ignore[assignment]
            connection.rollback()
            raw.deserialize(backup)
