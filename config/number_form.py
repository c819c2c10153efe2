"""How a card's number may be written by a reader: the one list that settings and decoders share."""

from enum import StrEnum


class NumberForm(StrEnum):
    """How a reader writes a card's number (``docs/cards.md``)."""

    HEX = "hex"
    HEX_REVERSED = "hex_reversed"
    DEC10 = "dec10"
    DEC10_REVERSED = "dec10_reversed"
    WG26 = "wg26"
    """ggg,nnnnn: one byte, then two, in decimal."""
    WG26_REVERSED = "wg26_reversed"
    WG26_BITS = "wg26_bits"
    WG34_BITS = "wg34_bits"
    WG34_BITS_REVERSED = "wg34_bits_reversed"
    WG37_BITS = "wg37_bits"
