"""Days of a faulty line in simulated time: no stale, no invented and no unproven reading, and every silence told."""

from __future__ import annotations

import random
from typing import Any

import pytest

from drivers.devices import DeviceEvent, DeviceFault, DeviceReady, TemperatureReading
from drivers.simulators.line import Line
from drivers.thermometers.gy_mcu90615 import GyMcu90615Conversation, encode
from tests.virtual_line import VirtualLine

S = 1_000_000_000
FAULTS = ("noise", "split", "bad_checksum", "silence", "unplug")
"""Not ``slow`` and ``stuck``: a line cannot know that a sensor speaks of the past; screening flags the latter."""


class TellingTime:
    """A sensor whose every reading says when it was taken."""

    def __init__(self) -> None:
        self.taken: dict[float, int] = {}
        self._next_ns = 0

    def received(self, data: bytes, at_ns: int) -> list[bytes]:
        return []

    def due_ns(self) -> int | None:
        return self._next_ns

    def due(self, at_ns: int) -> list[bytes]:
        self._next_ns = at_ns + S // 10
        object_c = (at_ns // 100_000_000 % 10_000) / 100
        self.taken[object_c] = at_ns
        return [encode(object_c, 25.0)]

    def command(self, line: dict[str, Any]) -> dict[str, Any]:
        self._next_ns = 0
        return {}


def play(hours: float, seed: int) -> int:
    """Check a run with a fault every half minute; how many readings came."""
    draw = random.Random(seed)
    sensor = TellingTime()
    line = Line(sensor, baud=9600, seed=seed)
    talk = GyMcu90615Conversation()
    link = VirtualLine(talk, line)
    readings = 0
    last_reading_ns, told, ready = 0, False, False
    while link.now < hours * 3600 * S:
        events: list[DeviceEvent] = link.run(link.now + draw.randrange(5 * S, 30 * S))
        fault = draw.choice(FAULTS)
        if fault == "unplug":
            link.unplug()
        else:
            line.spoil(fault, draw.choice([0.3, 1.0]))
        events += link.run(link.now + draw.randrange(S // 10, 6 * S))
        line.spoil(None)
        if not link.plugged:
            link.plug()
        healed_ns = link.now
        events += link.run(link.now + 3 * S)
        assert [event for event in events if event.at_ns > healed_ns and isinstance(event, TemperatureReading)]
        for event in events:
            if isinstance(event, DeviceReady):
                ready = True
            elif isinstance(event, DeviceFault) and not event.transient:
                assert told or event.at_ns - last_reading_ns <= 1.5 * S, "a silence that was told late"
                ready, told = False, True
            elif isinstance(event, TemperatureReading):
                assert ready, "a reading from a device that is not proven"
                assert 0 <= event.at_ns - sensor.taken[event.object_c] <= 0.3 * S, "stale or invented"
                assert told or event.at_ns - last_reading_ns <= 1.5 * S, "a silence that nobody was told of"
                last_reading_ns, told = event.at_ns, False
                readings += 1
    return readings


def test_half_an_hour_of_a_faulty_line() -> None:
    """About two faults a minute: nothing stale, nothing invented, every silence told within 1.5 s."""
    assert play(0.5, seed=1) > 10_000


@pytest.mark.campaign
def test_a_week_of_a_faulty_line() -> None:
    """Seven days, each with its own seed."""
    for day in range(7):
        assert play(24.0, seed=100 + day) > 500_000
