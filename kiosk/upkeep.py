"""What the gate does for itself between people: how far sync is, retention, erasure. Driven by the capture loop."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import structlog

from kiosk.acks import newest, read_acknowledged, read_confirmed
from kiosk.clock import Instant
from kiosk.journal import Journal
from kiosk.journal_types import JournalError
from kiosk.reasons import ClockTrust
from kiosk.records import PayloadClass, Stream
from kiosk.register import Register, RegisterError

log = structlog.get_logger("gatepost.upkeep")

ACKS_EVERY_NS = 2_000_000_000
RETENTION_EVERY_NS = 3_600_000_000_000
DAY_US = 86_400_000_000


@dataclass(frozen=True, slots=True)
class SyncState:
    """How far the central is: records not yet acknowledged, and when the last acknowledgement came (UTC, us)."""

    backlog: int = 0
    last_ack_us: int | None = None


class Upkeep:
    """Reads acknowledgements every two seconds; purges and erases once an hour, when the clock can be believed."""

    def __init__(
        self,
        journal: Journal,
        sync_state: Path,
        *,
        register: Register,
        acknowledged_days: int,
        health_days: int,
        visit_days: int,
    ) -> None:
        self._journal = journal
        self._sync_state = sync_state
        self._acknowledged_us = acknowledged_days * DAY_US
        self._health_us = health_days * DAY_US
        self._register = register
        self._visit_us = visit_days * DAY_US
        self._next_acks_ns = 0
        self._next_retention_ns = 0
        self.sync = SyncState()
        #: The last retention run failed: shown as an alarm, since data that should be gone is still there.
        self.retention_failed = False

    def tick(self, at: Instant) -> None:
        """Do what is due; never raises."""
        if at.mono_ns >= self._next_acks_ns:
            self._next_acks_ns = at.mono_ns + ACKS_EVERY_NS
            self.sync = self._sync_now()
        if at.mono_ns >= self._next_retention_ns and at.clock_trust is not ClockTrust.NONE:
            self._next_retention_ns = at.mono_ns + RETENTION_EVERY_NS
            self._retain(at)

    def _sync_now(self) -> SyncState:
        acked = newest(read_acknowledged(self._sync_state))
        backlog = 0
        for stream, head in self._journal.heads().items():
            mark = acked.get((self._journal.incarnation, Stream(stream)))
            backlog += head.seq - (mark.seq if mark else 0)
        return SyncState(max(0, backlog), max((mark.at_us for mark in acked.values()), default=None))

    def _retain(self, at: Instant) -> None:
        try:
            erased = self._journal.erase(PayloadClass.HEALTH, at.at_us - self._health_us)
            erased += self._register.erase(at.at_us - self._visit_us)
            report = self._journal.purge(
                read_confirmed(self._sync_state, at.at_us), now=at, retention_us=self._acknowledged_us
            )
        except (JournalError, RegisterError) as error:
            self.retention_failed = True
            log.error("retention_failed", error=str(error))
            return
        self.retention_failed = False
        if erased or report.purged:
            log.info("retention", erased=erased, purged=sum(report.purged.values()))
