"""Issuing a card: whole, interrupted anywhere, repeated, refused; and the issued card at the gate."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from drivers.cards.ntag424 import CardKeys, ev2_dialogue, is_genuine_nxp, sun_dialogue
from drivers.cards.ntag424_ev2 import NotSupportedError, WrongKeyError
from drivers.cards.ntag424_issue import Issued, Role, SiteKeys, desk_dialogue, issue, mirror_settings
from drivers.cards.pn532 import Pn532Conversation
from drivers.devices import ProofOutcome
from drivers.errors import DeviceError, DriverError
from drivers.simulators.ntag424_card import NtagCard, public_key_of
from drivers.simulators.pn532 import Pn532Player, uid_card
from tests.wire_loop import MS, WireLoop

UID = bytes.fromhex("04A1B2C3D4E5F6")
MAKER = ec.derive_private_key(1234567, ec.SECP224R1())
PUBLIC = public_key_of(MAKER)
KEYS = SiteKeys("SITE01", card_master=bytes(range(16)), site_master=bytes(range(16, 32)))
ADDRESS = "https://gate.example/p"


def carried(exchange: Generator[bytes, bytes, Any], card: Any, pulled_after: int | None = None) -> Any:
    """Carry an exchange to a card; None when the card is pulled away after so many commands."""
    card.power_off()
    answer = None
    try:
        for count in range(200):
            apdu = next(exchange) if answer is None else exchange.send(answer)
            if count == pulled_after:
                exchange.close()
                card.power_off()
                return None
            answer = card.apdu(apdu)
    except StopIteration as end:
        return end.value
    raise AssertionError("an endless exchange")


def issued(card: Any, pulled_after: int | None = None, keys: SiteKeys = KEYS) -> Issued | None:
    return carried(issue(UID, keys, address=ADDRESS, public_key=PUBLIC), card, pulled_after)


def kiosk_keys() -> dict[bytes, CardKeys]:
    return {UID: CardKeys(gate_key=KEYS.of(UID, Role.GATE), file_key=KEYS.of(UID, Role.FILE))}


def at_the_gate(dialogue: Any, card: Any) -> Any:
    player = Pn532Player()
    loop = WireLoop(Pn532Conversation(dialogue), player).begin().run(100)
    player.put(card, 1000 * MS)
    loop.run(1500)
    ((_, tap),) = loop.events
    return tap.proof


def test_an_issued_card_opens_under_both_strengths() -> None:
    """What the desk writes is what the gate verifies, with keys derived from UID, role and site."""
    card = NtagCard(UID, maker=MAKER)
    assert issued(card) == Issued(UID, 1, changed=True)
    assert at_the_gate(ev2_dialogue(kiosk_keys().get), card).outcome is ProofOutcome.GENUINE
    proof = at_the_gate(sun_dialogue(KEYS.meta(), kiosk_keys().get), card)
    assert (proof.outcome, proof.read_ctr) == (ProofOutcome.GENUINE, 1)
    assert all(version == 1 for version in card.versions.values())
    assert card.keys == KEYS.all_of(UID)


@pytest.mark.parametrize("pulled_after", range(30))
def test_a_card_pulled_away_at_any_command_can_be_finished(pulled_after: int) -> None:
    """No moment bricks a card: presented again, it is completed, and then opens."""
    card = NtagCard(UID, maker=MAKER)
    issued(card, pulled_after)
    assert issued(card) is not None
    assert at_the_gate(ev2_dialogue(kiosk_keys().get), card).outcome is ProofOutcome.GENUINE
    assert at_the_gate(sun_dialogue(KEYS.meta(), kiosk_keys().get), card).outcome is ProofOutcome.GENUINE


def test_the_parametrised_moments_cover_the_whole_exchange() -> None:
    """30 commands are more than issuing takes, so that every moment was tried above."""
    assert issued(NtagCard(UID, maker=MAKER), pulled_after=29) is not None


class Deaf(NtagCard):
    """A card that says "done" to what it is told to write, and writes something else, ``lies`` times."""

    lies = 1

    def apdu(self, command: bytes) -> bytes:
        if command[:2] == b"\x00\xd6" and self.lies:
            self.lies -= 1
            command = command[:20] + bytes((command[20] ^ 1,)) + command[21:]
        return NtagCard.apdu(self, command)


def test_a_text_that_did_not_arrive_whole_is_noticed_and_written_again() -> None:
    """Writing has no MAC: a damaged text is read back before key 0 is changed, and the next tap mends it."""
    card = Deaf(UID, maker=MAKER)
    with pytest.raises(DeviceError, match="another text"):
        issued(card)
    assert card.versions[0] == 0
    assert issued(card) == Issued(UID, 1, changed=True)
    assert at_the_gate(sun_dialogue(KEYS.meta(), kiosk_keys().get), card).outcome is ProofOutcome.GENUINE


def test_a_card_begun_with_another_address_is_not_finished_with_this_one() -> None:
    """Its text can no longer be changed, and mirrors at this address' places would spoil it; with its own it opens."""
    card = NtagCard(UID, maker=MAKER)
    assert any(_mirrored(card, count) for count in range(30))
    with pytest.raises(DeviceError, match="another text"):
        carried(issue(UID, KEYS, address="https://other-gate.example/p", public_key=PUBLIC), card)
    assert issued(card) == Issued(UID, 1, changed=True)
    assert at_the_gate(sun_dialogue(KEYS.meta(), kiosk_keys().get), card).outcome is ProofOutcome.GENUINE


def _mirrored(card: NtagCard, pulled_after: int) -> bool:
    """Begin the card up to one command more; whether its mirrors are set now, and its key 0 is not yet changed."""
    issued(card, pulled_after)
    return card.files[2].sdm is not None and card.versions[0] == 0


