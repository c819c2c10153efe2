"""A reader that writes the card's UID as a line of hex digits, again every 200 ms while the card is held."""

from __future__ import annotations

from drivers.simulators.rdm6300 import RepeatingPlayer
from drivers.simulators.registry import Spec

PERIOD_NS = 200_000_000


def line_of(uid: bytes) -> bytes:
    """The line, with CR and LF."""
    return uid.hex().upper().encode() + b"\r\n"


def player(spec: Spec) -> RepeatingPlayer:
    """A reader without options."""
    return RepeatingPlayer(line_of, (4, 7, 10), PERIOD_NS)
