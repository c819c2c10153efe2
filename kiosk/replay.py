"""Computes the temperature of a passage record again from the record alone. Pure.

A verdict that is not normal keeps its sensor's coefficients and its window with the module's own frames: the frames
must say what the window says, and estimate and outcome must come out the same. A normal one keeps its band and
versions: the band must be the one of its model, where the program still knows that model.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from drivers.devices import ThermalFrame
from drivers.thermometers.raw_frames import from_text, reading_of
from kiosk.evidence import Estimate, NotMeasured, TemperatureOutcome
from kiosk.face_blob import hottest_of_face
from kiosk.screening import (
    CONTACT_FROM_C,
    CONTACT_RAISED_C,
    LOWEST_ESTIMATE_C,
    NS,
    Settled,
    estimate,
    robust_window,
)
from kiosk.temperature_record import centi, sensor_of_payload


def replay_temperature(payload: dict[str, Any], models_low_c: Mapping[str, float] | None = None) -> str:
    """What is wrong with the ``temperature`` object of a health payload: "" when it comes out the same.

    ``models_low_c`` maps a model's version to the estimate from which it measures again, for the bands of normal ones.
    Never raises for a payload of the contract's types; a missing key is told as a finding.
    """
    try:
        outcome = TemperatureOutcome(payload["outcome"])
        if outcome is TemperatureOutcome.NORMAL:
            return _band(payload, models_low_c or {})
        if payload["by_guard"]:
            return _by_contact(payload, outcome)
        if "sensor" not in payload:
            return "" if outcome is TemperatureOutcome.NOT_MEASURED else "no sensor"
        return _again(payload, outcome)
    except (KeyError, ValueError, TypeError, IndexError) as error:
        return f"cannot be computed again: {type(error).__name__} {error}"


def _band(payload: dict[str, Any], models_low_c: Mapping[str, float]) -> str:
    rule, (low, high) = payload["rule"], payload["band_centi_c"]
    if payload["by_guard"]:
        expected = (centi(CONTACT_FROM_C), centi(CONTACT_RAISED_C))
        return "" if (rule, low, high) == ("contact", *expected) else f"band {low} to {high} of rule {rule!r}"
    version, slash, calibration = rule.partition("/")
    if not (version and slash and calibration):
        return f"a normal temperature by rule {rule!r}, which names no model and calibration"
    model, _, own = version.partition("@")  # a policy's own threshold stands behind the model's version
    known = float(own) if own else models_low_c.get(model)
    if low != centi(LOWEST_ESTIMATE_C) or high <= low or (known is not None and high != centi(known)):
        return f"band {low} to {high} is not the one of {version}"
    return ""


def _by_contact(payload: dict[str, Any], outcome: TemperatureOutcome) -> str:
    raised = payload["estimate_centi_c"] >= round(CONTACT_RAISED_C * 100)
    if payload["rule"] != "contact" or raised is not (outcome is TemperatureOutcome.RAISED):
        return f"recorded {outcome} for {payload['estimate_centi_c']} centi-degC by rule {payload['rule']!r}"
    return ""


def _again(payload: dict[str, Any], outcome: TemperatureOutcome) -> str:
    sensor = sensor_of_payload(payload["sensor"])
    window: list[tuple[int, float]] = []
    for at_us, object_centi_c, ambient_centi_c, frame in payload["window"]:
        object_c = object_centi_c / 100
        if frame:
            event = reading_of(from_text(frame))
            reading = hottest_of_face(event) if isinstance(event, ThermalFrame) else event
            if (centi(reading.object_c), centi(reading.ambient_c)) != (object_centi_c, ambient_centi_c):
                return f"recorded {object_centi_c} centi-degC, its frame says {centi(reading.object_c)}"
            object_c = reading.object_c
        window.append((at_us * 1000, object_c))
    oldest = window[-1][0] - int(sensor.window.window_s * NS) if window else 0
    found = robust_window([(at, c) for at, c in window if at > oldest], sensor.window)
    if isinstance(found, Settled):
        return _compared(payload, outcome, estimate(found, sensor))
    if outcome is not TemperatureOutcome.NOT_MEASURED or payload["why_not"] == NotMeasured.COLD_SKIN:
        return f"recorded {payload['why_not'] or outcome}, but the window is {found}"
    return ""


def _compared(payload: dict[str, Any], outcome: TemperatureOutcome, again: Estimate) -> str:
    if outcome is TemperatureOutcome.NOT_MEASURED and payload["why_not"] != NotMeasured.COLD_SKIN:
        # A window that had settled only when the time was up, or a sensor out of order, is not measured all the same.
        return ""
    if again.outcome is not outcome:
        return f"recorded {outcome}, computed {again.outcome}"
    if centi(again.estimate_c) != payload["estimate_centi_c"] or centi(again.object_c) != payload["object_centi_c"]:
        return (
            f"recorded {payload['object_centi_c']} -> {payload['estimate_centi_c']} centi-degC, "
            f"computed {centi(again.object_c)} -> {centi(again.estimate_c)}"
        )
    return ""
