"""Calibration against two targets, and the running check for drift."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.sensor_model import load_sensor_model
from drivers.simulators.registry import Spec
from drivers.simulators.scene import Scene
from kiosk.calibration import (
    Calibration,
    CalibrationResult,
    Drift,
    DriftWatch,
    TargetCheck,
    calibrate,
    calibration_payload,
    look_at_target,
)
from kiosk.calibration_store import calibrated
from kiosk.expectation import expected, expected_of_unit
from kiosk.records import canonical
from kiosk.screening import Sensor


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


def seen_by_unit(target_c: float, *, bias_c: float = 0.0, noise_c: float = 0.05) -> list[float]:
    """Twenty samples of a simulated unit that looks at a target."""
    spec = Spec("t", "gy_mcu90615", 115200, 11, Path("."), {"bias_c": bias_c, "noise_c": noise_c})
    scene = Scene(spec)
    scene.command({"do": "person", "skin_c": target_c})
    scene.nearness(0)
    return [scene.object_c((10 + number) * 100_000_000) for number in range(20)]


def looked(*, bias_c: float = 0.0, noise_c: float = 0.05, signed_by: str = "") -> Calibration:
    """The calibration of a simulated unit."""
    checks = tuple(look_at_target(c, seen_by_unit(c, bias_c=bias_c, noise_c=noise_c)) for c in (35.0, 38.0))
    return calibrate("0001", "simulated", checks, signed_by=signed_by)


@pytest.mark.parametrize("bias_c", [-0.4, 0.4])
def test_a_unit_with_a_bias_claims_nothing_until_somebody_signed_for_it(bias_c: float) -> None:
    """Nearly half a degree off: unknown before the calibration, out of use until it is signed, then as good as any."""
    sensor = Sensor(model=load_sensor_model("full_face"))
    assert expected_of_unit(sensor) is None
    assert expected_of_unit(calibrated(sensor, looked(bias_c=bias_c))) is None
    mended = expected_of_unit(calibrated(sensor, looked(bias_c=bias_c, signed_by="op")))
    good = expected_of_unit(calibrated(sensor, looked()))
    assert mended is not None
    assert good is not None
    assert mended.sensitivity == pytest.approx(good.sensitivity, abs=0.03)
    unmended = expected(sensor.model, bias_c=bias_c)
    assert unmended.sensitivity < 0.75 * good.sensitivity or unmended.retest > 2 * good.retest


@pytest.mark.parametrize("site", ["full_face", "forehead_max", "single_spot"])
def test_a_noisy_unit_cannot_be_calibrated_and_finds_less(site: str) -> None:
    """SD 0.5 degC: no target is accepted, so nothing is claimed; what it would find is honestly less."""
    with pytest.raises(ValueError, match="scatter"):
        looked(noise_c=0.5)
    model = load_sensor_model(site)
    assert expected(model, unit_sd_c=0.5).sensitivity < expected(model).sensitivity - 0.03
    assert expected(model, unit_sd_c=0.5).retest > expected(model).retest