def test_a_finished_card_is_left_as_it_is() -> None:
    """A second tap at the desk changes nothing and says so."""
    card = NtagCard(UID, maker=MAKER)
    issued(card)
    assert issued(card) == Issued(UID, 1, changed=False)


def test_cards_of_others_and_other_cards_are_refused_unchanged() -> None:
    """Another site's card, an imitation of the chip, and a card of another kind."""
    other = NtagCard(UID, maker=MAKER)
    issued(other, keys=SiteKeys("OTHER", card_master=bytes(16), site_master=bytes(16)))
    before = dict(other.keys)
    with pytest.raises(WrongKeyError):
        issued(other)
    assert other.keys == before
    imitation = NtagCard(UID)
    with pytest.raises(DeviceError, match="genuine"):
        issued(imitation)
    assert imitation.keys == dict.fromkeys(range(5), bytes(16))
    with pytest.raises(NotSupportedError):
        issued(uid_card(UID))


def test_a_finished_card_whose_keys_are_of_another_version_is_told() -> None:
    """Key 0 is ours and another key is not: nobody's card of today, and left as it is."""
    card = NtagCard(UID, maker=MAKER)
    issued(card)
    card.versions[3] = 2
    with pytest.raises(DeviceError, match="key 3 of version 2"):
        issued(card)


class Forgetful(NtagCard):
    """A card that says "done" to the change of key 0 and keeps the old one."""

    def _change_key(self, header: bytes, plain: bytes) -> bytes:
        return b"\x91\x00" if header == b"\x00" else NtagCard._change_key(self, header, plain)


def test_a_card_that_kept_the_factorys_key_is_not_called_finished() -> None:
    """The last answer has no MAC, so that the new key has to prove itself."""
    with pytest.raises(WrongKeyError):
        issued(Forgetful(UID, maker=MAKER))


def test_a_card_begun_with_other_master_keys_is_not_finished_with_these() -> None:
    """The same version number, other keys (a desk that drew new ones): told, key 0 untouched, finished with its own."""
    other = SiteKeys("SITE01", card_master=bytes(16), site_master=bytes(16))
    for pulled_after in range(6, 20):
        card = NtagCard(UID, maker=MAKER)
        issued(card, pulled_after, keys=other)
        if not any(card.versions.values()):
            continue
        with pytest.raises(DeviceError, match="another site's key 1"):
            issued(card)
        assert card.versions[0] == 0
        assert issued(card, keys=other) == Issued(UID, 1, changed=True)
    assert card.versions[4] == 1


def test_a_makers_signature_is_for_numbers_of_seven_bytes_alone() -> None:
    """As numbers 7 bytes and the same with zeros before them are equal: a longer UID does not borrow a signature."""
    card = NtagCard(UID, maker=MAKER)
    card.apdu(bytes.fromhex("00A4040007D276000085010100"))
    signature = card.apdu(bytes.fromhex("903C0000010000"))[:-2]
    assert is_genuine_nxp(UID, signature, PUBLIC)
    assert not is_genuine_nxp(bytes(3) + UID, signature, PUBLIC)
    assert not is_genuine_nxp(UID, signature + b"\x00", PUBLIC)


def test_half_issued_by_another_site_is_refused() -> None:
    """Keys of a foreign version are not overwritten."""
    card = NtagCard(UID, maker=MAKER)
    card.versions[2] = 9
    with pytest.raises(DeviceError, match="version 9"):
        issued(card)


def test_the_desk_issues_tap_after_tap_in_under_five_seconds_a_card() -> None:
    """Over the reader's real pace: each card takes under 1.5 s of wire and air; one report a presentation."""
    reports: list[Issued | DriverError] = []
    player = Pn532Player()
    dialogue = desk_dialogue(KEYS, reports.append, address=ADDRESS, public_key=PUBLIC)
    loop = WireLoop(Pn532Conversation(dialogue), player).begin().run(100)
    for number in range(3):
        begun_ns = loop.now_ns
        player.put(NtagCard(UID[:-1] + bytes((number,)), maker=MAKER), 1500 * MS)
        while len(reports) == number:
            loop.run(10)
        assert loop.now_ns - begun_ns < 1500 * MS
        loop.run(2000)
    assert [report.changed for report in reports] == [True, True, True]


def test_the_desk_is_told_why_a_card_cannot_be_issued() -> None:
    """A legacy card at the desk is one report, not three tries."""
    reports: list[Issued | DriverError] = []
    player = Pn532Player()
    dialogue = desk_dialogue(KEYS, reports.append, address=ADDRESS, public_key=PUBLIC)
    loop = WireLoop(Pn532Conversation(dialogue), player).begin().run(100)
    player.put(uid_card(UID), 1500 * MS)
    loop.run(2000)
    assert [type(report) for report in reports] == [NotSupportedError]


def test_keys_follow_from_uid_role_site_and_version() -> None:
    """Another UID, role, site or version is another key; nothing secret is in a repr."""
    keys = {KEYS.of(UID, role) for role in Role} | {KEYS.of(bytes(7), Role.GATE)}
    keys |= {SiteKeys("SITE01", KEYS.card_master, KEYS.site_master, version=2).of(UID, Role.GATE)}
    keys |= {SiteKeys("SITE02", KEYS.card_master, KEYS.site_master).of(UID, Role.GATE)}
    assert len(keys) == len(Role) + 3
    assert "000102" not in repr(KEYS)


def test_the_mirror_settings_are_those_of_the_application_note() -> None:
    """FileOption, rights, SDM options and offsets in the order of AN12196, section 5.9."""
    settings = mirror_settings(ADDRESS)
    assert settings.hex() == "4000e0c1ff12" + "180000" + "3b0000" + "3b0000"
