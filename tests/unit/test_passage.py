"""One lane's state machine, told as situations at the gate."""

from __future__ import annotations

import ast
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.policy import load_policy
from drivers.devices import AirReading, InputName, QrText
from kiosk.board import (
    Acknowledge,
    Attest,
    Emergency,
    EnterTemperature,
    Hint,
    MeasureAgain,
    Override,
    Phase,
)
from kiosk.evidence import AttestedCode, NotMeasured, TemperatureOutcome
from kiosk.passage import TABLE, initial, step
from kiosk.passage_diagram import diagram
from kiosk.passage_events import (
    Announce,
    CloseReferral,
    CodeIncomplete,
    Commit,
    CommitFailed,
    Committed,
    CredentialGone,
    Event,
    HoldOpen,
    OpenReferral,
    PassageClosed,
    Pulse,
    RaiseAlarm,
    Reply,
    TapTorn,
    TimePassed,
    VerifyCard,
    VerifyCode,
    VisitorRegistered,
)
from kiosk.passage_state import lane_view
from kiosk.reasons import CheckState, Direction, NextStep, Passed, Reason
from kiosk.records import Kind, PayloadClass, canonical
from tests.conftest import ROOT
from tests.lane import (
    BORDERLINE_SKIN_C,
    COURIER,
    FEVER_SKIN_C,
    NORMAL_SKIN_C,
    RESIDENT,
    Lane,
)


def reply(effects: list) -> object:
    return next(effect.result for effect in effects if isinstance(effect, Reply))


def test_a_resident_taps_and_goes_in() -> None:
    """Face first, then the card: the verdict is there with the tap, and the gate pulses after the commit."""
    lane = Lane()
    lane.face(NORMAL_SKIN_C, 1.0)
    effects = lane.tap("04a1")
    kinds = [type(effect).__name__ for effect in effects]
    assert kinds == ["VerifyCard", "Commit", "Pulse", "Announce"]
    assert lane.verdict.admit
    assert lane.verdict.reasons == (Reason.ALL_CHECKS_PASSED,)


def test_card_before_face() -> None:
    """Card first: the lane asks for a face, measures it, and decides within a second of the face."""
    lane = Lane()
    lane.tap("04a1")
    assert lane.state.phase is Phase.MEASURING
    assert lane.state.hint is Hint.LOOK_AT_SENSOR
    lane.face(NORMAL_SKIN_C, 0.5)
    assert lane.verdict.admit


def test_nobody_before_the_sensor() -> None:
    """A tap without a face is refused as not measured after the wait, under a policy that lets the guard measure."""
    lane = Lane(policy=load_policy("case"))
    lane.tap("04a1")
    lane.wait(6.1)
    assert lane.verdict.reasons[0] is Reason.TEMPERATURE_NOT_MEASURED
    assert lane.state.decided.person.temperature.why_not is NotMeasured.NO_READING
    assert lane.verdict.next_step is NextStep.LOOK_AT_SENSOR


def test_a_raised_temperature_opens_a_referral_and_nothing_else() -> None:
    """A fever: DENY, see the guard, an open case, no pulse."""
    lane = Lane()
    lane.face(FEVER_SKIN_C, 1.0)
    lane.tap("04a1")
    assert lane.verdict.reasons[0] is Reason.TEMPERATURE_RAISED
    assert lane.of(Pulse) == []
    assert [case.reasons for case in lane.of(OpenReferral)] == [(Reason.TEMPERATURE_RAISED,)]
    assert len(lane.drafts(Kind.REFERRAL)) == 1


def test_readings_of_the_person_before_are_never_used() -> None:
    """The feverish first person steps away; the healthy second one is judged by the own readings alone."""
    lane = Lane()
    lane.face(FEVER_SKIN_C, 1.0)
    lane.nobody(0.3)
    lane.face(NORMAL_SKIN_C, 0.2)
    lane.tap("04a1")
    assert lane.state.phase is Phase.MEASURING
    lane.face(NORMAL_SKIN_C, 0.4)
    assert lane.verdict.admit


def test_a_presence_serves_one_person() -> None:
    """A neighbour who taps while the admitted one still stands at the sensor is not admitted on their temperature."""
    lane = Lane(policy=load_policy("case"))
    lane.face(NORMAL_SKIN_C, 1.0)
    lane.tap("04a1")
    lane.face(NORMAL_SKIN_C, 0.5)
    lane.tap("04a2")
    lane.face(NORMAL_SKIN_C, 3.0)
    assert lane.state.phase is Phase.MEASURING
    lane.nobody(0.3)
    lane.face(NORMAL_SKIN_C, 0.6)
    assert lane.verdict.admit
    assert lane.state.decided.person.card.subject == "0011223344556677"


def test_walking_off_while_being_measured() -> None:
    """A bound presence that ends before the window settled is not measured; a stranger's face does not replace it."""
    lane = Lane(policy=load_policy("case"))
    lane.face(NORMAL_SKIN_C, 0.2)
    lane.tap("04a1")
    lane.nobody(0.3)
    assert lane.verdict.reasons[0] is Reason.TEMPERATURE_NOT_MEASURED
    assert lane.state.decided.person.temperature.why_not is NotMeasured.MOVING


def test_pass_then_code() -> None:
    """A courier in a community with a case: card, then code, then in."""
    lane = Lane(policy=load_policy("case"))
    lane.face(NORMAL_SKIN_C, 0.6)
    lane.tap("04c0")
    assert lane.state.hint is Hint.SHOW_CODE
    lane.face(NORMAL_SKIN_C, 2.0)
    lane.show("HC1:green")
    assert lane.verdict.admit
    assert lane.verdict.category == "courier"


