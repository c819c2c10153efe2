"""How long a person stands before the thermometer, over the real line: ``python -m tests.bench.temperature``.

Simulated modules on pseudo-terminals at their own baud rate, the real serial port, decoder and lane's machine. Timed
from the first frame in which the person can be told from the room to the moment when the outcome is decided. Beside it
stands the limit that nothing passes: a window needs five frames, the first of which is the presence itself, so four
frame periods. The person's approach (0.4 s from the room to the face) lies within the time, which is most of what is
above the limit. Unplugging is timed from the hang-up to the fault, and from plugging in to the device's proof.
"""

from __future__ import annotations

import argparse
import queue
import statistics
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from config.policy import load_policy
from config.sensor_model import load_sensor_model
from drivers.devices import (
    CardTap,
    Conversation,
    DeviceFault,
    DeviceReady,
    TemperatureReading,
    ThermalFrame,
)
from drivers.serial_port import SerialDevice
from drivers.simulators.registry import Spec, kind_of
from drivers.simulators.wire import Wire
from drivers.thermometers.gy_614v3 import Gy614V3Conversation
from drivers.thermometers.gy_mcu90615 import GyMcu90615Conversation
from drivers.thermometers.gy_mcu90640 import GyMcu90640Conversation
from kiosk.evidence import TemperatureOutcome
from kiosk.passage_events import DeviceDown, DeviceUp, Event, TimePassed
from kiosk.screening import Sensor, WindowRule, window_for
from tests.lane import Lane

S = 1e9
UNPLUG_GOAL_S, PLUG_GOAL_S = 1.5, 3.0
LIMIT_FRAMES = WindowRule().min_good - 1


@dataclass
class Module:
    """One kind of module and its goals, in seconds."""

    name: str
    kind: str
    baud: int
    site: str
    period_s: float
    goal_s: float
    skin_c: float
    talk: Conversation
    options: dict[str, Any]
    people: int
    seconds: list[float] = field(default_factory=list)
    fault_s: list[float] = field(default_factory=list)
    back_s: list[float] = field(default_factory=list)
    outcomes: list[str] = field(default_factory=list)


