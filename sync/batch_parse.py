"""Reads a batch that was received: form and chain are checked, record by record. Pure.

The receiver recomputes every hash (``kiosk/records.py``), so changing, dropping, inserting or reordering a record is
found even by someone who has no key. Everything is bounded before it is touched: the compressed size, nesting, and the
number of records.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from kiosk.records import Record, RecordError, canonical
from sync.batch import BATCH_VERSION, MAX_COMPRESSED_BYTES
from sync.batch_header import BatchHeader
from sync.batch_scan import ParsedRecord, scan_record, scan_value
from sync.canonical_json import ABOVE_U_FFFF, fast_canonical, loads_canonical
from sync.compression import decompress
from sync.errors import WireError
from sync.wire_fields import take


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedBatch:
    """A batch whose form and chain were checked; ``digest`` is the SHA-256 of the compressed bytes.

    ``unproven_from`` is the seq from which the chain could not be recomputed, because a record without a link
    stands in it; None in every ordinary batch.
    """

    header: BatchHeader
    records: tuple[ParsedRecord, ...]
    digest: bytes
    compressed_bytes: int
    body_bytes: int
    unproven_from: int | None = None


def parse(packed: bytes, encoding: str) -> ParsedBatch:
    """The batch in ``packed``, form and chain checked; the caller has checked the signature before.

    A record outside the contract comes back with its refusal and does not spoil the rest. Raises WireError when
    the batch as a whole cannot be used: size, encoding, JSON, header, number or order of records, broken chain.
    """
    if len(packed) > MAX_COMPRESSED_BYTES:
        raise WireError("batch", status=413, seen=f"{len(packed)} bytes", expected=f"at most {MAX_COMPRESSED_BYTES}")
    body = decompress(packed, encoding)
    header, records, unproven_from = _scan(body) or _look_closer(body)
    return ParsedBatch(
        header=header,
        records=tuple(records),
        digest=hashlib.sha256(packed).digest(),
        compressed_bytes=len(packed),
        body_bytes=len(body),
        unproven_from=unproven_from,
    )


_Found = tuple[BatchHeader, list[ParsedRecord], int | None]
_BEGINNING, _BETWEEN, _ENDING = '{"header":', ',"records":[', f'],"v":{BATCH_VERSION}}}'


def _scan(body: bytes) -> _Found | None:
    """What is in a batch that is canonical JSON of the ordinary form; None for any other, which needs a closer look.

    Every part is compared with its own canonical spelling, so that the whole is proved canonical as well.
    """
    if ABOVE_U_FFFF.search(body):
        return None
    try:
        text = body.decode("utf-8")
        if not text.startswith(_BEGINNING):
            return None
        wire, at = scan_value(text, len(_BEGINNING))
        header = BatchHeader.from_wire(wire)
        if not text.startswith(_BETWEEN, at):
            return None
        at += len(_BETWEEN)
        chain = _Links(header)
        for seq in range(header.first, header.last + 1):
            if seq > header.first:
                if not text.startswith(",", at):
                    return None
                at += 1
            item = None
            if chain.head is not None:
                item = scan_record(
                    text,
                    at,
                    kiosk_id=header.kiosk_id,
                    incarnation=header.incarnation,
                    stream=header.stream,
                    seq=seq,
                    prev_hash=chain.head,
                )
            if item is None:
                wire, end = scan_value(text, at)
                item = _odd_record(header, seq, chain.head, wire), end
            record, at = item
            chain.follow(record)
    except (ValueError, RecursionError):
        return None
    if text[at:] != _ENDING:
        return None
    return header, chain.records, chain.end()


def _look_closer(body: bytes) -> _Found:
    """As ``_scan``, for any form that there is; raises WireError saying what is wrong with it."""
    document = take(loads_canonical(body), "batch", {"v": (int,), "header": (dict,), "records": (list,)})
    if document["v"] != BATCH_VERSION:
        raise WireError("batch v", seen=str(document["v"]), expected=str(BATCH_VERSION))
    header = BatchHeader.from_wire(document["header"])
    wires = document["records"]
    if len(wires) != header.last - header.first + 1:
        raise WireError("batch", status=422, seen=f"{len(wires)} records", expected=f"{header.last - header.first + 1}")
    chain = _Links(header)
    for seq, wire in enumerate(wires, start=header.first):
        chain.follow(_odd_record(header, seq, chain.head, wire))
    return header, chain.records, chain.end()


class _Links:
    """The chain over the records of a batch, as it is recomputed; ``head`` is None behind a record without a link."""

    def __init__(self, header: BatchHeader) -> None:
        self._last_head = header.last_head
        self._unproven_from: int | None = None
        self.head: bytes | None = header.prev_head
        self.records: list[ParsedRecord] = []

    def follow(self, item: ParsedRecord) -> None:
        """The next record."""
        self.records.append(item)
        if self.head is not None and item.hash is None:
            self._unproven_from = item.seq
        self.head = item.hash

    def end(self) -> int | None:
        """From where the chain is unproven, if it is; raises WireError (422) when it ends elsewhere than was said."""
        if self.head is not None and self.head != self._last_head:
            raise WireError(
                "batch chain",
                status=422,
                seen=f"ends in {self.head.hex()}",
                expected=f"last_head {self._last_head.hex()}",
            )
        return self._unproven_from


def _odd_record(header: BatchHeader, seq: int, head: bytes | None, wire: Any) -> ParsedRecord:
    """A record looked at by the contract itself: sound, or with its refusal."""
    try:
        raw = canonical(wire).decode("utf-8")
    except RecordError:
        raw = fast_canonical(wire).decode("utf-8")  # nested deeper than the contract allows: refused below
    if head is None:
        return ParsedRecord(seq=seq, hash=None, record=None, refusal="follows a record without a link", raw=raw)
    try:
        link = link_hash(head, wire)
    except RecordError as error:
        return ParsedRecord(seq=seq, hash=None, record=None, refusal=str(error)[:200], raw=raw)
    try:
        record = Record.from_wire(wire)
    except RecordError as error:
        return ParsedRecord(seq=seq, hash=link, record=None, refusal=str(error)[:200], raw=raw)
    identity = (record.kiosk_id, record.incarnation, str(record.stream), record.seq)
    if identity != (header.kiosk_id, header.incarnation, str(header.stream), seq):
        return ParsedRecord(seq=seq, hash=link, record=None, refusal=f"identity {identity}"[:200], raw=raw)
    bodies = {
        cls: canonical(payload.body).decode("utf-8")
        for cls, payload in record.payloads.items()
        if payload.body is not None
    }
    return ParsedRecord(seq=seq, hash=link, record=record, refusal="", raw=raw, bodies=bodies)


def link_hash(prev_hash: bytes, wire: Any) -> bytes:
    """The chain link of a record's wire object, whatever its kind or payload classes say.

    A central older than the kiosk so keeps the chain of records whose kind it does not know yet. Raises
    RecordError when the object has no header, no payloads, or a payload of neither form.
    """
    if not isinstance(wire, dict) or not isinstance(wire.get("header"), dict):
        raise RecordError("record: no header")
    payloads = wire.get("payloads")
    if not isinstance(payloads, dict):
        raise RecordError("record: no payloads")
    h = hashlib.sha256(prev_hash)
    h.update(canonical(wire["header"]))
    for name in sorted(payloads):
        h.update(_digest_of(name, payloads[name]))
    return h.digest()


def _digest_of(name: str, item: Any) -> bytes:
    try:
        if isinstance(item, dict) and set(item) == {"digest"}:
            digest = bytes.fromhex(item["digest"])
            if len(digest) == 32:
                return digest
        if isinstance(item, dict) and set(item) == {"salt", "body"}:
            return hashlib.sha256(bytes.fromhex(item["salt"]) + canonical(item["body"])).digest()
    except (TypeError, ValueError) as error:
        raise RecordError(f"payloads.{name}: {error}") from None
    raise RecordError(f"payloads.{name}: expected salt and body, or a digest")
