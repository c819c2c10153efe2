"""What cards and codes turn out to be: roster, card keys, trust store and code desks behind one face."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from zoneinfo import ZoneInfo

import structlog

from drivers.devices import CardTap, QrText
from kiosk.board import RegisterVisitor
from kiosk.card_keys import CardKeysError, CardKeyStore
from kiosk.clock import Instant
from kiosk.credentials.card_pass import pass_of_card
from kiosk.credentials.challenge import accepted_challenges
from kiosk.credentials.code_verdict import GateContext
from kiosk.credentials.desk import CodeDesk
from kiosk.credentials.reuse import ReuseMemory
from kiosk.credentials.shc_chunks import ChunksMissing
from kiosk.credentials.trust import TrustStore
from kiosk.evidence import CodeFinding, PassFinding
from kiosk.reasons import Reason
from kiosk.register import Register
from kiosk.roster import Roster, RosterError

log = structlog.get_logger("gatepost.verifier")


@dataclass(slots=True, kw_only=True)
class GateVerifier:
    """For one kiosk. ``store`` may be replaced whole at any time; a verification uses the one it began with.

    ``challenge_secret`` (16 bytes or more) draws the digits that a phone signs into its code; empty asks for none.
    ``used_passes`` are the ids of passes let in before, so that a one-time pass counts once also over a restart.
    """

    roster: Roster
    card_keys: CardKeyStore
    register_book: Register
    store: TrustStore
    place: str
    zone: ZoneInfo
    challenge_secret: bytes = field(default=b"", repr=False)
    used_passes: set[str] = field(default_factory=set)
    _desks: dict[str, CodeDesk] = field(default_factory=dict)
    _memory: ReuseMemory = field(default_factory=ReuseMemory)

    def card(self, tap: CardTap, lane: str, at: Instant) -> PassFinding:
        """The finding for one tap in a lane. A rolling code that is accepted is spent before this returns.

        Where roster or card keys cannot be read nobody is known, and the verdict says why: the guard decides.
        """
        local = at.utc().astimezone(self.zone)
        try:
            return pass_of_card(
                tap, self.roster, self.card_keys, lane=lane, place=self.place, at=local, clock_trust=at.clock_trust
            )
        except (RosterError, CardKeysError) as error:
            log.error("card_not_looked_up", error=str(error))
            return PassFinding(refusal=Reason.ROSTER_FAILED)

    def code(self, code: QrText, lane: str, at: Instant) -> PassFinding | CodeFinding | ChunksMissing:
        """The finding for one text in a lane: a temporary pass, a health code, or that more codes are needed."""
        return self._desk(lane).read(code.text, self.store, at.utc(), self._context(at))

    def admitted(self, lane: str, at: Instant) -> None:
        """The person of the lane was let in: code and one-time pass count as used."""
        self._desk(lane).admitted(self.place, at.utc())

    def next_person(self, lane: str) -> None:
        """The lane is free: nothing of this person is joined to the next one's."""
        self._desk(lane).next_person()

    def register(self, visitor: RegisterVisitor, at: Instant) -> PassFinding:
        """Write a visitor into the register; the finding is their one-visit pass. Raises RegisterError."""
        return self.register_book.enter(visitor, at)

    def _desk(self, lane: str) -> CodeDesk:
        if lane not in self._desks:
            self._desks[lane] = CodeDesk(memory=self._memory, used_passes=self.used_passes)
        return self._desks[lane]

    def _context(self, at: Instant) -> GateContext:
        local: datetime = at.utc().astimezone(self.zone)
        secret = self.challenge_secret
        return GateContext(
            gate=self.place,
            challenges=accepted_challenges(secret, at.utc()) if secret else frozenset(),
            local_minute=local.hour * 60 + local.minute,
            weekday=local.weekday(),
        )
