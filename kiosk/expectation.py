"""What a sensor can be expected to find: sensitivity, specificity and retests, with the unit's own error. Pure.

The model file keeps how the estimates of healthy and of feverish people lie in the public data set. A unit adds its
own error: a bias that its calibration left over, and a spread from person to person. An uncalibrated unit's error is
not known, so nothing is claimed for it (:func:`expected` is for calibrated ones; say "unknown" otherwise).

Caveat that belongs beside every figure: indoors, young adults, unmasked, rested, a black body in view; never at a gate.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from config.sensor_model import SensorModel
from kiosk.board import ExpectedView
from kiosk.screening import Sensor

CAVEAT = "from 543 adults of a university health centre, indoors, 20 to 29 degC, rested, unmasked; never at a gate"
Z95 = 1.959964


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """Shares from 0 to 1; ``…_low`` and ``…_high`` are 95 % Wilson intervals for the number of people behind it.

    ``sensitivity`` counts fevers (oral >= 37.5 degC) that are not called normal; ``raised`` those called raised at
    once. ``retest`` is the share of healthy people who are measured again (``1 - specificity``).
    """

    low_c: float
    sensitivity: float
    sensitivity_low: float
    sensitivity_high: float
    specificity: float
    specificity_low: float
    specificity_high: float
    raised: float

    @property
    def retest(self) -> float:
        """Share of healthy people sent to a second measurement."""
        return 1.0 - self.specificity


def expected(
    model: SensorModel, *, unit_sd_c: float = 0.0, bias_c: float = 0.0, low_c: float | None = None
) -> Expectation:
    """What a unit with this error finds at the threshold ``low_c`` (as shipped when None).

    ``unit_sd_c`` is its error from person to person beyond the data set's cameras (one standard deviation),
    ``bias_c`` how much it reads too high on average.
    """
    threshold_c = model.low_c if low_c is None else low_c
    found = _share_from(model.fever_c, threshold_c, unit_sd_c, bias_c)
    flagged = _share_from(model.healthy_c, threshold_c, unit_sd_c, bias_c)
    sensitivity_low, sensitivity_high = wilson(found, model.fever_people)
    specificity_low, specificity_high = wilson(1 - flagged, model.healthy_people)
    return Expectation(
        low_c=threshold_c,
        sensitivity=found,
        sensitivity_low=sensitivity_low,
        sensitivity_high=sensitivity_high,
        specificity=1 - flagged,
        specificity_low=specificity_low,
        specificity_high=specificity_high,
        raised=_share_from(model.fever_c, model.high_c, unit_sd_c, bias_c),
    )


def expected_of_unit(sensor: Sensor) -> Expectation | None:
    """What this very unit finds, its calibration's own error added; None (unknown) while it is not calibrated."""
    if not sensor.calibration or sensor.drifted:
        return None
    return expected(sensor.model, unit_sd_c=sensor.unit_error_c)


def expected_view(sensor: Sensor) -> ExpectedView | None:
    """The same for the guard's console; None (unknown) while the unit is not calibrated."""
    found = expected_of_unit(sensor)
    if found is None:
        return None
    return ExpectedView(
        low_c=found.low_c,
        sensitivity=(found.sensitivity, found.sensitivity_low, found.sensitivity_high),
        specificity=(found.specificity, found.specificity_low, found.specificity_high),
        retest=(found.retest, 1 - found.specificity_high, 1 - found.specificity_low),
    )


def threshold_for_retest(
    model: SensorModel, share: float, *, unit_sd_c: float = 0.0, bias_c: float = 0.0, fever_share: float = 0.0
) -> float:
    """The lowest threshold at which at most ``share`` of all people is measured again, degC to a hundredth.

    Never above ``high_c``: a raised one is always seen to. The unit's error counts on both sides, so a noisy unit
    pays for the same share with a higher threshold.
    """

    def again(threshold_c: float) -> float:
        healthy = _share_from(model.healthy_c, threshold_c, unit_sd_c, bias_c)
        return healthy * (1 - fever_share) + _share_from(model.fever_c, threshold_c, unit_sd_c, bias_c) * fever_share

    low, high = 3400, round(model.high_c * 100)
    while low < high:
        middle = (low + high) // 2
        if again(middle / 100) <= share:
            high = middle
        else:
            low = middle + 1
    return low / 100


def _share_from(estimates_c: tuple[float, ...], threshold_c: float, sd_c: float, bias_c: float) -> float:
    """Share of people whose estimate, with the unit's error, is at or over the threshold."""
    if not estimates_c:
        return math.nan
    return sum(_over(value + bias_c, threshold_c, sd_c) for value in estimates_c) / len(estimates_c)


def _over(mean_c: float, threshold_c: float, sd_c: float) -> float:
    if sd_c <= 0:
        return 1.0 if mean_c >= threshold_c else 0.0
    return 0.5 * math.erfc((threshold_c - mean_c) / (sd_c * math.sqrt(2)))


def wilson(share: float, people: int) -> tuple[float, float]:
    """The 95 % Wilson score interval of a share seen in so many people; (0, 1) for nobody."""
    if people <= 0 or math.isnan(share):
        return 0.0, 1.0
    z2 = Z95 * Z95
    middle = (share + z2 / (2 * people)) / (1 + z2 / people)
    half = Z95 / (1 + z2 / people) * math.sqrt(share * (1 - share) / people + z2 / (4 * people * people))
    return max(0.0, middle - half), min(1.0, middle + half)
