"""Card reader and contacts through pseudo-terminals at the wire's real pace, on a bad line too."""

from __future__ import annotations

import queue
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from drivers.cards.pn532 import Pn532Conversation
from drivers.devices import CardTap, DeviceReady, InputChange, InputName
from drivers.inputs import ContactBoard
from drivers.serial_port import SerialDevice
from drivers.simulators.contacts import ContactsPlayer
from drivers.simulators.pn532 import Pn532Player
from drivers.simulators.wire import Wire


class Line:
    """A simulated device, its wire and the real device object at the other end."""

    def __init__(self, folder: Path, player: Any, conversation: Any, baud: int) -> None:
        self.player = player
        self.wire = Wire(folder / "dev" / "port", player, baud=baud, seed=7)
        self.device = SerialDevice("in", str(self.wire.link), conversation)
        self.events: queue.Queue[Any] = queue.Queue()

    def __enter__(self) -> Line:
        self.wire.start()
        self.device.start(self.events.put)
        return self

    def __exit__(self, *_: object) -> None:
        self.device.stop()
        self.wire.stop()

    def next(self, kind: type, within_s: float = 3.0) -> Any:
        """The next event of that kind."""
        end_s = time.monotonic() + within_s
        while True:
            event = self.events.get(timeout=max(0.01, end_s - time.monotonic()))
            if isinstance(event, kind):
                return event


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Line]:
    with Line(tmp_path, Pn532Player(), Pn532Conversation(), 115200) as line:
        line.next(DeviceReady)
        yield line


@pytest.mark.parametrize("fault", ["noise", "split", "bad_checksum"])
def test_a_bad_line_costs_time_but_no_tap_and_no_wrong_one(reader: Line, fault: str) -> None:
    """A tenth of the messages spoiled: each of five cards is told, and nothing else."""
    reader.wire.command({"do": "fault", "name": fault, "share": 0.1})
    for number in range(5):
        uid = f"5ae2b3{number:02x}"
        reader.wire.command({"do": "tap", "uid": uid, "hold_ms": 1500})
        assert reader.next(CardTap).uid.hex() == uid
        reader.wire.command({"do": "remove"})


def test_contacts_arrive_by_name(tmp_path: Path) -> None:
    """A beam that is set at the simulated board is an InputChange at the kiosk."""
    names = {1: InputName.DOOR_CONTACT, 2: InputName.PASSAGE_BEAM}
    with Line(tmp_path, ContactsPlayer(tuple(names.values())), ContactBoard(names), 9600) as line:
        line.next(DeviceReady)
        line.wire.command({"do": "set", "contact": "passage_beam", "active": True})
        change = line.next(InputChange)
        assert (change.name, change.active) == (InputName.PASSAGE_BEAM, True)
