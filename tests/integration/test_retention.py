"""Retention carried out on a real journal: what goes, what stays, what is told."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kiosk.clock import Instant
from kiosk.database import Failure
from kiosk.journal import Acknowledged, Entry, Journal, verify
from kiosk.reasons import ClockTrust
from kiosk.records import Kind, PayloadClass, Record, Stream
from kiosk.retention import Retention, RetentionRules, disk_used_percent
from tests.fakes import FakeClock
from tests.faulty_database import FaultPlan
from tests.integration.journal_cases import acknowledged, all_records, open_journal, write_passage

DAY_S = 86_400


class Case:
    """A journal with its retention, a disk that is as full as it is told, and marks as they are given."""

    def __init__(self, folder: Path, **options: object) -> None:
        self.clock = FakeClock()
        self.journal: Journal = open_journal(folder, self.clock, **options)
        self.marks: list[Acknowledged] = []
        self.percent = 10
        self.retention = self.another()

    def another(self) -> Retention:
        """The executor of a program that was started anew."""
        return Retention(self.journal, RetentionRules(), acknowledged=self.given, disk_used=lambda: self.percent)

    def given(self, _: Instant) -> list[Acknowledged]:
        """The marks."""
        return self.marks

    def records(self, stream: Stream) -> list[Record]:
        """What is left of a stream."""
        return all_records(self.journal.path)[self.journal.incarnation, stream]

    def alarms(self) -> list[str]:
        """The alarms that were journaled."""
        return [
            r.payloads[PayloadClass.FACTS].body["code"]  # type: ignore[index]
            for r in self.records(Stream.ALARM) if r.kind is Kind.ALARM
        ]  # fmt: skip


def test_a_month_of_passages_is_forgotten_in_order(memory_folder: Path) -> None:
    """Health after three days, pseudonyms after thirty, the records themselves only once acknowledged long enough."""
    case = Case(memory_folder)
    for number in range(34):
        write_passage(case.journal, case.clock, number)
        case.clock.advance(DAY_S)
    report = case.retention.run(case.clock.now())
    assert (report.erased, report.failed) == ({PayloadClass.HEALTH: 32, PayloadClass.PERSON: 5}, ())
    assert len(case.records(Stream.PASSAGE)) == 35
    case.marks = [acknowledged(case.journal, Stream.PASSAGE, 35, case.clock.at_us)]
    assert case.retention.run(case.clock.now()).purged == 0
    case.clock.advance(7 * DAY_S)
    assert case.retention.run(case.clock.now()).purged == 35
    assert verify(case.journal.path).ok
    events = [
        r.payloads[PayloadClass.FACTS].body["event"] for r in case.records(Stream.DIAGNOSTIC) if r.kind is Kind.POLICY
    ]  # type: ignore[index]
    assert {"payload_erased", "records_purged"} == set(events)


def test_a_disk_at_80_percent_loses_diagnostics_and_says_so(memory_folder: Path) -> None:
    """Unsent diagnostics go with a gap record; acknowledged ones need none; passages all stay."""
    case = Case(memory_folder)
    write_passage(case.journal, case.clock, 1)
    at = case.clock.now()
    device = Entry(stream=Stream.DIAGNOSTIC, kind=Kind.DEVICE, at=at, payloads={PayloadClass.FACTS: {"n": 1}})
    case.journal.append_many([device] * 60)
    case.marks = [acknowledged(case.journal, Stream.DIAGNOSTIC, 3, case.clock.at_us)]
    case.percent = 85
    report = case.retention.run(case.clock.now())
    assert (report.purged, report.given_up, report.alarms) == (3, 59, ("disk_low",))
    gap = next(r for r in case.records(Stream.ALARM) if r.kind is Kind.GAP)
    assert gap.payloads[PayloadClass.FACTS].body == {
        "why": "disk_full", "incarnation": case.journal.incarnation, "stream": "diagnostic",
        "first_seq": 4, "last_seq": 62, "count": 59,
    }  # fmt: skip
    assert [r.seq for r in case.records(Stream.DIAGNOSTIC)] == [63]
    assert len(case.records(Stream.PASSAGE)) == 2
    assert case.retention.run(case.clock.now()).given_up == 0
    assert verify(case.journal.path).ok


def test_a_disk_at_90_percent_frees_what_is_acknowledged_at_once(memory_folder: Path) -> None:
    """Whatever its age; what was not sent stays even at 100 percent."""
    case = Case(memory_folder)
    for number in range(10):
        write_passage(case.journal, case.clock, number)
    case.marks = [acknowledged(case.journal, Stream.PASSAGE, 6, case.clock.at_us)]
    case.percent = 100
    report = case.retention.run(case.clock.now())
    assert report.alarms == ("disk_full",)
    assert [r.seq for r in case.records(Stream.PASSAGE)] == [7, 8, 9, 10, 11]


def test_freed_pages_go_back_to_the_file_system(memory_folder: Path) -> None:
    """The file is smaller after a purge under pressure: the bound is a bound."""
    case = Case(memory_folder)
    for number in range(500):
        write_passage(case.journal, case.clock, number)
    case.retention.run(case.clock.now())
    before = case.journal.path.stat().st_size + (memory_folder / "journal.db-wal").stat().st_size
    case.marks = [acknowledged(case.journal, Stream.PASSAGE, 500, case.clock.at_us)]
    case.percent = 92
    case.retention.run(case.clock.now())
    assert case.journal.path.stat().st_size < before / 4
    assert verify(case.journal.path).ok


def test_an_alarm_is_written_when_it_begins_not_every_hour(memory_folder: Path) -> None:
    """Three runs on a full disk, one alarm; after relief and a new fill another."""
    case = Case(memory_folder)
    for percent in (98, 98, 98, 40, 98):
        case.percent = percent
        case.retention.run(case.clock.advance(3600))
    assert case.alarms() == ["disk_full", "disk_full"]


def test_a_job_that_was_not_run_for_days_is_told_when_it_runs_again(memory_folder: Path) -> None:
    """The kiosk was off, or the job was broken: overdue data is an alarm, and is erased in the same run."""
    case = Case(memory_folder)
    write_passage(case.journal, case.clock, 1)
    case.clock.advance(5 * DAY_S)
    report = case.retention.run(case.clock.now())
    assert (report.alarms, report.erased[PayloadClass.HEALTH]) == (("retention_failed",), 1)
    assert case.retention.run(case.clock.now()).alarms == ()


def test_a_failing_disk_is_reported_and_the_other_steps_are_still_done(memory_folder: Path) -> None:
    """One fault at any call of a run: never an exception, the failure is named, and the next run makes up for it."""
    faults = FaultPlan(failure=Failure.INPUT_OUTPUT)
    fail_at = 0
    while True:
        place = memory_folder / str(fail_at)
        place.mkdir()
        case = Case(place, open_database=faults.open)
        write_passage(case.journal, case.clock, 1)
        case.clock.advance(4 * DAY_S - 3600)
        faults.calls, faults.failed, faults.fail_at = 0, 0, fail_at + 1
        report = case.retention.run(case.clock.now())
        hit, faults.fail_at = faults.failed, 0
        assert bool(report.failed) == bool(hit)
        case.retention.run(case.clock.now())
        assert case.records(Stream.PASSAGE)[-1].payloads[PayloadClass.HEALTH].erased
        assert verify(case.journal.path).ok
        case.journal.close()
        if not hit:
            break
        fail_at += 1
    assert fail_at > 15


def test_a_clock_step_forgets_nothing_early(memory_folder: Path) -> None:
    """1970, two months back and 2036 without trust: nothing is erased; once synced, what is due goes."""
    case = Case(memory_folder)
    for number in range(3):
        write_passage(case.journal, case.clock, number)
    right_us = case.clock.at_us
    for wrong_us in (0, right_us - 61 * 86_400_000_000, right_us + 3650 * 86_400_000_000):
        case.clock.at_us, case.clock.trust = wrong_us, ClockTrust.NONE
        report = case.retention.run(case.clock.now())
        assert (report.erased, report.purged, report.failed) == ({}, 0, ())
        write_passage(case.journal, case.clock, 9)
    case.clock.at_us, case.clock.trust = right_us + 4 * 86_400_000_000, ClockTrust.SYNCED
    report = case.retention.run(case.clock.now())
    assert report.erased[PayloadClass.HEALTH] == 5
    assert [r.seq for r in case.records(Stream.PASSAGE)] == [1, 2, 3, 4, 5, 6, 7]


def test_a_set_aside_file_goes_after_its_week(memory_folder: Path) -> None:
    """With its log, and a roster's as a journal's; a younger one and somebody else's file stay."""
    case = Case(memory_folder)
    (memory_folder / "roster.db.damaged-20261101T080000Z").touch()
    for name in ("damaged-20261101T080000Z", "damaged-20261101T080000Z-wal", "damaged-20261120T080000Z", "damaged-x"):
        (memory_folder / f"journal.db.{name}").touch()
    report = case.retention.run(case.clock.now())
    assert report.removed == (
        "journal.db.damaged-20261101T080000Z",
        "journal.db.damaged-20261101T080000Z-wal",
        "roster.db.damaged-20261101T080000Z",
    )


@pytest.mark.parametrize(("free_gib", "percent"), [(1, 97), (3.9, 88), (4, 79), (16, 52)])
def test_a_disk_is_full_by_share_and_by_what_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free_gib: float, percent: int
) -> None:
    """Of 32 GiB: 97 % with one left; four left are a hundred days of passages and count as no trouble."""
    blocks = int(free_gib * 2**18)
    state = os.statvfs_result((4096, 4096, 2**23, blocks, blocks, 0, 0, 0, 0, 255))
    monkeypatch.setattr(os, "statvfs", lambda _: state)
    assert disk_used_percent(tmp_path) == pytest.approx(percent, abs=2)


def test_the_disk_can_be_asked(tmp_path: Path) -> None:
    """A share between 0 and 100; a folder that is not there counts as empty."""
    assert 0 < disk_used_percent(tmp_path) <= 100
    assert disk_used_percent(tmp_path / "gone") == 0
