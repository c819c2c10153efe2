"""The record contract: canonical form, payload digests and the hash chain. Pure, standard library only.

A record is a *header* and up to three payloads, one for each :class:`PayloadClass`. The header is public and is
kept as long as the chain; a payload can be erased after its retention, and only its salted digest stays, so the
chain still verifies. ``docs/formats.md`` pins the bytes:

    canonical(x)  RFC 8785 JSON of x, restricted to null, booleans, integers within ±(2^53 - 1), strings, arrays
                  and objects with string keys (no floats: temperatures are ``object_centi_c``, instants ``at_us``)
    digest(p)     SHA-256(salt ‖ canonical(p)), salt 16 random bytes a payload
    hash(r)       SHA-256(prev_hash ‖ canonical(header) ‖ digest of each payload in the order of ``header.payloads``)

The first ``prev_hash`` of a stream is 32 zero bytes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

FORMAT_VERSION = 1
ZERO_HASH = bytes(32)
SALT_BYTES = 16
MAX_SAFE_INTEGER = 2**53 - 1
MAX_DEPTH = 16

JsonValue = None | bool | int | str | list["JsonValue"] | dict[str, "JsonValue"]


class Stream(StrEnum):
    """The three streams of a kiosk, each with its own gapless ``seq`` from 1 and its own chain."""

    ALARM = "alarm"
    PASSAGE = "passage"
    DIAGNOSTIC = "diagnostic"


class Kind(StrEnum):
    """What a record tells."""

    PASSAGE = "passage"
    PASSED = "passed"
    OVERRIDE = "override"
    REGISTRATION = "registration"
    ATTESTATION = "attestation"
    REFERRAL = "referral"
    EMERGENCY = "emergency"
    ALARM = "alarm"
    DEVICE = "device"
    CALIBRATION = "calibration"
    SHIFT = "shift"
    CLOCK = "clock"
    POLICY = "policy"
    BOOT = "boot"
    GENESIS = "genesis"
    GAP = "gap"


class PayloadClass(StrEnum):
    """Payloads by what they are about, since each has its own retention."""

    FACTS = "facts"
    HEALTH = "health"
    PERSON = "person"


class RecordError(ValueError):
    """A value or record outside the contract; the message names the path within it."""


def _check(value: Any, path: str, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise RecordError(f"{path}: nested deeper than {MAX_DEPTH}")
    if value is None or isinstance(value, (bool, str)):
        if isinstance(value, str):
            try:
                value.encode("utf-8")
            except UnicodeEncodeError:
                raise RecordError(f"{path}: lone surrogate in a string") from None
        return
    if isinstance(value, int):
        if abs(value) > MAX_SAFE_INTEGER:
            raise RecordError(f"{path}: integer {value} outside ±(2^53 - 1)")
        return
    if isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            _check(item, f"{path}[{index}]", depth + 1)
        return
    if isinstance(value, Mapping):
        for key, item in value.items():
            if not isinstance(key, str):
                raise RecordError(f"{path}: key {key!r} is not a string")
            _check(key, f"{path}.{key!r}", depth + 1)
            _check(item, f"{path}.{key}", depth + 1)
        return
    raise RecordError(f"{path}: {type(value).__name__} is not allowed (integers, strings, lists, objects only)")


def _sorted(value: Any) -> Any:
    # RFC 8785 orders keys by UTF-16 code units; Python orders by code point, which differs above U+FFFF.
    if isinstance(value, Mapping):
        return {key: _sorted(value[key]) for key in sorted(value, key=lambda k: k.encode("utf-16-be"))}
    if isinstance(value, (list, tuple)):
        return [_sorted(item) for item in value]
    return value


_encode = json.JSONEncoder(sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode


def _plain(value: Any, depth: int) -> bool:
    # True for what json itself writes canonically (keys in ASCII, so that code points sort as UTF-16 does): nearly
    # everything, five times faster. False means only: look closer.
    if isinstance(value, str) or value is None:
        return True
    if isinstance(value, int):
        return abs(value) <= MAX_SAFE_INTEGER
    if depth >= MAX_DEPTH:
        return False
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str) or not key.isascii():
                return False
            if type(item) is not str and not _plain(item, depth + 1):
                return False
        return True
    return isinstance(value, (list, tuple)) and all(_plain(item, depth + 1) for item in value)


def canonical(value: Any) -> bytes:
    """RFC 8785 canonical JSON of an integers-only value, as UTF-8.

    Raises RecordError for a float, an integer beyond ±(2^53 - 1), a non-string key, a lone surrogate, or
    nesting deeper than 16.
    """
    if _plain(value, 0):
        try:
            return _encode(value).encode("utf-8")
        except UnicodeEncodeError:
            pass  # a lone surrogate: the check below says where
    _check(value, "$", 0)
    return json.dumps(_sorted(value), ensure_ascii=False, separators=(",", ":")).encode("utf-8")


def payload_digest(salt: bytes, payload: Mapping[str, Any]) -> bytes:
    """SHA-256(salt ‖ canonical(payload)): what stays in the chain when the payload is erased."""
    return digest_of(salt, canonical(payload))


def digest_of(salt: bytes, canonical_payload: bytes) -> bytes:
    """As :func:`payload_digest`, of the canonical bytes at hand."""
    if len(salt) != SALT_BYTES:
        raise RecordError(f"salt of {len(salt)} bytes, expected {SALT_BYTES}")
    return hashlib.sha256(salt + canonical_payload).digest()


def chain_hash(prev_hash: bytes, canonical_header: bytes, digests: bytes) -> bytes:
    """SHA-256(prev_hash ‖ canonical header ‖ digests): the hash of a record, of the bytes at hand."""
    if len(prev_hash) != 32:
        raise RecordError(f"prev_hash of {len(prev_hash)} bytes, expected 32")
    return hashlib.sha256(prev_hash + canonical_header + digests).digest()


@dataclass(frozen=True, slots=True)
class Payload:
    """One payload with its salt; ``body`` and ``salt`` are None once it was erased, ``digest`` never is."""

    digest: bytes
    salt: bytes | None = None
    body: dict[str, Any] | None = None

    @classmethod
    def of(cls, salt: bytes, body: Mapping[str, Any]) -> Payload:
        """A payload with its digest computed."""
        return cls(digest=payload_digest(salt, body), salt=salt, body=dict(body))

    @property
    def erased(self) -> bool:
        """True when only the digest is left."""
        return self.body is None

    def sound(self) -> bool:
        """Whether the digest belongs to the body (an erased payload is sound by definition)."""
        if self.body is None or self.salt is None:
            return self.body is None and self.salt is None
        try:
            return payload_digest(self.salt, self.body) == self.digest
        except RecordError:
            return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One entry of a stream. Identity is ``(kiosk_id, incarnation, stream, seq)``.

    ``at_us`` is UTC in microseconds as the kiosk believed it, qualified by ``clock_trust``; ``mono_ns`` is the
    monotonic clock of boot ``boot_id``, by which the central back-fills a doubtful ``at_us``. ``lane`` is "" for
    what concerns the whole kiosk. ``ref`` is the passage id that ties passage, attestation, override and passed.
    """

    kiosk_id: str
    incarnation: str
    stream: Stream
    seq: int
    kind: Kind
    at_us: int
    clock_trust: str
    boot_id: str
    mono_ns: int
    lane: str
    ref: str
    payloads: dict[PayloadClass, Payload]

    def header(self) -> dict[str, Any]:
        """The header object that is hashed, stored and sent."""
        return {
            "v": FORMAT_VERSION,
            "kiosk_id": self.kiosk_id,
            "incarnation": self.incarnation,
            "stream": str(self.stream),
            "seq": self.seq,
            "kind": str(self.kind),
            "at_us": self.at_us,
            "clock_trust": self.clock_trust,
            "boot_id": self.boot_id,
            "mono_ns": self.mono_ns,
            "lane": self.lane,
            "ref": self.ref,
            "payloads": [str(c) for c in sorted(self.payloads)],
        }

    def hash(self, prev_hash: bytes) -> bytes:
        """SHA-256(prev_hash ‖ canonical(header) ‖ digests in the order of ``header.payloads``)."""
        return chain_hash(prev_hash, canonical(self.header()), self.digests())

    def digests(self) -> bytes:
        """The digests of the payloads, one after the other in the order of ``header.payloads``."""
        return b"".join(self.payloads[cls].digest for cls in sorted(self.payloads))

    def to_wire(self) -> dict[str, Any]:
        """The JSON object of the record in a batch or an export; erased payloads carry their digest alone."""
        payloads: dict[str, Any] = {}
        for cls in sorted(self.payloads):
            payload = self.payloads[cls]
            if payload.body is None or payload.salt is None:
                payloads[str(cls)] = {"digest": payload.digest.hex()}
            else:
                payloads[str(cls)] = {"salt": payload.salt.hex(), "body": payload.body}
        return {"header": self.header(), "payloads": payloads}

    @classmethod
    def from_wire(cls, wire: Any) -> Record:
        """The record of a wire object; raises RecordError naming what is missing, unknown or of a wrong type."""
        if not isinstance(wire, dict) or set(wire) != {"header", "payloads"}:
            raise RecordError("record: expected an object of header and payloads")
        header, payloads = wire["header"], wire["payloads"]
        if not isinstance(header, dict) or set(header) != set(_HEADER_TYPES):
            odd = sorted(set(header) ^ set(_HEADER_TYPES)) if isinstance(header, dict) else [type(header).__name__]
            raise RecordError(f"header: missing or unknown: {', '.join(map(str, odd))}")
        for key, kind in _HEADER_TYPES.items():
            if type(header[key]) is not kind:
                raise RecordError(f"header.{key}: expected {kind.__name__}, seen {type(header[key]).__name__}")
            if kind is str and "\0" in header[key]:
                raise RecordError(f"header.{key}: a NUL character, which not every database stores")
        if header["v"] != FORMAT_VERSION:
            raise RecordError(f"header.v: expected {FORMAT_VERSION}, seen {header['v']}")
        if header["seq"] < 1:
            raise RecordError(f"header.seq: expected 1 or more, seen {header['seq']}")
        if not isinstance(payloads, dict) or header["payloads"] != sorted(payloads):
            raise RecordError("payloads: not the sorted list that header.payloads names")
        try:
            stream, kind_ = Stream(header["stream"]), Kind(header["kind"])
            parsed = {PayloadClass(name): _payload_from_wire(name, item) for name, item in payloads.items()}
        except ValueError as error:
            raise RecordError(str(error)) from None
        record = cls(
            kiosk_id=header["kiosk_id"],
            incarnation=header["incarnation"],
            stream=stream,
            seq=header["seq"],
            kind=kind_,
            at_us=header["at_us"],
            clock_trust=header["clock_trust"],
            boot_id=header["boot_id"],
            mono_ns=header["mono_ns"],
            lane=header["lane"],
            ref=header["ref"],
            payloads=parsed,
        )
        canonical(record.header())
        return record


_HEADER_TYPES: dict[str, type] = {
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


def _payload_from_wire(name: str, item: Any) -> Payload:
    if isinstance(item, dict) and set(item) == {"digest"}:
        return Payload(digest=_bytes_of(item["digest"], 32, f"payloads.{name}.digest"))
    if isinstance(item, dict) and set(item) == {"salt", "body"} and isinstance(item["body"], dict):
        return Payload.of(_bytes_of(item["salt"], SALT_BYTES, f"payloads.{name}.salt"), item["body"])
    raise RecordError(f"payloads.{name}: expected salt and body, or a digest")


def _bytes_of(text: Any, length: int, path: str) -> bytes:
    try:
        value = bytes.fromhex(text)
    except (TypeError, ValueError):
        raise RecordError(f"{path}: not hexadecimal") from None
    if len(value) != length or value.hex() != text:
        raise RecordError(f"{path}: expected {length} bytes in lower-case hexadecimal")
    return value
