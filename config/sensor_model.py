"""What a skin temperature means at a measuring site: fitted coefficients and thresholds as versioned data.

``config/models/fever.json`` is written by ``python -m tests.bench.fit_fever`` from a public data set and never by
hand; ``docs/temperature.md`` tells where its figures come from and how far they carry. The estimate is

    estimate_c = gain * object_c + a_c + b * air_c

(the oral temperature that this skin and this air most likely go with). Below ``low_c`` it is normal, from ``high_c``
on raised, between them borderline.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Self

from pydantic import Field, ValidationError, model_validator

from config.errors import ConfigError
from config.loader import MAX_FILE_BYTES, Section, nearest

MODEL_FILE = Path(__file__).resolve().parent / "models" / "fever.json"


class SensorModel(Section):
    """Coefficients of one measuring site (``single_spot``, ``forehead_max``, ``full_face``). All degrees Celsius."""

    version: str = Field(description="stands in every estimate that was made with it")
    site: str = Field(description="what the sensor looks at")
    gain: float = Field(default=1.0, gt=0, le=3, description="degC of estimate per degC of skin")
    a_c: float = Field(description="constant part")
    b: float = Field(ge=-1, le=1, description="degC of estimate per degC of air")
    low_c: float = Field(description="below: normal")
    high_c: float = Field(description="from here on: raised; between: borderline")
    spread_c: float = Field(gt=0, description="SD of the truth about the estimate among healthy people")
    repeatability_c: float = Field(gt=0, description="SD of repeated measurements of one person")
    nominal_air_c: float = Field(default=24.0, description="taken where no air sensor is fitted")
    air_from_c: float = Field(default=16.0, description="below this air nothing is estimated")
    air_to_c: float = Field(default=35.0, description="above this air nothing is estimated")
    healthy_c: tuple[float, ...] = Field(default=(), description="quantiles of the estimates of healthy people")
    fever_c: tuple[float, ...] = Field(default=(), description="quantiles of the estimates of people with a fever")
    healthy_people: int = Field(default=0, ge=0, description="how many people stand behind healthy_c")
    fever_people: int = Field(default=0, ge=0, description="how many people stand behind fever_c")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not 35.0 < self.low_c < self.high_c < 42.0:
            raise ValueError("expected 35 < low_c < high_c < 42")
        return self


def load_sensor_model(site: str, path: Path = MODEL_FILE) -> SensorModel:
    """The model of ``site`` from the model file; ConfigError names the file and the sites that it knows."""
    sensors = _read(path).get("sensors", {})
    if site not in sensors:
        raise ConfigError(f"{path}", seen=f"no site {site!r}", hint=nearest(site, list(sensors)))
    try:
        return SensorModel.model_validate(sensors[site])
    except ValidationError as error:
        raise ConfigError(f"{path}: sensors.{site}", seen=str(error.errors(include_url=False)[0]["msg"])) from None


def models_low_c(path: Path = MODEL_FILE) -> dict[str, float]:
    """From which estimate each model of the file measures again, by the model's version."""
    return {found.version: found.low_c for found in (load_sensor_model(site, path) for site in _read(path)["sensors"])}


def _read(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ConfigError(f"{path}", seen="too large", expected=f"at most {MAX_FILE_BYTES} bytes")
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}", seen=str(error), expected="a model file in JSON") from error
    if not isinstance(found, dict) or not isinstance(found.get("sensors"), dict):
        raise ConfigError(f"{path}", seen="no object 'sensors'", expected="a file written by tests.bench.fit_fever")
    return found
