"""``python -m drivers.simulators``: a plan becomes devices behind links and a control socket."""

from __future__ import annotations

import json
import queue
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from config.errors import ConfigError
from drivers.devices import DeviceEvent, DeviceFault, DeviceReady, TemperatureReading
from drivers.serial_port import SerialDevice
from drivers.simulators.plan import load_plan
from drivers.thermometers.gy_mcu90615 import GyMcu90615Conversation
from tests.conftest import ROOT

PLAN = """
[[device]]
name = "thermo-in"
kind = "gy_mcu90615"
seed = 3
room_c = 21.0

[[device]]
name = "thermo-out"
kind = "gy_mcu90615"
baud = 9600
"""


class Program:
    """The running simulators and a connection to their control socket."""

    def __init__(self, folder: Path) -> None:
        plan = folder / "plan.toml"
        plan.write_text(PLAN)
        self.folder = folder / "run"
        self.process = subprocess.Popen(
            [sys.executable, "-m", "drivers.simulators", "--dir", str(self.folder), "--plan", str(plan)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.first_line = self.process.stdout.readline()
        self.connection = socket.socket(socket.AF_UNIX)
        self.connection.settimeout(15.0)
        self.connection.connect(str(self.folder / "control.sock"))
        self.answers = self.connection.makefile("rb")

    def say(self, line: Any) -> dict[str, Any]:
        """Send one control line (bytes as they are, anything else as JSON) and take the answer."""
        data = line if isinstance(line, bytes) else json.dumps(line).encode()
        self.connection.sendall(data + b"\n")
        answer = json.loads(self.answers.readline())
        assert isinstance(answer, dict)
        return answer

    def close(self) -> int:
        """End the program as systemd would; its exit code."""
        self.answers.close()
        self.connection.close()
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(15.0)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    """The program, started and ready."""
    started = Program(tmp_path)
    yield started
    if started.process.poll() is None:
        started.process.kill()
        started.process.wait()


def test_a_plan_is_played_by_control_lines(program: Program) -> None:
    """Links and socket are there when it says ready; a person steps up, the device is unplugged and comes back."""
    assert program.first_line.split()[0] == "ready"
    link = program.folder / "dev" / "thermo-in"
    assert str(link) in program.first_line
    events: queue.Queue[DeviceEvent] = queue.Queue()
    device = SerialDevice("thermo-in", str(link), GyMcu90615Conversation())
    device.start(events.put)
    try:
        assert isinstance(events.get(timeout=15.0), DeviceReady)
        assert program.say({"device": "thermo-in", "do": "person", "skin_c": 36.4, "for_ms": 2500}) == {"ok": True}
        while True:
            event = events.get(timeout=15.0)
            assert isinstance(event, TemperatureReading)
            if event.object_c > 36.0:
                break
        assert program.say({"device": "thermo-in", "do": "unplug"}) == {"ok": True}
        while not isinstance(event := events.get(timeout=15.0), DeviceFault):
            pass
        assert program.say({"device": "thermo-in", "do": "status"})["plugged"] is False
        assert program.say({"device": "thermo-in", "do": "plug"}) == {"ok": True}
        assert isinstance(events.get(timeout=15.0), DeviceReady)
    finally:
        device.stop()
    assert program.close() == 0
    assert not (program.folder / "control.sock").exists()
    assert not link.is_symlink()


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b"no json", "not JSON"),
        (b"[1]", "expected an object"),
        (b'{"do": 3}', "expected an object"),
        ({"device": "thermo-up", "do": "unplug"}, "known: thermo-in, thermo-out"),
        ({"device": "thermo-in", "do": "dance"}, "unknown command"),
        ({"device": "thermo-in", "do": "person", "skin_c": "hot"}, "expected a number"),
        ({"device": "thermo-in", "do": "fault", "name": "fire"}, "unknown fault"),
        ({"device": "thermo-in", "do": "fault", "name": "noise", "share": 2}, "expected 0 to 1"),
        (b'{"device": "thermo-in", "do": ' + b"[" * 50_000, "not JSON"),
    ],
)
def test_a_bad_line_is_answered_and_the_connection_goes_on(program: Program, line: Any, says: str) -> None:
    """Whatever comes in, the answer says what was wrong with it, and the next line is carried out."""
    answer = program.say(line)
    assert answer["ok"] is False
    assert says in answer["error"]
    assert program.say({"device": "thermo-out", "do": "status"})["ok"] is True


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[[device]]\nname = 'a'\nkind = 'gy_mcu90651'\n", "did you mean 'gy_mcu90615'"),
        ("[[device]]\nname = 'a'\nkind = 'gy_mcu90615'\nrom_c = 3\n", "did you mean 'room_c'"),
        ("[[device]]\nname = '../a'\nkind = 'gy_mcu90615'\n", "letters, digits"),
        ("[[device]]\nname = 'a'\nkind = 'gy_mcu90615'\nbaud = 'fast'\n", "key baud"),
        ("[[device]]\nname = 'a'\nkind = 'gy_mcu90615'\n" * 2, "the name twice"),
        ("[devices]\n", "list of [[device]]"),
        ("= 3", "readable TOML"),
    ],
)
def test_a_bad_plan_is_refused_by_name(tmp_path: Path, text: str, says: str) -> None:
    """The error names the device, the key and the nearest known one."""
    plan = tmp_path / "plan.toml"
    plan.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_plan(plan, tmp_path)
    assert says in str(caught.value)
