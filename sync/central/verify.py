"""Walks every chain again from what is stored: headers, digests, payloads, order, and the kiosks' signed heads."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

from kiosk.records import FORMAT_VERSION, ZERO_HASH, Stream, canonical
from sync import keys
from sync.batch_header import BatchHeader, head_statement
from sync.central.store import Store
from sync.central.tables import Batch, Gap, Kiosk, Ledger, Quarantined, StoredPayload, StoredRecord, table

ledger, records, payloads = table(Ledger), table(StoredRecord), table(StoredPayload)
quarantine, gaps, batches, kiosks = table(Quarantined), table(Gap), table(Batch), table(Kiosk)
PAGE_ROWS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The first thing wrong with one chain (``seq`` is where), or a signed head that does not fit."""

    kiosk_id: str
    incarnation: str
    stream: str
    seq: int
    what: str


@dataclass(slots=True, kw_only=True)
class CentralReport:
    """``findings`` is empty when every chain holds; ``heads_proved`` counts signatures of kiosks that fit."""

    chains: int
    records: int
    heads_proved: int
    gone: int
    findings: list[Finding]

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong anywhere."""
        return not self.findings


def verify_store(store: Store) -> CentralReport:
    """Check everything; reads in one consistent state, writes nothing."""
    report = CentralReport(chains=0, records=0, heads_proved=0, gone=0, findings=[])
    with store.reading() as connection:
        public_keys = {
            row.fingerprint: bytes(row.public_key)
            for row in connection.execute(select(kiosks.c.fingerprint, kiosks.c.public_key))
        }
        for chain in connection.execute(select(ledger)).all():
            report.chains += 1
            hashes = _verify_chain(connection, chain, report)
            _verify_heads(connection, chain, hashes, public_keys, report)
    return report


def _of(target: Any, chain: Any) -> tuple[Any, ...]:
    return (
        target.c.kiosk_id == chain.kiosk_id,
        target.c.incarnation == chain.incarnation,
        target.c.stream == chain.stream,
    )


def _wrong(report: CentralReport, chain: Any, seq: int, what: str) -> None:
    report.findings.append(
        Finding(kiosk_id=chain.kiosk_id, incarnation=chain.incarnation, stream=chain.stream, seq=seq, what=what)
    )


def _verify_chain(connection: Connection, chain: Any, report: CentralReport) -> dict[int, bytes]:
    """Walk one chain; returns its hashes at the ends of batches, and stops at the first thing wrong."""
    set_aside = {
        row.seq: bytes(row.digest)
        for row in connection.execute(
            select(quarantine.c.seq, quarantine.c.digest).where(*_of(quarantine, chain), quarantine.c.reason != "fork")
        )
    }
    gone = {row.first_seq: row.last_seq for row in connection.execute(select(gaps).where(*_of(gaps, chain)))}
    ends = set(connection.execute(select(batches.c.last_seq).where(*_of(batches, chain))).scalars())
    hashes: dict[int, bytes] = {}
    head: bytes | None = bytes(chain.base_head)
    seq = chain.base_seq
    for row, classes in _rows(connection, chain):
        while seq + 1 < row.seq:
            if seq + 1 in gone:
                report.gone += gone[seq + 1] - seq
                seq, head = gone[seq + 1], None
            elif seq + 1 in set_aside:
                seq, head = seq + 1, set_aside[seq + 1]
                hashes[seq] = head
            else:
                _wrong(report, chain, seq + 1, "record is missing")
                return hashes
        problem = _check_record(row, classes, head)
        if problem:
            _wrong(report, chain, row.seq, problem)
            return hashes
        seq, head = row.seq, bytes(row.hash)
        report.records += 1
        if seq in ends:
            hashes[seq] = head
    while seq < chain.hi and (seq + 1 in set_aside or seq + 1 in gone):
        if seq + 1 in gone:
            seq, head = gone[seq + 1], None
        else:
            seq, head = seq + 1, set_aside[seq + 1]
    if seq != chain.hi:
        _wrong(report, chain, seq + 1, f"chain ends here, the ledger says {chain.hi}")
    elif head is not None and head != bytes(chain.head) and seq not in set_aside:
        _wrong(report, chain, seq, "last hash differs from the ledger's head")
    return hashes


def _rows(connection: Connection, chain: Any) -> Iterator[tuple[Any, list[Any]]]:
    """Records of a chain in order, each with its payload rows."""
    after = 0
    while True:
        page = connection.execute(
            select(records).where(*_of(records, chain), records.c.seq > after).order_by(records.c.seq).limit(PAGE_ROWS)
        ).all()
        if not page:
            return
        ids = [row.receive_id for row in page]
        found: dict[int, list[Any]] = {}
        for payload in connection.execute(select(payloads).where(payloads.c.receive_id.in_(ids))):
            found.setdefault(payload.receive_id, []).append(payload)
        for row in page:
            yield row, sorted(found.get(row.receive_id, []), key=lambda payload: str(payload.payload_class))
        after = page[-1].seq


def _check_record(row: Any, classes: list[Any], head: bytes | None) -> str:
    """What is wrong with one stored record, or "". ``head`` None: nothing is known before it (a declared gap)."""
    if " ".join(payload.payload_class for payload in classes) != row.payload_classes:
        return "payloads are not those that the header names"
    for payload in classes:
        if payload.body is not None and payload.salt is not None:
            digest = hashlib.sha256(bytes(payload.salt) + payload.body.encode("utf-8")).digest()
            if digest != bytes(payload.digest):
                return f"payload {payload.payload_class} differs from its digest"
    if head is None:
        return ""
    header = {
        "v": FORMAT_VERSION,
        "kiosk_id": row.kiosk_id,
        "incarnation": row.incarnation,
        "stream": row.stream,
        "seq": row.seq,
        "kind": row.kind,
        "at_us": row.at_us,
        "clock_trust": row.clock_trust,
        "boot_id": row.boot_id,
        "mono_ns": row.mono_ns,
        "lane": row.lane,
        "ref": row.ref,
        "payloads": row.payload_classes.split(),
    }
    h = hashlib.sha256(head + canonical(header))
    for payload in classes:
        h.update(bytes(payload.digest))
    return "" if h.digest() == bytes(row.hash) else "hash does not follow from the record and the one before"


def _verify_heads(
    connection: Connection, chain: Any, hashes: dict[int, bytes], public_keys: dict[str, bytes], report: CentralReport
) -> None:
    """Every signed head that the sync log kept must be the hash that is stored at its place."""
    for row in connection.execute(
        select(batches).where(*_of(batches, chain), batches.c.result.in_(("stored", "partial", "duplicate")))
    ):
        if row.last_seq > chain.hi:
            _wrong(report, chain, row.last_seq, f"the kiosk signed a head here, the ledger ends at {chain.hi}")
            return
        stored = hashes.get(row.last_seq)
        if stored is None or row.fingerprint not in public_keys:
            continue
        if stored != bytes(row.last_head):
            _wrong(report, chain, row.last_seq, "differs from the head that the kiosk signed")
            return
        statement = head_statement(_head_of(row))
        if not keys.verify(public_keys[row.fingerprint], keys.HEAD_CONTEXT, statement, bytes(row.head_signature)):
            _wrong(report, chain, row.last_seq, "the signature of the kiosk's head does not hold")
            return
        report.heads_proved += 1


def _head_of(row: Any) -> BatchHeader:
    return BatchHeader(
        kiosk_id=row.kiosk_id,
        incarnation=row.incarnation,
        stream=Stream(row.stream),
        first=row.first_seq,
        last=row.last_seq,
        prev_head=ZERO_HASH,
        last_head=bytes(row.last_head),
        wall_us=0,
        mono_ns=0,
        boot_id="",
        clock_trust="",
        software="",
    )
