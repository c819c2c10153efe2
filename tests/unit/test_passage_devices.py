"""What a lane's devices say (``kiosk/passage_devices.py``): faults, contacts, distance."""

from __future__ import annotations

import pytest

from drivers.devices import AirReading, BodyHint, DistanceReading, InputChange, InputName
from kiosk.board import Phase
from kiosk.passage_bench import Bench
from kiosk.passage_devices import air, body_hint, device_down, device_up, distance, input_changed
from kiosk.passage_events import DeviceDown, DeviceUp, PassageClosed, RaiseAlarm, Remember
from kiosk.passage_state import Opened
from kiosk.reasons import Passed
from kiosk.records import Kind, PayloadClass
from kiosk.screening import Watch
from tests.lane import Lane, bench_of

NS = 1_000_000_000


def contact(bench: Bench, name: InputName, *, active: bool = True) -> None:
    input_changed(bench, InputChange(name=name, active=active, at_ns=bench.ns))


def alarms(bench: Bench) -> list[str]:
    return [effect.code for effect in bench.effects if isinstance(effect, RaiseAlarm)]


def written(bench: Bench, kind: Kind) -> list[dict[str, object]]:
    drafts = [effect.draft for effect in bench.effects if isinstance(effect, Remember)]
    return [dict(draft.payloads[PayloadClass.FACTS]) for draft in drafts if draft.kind is kind]


def test_a_device_that_falls_out_and_comes_back_is_written_once_each() -> None:
    """However often its driver says so; the detail is cut to what a record may hold."""
    bench = bench_of(Lane())
    for _ in range(2):
        device_down(bench, DeviceDown(name="camera", at_ns=0, detail="x" * 300))
    for _ in range(2):
        device_up(bench, DeviceUp(name="camera", at_ns=0))
    assert written(bench, Kind.DEVICE) == [
        {"device": "camera", "role": "camera", "up": False, "detail": "x" * 200},
        {"device": "camera", "role": "camera", "up": True, "detail": ""},
    ]
    assert "camera" in bench.state.up


def test_with_the_thermometer_go_its_readings_and_who_stood_there() -> None:
    """The count of presences goes on, so that nobody is taken for the person before; another device takes nothing."""
    bench = bench_of(Lane(), watch=Watch(number=4, since_ns=1, seen=9))
    device_down(bench, DeviceDown(name="camera", at_ns=0, detail=""))
    assert bench.state.watch.present
    device_down(bench, DeviceDown(name="thermo", at_ns=0, detail=""))
    assert bench.state.watch == Watch(number=4)


def test_with_the_presence_switchs_board_goes_the_presence() -> None:
    """Only where a switch is wired to it: a thermometer that sees for itself goes on."""
    devices = {"reader": "card", "thermo": "thermometer", "board": "inputs"}
    for wired in (True, False):
        lane = Lane(devices=devices, presence_contact=wired)
        bench = bench_of(lane, watch=Watch(number=1, since_ns=1))
        device_down(bench, DeviceDown(name="board", at_ns=0, detail=""))
        assert bench.state.watch.present is not wired


def test_with_the_distance_sensor_goes_whom_it_saw() -> None:
    """Nobody stays present on the word of a sensor that is gone."""
    lane = Lane(devices={"reader": "card", "thermo": "thermometer", "eye": "distance"}, distance_mm=(200, 600))
    for _ in range(5):
        lane.s += 0.1
        lane.send(DistanceReading(distance_mm=400, at_ns=lane.ns))
    bench = bench_of(lane)
    assert bench.state.distance.present
    assert bench.state.watch.present
    device_down(bench, DeviceDown(name="eye", at_ns=0, detail=""))
    assert not bench.state.watch.present
    assert not bench.state.distance.present


@pytest.mark.parametrize("name", [InputName.PASSAGE_BEAM, InputName.DOOR_CONTACT])
def test_beam_or_door_after_an_admission_says_that_the_person_went_through(name: InputName) -> None:
    """Its closing says nothing."""
    opened = Opened(passage="in-1", until_ns=1)
    bench = bench_of(Lane(), opened=opened)
    contact(bench, name, active=False)
    assert (bench.state.opened, bench.effects) == (opened, [])
    contact(bench, name)
    assert [(e.passage, e.passed) for e in bench.effects if isinstance(e, PassageClosed)] == [("in-1", Passed.YES)]
    assert alarms(bench) == []


