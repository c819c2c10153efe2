"""``gatepost doctor`` (``kiosk/doctor_cli.py``): what scripts read of it, and which lane's camera is looked at."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from config.errors import ConfigError
from kiosk.cli import app
from kiosk.doctor import Finding, Level

GOOD, LOOK, BAD = (Finding(level, f"the {level}", "detail") for level in (Level.GOOD, Level.LOOK, Level.BAD))


@pytest.mark.parametrize(
    ("found", "status"), [((GOOD,), 0), ((GOOD, LOOK), 0), ((BAD, GOOD), 1)], ids=["well", "to look at", "bad"]
)
def test_the_exit_status_says_whether_the_gate_could_do_its_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, found: tuple[Finding, ...], status: int
) -> None:
    """A line a finding, marked; something to look at is no failure; a good line after a bad one mends nothing."""
    asked: list[bool] = []

    def examine(_settings: object, *, devices: bool) -> Iterator[Finding]:
        asked.append(devices)
        yield from found

    monkeypatch.setattr("kiosk.doctor.examine", examine)
    config = tmp_path / "gate.toml"
    config.write_text('[site]\nkiosk_id = "a"\n[[lane]]\nname = "in"\n')
    done = CliRunner().invoke(app, ["doctor", "--config", str(config), "--no-devices"])
    assert done.exit_code == status
    marks = {Level.GOOD: "ok  ", Level.LOOK: "look", Level.BAD: "BAD "}
    assert [line[:4] for line in done.output.splitlines()] == [marks[finding.level] for finding in found]
    assert asked == [False]


@pytest.fixture
def two_cameras(tmp_path: Path) -> list[str]:
    """The arguments for a gate with a camera in each of two lanes: folders with a grey picture."""
    text = '[site]\nkiosk_id = "a"\n'
    for lane in ("in", "out"):
        (tmp_path / lane).mkdir()
        cv2.imwrite(str(tmp_path / lane / "0.png"), np.full((480, 640), 120, np.uint8))
        text += f'[[lane]]\nname = "{lane}"\n[lane.camera]\nsource = "folder"\npath = "{tmp_path / lane}"\n'
    (tmp_path / "gate.toml").write_text(text)
    return ["doctor", "camera", "--config", str(tmp_path / "gate.toml"), "--seconds", "1"]


def test_one_lanes_camera_is_looked_at_alone(two_cameras: list[str]) -> None:
    """``--lane out`` leaves the other one to whoever uses it."""
    done = CliRunner().invoke(app, [*two_cameras, "--lane", "out", "--json"])
    assert [lane["lane"] for lane in json.loads(done.output)["lanes"]] == ["out"]


def test_a_lane_without_a_camera_is_named_with_those_that_have_one(two_cameras: list[str]) -> None:
    """A slip of the keys does not look at nothing and call it good."""
    done = CliRunner().invoke(app, [*two_cameras, "--lane", "north"])
    assert isinstance(done.exception, ConfigError)
    assert "in, out" in str(done.exception)
