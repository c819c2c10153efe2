"""A lane's thermometer as the screening sees it: its site's fitted model, its pace, its air, its calibration."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from config.lane import Lane, ThermometerDriver
from config.sensor_model import SensorModel, load_sensor_model
from kiosk.calibration_store import calibrated, load_calibration
from kiosk.screening import Sensor, window_for
from kiosk.temperature_record import as_recorded

#: What each thermometer looks at (the fitted model that applies) and how often it reads, in seconds.
SITES: dict[ThermometerDriver, tuple[str, float]] = {
    ThermometerDriver.GY_MCU90615: ("single_spot", 0.1),
    ThermometerDriver.GY_MCU90614: ("single_spot", 0.1),
    ThermometerDriver.GY_614V3: ("single_spot", 0.1),
    ThermometerDriver.GY_MCU90640: ("full_face", 0.25),
}


def sensor_of(lane: Lane, state: Path, *, borderline_from_c: float | None = None) -> Sensor | None:
    """The lane's sensor with its newest calibration below the ``state`` folder.

    None where it has no thermometer, or one that tells only a "body" figure, on which nothing can rest.

    ``borderline_from_c`` is the policy's own threshold for a second measurement (always below the model's ``high_c``).

    Raises ConfigError when a calibration file cannot be used: a unit whose calibration is unreadable is not taken
    for one that never had any.
    """
    if lane.thermometer is None or lane.thermometer.driver not in SITES:
        return None
    site, period_s = SITES[lane.thermometer.driver]
    if lane.thermometer.rate_hz is not None:
        period_s = 1 / lane.thermometer.rate_hz
    sensor = Sensor(model=_model_of(site, borderline_from_c), window=window_for(period_s), air_c=lane.thermometer.air_c)
    return as_recorded(calibrated(sensor, load_calibration(state, lane.name)))


def with_borderline(sensor: Sensor, borderline_from_c: float | None) -> Sensor:
    """The sensor under a policy with another threshold for a second measurement; its calibration stays."""
    return as_recorded(replace(sensor, model=_model_of(sensor.model.site, borderline_from_c)))


def _model_of(site: str, borderline_from_c: float | None) -> SensorModel:
    model = load_sensor_model(site)
    if borderline_from_c is None:
        return model
    low_c = min(borderline_from_c, model.high_c - 0.01)
    return model.model_copy(update={"low_c": low_c, "version": f"{model.version}@{low_c:.2f}"})