@pytest.mark.parametrize(
    ("name", "state", "forced"),
    [
        (InputName.DOOR_CONTACT, {}, True),
        (InputName.PASSAGE_BEAM, {}, False),
        (InputName.DOOR_CONTACT, {"emergency_since_us": 1}, False),
    ],
)
def test_a_door_that_opens_unasked_was_forced(name: InputName, state: dict[str, object], forced: bool) -> None:
    """A beam alone is a child's hand; in an emergency doors stand open."""
    bench = bench_of(Lane(), **state)
    contact(bench, name)
    assert alarms(bench) == (["door_forced"] if forced else [])


def test_the_exit_button_lets_the_door_open_for_ten_seconds() -> None:
    """Somebody leaves by it: no alarm; letting go of the button begins nothing."""
    for after_s, forced in ((9.9, False), (10.0, True)):
        lane = Lane()
        pressed = bench_of(lane)
        contact(pressed, InputName.EXIT_BUTTON)
        lane.s += after_s
        bench = bench_of(lane, door_expected_until_ns=pressed.state.door_expected_until_ns)
        contact(bench, InputName.EXIT_BUTTON, active=False)
        contact(bench, InputName.DOOR_CONTACT)
        assert bool(alarms(bench)) is forced, after_s


def test_fire_is_written_at_both_ends_and_told_at_its_beginning() -> None:
    """The contact cuts the lock's supply by itself: the lane observes it and opens nothing."""
    bench = bench_of(Lane())
    contact(bench, InputName.FIRE)
    assert alarms(bench) == ["fire"]
    contact(bench, InputName.FIRE, active=False)
    facts = [(fact["open"], fact["why"]) for fact in written(bench, Kind.EMERGENCY)]
    assert facts == [(True, "fire_contact"), (False, "fire_contact")]
    assert alarms(bench) == ["fire"]


def test_the_lid_is_told_when_it_opens() -> None:
    """And not when it is closed."""
    bench = bench_of(Lane())
    contact(bench, InputName.TAMPER, active=False)
    assert alarms(bench) == []
    contact(bench, InputName.TAMPER)
    assert alarms(bench) == ["tamper"]


def test_a_presence_switch_speaks_where_it_is_wired() -> None:
    """Stepping on the mat begins a presence, stepping off ends it; an input of that name elsewhere is nothing."""
    bench = bench_of(Lane(presence_contact=True))
    contact(bench, InputName.PRESENCE)
    assert bench.state.watch.present
    assert bench.state.phase is Phase.IDENTIFYING
    contact(bench, InputName.PRESENCE, active=False)
    assert not bench.state.watch.present
    bare = bench_of(Lane())
    contact(bare, InputName.PRESENCE)
    assert not bare.state.watch.present


def test_a_distance_counts_only_with_a_range_and_a_working_sensor() -> None:
    """Without either nobody is present by it."""
    devices = {"reader": "card", "eye": "distance"}
    for lane in (Lane(devices=devices), Lane(devices=devices, distance_mm=(200, 600), start_devices=False)):
        bench = bench_of(lane)
        for _ in range(5):
            distance(bench, DistanceReading(distance_mm=400, at_ns=bench.ns))
        assert bench.state.distance == lane.state.distance


def test_air_and_a_bare_body_figure_are_kept_for_whom_they_serve() -> None:
    """The newest air for the estimate, the figure for the guard's eyes; neither changes the phase."""
    lane = Lane()
    bench = bench_of(lane)
    newest = AirReading(air_c=18.0, humidity_percent=60.0, at_ns=lane.ns)
    air(bench, newest)
    body_hint(bench, BodyHint(body_c=36.4, at_ns=lane.ns))
    assert bench.state.air == newest
    assert len(bench.state.hints) == 1
    assert (bench.state.phase, bench.effects) == (lane.state.phase, [])
