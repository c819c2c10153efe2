"""What the screens are shown, and how often."""

from __future__ import annotations

from dataclasses import replace

import pytest

from config.sensor_model import load_sensor_model
from drivers.devices import CardTap, DeviceFault, DeviceReady, FaultKind, Observed
from kiosk.board import Hint, KioskView, Phase
from kiosk.clock import Instant
from kiosk.lane_sensor import with_borderline
from kiosk.lights import Lights
from kiosk.passage import initial
from kiosk.passage_events import Announce, RaiseAlarm
from kiosk.reasons import ClockTrust, NextStep, Reason
from kiosk.upkeep import SyncState
from kiosk.verdict import Verdict
from kiosk.views import Views
from tests.lane import Lane

SECOND_NS = 1_000_000_000
ADMIT = Verdict(
    admit=True,
    reasons=(Reason.ALL_CHECKS_PASSED,),
    next_step=NextStep.GO_IN,
    checks=(),
    policy_version="case-1",
    category="resident",
)


TEMPLATE = KioskView(
    kiosk_id="k", site_name="向阳社区", at_us=0, clock_trust=ClockTrust.SYNCED, lanes=(), duty_number="1"
)


def at(seconds: float) -> Instant:
    return Instant(int(seconds * 1e6), ClockTrust.SYNCED, "boot", int(seconds * 1e9))


class Stand:
    """Views over one lane, with everything published kept."""

    def __init__(self, lane: Lane | None = None) -> None:
        self.setup = (lane or Lane()).setup
        self.state = initial(self.setup)
        self.published: list[KioskView] = []
        self.views = Views(
            TEMPLATE,
            setups={"in": self.setup},
            lights=Lights([("in", "reader")]),
            publish=self.published.append,
            sync=lambda: SyncState(backlog=3, last_ack_us=7),
            standing_alarms=lambda: ("retention_failed",),
        )

    def show(self, seconds: float) -> None:
        self.views.show({"in": self.state}, at(seconds), journal_ok=True, unwritten=2)


def test_a_quiet_gate_is_published_once_a_second() -> None:
    """Ten rounds within a second are one view; the next second brings another, so that the page stays live."""
    stand = Stand()
    for tenth in range(10, 31):
        stand.show(tenth / 10)
    assert [view.at_us for view in stand.published] == [1_000_000, 2_000_000, 3_000_000]


def test_a_verdict_is_published_at_once_and_listed_first() -> None:
    """An announced verdict does not wait for the second to end."""
    stand = Stand()
    stand.show(1.0)
    stand.views.effect("in", Announce(passage="p1", verdict=ADMIT), at(1.2))
    stand.show(1.2)
    assert stand.published[-1].recent[0].passage == "p1"
    assert stand.published[-1].recent[0].reason == "all_checks_passed"


def test_backlog_counts_what_waits_in_memory_too_and_alarms_stand_once() -> None:
    """Three not yet acknowledged and two not yet written are five; the same alarm twice is shown once."""
    stand = Stand()
    for second in (1.0, 1.1):
        stand.views.effect("in", RaiseAlarm(code="tamper", detail="in"), at(second))
    stand.show(1.2)
    assert stand.published[-1].backlog == 5
    assert stand.published[-1].alarms == ("retention_failed", "tamper")


def test_an_alarm_leaves_the_strip_after_ten_minutes() -> None:
    """The record stays in the journal; the strip is for now."""
    stand = Stand()
    stand.views.effect("in", RaiseAlarm(code="tamper", detail="in"), at(1.0))
    stand.show(602.0)
    assert stand.published[-1].alarms == ("retention_failed",)


