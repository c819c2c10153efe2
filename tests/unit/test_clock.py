"""The clock says how far it can be trusted, and its floor never goes back."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kiosk.clock import ClockError, Floor, Instant, ShiftedClock, SystemClock, utc_of
from kiosk.reasons import ClockTrust
from tests.fakes import MORNING_US

HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US


class Machine:
    """A kiosk's senses: wall clock, monotonic clock, whether the kernel calls itself synced."""

    def __init__(self, wall_us: int = MORNING_US, *, synced: bool = True, rtc: bool = True) -> None:
        self.wall_us = wall_us
        self.mono_ns = 5_000_000_000
        self.synced = synced
        self.rtc = rtc

    def clock(self, floor: Path | None = None, *, built_at_us: int = 0, boot_id: str = "boot-a") -> SystemClock:
        return SystemClock(
            floor,
            built_at_us=built_at_us,
            wall_us=lambda: self.wall_us,
            monotonic_ns=lambda: self.mono_ns,
            synced=lambda: self.synced,
            rtc_present=lambda: self.rtc,
            boot_id=boot_id,
        )

    def advance(self, us: int) -> None:
        self.wall_us += us
        self.mono_ns += us * 1000


def test_a_synced_kernel_is_believed() -> None:
    """The wall clock is passed on unchanged while the kernel disciplines it."""
    machine = Machine()
    assert machine.clock().now() == Instant(MORNING_US, ClockTrust.SYNCED, "boot-a", 5_000_000_000)


def test_sync_lost_is_holdover_until_drift_may_exceed_a_minute() -> None:
    """After the network goes, the monotonic clock carries the time for about seven days."""
    machine = Machine(rtc=False)
    clock = machine.clock()
    clock.now()
    machine.synced = False
    machine.advance(6 * DAY_US)
    assert clock.now().clock_trust is ClockTrust.HOLDOVER
    machine.advance(2 * DAY_US)
    assert clock.now().clock_trust is ClockTrust.NONE


@pytest.mark.parametrize("step_us", [-MORNING_US, 10 * 365 * DAY_US, -61 * DAY_US, 365 * DAY_US])
def test_a_step_of_an_unsynced_wall_clock_changes_nothing(step_us: int) -> None:
    """To 1970, to 2036, two months back, a year ahead: the time carried on from the last sync stands."""
    machine = Machine()
    clock = machine.clock()
    clock.now()
    machine.synced = False
    machine.advance(HOUR_US)
    machine.wall_us += step_us
    assert clock.now() == Instant(MORNING_US + HOUR_US, ClockTrust.HOLDOVER, "boot-a", machine.mono_ns)


@pytest.mark.parametrize(
    ("wall_us", "trust"),
    [
        (0, ClockTrust.NONE),
        (MORNING_US - 61 * DAY_US, ClockTrust.NONE),
        (MORNING_US + HOUR_US, ClockTrust.HOLDOVER),
        (MORNING_US + 59 * DAY_US, ClockTrust.HOLDOVER),
        (MORNING_US + 365 * DAY_US, ClockTrust.NONE),
        (MORNING_US + 10 * 365 * DAY_US, ClockTrust.NONE),
    ],
)
def test_after_a_reboot_a_battery_clock_is_believed_only_near_the_floor(
    tmp_path: Path, wall_us: int, trust: ClockTrust
) -> None:
    """1970, two months back, a year ahead and 2036 are not believed, and no instant lies below the floor."""
    before = Machine()
    old = before.clock(tmp_path / "floor")
    old.now()
    old.close()
    instant = Machine(wall_us, synced=False).clock(tmp_path / "floor").now()
    assert instant.clock_trust is trust
    assert instant.at_us == max(wall_us, MORNING_US)


def test_without_a_battery_clock_an_unsynced_boot_has_no_trust(tmp_path: Path) -> None:
    """A wall clock that nothing stands behind is not believed even when it looks right."""
    (tmp_path / "floor").write_text(f"{MORNING_US}\n")
    assert Machine(MORNING_US + 5, synced=False, rtc=False).clock(tmp_path / "floor").now().clock_trust is (
        ClockTrust.NONE
    )


