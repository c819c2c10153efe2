"""A card by its number and by what it proved: what the roster says of it. Pure but for the roster's own look-up.

A number alone can be copied (legacy, weak); the roster says which cards must prove more
(``kiosk/credentials/card_proof.py``).
"""

from __future__ import annotations

from datetime import datetime

from drivers.devices import CardTap, ProofOutcome
from kiosk.credentials.card_proof import flag_of_proof, proven_strength, refusal_of_proof
from kiosk.evidence import CardStrength, PassFinding
from kiosk.reasons import ClockTrust, Reason, Remark
from kiosk.roster import Roster, RosterEntry


def pass_of_uid(
    tap: CardTap,
    roster: Roster,
    *,
    lane: str,
    place: str,
    at: datetime,
    clock_trust: ClockTrust = ClockTrust.SYNCED,
    last_accepted: int = 0,
) -> PassFinding:
    """The finding for a tap in ``lane`` of the gate ``place``, at ``at`` (aware, in the site's time zone).

    The first thing wrong is the refusal: unknown, ambiguous, revoked, not proved as the roster asks for
    (``last_accepted`` is the card's highest rolling counter accepted here), not yet or no longer valid, another gate,
    out of hours. With
    clock trust ``none`` a card that is limited in time is refused as ``clock_untrusted`` (unless it is over by the
    floor already); one without limits needs no clock.
    A card that is not known leaves the keyed hash of its number. Raises RosterError.

    Taps that name nobody (a random UID, several cards at once) are the lane's to hint at and do not belong here;
    they come out as unknown.
    """
    entries = _entries(tap, roster)
    if len(entries) > 1:
        return PassFinding(refusal=Reason.CARD_AMBIGUOUS, evidence_hash=roster.card_hash(tap.uid).hex())
    entry = entries[0] if entries else None
    if entry is None:
        foreign = tap.proof is not None and tap.proof.outcome is ProofOutcome.BAD_PICC_DATA
        reason = Reason.CARD_OTHER_SITE if foreign else Reason.CARD_UNKNOWN
        return PassFinding(refusal=reason, evidence_hash=roster.card_hash(tap.uid).hex())
    unproved = refusal_of_proof(tap.proof, entry.strength, last_accepted)
    refusal = _refusal(entry, unproved, lane=lane, place=place, at=at, clock_trust=clock_trust)
    strength = proven_strength(tap.proof)
    flag = flag_of_proof(tap.proof, last_accepted) if strength is CardStrength.SUN else None
    return PassFinding(
        refusal=refusal,
        subject=entry.subject,
        category=entry.category,
        strength=strength,
        registered=entry.registered,
        code_match=entry.code_match,
        # A lane that the entry allows is this place's; elsewhere the entry's own list stands.
        places=(place,) if entry.places and lane in entry.places else entry.places,
        evidence_hash="" if entry.subject else roster.card_hash(tap.uid).hex(),
        lent_by=entry.lent_by,
        remarks=(
            *((Remark(flag.value),) if flag is not None and refusal is None else ()),
            *((Remark.LENT_CARD,) if entry.lent_by else ()),
            # A gate that asks nobody for a proof (no proof in the tap) has nothing to compare the card with.
            *((Remark.WEAK_CARD,) if refusal is None and strength is CardStrength.UID and tap.proof else ()),
        ),
    )


def _entries(tap: CardTap, roster: Roster) -> list[RosterEntry]:
    """The cards that the tap may mean: more than one only where the reader tells a part of the number."""
    if tap.random_uid or tap.cards_in_field > 1:
        return []
    if tap.unknown_first or tap.unknown_last:
        return roster.find_by_part(tap.uid, last=bool(tap.unknown_first))
    entry = roster.find_card(tap.uid)
    return [] if entry is None else [entry]


def _refusal(
    entry: RosterEntry, unproved: Reason | None, *, lane: str, place: str, at: datetime, clock_trust: ClockTrust
) -> Reason | None:
    if entry.revoked:
        return Reason.CARD_REVOKED
    if entry.lender_gone:
        return Reason.CARD_EXPIRED
    if unproved is not None:
        return unproved
    at_us = round(at.timestamp() * 1_000_000)
    if entry.valid_until_us is not None and at_us >= entry.valid_until_us:
        return Reason.CARD_EXPIRED
    limited = entry.valid_until_us is not None or entry.valid_from_us is not None or bool(entry.hours)
    if limited and clock_trust is ClockTrust.NONE:
        return Reason.CLOCK_UNTRUSTED
    if entry.valid_from_us is not None and at_us < entry.valid_from_us:
        return Reason.PASS_NOT_YET_VALID
    if entry.places and place not in entry.places and lane not in entry.places:
        return Reason.PASS_OTHER_GATE
    if entry.hours and not any(window.contains(at.weekday(), at.hour * 60 + at.minute) for window in entry.hours):
        return Reason.OUT_OF_HOURS
    return None