def test_code_then_pass() -> None:
    """The same the other way round: the code waits for the card."""
    lane = Lane(policy=load_policy("case"))
    lane.face(NORMAL_SKIN_C, 0.6)
    lane.show("HC1:green")
    assert lane.state.hint is Hint.TAP_CARD
    lane.face(NORMAL_SKIN_C, 1.0)
    lane.tap("04c0")
    assert lane.verdict.admit


def test_a_code_in_several_parts_waits_for_the_next_part() -> None:
    """The first part of a SMART Health Card is no verdict: the screen says "1 of 3", and the card still joins."""
    lane = Lane(policy=load_policy("case"))
    lane.face(NORMAL_SKIN_C, 0.6)
    lane.tap("04c0")
    effects = lane.send(QrText(text="part", data=b"part", corners=(), engine="test", at_ns=lane.ns), answer=False)
    asked = next(effect for effect in effects if isinstance(effect, VerifyCode))
    lane.send(CodeIncomplete(credential=asked.credential, at_ns=lane.ns, seen=1, total=3))
    assert lane.state.phase is Phase.IDENTIFYING
    view = lane_view(lane.setup, lane.state)
    assert (view.hint, view.code_parts) == (Hint.NEXT_CODE, (1, 3))
    lane.face(NORMAL_SKIN_C, 1.0)
    lane.show("HC1:green")
    assert lane.verdict.admit
    assert lane_view(lane.setup, lane.state).code_parts is None


def test_an_expired_code_is_refused_with_the_way_out() -> None:
    """Everything else is right, the code has expired: refresh it."""
    lane = Lane(policy=load_policy("case"))
    lane.face(NORMAL_SKIN_C, 0.6)
    lane.tap("04c0")
    lane.show("HC1:expired")
    assert lane.verdict.reasons == (Reason.CODE_EXPIRED,)
    assert lane.verdict.next_step is NextStep.REFRESH_CODE


def test_the_code_comes_after_the_refusal() -> None:
    """Card, no code in time, refused; the code shown during the refusal completes it as a following passage."""
    lane = Lane(policy=load_policy("case"))
    lane.tap("04c0")
    lane.face(NORMAL_SKIN_C, 20.2)
    assert lane.verdict.reasons == (Reason.CODE_MISSING,)
    first = lane.state.passage
    lane.show("HC1:green")
    lane.face(NORMAL_SKIN_C, 0.6)
    assert lane.verdict.admit
    assert lane.state.decided.person.follows == first


def test_the_next_persons_code_never_joins_the_card_of_somebody_refused_before() -> None:
    """A courier refused before the sensor saw him goes away; the next person's code starts a passage of its own."""
    lane = Lane(policy=load_policy("case"))
    lane.tap("04c0")
    lane.wait(20.2)
    assert lane.verdict.admit is False
    lane.face(NORMAL_SKIN_C, 0.6)
    lane.show("HC1:green")
    assert lane.state.person is not None
    assert lane.state.person.card is None
    assert lane.state.hint is Hint.TAP_CARD


def test_a_second_card_waits_for_the_next_person() -> None:
    """The neighbour's card does not join my passage; it begins the next one when mine is done."""
    lane = Lane(policy=load_policy("case"))
    lane.face(NORMAL_SKIN_C, 0.6)
    lane.tap("04c0")
    lane.tap("04a2")
    assert lane.state.hint is Hint.WAIT_FOR_YOUR_TURN
    lane.show("HC1:green")
    assert lane.state.decided.person.card == COURIER
    lane.nobody(3.2)
    assert lane.state.person.card.subject == "0011223344556677"


def test_a_card_held_in_the_field_is_one_passage() -> None:
    """The reader reports a held card five times a second: one verdict, one pulse."""
    lane = Lane(policy=load_policy("building_door"))
    for _ in range(100):
        lane.wait(0.2)
        lane.tap("04a1")
    assert len(lane.of(Pulse)) == 1
    assert len(lane.drafts(Kind.PASSAGE)) == 1


@given(gaps_s=st.lists(st.floats(min_value=0.05, max_value=0.95), min_size=1, max_size=12))
@settings(max_examples=50, deadline=None)
def test_tapping_again_after_an_admission_is_one_event(gaps_s: list[float]) -> None:
    """Whatever the rhythm of repeated taps within three seconds, one admission comes of it."""
    lane = Lane(policy=load_policy("building_door"))
    lane.tap("04a1")
    for gap_s in gaps_s:
        lane.wait(gap_s)
        if lane.s < 3.0:
            lane.tap("04a1")
    assert len(lane.of(Announce)) == 1


def test_the_same_card_later_is_a_new_passage() -> None:
    """Somebody who goes in, and comes again after the hold, is a new passage."""
    lane = Lane(policy=load_policy("building_door"))
    lane.tap("04a1")
    lane.wait(5.0)
    lane.tap("04a1")
    assert len(lane.of(Pulse)) == 2


def test_hints_are_no_verdicts() -> None:
    """A torn tap, a phone's random number and two cards in one wallet change the hint and nothing else."""
    lane = Lane()
    lane.send(TapTorn(at_ns=lane.ns))
    assert lane.state.hint is Hint.CARD_AGAIN
    lane.tap("08112233", random_uid=True)
    assert lane.state.hint is Hint.USE_REAL_CARD
    lane.tap("04a1", cards_in_field=2)
    assert lane.state.hint is Hint.ONE_CARD_ONLY
    assert lane.effects == []
    assert lane.state.phase is Phase.IDLE


