"""A batch: consecutive records of one stream, as the bytes that travel. Pure.

A batch is canonical JSON (RFC 8785, integers only), compressed with zstd or gzip:

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
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import zstandard

from kiosk.nesting import deeper_than
from kiosk.records import (
    FORMAT_VERSION,
    MAX_DEPTH,
    MAX_SAFE_INTEGER,
    SALT_BYTES,
    JsonValue,
    Kind,
    Payload,
    PayloadClass,
    Record,
    RecordError,
    Stream,
    canonical,
    chain_hash,
    digest_of,
)
from sync.errors import WireError

BATCH_VERSION = 1
MAX_RECORDS = 500
MAX_COMPRESSED_BYTES = 256 * 1024
MAX_BODY_BYTES = 2 * 1024 * 1024
MAX_WINDOW_BYTES = 8 * 1024 * 1024
MAX_ID_CHARS = 64
ENCODINGS = ("zstd", "gzip")

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
class ParsedRecord:
    """One record of a received batch.

    ``hash`` is its link in the chain, recomputed, or None where the record is too broken to have one. ``record``
    is None and ``refusal`` says why when it is outside the record contract; ``raw`` is its JSON either way.
    ``bodies`` are the canonical bytes of its payloads, as they were hashed.
    """

    seq: int
    hash: bytes | None
    record: Record | None
    refusal: str
    raw: dict[str, Any]
    bodies: dict[PayloadClass, bytes] = field(default_factory=dict)


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


def compress(body: bytes, encoding: str) -> bytes:
    """``body`` compressed as ``zstd`` (level 9) or ``gzip`` (level 6, no time stamp, so that bytes repeat)."""
    if encoding == "zstd":
        return zstandard.ZstdCompressor(level=9, write_content_size=True).compress(body)
    if encoding == "gzip":
        return gzip.compress(body, compresslevel=6, mtime=0)
    raise WireError("content encoding", status=415, seen=encoding[:40], expected=" or ".join(ENCODINGS))


def decompress(packed: bytes, encoding: str, *, max_bytes: int = MAX_BODY_BYTES) -> bytes:
    """What ``compress`` packed; at most ``max_bytes`` ever come into memory.

    Raises WireError (413) when it is larger, (400) when it is damaged, cut or followed by further bytes.
    """
    if encoding == "zstd":
        return _unzstd(packed, max_bytes)
    if encoding == "gzip":
        return _gunzip(packed, max_bytes)
    raise WireError("content encoding", status=415, seen=encoding[:40], expected=" or ".join(ENCODINGS))


def _unzstd(packed: bytes, max_bytes: int) -> bytes:
    try:
        declared = zstandard.get_frame_parameters(packed).content_size
        if declared == zstandard.CONTENTSIZE_UNKNOWN:
            raise WireError("zstd body", seen="no content size", expected="a frame that declares its content size")
        if declared > max_bytes:
            raise WireError("zstd body", status=413, seen=f"{declared} bytes", expected=f"at most {max_bytes}")
        # The decompressor stops at the declared size, so that the check above bounds the memory.
        unpacker = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW_BYTES).decompressobj()
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
    document = take(loads_canonical(body), "batch", {"v": (int,), "header": (dict,), "records": (list,)})
    if document["v"] != BATCH_VERSION:
        raise WireError("batch v", seen=str(document["v"]), expected=str(BATCH_VERSION))
    header = BatchHeader.from_wire(document["header"])
    wires = document["records"]
    if len(wires) != header.last - header.first + 1:
        raise WireError("batch", status=422, seen=f"{len(wires)} records", expected=f"{header.last - header.first + 1}")
    records, unproven_from = _parse_records(header, wires, body)
    return ParsedBatch(
        header=header,
        records=tuple(records),
        digest=hashlib.sha256(packed).digest(),
        compressed_bytes=len(packed),
        body_bytes=len(body),
        unproven_from=unproven_from,
    )


def _parse_records(header: BatchHeader, wires: list[Any], body: bytes) -> tuple[list[ParsedRecord], int | None]:
    records: list[ParsedRecord] = []
    head: bytes | None = header.prev_head
    unproven_from: int | None = None
    # The whole body was proved canonical; in ASCII its parts can be written again without looking closer.
    encode = fast_canonical if body.isascii() else canonical
    for seq, wire in enumerate(wires, start=header.first):
        item = _sound_record(header, seq, head, wire, encode) or _odd_record(header, seq, head, wire)
        records.append(item)
        if head is not None and item.hash is None:
            unproven_from = seq
        head = item.hash
    if head is not None and head != header.last_head:
        raise WireError(
            "batch chain", status=422, seen=f"ends in {head.hex()}", expected=f"last_head {header.last_head.hex()}"
        )
    return records, unproven_from


def _sound_record(
    header: BatchHeader, seq: int, head: bytes | None, wire: Any, encode: Callable[[Any], bytes]
) -> ParsedRecord | None:
    """The record, if it keeps the contract of ``kiosk/records.py`` in every point; None says: look closer.

    The same checks as ``Record.from_wire``, with every part written and hashed once only: what a batch costs is
    mostly what is done here.
    """
    if head is None or type(wire) is not dict or wire.keys() != {"header", "payloads"}:
        return None
    own, wired = wire["header"], wire["payloads"]
    if type(own) is not dict or type(wired) is not dict or own.keys() != RECORD_HEADER.keys():
        return None
    if any(type(own[name]) is not kind for name, kind in RECORD_HEADER.items()):
        return None
    named = (own["kiosk_id"], own["incarnation"], own["stream"], own["seq"], own["v"])
    if named != (header.kiosk_id, header.incarnation, header.stream, seq, FORMAT_VERSION):
        return None
    kind = _KINDS.get(own["kind"])
    if kind is None or own["payloads"] != sorted(wired):
        return None
    payloads: dict[PayloadClass, Payload] = {}
    bodies: dict[PayloadClass, bytes] = {}
    digests = b""
    try:
        for name in own["payloads"]:
            cls, item = _CLASSES[name], wired[name]
            if item.keys() == {"digest"}:
                payloads[cls] = Payload(digest=_exact_hex(item["digest"], 32))
            else:
                (salt_text, content) = (item["salt"], item["body"])
                if len(item) != 2 or type(content) is not dict or not _shallow(content, 0):
                    return None
                salt = _exact_hex(salt_text, SALT_BYTES)
                bodies[cls] = encode(content)
                payloads[cls] = Payload(digest=digest_of(salt, bodies[cls]), salt=salt, body=content)
            digests += payloads[cls].digest
        link = chain_hash(head, encode(own), digests)
    except (AttributeError, KeyError, TypeError, ValueError):
        return None
    record = Record(
        kiosk_id=header.kiosk_id,
        incarnation=header.incarnation,
        stream=header.stream,
        seq=seq,
        kind=kind,
        at_us=own["at_us"],
        clock_trust=own["clock_trust"],
        boot_id=own["boot_id"],
        mono_ns=own["mono_ns"],
        lane=own["lane"],
        ref=own["ref"],
        payloads=payloads,
    )
    return ParsedRecord(seq=seq, hash=link, record=record, refusal="", raw=wire, bodies=bodies)


_KINDS = {str(kind): kind for kind in Kind}
_CLASSES = {str(cls): cls for cls in PayloadClass}
RECORD_HEADER: dict[str, type] = {
    "v": int,
    "kiosk_id": str,
    "incarnation": str,
    "stream": str,
    "seq": int,
    "kind": str,
    "at_us": int,
    "clock_trust": str,
    "boot_id": str,
    "mono_ns": int,
    "lane": str,
    "ref": str,
    "payloads": list,
}


def _exact_hex(text: str, length: int) -> bytes:
    value = bytes.fromhex(text)
    if len(value) != length or value.hex() != text:
        raise ValueError(text)
    return value


def _shallow(value: Any, depth: int) -> bool:
    """Whether a payload is nested no deeper than the contract allows."""
    if depth > MAX_DEPTH:
        return False
    inner = value.values() if type(value) is dict else value
    return all(_shallow(item, depth + 1) for item in inner if type(item) is dict or type(item) is list)


def _odd_record(header: BatchHeader, seq: int, head: bytes | None, wire: Any) -> ParsedRecord:
    """A record that did not pass at first sight: with its refusal, or sound after all by the contract itself."""
    raw = wire if isinstance(wire, dict) else {"not_an_object": wire}
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
    bodies = {cls: canonical(payload.body) for cls, payload in record.payloads.items() if payload.body is not None}
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
