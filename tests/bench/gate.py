"""How fast the whole gate is: ``python -m tests.bench.gate [--taps 40] [--people 40]``.

Three figures, on simulated wires at their real pace (reader 115200 baud, thermometer 10 Hz, relay 9600 baud):

1. *credential to verdict*, presence first: a face 0.3 s before the card, so the measuring window is in it; from the
   gate's own records. Goal: p95 < 1.2 s.
2. *the software's own part*: from the last byte of the last thing that the verdict waited for (the reader's answer, or
   the thermometer's frame that settled the window) to the relay's first contact, journal commit and relay supervisor
   included. Goal: p95 < 60 ms. Beside it, measured in the same run: the same journal commit alone, and the relay
   frame's time on the wire, which no software beats.
3. *a morning in a closed loop*: the next person starts walking when the one before is through. People an hour, and by
   the measured service times the waiting of people who come by chance (Poisson) at two thirds of that rate.
"""

from __future__ import annotations

import argparse
import logging
import random
import statistics
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import structlog

from config.settings import load_settings
from drivers.devices import CardTap, Observed, TemperatureReading
from kiosk.capture import Gate
from kiosk.demo.day import DayHouse
from kiosk.demo.summary import percentile
from kiosk.journal import Journal
from kiosk.records import Kind, PayloadClass, Record, Stream
from kiosk.run import build
from kiosk.scenario import Person, inhabitants, load_scenario

WALK_UP_S = 0.8
WALK_THROUGH_S = 0.9
CLEAR_S = 1.1
RELAY_FRAME_MS = 4 * 10 / 9600 * 1000
GOAL_TOTAL_MS, GOAL_OWN_MS = 1200, 60


class Lane:
    """The gate's real code in this process, its devices simulated in another, and one pair of hands."""

    def __init__(self, house: DayHouse, gate: Gate) -> None:
        self._house = house
        self._people: list[Person] = inhabitants(house.scenario)["resident"]
        self._next = 0
        self._seen = 0
        self.tap_ns = 0
        self._readings_ns: deque[int] = deque(maxlen=50)
        self._observe = gate.observe
        gate.observe = self._note  # type: ignore[method-assign]

    def _note(self, seen: Observed) -> None:
        if isinstance(seen.event, CardTap):
            self.tap_ns = seen.event.at_ns
        elif isinstance(seen.event, TemperatureReading):
            self._readings_ns.append(seen.event.at_ns)
        self._observe(seen)

    def face(self, skin_c: float = 33.8) -> None:
        """Somebody steps before the sensor."""
        self._house.control("thermometer-in", "person", skin_c=skin_c)

    def tap(self) -> None:
        """The next resident holds the card out."""
        person = self._people[self._next % len(self._people)]
        self._next += 1
        self._house.tap(person, hold_ms=250)

    def verdict(self) -> Record:
        """The passage record; waits for it."""
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            for record in self._house.passages(self._seen):
                self._seen = record.seq
                if record.kind is Kind.PASSAGE:
                    return record
            time.sleep(0.005)
        raise TimeoutError("no verdict within 30 s")

    def last_input_ns(self, record: Record) -> int:
        """When the last thing arrived that this verdict waited for: the card, or the reading that settled it."""
        return max(self.tap_ns, *(at_ns for at_ns in self._readings_ns if at_ns <= record.mono_ns))

    def leave(self) -> None:
        """Through the beam and away; the sensor sees that nobody is there."""
        self._house.control("contacts-in", "set", contact="passage_beam", active=True, for_ms=200)
        self._house.control("thermometer-in", "leave")
        time.sleep(CLEAR_S)

    def relay_on_ns(self, after_ns: int) -> int:
        """When the relay closed after ``after_ns``; waits up to two seconds."""
        deadline = time.monotonic() + 2
        while time.monotonic() < deadline:
            for change in reversed(self._house.relay_changes()):
                if change["on"] and int(str(change["at_ns"])) > after_ns:
                    return int(str(change["at_ns"]))
            time.sleep(0.005)
        raise TimeoutError("the relay did not close")


