"""The second-generation card at the gate: genuine cards are, and every forgery is told apart by its own outcome."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.cards import ntag424
from drivers.cards.ntag424 import CardKeys, ev2_dialogue, judge_sun_text, sun_dialogue
from drivers.cards.pn532 import Pn532Conversation
from drivers.devices import CardHint, CardTap, ProofKind, ProofOutcome
from drivers.simulators.ntag424_card import NtagCard, RecordedCard, personalised, recorded
from drivers.simulators.pn532 import Pn532Player, UidCard, uid_card
from tests.wire_loop import MS, WireLoop

UID = bytes.fromhex("04A1B2C3D4E5F6")
GATE, FILE, META = (bytes([value]) * 16 for value in (0x33, 0x22, 0x11))
KEYS = {UID: CardKeys(gate_key=GATE, file_key=FILE, key_version=7)}


def card(**changes: Any) -> NtagCard:
    return personalised(UID, **({"gate_key": GATE, "file_key": FILE, "meta_key": META} | changes))


def tapped(dialogue: Any, presented: Any, hold_ms: int = 1500) -> list[Any]:
    """What the conversation tells of a card, over a wire of 115200 baud in simulated time."""
    player = Pn532Player()
    loop = WireLoop(Pn532Conversation(dialogue), player).begin().run(100)
    player.put(presented, hold_ms * MS)
    loop.run(2500)
    return [event for _, event in loop.events]


def outcome(dialogue: Any, presented: Any) -> ProofOutcome:
    (tap,) = tapped(dialogue, presented)
    assert isinstance(tap, CardTap)
    assert tap.proof is not None
    return tap.proof.outcome


def ev2() -> Any:
    return ev2_dialogue(KEYS.get)


def sun() -> Any:
    return sun_dialogue(META, KEYS.get)


class Emulator(UidCard):
    """A device that shows a card's UID and plays back what it once read from the card."""

    def __init__(self, uid: bytes, file: bytes) -> None:
        super().__init__(uid, 0x0344, 0x20, bytes.fromhex("067777710280"))
        self.file = file

    def apdu(self, command: bytes) -> bytes:
        if command[:2] == b"\x00\xa4":
            return b"\x90\x00"
        if command[:2] == b"\x00\xb0":
            start = command[3]
            return self.file[start : start + command[4]] + b"\x90\x00"
        return bytes(16) + b"\x91\xaf" if command[1] == 0x71 else bytes(32) + b"\x91\x00"


def read_once(genuine: NtagCard) -> bytes:
    """What anybody with a phone reads from a card that he holds for a second."""
    genuine.apdu(bytes.fromhex("00A4040007D276000085010100"))
    genuine.apdu(bytes.fromhex("00A4000C02E104"))
    file = genuine.apdu(bytes.fromhex("00B0000000"))[:-2]
    genuine.power_off()
    return file


def test_a_genuine_card_proves_itself_under_ev2() -> None:
    """Challenge and response with the card's own key; the tap carries the proof and the key's version."""
    (tap,) = tapped(ev2(), card())
    assert (tap.uid, tap.proof.kind, tap.proof.outcome) == (UID, ProofKind.EV2, ProofOutcome.GENUINE)
    assert tap.proof.key_version == 7


def test_a_genuine_card_proves_itself_under_sun_and_its_counter_counts() -> None:
    """Each presentation shows the next counter, whatever was read in between."""
    genuine = card(read_ctr=41)
    (tap,) = tapped(sun(), genuine)
    assert (tap.proof.outcome, tap.proof.read_ctr) == (ProofOutcome.GENUINE, 42)
    read_once(genuine)
    (tap,) = tapped(sun(), genuine)
    assert (tap.proof.outcome, tap.proof.read_ctr) == (ProofOutcome.GENUINE, 44)


def test_a_copied_uid_is_not_the_card() -> None:
    """A blank card that shows a known UID fails under both strengths: it has no application."""
    assert outcome(ev2(), uid_card(UID)) is ProofOutcome.NOT_SUPPORTED
    assert outcome(sun(), uid_card(UID)) is ProofOutcome.NOT_SUPPORTED


