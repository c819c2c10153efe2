"""Records that the journal could not take yet: kept in memory, in order, and written when it can be.

A passage whose commit failed is a fact all the same (``on_journal_failure`` decided who got in), so its draft waits
here. Nothing overtakes: while drafts wait, later ones queue behind them. What is lost when power fails in this state
is said by the alarm on the console; the bound is 10,000 drafts, half a day of a busy gate.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any, Protocol

import structlog

from kiosk.clock import Instant
from kiosk.journal_types import JournalError
from kiosk.passage_events import Draft
from kiosk.records import Kind, PayloadClass, Record, Stream

log = structlog.get_logger("gatepost.journal")

MAX_UNWRITTEN = 10_000
RETRY_EVERY_NS = 2_000_000_000


class Writer(Protocol):
    """The part of the journal that is needed here (``kiosk.journal.Journal``)."""

    def append(
        self,
        stream: Stream,
        kind: Kind,
        *,
        at: Instant,
        lane: str = "",
        ref: str = "",
        payloads: Mapping[PayloadClass, Mapping[str, Any]],
    ) -> Record:
        """Write one record durably; JournalError when it cannot."""
        ...


class Unwritten:
    """The journal with a queue before it for the time in which it fails."""

    def __init__(self, journal: Writer) -> None:
        self._journal = journal
        self._waiting: deque[Draft] = deque()
        self._next_try_ns = 0
        #: Drafts that had to be given up because the bound was reached; shown as an alarm, never silent.
        self.dropped = 0

    @property
    def count(self) -> int:
        """Drafts that wait in memory."""
        return len(self._waiting)

    @property
    def journal_ok(self) -> bool:
        """Whether everything so far is durable."""
        return not self._waiting

    def commit(self, draft: Draft, *, stands: bool = True) -> Record:
        """Write now; JournalError when the journal fails or older drafts still wait.

        A draft that ``stands`` tells a fact, and then waits too; another one is never written.
        """
        if self._waiting:
            if stands:
                self._keep(draft)
            raise JournalError(
                "journal", seen=f"{self.count} records waiting", expected="a journal that can be written"
            )
        try:
            return self._append(draft)
        except JournalError:
            if stands:
                self._keep(draft)
            raise

    def remember(self, draft: Draft, at: Instant) -> None:
        """Write as soon as it can be; never raises."""
        try:
            self.commit(draft)
        except JournalError as error:
            self._next_try_ns = at.mono_ns + RETRY_EVERY_NS
            log.error("record_waits", kind=str(draft.kind), error=str(error))

    def retry(self, at: Instant) -> None:
        """Try the waiting drafts again, at most every two seconds, oldest first."""
        if not self._waiting or at.mono_ns < self._next_try_ns:
            return
        self._next_try_ns = at.mono_ns + RETRY_EVERY_NS
        while self._waiting:
            try:
                self._append(self._waiting[0])
            except JournalError:
                return
            self._waiting.popleft()
        log.info("journal_caught_up")

    def _append(self, draft: Draft) -> Record:
        at = Instant(draft.at.at_us, draft.at.clock_trust, draft.at.boot_id, draft.at.mono_ns)
        return self._journal.append(
            draft.stream, draft.kind, at=at, lane=draft.lane, ref=draft.ref, payloads=draft.payloads
        )

    def _keep(self, draft: Draft) -> None:
        if len(self._waiting) >= MAX_UNWRITTEN:
            self.dropped += 1
            log.critical("record_lost", kind=str(draft.kind), dropped=self.dropped)
            return
        self._waiting.append(draft)
