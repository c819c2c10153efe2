"""A batch: consecutive records of one stream, as the bytes that travel. Pure.

A batch is canonical JSON (RFC 8785, integers only), compressed (``sync/compression.py``):

    {"header": {...}, "records": [record, ...], "v": 1}

The header (``sync/batch_header.py``) names kiosk, incarnation, stream, ``first`` and ``last`` seq, and the chain heads
before and after. ``sync/batch_parse.py`` reads it back; ``docs/formats-sync.md`` pins the bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kiosk.records import JsonValue, Record, canonical
from sync.batch_header import MAX_RECORDS, BatchHeader
from sync.errors import WireError

BATCH_VERSION = 1
MAX_COMPRESSED_BYTES = 256 * 1024


def build(header: BatchHeader, records: Sequence[Record]) -> bytes:
    """The canonical JSON of a batch.

    Raises WireError when the records are not exactly ``first`` to ``last`` of the header's stream or when the
    chain from ``prev_head`` over them does not end in ``last_head``: the sender checks what the receiver will.
    """
    if not 1 <= len(records) <= MAX_RECORDS:
        raise WireError("batch", seen=f"{len(records)} records", expected=f"1 to {MAX_RECORDS}")
    head = header.prev_head
    for expected_seq, record in enumerate(records, start=header.first):
        identity = (record.kiosk_id, record.incarnation, record.stream, record.seq)
        if identity != (header.kiosk_id, header.incarnation, header.stream, expected_seq):
            raise WireError("batch", seen=f"record {identity}", expected=f"seq {expected_seq} of the header's stream")
        head = record.hash(head)
    if records[-1].seq != header.last or head != header.last_head:
        raise WireError("batch", seen=f"chain ends in {head.hex()}", expected=header.last_head.hex())
    return canonical_document(header.to_wire(), [record.to_wire() for record in records])


def canonical_document(header: dict[str, JsonValue], records: list[Any]) -> bytes:
    """Canonical JSON of header and records; each is checked alone, since nesting is counted from the record."""
    parts = b",".join(canonical(record) for record in records)
    return b'{"header":' + canonical(header) + b',"records":[' + parts + b'],"v":%d}' % BATCH_VERSION