def test_a_code_collected_ahead_passes_sun_but_not_ev2() -> None:
    """Pre-play: SUN alone cannot tell it (the text is the card's own), challenge and response does."""
    emulator = Emulator(UID, read_once(card()))
    assert outcome(sun(), emulator) is ProofOutcome.GENUINE
    assert outcome(ev2(), emulator) is ProofOutcome.EMULATED
    assert outcome(ev2(), recorded(card())) is ProofOutcome.EMULATED


def test_only_what_plays_a_code_is_called_a_device_that_plays_one() -> None:
    """One that lies at the challenge and has no code forges the card; one with the application alone copies its number;
    a chip that refuses our key is a card of another key, whatever it shows."""
    assert outcome(ev2(), Emulator(UID, b"\x00\x00")) is ProofOutcome.WRONG_KEY
    assert outcome(ev2(), RecordedCard(UID, b"\x00\x00")) is ProofOutcome.NOT_SUPPORTED
    assert outcome(ev2(), card(gate_key=bytes(16))) is ProofOutcome.WRONG_KEY


def test_a_number_on_a_chip_that_takes_no_commands_is_a_copy() -> None:
    """A card with this card's number of seven bytes and no answer to RATS: it is not asked, and never believed."""
    assert outcome(ev2(), UidCard(UID)) is ProofOutcome.NOT_SUPPORTED
    assert outcome(sun(), UidCard(UID)) is ProofOutcome.NOT_SUPPORTED


def test_a_card_of_another_site_or_with_another_key_is_refused() -> None:
    """Wrong gate key, wrong file key, wrong site key: three outcomes."""
    assert outcome(ev2(), card(gate_key=bytes(16))) is ProofOutcome.WRONG_KEY
    assert outcome(sun(), card(file_key=bytes(16))) is ProofOutcome.BAD_MAC
    assert outcome(sun(), card(meta_key=bytes(16))) is ProofOutcome.BAD_PICC_DATA


def test_a_blank_card_is_refused() -> None:
    """An NTAG 424 DNA from the factory has zero keys and an empty file."""
    assert outcome(ev2(), NtagCard(UID)) is ProofOutcome.WRONG_KEY
    assert outcome(sun(), NtagCard(UID)) is ProofOutcome.MALFORMED


class Answering(UidCard):
    """A card that has the application and answers the challenge with these status bytes."""

    def __init__(self, status: str) -> None:
        super().__init__(UID, 0x0344, 0x20, bytes.fromhex("067777710280"))
        self.status = bytes.fromhex(status)

    def apdu(self, command: bytes) -> bytes:
        return self.status if command[1] == 0x71 else b"\x90\x00" if command[1] == 0xA4 else b"\x6d\x00"


def test_a_card_that_makes_one_wait_is_no_forgery_and_one_without_the_key_is() -> None:
    """91AD after many failed tries, whosever: the holder is told to hold it longer. 9140: never personalised."""
    (hint,) = tapped(ev2(), Answering("91AD"))
    assert isinstance(hint, CardHint)
    assert outcome(ev2(), Answering("9140")) is ProofOutcome.WRONG_KEY
    assert outcome(ev2(), Answering("911C")) is ProofOutcome.NOT_SUPPORTED


def test_a_code_with_anything_behind_it_is_none() -> None:
    """The text is the whole of it."""
    text = ntag424.uri_of(read_once(card())[2:].rstrip(b"\x00")) or ""
    assert judge_sun_text(text, META, KEYS.get, uid=UID).outcome is ProofOutcome.GENUINE
    for more in ("0", "&e=1", " ", "\n"):
        assert judge_sun_text(text + more, META, KEYS.get, uid=UID).outcome is ProofOutcome.MALFORMED


def test_an_unknown_card_is_not_asked_under_ev2() -> None:
    """Without its keys there is nothing to ask: it is told at once."""
    stranger = personalised(bytes.fromhex("04FFFFFFFFFFFF"), gate_key=GATE, file_key=FILE, meta_key=META)
    assert outcome(ev2(), stranger) is ProofOutcome.UNKNOWN_CARD
    assert outcome(sun(), stranger) is ProofOutcome.UNKNOWN_CARD


