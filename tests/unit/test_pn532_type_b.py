"""Type B on the PN532: a resident ID card's number, other cards that name nobody, and the lists under any bytes."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.cards.pn532 import Pn532Conversation
from drivers.cards.pn532_commands import in_communicate_thru, in_list_type_b
from drivers.cards.pn532_type_b import ID_NUMBER_APDU, TypeBTarget, parse_id_number, parse_type_b
from drivers.devices import CardHint, CardTap
from drivers.errors import FrameError
from drivers.simulators.pn532 import Pn532Player, TypeBCard, uid_card
from tests.wire_loop import MS, WireLoop

NUMBER = bytes.fromhex("8A31C2550F17E46D")
# softs.im, "NfcB读取身份证UID": ATQB of two resident ID cards, here as InListPassiveTarget hands them over.
LISTED = bytes.fromhex("0101" + "50" + "00000000" + "D103860C" + "008080" + "0108")


def gate(*, id_cards: bool = True) -> tuple[WireLoop, Pn532Player]:
    player = Pn532Player()
    return WireLoop(Pn532Conversation(id_cards=id_cards), player).begin().run(100), player


def test_the_commands_are_those_of_the_manual() -> None:
    """BrTy 03, all families; the ID card's question without the chip's own protocol."""
    assert in_list_type_b().hex() == "0000ff05fbd44a010300de00"
    assert in_communicate_thru(ID_NUMBER_APDU).hex() == "0000ff07f9d4420036000008ac00"


def test_an_id_card_is_a_tap_with_its_number_once_a_presentation() -> None:
    """Held for a second and a half: one tap of eight bytes without proof; away and back: another."""
    loop, player = gate()
    for _ in range(2):
        player.put(TypeBCard(NUMBER), 1500 * MS)
        loop.run(2500)
    assert [event for _, event in loop.events] == [CardTap(uid=NUMBER, at_ns=event.at_ns) for _, event in loop.events]
    assert len(loop.events) == 2


def test_another_type_b_card_names_nobody() -> None:
    """A passport draws its number anew: a hint, never somebody."""
    loop, player = gate()
    player.put(TypeBCard(b"", pupi=bytes.fromhex("1A2B3C4D")), 1000 * MS)
    loop.run(2000)
    ((_, tap),) = loop.events
    assert isinstance(tap, CardTap)
    assert tap.random_uid


def test_an_id_card_that_does_not_tell_its_number_is_asked_again_and_is_no_tap() -> None:
    """Hints while it stays."""
    loop, player = gate()
    player.put(TypeBCard(b""), 600 * MS)
    loop.run(1500)
    assert loop.events
    assert {type(event) for _, event in loop.events} == {CardHint}


def test_type_a_cards_are_read_as_before_and_without_the_setting_id_cards_are_not_seen() -> None:
    """An ordinary card between polls for the other kind; and silence where nobody asked for type B."""
    loop, player = gate()
    player.put(uid_card(bytes.fromhex("5AE2B3DE")), 500 * MS)
    loop.run(1000)
    ((_, tap),) = loop.events
    assert isinstance(tap, CardTap)
    assert tap.uid.hex() == "5ae2b3de"
    loop, player = gate(id_cards=False)
    player.put(TypeBCard(NUMBER), 1000 * MS)
    assert loop.run(2000).events == []


@pytest.mark.parametrize("data", [b"", b"\x02", LISTED[:-1], LISTED + b"\x00", LISTED.replace(b"\x50", b"\x51")])
def test_a_list_out_of_order_is_told(data: bytes) -> None:
    """Cut off, too long, no ATQB."""
    with pytest.raises(FrameError):
        parse_type_b(data)


def test_a_list_and_a_number_are_read() -> None:
    """What published sessions show; a number of zeros, another status or a length of its own are none."""
    assert parse_type_b(LISTED) == TypeBTarget(tg=1, pupi=bytes(4))
    assert parse_type_b(b"\x00") is None
    assert parse_id_number(b"\x00" + NUMBER + b"\x90\x00") == NUMBER
    for wrong in (
        b"\x01" + NUMBER + b"\x90\x00",
        b"\x00" + NUMBER + b"\x6a\x82",
        b"\x00" + bytes(8) + b"\x90\x00",
        b"",
    ):
        assert parse_id_number(wrong) is None


@given(st.binary(max_size=40))
def test_any_bytes_are_a_card_or_a_reason(data: bytes) -> None:
    """No other exception than the frame's own."""
    with contextlib.suppress(FrameError):
        parse_type_b(data)
    parse_id_number(data)
