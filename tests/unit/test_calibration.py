"""Calibration against two targets, and the running check for drift."""

from __future__ import annotations

import pytest

from kiosk.calibration import (
    CalibrationResult,
    Drift,
    DriftWatch,
    TargetCheck,
    calibrate,
    calibration_payload,
    look_at_target,
)
from kiosk.records import canonical


def checks(low_error_c: float, high_error_c: float) -> tuple[TargetCheck, ...]:
    """Twenty frames of each target, each with an error and a little noise."""
    noise = [0.02, -0.02] * 10
    return (
        look_at_target(35.0, [35.0 + low_error_c + n for n in noise]),
        look_at_target(38.0, [38.0 + high_error_c + n for n in noise]),
    )


@pytest.mark.parametrize(
    ("low_c", "high_c", "result"),
    [
        (0.1, 0.2, CalibrationResult.GOOD),
        (-0.3, -0.3, CalibrationResult.GOOD),
        (0.4, 0.45, CalibrationResult.NEEDS_SIGNATURE),
        (0.6, 0.6, CalibrationResult.LOCKED_OUT),
        (-0.2, 0.2, CalibrationResult.LOCKED_OUT),
    ],
)
def test_what_the_targets_say(low_c: float, high_c: float, result: CalibrationResult) -> None:
    """Good within 0.3, signed within 0.5, locked out beyond or when the targets disagree by more than 0.3 degC."""
    assert calibrate("c1", "s1", checks(low_c, high_c)).result is result


def test_the_offset_undoes_the_error() -> None:
    """A unit that reads 0.4 high gets -0.4, counts only when signed, and keeps an uncertainty of its own."""
    found = calibrate("c2", "s1", checks(0.4, 0.4))
    assert found.offset_c == pytest.approx(-0.4)
    assert not found.in_force
    signed = calibrate("c2", "s1", checks(0.4, 0.4), signed_by="op1")
    assert signed.in_force
    assert 0.05 < signed.unit_error_c < 0.1
    canonical(calibration_payload(signed))


def test_bad_looks_at_a_target() -> None:
    """Too few frames, a shaking hand, or only one target: no calibration, and the message says why."""
    with pytest.raises(ValueError, match="19 frames"):
        look_at_target(35.0, [35.0] * 19)
    with pytest.raises(ValueError, match="scatter"):
        look_at_target(35.0, [35.0, 36.0] * 10)
    with pytest.raises(ValueError, match=r"38\.0"):
        calibrate("c", "s", checks(0, 0)[:1])


def grown(shift_c: float, people: int = 100, air_c: float = 22.0) -> DriftWatch:
    watch = DriftWatch()
    for index in range(100):
        watch = watch.seen(36.7 + (index % 5) * 0.05, 22.0)
    for index in range(people):
        watch = watch.seen(36.7 + shift_c + (index % 5) * 0.05, air_c)
    return watch


def test_drift() -> None:
    """0.2 degC is steady, 0.4 warns, 0.6 stops, in either direction; before two hundred people it learns."""
    for shift_c, state in ((0.2, Drift.STEADY), (0.4, Drift.WARN), (-0.4, Drift.WARN), (0.6, Drift.STOP)):
        assert grown(shift_c).state is state
    assert grown(0.6, people=99).state is Drift.LEARNING


def test_a_cold_morning_is_no_drift() -> None:
    """Other air is another band: its people are not compared with the warm afternoon's."""
    assert grown(-0.8, air_c=16.5).state is Drift.LEARNING
