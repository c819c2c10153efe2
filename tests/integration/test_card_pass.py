"""From the issuing desk to the finding at the gate: genuine cards pass, every forgery has its own reason."""

from __future__ import annotations

import threading
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from drivers.cards.ntag424 import CardKeys, ev2_dialogue, sun_dialogue
from drivers.cards.ntag424_issue import Role, SiteKeys, desk_dialogue
from drivers.cards.pn532 import Pn532Conversation
from drivers.devices import CardProof, CardTap, ProofKind, ProofOutcome
from drivers.simulators.ntag424_card import NtagCard, personalised
from drivers.simulators.pn532 import Pn532Player, UidCard, uid_card
from kiosk.card_keys import CardKeysError, CardKeyStore
from kiosk.credentials.card_counter import AcceptedCode
from kiosk.credentials.card_pass import pass_of_card
from kiosk.database import Failure
from kiosk.evidence import CardStrength
from kiosk.reasons import ClockTrust, Reason, Remark
from kiosk.roster import Roster
from tests.fakes import MORNING_US
from tests.faulty_database import FaultPlan
from tests.wire_loop import MS, WireLoop

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=ZoneInfo("Asia/Shanghai"))
SITE = SiteKeys("SITE01", card_master=bytes(range(16)), site_master=bytes(range(16, 32)))
EV2, SUN, LOST, OLD = (bytes.fromhex(f"04a1b2c3d4e5{last:02x}") for last in (1, 2, 3, 4))
ROSTER = [
    b"person_id,name,category,card_uid,card_strength,revoked\n",
    *(
        f"R-{number},,resident,{uid.hex()},{strength},{revoked}\n".encode()
        for number, (uid, strength, revoked) in enumerate(
            [(EV2, "ev2", ""), (SUN, "sun", ""), (LOST, "ev2", "yes"), (OLD, "uid", "")]
        )
    ),
]


class Gate:
    """A site's roster and keys, and a reader of a strength."""

    def __init__(self, folder: Path) -> None:
        self.roster = Roster.open(folder / "roster.db", bytes(32))
        assert self.roster.import_csv(ROSTER, at_us=MORNING_US).bad == []
        self.keys = CardKeyStore.open(folder / "card-keys.db", bytes(32))
        self.keys.take((uid, kiosk_keys(uid)) for uid in (EV2, SUN, LOST))

    def tapped(self, strength: str, card: Any) -> Any:
        """Hold the card to the reader; what the gate makes of the tap."""
        dialogues = {"ev2": ev2_dialogue(self.keys.keys_of), "sun": sun_dialogue(SITE.meta(), self.keys.keys_of)}
        player = Pn532Player()
        loop = WireLoop(Pn532Conversation(dialogues[strength]), player).begin().run(100)
        player.put(card, 1500 * MS)
        loop.run(2500)
        ((_, tap),) = loop.events
        return self.finding(tap)

    def finding(self, tap: CardTap) -> Any:
        return pass_of_card(tap, self.roster, self.keys, lane="in-1", place="east-gate", at=NOON)


def kiosk_keys(uid: bytes) -> CardKeys:
    return CardKeys(gate_key=SITE.of(uid, Role.GATE), file_key=SITE.of(uid, Role.FILE))


@pytest.fixture
def gate(memory_folder: Path) -> Gate:
    return Gate(memory_folder)


def issued(uid: bytes) -> NtagCard:
    """A blank card that went over the desk's reader."""
    card, reports, player = NtagCard(uid), [], Pn532Player()
    dialogue = desk_dialogue(SITE, reports.append, address="https://gate.example/p", public_key=None)
    loop = WireLoop(Pn532Conversation(dialogue), player).begin().run(100)
    player.put(card, 2000 * MS)
    loop.run(2500)
    assert [report.changed for report in reports] == [True]
    return card


class Recording(UidCard):
    """An emulator with a card's number and a text that was read from it."""

    def __init__(self, card: NtagCard) -> None:
        super().__init__(card.uid, card.atqa, card.sak, card.ats)
        for apdu in ("00A4040007D276000085010100", "00A4000C02E104"):
            card.apdu(bytes.fromhex(apdu))
        self.file = card.apdu(bytes.fromhex("00B0000000"))[:-2]
        card.power_off()

    def apdu(self, command: bytes) -> bytes:
        if command[:2] == b"\x00\xb0":
            return self.file[command[3] : command[3] + command[4]] + b"\x90\x00"
        if command[0] == 0x90:
            return bytes(16) + b"\x91\xaf" if command[1] == 0x71 else bytes(32) + b"\x91\x00"
        return b"\x90\x00"


def test_an_issued_card_passes_again_and_again(gate: Gate) -> None:
    """Both strengths, three taps each, with the strength that was proved in the finding."""
    for uid, strength in ((EV2, "ev2"), (SUN, "sun")):
        card = issued(uid)
        for _ in range(3):
            finding = gate.tapped(strength, card)
            assert (finding.refusal, finding.strength) == (None, CardStrength(strength))


