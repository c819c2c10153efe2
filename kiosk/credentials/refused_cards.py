"""The illegal-card alarm: so many cards refused at one lane within so many seconds. Pure; time is an argument.

Somebody tries out cards, or a copier's work. Five within 50 seconds is what commercial terminals ship with (Dahua
ASI7213Y-V3-T1P manual, page 28). It alarms once, and again only after a pause of that length.
"""

from __future__ import annotations

from collections import deque

from config.policy import CardRules
from kiosk.reasons import Reason

#: What speaks against a card itself; a card that came at the wrong hour, or to the wrong gate, is nobody's trial.
ILLEGAL = frozenset(
    {
        Reason.CARD_REVOKED,
        Reason.CARD_CLONED,
        Reason.CARD_EMULATED,
        Reason.CARD_FORGED,
        Reason.CARD_REPLAYED,
        Reason.CARD_OTHER_SITE,
        Reason.CARD_UNKNOWN,
        Reason.CARD_WEAK,
        Reason.PASS_FORGED,
        Reason.PASS_REVOKED,
    }
)


class RefusedCards:
    """The refusals of one lane."""

    def __init__(self) -> None:
        self._at_ns: deque[int] = deque()
        self._quiet_until_ns = 0

    def note(self, refusal: Reason | None, rules: CardRules, mono_ns: int) -> bool:
        """Take one judged card; true when this one makes the alarm."""
        if refusal not in ILLEGAL or not rules.alarm_after:
            return False
        within_ns = rules.alarm_within_s * 1_000_000_000
        self._at_ns.append(mono_ns)
        while mono_ns - self._at_ns[0] > within_ns or len(self._at_ns) > rules.alarm_after:
            self._at_ns.popleft()
        if len(self._at_ns) < rules.alarm_after or mono_ns < self._quiet_until_ns:
            return False
        self._quiet_until_ns = mono_ns + within_ns
        self._at_ns.clear()
        return True
