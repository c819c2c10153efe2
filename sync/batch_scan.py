"""Reads the records of a batch out of its canonical JSON in one pass: each part is looked at once. Pure.

What a batch costs the receiver is mostly what happens here, so a record in the form that gates send is not parsed and
written again as a whole. Its header is matched by one expression that admits only the canonical spelling; a payload
is parsed once and compared with its own text, which is then what is hashed and stored. The checks are those of
``Record.from_wire`` and of the canonical form (RFC 8785, integers within ±(2^53 - 1)), none less.

``scan_record`` returns None for anything it does not take at first sight, right or wrong: the caller looks closer.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

from kiosk.records import MAX_DEPTH, MAX_SAFE_INTEGER, SALT_BYTES, Kind, Payload, PayloadClass, Record, Stream

_INTEGER = r"(0|-?[1-9][0-9]{0,15})"
_STRING = r'"([^"\\\x00-\x1f]*)"'
_HEADER = re.compile(
    rf'{{"header":({{"at_us":{_INTEGER},"boot_id":{_STRING},"clock_trust":{_STRING},"incarnation":{_STRING},'
    rf'"kind":{_STRING},"kiosk_id":{_STRING},"lane":{_STRING},"mono_ns":{_INTEGER},"payloads":(\[[a-z",]*\]),'
    rf'"ref":{_STRING},"seq":{_INTEGER},"stream":{_STRING},"v":1}}),"payloads":{{'
)
_KINDS = {str(kind): kind for kind in Kind}
_BODY, _SALT, _DIGEST, _END = '"body":', ',"salt":"', '"digest":"', '"}'
_SALT_HEX, _DIGEST_HEX = SALT_BYTES * 2, 64


def _openings() -> dict[str, tuple[tuple[PayloadClass, str], ...]]:
    """For each list of payload classes as a header spells it: how each payload begins."""
    found = {}
    for count in range(len(PayloadClass) + 1):
        for classes in combinations(sorted(PayloadClass), count):
            spelt = "[" + ",".join(f'"{cls}"' for cls in classes) + "]"
            found[spelt] = tuple((cls, f'{"," if place else ""}"{cls}":{{') for place, cls in enumerate(classes))
    return found


_OPENINGS = _openings()


def _refuse(text: str) -> Any:
    raise ValueError(text)


def _safe_int(text: str) -> int:
    value = int(text) if len(text) <= 17 else MAX_SAFE_INTEGER + 1
    if not -MAX_SAFE_INTEGER <= value <= MAX_SAFE_INTEGER:
        raise ValueError(text)
    return value


_decode = json.JSONDecoder(parse_float=_refuse, parse_constant=_refuse, parse_int=_safe_int).raw_decode
# What was just decoded holds no circle; looking for one costs a quarter of the writing.
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), sort_keys=True, check_circular=False).encode


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedRecord:
    """One record of a received batch.

    ``hash`` is its link in the chain, recomputed, or None where the record is too broken to have one. ``record``
    is None and ``refusal`` says why when it is outside the record contract; ``raw`` is its canonical JSON either
    way. ``bodies`` are the canonical texts of its payloads, as they were hashed.
    """

    seq: int
    hash: bytes | None
    record: Record | None
    refusal: str
    raw: str
    bodies: dict[PayloadClass, str] = field(default_factory=dict)


def scan_value(text: str, at: int) -> tuple[Any, int]:
    """The JSON value that begins at ``at``, and where it ends; raises ValueError unless it is spelt canonically.

    ``text`` must hold no character above U+FFFF: only then do sorted keys sort as RFC 8785 sorts them.
    """
    value, end = _decode(text, at)
    if _encode(value) != text[at:end]:
        raise ValueError("another form")
    return value, end


def scan_record(
    text: str, at: int, *, kiosk_id: str, incarnation: str, stream: Stream, seq: int, prev_hash: bytes
) -> tuple[ParsedRecord, int] | None:
    """The record with this identity that begins at ``at``, and where it ends; None when it needs a closer look.

    ``text`` must hold no character above U+FFFF. ``prev_hash`` is the link of the record before.
    """
    found = _HEADER.match(text, at)
    if found is None:
        return None
    (
        own,
        at_us,
        boot_id,
        clock_trust,
        own_incarnation,
        kind_name,
        own_kiosk,
        lane,
        mono_ns,
        classes,
        ref,
        own_seq,
        of,
    ) = found.groups()
    kind, openings = _KINDS.get(kind_name), _OPENINGS.get(classes)
    if kind is None or openings is None:
        return None
    if (own_kiosk, own_incarnation, of, own_seq) != (kiosk_id, incarnation, stream, str(seq)):
        return None
    start, at = at, found.end()
    payloads: dict[PayloadClass, Payload] = {}
    bodies: dict[PayloadClass, str] = {}
    link = hashlib.sha256(prev_hash + own.encode())
    try:
        for cls, opening in openings:
            if not text.startswith(opening, at):
                return None
            at += len(opening)
            if text.startswith(_BODY, at):
                body_at = at + len(_BODY)
                content, at = _decode(text, body_at)
                body = text[body_at:at]
                if _encode(content) != body:
                    return None
                # At least as strict as the contract's depth, and a count is quick; a closer look decides the rest.
                if type(content) is not dict or body.count("{") + body.count("[") > MAX_DEPTH:
                    return None
                if not text.startswith(_SALT, at):
                    return None
                at += len(_SALT)
                salt = _hex(text[at : at + _SALT_HEX], SALT_BYTES)
                at += _SALT_HEX
                digest = hashlib.sha256(salt + body.encode()).digest()
                payloads[cls] = Payload(digest, salt, content)
                bodies[cls] = body
            elif text.startswith(_DIGEST, at):
                at += len(_DIGEST)
                digest = _hex(text[at : at + _DIGEST_HEX], 32)
                at += _DIGEST_HEX
                payloads[cls] = Payload(digest)
            else:
                return None
            if not text.startswith(_END, at):
                return None
            at += len(_END)
            link.update(digest)
        if not text.startswith("}}", at):
            return None
        record = Record(
            kiosk_id=kiosk_id,
            incarnation=incarnation,
            stream=stream,
            seq=seq,
            kind=kind,
            at_us=_safe_int(at_us),
            clock_trust=clock_trust,
            boot_id=boot_id,
            mono_ns=_safe_int(mono_ns),
            lane=lane,
            ref=ref,
            payloads=payloads,
        )
    except (ValueError, RecursionError):
        return None
    at += 2
    return ParsedRecord(seq=seq, hash=link.digest(), record=record, refusal="", raw=text[start:at], bodies=bodies), at


def _hex(text: str, length: int) -> bytes:
    value = bytes.fromhex(text)
    if len(value) != length or value.hex() != text:
        raise ValueError(text)
    return value
