"""The simulated line itself: pace, rate, faults by seed, and what is lost while nobody listens."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import serial

from drivers.simulators.wire import Wire


class Parrot:
    """A device that says what the control line tells it to say, and repeats what it hears."""

    def __init__(self) -> None:
        self.heard = b""
        self._say: list[bytes] = []
        self.powered = 0

    def received(self, data: bytes, at_ns: int) -> list[bytes]:
        self.heard += data
        return []

    def due_ns(self) -> int | None:
        return 0 if self._say else None

    def due(self, at_ns: int) -> list[bytes]:
        messages, self._say = self._say, []
        return messages

    def command(self, line: dict[str, Any]) -> dict[str, Any]:
        if line["do"] == "power_on":
            self.powered += 1
        else:
            self._say += [bytes.fromhex(message) for message in line["messages"]]
        return {}


class Line:
    """A wire with a parrot and an opened port."""

    def __init__(self, folder: Path, baud: int, seed: int = 5) -> None:
        self.parrot = Parrot()
        self.wire = Wire(folder / "parrot", self.parrot, baud=baud, seed=seed)
        self.wire.start()
        self.port = serial.Serial(str(self.wire.link), baud, timeout=0)

    def say(self, *messages: bytes) -> None:
        self.wire.command({"do": "say", "messages": [message.hex() for message in messages]})

    def hear(self, quiet_s: float = 0.5) -> bytes:
        """What arrives until it has been quiet for so long."""
        heard = b""
        while select.select([self.port.fileno()], [], [], quiet_s)[0]:
            heard += os.read(self.port.fileno(), 4096)
        return heard

    def close(self) -> None:
        self.port.close()
        self.wire.stop()


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Line]:
    """An open line at 9600 baud."""
    opened = Line(tmp_path, 9600)
    yield opened
    opened.close()


def test_bytes_take_their_time_both_ways(line: Line) -> None:
    """At 9600 baud 192 bytes take 200 ms, spoken and heard."""
    begun = time.monotonic()
    line.say(bytes(192))
    got = b""
    while len(got) < 192:
        assert select.select([line.port.fileno()], [], [], 15.0)[0]
        got += os.read(line.port.fileno(), 4096)
    assert time.monotonic() - begun >= 0.195
    begun = time.monotonic()
    line.port.write(bytes(range(192)))
    while not line.parrot.heard:
        assert time.monotonic() - begun < 15.0
        time.sleep(0.005)
    assert time.monotonic() - begun >= 0.195
    assert line.parrot.heard == bytes(range(192))


def test_another_rate_hears_and_speaks_garbage(line: Line) -> None:
    """A kiosk at the wrong baud rate understands nothing and is not understood."""
    line.port.baudrate = 115200
    line.say(b"a message")
    assert line.hear() not in (b"", b"a message")
    line.port.write(b"a command")
    ends = time.monotonic() + 15.0
    while not line.parrot.heard:
        assert time.monotonic() < ends
        time.sleep(0.005)
    assert line.parrot.heard != b"a command"


def test_what_is_said_to_nobody_is_lost(line: Line) -> None:
    """Bytes sent while the port is closed are not there when it is opened."""
    line.port.close()
    line.say(b"to nobody")
    ends = time.monotonic() + 15.0
    while line.parrot.due_ns() is not None or line.wire.speaking:
        assert time.monotonic() < ends
        time.sleep(0.005)
    line.port.open()
    line.say(b"to you")
    assert line.hear() == b"to you"


def test_each_plugging_in_is_a_power_up_under_another_terminal(line: Line) -> None:
    """Unplugged the link is gone and the line dead; plugged in it is a new terminal."""
    before = os.readlink(line.wire.link)
    holder = os.openpty()
    line.wire.unplug()
    assert not line.wire.link.is_symlink()
    taken = os.openpty()
    try:
        line.wire.plug()
        assert os.readlink(line.wire.link) != before or line.parrot.powered == 2
        assert line.parrot.powered == 2
    finally:
        for fd in (*holder, *taken):
            os.close(fd)


def test_an_unplugging_for_a_time_ends_by_itself(line: Line) -> None:
    """{"do": "fault", "name": "unplug", "for_ms": 100}: gone, then back without another command."""
    line.wire.command({"do": "fault", "name": "unplug", "for_ms": 100})
    assert not line.wire.plugged
    ends = time.monotonic() + 15.0
    while not line.wire.plugged:
        assert time.monotonic() < ends
        time.sleep(0.01)