def test_the_text_of_one_card_under_the_uid_of_another_is_a_mismatch() -> None:
    """The UID inside the code must be the one on the air."""
    other = bytes.fromhex("04FFFFFFFFFFFF")
    assert outcome(sun(), Emulator(other, read_once(card()))) is ProofOutcome.UID_MISMATCH


@pytest.mark.parametrize("hold_ms", [5, 25, 40, 55, 70])
def test_a_card_pulled_away_is_a_hint_or_nothing_but_never_a_refusal(hold_ms: int) -> None:
    """Whenever it leaves, a genuine card is genuine or asked for again; it is never called forged."""
    for event in tapped(ev2(), card(), hold_ms):
        assert isinstance(event, CardHint) or event.proof.outcome is ProofOutcome.GENUINE


@pytest.mark.parametrize("strength", ["ev2", "sun"])
def test_one_damaged_answer_that_no_checksum_caught_does_not_make_a_card_forged(strength: str) -> None:
    """Two changes that cancel out in the sum: the card is asked again and is genuine."""
    damage = iter([True])

    def cancel_out(data: bytes) -> bytes:
        if data[5:7] == b"\xd5\x41" and len(data) > 25 and next(damage, False):
            return data[:10] + bytes(((data[10] + 1) % 256, (data[11] - 1) % 256)) + data[12:]
        return data

    player = Pn532Player()
    dialogue = ev2() if strength == "ev2" else sun()
    loop = WireLoop(Pn532Conversation(dialogue), player, to_host=cancel_out).begin().run(100)
    player.put(card(), 1500 * MS)
    loop.run(2500)
    ((_, tap),) = loop.events
    assert tap.proof.outcome is ProofOutcome.GENUINE
    assert next(damage, None) is None


def test_the_retired_gate_key_is_replaced_by_the_sealed_one() -> None:
    """After a theft the central ships key 4: the same card goes on working, the stolen key 3 opens nothing."""
    sealed = bytes([0x44]) * 16
    same = card(sealed_gate_key=sealed)
    shipped = ev2_dialogue({UID: CardKeys(gate_key=sealed, file_key=FILE, gate_key_no=4, key_version=8)}.get)
    assert outcome(shipped, same) is ProofOutcome.GENUINE
    assert outcome(shipped, card(gate_key=sealed, sealed_gate_key=bytes(16))) is ProofOutcome.WRONG_KEY


@given(st.text(max_size=700))
def test_any_text_is_judged_without_an_exception(text: str) -> None:
    """Whatever a card shows as its text, only a real code is genuine."""
    assert judge_sun_text(text, META, KEYS.get).outcome is not ProofOutcome.GENUINE


@given(st.binary(max_size=300))
def test_any_ndef_message_is_read_or_refused(message: bytes) -> None:
    """No message raises."""
    ntag424.uri_of(message)


@given(st.lists(st.binary(max_size=300), min_size=6, max_size=6))
@settings(max_examples=25)
def test_no_answers_of_a_hostile_card_make_it_genuine_or_break_the_reader(answers: list[bytes]) -> None:
    """Random answers to every command: a hint or a refusal, never an exception and never genuine."""
    replies = iter(answers * 50)

    class Hostile(UidCard):
        def apdu(self, command: bytes) -> bytes:
            return next(replies)[:200]

    hostile = Hostile(UID, 0x0344, 0x20, bytes.fromhex("067777710280"))
    for dialogue in (ev2(), sun()):
        for event in tapped(dialogue, hostile, 400):
            assert isinstance(event, CardHint) or event.proof.outcome is not ProofOutcome.GENUINE


@given(st.text(alphabet=st.characters(min_codepoint=33, max_codepoint=126), max_size=200))
def test_an_address_survives_its_ndef_record(path: str) -> None:
    """What is written to a card is what is read from it."""
    address = "https://" + path
    assert ntag424.uri_of(ntag424.ndef_of_uri(address)) == address
