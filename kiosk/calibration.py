"""Calibration of a thermometer against targets of known temperature, and the running check for drift. Pure.

A check looks at a target of 35.0 and one of 38.0 degC (each +-0.1), the mean of 20 frames at each. Within 0.3 degC of
both the unit is good as it is; up to 0.5 degC an operator may sign for a new offset; beyond, or when the two disagree
by more than 0.3 degC (a slope no offset repairs), the unit is locked out of automatic verdicts.

The drift check follows the median estimate of the last 100 people who were called normal, compared with the median of
the first 100 after the calibration in the same band of air (3 degC wide, so that a cold morning is not taken for a
drift): 0.3 degC away warns, 0.5 stops.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import StrEnum
from statistics import fmean, median, stdev
from typing import Any

TARGETS_C = (35.0, 38.0)
TARGET_ERROR_C = 0.1
FRAMES = 20
GOOD_WITHIN_C = 0.3
SIGNED_WITHIN_C = 0.5
MAX_DISAGREEMENT_C = 0.3
MAX_FRAME_SD_C = 0.3
DRIFT_PEOPLE = 100
DRIFT_WARN_C = 0.3
DRIFT_STOP_C = 0.5
AIR_BAND_C = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetCheck:
    """What the sensor said of one target: ``error_c`` is measured minus true; ``sd_c`` of the frames."""

    target_c: float
    measured_c: float
    sd_c: float
    frames: int

    @property
    def error_c(self) -> float:
        """Measured minus true, degC."""
        return self.measured_c - self.target_c


def look_at_target(target_c: float, readings_c: list[float]) -> TargetCheck:
    """The mean of at least 20 frames of a target; ValueError for fewer, or frames that scatter by over 0.3 degC."""
    if len(readings_c) < FRAMES:
        raise ValueError(f"{len(readings_c)} frames of the {target_c:.1f} degC target, expected at least {FRAMES}")
    spread_c = stdev(readings_c)
    if spread_c > MAX_FRAME_SD_C:
        raise ValueError(f"frames scatter by {spread_c:.2f} degC: is the target still, and does it fill the view?")
    return TargetCheck(target_c=target_c, measured_c=fmean(readings_c), sd_c=spread_c, frames=len(readings_c))


class CalibrationResult(StrEnum):
    """What the check came to."""

    GOOD = "good"
    NEEDS_SIGNATURE = "needs_signature"
    LOCKED_OUT = "locked_out"


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """A version of a unit's calibration.

    ``offset_c`` is added to every object temperature. ``unit_error_c`` is the standard uncertainty that remains:
    what the two targets disagree by, the targets' own error, the scatter of the mean. ``signed_by`` is the operator's
    pseudonymous id where a signature was needed.
    """

    version: str
    sensor: str
    result: CalibrationResult
    offset_c: float
    unit_error_c: float
    checks: tuple[TargetCheck, ...]
    signed_by: str = ""

    @property
    def in_force(self) -> bool:
        """Whether automatic verdicts may rest on it."""
        return self.result is CalibrationResult.GOOD or (
            self.result is CalibrationResult.NEEDS_SIGNATURE and bool(self.signed_by)
        )


def calibrate(version: str, sensor: str, checks: tuple[TargetCheck, ...], *, signed_by: str = "") -> Calibration:
    """Judge the checks of both targets. ValueError when a target is missing."""
    seen = {check.target_c for check in checks}
    missing = [target for target in TARGETS_C if not any(abs(target - at) <= 0.5 for at in seen)]
    if missing:
        raise ValueError(f"no target near {' and '.join(f'{target:.1f}' for target in missing)} degC was looked at")
    errors = [check.error_c for check in checks]
    worst, disagreement = max(abs(error) for error in errors), max(errors) - min(errors)
    if worst > SIGNED_WITHIN_C or disagreement > MAX_DISAGREEMENT_C:
        result = CalibrationResult.LOCKED_OUT
    else:
        result = CalibrationResult.GOOD if worst <= GOOD_WITHIN_C else CalibrationResult.NEEDS_SIGNATURE
    scatter = max(check.sd_c / math.sqrt(check.frames) for check in checks)
    return Calibration(
        version=version,
        sensor=sensor,
        result=result,
        offset_c=-fmean(errors),
        unit_error_c=math.hypot(disagreement / 2, TARGET_ERROR_C / math.sqrt(3), scatter),
        checks=checks,
        signed_by=signed_by,
    )


def calibration_payload(calibration: Calibration) -> dict[str, Any]:
    """The facts of a calibration's record, in hundredths and millionths of a degree."""
    return {
        "version": calibration.version,
        "sensor": calibration.sensor,
        "result": str(calibration.result),
        "offset_micro_c": round(calibration.offset_c * 1_000_000),
        "unit_error_micro_c": round(calibration.unit_error_c * 1_000_000),
        "signed_by": calibration.signed_by,
        "targets": [
            {
                "target_centi_c": round(check.target_c * 100),
                "measured_centi_c": round(check.measured_c * 100),
                "sd_centi_c": round(check.sd_c * 100),
                "frames": check.frames,
            }
            for check in calibration.checks
        ],
    }


class Drift(StrEnum):
    """What the running check says."""

    LEARNING = "learning"
    STEADY = "steady"
    WARN = "warn"
    STOP = "stop"


@dataclass(frozen=True, slots=True, kw_only=True)
class AirBand:
    """The people of one band of air: the first hundred set the reference, the last hundred are compared with it."""

    number: int
    first: tuple[float, ...] = ()
    last: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftWatch:
    """The running check; a new calibration starts a new one. Only medians of estimates are kept, no person."""

    bands: tuple[AirBand, ...] = ()

    def seen(self, estimate_c: float, air_c: float) -> DriftWatch:
        """One more person who was called normal."""
        number = math.floor(air_c / AIR_BAND_C)
        band = next((b for b in self.bands if b.number == number), AirBand(number=number))
        if len(band.first) < DRIFT_PEOPLE:
            band = replace(band, first=(*band.first, estimate_c))
        else:
            band = replace(band, last=(*band.last, estimate_c)[-DRIFT_PEOPLE:])
        return replace(self, bands=(*(b for b in self.bands if b.number != number), band))

    def moved_c(self) -> float | None:
        """The largest move of a median over the bands that have two hundreds, signed, degC; None while learning."""
        moves = [median(b.last) - median(b.first) for b in self.bands if len(b.last) == DRIFT_PEOPLE]
        return max(moves, key=abs) if moves else None

    @property
    def state(self) -> Drift:
        """Steady within 0.3 degC, warning to 0.5, stop beyond."""
        moved_c = self.moved_c()
        if moved_c is None:
            return Drift.LEARNING
        if abs(moved_c) > DRIFT_STOP_C:
            return Drift.STOP
        return Drift.WARN if abs(moved_c) > DRIFT_WARN_C else Drift.STEADY
