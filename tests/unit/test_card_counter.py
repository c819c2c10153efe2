"""The counter's rule and what proofs mean for the pass."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.devices import CardProof, ProofKind, ProofOutcome
from kiosk.credentials.card_counter import AcceptedCode, CounterFlag, conflicts, judge_counter, merged
from kiosk.credentials.card_proof import flag_of_proof, refusal_of_proof
from kiosk.evidence import CardStrength
from kiosk.reasons import Reason

EV2 = CardProof(kind=ProofKind.EV2, outcome=ProofOutcome.GENUINE)


def sun(read_ctr: int, outcome: ProofOutcome = ProofOutcome.GENUINE) -> CardProof:
    return CardProof(kind=ProofKind.SUN, outcome=outcome, read_ctr=read_ctr)


@given(st.lists(st.integers(0, 30), max_size=40))
def test_no_counter_is_accepted_twice_and_none_below_an_accepted_one(counters: list[int]) -> None:
    """Whatever is played back in whatever order, accepted counters only rise."""
    last, accepted = 0, []
    for counter in counters:
        if judge_counter(counter, last).accepted:
            accepted.append(counter)
            last = counter
    assert accepted == sorted(set(accepted))


def test_flags() -> None:
    """A jump of over 500 and the last value are remarked; a card's first tap is no jump."""
    assert judge_counter(501, 1).flag is None
    assert judge_counter(502, 1).flag is CounterFlag.COUNTER_JUMP
    assert judge_counter(9000, 0).flag is None
    assert judge_counter(0xFFFFFF, 5).flag is CounterFlag.COUNTER_EXHAUSTED
    assert flag_of_proof(sun(0xFFFFFF), 0) is CounterFlag.COUNTER_EXHAUSTED
    assert flag_of_proof(EV2, 0) is None


def code(kiosk: str, read_ctr: int, at_us: int) -> AcceptedCode:
    return AcceptedCode(card=b"card", kiosk=kiosk, read_ctr=read_ctr, at_us=at_us)


def test_an_impossible_order_between_kiosks_is_a_conflict() -> None:
    """Counter 7 used after 900 was used elsewhere, and one counter used at both: the codes exist twice."""
    (found,) = conflicts([code("K1", 900, 10), code("K2", 7, 20)])
    assert (found.earlier.read_ctr, found.later.read_ctr) == (900, 7)
    assert conflicts([code("K1", 7, 10), code("K2", 7, 10)])
    assert conflicts([code("K1", 900, 10), code("K1", 901, 11), code("K2", 900, 30)])
    assert not conflicts([code("K1", 900, 10), code("K2", 901, 20)])


def test_clocks_that_are_a_little_apart_are_no_clone() -> None:
    """Within the tolerance a lower counter may seem later; an equal one is never in order."""
    assert not conflicts([code("K1", 8, 10), code("K2", 7, 12)], clock_tolerance_us=5)
    assert conflicts([code("K1", 8, 10), code("K2", 8, 12)], clock_tolerance_us=5)


def test_after_a_sync_every_kiosk_keeps_the_highest() -> None:
    """The maximum over all registers."""
    assert merged([{b"a": 3, b"b": 9}, {b"a": 5}]) == {b"a": 5, b"b": 9}


@pytest.mark.parametrize(
    ("proof", "required", "reason"),
    [
        (None, CardStrength.UID, None),
        (sun(1, ProofOutcome.BAD_MAC), CardStrength.UID, None),
        (None, CardStrength.SUN, Reason.CARD_WEAK),
        (None, CardStrength.EV2, Reason.CARD_WEAK),
        (sun(43), CardStrength.SUN, None),
        (sun(42), CardStrength.SUN, Reason.CARD_REPLAYED),
        (sun(43), CardStrength.EV2, Reason.CARD_WEAK),
        (CardProof(kind=ProofKind.SUN, outcome=ProofOutcome.GENUINE), CardStrength.SUN, Reason.CARD_REPLAYED),
        (EV2, CardStrength.PASS_CODE, Reason.CARD_WEAK),
        (EV2, CardStrength.SUN, None),
        (EV2, CardStrength.EV2, None),
        (sun(43, ProofOutcome.BAD_MAC), CardStrength.SUN, Reason.CARD_FORGED),
        (sun(43, ProofOutcome.BAD_PICC_DATA), CardStrength.SUN, Reason.CARD_OTHER_SITE),
        (sun(43, ProofOutcome.UID_MISMATCH), CardStrength.SUN, Reason.CARD_CLONED),
        (CardProof(kind=ProofKind.EV2, outcome=ProofOutcome.WRONG_KEY), CardStrength.EV2, Reason.CARD_FORGED),
        (CardProof(kind=ProofKind.EV2, outcome=ProofOutcome.EMULATED), CardStrength.EV2, Reason.CARD_EMULATED),
        (CardProof(kind=ProofKind.EV2, outcome=ProofOutcome.NOT_SUPPORTED), CardStrength.EV2, Reason.CARD_CLONED),
    ],
)
def test_what_a_proof_means(proof: CardProof | None, required: CardStrength, reason: Reason | None) -> None:
    """Each way of not proving a card has its own reason; what is required decides."""
    assert refusal_of_proof(proof, required, 42) is reason


@pytest.mark.parametrize("outcome", [outcome for outcome in ProofOutcome if outcome is not ProofOutcome.GENUINE])
@pytest.mark.parametrize("kind", list(ProofKind))
def test_no_failed_proof_is_ever_accepted(outcome: ProofOutcome, kind: ProofKind) -> None:
    """A new outcome cannot slip through."""
    for required in (CardStrength.SUN, CardStrength.EV2):
        assert refusal_of_proof(CardProof(kind=kind, outcome=outcome, read_ctr=99), required, 0) is not None
