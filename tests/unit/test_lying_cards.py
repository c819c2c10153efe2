"""What a card can say inside right frames: no lie makes it genuine, spoils a genuine card at the desk, or raises."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from config.errors import GatepostError
from drivers.cards.ntag424 import CardKeys, ev2_dialogue, prove_ev2, prove_sun, sun_dialogue
from drivers.cards.ntag424_inspect import CardState, Inspection, inspect
from drivers.cards.ntag424_issue import Issued, Role, SiteKeys, desk_dialogue, issue
from drivers.cards.pcsc import GET_UID, CardGoneError, prove, uid_of
from drivers.devices import CardProof, CardTap, ProofKind, ProofOutcome
from drivers.simulators.ntag424_card import ATS, NtagCard, personalised, public_key_of, recorded
from drivers.simulators.pn532 import UidCard
from tests.liars import Liar, Recorded, Tape, carried

UID = bytes.fromhex("04A1B2C3D4E5F6")
GATE, FILE, META = (bytes([value]) * 16 for value in (0x33, 0x22, 0x11))
KEYS = {UID: CardKeys(gate_key=GATE, file_key=FILE)}
TAP = CardTap(uid=UID, at_ns=0, ats=ATS)
ADDRESS = "https://gate.example/p"
MAKER = ec.derive_private_key(1234567, ec.SECP224R1())
PUBLIC = public_key_of(MAKER)
SITE = SiteKeys("SITE01", card_master=bytes(range(16)), site_master=bytes(range(16, 32)))


def genuine(**changes: Any) -> NtagCard:
    return personalised(UID, **({"gate_key": GATE, "file_key": FILE, "meta_key": META, "read_ctr": 7} | changes))


def tape_of_a_thief() -> Tape:
    """Two whole exchanges of the genuine card under each strength: counters 8 and 9."""
    card, tape = genuine(), Tape()
    for _ in range(2):
        for exchange in (prove_ev2(KEYS[UID]), prove_sun(UID, META, KEYS.get)):
            card.power_off()
            assert carried(exchange, Recorded(card, tape)).outcome is ProofOutcome.GENUINE
    return tape


TAPE = tape_of_a_thief()
READ_BY_THE_THIEF = {8, 9}


def signatures_of_others() -> Tape:
    """What three genuine chips of other numbers answer when they are issued."""
    tape = Tape()
    for last in range(3):
        uid = UID[:-1] + bytes((last,))
        card = Recorded(NtagCard(uid, maker=MAKER), tape)
        assert isinstance(carried(issue(uid, SITE, address=ADDRESS, public_key=PUBLIC), card), Issued)
    return tape


SIGNED = signatures_of_others()
RECORDED = recorded(genuine())  # counter 8 again
KEYLESS: tuple[Callable[[], Any], ...] = (
    lambda: NtagCard(UID),
    lambda: genuine(gate_key=bytes(16), file_key=bytes(16)),
    lambda: genuine(gate_key=FILE, file_key=GATE, meta_key=bytes(16)),
    lambda: RECORDED,
    lambda: UidCard(UID, 0x0344, 0x20, ATS),
)


def at_the_gate(rng: random.Random) -> None:
    """Cards without our keys, and somebody with a tape of ours: nothing under ev2, under sun recorded codes alone."""
    card = rng.choice(KEYLESS)()
    liar = Liar(card, rng, TAPE, lies=rng.choice((0.2, 0.5, 1.0)))
    proof = carried(ev2_dialogue(KEYS.get)(TAP), liar)
    assert isinstance(proof, GatepostError) or proof.outcome is not ProofOutcome.GENUINE
    proof = carried(sun_dialogue(META, KEYS.get)(TAP), liar)
    if isinstance(proof, CardProof) and proof.outcome is ProofOutcome.GENUINE:
        assert proof.read_ctr in READ_BY_THE_THIEF  # the counter's rule, not the proof, stops those
    else:
        assert isinstance(proof, GatepostError | CardProof)


def disturbed_at_the_gate(rng: random.Random) -> None:
    """The genuine card behind a line that lies: genuine or not, its counter is never another one than it counted."""
    card = genuine()
    proof = carried(sun_dialogue(META, KEYS.get)(TAP), Liar(card, rng, lies=0.2, deaf=0.1))
    if isinstance(proof, CardProof) and proof.outcome is ProofOutcome.GENUINE:
        assert proof.read_ctr is not None
        assert 7 < proof.read_ctr <= card.read_ctr
    card.power_off()
    assert carried(ev2_dialogue(KEYS.get)(TAP), card).outcome is ProofOutcome.GENUINE


def at_the_desk(rng: random.Random) -> None:
    """A blank or begun card behind a line that lies: called finished only when it is, and never spoilt."""
    card = NtagCard(UID)
    told: list[Any] = []
    for _ in range(rng.randrange(1, 3)):
        liar = Liar(card, rng, lies=rng.choice((0.03, 0.1, 0.3)), deaf=rng.choice((0.0, 0.05)))
        card.power_off()
        carried(desk_dialogue(SITE, told.append, address=ADDRESS, public_key=None)(TAP), liar)
        if told and isinstance(told[-1], Issued):
            assert card.keys == SITE.all_of(UID)
    card.power_off()
    done = carried(issue(UID, SITE, address=ADDRESS, public_key=None), card)
    assert isinstance(done, Issued), done
    assert card.keys == SITE.all_of(UID)
    keys = {UID: CardKeys(gate_key=SITE.of(UID, Role.GATE), file_key=SITE.of(UID, Role.FILE))}
    card.power_off()
    assert carried(prove_sun(UID, SITE.meta(), keys.get), card).outcome is ProofOutcome.GENUINE


def inspected(rng: random.Random) -> None:
    """A liar on the desk's reader: told as something or as an error, believed to be ours by proof alone, unchanged."""
    card = rng.choice((NtagCard(UID), genuine()))
    before = dict(card.keys), dict(card.versions)
    found = carried(inspect(TAP, SITE, public_key=None), Liar(card, rng, TAPE, lies=0.5))
    assert isinstance(found, Inspection | GatepostError)
    assert not isinstance(found, Inspection) or found.state is not CardState.ISSUED
    assert (card.keys, card.versions) == before


