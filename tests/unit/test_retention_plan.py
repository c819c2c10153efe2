"""What one retention run does, as a pure plan."""

from __future__ import annotations

import pytest

from kiosk.clock import Instant
from kiosk.reasons import ClockTrust
from kiosk.records import PayloadClass
from kiosk.retention import DAY_US, RetentionRules, plan
from tests.fakes import MORNING_US

RULES = RetentionRules()
NOTHING: dict[PayloadClass, int | None] = {PayloadClass.HEALTH: None, PayloadClass.PERSON: None}


def at(trust: ClockTrust = ClockTrust.SYNCED) -> Instant:
    """An ordinary morning."""
    return Instant(MORNING_US, trust, "boot", 1)


def test_an_ordinary_run_erases_by_age_and_purges_by_acknowledgement() -> None:
    """Three days of health, thirty of pseudonyms at most, facts with their records; no alarm."""
    doing = plan(at(), RULES, disk_used_percent=40, oldest_us=NOTHING)
    assert doing.erase == (
        (PayloadClass.HEALTH, MORNING_US - 3 * DAY_US),
        (PayloadClass.PERSON, MORNING_US - 30 * DAY_US),
    )
    assert (doing.purge_after_us, doing.give_up_diagnostics, doing.shrink, doing.alarms) == (
        7 * DAY_US,
        False,
        False,
        (),
    )


def test_without_a_clock_nothing_is_judged_by_age() -> None:
    """A kiosk that does not know the date forgets nothing."""
    doing = plan(at(ClockTrust.NONE), RULES, disk_used_percent=40, oldest_us={PayloadClass.HEALTH: 0})
    assert (doing.erase, doing.purge_after_us, doing.remove_set_aside_before_us, doing.alarms) == ((), None, None, ())


@pytest.mark.parametrize(
    ("percent", "diagnostics", "purge_after_us", "alarm"),
    [
        (79, False, 7 * DAY_US, None),
        (80, True, 7 * DAY_US, "disk_low"),
        (89, True, 7 * DAY_US, "disk_low"),
        (90, True, 0, "disk_low"),
        (96, True, 0, "disk_low"),
        (97, True, 0, "disk_full"),
        (100, True, 0, "disk_full"),
    ],
)
def test_a_filling_disk_is_answered_in_steps(
    percent: int, diagnostics: bool, purge_after_us: int, alarm: str | None
) -> None:
    """80 %: diagnostics go; 90 %: everything acknowledged goes; 97 %: the guard is told."""
    doing = plan(at(), RULES, disk_used_percent=percent, oldest_us=NOTHING)
    assert (doing.give_up_diagnostics, doing.purge_after_us) == (diagnostics, purge_after_us)
    assert [a["code"] for a in doing.alarms] == ([alarm] if alarm else [])


@pytest.mark.parametrize(("late_us", "alarms"), [(DAY_US, 0), (DAY_US + 1_000_000, 1), (2 * DAY_US, 1)])
def test_data_that_should_be_gone_raises_an_alarm_after_a_day(late_us: int, alarms: int) -> None:
    """The job is judged by what is still there."""
    oldest = {PayloadClass.HEALTH: MORNING_US - 3 * DAY_US - late_us, PayloadClass.PERSON: None}
    doing = plan(at(), RULES, disk_used_percent=10, oldest_us=oldest)
    assert len(doing.alarms) == alarms
    assert all(a["code"] == "retention_failed" and a["late_s"] == late_us // 1_000_000 for a in doing.alarms)


def test_a_full_disk_without_a_clock_still_frees_what_is_acknowledged() -> None:
    """What the central has can go whatever the time is."""
    doing = plan(at(ClockTrust.NONE), RULES, disk_used_percent=95, oldest_us=NOTHING)
    assert (doing.erase, doing.purge_after_us, doing.give_up_diagnostics) == ((), 0, True)
