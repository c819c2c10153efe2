"""Keeps every calibration of a lane's thermometer as a file of its own below the state folder, newest in force.

``calibrations/<lane>/<number>.json``; a file is never changed once written. Numbers go up, so the newest is the last.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from config.errors import ConfigError
from kiosk.calibration import Calibration, CalibrationResult, TargetCheck
from kiosk.durable_file import new_file, owned_folder
from kiosk.screening import Sensor

MAX_FILE_BYTES = 100_000


def next_version(state: Path, lane: str) -> str:
    """The version that the lane's next calibration gets, such as ``north-in-0003``."""
    newest = _files(state, lane)
    number = int(newest[-1].stem) + 1 if newest else 1
    return f"{lane}-{number:04}"


def save_calibration(state: Path, lane: str, calibration: Calibration) -> Path:
    """Write it durably under its number; FileExistsError when that number is taken.

    A power cut leaves it whole or not at all: the gate does not start with half of one.
    """
    folder = state / "calibrations" / lane
    owned_folder(folder)
    path = folder / f"{calibration.version.rsplit('-', 1)[1]}.json"
    new_file(path, json.dumps(_as_json(calibration), indent=1).encode())
    return path


def load_calibration(state: Path, lane: str) -> Calibration | None:
    """The newest calibration of the lane, None when there is none. ConfigError when its file cannot be used."""
    files = _files(state, lane)
    if not files:
        return None
    path = files[-1]
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ConfigError(f"{path}", seen="too large", expected=f"at most {MAX_FILE_BYTES} bytes")
        found = json.loads(path.read_text(encoding="utf-8"))
        checks = tuple(TargetCheck(**check) for check in found.pop("checks"))
        return Calibration(**{**found, "result": CalibrationResult(found["result"])}, checks=checks)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ConfigError(f"{path}", seen=str(error), expected="a calibration", hint="gatepost calibrate") from error


def calibrated(sensor: Sensor, calibration: Calibration | None) -> Sensor:
    """The sensor with its calibration. One that was locked out, or waits for a signature, decides nothing."""
    if calibration is None:
        return sensor
    if not calibration.in_force:
        return replace(sensor, drifted=True, calibration=calibration.version)
    return replace(
        sensor,
        offset_c=calibration.offset_c,
        unit_error_c=calibration.unit_error_c,
        calibration=calibration.version,
    )


def _files(state: Path, lane: str) -> list[Path]:
    return sorted((state / "calibrations" / lane).glob("[0-9][0-9][0-9][0-9].json"))


def _as_json(calibration: Calibration) -> dict[str, Any]:
    return {
        "version": calibration.version,
        "sensor": calibration.sensor,
        "result": str(calibration.result),
        "offset_c": calibration.offset_c,
        "unit_error_c": calibration.unit_error_c,
        "signed_by": calibration.signed_by,
        "checks": [
            {
                "target_c": check.target_c,
                "measured_c": check.measured_c,
                "sd_c": check.sd_c,
                "frames": check.frames,
            }
            for check in calibration.checks
        ],
    }