def test_a_refusal_gives_way_to_the_next_tap() -> None:
    """A refusal is shown eight seconds, but the next person's tap need not wait for that."""
    lane = Lane(policy=load_policy("building_door"))
    lane.tap("04ff")
    assert lane.verdict.reasons == (Reason.CARD_UNKNOWN,)
    lane.wait(1.5)
    lane.tap("04a1")
    assert lane.verdict.admit


def test_holds_last_as_long_as_the_policy_says() -> None:
    """An admission is shown three seconds, a refusal eight."""
    for uid, hold_s in (("04a1", 3.0), ("04ff", 8.0)):
        lane = Lane(policy=load_policy("building_door"))
        lane.tap(uid)
        lane.wait(hold_s - 0.1)
        assert lane.state.phase is Phase.DECIDED
        lane.wait(0.2)
        assert lane.state.phase is Phase.IDLE


def test_nothing_is_shown_or_opened_before_the_commit() -> None:
    """Between verdict and the journal's answer there is neither a verdict on the screen nor a pulse."""
    lane = Lane(policy=load_policy("building_door"))
    lane._answer = lambda effect: [] if isinstance(effect, Commit) else Lane._answer(lane, effect)
    effects = lane.tap("04a1")
    assert [type(effect) for effect in effects] == [VerifyCard, Commit]
    assert lane_view(lane.setup, lane.state).verdict is None
    effects = lane.send(Committed(ref=lane.state.decided.ref, at_ns=lane.ns))
    assert [type(effect) for effect in effects] == [Pulse, Announce]
    assert lane.send(Committed(ref=lane.state.decided.ref, at_ns=lane.ns)) == []


def test_a_resident_gets_home_under_a_failed_journal() -> None:
    """residents_only: the resident is let in with an alarm, the courier is not."""
    lane = Lane(policy=load_policy("building_door"), journal_ok=False)
    lane.tap("04a1")
    assert len(lane.of(Pulse)) == 1
    assert [alarm.code for alarm in lane.of(RaiseAlarm)] == ["journal_failed"]
    lane = Lane(policy=load_policy("building_door"), journal_ok=False)
    lane.tap("04c0")
    assert lane.of(Pulse) == []
    assert lane.verdict.reasons == (Reason.JOURNAL_FAILED,)


def test_the_thermometer_is_unplugged_while_somebody_waits() -> None:
    """A courier is not admitted without a temperature; a resident gets home with a waiver that names the fault."""
    for uid, admitted in (("04c0", False), ("04a1", True)):
        policy = load_policy("case")
        lane = Lane(policy=policy)
        lane.show("HC1:green")
        lane.tap(uid)
        lane.unplug("thermo")
        assert lane.verdict.admit is admitted
        check = lane.verdict.checks[1]
        assert check.reason is Reason.THERMOMETER_FAULT
        assert check.state is (CheckState.WAIVED if admitted else CheckState.UNKNOWN)


def test_readings_return_after_replugging() -> None:
    """Replugged, the sensor begins with a fresh window."""
    lane = Lane(policy=load_policy("case"))
    lane.face(FEVER_SKIN_C, 1.0)
    lane.unplug("thermo")
    lane.wait(1.0)
    lane.plug("thermo")
    lane.tap("04a1")
    lane.face(NORMAL_SKIN_C, 0.6)
    assert lane.verdict.admit


def test_no_reader_at_all_is_a_fault_of_the_lane() -> None:
    """Card reader and camera gone: FAULT; one of them back: IDLE."""
    lane = Lane()
    lane.unplug("reader")
    assert lane.state.phase is Phase.IDLE
    lane.unplug("camera")
    assert lane.state.phase is Phase.FAULT
    lane.plug("camera")
    assert lane.state.phase is Phase.IDLE
    assert Lane(start_devices=False).state.phase is Phase.FAULT


def test_the_guard_saw_a_green_code() -> None:
    """No code in time; the guard attests one: a following passage admits, and the attestation is journaled."""
    lane = Lane(policy=load_policy("case"))
    lane.face(NORMAL_SKIN_C, 0.6)
    lane.tap("04c0")
    effects = lane.send(Attest(lane="in", guard="g1", code=AttestedCode.SEEN_GREEN))
    assert reply(effects).done
    assert lane.verdict.admit
    [draft] = lane.drafts(Kind.ATTESTATION)
    assert draft.payloads[PayloadClass.FACTS]["guard"] == "g1"
    assert draft.payloads[PayloadClass.HEALTH] == {"code": "seen_green", "trip_clear": None}


def test_no_phone_is_waived_in_the_guards_name() -> None:
    """An elder without a phone: the guard's word waives the code, and the check says whose word."""
    lane = Lane(policy=load_policy("case"))
    lane.face(NORMAL_SKIN_C, 0.6)
    lane.tap("04c0")
    lane.send(Attest(lane="in", guard="g1", code=AttestedCode.NO_PHONE))
    assert lane.verdict.admit
    assert lane.verdict.checks[2].by == "no_phone:guard:g1"


def test_attesting_nobody() -> None:
    """With nobody in the lane the guard's word is not taken."""
    lane = Lane()
    assert reply(lane.send(Attest(lane="in", guard="g1", code=AttestedCode.SEEN_GREEN))).message == "nobody_here"


def test_the_guard_lets_somebody_in_after_a_refusal() -> None:
    """Override: a verdict in the guard's name, its own record, one pulse; a second one does nothing."""
    lane = Lane(policy=load_policy("building_door"))
    lane.tap("04ff")
    refused = lane.state.passage
    override = Override(lane="in", passage=refused, guard="g1", admit=True, reason="known_to_guard")
    assert reply(lane.send(override)).done
    assert lane.verdict.reasons == (Reason.GUARD_ADMITTED,)
    assert all(check.by for check in lane.verdict.checks if check.state is CheckState.WAIVED)
    assert len(lane.of(Pulse)) == 1
    assert lane.drafts(Kind.OVERRIDE)[0].payloads[PayloadClass.FACTS]["guard"] == "g1"
    again = replace(override, passage=lane.state.passage)
    assert reply(lane.send(again)).message == "already_admitted"
    assert len(lane.of(Pulse)) == 1


