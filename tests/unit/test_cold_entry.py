"""Cold entry: "please wait inside", the lane goes on, measured again at 3 and 5 minutes or by the guard at any time."""

from __future__ import annotations

from config.policy import load_policy
from kiosk.board import EnterTemperature, Phase
from kiosk.evidence import NotMeasured, TemperatureOutcome
from kiosk.passage_events import Pulse, Reply
from kiosk.passage_state import lane_view
from kiosk.reasons import Direction, NextStep
from kiosk.records import Kind, PayloadClass
from kiosk.replay import replay_temperature
from tests.lane import NORMAL_SKIN_C, Lane

COLD_SKIN_C = 32.0
#: 0.8 degC short of rest at three minutes, 0.5 at five: what the normal skin of the test model then looks like.
AFTER_3_MIN_C, AFTER_5_MIN_C = NORMAL_SKIN_C - 0.8, NORMAL_SKIN_C - 0.5


def turned_away() -> Lane:
    """A courier (nobody who lives here) whose skin was too cold."""
    lane = Lane(policy=load_policy("clear"))
    lane.policy = lane.policy.model_copy(
        update={"temperature": lane.policy.temperature.model_copy(update={"unavailable": "guard_measures"})}
    )
    lane.__post_init__()
    come(lane, "04c0", COLD_SKIN_C)
    return lane


def come(lane: Lane, uid: str, skin_c: float) -> None:
    """Step up, be measured, tap, step away."""
    lane.face(skin_c, 1.0)
    lane.tap(uid)
    lane.face(skin_c, 3.0)
    lane.nobody(0.5)


def last(lane: Lane) -> dict:
    """The last passage's temperature as recorded."""
    return lane.drafts(Kind.PASSAGE)[-1].payloads[PayloadClass.HEALTH]["temperature"]


def test_please_wait_inside_and_the_lane_goes_on() -> None:
    """The cold one is asked inside and stands on the console's list; the next one is served at once."""
    lane = turned_away()
    assert lane.verdict.next_step is NextStep.WAIT_INSIDE
    assert lane.state.decided.person.temperature.why_not is NotMeasured.COLD_SKIN
    [waiting] = lane_view(lane.setup, lane.state).warming
    assert waiting.category == "courier"
    lane.wait(9.0)
    come(lane, "04a1", NORMAL_SKIN_C)
    assert len(lane.of(Pulse)) == 1
    assert len(lane.state.warming) == 1


def test_before_three_minutes_nothing_is_measured() -> None:
    """A cheek that begins to warm says nothing: still "wait inside", counted from the first time."""
    lane = turned_away()
    first = lane.state.warming[0].since_ns
    lane.wait(100.0)
    come(lane, "04c0", AFTER_3_MIN_C)
    assert lane.of(Pulse) == []
    assert last(lane)["why_not"] == "cold_skin"
    assert lane.verdict.next_step is NextStep.WAIT_INSIDE
    assert [waiting.since_ns for waiting in lane.state.warming] == [first]


def test_at_three_minutes_what_is_missing_is_added() -> None:
    """0.8 degC short: normal, admitted, linked to the first passage, off the list; a fever so cooled is not missed."""
    for extra_c, admitted in ((0.0, 1), (1.2, 0)):
        lane = turned_away()
        before = lane.state.warming[0].person.passage
        lane.wait(180.0)
        come(lane, "04c0", AFTER_3_MIN_C + extra_c)
        assert len(lane.of(Pulse)) == admitted
        assert lane.drafts(Kind.PASSAGE)[-1].payloads[PayloadClass.FACTS]["follows"] == before
        assert lane.state.warming == ()
        assert replay_temperature(last(lane)) == ""
        if not admitted:
            assert last(lane)["sensor"]["offset_micro_c"] == 800_000


def test_still_cold_at_five_minutes_is_the_guards() -> None:
    """At three minutes "wait inside" again, at five the contact thermometer."""
    lane = turned_away()
    lane.wait(180.0)
    come(lane, "04c0", COLD_SKIN_C - 1)
    assert lane.verdict.next_step is NextStep.WAIT_INSIDE
    lane.wait(120.0)
    come(lane, "04c0", COLD_SKIN_C - 1)
    assert lane.verdict.next_step is NextStep.CONTACT_THERMOMETER


def test_the_guard_measures_who_waits_while_the_lane_is_free() -> None:
    """At the side point: the value decides the waiting person's passage; in the middle of another's it is refused."""
    lane = turned_away()
    passage = lane.state.warming[0].person.passage
    lane.wait(60.0)
    lane.tap("04a1")
    command = EnterTemperature(lane="in", guard="g", object_centi_c=3660, passage=passage)
    lane.send(command)
    assert lane.of(Reply)[-1].result.message == "journal_busy"
    lane.wait(20.0)
    pulses = len(lane.of(Pulse))
    lane.send(command)
    assert lane.of(Reply)[-1].result.done
    assert len(lane.of(Pulse)) == pulses + 1
    assert lane.state.decided.person.temperature.outcome is TemperatureOutcome.NORMAL
    assert lane.state.warming == ()
    lane.send(command)
    assert lane.of(Reply)[-1].result.message == "passage_over"


def test_a_fever_found_at_the_side_point_is_a_referral() -> None:
    """38.4 by the contact thermometer: refused, off the list, referred."""
    lane = turned_away()
    passage = lane.state.warming[0].person.passage
    lane.wait(60.0)
    lane.send(EnterTemperature(lane="in", guard="g", object_centi_c=3840, passage=passage))
    assert lane.of(Pulse) == []
    assert lane.state.phase is Phase.DECIDED
    assert lane.state.warming == ()
    assert lane.drafts(Kind.REFERRAL)


def test_nobody_waits_inside_to_get_out() -> None:
    """Exits are not measured, and hold nobody."""
    lane = Lane(direction=Direction.OUT, policy=load_policy("case"))
    come(lane, "04a1", COLD_SKIN_C)
    assert len(lane.of(Pulse)) == 1
    assert lane.state.warming == ()


def test_who_comes_back_after_a_quarter_of_an_hour_starts_anew() -> None:
    """Nothing is added any more."""
    lane = turned_away()
    lane.wait(901.0)
    come(lane, "04c0", NORMAL_SKIN_C)
    assert len(lane.of(Pulse)) == 1
