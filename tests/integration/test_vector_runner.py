"""The vector runner: what it lets pass and what it must not."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.bench.vectors import main
from tests.conftest import VECTORS

THERMOMETERS = VECTORS / "thermometers"


def written(folder: Path, stem: str, change: Any = None) -> Path:
    """A copy of one thermometer file in ``folder``, changed."""
    contents = json.loads((THERMOMETERS / f"{stem}.json").read_text())
    if change is not None:
        change(contents)
    (folder / f"{stem}.json").write_text(json.dumps(contents))
    return folder


def test_the_shipped_thermometer_vectors_pass(capsys: pytest.CaptureFixture[str]) -> None:
    """The folder itself is a good argument, and every case passes."""
    assert main(["--data", str(THERMOMETERS)]) == 0
    assert "FAIL" not in capsys.readouterr().out


def test_the_folder_above_is_taken_too(tmp_path: Path) -> None:
    """A folder that holds ``thermometers`` runs it; the absence of ``cards`` is no failure."""
    shutil.copytree(THERMOMETERS, tmp_path / "thermometers")
    assert main(["--data", str(tmp_path)]) == 0


def _shift_object(contents: Any) -> None:
    contents["cases"][0]["expected"][0]["object_c"] += 0.01


def _drop_expected(contents: Any) -> None:
    contents["cases"][0]["expected"].pop()


def _shift_offset(contents: Any) -> None:
    contents["cases"][3]["expected"][0]["offset"] += 1


def _shift_outside(contents: Any) -> None:
    contents["cases"][4]["bytes_outside_accepted_frames"] -= 1


def _window_elsewhere(contents: Any) -> None:
    [case] = [case for case in contents["cases"] if "window" in case["tags"]]
    case["true_object_median_c"] += 0.5


def _stuck_that_moves(contents: Any) -> None:
    contents["cases"][0]["tags"] = ["stuck"]


def _odd_hex(contents: Any) -> None:
    contents["cases"][1]["chunks"][0] = "5"


def _unknown_field(contents: Any) -> None:
    contents["cases"][0]["expected"][0]["humidity"] = 40


@pytest.mark.parametrize(
    ("change", "case"),
    [
        (_shift_object, "gy_mcu90615-001"),
        (_drop_expected, "gy_mcu90615-001"),
        (_shift_offset, "gy_mcu90615-004"),
        (_shift_outside, "gy_mcu90615-005"),
        (_unknown_field, "gy_mcu90615-001"),
        (_window_elsewhere, "gy_mcu90615-020"),
        (_stuck_that_moves, "gy_mcu90615-001"),
        (_odd_hex, "gy_mcu90615-002: raised ValueError"),
        (lambda contents: contents.update(more=[{"id": "x"}]), "gy_mcu90615.json/more"),
        (lambda contents: contents.pop("cases"), "KeyError"),
    ],
)
def test_a_changed_file_fails_by_id(tmp_path: Path, capsys: pytest.CaptureFixture[str], change: Any, case: str) -> None:
    """One wrong value, offset, count, field or list is found and named."""
    assert main(["--data", str(written(tmp_path, "gy_mcu90615", change))]) == 1
    assert case in capsys.readouterr().out


@pytest.mark.parametrize(
    ("key", "value"),
    [("object_c", 35.1), ("sensor_c", 30.5), ("status_flags", ["measurement_error"]), ("result", "fault")],
)
def test_a_changed_modbus_case_fails(tmp_path: Path, key: str, value: Any) -> None:
    """Each field of a Modbus reading counts."""

    def change(contents: Any) -> None:
        contents["cases"][0]["expected"][key] = value

    assert main(["--data", str(written(tmp_path, "modbus_pyrominibus", change))]) == 1


def test_an_error_of_another_kind_fails(tmp_path: Path) -> None:
    """A CRC fault where a time-out is expected is a failure."""

    def change(contents: Any) -> None:
        contents["cases"][5]["expected"]["kind_any_of"] = ["timeout"]

    assert main(["--data", str(written(tmp_path, "modbus_pyrominibus", change))]) == 1


def test_a_file_for_the_pyrousb_map_would_be_run(tmp_path: Path) -> None:
    """The map of the README: input registers from 12 hexadecimal."""
    case = {
        "id": "modbus_pyrousb-001",
        "request": "01040012000451cc",
        # 01 04 08, 35.0, 35.2, 30.4, no status bit; the CRC was reckoned by the table method, ours is by bits.
        "response": [{"gap_ms": 20, "hex": "010408015e016001300000da2e"}],
        "expected": {"result": "reading", "object_c": 35.0, "object_unfiltered_c": 35.2, "sensor_c": 30.4},
    }
    (tmp_path / "modbus_pyrousb.json").write_text(json.dumps({"protocol": "modbus_pyrousb", "cases": [case]}))
    assert main(["--data", str(tmp_path)]) == 0


@pytest.mark.parametrize("name", ["unheard_of.json", "gy_mcu90615.json"])
def test_unknown_and_unreadable_files_fail(tmp_path: Path, name: str) -> None:
    """A file that no runner knows, or that is no JSON, is a failure."""
    (tmp_path / name).write_text("{" if name.startswith("gy") else "{}")
    assert main(["--data", str(tmp_path)]) == 1


def test_an_empty_folder_is_no_success(tmp_path: Path) -> None:
    """A mistyped path must not look like a pass."""
    assert main(["--data", str(tmp_path)]) == 1
