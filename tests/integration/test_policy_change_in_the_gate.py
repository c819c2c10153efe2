"""The whole loop is given another policy: two lanes change each in its own time, and nothing else of them does."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from config.policy import Policy, load_policy
from config.settings import load_settings
from drivers.devices import CardTap, DeviceReady, Observed, TemperatureReading
from kiosk.board import Emergency
from kiosk.capture import Gate
from kiosk.policy_keeper import under
from kiosk.records import Kind, PayloadClass
from kiosk.run import build
from kiosk.site_stores import open_roster
from tests.fakes import FakeClock
from tests.gate_settings import SIMULATED, lane_text, write_gate
from tests.integration.journal_cases import all_records

RESIDENT, OTHER = "04a1b2c3d4e501", "04a1b2c3d4e502"
ROSTER = (
    f"person_id,category,card_uid,card_strength,registered\nR-1,resident,{RESIDENT},uid,yes\n"
    f"R-2,resident,{OTHER},uid,yes\n"
)
ROOM_C, SKIN_C = 24.5, 34.4


@dataclass
class Site:
    """The gate of two lanes, its clock, and what it wrote. Devices are spoken for by the test."""

    gate: Gate
    clock: FakeClock
    folder: Path

    def observe(self, lane: str, device: str, event: Any) -> None:
        self.gate.observe(Observed(lane=lane, device=device, event=event))
        self.gate._round()

    def sees(self, lane: str, object_c: float, for_s: float) -> None:
        """The lane's thermometer at ten readings a second."""
        for index in range(round(for_s * 10)):
            now_ns = self.clock.advance(0.1).mono_ns
            noise_c = (0.02, -0.01, 0.0)[index % 3]
            reading = TemperatureReading(object_c=object_c + noise_c, ambient_c=25.0, at_ns=now_ns)
            self.observe(lane, "thermometer", reading)

    def tap(self, lane: str, uid: str) -> None:
        self.observe(lane, "reader", CardTap(uid=bytes.fromhex(uid), at_ns=self.clock.advance(0.1).mono_ns))

    def use(self, policy: Policy) -> None:
        """What the keeper does with a policy that was accepted."""
        self.gate.follow({lane: under(setup, policy) for lane, setup in self.gate._setups.items()})
        self.gate._round()

    def facts(self, kind: Kind, lane: str = "") -> list[dict[str, Any]]:
        written = all_records(self.folder / "state/journal.db").values()
        return [
            dict(record.payloads[PayloadClass.FACTS].body or {})
            for records in written
            for record in records
            if record.kind is kind and record.lane == lane
        ]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    lanes = "".join(lane_text(name, "reader", "thermometer", strength="uid") for name in ("a", "b"))
    path = write_gate(tmp_path, SIMULATED + lanes, kiosk_id="change-1", policy="case")
    settings, clock = load_settings(path, {}).settings, FakeClock()
    settings.state.folder.mkdir()
    with open_roster(settings) as roster:
        assert roster.import_csv([line.encode() + b"\n" for line in ROSTER.splitlines()], at_us=clock.at_us).bad == []
    with ExitStack() as stack:
        made = Site(build(settings, stack, clock=clock), clock, tmp_path)
        for name in ("a", "b"):
            for device in ("reader", "thermometer"):
                made.observe(name, device, DeviceReady(detail="", at_ns=clock.advance(0.1).mono_ns))
        yield made


def test_each_lane_changes_between_its_own_persons(site: Site) -> None:
    """Lane b is empty and follows at once; in lane a somebody is being measured and is judged as when they came."""
    site.sees("a", ROOM_C, 1.0)
    site.sees("a", SKIN_C, 0.3)
    site.use(load_policy("building_door"))
    assert [told["policy"] for told in site.facts(Kind.POLICY, "b")] == ["building-door-1"]
    assert site.facts(Kind.POLICY, "a") == []
    site.tap("a", RESIDENT)
    site.tap("b", OTHER)
    site.sees("a", SKIN_C, 2.5)
    [in_a], [in_b] = site.facts(Kind.PASSAGE, "a"), site.facts(Kind.PASSAGE, "b")
    assert (in_a["policy"], in_a["admit"]) == ("case-1", True)
    assert (in_b["policy"], in_b["admit"]) == ("building-door-1", True)
    assert [told["before"] for told in site.facts(Kind.POLICY, "a")] == ["case-1"]
    site.sees("a", ROOM_C, 3.0)
    site.tap("a", OTHER)
    assert site.facts(Kind.PASSAGE, "a")[1]["policy"] == "building-door-1"


def test_an_emergency_goes_through_a_change(site: Site) -> None:
    """The lane stays open, and it is still the guard's word that closes it."""
    site.gate._commanded(Emergency(lane="a", open=True, guard="g"), Future())
    since_us = site.gate._states["a"].emergency_since_us
    site.use(load_policy("spread"))
    assert site.gate._setups["a"].policy.version == "spread-1"
    assert since_us is not None
    assert site.gate._states["a"].emergency_since_us == since_us
    site.gate._commanded(Emergency(lane="a", open=False, guard="g"), Future())
    assert site.gate._states["a"].emergency_since_us is None


def test_a_new_threshold_holds_from_the_next_person_and_is_what_a_restart_knows_the_drift_by(site: Site) -> None:
    """The lane's model is named with the threshold, in records and in what the lane remembers."""
    policy = load_policy("case")
    lower = policy.model_copy(
        update={"temperature": policy.temperature.model_copy(update={"borderline_from_c": 37.05}), "version": "case-2"}
    )
    before = site.gate._setups["a"].sensor
    site.use(lower)
    after = site.gate._setups["a"].sensor
    assert before is not None
    assert after is not None
    assert (after.model.low_c, after.calibration, after.window) == (37.05, before.calibration, before.window)
    assert site.gate._memory is not None
    assert site.gate._memory._rules["a"] == after.rule == before.rule.replace("/", "@37.05/")
    site.use(policy)
    assert site.gate._setups["a"].sensor == before


def test_an_order_that_ends_still_ends_by_itself_after_a_change(site: Site) -> None:
    """The policy that came names its end; past it nobody is measured any more, and the record says by which order."""
    policy = load_policy("case")
    assert policy.order is not None
    order = policy.order.model_copy(update={"until": site.clock.now().utc(), "number": "2026-17"})
    site.use(policy.model_copy(update={"order": order, "version": "case-2"}))
    site.clock.advance(2)
    site.tap("a", RESIDENT)
    [passage] = site.facts(Kind.PASSAGE, "a")
    assert (passage["policy"], passage["admit"]) == ("case-2", True)
    assert {check["name"]: check["by"] for check in passage["checks"]}["temperature"] == "order_lapsed:2026-17"
