"""What the capture loop needs of the parts around it, as protocols: whoever builds or tests a gate gives it these."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from config.policy import Policy
from drivers.devices import CardTap, Observed, QrText
from kiosk.board import RegisterVisitor
from kiosk.clock import Instant
from kiosk.credentials.card_counter import CounterConflict
from kiosk.credentials.shc_chunks import ChunksMissing
from kiosk.evidence import CodeFinding, PassFinding
from kiosk.line_wire import Answered
from kiosk.neighbours import Fact, HeardFact
from kiosk.passage_events import Effect, LaneSetup
from kiosk.passage_state import LaneState
from kiosk.verifier import Asking


class Verifier(Protocol):
    """What cards and codes turn out to be (``kiosk/verifier.py``)."""

    def card(self, tap: CardTap, lane: str, at: Instant) -> PassFinding:
        """The finding for one tap in a lane."""
        ...

    def code(self, code: QrText, lane: str, at: Instant) -> PassFinding | CodeFinding | ChunksMissing | Asking:
        """The finding for one text in a lane: a temporary pass, a health code, that more codes are needed, or that its
        server is being asked."""
        ...

    def looked_up(self, answered: Answered, lane: str, at: Instant) -> CodeFinding | None:
        """The finding that a server's answer makes; None for an answer that nobody asked for."""
        ...

    def heard(self, facts: Iterable[HeardFact], at: Instant) -> list[CounterConflict]:
        """Take what neighbours let in; the cards whose codes must exist twice."""
        ...

    def admitted(self, lane: str, at: Instant) -> None:
        """The person of the lane was let in: what they showed counts as used."""
        ...

    def tell(self, fact: Fact) -> None:
        """Let the neighbouring gates hear it."""
        ...

    def next_person(self, lane: str) -> None:
        """Nothing of this person is joined to the next one's."""
        ...

    def register(self, visitor: RegisterVisitor, at: Instant) -> PassFinding:
        """Write a visitor into the register; the finding is their one-visit pass."""
        ...

    def follow(self, lane: str, policy: Policy) -> None:
        """Judge codes in the lane by this policy from now on."""
        ...


class Watcher(Protocol):
    """Who wants to know what happened: the views of the screens (``kiosk/views.py``)."""

    def observed(self, seen: Observed) -> None:
        """A device said something."""
        ...

    def effect(self, lane: str, effect: Effect, at: Instant) -> None:
        """An effect was carried out."""
        ...

    def follow(self, lane: str, setup: LaneSetup) -> None:
        """The lane goes by this set-up from now on."""
        ...

    def show(self, states: dict[str, LaneState], at: Instant, *, journal_ok: bool, unwritten: int) -> None:
        """The loop came round: publish what has changed."""
        ...


class Consoles(Protocol):
    """The guards' sessions at the console (``kiosk/screens/sessions.py``)."""

    def expire(self, *, now_ns: int) -> None:
        """End those whose time is over; what that means for the journal comes back as a note."""
        ...

    def end_all(self, *, now_ns: int) -> None:
        """The program stops: end them all."""
        ...
