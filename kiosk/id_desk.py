"""A resident ID card laid on a lane's ID-card module: checked, and its name offered to the guard's register form.

For registering only: it opens nothing, stands in no passage and goes to no disk by itself. Of the card only the name
outlives the checks, in memory, for two minutes or until the form has taken it; the number is looked at and forgotten.
Nation, address, photograph and fingerprint never came this far (``drivers/cards/sdt_idcard.py``).
"""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass, field
from datetime import tzinfo
from enum import StrEnum

from drivers.cards.id_number_gb11643 import normalised
from drivers.devices import IdCardRead, Observed
from kiosk.clock import Clock
from kiosk.reasons import ClockTrust

KEPT_NS = 120_000_000_000
LONG_TERM = "长期"
RESIDENT = "resident"


class IdProblem(StrEnum):
    """Why a card that was read is not good for registering; the guard sees it beside the name."""

    EXPIRED = "expired"
    NOT_YET_VALID = "not_yet_valid"
    BAD_NUMBER = "bad_number"
    """The check digit of GB 11643 is wrong: no genuine card has such a number."""
    UNREADABLE_DATES = "unreadable_dates"


@dataclass(frozen=True, slots=True)
class IdNote:
    """What the form is told of the card that was laid on last."""

    name: str = field(repr=False)
    problem: IdProblem | None = None


def problem_of(card: IdCardRead, today: str | None) -> IdProblem | None:
    """What is wrong with a card on ``today``: YYYYMMDD, or None where the clock is not trusted and no date is judged.

    The check digit is a resident's; foreigners' cards have numbers of another form.
    """
    if card.card_type == RESIDENT and normalised(card.id_number) is None:
        return IdProblem.BAD_NUMBER
    if not _is_day(card.valid_from) or not (_is_day(card.valid_to) or card.valid_to == LONG_TERM):
        return IdProblem.UNREADABLE_DATES
    if today is None:
        return None
    if today < card.valid_from:
        return IdProblem.NOT_YET_VALID
    return IdProblem.EXPIRED if card.valid_to != LONG_TERM and today > card.valid_to else None


def _is_day(text: str) -> bool:
    return re.fullmatch(r"[0-9]{8}", text) is not None


class IdDesk:
    """The last card of each lane. Thread-safe: cards come from the loop, forms from the web server."""

    def __init__(self, clock: Clock, zone: tzinfo, *, kept_ns: int = KEPT_NS) -> None:
        self._clock = clock
        self._zone = zone
        self._kept_ns = kept_ns
        self._lock = threading.Lock()
        self._notes: dict[str, tuple[IdNote, int]] = {}

    def observed(self, seen: Observed) -> None:
        """Take any event; only an ID card's counts."""
        if not isinstance(seen.event, IdCardRead):
            return
        now = self._clock.now()
        trusted = now.clock_trust is not ClockTrust.NONE
        today = now.utc().astimezone(self._zone).strftime("%Y%m%d") if trusted else None
        note = IdNote(seen.event.name, problem_of(seen.event, today))
        with self._lock:
            self._notes[seen.lane] = (note, now.mono_ns + self._kept_ns)

    def take(self, lane: str) -> IdNote | None:
        """The card laid on last, once; None where there is none, or it lay there too long ago."""
        with self._lock:
            note, until_ns = self._notes.pop(lane, (None, 0))
        return note if note is not None and self._clock.now().mono_ns < until_ns else None
