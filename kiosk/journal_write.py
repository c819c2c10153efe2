"""How entries become the next records of their chains: salted, chained, counted. In the caller's transaction."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from kiosk.database import Database, DatabaseError, Failure
from kiosk.journal_tables import ADVANCE_CHAIN, INSERT_PAYLOAD, INSERT_RECORD, STREAM_NUMBER, row_key
from kiosk.journal_types import Entry, Head
from kiosk.records import (
    SALT_BYTES,
    Payload,
    PayloadClass,
    Record,
    RecordError,
    Stream,
    canonical,
    chain_hash,
    digest_of,
)

MAX_PAYLOAD_BYTES = 64 * 1024
"""A payload's canonical form may take this much, so that one record always fits in a batch."""


class Life(NamedTuple):
    """One incarnation of a kiosk's journal; ``number`` is its short key in the file."""

    kiosk_id: str
    incarnation: str
    number: int


class Prepared(NamedTuple):
    """An entry with its payloads salted and digested, and their canonical bytes."""

    entry: Entry
    payloads: dict[PayloadClass, Payload]
    bodies: dict[PayloadClass, bytes]


def prepare(entry: Entry) -> Prepared:
    """Salt, digest and encode the payloads. Raises RecordError for floats, deep nesting, over 64 KiB."""
    payloads, bodies = {}, {}
    for cls, body in entry.payloads.items():
        encoded = canonical(body)
        if len(encoded) > MAX_PAYLOAD_BYTES:
            raise RecordError(f"payload {cls} of {entry.kind}: {len(encoded)} bytes, at most {MAX_PAYLOAD_BYTES}")
        salt = os.urandom(SALT_BYTES)
        payloads[cls] = Payload(digest=digest_of(salt, encoded), salt=salt, body=dict(body))
        bodies[cls] = encoded
    return Prepared(entry, payloads, bodies)


def write(
    database: Database, life: Life, heads: Mapping[Stream, Head], prepared: Sequence[Prepared]
) -> tuple[list[Record], dict[Stream, Head]]:
    """The records, and where the chains stand once the caller has committed. Raises DatabaseError."""
    after = dict(heads)
    records = []
    for entry, payloads, bodies in prepared:
        head = after[entry.stream]
        record = Record(
            kiosk_id=life.kiosk_id,
            incarnation=life.incarnation,
            stream=entry.stream,
            seq=head.seq + 1,
            kind=entry.kind,
            at_us=entry.at.at_us,
            clock_trust=str(entry.at.clock_trust),
            boot_id=entry.at.boot_id,
            mono_ns=entry.at.mono_ns,
            lane=entry.lane,
            ref=entry.ref,
            payloads=payloads,
        )
        header, digests = canonical(record.header()), record.digests()
        digest = chain_hash(head.hash, header, digests)
        key = row_key(life.number, entry.stream, record.seq)
        database.run(INSERT_RECORD, (key, header, digests, digest))
        for cls, body in bodies.items():
            database.run(INSERT_PAYLOAD[cls], (key, record.at_us, payloads[cls].salt, body))
        after[entry.stream] = Head(record.seq, digest)
        records.append(record)
    for name, head in after.items():
        before = heads[name]
        if head.seq == before.seq:
            continue
        if database.run(ADVANCE_CHAIN, (head.seq, head.hash, life.number, STREAM_NUMBER[name], before.seq)) != 1:
            raise DatabaseError(
                f"journal of {life.kiosk_id}", Failure.OTHER, seen=f"the counter of {name} moved",
                expected=str(before.seq), hint="look for a second program that writes this file",
            )  # fmt: skip
    return records, after