def test_a_sync_two_months_back_is_not_believed() -> None:
    """A time service that steps far below the floor (systemd issue 36498) does not make expired things valid."""
    machine = Machine()
    clock = machine.clock()
    clock.now()
    machine.wall_us -= 61 * DAY_US
    machine.mono_ns += 2_000_000_000
    assert clock.now().clock_trust is ClockTrust.HOLDOVER
    assert clock.now().at_us == MORNING_US + 2_000_000


def test_a_wrong_battery_clock_does_not_raise_the_floor(tmp_path: Path) -> None:
    """Else one wrong year would block every later right time."""
    (tmp_path / "floor").write_text(f"{MORNING_US}\n")
    clock = Machine(MORNING_US + 30 * DAY_US, synced=False).clock(tmp_path / "floor")
    clock.now()
    clock.close()
    assert clock.floor_us == MORNING_US
    assert Floor(tmp_path / "floor").at_us == MORNING_US


def test_the_clock_remembers_when_the_run_before_was_alive(tmp_path: Path) -> None:
    """The floor as it was found does not move with the clock; the next start finds the minute of this run's end."""
    (tmp_path / "floor").write_text(f"{MORNING_US}\n")
    clock = Machine(MORNING_US + DAY_US).clock(tmp_path / "floor")
    assert clock.now().at_us == clock.floor_us == MORNING_US + DAY_US
    assert clock.last_run_us == MORNING_US
    assert Machine(MORNING_US + 2 * DAY_US).clock(tmp_path / "floor").last_run_us == MORNING_US + DAY_US


def test_a_release_says_nothing_of_when_the_run_before_was_alive(tmp_path: Path) -> None:
    """A program installed in a pause may be newer than the last run; a first start knows of no run at all."""
    assert SystemClock(tmp_path / "floor", built_at_us=MORNING_US).last_run_us is None
    (tmp_path / "floor").write_text(f"{MORNING_US - DAY_US}\n")
    clock = SystemClock(tmp_path / "floor", built_at_us=MORNING_US)
    assert (clock.last_run_us, clock.floor_us) == (MORNING_US - DAY_US, MORNING_US)


def test_two_people_can_assert_the_time_above_the_floor() -> None:
    """Asserted time is carried on by the monotonic clock and gives way to a sync."""
    machine = Machine(0, synced=False, rtc=False)
    clock = machine.clock(built_at_us=MORNING_US - DAY_US)
    assert clock.now().clock_trust is ClockTrust.NONE
    clock.assert_time(MORNING_US, people=("guard-7", "admin-1"))
    machine.advance(HOUR_US)
    assert (clock.now().at_us, clock.now().clock_trust) == (MORNING_US + HOUR_US, ClockTrust.ASSERTED)
    machine.synced, machine.wall_us = True, MORNING_US + 2 * HOUR_US
    machine.mono_ns += 2_000_000_000
    assert clock.now().clock_trust is ClockTrust.SYNCED


@pytest.mark.parametrize(
    ("at_us", "people"),
    [
        (MORNING_US, ("guard-7", "guard-7")),
        (MORNING_US, ("guard-7", "")),
        (MORNING_US - 2 * DAY_US, ("guard-7", "admin-1")),
    ],
)
def test_an_assertion_needs_two_people_and_a_time_that_can_be(at_us: int, people: tuple[str, str]) -> None:
    """One person twice, nobody, or a time known to have passed are refused."""
    with pytest.raises(ClockError):
        Machine(0, synced=False).clock(built_at_us=MORNING_US - DAY_US).assert_time(at_us, people=people)


def test_a_year_that_two_people_misread_is_put_right(tmp_path: Path) -> None:
    """What people say never raises the floor: they may say better, and a sync ends it, also on the next start."""
    machine = Machine(0, synced=False, rtc=False)
    clock = machine.clock(tmp_path / "floor", built_at_us=MORNING_US)
    clock.assert_time(MORNING_US + 365 * DAY_US, people=("guard-7", "admin-1"))
    assert clock.assert_time(MORNING_US + DAY_US, people=("guard-7", "admin-1")).at_us == MORNING_US + DAY_US
    clock.assert_time(MORNING_US + 365 * DAY_US, people=("guard-7", "admin-1"))
    machine.synced, machine.wall_us = True, MORNING_US + DAY_US
    machine.mono_ns += 2_000_000_000
    assert clock.now() == Instant(MORNING_US + DAY_US, ClockTrust.SYNCED, "boot-a", machine.mono_ns)
    machine.synced = False
    assert machine.clock(tmp_path / "floor").now().at_us == MORNING_US + DAY_US


