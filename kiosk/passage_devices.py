"""What a lane's devices say of themselves and of whoever stands there: faults, contacts, readings. Pure."""

from __future__ import annotations

from drivers.devices import (
    AirReading,
    BodyHint,
    DistanceReading,
    InputChange,
    InputName,
    TemperatureReading,
    ThermalFrame,
)
from kiosk import screening
from kiosk.board import Phase
from kiosk.body_hint import observe_hint
from kiosk.distance_presence import DistanceWatch, observe_distance
from kiosk.face_blob import hottest_of_face
from kiosk.passage_advance import advance
from kiosk.passage_bench import NS, Bench
from kiosk.passage_events import DeviceDown, DeviceUp, RaiseAlarm
from kiosk.passage_record import facts_only
from kiosk.passage_verdict import close_passage
from kiosk.reasons import Passed
from kiosk.records import Kind

EXIT_GRACE_NS = 10 * NS
"""A door that opens within this time of the exit button was not forced."""


def device_down(bench: Bench, event: DeviceDown) -> None:
    """A device fell out: written once; readings and the presence it knew of are gone with it."""
    if event.name in bench.state.up:
        bench.put(up=bench.state.up - {event.name})
        role = bench.setup.devices.get(event.name, "")
        bench.remember(Kind.DEVICE, "", facts_only(device=event.name, role=role, up=False, detail=event.detail[:200]))
        if role == "thermometer":
            # Its readings are gone with it; whoever stands there is seen anew when it is back.
            bench.put(watch=screening.Watch(number=bench.state.watch.number))
        if (role == "inputs" and bench.setup.presence_contact) or (role == "distance" and bench.state.distance.present):
            bench.put(watch=screening.end_presence(bench.state.watch), distance=DistanceWatch())
    if bench.state.phase is not Phase.DECIDED:
        advance(bench)


def device_up(bench: Bench, event: DeviceUp) -> None:
    """A device proved itself: written once."""
    if event.name not in bench.state.up:
        bench.put(up=bench.state.up | {event.name})
        role = bench.setup.devices.get(event.name, "")
        bench.remember(Kind.DEVICE, "", facts_only(device=event.name, role=role, up=True, detail=""))
    if bench.state.phase is not Phase.DECIDED:
        advance(bench)


def input_changed(bench: Bench, event: InputChange) -> None:
    """A contact opened or closed."""
    match event.name:
        case InputName.PASSAGE_BEAM | InputName.DOOR_CONTACT:
            _passage_contact(bench, event)
        case InputName.PRESENCE if bench.setup.presence_contact:
            watch = bench.state.watch
            watch = screening.begin_presence(watch, event.at_ns) if event.active else screening.end_presence(watch)
            bench.put(watch=watch)
            _seen_somebody(bench)
        case InputName.EXIT_BUTTON if event.active:
            bench.put(door_expected_until_ns=bench.ns + EXIT_GRACE_NS)
        case InputName.FIRE:
            # The contact cuts the lock's supply by itself: it is observed here, not acted upon.
            bench.remember(Kind.EMERGENCY, "", facts_only(open=event.active, guard="", why="fire_contact"))
            if event.active:
                bench.emit(RaiseAlarm(code="fire", detail=bench.setup.lane))
        case InputName.TAMPER if event.active:
            bench.alarm("tamper", bench.setup.lane)
        case _:
            pass


def _passage_contact(bench: Bench, event: InputChange) -> None:
    if not event.active:
        return
    if bench.state.opened is not None:
        close_passage(bench, Passed.YES)
    elif (
        event.name is InputName.DOOR_CONTACT
        and bench.ns >= bench.state.door_expected_until_ns
        and bench.state.emergency_since_us is None
    ):
        bench.alarm("door_forced", bench.setup.lane)


def reading(bench: Bench, event: TemperatureReading) -> None:
    """One reading of the thermometer; whoever comes before it is noticed here."""
    sensor = bench.sensor
    if sensor is None or not bench.up("thermometer"):
        return
    contact = bench.contact
    bench.put(watch=screening.observe(bench.state.watch, event, bench.ns, sensor, contact=contact))
    _seen_somebody(bench)


def thermal(bench: Bench, event: ThermalFrame) -> None:
    """One picture of an array: its hottest face spot is the reading."""
    reading(bench, hottest_of_face(event))


def distance(bench: Bench, event: DistanceReading) -> None:
    """How far the nearest thing is: somebody who stands in the range opens the measuring window."""
    if bench.setup.distance_mm is None or not bench.up("distance"):
        return
    before = bench.state.distance
    after = observe_distance(before, event, *bench.setup.distance_mm)
    bench.put(distance=after)
    if after.present is not before.present:
        watch = bench.state.watch
        watch = screening.begin_presence(watch, event.at_ns) if after.present else screening.end_presence(watch)
        bench.put(watch=watch)
        _seen_somebody(bench)


def body_hint(bench: Bench, event: BodyHint) -> None:
    """The figure of a module that tells nothing else: for the guard's eyes, never for a verdict."""
    bench.put(hints=observe_hint(bench.state.hints, event))


def air(bench: Bench, event: AirReading) -> None:
    """The shaded air sensor's newest value."""
    bench.put(air=event)


def _seen_somebody(bench: Bench) -> None:
    if bench.state.phase in (Phase.IDENTIFYING, Phase.MEASURING, Phase.IDLE):
        advance(bench)
