"""Computes the temperature of a passage record again from the record alone. Pure.

A verdict that is not normal keeps its window and coefficients, so estimate and outcome must come out the same; a
normal one keeps its band and the rule's version, which are checked for being there. Nothing else is asked: a record is
judged by what it says of itself.
"""

from __future__ import annotations

from typing import Any

from config.sensor_model import SensorModel
from kiosk.evidence import Estimate, NotMeasured, TemperatureOutcome
from kiosk.passage_record import centi
from kiosk.screening import NS, Sensor, Settled, WindowRule, estimate, robust_window

#: Not measured for a reason that lies in the readings; the others (stuck, drift, fault) lie in the sensor.
FROM_THE_WINDOW = frozenset({NotMeasured.COLD_SKIN, NotMeasured.MOVING, NotMeasured.TOO_FEW})


def replay_temperature(payload: dict[str, Any]) -> str:
    """What is wrong with the ``temperature`` object of a health payload: "" when it comes out the same.

    Never raises for a payload of the contract's types; a missing key is told as a finding.
    """
    try:
        outcome = TemperatureOutcome(payload["outcome"])
        if outcome is TemperatureOutcome.NORMAL:
            return "" if payload["rule"] else "a normal temperature without its rule's version"
        if payload["by_guard"] or "sensor" not in payload:
            return "" if payload["rule"] or outcome is TemperatureOutcome.NOT_MEASURED else "no rule"
        return _again(payload, outcome)
    except (KeyError, ValueError, TypeError, IndexError) as error:
        return f"cannot be computed again: {type(error).__name__} {error}"


def _again(payload: dict[str, Any], outcome: TemperatureOutcome) -> str:
    sensor = sensor_of(payload["sensor"])
    window = [(row[0] * NS // 1000, row[1] / 100) for row in payload["window"]]
    oldest = window[-1][0] - int(sensor.window.window_s * NS) if window else 0
    found = robust_window([(at, c) for at, c in window if at > oldest], sensor.window)
    if isinstance(found, Settled):
        return _compared(payload, outcome, estimate(found, sensor))
    if outcome is not TemperatureOutcome.NOT_MEASURED:
        return f"recorded {outcome}, but the window is {found}"
    return ""


def _compared(payload: dict[str, Any], outcome: TemperatureOutcome, again: Estimate) -> str:
    if outcome is TemperatureOutcome.NOT_MEASURED:
        why = NotMeasured(payload["why_not"])
        settled = why in FROM_THE_WINDOW and why is not again.why_not
        # A window that settled only after the time was up, or a sensor out of order, is not measured all the same.
        return f"recorded {why}, computed {again.outcome}" if settled and why is NotMeasured.COLD_SKIN else ""
    if again.outcome is not outcome:
        return f"recorded {outcome}, computed {again.outcome}"
    if centi(again.estimate_c) != payload["estimate_centi_c"]:
        return f"recorded {payload['estimate_centi_c']} centi-degC, computed {centi(again.estimate_c)}"
    return ""


def sensor_of(payload: dict[str, Any]) -> Sensor:
    """The sensor that a record's ``sensor`` object describes."""
    model = SensorModel(
        version=payload["model"],
        site=payload["site"],
        gain=payload["gain_micro"] / 1e6,
        a_c=payload["a_micro_c"] / 1e6,
        b=payload["b_micro"] / 1e6,
        low_c=payload["low_micro_c"] / 1e6,
        high_c=payload["high_micro_c"] / 1e6,
        spread_c=payload["spread_micro_c"] / 1e6,
        repeatability_c=payload["repeatability_micro_c"] / 1e6,
        nominal_air_c=payload["nominal_air_centi_c"] / 100,
        air_from_c=payload["air_from_centi_c"] / 100,
        air_to_c=payload["air_to_centi_c"] / 100,
    )
    return Sensor(
        model=model,
        window=WindowRule(
            min_good=payload["min_good"],
            window_s=payload["window_ms"] / 1000,
            extended_s=payload["extended_ms"] / 1000,
            drop_c=payload["drop_centi_c"] / 100,
            max_gap_s=payload["max_gap_ms"] / 1000,
            max_range_c=payload["max_range_centi_c"] / 100,
            max_slope_c_per_s=payload["max_slope_centi_c_per_s"] / 100,
        ),
        offset_c=payload["offset_micro_c"] / 1e6,
        unit_error_c=payload["unit_error_micro_c"] / 1e6,
        calibration=payload["calibration"],
        air_c=None if payload["air_centi_c"] is None else payload["air_centi_c"] / 100,
    )
