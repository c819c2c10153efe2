"""What cards and codes turn out to be: the roster, the revocations and the code verifiers behind one face."""

from __future__ import annotations

from dataclasses import dataclass
from zoneinfo import ZoneInfo

from drivers.devices import CardTap, QrText
from kiosk.board import RegisterVisitor
from kiosk.clock import Instant
from kiosk.credentials import verify_health_code
from kiosk.credentials.finding import code_finding
from kiosk.credentials.trust import TrustStore
from kiosk.credentials.uid_card import pass_of_uid
from kiosk.evidence import CodeFinding, PassFinding
from kiosk.register import Register
from kiosk.roster import Roster


@dataclass(slots=True)
class GateVerifier:
    """For one kiosk. ``store`` may be replaced whole at any time; a verification uses the one it began with."""

    roster: Roster
    register_book: Register
    store: TrustStore
    place: str
    zone: ZoneInfo

    def card(self, tap: CardTap, lane: str, at: Instant) -> PassFinding:
        """The finding for one tap."""
        local = at.utc().astimezone(self.zone)
        return pass_of_uid(tap, self.roster, lane=lane, place=self.place, at=local, clock_trust=at.clock_trust)

    def code(self, code: QrText, at: Instant) -> PassFinding | CodeFinding:
        """The finding for one text."""
        return code_finding(verify_health_code(code.text, self.store, at.utc()), code.text)

    def register(self, visitor: RegisterVisitor, at: Instant) -> PassFinding:
        """Write a visitor into the register; the finding is their one-visit pass."""
        return self.register_book.enter(visitor, at)
