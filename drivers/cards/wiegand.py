"""Wiegand bit streams: 26, 34 and 37 bits of a card, 4 or 8 bits of a key.

26 and 34 bits: the first bit makes the first half's parity even, the last bit the second half's odd. 37 bits: even
over bits 1 to 19, odd over bits 19 to 37 (the middle bit counts in both). Keys: a nibble, or its inverse and itself.
Source: ESPHome component wiegand. Over OSDP (reply RAW) the bits come packed, the first one highest.
"""

from __future__ import annotations

from dataclasses import dataclass

KEYS = "0123456789*#"
_HALVES = {26: 13, 34: 17, 37: 19}


@dataclass(frozen=True, slots=True)
class WiegandCard:
    """The number between the parity bits: 24, 32 or 35 bits."""

    value: int
    bits: int

    @property
    def number(self) -> bytes:
        """MSB first; 26 bits carry the low three bytes of a card's number only."""
        return self.value.to_bytes(-(-(self.bits - 2) // 8))


@dataclass(frozen=True, slots=True)
class WiegandKey:
    """A key of the keypad: 0 to 9, * or #."""

    key: str


def decode(stream: str) -> WiegandCard | WiegandKey | None:
    """A whole transmission as ``0`` and ``1``; None when a bit was lost, added or changed."""
    if set(stream) - {"0", "1"}:
        return None
    if len(stream) in (4, 8):
        return _key(stream)
    half = _HALVES.get(len(stream))
    if half is None or stream[:half].count("1") % 2 or not stream[-half:].count("1") % 2:
        return None
    return WiegandCard(int(stream[1:-1], 2), len(stream))


def _key(stream: str) -> WiegandKey | None:
    low = int(stream[-4:], 2)
    if len(stream) == 8 and int(stream[:4], 2) != low ^ 0xF:
        return None
    return WiegandKey(KEYS[low]) if low < len(KEYS) else None


def encode(value: int, bits: int) -> str:
    """The transmission of a number in 26, 34 or 37 bits. Raises ValueError where it does not fit."""
    half = _HALVES[bits]
    body = f"{value:0{bits - 2}b}"
    if len(body) != bits - 2:
        raise ValueError(f"{value} does not fit in {bits - 2} bits")
    first = body[: half - 1].count("1") % 2
    last = 1 - body[-(half - 1) :].count("1") % 2
    return f"{first}{body}{last}"


def bits_of_packed(data: bytes, count: int) -> str:
    """The first ``count`` bits of packed bytes, as OSDP's RAW reply has them. Raises ValueError for too few bytes."""
    if not 0 <= count <= 8 * len(data):
        raise ValueError(f"{count} bits in {len(data)} bytes")
    return "".join(f"{byte:08b}" for byte in data)[:count]


def packed(stream: str) -> bytes:
    """The bits packed, the first one highest, zeros behind the last."""
    padded = stream + "0" * (-len(stream) % 8)
    return bytes(int(padded[at : at + 8], 2) for at in range(0, len(padded), 8))