def test_a_light_goes_on_with_the_proof_out_with_the_fault_and_stays_on_through_one_bad_sample() -> None:
    """Dark, lit, still lit, dark again; the age counts from the last good event."""
    lights = Lights([("in", "reader")])

    def light(seconds: float) -> tuple[bool, int | None]:
        (found,) = lights.of_lane("in", int(seconds * SECOND_NS))
        return found.ok, found.age_ms

    def seen(event: object) -> None:
        lights.observe(Observed(lane="in", device="reader", event=event))  # type: ignore[arg-type]

    assert light(1) == (False, None)
    seen(DeviceReady(detail="PN532", at_ns=1 * SECOND_NS))
    seen(CardTap(uid=b"\x04\x01\x02\x03", at_ns=2 * SECOND_NS))
    assert light(2.5) == (True, 500)
    seen(DeviceFault(kind=FaultKind.OUT_OF_RANGE, detail="one", at_ns=3 * SECOND_NS, transient=True))
    assert light(3) == (True, 1000)
    seen(DeviceFault(kind=FaultKind.MISSING, detail="unplugged", at_ns=4 * SECOND_NS))
    assert light(4)[0] is False


def test_a_cameras_age_is_that_of_its_last_good_frame() -> None:
    """It may see no code for hours and is well; a camera that hangs is not, whatever it said last."""
    frame_age_ms: list[float | None] = [None]
    lights = Lights([("in", "camera")], {("in", "camera"): lambda: frame_age_ms[0]})
    lights.observe(Observed(lane="in", device="camera", event=DeviceReady(detail="1280x720", at_ns=0)))
    for age_ms in (None, 33.2, 7200_000.0):
        frame_age_ms[0] = age_ms
        (light,) = lights.of_lane("in", 3600 * SECOND_NS)
        assert light.age_ms == (None if age_ms is None else int(age_ms))


def test_the_digits_to_type_are_shown_by_lanes_that_read_codes() -> None:
    """They change with the time, and a changed view is published at once; a lane without a camera shows none."""
    seen: list[KioskView] = []
    setup = Lane().setup
    blind = replace(setup, lane="out", devices={"reader": "card"})
    views = Views(
        TEMPLATE,
        setups={"in": setup, "out": blind},
        lights=Lights([]),
        publish=seen.append,
        sync=SyncState,
        standing_alarms=lambda: (),
        challenge=lambda lane, at: f"{at.at_us // 30_000_000:03}",
    )
    states = {"in": initial(setup), "out": initial(blind)}
    for seconds in (1.0, 31.0):
        views.show(states, at(seconds), journal_ok=True, unwritten=0)
    assert [[lane.challenge for lane in view.lanes] for view in seen] == [["000", ""], ["001", ""]]


def test_another_policy_shows_at_once() -> None:
    """Its version, and what the thermometer can be expected to find from the new threshold on; no second is waited."""
    stand, version = Stand(), ["case-1"]
    stand.views._policy = lambda: version[0]
    stand.show(1.0)
    assert stand.setup.sensor is not None
    sensor = replace(stand.setup.sensor, model=load_sensor_model("full_face"), calibration="in-0001", unit_error_c=0.2)
    lower = with_borderline(sensor, 37.1)
    version[0] = "case-2"
    stand.views.follow("in", replace(stand.setup, sensor=lower))
    stand.show(1.1)
    before, after = stand.published
    assert (before.policy, after.policy) == ("case-1", "case-2")
    assert before.lanes[0].expected is None
    assert after.lanes[0].expected is not None
    assert after.lanes[0].expected.low_c == 37.1


@pytest.mark.parametrize(
    ("devices", "hint"),
    [
        ({"reader": "card", "camera": "camera"}, Hint.TAP_OR_SHOW),
        ({"reader": "card", "relay": "relay"}, Hint.TAP_CARD),
        ({"scanner": "camera"}, Hint.SHOW_CODE),
        ({"contacts": "inputs"}, Hint.TAP_OR_SHOW),
    ],
)
def test_an_idle_lane_asks_for_what_it_can_read(devices: dict[str, str], hint: Hint) -> None:
    """A building's door that reads cards alone sends nobody to look for the window for codes."""
    stand = Stand(Lane(devices=devices))
    stand.state = replace(stand.state, phase=Phase.IDLE)
    stand.show(1.0)
    assert stand.published[-1].lanes[0].hint is hint
    stand.state = replace(stand.state, phase=Phase.IDENTIFYING, hint=Hint.ONE_CARD_ONLY)
    stand.show(2.5)
    assert stand.published[-1].lanes[0].hint is Hint.ONE_CARD_ONLY
