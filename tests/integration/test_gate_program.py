"""The gate as an installer meets it: what it says when something is missing, and how it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.gate_settings import write_gate


def gatepost(*arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
    """Run the program to its end."""
    return subprocess.run(
        [sys.executable, "-m", "kiosk.cli", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        **options,
    )


@pytest.fixture
def config(tmp_path: Path) -> Path:
    reader = '[web]\nport = 0\n[[lane]]\nname = "in"\n  [lane.reader]\n  port = "{folder}/dev/reader-in"\n'
    return write_gate(tmp_path, reader, kiosk_id="north-1")


def test_check_says_good_and_explain_names_value_source_and_meaning(config: Path) -> None:
    """The two commands that an installer runs first."""
    checked = gatepost("config", "check", "--config", str(config))
    assert checked.returncode == 0, checked.stderr
    assert "good" in checked.stdout
    environ = {**os.environ, "GATEPOST_WEB__HOST": "127.0.0.1"}
    explained = gatepost("config", "explain", "--config", str(config), "--json", env=environ)
    rows = {row["key"]: row for row in json.loads(explained.stdout)}
    assert rows["web.host"]["source"] == "GATEPOST_WEB__HOST"
    assert rows["lane[0].reader.port"]["source"] == str(config)
    assert rows["retention.health_days"] == {
        "key": "retention.health_days",
        "value": "3",
        "source": "default",
        "meaning": "days a measured value or code detail is kept",
    }


def test_a_misspelt_key_is_one_sentence_and_exit_status_2(config: Path) -> None:
    """No stack trace: file, key, nearest known name."""
    config.write_text(config.read_text().replace("kiosk_id", "kiosk_idd"))
    done = gatepost("run", "--config", str(config))
    assert done.returncode == 2
    assert "site.kiosk_idd" in done.stderr
    assert "did you mean 'kiosk_id'" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_key_that_others_can_read_is_refused(config: Path, tmp_path: Path) -> None:
    """The message says which file, what is wrong with it, and the command that mends it."""
    (tmp_path / "community.key").chmod(0o644)
    done = gatepost("run", "--config", str(config))
    assert done.returncode == 2
    assert "chmod 600" in done.stderr


def test_keys_are_made_once_and_never_replaced(tmp_path: Path) -> None:
    """Two installs differ; running the command again keeps what is there."""
    first = gatepost("config", "keys", str(tmp_path / "a"))
    again = gatepost("config", "keys", str(tmp_path / "a"))
    gatepost("config", "keys", str(tmp_path / "b"))
    assert first.returncode == again.returncode == 0
    assert "kept" in again.stdout
    assert (tmp_path / "a/community.key").read_bytes() != (tmp_path / "b/community.key").read_bytes()
    assert (tmp_path / "a/kiosk.pem").stat().st_mode & 0o777 == 0o600


def test_the_gate_runs_without_its_reader_says_so_and_ends_on_sigterm(config: Path, tmp_path: Path) -> None:
    """A missing device is a light on the console, not an error; SIGTERM ends the program with status 0."""
    log = (tmp_path / "log").open("w+")
    process = subprocess.Popen(
        [sys.executable, "-m", "kiosk.cli", "run", "--config", str(config)], stdout=log, stderr=subprocess.STDOUT
    )
    try:
        deadline = time.monotonic() + 40
        while "device_fault" not in (text := (tmp_path / "log").read_text()) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert '"kind": "missing"' in text
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) == 0
    finally:
        process.kill()
        log.close()
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "state").iterdir() if path.is_file()}
    assert modes
    assert set(modes.values()) == {0o600}, modes
