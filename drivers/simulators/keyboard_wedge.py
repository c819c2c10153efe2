"""A USB reader that types: the kernel's input events of the card's number in ten digits and Enter, 4 ms a key.

On a pseudo-terminal in place of an input device; what a kernel adds besides (synchronisation events) is there too.
"""

from __future__ import annotations

from typing import Any

from drivers.simulators.registry import Spec
from drivers.typed_input import EV_KEY, EVENT

KEY_US = 4_000
EV_SYN = 0
_CODES = dict(zip("1234567890\n", (*range(2, 12), 28), strict=True))


def events_of(text: str, at_us: int) -> bytes:
    """Down and up of every key of ``text`` (digits and line feed), the first at ``at_us``."""
    out = b""
    for sign in text:
        for value in (1, 0):
            seconds, micros = divmod(at_us, 1_000_000)
            out += EVENT.pack(seconds, micros, EV_KEY, _CODES[sign], value) + EVENT.pack(seconds, micros, EV_SYN, 0, 0)
            at_us += KEY_US // 2
    return out


class WedgePlayer:
    """Types a card's number once a presentation, as such readers do."""

    def __init__(self) -> None:
        self._cards: list[bytes] = []

    def received(self, data: bytes, at_ns: int) -> list[bytes]:
        """It does not listen."""
        return []

    def due_ns(self) -> int | None:
        """At once when a card is there."""
        return 0 if self._cards else None

    def due(self, at_ns: int) -> list[bytes]:
        """The key events of every card that was tapped."""
        cards, self._cards = self._cards, []
        return [events_of(f"{int.from_bytes(card):010}\n", at_ns // 1000) for card in cards]

    def command(self, line: dict[str, Any]) -> dict[str, Any]:
        """``{"do": "tap", "uid": hex}`` with four bytes."""
        match line.get("do"):
            case "tap":
                try:
                    uid = bytes.fromhex(str(line["uid"]))
                except (KeyError, ValueError) as error:
                    raise ValueError(f"tap needs a uid in hex: {error!r}") from error
                if len(uid) != 4:
                    raise ValueError(f"a card of {len(uid)} bytes; this reader knows four")
                self._cards.append(uid)
            case "power_on":
                self._cards.clear()
            case other:
                raise ValueError(f"a keyboard reader cannot {other!r}; it knows tap and power_on")
        return {}


def player(spec: Spec) -> WedgePlayer:
    """A reader without options."""
    return WedgePlayer()