@contextmanager
def running_lane() -> Iterator[Lane]:
    """Simulators as a process of their own; the gate on a thread of this one."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        house = DayHouse(Path(name), load_scenario("day"), now=datetime.now(UTC))
        house.prepare()
        stack.callback(house.stop)
        house.start_simulators()
        gate = build(load_settings(house.config, {}).settings, stack)
        lane = Lane(house, gate)
        thread = threading.Thread(target=gate.run)
        thread.start()
        stack.callback(thread.join, 10)
        stack.callback(gate.stop)
        time.sleep(4)
        yield lane


def commit_alone_ms(count: int) -> list[float]:
    """The same journal's commit of a like record, by itself."""
    from kiosk.clock import SystemClock

    clock = SystemClock(None)
    times: list[float] = []
    with tempfile.TemporaryDirectory() as name, Journal.open(Path(name) / "j.db", kiosk_id="b", clock=clock) as journal:
        for _ in range(count):
            began = time.perf_counter()
            journal.append(
                Stream.PASSAGE,
                Kind.PASSAGE,
                at=clock.now(),
                payloads={PayloadClass.FACTS: {"admit": True, "pad": "x" * 900}},
            )
            times.append((time.perf_counter() - began) * 1000)
    return times


def waiting_s(service_s: list[float], rate_per_s: float, people: int, seed: int) -> list[float]:
    """Waiting times of a first-come queue with these service times (Lindley's recursion), people coming by chance."""
    draw = random.Random(seed)
    waits, wait = [], 0.0
    for _ in range(people):
        waits.append(wait)
        wait = max(0.0, wait + draw.choice(service_s) - draw.expovariate(rate_per_s))
    return waits


def main() -> int:
    """Print the figures; 1 when a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--taps", type=int, default=30)
    parser.add_argument("--people", type=int, default=30)
    arguments = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))  # figures alone
    with running_lane() as lane:
        total_ms, own_ms, service_s = [], [], []
        for _ in range(arguments.taps):
            lane.face()
            time.sleep(0.3)
            lane.tap()
            total_ms.append(_took_ms(lane.verdict()))
            lane.leave()
        for _ in range(arguments.taps):
            lane.face()
            time.sleep(1.6)
            lane.tap()
            last_ns = lane.last_input_ns(lane.verdict())
            own_ms.append((lane.relay_on_ns(last_ns) - last_ns) / 1e6)
            lane.leave()
        for _ in range(arguments.people):
            began = time.monotonic()
            time.sleep(WALK_UP_S)
            lane.face()
            time.sleep(0.3)
            lane.tap()
            lane.verdict()
            time.sleep(WALK_THROUGH_S)
            lane.leave()
            service_s.append(time.monotonic() - began)
    commit_ms = commit_alone_ms(100)
    p95_total, p95_own = percentile(total_ms, 0.95), percentile(own_ms, 0.95)
    limit_ms = percentile(commit_ms, 0.95) + RELAY_FRAME_MS
    print(f"credential to verdict, window included   p50 {statistics.median(total_ms):6.0f}  p95 {p95_total:6.0f} ms")
    print(f"the software's own part, to the relay    p50 {statistics.median(own_ms):6.1f}  p95 {p95_own:6.1f} ms")
    print(
        f"  commit alone p95 {limit_ms - RELAY_FRAME_MS:.1f} + relay frame {RELAY_FRAME_MS:.1f} = {limit_ms:.1f} ms; "
        f"ratio {p95_own / limit_ms:.1f}"
    )
    per_hour = 3600 / statistics.mean(service_s)
    waits = waiting_s(service_s, per_hour / 3600 * 2 / 3, 2000, seed=1)
    print(f"closed loop, one lane: {per_hour:.0f} people an hour (service p50 {statistics.median(service_s):.1f} s)")
    print(
        f"  coming by chance at {per_hour * 2 / 3:.0f} an hour: waiting p50 {statistics.median(waits):.1f} s, "
        f"p95 {percentile(waits, 0.95):.1f} s"
    )
    good = p95_total < GOAL_TOTAL_MS and p95_own < GOAL_OWN_MS
    print("goals met" if good else f"GOALS MISSED: < {GOAL_TOTAL_MS} ms and < {GOAL_OWN_MS} ms")
    return 0 if good else 1


def _took_ms(record: Record) -> float:
    return float((record.payloads[PayloadClass.FACTS].body or {})["credential_to_verdict_ms"])


if __name__ == "__main__":
    sys.exit(main())
