"""What a card's cryptographic proof means for the pass: the refusal, or None. Pure.

The roster says what a card must prove at least (``uid``, ``sun``, ``ev2``); the tap says what it did prove
(:class:`drivers.devices.CardProof`). A card that should prove itself and cannot is a copy of its number.
"""

from __future__ import annotations

from drivers.devices import CardProof, ProofKind, ProofOutcome
from kiosk.credentials.card_counter import CounterFlag, judge_counter
from kiosk.evidence import CardStrength
from kiosk.reasons import Reason

_REFUSALS = {
    ProofOutcome.UNKNOWN_CARD: Reason.CARD_UNKNOWN,
    ProofOutcome.WRONG_KEY: Reason.CARD_FORGED,
    ProofOutcome.EMULATED: Reason.CARD_EMULATED,
    ProofOutcome.BAD_MAC: Reason.CARD_FORGED,
    ProofOutcome.MALFORMED: Reason.CARD_FORGED,
    ProofOutcome.BAD_PICC_DATA: Reason.CARD_OTHER_SITE,
    ProofOutcome.UID_MISMATCH: Reason.CARD_CLONED,
    ProofOutcome.NOT_SUPPORTED: Reason.CARD_CLONED,
}


def refusal_of_proof(proof: CardProof | None, required: CardStrength, last_accepted: int) -> Reason | None:
    """Why the proof does not do for a known, unrevoked card; None when it does.

    ``last_accepted`` is the card's highest counter accepted here (0 for none). The caller raises it to
    ``proof.read_ctr`` when, and only when, the pass as a whole is accepted.
    """
    if required is CardStrength.UID:
        return None
    if proof is None or required is CardStrength.PASS_CODE:
        return Reason.CARD_WEAK
    if proof.outcome is not ProofOutcome.GENUINE:
        return _REFUSALS[proof.outcome]
    if proof.kind is ProofKind.EV2:
        return None
    if required is CardStrength.EV2:
        return Reason.CARD_WEAK
    if proof.read_ctr is None or not judge_counter(proof.read_ctr, last_accepted).accepted:
        return Reason.CARD_REPLAYED
    return None


def proven_strength(proof: CardProof | None) -> CardStrength:
    """What a card that was not refused has proved."""
    if proof is None or proof.outcome is not ProofOutcome.GENUINE:
        return CardStrength.UID
    return CardStrength.EV2 if proof.kind is ProofKind.EV2 else CardStrength.SUN


def flag_of_proof(proof: CardProof | None, last_accepted: int) -> CounterFlag | None:
    """The remark on an accepted rolling code, for the guard and the journal."""
    if proof is None or proof.read_ctr is None:
        return None
    return judge_counter(proof.read_ctr, last_accepted).flag