def modules(people: int) -> list[Module]:
    """The three paces of the issue: 10 Hz, an array at 4 Hz, and a module every 500 ms."""
    return [
        Module("GY-MCU90615, 10 Hz", "gy_mcu90615", 115200, "single_spot", 0.1, 1.0, 34.2, GyMcu90615Conversation(),
               {}, people),
        Module("GY-MCU90640, 4 Hz", "gy_mcu90640", 115200, "full_face", 0.25, 2.0, 35.6, GyMcu90640Conversation(),
               {}, people * 2 // 3),
        Module("GY-614V3, 2 Hz", "gy_614v3", 9600, "single_spot", 0.5, 2.5, 34.2, Gy614V3Conversation(),
               {"rate_hz": 2.0}, people // 2),
    ]  # fmt: skip


class RealLane(Lane):
    """The lane's machine in real time."""

    @property
    def ns(self) -> int:
        return time.monotonic_ns()


class Stand:
    """One module on its line, with people coming and going."""

    def __init__(self, module: Module, folder: Path) -> None:
        self.module = module
        spec = Spec(module.kind, module.kind, module.baud, 7, folder, module.options)
        kind = kind_of(module.kind)
        self.wire = Wire(folder / module.kind, kind.player(spec), baud=module.baud, seed=7)
        self.heard: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.device = SerialDevice("thermometer", str(self.wire.link), module.talk)
        sensor = Sensor(model=load_sensor_model(module.site), window=window_for(module.period_s))
        self.lane = RealLane(
            policy=load_policy("case"), devices={"reader": "card", "thermo": "thermometer"}, sensor=sensor
        )
        self.lane.unplug("thermo")

    def run(self) -> None:
        """Everybody, then the plug ten times."""
        self.wire.start()
        self.device.start(self.heard.put)
        try:
            self._until(lambda event: isinstance(event, DeviceReady), 10)
            for number in range(self.module.people):
                self._person(number)
            for _ in range(8):
                self._plug()
        finally:
            self.device.stop()
            self.wire.stop()

    def _person(self, number: int) -> None:
        time.sleep(0.013 * (number % 10))  # people do not come in step with the frames
        self.lane.send(CardTap(uid=bytes.fromhex("04a1" if number % 2 else "04a2"), at_ns=self.lane.ns))
        self.wire.command({"do": "person", "skin_c": self.module.skin_c})
        since_ns = 0
        deadline = time.monotonic() + 8
        while self.lane.state.person is not None and time.monotonic() < deadline:
            self._next(0.05)
            since_ns = since_ns or self.lane.state.watch.since_ns or 0
        decided = self.lane.state.decided
        found = decided.person.temperature if decided is not None else None
        if decided is None or found is None:
            raise SystemExit(f"{self.module.name}: no verdict within 8 s")
        self.module.outcomes.append(str(found.why_not or found.outcome))
        if found.outcome is not TemperatureOutcome.NOT_MEASURED:
            self.module.seconds.append((decided.decided_ns - since_ns) / S)
        self.wire.command({"do": "leave"})
        while self.lane.state.watch.present:
            self._next(0.05)
        until = time.monotonic() + self.lane.policy.holds.same_card_s
        while time.monotonic() < until:
            self._next(0.05)

    def _plug(self) -> None:
        begin = time.monotonic()
        self.wire.unplug()
        self._until(lambda event: isinstance(event, DeviceFault) and not event.transient, 5)
        self.module.fault_s.append(time.monotonic() - begin)
        time.sleep(0.1)
        begin = time.monotonic()
        self.wire.plug()
        self._until(lambda event: isinstance(event, DeviceReady), 10)
        self.module.back_s.append(time.monotonic() - begin)

    def _until(self, wanted: Any, within_s: float) -> None:
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            if wanted(self._next(0.05)):
                return
        raise SystemExit(f"{self.module.name}: nothing within {within_s} s")

    def _next(self, wait_s: float) -> Any:
        try:
            event = self.heard.get(timeout=wait_s)
        except queue.Empty:
            event = None
        told: Event | None = None
        if isinstance(event, DeviceReady):
            told = DeviceUp(name="thermo", at_ns=event.at_ns)
        elif isinstance(event, DeviceFault) and not event.transient:
            told = DeviceDown(name="thermo", at_ns=event.at_ns)
        elif isinstance(event, TemperatureReading | ThermalFrame):
            told = event
        if told is not None:
            self.lane.send(told)
        wake_ns = self.lane.state.wake_at_ns
        if wake_ns is not None and self.lane.ns >= wake_ns:
            self.lane.send(TimePassed(at_ns=self.lane.ns))
        return event


def p95(values: list[float]) -> float:
    """The 95th percentile."""
    return statistics.quantiles(values, n=20)[18]


def main() -> int:
    """Print the table; 1 when a goal is missed."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.temperature")
    parser.add_argument("--people", type=int, default=30)
    options = parser.parse_args()
    kinds = modules(options.people)
    with tempfile.TemporaryDirectory() as folder:
        stands = [Stand(module, Path(folder)) for module in kinds]
        threads = [threading.Thread(target=stand.run) for stand in stands]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    print("seconds from presence to the outcome, through the pseudo-terminal; limit: 4 frame periods")
    print(f"{'module':22}{'people':>7}{'measured':>9}{'p50':>7}{'p95':>7}{'goal':>6}{'limit':>7}{'p50/limit':>10}")
    missed = 0
    for module in kinds:
        limit_s = LIMIT_FRAMES * module.period_s
        p50_s, p95_s = statistics.median(module.seconds), p95(module.seconds)
        missed += p95_s > module.goal_s or len(module.seconds) < 0.9 * module.people
        print(
            f"{module.name:22}{module.people:7}{len(module.seconds):9}{p50_s:7.2f}{p95_s:7.2f}{module.goal_s:6.1f}"
            f"{limit_s:7.2f}{p50_s / limit_s:10.2f}"
        )
    print("\nseconds from unplugging to the fault, and from plugging in to the proof (largest of 8)")
    for module in kinds:
        missed += max(module.fault_s) > UNPLUG_GOAL_S or max(module.back_s) > PLUG_GOAL_S
        print(
            f"{module.name:22}fault {max(module.fault_s):5.2f} (goal {UNPLUG_GOAL_S})   back {max(module.back_s):5.2f} "
            f"(goal {PLUG_GOAL_S})"
        )
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
