"""A batch: consecutive records of one stream, as the bytes that travel. Pure.

A batch is canonical JSON (RFC 8785, integers only), compressed with zstd, with or without the dictionary that both
sides know (``sync/batch_dictionary.py``), or with gzip:

    {"header": {...}, "records": [record, ...], "v": 1}

The header names kiosk, incarnation, stream, ``first`` and ``last`` seq, and the chain heads before and after.
The receiver recomputes every hash in between (``kiosk/records.py``), so changing, dropping, inserting or
reordering a record is found even by someone who has no key; the signature then says whose records they are.
``docs/formats-sync.md`` pins the bytes.

Everything is bounded before it is touched: the compressed size, the size the compressor declares, the size that
really comes out, nesting, and the number of records.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import zstandard

from kiosk.nesting import deeper_than
from kiosk.records import (
    MAX_SAFE_INTEGER,
    JsonValue,
    Record,
    RecordError,
    Stream,
    canonical,
)
from sync import batch_dictionary
from sync.batch_scan import ParsedRecord, scan_record, scan_value
from sync.errors import WireError

BATCH_VERSION = 1
MAX_RECORDS = 500
MAX_COMPRESSED_BYTES = 256 * 1024
MAX_BODY_BYTES = 2 * 1024 * 1024
MAX_WINDOW_BYTES = 8 * 1024 * 1024
MAX_ID_CHARS = 64
ENCODINGS = (batch_dictionary.ENCODING, "zstd", "gzip")
SMALL_BODY_BYTES = 64 * 1024

# HTTP header names of a signed request.
KIOSK_HEADER = "Gatepost-Kiosk"
SIGNATURE_HEADER = "Gatepost-Signature"
HEAD_SIGNATURE_HEADER = "Gatepost-Head-Signature"
REQUEST_HEADER = "Gatepost-Request"

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode


def fast_canonical(value: Any) -> bytes:
    """Canonical JSON of a value that ``loads_canonical`` has proved canonical already: no checks, much faster."""
    return _encode(value).encode("utf-8")


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchHeader:
    """What a batch says of itself and of its kiosk.

    ``prev_head`` is the hash of record ``first - 1`` (32 zero bytes for the first), ``last_head`` that of record
    ``last``. ``held`` maps roster, policy, revocations and trust to the versions held. ``wall_us`` (UTC, believed
    as far as ``clock_trust`` says), ``mono_ns`` and ``boot_id`` are the kiosk's clocks when the batch was made.
    ``backlog`` counts the records of this stream still to send, these included; ``oldest_us`` is the ``at_us`` of
    the oldest. ``gap_first`` is None, or says that records ``gap_first`` to ``first - 1`` exist no more.
    """

    kiosk_id: str
    incarnation: str
    stream: Stream
    first: int
    last: int
    prev_head: bytes
    last_head: bytes
    wall_us: int
    mono_ns: int
    boot_id: str
    clock_trust: str
    software: str
    backlog: int = 0
    oldest_us: int | None = None
    gap_first: int | None = None
    held: dict[str, str] = field(default_factory=dict)

    def to_wire(self) -> dict[str, JsonValue]:
        """The header's JSON object."""
        return {
            "kiosk_id": self.kiosk_id,
            "incarnation": self.incarnation,
            "stream": str(self.stream),
            "first": self.first,
            "last": self.last,
            "prev_head": self.prev_head.hex(),
            "last_head": self.last_head.hex(),
            "wall_us": self.wall_us,
            "mono_ns": self.mono_ns,
            "boot_id": self.boot_id,
            "clock_trust": self.clock_trust,
            "software": self.software,
            "backlog": self.backlog,
            "oldest_us": self.oldest_us,
            "gap_first": self.gap_first,
            "held": dict(self.held),
        }

    @classmethod
    def from_wire(cls, wire: Any) -> BatchHeader:
        """The header of a JSON object; raises WireError naming the field that is wrong."""
        fields = take(wire, "batch header", _HEADER_FIELDS)
        held = fields["held"]
        if len(held) > 16 or not all(isinstance(v, str) and len(v) <= MAX_ID_CHARS for v in held.values()):
            raise WireError("batch header held", seen=str(held)[:80], expected="at most 16 short strings")
        header = cls(
            kiosk_id=fields["kiosk_id"],
            incarnation=fields["incarnation"],
            stream=stream_of(fields["stream"]),
            first=fields["first"],
            last=fields["last"],
            prev_head=hash_of(fields["prev_head"], "prev_head"),
            last_head=hash_of(fields["last_head"], "last_head"),
            wall_us=fields["wall_us"],
            mono_ns=fields["mono_ns"],
            boot_id=fields["boot_id"],
            clock_trust=fields["clock_trust"],
            software=fields["software"],
            backlog=fields["backlog"],
            oldest_us=fields["oldest_us"],
            gap_first=fields["gap_first"],
            held=held,
        )
        for name in ("kiosk_id", "incarnation", "boot_id", "clock_trust", "software"):
            short(getattr(header, name), name)
        if header.first < 1 or header.last < header.first or header.last - header.first >= MAX_RECORDS:
            raise WireError(
                "batch header", seen=f"first {header.first}, last {header.last}", expected=f"1 to {MAX_RECORDS} records"
            )
        if header.gap_first is not None and not 1 <= header.gap_first < header.first:
            raise WireError("batch header gap_first", seen=str(header.gap_first), expected=f"1 to {header.first - 1}")
        return header


