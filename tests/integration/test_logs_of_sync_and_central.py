"""``gatepost-sync run`` and ``gatepost-central serve`` log JSON lines, and go on when nobody can take a line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from sync import keys
from tests.conftest import ROOT
from tests.integration.central_process import CentralProcess, free_port


def start(arguments: list[str], output: Path) -> subprocess.Popen[bytes]:
    with output.open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", *arguments],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=log,
            stderr=subprocess.STDOUT,
        )


def stop(process: subprocess.Popen[bytes]) -> int:
    process.send_signal(signal.SIGTERM)
    try:
        return process.wait(timeout=30)
    finally:
        process.kill()


def health(port: int, process: subprocess.Popen[bytes]) -> int:
    until = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2) as answer:
                status: int = answer.status
                return status
        except OSError:
            assert process.poll() is None
            assert time.monotonic() < until
            time.sleep(0.05)


@pytest.mark.parametrize("full", [False, True])
def test_the_central_logs_json_lines_and_serves_without_a_log(tmp_path: Path, full: bool) -> None:
    """The web server's own words too; with a full disk behind the log it answers and stops all the same."""
    log = Path("/dev/full") if full else tmp_path / "log"
    port = free_port()
    process = start(["sync.central.cli", "serve", "--database", str(tmp_path / "c.db"), "--port", str(port)], log)
    assert health(port, process) == 200
    assert stop(process) in (0, -signal.SIGTERM)
    if not full:
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        assert {"retention", "Application startup complete."} <= {line["event"] for line in lines}
        assert all(line["level"] == "info" and line["timestamp"].endswith("Z") for line in lines)


@pytest.mark.parametrize("full", [False, True])
def test_sync_logs_json_lines_and_sends_without_a_log(tmp_path: Path, full: bool) -> None:
    """Its heartbeat arrives, and its end is told where it can be."""
    log = Path("/dev/full") if full else tmp_path / "log"
    key = keys.generate_key(tmp_path / "kiosk.pem")
    with CentralProcess(tmp_path / "central.db") as central:
        central.admit("gate-east", key)
        arguments = ["run", "--journal", str(tmp_path / "journal.db"), "--state", str(tmp_path / "sync.db")]
        arguments += ["--central", central.url, "--key", str(tmp_path / "kiosk.pem"), "--kiosk-id", "gate-east"]
        process = start(["sync.cli", *arguments, "--heartbeat-interval-s", "0.5"], log)
        until = time.monotonic() + 60
        while central.seen("gate-east") is None:
            assert process.poll() is None
            assert time.monotonic() < until
            time.sleep(0.05)
        assert stop(process) == 0
    if not full:
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        assert lines[-1]["event"] == "sync stopped"