def test_a_copied_number_is_a_clone(gate: Gate) -> None:
    """A blank or legacy card that shows an issued number."""
    assert gate.tapped("ev2", uid_card(EV2)).refusal is Reason.CARD_CLONED
    assert gate.tapped("sun", uid_card(SUN)).refusal is Reason.CARD_CLONED


def test_a_code_counts_once(gate: Gate) -> None:
    """Recorded from the card and shown after the card itself was here: replayed."""
    card = issued(SUN)
    recording = Recording(card)
    assert gate.tapped("sun", card).refusal is None
    assert gate.tapped("sun", recording).refusal is Reason.CARD_REPLAYED
    fresh = Recording(card)
    assert gate.tapped("sun", fresh).refusal is None  # pre-play: what sun cannot see, once ...
    assert gate.tapped("sun", fresh).refusal is Reason.CARD_REPLAYED  # ... and only once


def test_a_code_collected_ahead_is_worth_nothing_under_ev2(gate: Gate) -> None:
    """Pre-play fails at challenge and response, and a rolling code is too weak where ev2 is asked for."""
    recording = Recording(issued(EV2))
    assert gate.tapped("ev2", recording).refusal is Reason.CARD_EMULATED
    assert gate.tapped("sun", recording).refusal is Reason.CARD_WEAK


def test_revoked_foreign_and_wrong_key_cards_have_their_own_reasons(gate: Gate) -> None:
    """Each refusal names what it is."""
    assert gate.tapped("ev2", issued(LOST)).refusal is Reason.CARD_REVOKED
    stranger = personalised(bytes.fromhex("04ffffffffffff"), gate_key=bytes(16), file_key=bytes(16), meta_key=bytes(16))
    assert gate.tapped("sun", stranger).refusal is Reason.CARD_OTHER_SITE
    assert gate.tapped("ev2", stranger).refusal is Reason.CARD_UNKNOWN
    wrong = personalised(EV2, gate_key=bytes(16), file_key=bytes(16), meta_key=SITE.meta())
    assert gate.tapped("ev2", wrong).refusal is Reason.CARD_FORGED


def test_a_weak_card_is_remarked_where_cards_are_asked_for_more(gate: Gate) -> None:
    """The guard is to look at the holder; not of a card that proved itself, nor at a gate that asks nobody."""
    assert gate.tapped("ev2", uid_card(OLD)).remarks == (Remark.WEAK_CARD,)
    assert gate.tapped("sun", uid_card(OLD)).remarks == (Remark.WEAK_CARD,)
    assert gate.finding(CardTap(uid=OLD, at_ns=0)).remarks == ()
    assert gate.tapped("ev2", issued(EV2)).remarks == ()
    assert gate.tapped("ev2", uid_card(EV2)).remarks == ()


def test_a_legacy_card_of_the_roster_still_passes_as_weak(gate: Gate) -> None:
    """At a gate of strength ev2 a card that may be weak is asked for nothing more, and is marked."""
    finding = gate.tapped("ev2", uid_card(OLD))
    assert (finding.refusal, finding.strength) == (None, CardStrength.UID)


def test_after_a_theft_the_sealed_keys_take_over(gate: Gate) -> None:
    """The central ships key 4: the same card passes, and what was stolen opens nothing."""
    card = issued(EV2)
    stolen = personalised(EV2, gate_key=card.keys[3], file_key=card.keys[2], meta_key=SITE.meta())
    assert gate.tapped("ev2", stolen).refusal is None
    sealed = CardKeys(gate_key=SITE.of(EV2, Role.SEALED_GATE), file_key=card.keys[2], gate_key_no=4, key_version=1)
    gate.keys.take([(EV2, sealed)])
    assert gate.tapped("ev2", card).refusal is None
    assert gate.tapped("ev2", stolen).refusal is Reason.CARD_FORGED


# --- the store ------------------------------------------------------------------------------------------------


def code(read_ctr: int) -> CardTap:
    proof = CardProof(kind=ProofKind.SUN, outcome=ProofOutcome.GENUINE, read_ctr=read_ctr)
    return CardTap(uid=SUN, at_ns=1, proof=proof)


def test_keys_and_counters_survive_and_no_key_stands_in_the_file(memory_folder: Path) -> None:
    """Reopened they are there; the file holds neither key nor number; another secret opens none."""
    path = memory_folder / "card-keys.db"
    keys = kiosk_keys(EV2)
    with CardKeyStore.open(path, bytes(32)) as store:
        store.take([(EV2, keys)])
        assert store.accept(EV2, 7, at_us=MORNING_US)
    with CardKeyStore.open(path, bytes(32)) as store:
        assert store.keys_of(EV2) == keys
        assert store.last_accepted(EV2) == 7
        assert not store.accept(EV2, 7, at_us=MORNING_US)
    content = b"".join(file.read_bytes() for file in memory_folder.iterdir())
    assert keys.gate_key not in content
    assert EV2 not in content
    with CardKeyStore.open(path, b"\1" * 32) as store:
        assert store.keys_of(EV2) is None


