"""A tap to a finding, with the rolling counter spent: what :mod:`kiosk.credentials.uid_card` judges, made durable."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from drivers.devices import CardTap
from kiosk.card_keys import CardKeyStore
from kiosk.credentials.uid_card import pass_of_uid
from kiosk.evidence import CardStrength, PassFinding
from kiosk.reasons import ClockTrust, Reason
from kiosk.roster import Roster


def pass_of_card(
    tap: CardTap,
    roster: Roster,
    keys: CardKeyStore,
    *,
    lane: str,
    place: str,
    at: datetime,
    clock_trust: ClockTrust = ClockTrust.SYNCED,
) -> PassFinding:
    """As :func:`pass_of_uid`; a rolling code that is accepted is spent before this returns.

    It is spent with the card, whatever else (a temperature, a code) then decides about the person: a code that was
    shown once must never count again. Raises RosterError, CardKeysError.
    """
    read_ctr = None if tap.proof is None else tap.proof.read_ctr
    last_accepted = 0 if read_ctr is None else keys.last_accepted(tap.uid)
    finding = pass_of_uid(
        tap, roster, lane=lane, place=place, at=at, clock_trust=clock_trust, last_accepted=last_accepted
    )
    # An instant that nobody trusts proves no order between kiosks; the counter itself counts all the same.
    at_us = 0 if clock_trust is ClockTrust.NONE else round(at.timestamp() * 1_000_000)
    rolling = finding.refusal is None and finding.strength is CardStrength.SUN and read_ctr is not None
    if rolling and not keys.accept(tap.uid, read_ctr or 0, at_us=at_us):
        return replace(finding, refusal=Reason.CARD_REPLAYED)
    return finding
