"""The work of one step (``kiosk/passage_bench.py``): what a lane is built of, its air, its names, its answers."""

from __future__ import annotations

from dataclasses import replace

import pytest

from drivers.devices import AirReading
from kiosk import screening
from kiosk.board import Hint
from kiosk.evidence import NotMeasured
from kiosk.passage_bench import ask, has_reader, normal_only, passage_id, tell
from kiosk.passage_events import Remember, Reply
from kiosk.records import Kind, PayloadClass
from tests.lane import Lane, bench_of


def test_two_passages_of_one_microsecond_have_two_names() -> None:
    """A name is lane, boot and microsecond; one that is taken, also by a clock that stands still, is one later."""
    bench = bench_of(Lane())
    names = [passage_id(bench) for _ in range(3)]
    assert names == ["in-5f0c1d2e-3b9aca00", "in-5f0c1d2e-3b9aca01", "in-5f0c1d2e-3b9aca02"]


@pytest.mark.parametrize(("age_s", "air_c"), [(0, 31.0), (120, 31.0), (121, 24.0)])
def test_the_air_sensor_serves_two_minutes(age_s: int, air_c: float) -> None:
    """Then the air that the settings fix, 24 degC here, is taken again."""
    lane = Lane()
    lane.s = 1000.0
    air = AirReading(air_c=31.0, humidity_percent=40.0, at_ns=lane.ns - age_s * 1_000_000_000)
    sensor = bench_of(lane, air=air).sensor
    assert sensor is not None
    assert sensor.air_c == air_c


def test_a_device_counts_by_its_role_and_only_while_it_works() -> None:
    """The camera is unplugged: its role is down, the reader's is not; a role that nobody has is never up."""
    lane = Lane()
    lane.unplug("camera")
    bench = bench_of(lane)
    assert [bench.up(role) for role in ("card", "camera", "relay")] == [True, False, False]


@pytest.mark.parametrize(
    ("devices", "readable"),
    [({"r": "card"}, True), ({"c": "camera"}, True), ({"t": "thermometer", "i": "inputs"}, False), ({}, False)],
)
def test_a_lane_has_a_reader_when_a_card_or_a_code_can_be_presented(devices: dict[str, str], readable: bool) -> None:
    """A lane of contacts and a thermometer alone has none, so that its absence is no fault."""
    assert has_reader(Lane(devices=devices).setup) is readable


def test_a_distance_sensor_tells_presence_only_with_a_range() -> None:
    """Without "from where to where" in the settings, what it says opens no window."""
    devices = {"reader": "card", "eye": "distance"}
    assert bench_of(Lane(devices=devices, distance_mm=(200, 600))).contact
    assert not bench_of(Lane(devices=devices)).contact


def test_an_alarm_is_written_with_its_detail_and_told() -> None:
    """Journal and console say the same."""
    bench = bench_of(Lane())
    bench.alarm("tamper", "in", box=2)
    remembered, raised = bench.effects
    assert isinstance(remembered, Remember)
    assert remembered.draft.kind is Kind.ALARM
    assert remembered.draft.payloads[PayloadClass.FACTS] == {"code": "tamper", "detail": "in", "box": 2}
    assert (raised.code, raised.detail) == ("tamper", "in")


def test_an_answer_names_the_passage_it_speaks_of() -> None:
    """The console goes on with that passage."""
    bench = bench_of(Lane())
    bench.reply(done=True, passage="in-1")
    (reply,) = bench.effects
    assert isinstance(reply, Reply)
    assert (reply.result.done, reply.result.passage) == (True, "in-1")


def test_what_went_wrong_is_not_wiped_away_by_what_is_wanted_next() -> None:
    """ "One card only" stands for three seconds; then the screen asks again."""
    lane = Lane()
    bench = bench_of(lane)
    tell(bench, Hint.ONE_CARD_ONLY)
    ask(bench, Hint.TAP_OR_SHOW)
    assert bench.state.hint is Hint.ONE_CARD_ONLY
    lane.s += 3.0
    later = replace(bench, now=lane.now)
    ask(later, Hint.TAP_OR_SHOW)
    assert later.state.hint is Hint.TAP_OR_SHOW


def test_only_a_normal_measurement_is_kept_for_later() -> None:
    """A fever or a reading that did not come off serves nobody an hour later."""
    normal, fever = screening.by_contact_thermometer(36.6), screening.by_contact_thermometer(38.6)
    assert normal_only(normal) is normal
    assert normal_only(fever) is None
    assert normal_only(screening.not_measured(NotMeasured.MOVING, None)) is None
    assert normal_only(None) is None


def test_what_needs_a_person_fails_without_one() -> None:
    """A step that speaks of nobody is a mistake in the machine, found at once."""
    with pytest.raises(AssertionError, match="no running passage"):
        bench_of(Lane()).person(pending="")