def test_an_override_needs_a_reason_and_the_right_passage() -> None:
    """Without a reason, or for a passage that is over, nothing opens."""
    lane = Lane(policy=load_policy("building_door"))
    lane.tap("04ff")
    override = Override(lane="in", passage=lane.state.passage, guard="g1", admit=True, reason=" ")
    assert reply(lane.send(override)).message == "reason_missing"
    assert reply(lane.send(replace(override, passage="x", reason="r"))).message == "passage_over"
    lane.wait(61)
    assert reply(lane.send(replace(override, reason="r"))).message == "passage_over"
    assert lane.of(Pulse) == []


def test_an_override_is_not_open_before_it_is_written() -> None:
    """The guard's admission pulses after its own commit like any other."""
    lane = Lane(policy=load_policy("building_door"))
    lane.tap("04ff")
    lane._answer = lambda effect: []
    lane.send(Override(lane="in", passage=lane.state.passage, guard="g1", admit=True, reason="r"))
    assert lane.of(Pulse) == []


def test_borderline_twice_leads_to_the_contact_thermometer() -> None:
    """First borderline: wait and measure again; second: contact thermometer; its value decides."""
    lane = Lane(policy=load_policy("case"))
    lane.face(BORDERLINE_SKIN_C, 0.6)
    lane.tap("04a1")
    assert lane.verdict.next_step is NextStep.WAIT_AND_MEASURE_AGAIN
    assert reply(lane.send(MeasureAgain(lane="in", guard="g1"))).done
    assert lane.state.phase is Phase.MEASURING
    lane.face(BORDERLINE_SKIN_C, 0.8)
    assert lane.verdict.reasons == (Reason.TEMPERATURE_BORDERLINE,)
    assert lane.verdict.next_step is NextStep.CONTACT_THERMOMETER
    assert reply(lane.send(EnterTemperature(lane="in", guard="g1", object_centi_c=3670))).done
    assert lane.verdict.admit
    assert lane.state.decided.person.temperature.by_guard


def test_measuring_again_uses_new_readings_only() -> None:
    """The readings of the first shot do not count for the second."""
    lane = Lane(policy=load_policy("case"))
    lane.face(FEVER_SKIN_C, 1.0)
    lane.tap("04a1")
    lane.send(MeasureAgain(lane="in", guard="g1"))
    lane.face(NORMAL_SKIN_C, 0.3)
    assert lane.state.phase is Phase.MEASURING
    lane.face(NORMAL_SKIN_C, 0.5)
    assert lane.verdict.admit


def test_a_slip_of_the_keys_is_no_temperature() -> None:
    """3.67 degC or 367 degC are refused."""
    lane = Lane(policy=load_policy("case"))
    lane.tap("04a1")
    for centi_c in (367, 36700):
        effects = lane.send(EnterTemperature(lane="in", guard="g1", object_centi_c=centi_c))
        assert reply(effects).message == "temperature_out_of_range"
    assert lane.state.phase is Phase.MEASURING


def test_a_feverish_resident_does_not_spend_the_night_outside() -> None:
    """Nobody decides for five minutes: an alarm, then the next tap opens, and the referral stays open."""
    lane = Lane(policy=load_policy("case"))
    lane.face(FEVER_SKIN_C, 1.0)
    lane.tap("04a1")
    assert not lane.verdict.admit
    lane.wait(200)
    lane.face(FEVER_SKIN_C, 1.0)
    lane.tap("04a1")
    assert not lane.verdict.admit
    assert len(lane.of(OpenReferral)) == 1
    lane.wait(110)
    assert [alarm.code for alarm in lane.of(RaiseAlarm)] == ["stranded"]
    lane.face(FEVER_SKIN_C, 1.0)
    lane.tap("04a1")
    assert lane.verdict.admit
    assert lane.verdict.checks[1].by == "home_after_waiting"
    assert lane.verdict.checks[1].reason is Reason.TEMPERATURE_RAISED
    assert lane.of(CloseReferral) == []


def test_waiting_is_forgotten_after_half_an_hour() -> None:
    """A refusal in the morning does not open the gate in the afternoon."""
    lane = Lane(policy=load_policy("case"))
    lane.face(FEVER_SKIN_C, 1.0)
    lane.tap("04a1")
    lane.wait(1900)
    lane.face(FEVER_SKIN_C, 1.0)
    lane.tap("04a1")
    assert not lane.verdict.admit


def test_a_guards_measurement_closes_the_referral() -> None:
    """The contact thermometer says normal: in, and the case is closed."""
    lane = Lane(policy=load_policy("case"))
    lane.face(FEVER_SKIN_C, 1.0)
    lane.tap("04a1")
    lane.send(EnterTemperature(lane="in", guard="g1", object_centi_c=3660))
    assert lane.verdict.admit
    assert len(lane.of(CloseReferral)) == 1
    lane.wait(400)
    assert [alarm.code for alarm in lane.of(RaiseAlarm)] == []


def test_acknowledging_a_refusal() -> None:
    """A refusal stays unacknowledged on the console until the guard deals with it, beyond the screen's hold."""
    lane = Lane()
    lane.face(FEVER_SKIN_C, 1.0)
    lane.tap("04a1")
    passage = lane.state.passage
    lane.nobody(9.0)
    assert lane.state.phase is Phase.IDLE
    assert lane_view(lane.setup, lane.state).acknowledged is False
    assert reply(lane.send(Acknowledge(lane="in", passage=passage, guard="g1"))).done
    assert lane_view(lane.setup, lane.state).acknowledged
    assert lane.of(CloseReferral)[0].how == "guard:g1"


