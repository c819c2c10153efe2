"""Every thermometer and distance sensor through a real pseudo-terminal: proof, a person, silence."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from drivers.devices import (
    AirReading,
    BodyHint,
    Conversation,
    DeviceEvent,
    DeviceFault,
    DeviceReady,
    DistanceReading,
    FaultKind,
    TemperatureReading,
    ThermalFrame,
)
from drivers.serial_port import SerialDevice
from drivers.simulators.registry import Spec, kind_of
from drivers.simulators.wire import Wire
from drivers.thermometers.aa55_kiosk import Aa55KioskConversation, Encoding
from drivers.thermometers.dyp_distance import DypDistanceConversation
from drivers.thermometers.gy_614v3 import Gy614V3Conversation
from drivers.thermometers.gy_mcu90615 import FACTS_90614, GyMcu90615Conversation
from drivers.thermometers.gy_mcu90640 import GyMcu90640Conversation
from drivers.thermometers.xy_md02_air import XyMd02Conversation
from tests.canary import Canary


def _hottest_c(event: DeviceEvent) -> float:
    """The value of an event that a person raises; a distance sensor's nearness stands for it."""
    match event:
        case TemperatureReading():
            return event.object_c
        case BodyHint():
            return event.body_c - 2.5
        case ThermalFrame():
            return max(event.pixels_centi_c) / 100
        case AirReading():
            return event.air_c
        case DistanceReading():
            return 36.0 if 430 <= event.distance_mm <= 470 else 23.0
        case _:
            raise AssertionError(f"unexpected {event}")


@dataclass(frozen=True)
class Unit:
    """One kind of sensor, and how long after a person stepped up it may take to show it."""

    kind: str
    conversation: Callable[[], Conversation]
    shown_within_s: float
    baud: int | None = None
    options: dict[str, Any] = field(default_factory=dict)
    raised_by: dict[str, Any] = field(default_factory=lambda: {"do": "person", "skin_c": 36.4, "distance_mm": 450})


UNITS = {
    "gy_mcu90615": Unit("gy_mcu90615", GyMcu90615Conversation, 1.0),
    "gy_mcu90614 at 9600": Unit("gy_mcu90615", lambda: GyMcu90615Conversation(FACTS_90614), 1.0, baud=9600),
    "gy_614v3": Unit("gy_614v3", Gy614V3Conversation, 1.0),
    "gy_614v3 at 115200": Unit("gy_614v3", Gy614V3Conversation, 1.0, baud=115200),
    "gy_mcu90640": Unit("gy_mcu90640", GyMcu90640Conversation, 1.5, options={"dead_pixels": 2}),
    "gy_mcu90640 at 460800": Unit("gy_mcu90640", GyMcu90640Conversation, 1.5, baud=460800),
    "aa55_kiosk bcd": Unit("aa55_kiosk", lambda: Aa55KioskConversation(Encoding.BCD), 1.6),
    "aa55_kiosk int_dec": Unit(
        "aa55_kiosk", lambda: Aa55KioskConversation(Encoding.INT_DEC), 1.6, options={"encoding": "int_dec"}
    ),
    "dyp_distance": Unit("dyp_distance", DypDistanceConversation, 1.0),
    "xy_md02_air": Unit(
        "xy_md02_air", XyMd02Conversation, 1.0, raised_by={"do": "air", "air_c": 36.4, "humidity_percent": 30}
    ),
}


def test_each_unit_is_proven_shows_a_person_and_its_silence(tmp_path: Path) -> None:
    """Ready first, then values; a person appears soon after stepping up; silence is a fault within 1.5 s.

    All units at once, as on a kiosk with four lanes: they wait for the clock, not for the processor.
    """
    with Canary() as canary, ThreadPoolExecutor(len(UNITS)) as pool:
        trials = {
            name: pool.submit(_trial, unit, tmp_path / str(number), canary)
            for number, (name, unit) in enumerate(UNITS.items())
        }
    failures = {name: repr(trial.exception()) for name, trial in trials.items() if trial.exception() is not None}
    assert failures == {}


def _trial(unit: Unit, folder: Path, canary: Canary) -> None:
    kind = kind_of(unit.kind)
    baud = unit.baud or kind.baud
    spec = Spec(name="unit", kind=unit.kind, baud=baud, seed=11, folder=folder, options=unit.options)
    wire = Wire(folder / "unit", kind.player(spec), baud=baud, seed=11)
    events: queue.Queue[DeviceEvent] = queue.Queue()
    device = SerialDevice("unit", str(wire.link), unit.conversation())
    wire.start()
    device.start(events.put)
    try:
        first = events.get(timeout=15.0)
        assert isinstance(first, DeviceReady)
        assert str(baud) in first.detail
        assert _hottest_c(events.get(timeout=15.0)) < 26.0
        wire.command(unit.raised_by)
        stepped_up = time.monotonic()
        while _hottest_c(events.get(timeout=15.0)) < 35.8:
            pass
        assert time.monotonic() - stepped_up < unit.shown_within_s + canary.overslept_s
        wire.fault("silence")
        silent_ns = time.monotonic_ns()
        while not isinstance(event := events.get(timeout=15.0), DeviceFault):
            pass
        assert event.kind is FaultKind.SILENT
        assert (event.at_ns - silent_ns) / 1e9 < 1.5 + canary.overslept_s
    finally:
        device.stop()
        wire.stop()


def test_the_module_of_the_other_coding_is_never_taken_for_skin(tmp_path: Path) -> None:
    """A kiosk module that speaks the other maker's coding is out of service, with the reason."""
    spec = Spec(name="unit", kind="aa55_kiosk", baud=115200, seed=11, folder=tmp_path, options={"encoding": "bcd"})
    wire = Wire(tmp_path / "unit", kind_of("aa55_kiosk").player(spec), baud=115200, seed=11)
    events: queue.Queue[DeviceEvent] = queue.Queue()
    device = SerialDevice("unit", str(wire.link), Aa55KioskConversation(Encoding.INT_DEC))
    wire.start()
    wire.command({"do": "person", "skin_c": 34.1})
    device.start(events.put)
    try:
        ends = time.monotonic() + 15.0
        while time.monotonic() < ends:
            try:
                event = events.get(timeout=0.5)
            except queue.Empty:
                continue
            assert not (isinstance(event, BodyHint) and event.plausible_skin)
            if isinstance(event, DeviceFault) and not event.transient:
                break
        else:
            pytest.fail("no fault")
    finally:
        device.stop()
        wire.stop()