def test_an_assertion_too_far_ahead_is_a_misread_year() -> None:
    """2036 is refused: no release lies in a store-room that long."""
    clock = Machine(0, synced=False).clock(built_at_us=MORNING_US)
    with pytest.raises(ClockError, match="look at the year"):
        clock.assert_time(MORNING_US + 10 * 365 * DAY_US, people=("guard-7", "admin-1"))


def test_an_assertion_outlives_a_restart_of_the_program_but_not_a_reboot(tmp_path: Path) -> None:
    """The monotonic clock of the same boot carries it on; of another boot only that the time has passed is known."""
    machine = Machine(0, synced=False, rtc=False)
    machine.clock(tmp_path / "floor", built_at_us=MORNING_US - DAY_US).assert_time(MORNING_US, people=("a", "b"))
    machine.advance(HOUR_US)
    again = machine.clock(tmp_path / "floor").now()
    assert (again.at_us, again.clock_trust) == (MORNING_US + HOUR_US, ClockTrust.ASSERTED)
    rebooted = Machine(0, synced=False, rtc=False).clock(tmp_path / "floor", boot_id="boot-b").now()
    assert (rebooted.at_us, rebooted.clock_trust) == (MORNING_US, ClockTrust.NONE)


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"at_us": "x", "mono_ns": 1, "boot_id": "boot-a"}', "9" * 2000])
def test_a_damaged_assertion_counts_as_none(tmp_path: Path, content: str) -> None:
    """Two people are asked again; the gate comes up."""
    (tmp_path / "clock.asserted").write_text(content)
    assert Machine(0, synced=False, rtc=False).clock(tmp_path / "floor").now().clock_trust is ClockTrust.NONE


@pytest.mark.parametrize("content", ["", "soon", "-5", "9" * 400])
def test_a_damaged_floor_file_counts_as_none(tmp_path: Path, content: str) -> None:
    """What cannot be read as a time leaves the build's own date as the floor."""
    (tmp_path / "floor").write_text(content)
    floor = Floor(tmp_path / "floor", built_at_us=MORNING_US)
    assert floor.at_us == MORNING_US


def test_a_floor_that_cannot_be_saved_stops_nothing(tmp_path: Path) -> None:
    """A missing folder (a full disk) is met again at the next save, not as an exception at the gate."""
    clock = Machine().clock(tmp_path / "gone" / "floor")
    assert clock.now().clock_trust is ClockTrust.SYNCED


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(-20 * 365 * DAY_US, 20 * 365 * DAY_US),
            st.integers(0, 30 * DAY_US),
            st.booleans(),
            st.booleans(),
        ),
        max_size=20,
    )
)
def test_no_instant_is_ever_below_the_floor(steps: list[tuple[int, int, bool, bool]]) -> None:
    """Whatever wall clock, sync and restarts do, the floor never falls and no instant lies below it."""
    machine = Machine()
    clock = machine.clock()
    floor_us = clock.now().at_us
    for step_us, advance_us, synced, rtc in steps:
        machine.synced, machine.rtc = synced, rtc
        machine.advance(advance_us)
        machine.wall_us += step_us
        instant = clock.now()
        assert clock.floor_us >= floor_us
        floor_us = clock.floor_us
        assert instant.at_us >= floor_us
        instant.utc()


def test_a_shifted_clock_begins_where_it_is_told() -> None:
    """A simulated day runs at the real pace from its own start."""
    ticks = iter([1_000, 2_000_001_000])
    clock = ShiftedClock(MORNING_US, monotonic_ns=lambda: next(ticks), boot_id="b")
    assert clock.now() == Instant(MORNING_US + 2_000_000, ClockTrust.SYNCED, "b", 2_000_001_000)


def test_utc_of_survives_any_number() -> None:
    """Damaged times are shown, not raised."""
    assert utc_of(MORNING_US).isoformat() == "2026-11-21T08:00:00+00:00"
    assert utc_of(2**62).year == 9999
    assert utc_of(-(2**62)).year == 1