def test_going_through_closes_the_passage() -> None:
    """The beam says yes; without it the time says no; without contacts nothing is said."""
    lane = Lane(policy=load_policy("building_door"), passage_contact=True)
    lane.tap("04a1")
    lane.wait(2.0)
    lane.contact(InputName.PASSAGE_BEAM, True)
    assert [closed.passed for closed in lane.of(PassageClosed)] == [Passed.YES]
    lane.wait(5.0)
    lane.tap("04a2")
    lane.wait(11.0)
    assert [closed.passed for closed in lane.of(PassageClosed)] == [Passed.YES, Passed.NO]
    lane = Lane(policy=load_policy("building_door"))
    lane.tap("04a1")
    lane.wait(20.0)
    assert lane.of(PassageClosed) == []


def test_two_admissions_before_the_beam() -> None:
    """If the next one is admitted before the beam told of the first, the first is unknown."""
    lane = Lane(policy=load_policy("building_door"), passage_contact=True)
    lane.tap("04a1")
    lane.wait(1.0)
    lane.tap("04a2")
    lane.contact(InputName.PASSAGE_BEAM, True)
    assert [closed.passed for closed in lane.of(PassageClosed)] == [Passed.UNKNOWN, Passed.YES]


def test_a_forced_door_raises_an_alarm() -> None:
    """The door opens with no admission and no exit button: alarm; after the button: none."""
    lane = Lane(policy=load_policy("building_door"), passage_contact=True)
    lane.contact(InputName.DOOR_CONTACT, True)
    assert [alarm.code for alarm in lane.of(RaiseAlarm)] == ["door_forced"]
    lane.contact(InputName.EXIT_BUTTON, True)
    lane.wait(2.0)
    lane.contact(InputName.DOOR_CONTACT, True)
    assert len(lane.of(RaiseAlarm)) == 1


def test_emergency_opens_in_every_phase_and_without_a_guard() -> None:
    """Open first, write afterwards; close again; also when nothing works."""
    for lane in (Lane(), Lane(start_devices=False), Lane(journal_ok=False)):
        effects = lane.send(Emergency(lane="in", open=True, why="smoke"))
        assert effects[0] == HoldOpen(on=True)
        assert lane.state.emergency_since_us is not None
        effects = lane.send(Emergency(lane="in", open=False))
        assert effects[0] == HoldOpen(on=False)
        assert lane.state.emergency_since_us is None
        assert len(lane.drafts(Kind.EMERGENCY)) == 2


def test_leaving_is_never_held() -> None:
    """OUT: unknown, revoked and feverish people go out; what failed is noted as waived."""
    for uid in ("04ff", "04ee", "04a1"):
        lane = Lane(policy=load_policy("spread"), direction=Direction.OUT)
        lane.tap(uid)
        assert lane.verdict.admit
        assert lane.verdict.next_step is NextStep.GO_OUT
        refuse = Override(lane="in", passage=lane.state.passage, guard="g1", admit=False, reason="r")
        assert reply(lane.send(refuse)).message == "out_never_holds"


def test_leaving_under_observation_is_reported_at_once() -> None:
    """A resident under observation goes out unhindered, and an alarm record tells of it."""
    lane = Lane(policy=load_policy("case"), direction=Direction.OUT)
    observed = replace(RESIDENT, category="resident_under_observation")
    lane._answer = lambda effect: (
        Lane._answer(lane, effect)
        if not isinstance(effect, VerifyCard)
        else [replace(Lane._answer(lane, effect)[0], finding=observed)]
    )
    lane.tap("04a1")
    assert len(lane.of(Pulse)) == 1
    assert [alarm.code for alarm in lane.of(RaiseAlarm)] == ["left_under_observation"]


def test_a_visitor_is_registered_and_goes_in() -> None:
    """The guard registers the visitor standing at the gate: that is their pass."""
    lane = Lane(policy=load_policy("building_door"))
    visitor = replace(RESIDENT, subject="f" * 16, category="visitor")
    effects = lane.send(VisitorRegistered(finding=visitor, guard="g1", at_ns=lane.ns))
    assert reply(effects).done
    assert lane.verdict.admit
    assert lane.verdict.category == "visitor"


def test_a_measurement_serves_for_its_time() -> None:
    """valid_for_min: the second passage within the time needs no face; after it, it does."""
    policy = load_policy("case")
    policy = policy.model_copy(update={"temperature": policy.temperature.model_copy(update={"valid_for_min": 10})})
    lane = Lane(policy=policy)
    lane.face(NORMAL_SKIN_C, 0.6)
    lane.tap("04a1")
    lane.wait(120)
    lane.tap("04a1")
    assert lane.verdict.admit
    assert len(lane.of(Pulse)) == 2
    lane.wait(600)
    lane.tap("04a1")
    assert lane.state.phase is Phase.MEASURING


def test_presence_contact_instead_of_the_sensors_eye() -> None:
    """With a presence contact a warm wall is nobody, and leaving the mat ends the window."""
    lane = Lane(policy=load_policy("case"), presence_contact=True)
    lane.face(NORMAL_SKIN_C, 1.0)
    assert not lane.state.watch.present
    lane.contact(InputName.PRESENCE, True)
    lane.tap("04a1")
    lane.face(NORMAL_SKIN_C, 0.6)
    assert lane.verdict.admit


