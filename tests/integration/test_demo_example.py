"""``config/demo.toml`` does what it says: a gate on simulated devices, started by hand, with a card tapped by hand."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from config.settings import load_settings
from kiosk.journal import JournalReader
from kiosk.journal_types import JournalError
from kiosk.records import Kind, PayloadClass, Stream
from tests.conftest import ROOT

EXAMPLE = ROOT / "config/demo.toml"
FOLDER = load_settings(EXAMPLE, {}).settings.state.folder.parent
DEVICES = 4


def said_by_hand() -> bytes:
    """What the head of the example has the simulators told."""
    lines = [line for line in EXAMPLE.read_text("utf-8").splitlines() if '{"device"' in line]
    return "".join(line[line.index("{") : line.rindex("}") + 1] + "\n" for line in lines).encode()


@contextmanager
def running(*words: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen([sys.executable, "-m", *words], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.terminate()
        process.communicate(timeout=20)


def wait_for(what: Callable[[], bool], why: str) -> None:
    until = time.monotonic() + 60
    while not what():
        assert time.monotonic() < until, why
        time.sleep(0.05)


def verdicts(state: Path) -> list[str]:
    reader = JournalReader(state / "journal.db")
    try:
        told = list(reader.all_told(Stream.PASSAGE, (Kind.PASSAGE,)))
    except JournalError:
        return []
    finally:
        reader.close()
    return [record.payloads[PayloadClass.FACTS].body["reasons"][0] for record in told]  # type: ignore[index]


def test_the_demos_example_runs_as_its_head_says(tmp_path: Path) -> None:
    """Simulators, keys, the gate, a person and a card: refused, since no roster knows the card."""
    config = tmp_path / "demo.toml"
    text = EXAMPLE.read_text("utf-8").replace(str(FOLDER), str(tmp_path)).replace("port = 8470", "port = 0")
    config.write_text(text, encoding="utf-8")
    with ExitStack() as stack:
        plan = ("--dir", str(tmp_path), "--plan", "config/demo-devices.toml")
        simulators = stack.enter_context(running("drivers.simulators", *plan))
        assert simulators.stdout is not None
        assert simulators.stdout.readline().startswith("ready ")
        command = [sys.executable, "-m", "kiosk.cli", "config", "keys", str(tmp_path / "keys")]
        subprocess.run(command, cwd=ROOT, check=True)
        gate = stack.enter_context(running("kiosk.cli", "run", "--config", str(config)))
        assert gate.stdout is not None
        ready = 0
        while ready < DEVICES:
            ready += '"device_ready"' in gate.stdout.readline()
        control = stack.enter_context(socket.socket(socket.AF_UNIX))
        control.connect(str(tmp_path / "control.sock"))
        control.sendall(said_by_hand())
        wait_for(lambda: verdicts(tmp_path / "state") == ["card_unknown"], "no verdict for the card")
