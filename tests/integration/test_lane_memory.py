"""The drift check's people and whom a refusal keeps waiting survive a restart; a damaged file stops no gate."""

from __future__ import annotations

import stat
from dataclasses import replace
from pathlib import Path

import pytest

from kiosk.calibration import Drift, DriftWatch
from kiosk.lane_memory import FILE, LaneMemory
from kiosk.passage_state import Kept, LaneState
from kiosk.reasons import ClockTrust
from tests.fakes import FakeClock
from tests.lane import Lane

S = 1_000_000_000
RULES = {"in": "fever-2/in-0001"}


def drifted() -> DriftWatch:
    """A hundred people at 36.8, a hundred at 37.2: a warning."""
    watch = DriftWatch()
    for number in range(200):
        watch = watch.seen(36.8 if number < 100 else 37.2, 24.0)
    return watch


def waiting(clock: FakeClock, *, referral: bool = False) -> Kept:
    """A resident refused two minutes ago, three before the alarm."""
    now = clock.mono_ns
    return Kept(
        subject="a1b2c3d4e5f60718", passage="p-1", since_ns=now - 120 * S, referral=referral, stranded_ns=now + 180 * S
    )


def fresh() -> dict[str, LaneState]:
    """The lane as it starts."""
    return {"in": Lane(start_devices=False).state}


def kept_by(clock: FakeClock, folder: Path, **changes: object) -> None:
    """Write a lane with these changes."""
    states = {"in": replace(fresh()["in"], **changes)}
    LaneMemory(folder, RULES).keep(states, clock.now(), now=True)


def test_what_a_lane_must_not_forget_is_there_after_a_reboot(tmp_path: Path) -> None:
    """Another boot, another monotonic clock, a minute later: the waiting went on, the drift is known."""
    clock = FakeClock(mono_ns=10_000 * S)
    kept_by(clock, tmp_path, drift=drifted(), kept=(waiting(clock, referral=True),))
    clock.advance(60)
    clock.reboot()
    clock.mono_ns = 5 * S
    state = LaneMemory(tmp_path, RULES).recall(fresh(), clock.now())["in"]
    assert state.drift.state is Drift.WARN
    [kept] = state.kept
    assert (kept.subject, kept.passage, kept.referral) == ("a1b2c3d4e5f60718", "p-1", True)
    assert clock.mono_ns - kept.since_ns == pytest.approx(180 * S, abs=S)
    assert kept.stranded_ns - clock.mono_ns == pytest.approx(120 * S, abs=S)
    assert stat.S_IMODE((tmp_path / FILE).stat().st_mode) == 0o600


def test_nobodys_estimate_is_told_from_anothers(tmp_path: Path) -> None:
    """The same people in another order leave the same file; the median survives, and so does what gives way first."""
    clock, files = FakeClock(), []
    values = [36.5 + number / 200 for number in range(100)]
    for order in (values, values[::-1]):
        watch = DriftWatch()
        for value in [*order, *order]:
            watch = watch.seen(value, 24.0)
        folder = tmp_path / str(len(files))
        folder.mkdir()
        kept_by(clock, folder, drift=watch)
        files.append((folder / FILE).read_bytes())
    assert files[0] == files[1]
    [band] = LaneMemory(tmp_path / "0", RULES).recall(fresh(), clock.now())["in"].drift.bands
    assert sorted(band.last) == pytest.approx([round(value, 2) for value in values])
    assert abs(sum(band.last[:50]) - sum(band.last[50:])) < 2.0


def test_a_new_calibration_starts_a_new_check(tmp_path: Path) -> None:
    """The people measured by another calibration say nothing about this one."""
    clock = FakeClock()
    kept_by(clock, tmp_path, drift=drifted())
    state = LaneMemory(tmp_path, {"in": "fever-2/in-0002"}).recall(fresh(), clock.now())["in"]
    assert state.drift == DriftWatch()


def test_old_waits_are_over_and_an_unknown_time_recalls_none(tmp_path: Path) -> None:
    """Half an hour later nobody waits any more; a clock that knows no time cannot say how long somebody has waited."""
    clock = FakeClock(mono_ns=10_000 * S)
    kept_by(clock, tmp_path, kept=(waiting(clock),))
    clock.trust = ClockTrust.NONE
    assert LaneMemory(tmp_path, RULES).recall(fresh(), clock.now())["in"].kept == ()
    clock.trust = ClockTrust.SYNCED
    assert len(LaneMemory(tmp_path, RULES).recall(fresh(), clock.now())["in"].kept) == 1
    clock.advance(1800)
    assert LaneMemory(tmp_path, RULES).recall(fresh(), clock.now())["in"].kept == ()


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '{"format": 2, "lanes": {}}', '{"format": 1, "lanes": {"in": {"bands": [{}]}}}',
             '{"format": 1, "lanes": {"in": {"kept": [7]}}}', "[" * 100_000],
)  # fmt: skip
def test_a_damaged_file_is_set_aside(tmp_path: Path, text: str) -> None:
    """The gate comes up without it, and keeps it for whoever wants to know."""
    (tmp_path / FILE).write_text(text)
    states = fresh()
    assert LaneMemory(tmp_path, RULES).recall(states, FakeClock().now()) == states
    assert not (tmp_path / FILE).exists()
    assert (tmp_path / "lanes.bad").exists()


def test_it_is_written_only_when_something_changed_and_not_too_often(tmp_path: Path) -> None:
    """Ten seconds between writes; nothing new, nothing written; a folder that refuses stops nothing."""
    clock, memory, states = FakeClock(), LaneMemory(tmp_path, RULES), fresh()
    memory.keep(states, clock.now())
    first = (tmp_path / FILE).stat().st_mtime_ns
    states = {"in": replace(states["in"], drift=drifted())}
    memory.keep(states, clock.advance(5))
    assert (tmp_path / FILE).stat().st_mtime_ns == first
    memory.keep(states, clock.advance(6))
    second = (tmp_path / FILE).stat().st_mtime_ns
    assert second > first
    memory.keep(states, clock.advance(60))
    assert (tmp_path / FILE).stat().st_mtime_ns == second
    LaneMemory(tmp_path / "missing", RULES).keep(states, clock.now(), now=True)