def test_pictures_in_a_folder_are_each_decided() -> None:
    """code_check: picture after picture, each a passage at once, no hold to wait for."""
    lane = Lane(policy=load_policy("code_check"), devices={"camera": "camera"}, sensor=None)
    for text, admitted in (("HC1:green", True), ("HC1:expired", False), ("HC1:green", True)):
        lane.show(text)
        assert lane.verdict.admit is admitted
        lane.send(CredentialGone(at_ns=lane.ns))
        lane.wait(3.1)
    assert len(lane.drafts(Kind.PASSAGE)) == 3


def test_a_revoked_card_is_decided_at_once_and_privately() -> None:
    """No measuring, no code: the pass settles it, and the subject is on record."""
    lane = Lane(policy=load_policy("case"))
    lane.tap("04ee")
    assert lane.verdict.reasons[0] is Reason.CARD_REVOKED
    assert lane.verdict.next_step is NextStep.SEE_GUARD
    lane.wait(400)
    lane.tap("04ee")
    assert not lane.verdict.admit


def test_the_record_of_a_normal_passage_holds_a_band_only() -> None:
    """No temperature value, no reading, no text; the person stands in a payload of its own."""
    lane = Lane()
    lane.face(NORMAL_SKIN_C, 1.0)
    lane.tap("04a1")
    payloads = lane.drafts(Kind.PASSAGE)[0].payloads
    assert payloads[PayloadClass.HEALTH]["temperature"] == {
        "outcome": "normal", "why_not": "", "rule": "test-1/uncalibrated", "by_guard": False,
        "band_centi_c": [3500, 3750],
    }  # fmt: skip
    assert payloads[PayloadClass.PERSON] == {"subject": RESIDENT.subject}
    assert RESIDENT.subject not in str(payloads[PayloadClass.FACTS])


def test_the_record_of_a_raised_one_can_be_computed_again() -> None:
    """Readings, coefficients and limits are all there, as integers."""
    lane = Lane()
    lane.face(FEVER_SKIN_C, 1.0)
    lane.tap("04a1")
    for draft in lane.drafts(Kind.PASSAGE):
        for body in draft.payloads.values():
            canonical(body)
    health = lane.drafts(Kind.PASSAGE)[0].payloads[PayloadClass.HEALTH]["temperature"]
    assert health["outcome"] == str(TemperatureOutcome.RAISED)
    assert len(health["window"]) == 10
    assert health["sensor"]["a_micro_c"] == 5_640_000


EVENTS = st.sampled_from(
    ["tap 04a1", "tap 04a2", "tap 04c0", "tap 04ff", "tap 04ee", "show HC1:green", "show HC1:expired", "face 34.2",
     "face 35.1", "face 36.0", "nobody", "wait", "long", "unplug thermo", "plug thermo", "unplug reader",
     "plug reader", "unplug camera", "plug camera", "attest", "override", "again", "enter", "emergency", "beam",
     "journal", "torn"]
)  # fmt: skip


def act(lane: Lane, what: str) -> None:
    word, _, rest = what.partition(" ")
    match word:
        case "tap":
            lane.tap(rest)
        case "show":
            lane.show(rest)
        case "face":
            lane.face(float(rest), 0.7)
        case "nobody":
            lane.nobody(0.3)
        case "wait":
            lane.wait(1.3)
        case "long":
            lane.wait(31.0)
        case "unplug":
            lane.unplug(rest)
        case "plug":
            lane.plug(rest)
        case "attest":
            lane.send(Attest(lane="in", guard="g", code=AttestedCode.SEEN_GREEN, trip_clear=True))
        case "override":
            lane.send(Override(lane="in", passage=lane.state.passage, guard="g", admit=True, reason="r"))
        case "again":
            lane.send(MeasureAgain(lane="in", guard="g"))
        case "enter":
            lane.send(EnterTemperature(lane="in", guard="g", object_centi_c=3660))
        case "emergency":
            lane.send(Emergency(lane="in", open=True))
        case "beam":
            lane.contact(InputName.PASSAGE_BEAM, True)
        case "journal":
            lane.journal_ok = not lane.journal_ok
        case "torn":
            lane.send(TapTorn(at_ns=lane.ns))


@given(day=st.lists(EVENTS, max_size=25), name=st.sampled_from(["building_door", "clear", "case", "spread"]))
@settings(max_examples=150, deadline=None)
def test_any_day_keeps_the_rules(day: list[str], name: str) -> None:
    """In any order of events: only table transitions, a pulse only after an admitting verdict was answered."""
    lane = Lane(policy=load_policy(name), passage_contact=True)
    for what in day:
        act(lane, what)
    waiting, opened = {}, []
    for effect in lane.effects:
        if isinstance(effect, Commit):
            waiting[effect.draft.ref] = effect.draft.payloads[PayloadClass.FACTS]["admit"]
        if isinstance(effect, Pulse):
            assert waiting.get(effect.passage) is True
            opened.append(effect.passage)
    assert len(opened) == len(set(opened))
    refs = [draft.ref for draft in lane.drafts(Kind.PASSAGE)]
    assert len(refs) == len(set(refs))
    assert {announced.passage for announced in lane.of(Announce) if announced.verdict.admit} == set(opened)


def test_every_event_has_a_rule_in_every_phase() -> None:
    """The table is complete: no event in any phase is a programming error."""
    events = Event.__args__
    assert {(phase, event) for phase in Phase for event in events} == set(TABLE)


def test_a_wrong_ref_is_not_an_answer() -> None:
    """An answer to another commit opens nothing."""
    lane = Lane(policy=load_policy("building_door"))
    lane._answer = lambda effect: [] if isinstance(effect, Commit) else Lane._answer(lane, effect)
    lane.tap("04a1")
    assert lane.send(Committed(ref="other", at_ns=lane.ns)) == []
    assert lane.send(CommitFailed(ref="other", at_ns=lane.ns)) == []


