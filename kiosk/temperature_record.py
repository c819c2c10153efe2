"""What a passage's record keeps of a temperature, in integers, and the sensor that such a record describes. Pure.

A normal temperature is a band and versions, no value. Any other keeps everything that it was made of: coefficients,
limits, and the window's readings with the module's own frames.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from config.sensor_model import SensorModel
from drivers.devices import TemperatureReading
from drivers.thermometers.raw_frames import as_text
from kiosk.evidence import Estimate, TemperatureOutcome
from kiosk.screening import CONTACT_FROM_C, CONTACT_RAISED_C, LOWEST_ESTIMATE_C, Sensor, WindowRule


def centi(value_c: float | None) -> int | None:
    """Hundredths of a degree, rounded; None stays None."""
    return None if value_c is None else round(value_c * 100)


def micro(value: float) -> int:
    """Millionths, rounded."""
    return round(value * 1_000_000)


def temperature_payload(
    found: Estimate, sensor: Sensor | None, window: tuple[TemperatureReading, ...]
) -> dict[str, Any]:
    """A normal temperature as its band and versions; any other with readings and coefficients to compute it again."""
    payload: dict[str, Any] = {
        "outcome": str(found.outcome),
        "why_not": str(found.why_not) if found.why_not is not None else "",
        "rule": found.rule,
        "by_guard": found.by_guard,
    }
    if found.outcome is TemperatureOutcome.NORMAL:
        if found.by_guard:
            payload["band_centi_c"] = [centi(CONTACT_FROM_C), centi(CONTACT_RAISED_C)]
        elif sensor is not None:
            payload["band_centi_c"] = [centi(LOWEST_ESTIMATE_C), centi(sensor.model.low_c)]
        return payload
    payload |= {
        "object_centi_c": centi(found.object_c),
        "estimate_centi_c": centi(found.estimate_c),
        "uncertainty_centi_c": centi(found.uncertainty_c),
        "count": found.count,
        "seen": found.seen,
    }
    if sensor is not None and not found.by_guard:
        payload["sensor"] = sensor_payload(sensor)
        payload["window"] = [
            [
                (reading.at_ns - window[0].at_ns) // 1000,
                centi(reading.object_c),
                centi(reading.ambient_c),
                as_text(reading.raw),
            ]
            for reading in window
        ]
    return payload


def sensor_payload(sensor: Sensor) -> dict[str, Any]:
    """The coefficients and limits that an estimate was made with."""
    model, rule = sensor.model, sensor.window
    return {
        "model": model.version,
        "site": model.site,
        "calibration": sensor.calibration,
        "gain_micro": micro(model.gain),
        "a_micro_c": micro(model.a_c),
        "b_micro": micro(model.b),
        "low_micro_c": micro(model.low_c),
        "high_micro_c": micro(model.high_c),
        "spread_micro_c": micro(model.spread_c),
        "repeatability_micro_c": micro(model.repeatability_c),
        "nominal_air_centi_c": centi(model.nominal_air_c),
        "air_from_centi_c": centi(model.air_from_c),
        "air_to_centi_c": centi(model.air_to_c),
        "air_centi_c": centi(sensor.air_c),
        "offset_micro_c": micro(sensor.offset_c),
        "unit_error_micro_c": micro(sensor.unit_error_c),
        "min_good": rule.min_good,
        "window_ms": round(rule.window_s * 1000),
        "extended_ms": round(rule.extended_s * 1000),
        "drop_centi_c": centi(rule.drop_c),
        "max_range_centi_c": centi(rule.max_range_c),
        "max_gap_ms": round(rule.max_gap_s * 1000),
        "silence_ms": round(rule.silence_s * 1000),
        "max_slope_centi_c_per_s": centi(rule.max_slope_c_per_s),
    }


def sensor_of_payload(payload: dict[str, Any]) -> Sensor:
    """The sensor that a record's ``sensor`` object describes. KeyError or TypeError where it lacks something."""
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
            silence_s=payload["silence_ms"] / 1000,
            max_range_c=payload["max_range_centi_c"] / 100,
            max_slope_c_per_s=payload["max_slope_centi_c_per_s"] / 100,
        ),
        offset_c=payload["offset_micro_c"] / 1e6,
        unit_error_c=payload["unit_error_micro_c"] / 1e6,
        calibration=payload["calibration"],
        air_c=None if payload["air_centi_c"] is None else payload["air_centi_c"] / 100,
    )


def as_recorded(sensor: Sensor) -> Sensor:
    """The sensor with every figure as exact as a record writes it, so that computing again gives the same."""
    again = sensor_of_payload(sensor_payload(sensor))
    kept = ("healthy_c", "fever_c", "healthy_people", "fever_people")
    model = again.model.model_copy(update={name: getattr(sensor.model, name) for name in kept})
    return replace(again, model=model, drifted=sensor.drifted)
