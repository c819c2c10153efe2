"""Two people tell a kiosk the time that neither network nor battery clock could: one says it, another agrees.

Until then no health code, pass or certificate is valid, since nothing with a date can be judged; cards still open.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from config.errors import GatepostError
from kiosk.clock import MAX_ASSERTED_AHEAD_US, MAX_RTC_AHEAD_US, ClockError, Instant, SystemClock
from kiosk.journal_types import JournalError
from kiosk.reasons import ClockTrust

DAY_US = 86_400_000_000
WAITS_S = 300
"""So long the first word waits for the second: two people who stand there together."""


class ClockDeskError(GatepostError):
    """The time was not set; ``key`` names the sentence for the guard (messages, ``refused``)."""

    def __init__(self, key: str, seen: str) -> None:
        super().__init__("the kiosk's clock", seen=seen, expected="one time, said by two people within five minutes")
        self.key = key


@dataclass(frozen=True, slots=True)
class Said:
    """What the first one said: ``at_us`` was the time at ``mono_ns``."""

    at_us: int
    mono_ns: int
    guard: str

    def at(self, now: Instant) -> int:
        """The same, carried on to ``now``; microseconds UTC."""
        return self.at_us + (now.mono_ns - self.mono_ns) // 1000


@dataclass(frozen=True, slots=True)
class ClockStatus:
    """``now`` as the kiosk believes it, the floor, and what waits for a second word (as of now).

    ``days_ahead`` is how far what waits lies above the floor, 0 unless far enough to be a misread year or month.
    """

    now: Instant
    floor_us: int
    waiting_us: int | None
    waiting_guard: str
    days_ahead: int


class ClockDesk:
    """``write`` journals the facts of a record ``clock``, durable when it returns. Safe to use from several threads."""

    def __init__(self, clock: SystemClock, write: Callable[[dict[str, Any]], None]) -> None:
        self._clock = clock
        self._write = write
        self._lock = threading.Lock()
        self._said: Said | None = None

    def status(self) -> ClockStatus:
        """For the page."""
        now = self._clock.now()
        with self._lock:
            said = self._waiting(now)
        floor_us = self._clock.floor_us
        ahead_us = 0 if said is None else said.at(now) - floor_us
        return ClockStatus(
            now=now,
            floor_us=floor_us,
            waiting_us=None if said is None else said.at(now),
            waiting_guard="" if said is None else said.guard,
            days_ahead=ahead_us // DAY_US if ahead_us > MAX_RTC_AHEAD_US else 0,
        )

    def say(self, at_us: int, guard: str) -> None:
        """The first word: it is ``at_us`` now. Raises ClockDeskError while synced, and for a time that cannot be."""
        now = self._clock.now()
        if now.clock_trust is ClockTrust.SYNCED:
            raise ClockDeskError("clock_synced", "a clock that the network keeps")
        if not self._clock.floor_us <= at_us <= self._clock.floor_us + MAX_ASSERTED_AHEAD_US:
            raise ClockDeskError("clock_cannot_be", f"{at_us} µs")
        with self._lock:
            self._said = Said(at_us, now.mono_ns, guard)

    def agree(self, guard: str) -> Instant:
        """The second word, of somebody else; the time counts from now on. Raises ClockDeskError, JournalError (nothing
        is written then, and nothing counts) or ClockError (what was written is taken back by a second record).

        The record is written before the time counts. Nobody who looks at the page waits for it meanwhile.
        """
        said = self._taken(guard, self._clock.now())
        people = (said.guard, guard)
        try:
            self._write({"event": "asserted", "people": list(people), "floor_us": self._clock.floor_us})
        except JournalError:
            with self._lock:
                self._said = self._said or said
            raise
        try:
            return self._clock.assert_time(said.at(self._clock.now()), people=people)
        except ClockError:
            with contextlib.suppress(JournalError):
                self._write({"event": "not_asserted", "people": list(people), "floor_us": self._clock.floor_us})
            raise

    def _taken(self, guard: str, now: Instant) -> Said:
        """What was said, for one who agrees to it: nobody else can any more."""
        with self._lock:
            said = self._waiting(now)
            if said is None:
                raise ClockDeskError("clock_nothing_waits", "nothing said, or too long ago")
            if guard == said.guard:
                raise ClockDeskError("clock_same_person", "one person twice")
            self._said = None
            return said

    def _waiting(self, now: Instant) -> Said | None:
        said = self._said
        fresh = said is not None and now.mono_ns - said.mono_ns <= WAITS_S * 1_000_000_000
        return said if fresh and now.clock_trust is not ClockTrust.SYNCED else None