def test_the_diagram_is_current() -> None:
    """docs/passage-states.md is drawn from the table of today."""
    page = (ROOT / "docs" / "passage-states.md").read_text(encoding="utf-8")
    assert page == diagram(), "run: python -m kiosk.passage_diagram docs/passage-states.md"


def test_a_face_that_comes_late_and_does_not_settle_makes_no_lane_spin() -> None:
    """Bound just before the wait for a face ends: from there the window's time counts, and no wake lies in the past."""
    lane = Lane(policy=load_policy("case"))
    lane.tap("04a1")
    lane.nobody(5.8)
    for index in range(15):
        lane.reading(NORMAL_SKIN_C + (index % 2) * 0.4)
        assert lane.state.wake_at_ns is not None
        assert lane.state.wake_at_ns > lane.ns
        lane.wait(0.1)
    assert lane.state.phase is Phase.MEASURING


@pytest.mark.parametrize("hung", [True, False], ids=["hung", "silent"])
def test_who_waits_for_a_blind_sensor_is_not_measured_by_the_next_face(hung: bool) -> None:
    """The sensor hangs or is silent while somebody waits: the next face may not be theirs."""
    lane = Lane(policy=load_policy("case"))
    lane.nobody(0.5)
    lane.tap("04a1")
    for _ in range(8):
        lane.wait(0.1)
        if hung:
            lane.reading(24.5)
    lane.face(NORMAL_SKIN_C, 1.0)
    found = lane.state.decided.person.temperature
    assert found.why_not is (NotMeasured.STUCK if hung else NotMeasured.NO_READING)
    assert bool(lane.of(Pulse)) is hung, "a sensor out of order keeps no resident out"


def test_who_was_too_cold_to_be_seen_is_not_measured_by_the_next_face() -> None:
    """28.3 degC before a room of 24.5: no presence, but somebody who came and left; the next face opens nothing."""
    lane = Lane(policy=load_policy("case"))
    lane.nobody(0.5)
    lane.tap("04a1")
    lane.face(28.3, 1.0)
    lane.nobody(0.3)
    lane.face(NORMAL_SKIN_C, 1.0)
    assert lane.state.decided.person.temperature.why_not is NotMeasured.TOO_FAR
    assert lane.of(Pulse) == []


def test_who_stood_there_when_the_sensor_came_back_is_not_measured_by_the_next_face() -> None:
    """Found in a simulated day: taken for the room (33.9 before a chip of 31), tapped, left; the next stepped up."""
    lane = Lane(policy=load_policy("case"))
    lane.unplug("thermo")
    lane.plug("thermo")
    for _ in range(5):
        lane.reading(33.9, ambient_c=31.0)
        lane.wait(0.1)
    lane.tap("04a1")
    for object_c in (33.9, 31.2, 28.5, 25.6, 23.0, 23.0, 25.8, 28.7, 31.6, *[34.4] * 12):
        lane.wait(0.1)
        lane.reading(object_c, ambient_c=31.0)
    assert lane.state.decided.person.temperature.why_not is NotMeasured.TOO_FAR
    assert lane.of(Pulse) == []


def test_step_is_pure() -> None:
    """The same state, event and time give the same transition, and the old state is untouched."""
    lane = Lane()
    before = initial(lane.setup)
    first = step(lane.setup, before, TimePassed(at_ns=lane.ns), lane.now)
    assert first == step(lane.setup, before, TimePassed(at_ns=lane.ns), lane.now)
    assert before == initial(lane.setup)


PURE = sorted(path for path in (ROOT / "kiosk").glob("passage*.py") if path.name != "passage_diagram.py")


@pytest.mark.parametrize("path", [*PURE, ROOT / "kiosk" / "screening.py"], ids=lambda path: path.stem)
def test_the_cores_ask_no_clock(path: Path) -> None:
    """Time is an argument: the pure cores import neither time nor datetime, and open nothing."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    named = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    named |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert not named & {"time", "datetime", "os", "pathlib", "threading", "random"}


def test_a_tap_after_the_hold_is_over_but_within_the_time_is_nothing() -> None:
    """same_card_s longer than the hold: back at IDLE the card just admitted still opens nothing again."""
    policy = load_policy("building_door")
    policy = policy.model_copy(update={"holds": policy.holds.model_copy(update={"same_card_s": 6.0})})
    lane = Lane(policy=policy)
    lane.tap("04a1")
    lane.wait(4.0)
    assert lane.state.phase is Phase.IDLE
    lane.tap("04a1")
    assert len(lane.of(Pulse)) == 1
    lane.wait(3.0)
    lane.tap("04a1")
    assert len(lane.of(Pulse)) == 2


def test_a_drifting_sensor_stops_deciding() -> None:
    """A hundred people at 36.8, then a hundred at 37.4 on average: warned, stopped, and from then on not measured."""
    lane = Lane(policy=load_policy("clear"))
    for number in range(230):
        lane.nobody(0.3)
        lane.face(NORMAL_SKIN_C + (0.0 if number < 100 else 0.6), 0.6)
        lane.tap("04a1" if number % 2 else "04a2")
        lane.wait(4.0)
    codes = [alarm.code for alarm in lane.of(RaiseAlarm)]
    assert codes == ["thermometer_drift_stop"]
    assert lane.state.decided.person.temperature.why_not is NotMeasured.DRIFT
    assert lane.verdict.checks[1].by == "temperature_unavailable"


@given(data=st.data())
@settings(max_examples=12, deadline=None)
def test_a_morning_of_different_people(data: st.DataObject) -> None:
    """Everybody has skin of their own, devices fail and return: no estimate rests on anybody else's readings."""
    lane = Lane(policy=load_policy("case"))
    for number in range(25):
        skin_c = round(32.5 + (number * 7 % 25) * 0.15, 2)
        lane.nobody(0.3)
        if data.draw(st.integers(0, 9)) == 0:
            lane.unplug("thermo")
            lane.wait(data.draw(st.sampled_from([0.2, 1.0, 3.0])))
            lane.plug("thermo")
        first = data.draw(st.sampled_from(["face", "card"]))
        if first == "card":
            lane.tap("04a1" if number % 2 else "04a2")
        lane.face(skin_c, data.draw(st.sampled_from([0.2, 0.5, 0.8, 1.5])))
        if first == "face":
            lane.tap("04a1" if number % 2 else "04a2")
        lane.face(skin_c, 0.4)
        found = lane.state.decided.person.temperature if lane.state.decided is not None else None
        fresh = lane.state.decided is not None and lane.state.decided.decided_ns > lane.ns - 3_000_000_000
        if fresh and found is not None and found.count:
            assert abs(found.object_c - skin_c) < 0.1
        lane.nobody(1.0)
        lane.wait(8.5)