def test_a_moved_row_yields_no_key(memory_folder: Path) -> None:
    """Sealed keys are bound to their card: swapping rows is noticed."""
    with CardKeyStore.open(memory_folder / "card-keys.db", bytes(32)) as store:
        store.take([(EV2, kiosk_keys(EV2)), (SUN, kiosk_keys(SUN))])
        store._database.run(
            "UPDATE card_key SET keys_sealed = (SELECT keys_sealed FROM card_key WHERE card_hash = ?)",
            (store.card_hash(SUN),),
        )
        assert store.keys_of(SUN) == kiosk_keys(SUN)
        with pytest.raises(CardKeysError, match="does not open"):
            store.keys_of(EV2)


@pytest.mark.parametrize("change", ["UPDATE card_key SET gate_key_no = 4", "UPDATE card_key SET key_version = 4"])
def test_keys_cannot_be_put_back_under_another_slot_or_version(memory_folder: Path, change: str) -> None:
    """Who can write the file cannot make a retired key count again."""
    with CardKeyStore.open(memory_folder / "card-keys.db", bytes(32)) as store:
        store.take([(EV2, kiosk_keys(EV2))])
        store._database.run(change)
        with pytest.raises(CardKeysError, match="does not open"):
            store.keys_of(EV2)


def test_only_a_card_that_is_accepted_spends_its_code(gate: Gate) -> None:
    """A code shown with a card that is refused for another reason is not used up."""
    assert gate.roster.import_csv([ROSTER[0], ROSTER[2].replace(b",\n", b",yes\n")], at_us=MORNING_US).bad == []
    assert gate.finding(code(5)).refusal is Reason.CARD_REVOKED
    assert gate.keys.last_accepted(SUN) == 0


def heard(store: CardKeyStore, read_ctr: int, at_us: int) -> bool:
    """Whether a neighbour's news is a conflict."""
    told = AcceptedCode(card=store.card_hash(SUN), kiosk="north", read_ctr=read_ctr, at_us=at_us)
    return store.hear(told) is not None


def test_what_a_neighbour_tells_of_a_card_is_a_clone_only_where_it_cannot_be_otherwise(memory_folder: Path) -> None:
    """Told twice, or at a time that nobody knows: nothing. The same code at another time, or a lower one later: two."""
    second_us = 1_000_000
    with CardKeyStore.open(memory_folder / "card-keys.db", bytes(32)) as store:
        assert store.accept(SUN, 9, at_us=MORNING_US)
        assert not heard(store, 9, MORNING_US + second_us), "the same news"
        assert heard(store, 9, MORNING_US + 60 * second_us)
        assert not heard(store, 7, 0), "a clock that nobody trusts proves no order"
        assert not heard(store, 7, MORNING_US - 60 * second_us)
        assert heard(store, 7, MORNING_US + 60 * second_us)
        assert not heard(store, 10, MORNING_US + 61 * second_us)
        assert store.last_accepted(SUN) == 10


def test_an_accepted_code_of_an_untrusted_clock_proves_no_order(gate: Gate) -> None:
    """The counter counts; its time does not."""
    tap = code(9)
    found = pass_of_card(
        tap, gate.roster, gate.keys, lane="in-1", place="east-gate", at=NOON, clock_trust=ClockTrust.NONE
    )
    assert found.refusal is None
    assert gate.keys.last_accepted(SUN) == 9
    assert not heard(gate.keys, 7, round(NOON.timestamp() * 1_000_000) + 60_000_000)


def test_two_lanes_cannot_spend_one_code(gate: Gate) -> None:
    """Eight threads with the same code: one passes."""
    results: list[Reason | None] = []
    barrier = threading.Barrier(8)

    def lane() -> None:
        barrier.wait()
        results.append(gate.finding(code(5)).refusal)

    threads = [threading.Thread(target=lane) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results, key=str) == sorted([None] + [Reason.CARD_REPLAYED] * 7, key=str)


def test_a_full_disk_keeps_nobody_out_and_lets_nothing_in_twice(memory_folder: Path) -> None:
    """The counter cannot be written: the genuine code passes, the same code does not."""
    plan = FaultPlan()
    store = CardKeyStore.open(memory_folder / "card-keys.db", bytes(32), open_database=plan.open)
    plan.fail_at, plan.failure = plan.calls + 1, Failure.FULL
    assert store.accept(SUN, 5, at_us=MORNING_US)
    assert plan.failed == 1
    assert not store.accept(SUN, 5, at_us=MORNING_US)
    assert store.last_accepted(SUN) == 5
    assert store.accept(SUN, 6, at_us=MORNING_US)
    store.close()


def test_counters_of_other_kiosks_only_raise(memory_folder: Path) -> None:
    """After a sync the highest stands."""
    with CardKeyStore.open(memory_folder / "card-keys.db", bytes(32)) as store:
        store.accept(EV2, 900, at_us=MORNING_US)
        store.raise_counters({store.card_hash(EV2): 7, store.card_hash(SUN): 12}, at_us=MORNING_US)
        assert (store.last_accepted(EV2), store.last_accepted(SUN)) == (900, 12)
        assert store.counters() == {store.card_hash(EV2): 900, store.card_hash(SUN): 12}
