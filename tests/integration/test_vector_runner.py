"""The vector runner: what it lets pass and what it must not."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.bench import vectors_cards
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


@pytest.mark.parametrize(
    ("stem", "where", "case"),
    [
        ("id_number_gb11643", ("cases", 0, "valid"), ""),
        ("key_diversification", ("an10922", 0, "differs_from_plain_cmac"), "an10922-aes128"),
        ("ntag424_ev2_auth", ("cases", 1, "k_ses_auth_mac"), "gen-0"),
        ("ntag424_ev2_auth", ("comm_full", 0, "plain_response"), "an12196-7.3"),
        ("ntag424_sdm", ("cases", 1, "picc_data_plain"), "an12196-sun1"),
        ("ntag424_sdm", ("cases", 1, "sdmmac"), "an12196-sun1"),
        ("osdp", ("sessions", 1, "messages", 8, "plain"), "dev_sc message 8"),
        ("osdp", ("sessions", 1, "messages", 9, "mac_ok"), "dev_sc message 9"),
        ("pn532_hsu", ("sessions", 0, "expect", "url"), "dev-sun"),
        ("pn532_hsu", ("sessions", 0, "expect", "verdict"), "dev-sun"),
        ("pn532_hsu", ("sessions", 2, "k_ses_auth_enc"), "dev-ev2"),
        ("pn532_hsu", ("streams", 0, "expect", "events", 0, "type"), ""),
        ("rdm6300", ("streams", 0, "expect", "frames", 0, "printed_10"), ""),
        ("sdt_idcard", ("commands", 0, "frame"), ""),
        ("serial_uid_and_wedge", ("serial", 0, "expect", 0), ""),
        ("sun_counter_policy", ("scenario", "taps", 0, "expect"), "tap"),
        ("wiegand_and_card_numbers", ("forms", 0, "wg26_3d5d"), "wg26_3d5d"),
    ],
)
def test_a_changed_value_of_a_card_file_fails_by_id(stem: str, where: tuple[str | int, ...], case: str) -> None:
    """Whatever a vector states is compared: one other sign in it, and that case alone is named."""
    contents = json.loads((VECTORS / "cards" / f"{stem}.json").read_text())
    *path, last = where
    place: Any = contents
    for key in path:
        place = place[key]
    value = place[last]
    place[last] = not value if isinstance(value, bool) else value[:-1] + ("1" if value.endswith("0") else "0")
    failed = [name for name, failure in vectors_cards.RUNNERS[stem](contents) if failure]
    assert len(failed) == 1
    assert case in failed[0]
