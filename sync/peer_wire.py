"""One datagram between two kiosks of a site: sealed, bounded, and nothing of it read before it is known to be theirs.

    bytes  0..3    "GPN1"
           4..15   nonce, random
           16..    ChaCha20-Poly1305 (RFC 8439) of the body, with the first 16 bytes bound to it; the key is the site's

    body   session 8, echo 8, number u64, stamp_ms u64, echo_stamp_ms u64, held_ms u32, first u32, newest u32,
           have u32, kiosk text, count u8, then each fact: number u32, kind u8, age_ms u64, what 16, showing 16,
           read_ctr u32, place text.  Numbers are big-endian; a text is its length (u8) and as many ASCII characters.

What the fields are for stands in ``sync/peer.py``. Pure.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from kiosk.neighbours import MAX_PLACE_CHARS, Fact, FactKind
from sync.errors import WireError

MAGIC = b"GPN1"
NONCE_BYTES = 12
TAG_BYTES = 16
MAX_DATAGRAM_BYTES = 1200
"""Fits into one frame of every network, IPv6 tunnels included (RFC 8200 section 5: 1280 with its headers)."""
MAX_FACTS = 10
MAX_KIOSK_CHARS = 32
MAX_AGE_MS = 14 * 86_400_000
_HEAD = struct.Struct(">8s8sQQQIIII")
_FACT = struct.Struct(">IBQ16s16sI")


@dataclass(frozen=True, slots=True)
class SentFact:
    """A fact under its sender's running number, ``age_ms`` old when it was sent."""

    number: int
    fact: Fact
    age_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Datagram:
    """What one kiosk tells another; ``facts`` carry no moment of their own, only ages."""

    kiosk: str
    session: bytes
    echo: bytes
    number: int
    stamp_ms: int
    echo_stamp_ms: int
    held_ms: int
    first: int
    newest: int
    have: int
    facts: tuple[SentFact, ...] = ()


def seal(key: bytes, datagram: Datagram, random_bytes: Callable[[int], bytes] = os.urandom) -> bytes:
    """The datagram's bytes under the site's ``key`` (32 bytes)."""
    header = MAGIC + random_bytes(NONCE_BYTES)
    body = _HEAD.pack(
        datagram.session,
        datagram.echo,
        datagram.number,
        datagram.stamp_ms,
        datagram.echo_stamp_ms,
        datagram.held_ms,
        datagram.first,
        datagram.newest,
        datagram.have,
    )
    body += _text(datagram.kiosk) + bytes((len(datagram.facts),))
    for sent in datagram.facts:
        fact = sent.fact
        body += _FACT.pack(sent.number, fact.kind, sent.age_ms, fact.what, fact.showing, fact.read_ctr)
        body += _text(fact.place)
    return header + ChaCha20Poly1305(key).encrypt(header[4:], body, header)


def open_sealed(key: bytes, data: bytes) -> Datagram:
    """The datagram in ``data``. Raises WireError for anything that the holders of ``key`` did not make, and for a body
    of another form; the facts' moments are left at 0 for the receiver to set."""
    head = len(MAGIC) + NONCE_BYTES
    if not head + TAG_BYTES + _HEAD.size <= len(data) <= MAX_DATAGRAM_BYTES or not data.startswith(MAGIC):
        raise WireError("neighbour's datagram", seen=f"{len(data)} bytes", expected="one of this version")
    try:
        body = ChaCha20Poly1305(key).decrypt(data[4:head], data[head:], data[:head])
    except InvalidTag:
        raise WireError("neighbour's datagram", seen="another key", expected="this site's") from None
    try:
        return _read(body)
    except (ValueError, struct.error, IndexError):
        raise WireError(
            "neighbour's datagram", seen="a body of another form", expected="docs/formats-sync.md"
        ) from None


def _read(body: bytes) -> Datagram:
    session, echo, number, stamp_ms, echo_stamp_ms, held_ms, first, newest, have = _HEAD.unpack_from(body)
    kiosk, at = _take_text(body, _HEAD.size, MAX_KIOSK_CHARS)
    count, at = body[at], at + 1
    if count > MAX_FACTS:
        raise ValueError("facts")
    facts = []
    for _ in range(count):
        fact_number, kind, age_ms, what, showing, read_ctr = _FACT.unpack_from(body, at)
        place, at = _take_text(body, at + _FACT.size, MAX_PLACE_CHARS)
        if age_ms > MAX_AGE_MS:
            raise ValueError("age")
        fact = Fact(kind=FactKind(kind), what=what, showing=showing, read_ctr=read_ctr, place=place, mono_ns=0)
        facts.append(SentFact(fact_number, fact, age_ms))
    if at != len(body):
        raise ValueError("more bytes")
    return Datagram(
        kiosk=kiosk,
        session=session,
        echo=echo,
        number=number,
        stamp_ms=stamp_ms,
        echo_stamp_ms=echo_stamp_ms,
        held_ms=held_ms,
        first=first,
        newest=newest,
        have=have,
        facts=tuple(facts),
    )


def _text(text: str) -> bytes:
    raw = text.encode("ascii")
    return bytes((len(raw),)) + raw


def _take_text(body: bytes, at: int, longest: int) -> tuple[str, int]:
    size = body[at]
    raw = body[at + 1 : at + 1 + size]
    text = raw.decode("ascii")
    if len(raw) != size or not 0 < size <= longest or not text.isprintable():
        raise ValueError("text")
    return text, at + 1 + size
