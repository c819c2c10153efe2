"""What the gate forgets, and when: a pure plan, and the executor that carries it out on the journal.

Payloads go by age and class, whether sent or not; records go when the central has held them for long enough. A disk
that fills up is answered in steps: diagnostics first, then everything acknowledged whatever its age; records that were
not sent are never dropped (but diagnostics, and a gap record says so). Data that should be gone and is not raises an
alarm: the job is judged by what is still there, not by what it believes it did.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from kiosk.clock import Instant
from kiosk.journal import Journal
from kiosk.journal_types import Acknowledged, Entry, JournalError
from kiosk.reasons import ClockTrust
from kiosk.records import Kind, PayloadClass, Stream
from kiosk.set_aside import ASIDE

DAY_US = 86_400_000_000
DISK_DIAGNOSTICS_GO_PERCENT = 80
DISK_ACKNOWLEDGED_GO_PERCENT = 90
DISK_FULL_PERCENT = 97
GIVE_UP_AT_LEAST = 50
"""Fewer diagnostics than this free no space worth a gap record an hour."""

ROOMY_BYTES = 4 * 2**30
LATE_US = DAY_US
"""Data older than its retention by this raises an alarm."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionRules:
    """How long each thing stays on the kiosk; microseconds. Defaults and hard caps: ``docs/data-map.md``.

    ``records_us`` counts from the acknowledgement, the others from the record, sent or not. A pseudonym goes with its
    record; ``person_us`` only bounds how long a kiosk that reaches no central may keep it.
    """

    records_us: int = 7 * DAY_US
    health_us: int = 3 * DAY_US
    person_us: int = 30 * DAY_US

    def of(self, cls: PayloadClass) -> int | None:
        """How long payloads of a class stay; None when they go with their record."""
        return {PayloadClass.HEALTH: self.health_us, PayloadClass.PERSON: self.person_us}.get(cls)


@dataclass(frozen=True, slots=True)
class Plan:
    """What one run does.

    ``erase`` holds (class, before, UTC microseconds); ``purge_after_us`` is how long acknowledged records must have
    been held (None: none go). ``alarms`` are named as in ``docs/formats.md``, with their facts.
    """

    erase: tuple[tuple[PayloadClass, int], ...] = ()
    purge_after_us: int | None = None
    give_up_diagnostics: bool = False
    remove_set_aside_before_us: int | None = None
    shrink: bool = False
    alarms: tuple[dict[str, Any], ...] = ()


def plan(
    now: Instant, rules: RetentionRules, *, disk_used_percent: int, oldest_us: dict[PayloadClass, int | None]
) -> Plan:
    """What to do at ``now``. Pure.

    ``oldest_us`` is when the oldest payload of each class that is still here was made. With clock trust ``none``
    nothing is judged by its age, since the age is not known.
    """
    alarms: list[dict[str, Any]] = []
    erase: list[tuple[PayloadClass, int]] = []
    timed = now.clock_trust is not ClockTrust.NONE
    for cls in PayloadClass:
        kept_us = rules.of(cls)
        if kept_us is None or not timed:
            continue
        before_us = now.at_us - kept_us
        erase.append((cls, before_us))
        oldest = oldest_us.get(cls)
        if oldest is not None and before_us - oldest > LATE_US:
            late_s = (before_us - oldest) // 1_000_000
            alarms.append({"code": "retention_failed", "why": f"{cls} payloads overdue", "late_s": late_s})
    if disk_used_percent >= DISK_FULL_PERCENT:
        alarms.append({"code": "disk_full", "used_percent": disk_used_percent})
    elif disk_used_percent >= DISK_DIAGNOSTICS_GO_PERCENT:
        alarms.append({"code": "disk_low", "used_percent": disk_used_percent})
    return Plan(
        erase=tuple(erase),
        purge_after_us=0 if disk_used_percent >= DISK_ACKNOWLEDGED_GO_PERCENT else rules.records_us if timed else None,
        give_up_diagnostics=disk_used_percent >= DISK_DIAGNOSTICS_GO_PERCENT,
        remove_set_aside_before_us=now.at_us - rules.records_us if timed else None,
        shrink=disk_used_percent >= DISK_DIAGNOSTICS_GO_PERCENT,
        alarms=tuple(alarms),
    )