def test_the_air_of_this_minute_counts() -> None:
    """The shaded sensor says 30 degC: the same skin means less; two minutes later its word is too old."""
    lane = Lane(policy=load_policy("case"))
    lane.send(AirReading(air_c=30.0, humidity_percent=None, at_ns=lane.ns))
    lane.face(BORDERLINE_SKIN_C, 1.0)
    lane.tap("04a1")
    assert lane.verdict.admit
    lane.nobody(130.0)
    lane.face(BORDERLINE_SKIN_C, 1.0)
    lane.tap("04a1")
    assert lane.verdict.reasons == (Reason.TEMPERATURE_BORDERLINE,)


def test_air_out_of_range_is_not_measured() -> None:
    """Ten degrees at the gate: no automatic temperature."""
    lane = Lane(policy=load_policy("case"))
    lane.send(AirReading(air_c=10.0, humidity_percent=None, at_ns=lane.ns))
    lane.face(NORMAL_SKIN_C, 1.0)
    lane.tap("04c0")
    lane.show("HC1:green")
    assert lane.state.decided.person.temperature.why_not is NotMeasured.SURROUNDINGS


def test_every_record_of_a_lane_is_in_the_formats() -> None:
    """The keys of whatever a lane writes, and its alarms' codes, stand in docs/formats.md."""
    page = (ROOT / "docs" / "formats.md").read_text(encoding="utf-8")
    lane = Lane(policy=load_policy("case"), passage_contact=True)
    for what in ("door", "tap 04c0", "attest", "face 36.0", "again", "unplug thermo", "override", "beam", "emergency"):
        if what == "door":
            lane.contact(InputName.DOOR_CONTACT, True)
            lane.contact(InputName.TAMPER, True)
        else:
            act(lane, what)
    lane.journal_ok = False
    act(lane, "tap 04ff")
    drafts = [effect.draft for effect in lane.effects if hasattr(effect, "draft")]
    assert len({draft.kind for draft in drafts}) >= 6
    for draft in drafts:
        for body in draft.payloads.values():
            for key in body:
                assert f"`{key}`" in page, (draft.kind, key)
        if draft.kind is Kind.ALARM:
            assert f"`{draft.payloads[PayloadClass.FACTS]['code']}`" in page


def test_a_hint_stands_long_enough_to_be_read() -> None:
    """Ten readings a second do not wipe "one card only" away; after three seconds the screen asks anew."""
    lane = Lane(policy=load_policy("case"))
    lane.nobody(0.5)
    lane.tap("04a1", cards_in_field=2)
    lane.nobody(2.0)
    assert lane.state.hint is Hint.ONE_CARD_ONLY
    lane.wait(1.1)
    assert lane.state.hint is Hint.TAP_OR_SHOW
    lane.tap("04c0")
    lane.send(TapTorn(at_ns=lane.ns))
    lane.face(NORMAL_SKIN_C, 1.0)
    assert lane.state.hint is Hint.CARD_AGAIN
    lane.face(NORMAL_SKIN_C, 2.5)
    assert lane.state.hint is Hint.SHOW_CODE


def test_a_good_tap_wipes_the_hint_away() -> None:
    """Two cards, then one: the screen goes on at once."""
    lane = Lane(policy=load_policy("case"))
    lane.tap("04a1", cards_in_field=2)
    lane.wait(0.5)
    lane.tap("04a1")
    assert lane.state.hint is Hint.LOOK_AT_SENSOR


def test_a_verification_that_never_answers() -> None:
    """The wait ends with its time, as missing evidence; the lane neither hangs nor spins."""
    lane = Lane(policy=load_policy("case"))
    lane._answer = lambda effect: [] if isinstance(effect, VerifyCard) else Lane._answer(lane, effect)
    lane.tap("04a1")
    lane.wait(20.1)
    assert lane.verdict.reasons[0] is Reason.PASS_MISSING


def test_a_second_verification_that_never_answers_while_measuring() -> None:
    """A code nobody needed is shown while measuring and its verifier dies: decided when its time is over."""
    lane = Lane(policy=load_policy("case"))
    lane.tap("04a1")
    lane._answer = lambda effect: [] if isinstance(effect, VerifyCode) else Lane._answer(lane, effect)
    lane.show("HC1:green")
    lane.wait(20.5)
    assert lane.verdict is not None
    assert lane.verdict.reasons[0] is Reason.TEMPERATURE_NOT_MEASURED
