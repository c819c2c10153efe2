"""``gatepost calibrate`` through a real pseudo-terminal, into files and the journal."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from config.errors import ConfigError
from config.sensor_model import load_sensor_model
from config.settings import load_settings
from drivers.devices import DeviceFault, FaultKind, TemperatureReading, ThermalFrame
from drivers.simulators.registry import Spec, kind_of
from drivers.simulators.wire import Wire
from kiosk import calibrate_cli
from kiosk.calibration import CalibrationResult, calibrate, look_at_target
from kiosk.calibration_store import calibrated, load_calibration, next_version, save_calibration
from kiosk.expectation import expected_of_unit
from kiosk.journal_reader import JournalReader
from kiosk.lane_sensor import sensor_of
from kiosk.records import Kind, PayloadClass, Stream
from kiosk.screening import Sensor

AFTER_NS = 5_000_000_000
"""Stamps of frames that come when the target stands still."""


class Targets:
    """A thermometer that sees one target after the other, each time it was put there."""

    name = "targets"

    def __init__(self, *readings_c: float) -> None:
        self.readings_c = list(readings_c)

    def start(self, emit: object) -> None:
        self.emit = emit

    def stop(self) -> None:
        self.emit = None

    def next_target(self) -> None:
        reading_c = self.readings_c.pop(0)
        now_ns = time.monotonic_ns()
        self.emit(TemperatureReading(object_c=24.0, at_ns=now_ns - 1))
        self.emit(TemperatureReading(object_c=30.0, at_ns=now_ns + 100_000_000))  # a hand
        for index in range(20):
            self.emit(TemperatureReading(object_c=reading_c + 0.02 * (index % 2), at_ns=now_ns + AFTER_NS))


@pytest.fixture
def settings_file(tmp_path: Path) -> Path:
    path = tmp_path / "gate.toml"
    path.write_text(
        f"""
[site]
kiosk_id = "k1"
[state]
folder = "{tmp_path}/state"
[simulation]
devices = true
[[lane]]
name = "in"
[lane.thermometer]
port = "{tmp_path}/thermo"
"""
    )
    return path


def answer_with(device: Targets, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pressing Enter puts the next target there."""

    class Keyboard:
        def readline(self) -> str:
            device.next_target()
            return "\n"

    monkeypatch.setattr(typer, "get_text_stream", lambda _: Keyboard())


def test_two_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Frames from before the target stood there do not count; each target gives its own mean."""
    device = Targets(35.1, 38.2)
    answer_with(device, monkeypatch)
    checks = calibrate_cli.look(device, (35.0, 38.0))
    assert [round(check.error_c, 2) for check in checks] == [0.11, 0.21]
    assert device.emit is None


def test_a_silent_sensor(monkeypatch: pytest.MonkeyPatch) -> None:
    """No frames: the message says how many there were and what the port said."""
    device = Targets()
    device.next_target = lambda: device.emit(DeviceFault(kind=FaultKind.MISSING, detail="no such file", at_ns=0))
    answer_with(device, monkeypatch)
    monkeypatch.setattr(calibrate_cli, "FRAME_TIMEOUT_S", 0.1)
    with pytest.raises(ConfigError, match=r"0 frames.*no such file"):
        calibrate_cli.look(device, (35.0,))


def test_a_target_before_the_array(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures count by their hottest spot."""
    device = Targets()

    def pictures() -> None:
        for _ in range(20):
            device.emit(
                ThermalFrame(
                    pixels_centi_c=(3502,) * 768, columns=32, ambient_c=24.0, at_ns=time.monotonic_ns() + AFTER_NS
                )
            )

    device.next_target = pictures
    answer_with(device, monkeypatch)
    assert calibrate_cli.look(device, (35.0,))[0].error_c == pytest.approx(0.02)


