"""The many written forms of one card number, and finding the card that a form means.

The same four bytes are printed on cards and sent by readers as hex, as decimal, as 3+5 digits, as Wiegand bits, and
each of these with the bytes reversed. Which form a reader sends is a setting of the reader; guessing it would let
one card pass for another. Forms of 24 bits leave a byte unknown: they name a card only where the roster has exactly
one with these three bytes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from config.number_form import NumberForm
from drivers.cards import wiegand
from drivers.devices import CardTap

_SPACES = re.compile(r"[\s:\-]")
_HEX_BYTES = (4, 5, 7, 8, 10)


@dataclass(frozen=True, slots=True)
class CardNumber:
    """What a form tells of a card's UID, MSB first; ``unknown_first`` or ``unknown_last`` bytes it does not tell."""

    known: bytes
    unknown_first: int = 0
    unknown_last: int = 0

    @property
    def complete(self) -> bool:
        """The form tells every byte."""
        return not self.unknown_first and not self.unknown_last

    def means(self, uid: bytes) -> bool:
        """Could this be the card with that UID?"""
        whole = len(uid) == self.unknown_first + len(self.known) + self.unknown_last
        return whole and uid[self.unknown_first : len(uid) - self.unknown_last] == self.known


def tap_of(number: CardNumber, at_ns: int) -> CardTap:
    """The tap of a card whose reader wrote this number."""
    return CardTap(uid=number.known, at_ns=at_ns, unknown_first=number.unknown_first, unknown_last=number.unknown_last)


class AmbiguousError(ValueError):
    """The form means several cards: it opens for none of them."""


def parse(form: NumberForm, text: str) -> CardNumber | None:
    """The number that ``text`` writes in this form; None when it does not."""
    return _PARSERS[form](text.strip())


def find(number: CardNumber, uids: Iterable[bytes]) -> bytes | None:
    """The one card of ``uids`` that is meant, None for none. Raises AmbiguousError for several."""
    found = [uid for uid in uids if number.means(uid)]
    if len(found) > 1:
        raise AmbiguousError(f"{len(found)} cards share the part of the number that this reader sends")
    return found[0] if found else None


def _hex(text: str) -> CardNumber | None:
    digits = _SPACES.sub("", text)
    if not re.fullmatch(r"(?:[0-9A-Fa-f]{2})+", digits) or len(digits) // 2 not in _HEX_BYTES:
        return None
    return CardNumber(bytes.fromhex(digits))


def _dec10(text: str) -> CardNumber | None:
    if not re.fullmatch(r"[0-9]{10}", text) or int(text) > 0xFFFFFFFF:
        return None
    return CardNumber(int(text).to_bytes(4))


def _wg26(text: str) -> CardNumber | None:
    match = re.fullmatch(r"([0-9]{3}),([0-9]{5})", text)
    if match is None or int(match[1]) > 0xFF or int(match[2]) > 0xFFFF:
        return None
    return CardNumber(int(match[1]).to_bytes(1) + int(match[2]).to_bytes(2), unknown_first=1)


def _bits(count: int) -> Callable[[str], CardNumber | None]:
    def parse_bits(text: str) -> CardNumber | None:
        card = wiegand.decode(text) if len(text) == count else None
        if not isinstance(card, wiegand.WiegandCard):
            return None
        return CardNumber(card.number, unknown_first=1 if count == 26 else 0)

    return parse_bits


def _reversed(straight: Callable[[str], CardNumber | None]) -> Callable[[str], CardNumber | None]:
    def parse_reversed(text: str) -> CardNumber | None:
        number = straight(text)
        return number and CardNumber(number.known[::-1], number.unknown_last, number.unknown_first)

    return parse_reversed


_PARSERS: dict[NumberForm, Callable[[str], CardNumber | None]] = {
    NumberForm.HEX: _hex,
    NumberForm.HEX_REVERSED: _reversed(_hex),
    NumberForm.DEC10: _dec10,
    NumberForm.DEC10_REVERSED: _reversed(_dec10),
    NumberForm.WG26: _wg26,
    NumberForm.WG26_REVERSED: _reversed(_wg26),
    NumberForm.WG26_BITS: _bits(26),
    NumberForm.WG34_BITS: _bits(34),
    NumberForm.WG34_BITS_REVERSED: _reversed(_bits(34)),
    NumberForm.WG37_BITS: _bits(37),
}
