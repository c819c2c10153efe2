"""ISO/IEC 14443 type B on a PN532: finding a card, and the number of a resident ID card.

Reference: NXP UM0701-02, sections 7.3.5 (InListPassiveTarget, BrTy 03: 106 kbit/s type B, with an AFI) and 7.3.9
(InCommunicateThru); ISO/IEC 14443-3, 7.9 (ATQB: 50, PUPI 4, application data 4, protocol information 3 or 4). A
second-generation resident ID card answers with a PUPI of zeros, and to 00 36 00 00 08 with its own eight bytes and
90 00 (softs.im, "NfcB读取身份证UID"; several drivers of ID-card readers do the same). Its answer to ATTRIB is 08 where
the standard says 00; whether a given PN532 takes that is not known here: not yet tried on hardware.

The PUPI of other cards (passports, bank cards) may be drawn anew each time, so it names nobody.
"""

from __future__ import annotations

from dataclasses import dataclass

from drivers.errors import FrameError

ALL_FAMILIES = 0x00
TYPE_B_106 = 0x03
ATQB_BYTES = 12
ID_CARD_PUPI = bytes(4)
ID_NUMBER_APDU = bytes.fromhex("0036000008")
ID_NUMBER_BYTES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class TypeBTarget:
    """One type B card: its number in later commands, and its pseudo-unique identifier (4 bytes)."""

    tg: int
    pupi: bytes

    @property
    def may_be_id_card(self) -> bool:
        """A PUPI of zeros: worth asking for a resident ID card's number."""
        return self.pupi == ID_CARD_PUPI


def parse_type_b(data: bytes) -> TypeBTarget | None:
    """The card of an answer (its data without the code 4B): NbTg, Tg, ATQB, ATTRIB answer. None for no card.

    Raises FrameError.
    """
    if data == b"\x00":
        return None
    if len(data) < 2 + ATQB_BYTES + 1 or data[0] != 1 or data[2] != 0x50:
        raise FrameError("PN532 type B card", seen=data.hex(), expected="01 Tg 50 PUPI data protocol length answer")
    if data[2 + ATQB_BYTES] != len(data) - 3 - ATQB_BYTES:
        raise FrameError("PN532 type B card", seen=data.hex(), expected="an ATTRIB answer of the length it says")
    return TypeBTarget(tg=data[1], pupi=data[3:7])


def parse_id_number(data: bytes) -> bytes | None:
    """The eight bytes of an InCommunicateThru answer (status, then what the card said); None for anything else."""
    if len(data) != 1 + ID_NUMBER_BYTES + 2 or data[0] & 0x3F or data[-2:] != b"\x90\x00":
        return None
    number = data[1 : 1 + ID_NUMBER_BYTES]
    return number if any(number) else None
