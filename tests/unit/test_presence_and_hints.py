"""A distance sensor that opens the measuring window, and the figure of a module on which no verdict rests."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from config.policy import load_policy
from drivers.devices import BodyHint, DistanceReading
from kiosk.body_hint import observe_hint, steady_hint_c
from kiosk.distance_presence import DistanceWatch, observe_distance
from kiosk.passage_events import Pulse
from tests.lane import NORMAL_SKIN_C, Lane

S = 1_000_000_000


def watched(*values_mm: int, every_s: float = 0.1) -> DistanceWatch:
    """The watch after these distances, 300 to 600 mm being the range."""
    watch = DistanceWatch()
    for index, value in enumerate(values_mm):
        reading = DistanceReading(distance_mm=value, at_ns=round(index * every_s * S))
        watch = observe_distance(watch, reading, 300, 600)
    return watch


def test_who_stands_in_the_range_is_there() -> None:
    """Two steady readings in the range; one alone, a passer-by or no echo is nobody."""
    assert watched(3000, 455, 450).present
    assert watched(450, 452, every_s=0.35).present, "the slowest unit speaks every 300 ms and a little"
    assert not watched(450).present
    assert not watched(300, 400, 500, 599).present
    assert not watched(0, 0, 0).present
    assert not watched(700, 700, 700).present


def test_one_stray_echo_is_no_leaving_and_two_are() -> None:
    """A hand before the sensor does not end the presence; stepping away does."""
    assert watched(450, 450, 3000, 450).present
    assert not watched(450, 450, 3000, 3000).present
    assert not watched(450, 450, 3000, 3000, 450).present, "and who comes next has to stand as well"


@given(st.lists(st.integers(0, 65535), max_size=40))
def test_a_presence_needs_somebody_in_the_range(values_mm: list[int]) -> None:
    """Whatever the sensor says: nobody is there without two readings in the range, and memory stays small."""
    watch = watched(*values_mm)
    assert len(watch.newest) <= 5
    if watch.present:
        assert sum(300 <= value <= 600 for value in values_mm) >= 2


def lane_with_distance() -> Lane:
    devices = {"reader": "card", "thermo": "thermometer", "distance": "distance"}
    return Lane(policy=load_policy("case"), devices=devices, distance_mm=(300, 600))


def test_the_distance_sensor_opens_the_window() -> None:
    """A warm wall is nobody while the sensor sees three metres; the person in the range is measured."""
    lane = lane_with_distance()
    lane.tap("04a1")
    for _ in range(8):
        lane.wait(0.1)
        lane.send(DistanceReading(distance_mm=3000, at_ns=lane.ns))
        lane.reading(NORMAL_SKIN_C + 0.01 * (round(lane.s * 10) % 3))
    assert not lane.state.watch.present
    for _ in range(8):
        lane.wait(0.1)
        lane.send(DistanceReading(distance_mm=450, at_ns=lane.ns))
        lane.reading(NORMAL_SKIN_C + 0.01 * (round(lane.s * 10) % 3))
    assert len(lane.of(Pulse)) == 1


def test_without_the_distance_sensor_the_thermometer_sees_for_itself() -> None:
    """It falls out: whoever it knew of is gone, and warm skin counts as presence again."""
    lane = lane_with_distance()
    for _ in range(3):
        lane.wait(0.1)
        lane.send(DistanceReading(distance_mm=450, at_ns=lane.ns))
    assert lane.state.watch.present
    lane.unplug("distance")
    assert not lane.state.watch.present
    lane.tap("04a1")
    lane.face(NORMAL_SKIN_C, 1.0)
    assert len(lane.of(Pulse)) == 1


def hints(*values_c: float, every_s: float = 0.5) -> tuple[BodyHint, ...]:
    """The figures kept after these."""
    kept: tuple[BodyHint, ...] = ()
    for index, value in enumerate(values_c):
        kept = observe_hint(kept, BodyHint(body_c=value, at_ns=round(index * every_s * S)))
    return kept


def test_five_steady_figures_are_a_hint() -> None:
    """The median of five within 0.3 degC; fewer, a scatter, an old one or an empty room are none."""
    assert steady_hint_c(hints(36.4, 36.5, 36.6, 36.5, 36.5), 2 * S) == 36.5
    assert steady_hint_c(hints(36.4, 36.5, 36.6, 36.5), 2 * S) is None
    assert steady_hint_c(hints(36.4, 36.5, 36.9, 36.5, 36.5), 2 * S) is None
    assert steady_hint_c(hints(36.5, 36.5, 36.5, 36.5, 36.5), 4 * S) is None
    assert steady_hint_c(hints(36.5, 36.5, 36.5, 36.5, 25.0), 2 * S) is None


def test_no_verdict_rests_on_a_hint() -> None:
    """A module that tells only a figure: 36.5 admits nobody where a temperature is asked; the guard measures."""
    lane = Lane(policy=load_policy("case"), sensor=None, devices={"reader": "card", "thermo": "thermometer"})
    for _ in range(6):
        lane.wait(0.5)
        lane.send(BodyHint(body_c=36.5, at_ns=lane.ns))
    lane.tap("04a1")
    assert lane.of(Pulse) == []
    assert lane.verdict is not None
    assert str(lane.verdict.next_step) == "contact_thermometer"
    assert str(lane.state.decided.person.temperature.why_not) == "hint_only"