def imitated(rng: random.Random) -> None:
    """A chip that its maker never signed, with signatures of other chips at hand: refused, and unchanged."""
    card = NtagCard(UID)
    carried(issue(UID, SITE, address=ADDRESS, public_key=PUBLIC), Liar(card, rng, SIGNED, lies=0.5))
    assert card.keys == dict.fromkeys(range(5), bytes(16))


class OnPcsc:
    """A liar on a PC/SC reader; it may leave at any moment."""

    atr = ATS

    def __init__(self, liar: Liar, rng: random.Random) -> None:
        self._liar = liar
        self._rng = rng

    def transmit(self, apdu: bytes) -> bytes:
        if self._rng.random() < 0.03:
            raise CardGoneError("card")
        return UID + b"\x90\x00" if apdu == GET_UID and self._rng.random() < 0.8 else self._liar.apdu(apdu)

    def close(self) -> None:
        """Nothing to let go."""


def on_pcsc(rng: random.Random) -> None:
    """The same liars on the other kind of reader: a tap without a proof that counts, or a hint."""
    card = OnPcsc(Liar(rng.choice(KEYLESS)(), rng, TAPE, lies=rng.choice((0.2, 0.5, 1.0))), rng)
    try:
        uid = uid_of(card)
    except CardGoneError:
        return
    dialogue = rng.choice((ev2_dialogue(KEYS.get), sun_dialogue(META, KEYS.get)))
    event = prove(card, replace(TAP, uid=uid), dialogue).event
    if isinstance(event, CardTap) and event.proof is not None and event.proof.outcome is ProofOutcome.GENUINE:
        assert event.proof.kind is ProofKind.SUN
        assert event.proof.read_ctr in READ_BY_THE_THIEF


STREAMS = {
    "gate": at_the_gate,
    "disturbed": disturbed_at_the_gate,
    "desk": at_the_desk,
    "inspected": inspected,
    "imitated": imitated,
    "pcsc": on_pcsc,
}


@pytest.mark.parametrize("name", sorted(STREAMS))
def test_no_lie_of_a_card_is_believed(name: str) -> None:
    """3,000 streams each."""
    for number in range(3000):
        STREAMS[name](random.Random(number))


@pytest.mark.campaign
@pytest.mark.timeout(43200)
@pytest.mark.parametrize("name", sorted(STREAMS))
def test_no_lie_of_a_million_is_believed(name: str) -> None:
    """1,000,000 streams each; the first number is printed, and each stream can be played again by its own."""
    first = int(os.environ.get("GATEPOST_FUZZ_SEED", time.time_ns() % 1_000_000)) * 1_000_000
    print(f"{name}: streams {first} and on")
    for number in range(first, first + 1_000_000):
        STREAMS[name](random.Random(number))