def test_the_whole_command(settings_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through the pseudo-terminal: judged, journaled, kept, and in force at the gate's next start."""
    spec = Spec(name="thermo", kind="gy_mcu90615", baud=115200, seed=1, folder=tmp_path)
    wire = Wire(tmp_path / "thermo", kind_of("gy_mcu90615").player(spec), baud=115200, seed=1)
    wire.start()
    seen = iter((35.1, 38.1))

    class Keyboard:
        def readline(self) -> str:
            wire.command({"do": "person", "skin_c": next(seen), "for_ms": 60_000})
            return "\n"

    monkeypatch.setattr(typer, "get_text_stream", lambda _: Keyboard())
    try:
        app = typer.Typer()
        app.command()(calibrate_cli.calibrate_lane)
        result = CliRunner().invoke(app, ["--lane", "in", "--config", str(settings_file)], catch_exceptions=False)
    finally:
        wire.stop()
    state = tmp_path / "state"
    reader = JournalReader(state / "journal.db")
    (incarnation, _), *_ = reader.positions()
    records = reader.slice(incarnation, Stream.DIAGNOSTIC, 0, max_records=10, max_bytes=100_000).records
    assert [r.payloads[PayloadClass.FACTS].body["version"] for r in records if r.kind is Kind.CALIBRATION] == [
        "in-0001"
    ]
    found = load_calibration(state, "in")
    assert found is not None
    assert found.version == "in-0001"
    assert str(found.result) in result.output
    sensor = sensor_of(load_settings(settings_file, {}).settings.lane[0], state)
    assert sensor is not None
    assert sensor.calibration == "in-0001"


def good(version: str, error_c: float = 0.1) -> object:
    checks = tuple(look_at_target(t, [t + error_c] * 10 + [t + error_c + 0.02] * 10) for t in (35.0, 38.0))
    return calibrate(version, "s", checks)


def test_versions_are_kept_and_the_newest_counts(tmp_path: Path) -> None:
    """Each calibration has a file of its own; the last is in force; a number is never used twice."""
    save_calibration(tmp_path, "in", good(next_version(tmp_path, "in")))
    save_calibration(tmp_path, "in", good(next_version(tmp_path, "in"), 0.2))
    found = load_calibration(tmp_path, "in")
    assert found.version == "in-0002"
    assert found == good("in-0002", 0.2)
    assert len(list((tmp_path / "calibrations" / "in").iterdir())) == 2
    with pytest.raises(FileExistsError):
        save_calibration(tmp_path, "in", good("in-0002"))
    assert load_calibration(tmp_path, "out") is None


def test_what_a_calibration_does_to_the_sensor() -> None:
    """In force: offset, error and version; locked out: no automatic outcome; none: unknown sensitivity."""
    sensor = Sensor(model=load_sensor_model("full_face"))
    assert expected_of_unit(calibrated(sensor, None)) is None
    inforce = calibrated(sensor, good("in-0001"))
    assert inforce.offset_c == pytest.approx(-0.11)
    assert expected_of_unit(inforce) is not None
    assert "unknown" in calibrate_cli.expectation_lines(sensor)[0]
    assert "expected to find" in calibrate_cli.expectation_lines(inforce)[0]
    locked = calibrated(sensor, replace(good("in-0001"), result=CalibrationResult.LOCKED_OUT))
    assert locked.drifted


def test_a_spoiled_file_is_not_taken_for_none(tmp_path: Path) -> None:
    """A calibration that cannot be read stops the start with the file's name."""
    path = save_calibration(tmp_path, "in", good("in-0001"))
    path.write_text(json.dumps({"version": "in-0001"}))
    with pytest.raises(ConfigError, match=r"0001\.json"):
        load_calibration(tmp_path, "in")


def test_the_policy_moves_the_threshold(settings_file: Path, tmp_path: Path) -> None:
    """borderline_from_c replaces the model's low_c, stands in the version, and stays below high_c."""
    lane = load_settings(settings_file, {}).settings.lane[0]
    moved = sensor_of(lane, tmp_path, borderline_from_c=37.6).model
    assert (moved.low_c, moved.version.endswith("@37.60")) == (37.6, True)
    assert sensor_of(lane, tmp_path, borderline_from_c=39.0).model.low_c < moved.high_c
