"""A Wiegand reader behind a converter that writes each transmission as a line of ones and zeros."""

from __future__ import annotations

from config.errors import ConfigError
from drivers.cards.wiegand import encode
from drivers.simulators.rdm6300 import RepeatingPlayer
from drivers.simulators.registry import Spec

PERIOD_NS = 200_000_000
_UID_BYTES = {26: 3, 34: 4, 37: 4}


def wiegand_player(bits: int) -> RepeatingPlayer:
    """``bits`` 26 sends the low three bytes of a card's number, 34 all four, 37 a zero byte before them.

    Raises KeyError for other formats.
    """
    count = _UID_BYTES[bits]

    def line_of(uid: bytes) -> bytes:
        return encode(int.from_bytes(uid[-count:]), bits).encode() + b"\r\n"

    return RepeatingPlayer(line_of, (4,), PERIOD_NS)


def player(spec: Spec) -> RepeatingPlayer:
    """Option ``bits``: 26, 34 (the default) or 37."""
    bits = int(spec.number("bits", 34))
    if bits not in _UID_BYTES:
        raise ConfigError(f"simulated device {spec.name}, key bits", seen=str(bits), expected="26, 34 or 37")
    return wiegand_player(bits)