_HEADER_FIELDS: dict[str, tuple[type, ...]] = {
    "kiosk_id": (str,),
    "incarnation": (str,),
    "stream": (str,),
    "first": (int,),
    "last": (int,),
    "prev_head": (str,),
    "last_head": (str,),
    "wall_us": (int,),
    "mono_ns": (int,),
    "boot_id": (str,),
    "clock_trust": (str,),
    "software": (str,),
    "backlog": (int,),
    "oldest_us": (int, type(None)),
    "gap_first": (int, type(None)),
    "held": (dict,),
}


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


def take(wire: Any, name: str, fields: dict[str, tuple[type, ...]]) -> dict[str, Any]:
    """``wire`` as an object of exactly these fields and types; bool is no int. Raises WireError otherwise."""
    if not isinstance(wire, dict):
        raise WireError(name, seen=type(wire).__name__, expected="an object")
    odd = sorted(set(wire) ^ set(fields))
    if odd:
        raise WireError(name, seen=f"missing or unknown: {', '.join(map(str, odd))[:200]}")
    for key, types in fields.items():
        if type(wire[key]) not in types:
            raise WireError(
                f"{name} {key}", seen=type(wire[key]).__name__, expected=" or ".join(t.__name__ for t in types)
            )
    return wire


def short(text: str, name: str) -> str:
    """``text`` if it is printable and 1 to 64 characters long; raises WireError otherwise."""
    if not 1 <= len(text) <= MAX_ID_CHARS or not text.isprintable():
        raise WireError(name, seen=repr(text[:80]), expected=f"1 to {MAX_ID_CHARS} printable characters")
    return text


def hash_of(text: str, name: str) -> bytes:
    """32 bytes from lower-case hexadecimal; raises WireError otherwise."""
    try:
        value = bytes.fromhex(text)
    except ValueError:
        value = b""
    if len(value) != 32 or value.hex() != text:
        raise WireError(name, seen=text[:80], expected="64 lower-case hexadecimal digits")
    return value


def stream_of(text: str) -> Stream:
    """The stream named ``text``; raises WireError for any other word."""
    try:
        return Stream(text)
    except ValueError:
        raise WireError("stream", seen=text[:80], expected=", ".join(Stream)) from None


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


def encoding_of(body: bytes, wanted: str) -> str:
    """``wanted``, but no dictionary for a large body: it has learnt its words by itself, and the search costs more."""
    return "zstd" if wanted == batch_dictionary.ENCODING and len(body) > SMALL_BODY_BYTES else wanted


def compress(body: bytes, encoding: str) -> bytes:
    """``body`` compressed as one of ``ENCODINGS``; the same bytes give the same result."""
    if encoding == batch_dictionary.ENCODING:
        known = batch_dictionary.DICTIONARY
        return zstandard.ZstdCompressor(level=15, write_content_size=True, dict_data=known).compress(body)
    if encoding == "zstd":
        return zstandard.ZstdCompressor(level=9, write_content_size=True).compress(body)
    if encoding == "gzip":
        return gzip.compress(body, compresslevel=6, mtime=0)
    raise WireError("content encoding", status=415, seen=encoding[:40], expected=" or ".join(ENCODINGS))


def decompress(packed: bytes, encoding: str, *, max_bytes: int = MAX_BODY_BYTES) -> bytes:
    """What ``compress`` packed; at most ``max_bytes`` ever come into memory.

    Raises WireError (413) when it is larger, (400) when it is damaged, cut or followed by further bytes.
    """
    if encoding == batch_dictionary.ENCODING:
        return _unzstd(packed, max_bytes, batch_dictionary.DICTIONARY)
    if encoding == "zstd":
        return _unzstd(packed, max_bytes, None)
    if encoding == "gzip":
        return _gunzip(packed, max_bytes)
    raise WireError("content encoding", status=415, seen=encoding[:40], expected=" or ".join(ENCODINGS))


