"""What the gate does for itself between people: how far sync is, retention, erasure. Driven by the capture loop."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import structlog

from kiosk.acks import newest, read_acknowledged, read_confirmed
from kiosk.clock import Instant
from kiosk.journal import Journal
from kiosk.journal_audit import Audit
from kiosk.reasons import ClockTrust
from kiosk.records import Stream
from kiosk.register import Register, RegisterError
from kiosk.retention import Retention, RetentionRules, disk_used_percent

log = structlog.get_logger("gatepost.upkeep")

ACKS_EVERY_NS = 2_000_000_000
RETENTION_EVERY_NS = 3_600_000_000_000
AUDIT_EVERY_NS = 24 * 3_600_000_000_000
FIRST_AUDIT_NS = 600_000_000_000
DAY_US = 86_400_000_000


@dataclass(frozen=True, slots=True)
class SyncState:
    """How far the central is: records not yet acknowledged, and when the last acknowledgement came (UTC, us)."""

    backlog: int = 0
    last_ack_us: int | None = None


class Upkeep:
    """Reads acknowledgements every two seconds; lets go of what is due, and looks at the disk, once an hour."""

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
        self._retention = Retention(
            journal,
            RetentionRules(records_us=acknowledged_days * DAY_US, health_us=health_days * DAY_US),
            acknowledged=lambda at: read_confirmed(sync_state, at.at_us),
            disk_used=lambda: disk_used_percent(journal.path.parent),
        )
        self._register = register
        self._visit_us = visit_days * DAY_US
        self._next_acks_ns = 0
        self._next_retention_ns = 0
        self._audit = Audit(journal.path)
        self._next_audit_ns: int | None = None
        self._damaged: tuple[str, ...] = ()
        self.sync = SyncState()
        #: What is wrong: ``retention_failed``, ``disk_low``, ``disk_full``, ``journal_damaged``.
        self.alarms: tuple[str, ...] = ()

    def tick(self, at: Instant) -> None:
        """Do what is due; never raises."""
        if at.mono_ns >= self._next_acks_ns:
            self._next_acks_ns = at.mono_ns + ACKS_EVERY_NS
            self.sync = self._sync_now()
        if at.mono_ns >= self._next_retention_ns:
            self._next_retention_ns = at.mono_ns + RETENTION_EVERY_NS
            self._retain(at)
        self._look_for_damage(at)

    def close(self) -> None:
        """End what runs beside the gate."""
        self._audit.stop()

    def _look_for_damage(self, at: Instant) -> None:
        # The first walk waits ten minutes: a gate that was just started has better things to do.
        if self._next_audit_ns is None:
            self._next_audit_ns = at.mono_ns + FIRST_AUDIT_NS
        elif at.mono_ns >= self._next_audit_ns:
            self._next_audit_ns = at.mono_ns + AUDIT_EVERY_NS
            self._audit.start()
        sound = self._audit.poll()
        if sound is False:
            log.error("journal_damaged", journal=str(self._journal.path))
            self._damaged = ("journal_damaged",)
            self.alarms = tuple(sorted({*self.alarms, *self._damaged}))
            self._journal.suspect()

    def _sync_now(self) -> SyncState:
        acked = newest(read_acknowledged(self._sync_state))
        backlog = 0
        for stream, head in self._journal.heads().items():
            mark = acked.get((self._journal.incarnation, Stream(stream)))
            backlog += head.seq - (mark.seq if mark else 0)
        return SyncState(max(0, backlog), max((mark.at_us for mark in acked.values()), default=None))

    def _retain(self, at: Instant) -> None:
        report = self._retention.run(at)
        failed = list(report.failed)
        visits = 0
        if at.clock_trust is not ClockTrust.NONE:
            try:
                visits = self._register.erase(at.at_us - self._visit_us)
            except RegisterError as error:
                failed.append(str(error))
        self.alarms = tuple(sorted({*report.alarms, *self._damaged, *(("retention_failed",) if failed else ())}))
        for why in failed:
            log.error("retention_failed", error=why)
        erased = sum(report.erased.values()) + visits
        if erased or report.purged or report.given_up:
            log.info("retention", erased=erased, purged=report.purged, given_up=report.given_up)
