"""A lane is given another set-up between two persons, never under somebody who is in it."""

from __future__ import annotations

from dataclasses import replace

from config.policy import load_policy
from drivers.devices import CardTap
from kiosk.board import Emergency
from kiosk.lane_change import PATIENCE_NS, LaneChanges, between
from kiosk.passage_events import LaneSetup
from tests.lane import FEVER_SKIN_C, NORMAL_SKIN_C, Lane

CASE = load_policy("case")


def free(lane: Lane, *, patient: bool = True) -> bool:
    return between(lane.state, lane.ns, patient=patient)


def test_a_lane_without_anybody_is_free() -> None:
    """At start, and with the sensor seeing the wall."""
    lane = Lane(policy=CASE)
    assert free(lane)
    lane.nobody(3)
    assert free(lane)


def test_a_face_before_the_sensor_holds_the_lane_until_it_goes() -> None:
    """The measuring window is the first that is seen of a person: it began under the old policy."""
    lane = Lane(policy=CASE)
    lane.nobody(1)
    lane.face(NORMAL_SKIN_C, 0.5)
    assert lane.state.person is None
    assert not free(lane)
    lane.nobody(3)
    assert free(lane)


def test_a_passage_holds_the_lane_from_the_tap_to_the_written_verdict() -> None:
    """While the second measurement, the code, or the journal's answer is awaited."""
    lane = Lane(policy=CASE)
    lane.nobody(1)
    lane.send(CardTap(uid=bytes.fromhex("04a1"), at_ns=lane.ns), answer=False)
    assert not free(lane)
    lane = Lane(policy=load_policy("building_door"), sensor=None, devices={"reader": "card"})
    lane.send(CardTap(uid=bytes.fromhex("04a1"), at_ns=lane.ns), answer=False)
    assert not free(lane)
    assert not free(lane, patient=False)


def test_an_admitted_person_who_still_stands_there_holds_nothing() -> None:
    """The verdict is written; whoever was served is judged no more, also while the screen shows it."""
    lane = Lane(policy=CASE)
    lane.nobody(1)
    lane.face(NORMAL_SKIN_C, 0.3)
    lane.tap("04a1")
    lane.face(NORMAL_SKIN_C, 2.0)
    assert lane.verdict is not None
    assert lane.verdict.admit
    assert lane.state.watch.present
    assert free(lane)


def test_a_refusal_holds_the_lane_while_it_is_on_the_screen() -> None:
    """The same person may show what was missing; that is judged by the policy under which it was asked for."""
    lane = Lane(policy=CASE)
    lane.nobody(1)
    lane.face(FEVER_SKIN_C, 0.3)
    lane.tap("04a1")
    lane.face(FEVER_SKIN_C, 2.0)
    assert lane.verdict is not None
    assert not lane.verdict.admit
    assert not free(lane)
    assert free(lane, patient=False)
    lane.nobody(CASE.holds.deny_s + 1)
    assert free(lane)


def test_a_card_that_waits_for_its_turn_holds_the_lane() -> None:
    """The next person's card was presented already."""
    lane = Lane(policy=CASE)
    lane.nobody(1)
    lane.tap("04a1")
    lane.tap("04a2")
    assert lane.state.queued is not None
    assert not between(replace(lane.state, person=None), lane.ns)


def test_an_emergency_neither_hinders_a_change_nor_is_ended_by_it() -> None:
    """The lane is held open; that is no person's business and stays in its state."""
    lane = Lane(policy=CASE)
    lane.send(Emergency(lane="in", open=True))
    assert free(lane)
    lane.setup = replace(lane.setup, policy=load_policy("spread"))
    lane.wait(30)
    assert lane.state.emergency_since_us is not None
    lane.send(Emergency(lane="in", open=False))
    assert lane.state.emergency_since_us is None


def test_lanes_change_one_by_one_and_only_the_newest_set_up_waits() -> None:
    """The free one at once; the other when its person is done, with what was asked for last."""
    busy, idle = Lane(policy=CASE), Lane(policy=CASE)
    busy.nobody(1)
    busy.face(NORMAL_SKIN_C, 0.5)
    states = {"in": busy.state, "out": idle.state}
    changes = LaneChanges()
    assert changes.due(states, busy.ns) == {}

    def setups(name: str) -> dict[str, LaneSetup]:
        setup = replace(busy.setup, policy=load_policy(name))
        return {"in": setup, "out": setup}

    changes.ask(setups("spread"), busy.ns)
    assert set(changes.due(states, busy.ns)) == {"out"}
    assert changes.due(states, busy.ns) == {}
    changes.ask(setups("clear"), busy.ns)
    busy.nobody(3)
    found = changes.due({"in": busy.state, "out": idle.state}, busy.ns)
    assert {lane: setup.policy.version for lane, setup in found.items()} == {
        lane: load_policy("clear").version for lane in ("in", "out")
    }


def test_a_sensor_that_sees_somebody_for_ever_keeps_no_old_rules_in_force() -> None:
    """After a minute the lane changes although something still stands there; a running passage it lets end."""
    lane = Lane(policy=CASE)
    lane.nobody(1)
    lane.face(NORMAL_SKIN_C, 0.5)
    changes = LaneChanges()
    changes.ask({"in": lane.setup}, lane.ns)
    assert changes.due({"in": lane.state}, lane.ns + PATIENCE_NS - 1) == {}
    lane.send(CardTap(uid=bytes.fromhex("04a1"), at_ns=lane.ns), answer=False)
    assert changes.due({"in": lane.state}, lane.ns + PATIENCE_NS) == {}
    lane.nobody(3)
    assert set(changes.due({"in": replace(lane.state, person=None)}, lane.ns + PATIENCE_NS)) == {"in"}