def _unzstd(packed: bytes, max_bytes: int, known: zstandard.ZstdCompressionDict | None) -> bytes:
    try:
        declared = zstandard.get_frame_parameters(packed).content_size
        if declared == zstandard.CONTENTSIZE_UNKNOWN:
            raise WireError("zstd body", seen="no content size", expected="a frame that declares its content size")
        if declared > max_bytes:
            raise WireError("zstd body", status=413, seen=f"{declared} bytes", expected=f"at most {max_bytes}")
        # The decompressor stops at the declared size, so that the check above bounds the memory.
        unpacker = zstandard.ZstdDecompressor(dict_data=known, max_window_size=MAX_WINDOW_BYTES).decompressobj()
        body = unpacker.decompress(packed)
    except zstandard.ZstdError as error:
        raise WireError("zstd body", seen=str(error)[:120]) from error
    if not unpacker.eof or unpacker.unused_data or len(body) != declared:
        raise WireError("zstd body", seen="cut, or followed by further bytes", expected="one whole frame")
    return body


def _gunzip(packed: bytes, max_bytes: int) -> bytes:
    unpacker = zlib.decompressobj(wbits=31)
    try:
        body = unpacker.decompress(packed, max_bytes + 1)
    except zlib.error as error:
        raise WireError("gzip body", seen=str(error)[:120]) from error
    if len(body) > max_bytes:
        raise WireError("gzip body", status=413, seen="more", expected=f"at most {max_bytes} bytes")
    if not unpacker.eof or unpacker.unused_data or unpacker.unconsumed_tail:
        raise WireError("gzip body", seen="cut, or followed by further bytes", expected="one whole member")
    return body


MAX_NESTING = 24
"""Levels of lists and objects: 16 of a record's payload (``kiosk.records``) and those of the batch around it."""

# A number token of canonical JSON follows one of these three; digits inside a string follow a quote or a letter.
_LONG_NUMBER = re.compile(rb"[:,\[]-?(?:9\d{15}|\d{17})")


def _refuse_number(text: str) -> Any:
    raise WireError("JSON", seen=text[:40], expected="integers only")


def _bounded_int(text: str) -> int:
    value = int(text) if len(text) <= 17 else MAX_SAFE_INTEGER + 1
    if abs(value) > MAX_SAFE_INTEGER:
        raise WireError("JSON", seen=text[:40], expected="integers within ±(2^53 - 1)")
    return value


def loads_canonical(body: bytes, *, max_bytes: int = MAX_BODY_BYTES) -> Any:
    """The value of canonical JSON ``body``.

    Raises WireError when it is too large (413), not JSON, not canonical (other spacing, key order, escapes,
    repeated keys), nested deeper than 24, or holds a float, an integer beyond ±(2^53 - 1) or a lone surrogate.
    """
    if len(body) > max_bytes:
        raise WireError("JSON", status=413, seen=f"{len(body)} bytes", expected=f"at most {max_bytes}")
    try:
        # Asking about each integer is slow; most bodies have no run of digits that could be too large.
        parse_int = _bounded_int if body[:1] not in (b"{", b"[") or _LONG_NUMBER.search(body) else None
        value = json.loads(
            body.decode("utf-8"), parse_float=_refuse_number, parse_constant=_refuse_number, parse_int=parse_int
        )
        if deeper_than(MAX_NESTING, body, value):
            raise WireError("JSON", seen="deeper nesting", expected=f"at most {MAX_NESTING} levels")
        # Python sorts keys by code point, RFC 8785 by UTF-16 code unit; they differ above U+FFFF only, and the
        # slow form decides then. Equality with the bytes received also rules out repeated keys and other spacing.
        if fast_canonical(value) != body and _slow_canonical(value) != body:
            raise WireError("JSON", seen="another form", expected="canonical JSON (RFC 8785)")
    except (ValueError, RecursionError) as error:
        raise WireError("JSON", seen=type(error).__name__, expected="canonical JSON (RFC 8785)") from error
    return value


def _slow_canonical(value: Any) -> bytes:
    if isinstance(value, dict) and set(value) == {"header", "records", "v"} and isinstance(value["records"], list):
        return canonical_document(value["header"], value["records"])
    return canonical(value)


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
_ABOVE_U_FFFF = re.compile(rb"[\xf0-\xf4]")  # the lead bytes of four in UTF-8
_BEGINNING, _BETWEEN, _ENDING = '{"header":', ',"records":[', f'],"v":{BATCH_VERSION}}}'


def _scan(body: bytes) -> _Found | None:
    """What is in a batch that is canonical JSON of the ordinary form; None for any other, which needs a closer look.

    Every part is compared with its own canonical spelling, so that the whole is proved canonical as well.
    """
    if _ABOVE_U_FFFF.search(body):
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


def head_statement(header: BatchHeader) -> bytes:
    """What the kiosk signs besides the batch: "my chain stands here".

    The compressed bytes are not kept for ever, this is: with it the central proves later, payloads erased or not,
    that the records up to ``last`` came from the holder of the kiosk's key.
    """
    return canonical(
        {
            "kiosk_id": header.kiosk_id,
            "incarnation": header.incarnation,
            "stream": str(header.stream),
            "last": header.last,
            "last_head": header.last_head.hex(),
        }
    )
