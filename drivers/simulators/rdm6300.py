"""An RDM6300: while a 125 kHz card is near, its number every 65 ms; otherwise nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from drivers.simulators.registry import Spec

PERIOD_NS = 65_000_000


def frame(number: bytes, version: int = 0x01) -> bytes:
    """The 14 bytes of a card with this four-byte number."""
    raw = bytes((version,)) + number
    check = 0
    for byte in raw:
        check ^= byte
    return b"\x02" + (raw + bytes((check,))).hex().upper().encode() + b"\x03"


class RepeatingPlayer:
    """A reader that repeats ``message`` of the card for as long as the card is held."""

    def __init__(self, message: Callable[[bytes], bytes], uid_bytes: tuple[int, ...], period_ns: int) -> None:
        self._message = message
        self._uid_bytes = uid_bytes
        self._period_ns = period_ns
        self._card = b""
        self._hold_ns = 0
        self._end_ns: int | None = None
        self._next_ns: int | None = None

    def received(self, data: bytes, at_ns: int) -> list[bytes]:
        """It does not listen."""
        return []

    def due_ns(self) -> int | None:
        """When the number is sent next."""
        return self._next_ns

    def due(self, at_ns: int) -> list[bytes]:
        """The number, while the card is there."""
        if self._next_ns is None or at_ns < self._next_ns:
            return []
        if self._end_ns is None:
            self._end_ns = at_ns + self._hold_ns
        if at_ns >= self._end_ns:
            self._next_ns = None
            return []
        self._next_ns = at_ns + self._period_ns
        return [self._message(self._card)]

    def command(self, line: dict[str, Any]) -> dict[str, Any]:
        """``{"do": "tap", "uid": hex, "hold_ms": 300}``."""
        match line.get("do"):
            case "tap":
                try:
                    uid, hold_ms = bytes.fromhex(str(line["uid"])), int(line.get("hold_ms", 300))
                except (KeyError, TypeError, ValueError) as error:
                    raise ValueError(f"tap needs a uid in hex and hold_ms: {error!r}") from error
                if len(uid) not in self._uid_bytes:
                    raise ValueError(f"a card of {len(uid)} bytes; this reader knows {self._uid_bytes}")
                self._card, self._hold_ns = uid, hold_ms * 1_000_000
                self._end_ns, self._next_ns = None, 0
            case "power_on":
                self._next_ns = None
            case other:
                raise ValueError(f"this reader cannot {other!r}; it knows tap and power_on")
        return {}


def player(spec: Spec) -> RepeatingPlayer:
    """A reader without options."""
    return RepeatingPlayer(frame, (4,), PERIOD_NS)