def disk_used_percent(folder: Path) -> int:
    """How full the file system of ``folder`` is for an ordinary user, 0 to 100; 0 where it cannot be asked.

    With 4 GiB or more free it counts as at most 79: that is a hundred days of passages, whatever its share is.
    """
    try:
        found = os.statvfs(folder)
    except OSError:
        return 0
    used = found.f_blocks - found.f_bfree
    usable = used + found.f_bavail
    percent = 0 if usable <= 0 else -(-100 * used // usable)
    roomy = found.f_bavail * found.f_frsize >= ROOMY_BYTES
    return min(percent, DISK_DIAGNOSTICS_GO_PERCENT - 1) if roomy else percent


@dataclass(slots=True)
class RetentionReport:
    """What a run did. ``failed`` holds the error of each step that did not go through; the others were still done."""

    erased: dict[PayloadClass, int] = field(default_factory=dict)
    purged: int = 0
    given_up: int = 0
    removed: tuple[str, ...] = ()
    alarms: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()


class Retention:
    """Carries plans out on one journal. Not thread-safe; driven by one loop, about once an hour.

    ``acknowledged`` gives the marks for purging (``kiosk.acks.read_confirmed``), ``disk_used`` the share in percent.
    An alarm is written once when it begins, not at every run.
    """

    def __init__(
        self,
        journal: Journal,
        rules: RetentionRules,
        *,
        acknowledged: Callable[[Instant], list[Acknowledged]],
        disk_used: Callable[[], int],
    ) -> None:
        self._journal = journal
        self._rules = rules
        self._acknowledged = acknowledged
        self._disk_used = disk_used
        self._standing: set[str] = set()
        self._alarms: tuple[dict[str, Any], ...] = ()

    def run(self, at: Instant) -> RetentionReport:
        """Plan and carry out. Never raises for the journal's or the disk's trouble: it stands in the report."""
        report = RetentionReport()
        self._alarms = ()
        self._try(report, partial(self._carry_out, report, at))
        failed = [{"code": "retention_failed", "why": why[:200], "late_s": 0} for why in report.failed]
        self._try(report, partial(self._tell, report, [*self._alarms, *failed], at))
        return report

    def _carry_out(self, report: RetentionReport, at: Instant) -> None:
        oldest = {cls: self._journal.oldest_payload_us(cls) for cls in PayloadClass if self._rules.of(cls) is not None}
        doing = plan(at, self._rules, disk_used_percent=self._disk_used(), oldest_us=oldest)
        self._alarms = doing.alarms
        for cls, before_us in doing.erase:
            self._try(report, partial(self._erase, report, cls, before_us, at))
        if doing.purge_after_us is not None:
            self._try(report, partial(self._purge, report, at, doing.purge_after_us))
        if doing.give_up_diagnostics:
            self._try(report, partial(self._give_up, report, at))
        if doing.remove_set_aside_before_us is not None:
            self._try(report, partial(self._remove_set_aside, report, doing.remove_set_aside_before_us))
        if doing.shrink:
            self._try(report, self._journal.shrink)

    def _try(self, report: RetentionReport, step: Callable[[], None]) -> None:
        # One step that fails must not keep the others from being done.
        try:
            step()
        except (JournalError, OSError) as error:
            report.failed = (*report.failed, str(error))

    def _erase(self, report: RetentionReport, cls: PayloadClass, before_us: int, at: Instant) -> None:
        count = self._journal.erase(cls, before_us)
        report.erased[cls] = count
        if count:
            self._note(at, {"event": "payload_erased", "class": str(cls), "before_us": before_us, "count": count})

    def _purge(self, report: RetentionReport, at: Instant, after_us: int) -> None:
        done = self._journal.purge(self._acknowledged(at), now=at, retention_us=after_us)
        report.purged += sum(done.purged.values())
        for (incarnation, stream), count in done.purged.items():
            up_to = done.up_to[incarnation, stream]
            facts = {"incarnation": incarnation, "stream": str(stream), "up_to": up_to, "count": count}
            self._note(at, {"event": "records_purged", **facts})

    def _give_up(self, report: RetentionReport, at: Instant) -> None:
        # What the central has already needs no gap record.
        held = [mark for mark in self._acknowledged(at) if mark.stream is Stream.DIAGNOSTIC]
        report.purged += sum(self._journal.purge(held, now=at, retention_us=0).purged.values())
        report.given_up = self._journal.give_up(Stream.DIAGNOSTIC, at=at, why="disk_full", at_least=GIVE_UP_AT_LEAST)
        if report.given_up:
            # The next record behind the gap, so that the sync process can declare it now and not some day.
            self._note(at, {"event": "diagnostics_given_up", "count": report.given_up})

    def _remove_set_aside(self, report: RetentionReport, before_us: int) -> None:
        removed = []
        for file in sorted(self._journal.path.parent.glob(ASIDE)):
            stamp = re.match(r".*\.damaged-(\d{8}T\d{6})Z", file.name)
            if stamp is None:
                continue
            made = datetime.strptime(stamp[1], "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
            if made.timestamp() * 1_000_000 < before_us:
                file.unlink()
                removed.append(file.name)
        report.removed = tuple(removed)

    def _tell(self, report: RetentionReport, alarms: list[dict[str, Any]], at: Instant) -> None:
        names = {str(alarm["code"]) for alarm in alarms}
        report.alarms = tuple(sorted(names))
        fresh = [alarm for alarm in alarms if alarm["code"] not in self._standing]
        self._standing &= names
        if fresh:
            self._journal.append_many(
                [
                    Entry(stream=Stream.ALARM, kind=Kind.ALARM, at=at, payloads={PayloadClass.FACTS: alarm})
                    for alarm in fresh
                ]
            )
            self._standing |= {str(alarm["code"]) for alarm in fresh}

    def _note(self, at: Instant, facts: dict[str, Any]) -> None:
        self._journal.append(Stream.DIAGNOSTIC, Kind.POLICY, at=at, payloads={PayloadClass.FACTS: facts})
