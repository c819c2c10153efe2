"""The guard's word (``kiosk/passage_guard.py``): of whom it speaks, what it needs, what it leaves alone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from config.policy import load_policy
from kiosk import screening
from kiosk.board import (
    Acknowledge,
    Attest,
    CommandResult,
    Emergency,
    EnterTemperature,
    MeasureAgain,
    Override,
    Phase,
)
from kiosk.evidence import Attestation, AttestedCode
from kiosk.passage_bench import Bench
from kiosk.passage_events import Commit, HoldOpen, RaiseAlarm, Remember, Reply, VisitorRegistered
from kiosk.passage_guard import (
    acknowledge,
    attest,
    emergency,
    enter_temperature,
    measure_again,
    override,
    visitor_registered,
)
from kiosk.passage_state import Kept, LaneState, Warming
from kiosk.reasons import Direction
from kiosk.records import Kind, PayloadClass
from tests.lane import COURIER, GREEN, NORMAL_SKIN_C, RESIDENT, Lane, bench_of, somebody

NS = 1_000_000_000


def refused() -> Lane:
    """After a courier's refusal: no code."""
    lane = Lane(policy=load_policy("case"))
    lane.face(NORMAL_SKIN_C, 1.0)
    lane.tap("04c0")
    lane.wait(20.1)
    assert lane.verdict is not None
    assert not lane.verdict.admit
    return lane


def answer(bench: Bench) -> CommandResult:
    (result,) = [effect.result for effect in bench.effects if isinstance(effect, Reply)]
    return result


def kinds(bench: Bench) -> list[Kind]:
    return [effect.draft.kind for effect in bench.effects if isinstance(effect, Remember | Commit)]


def an_override(lane: Lane, **changes: object) -> Override:
    words = Override(
        lane="in",
        guard="wang",
        passage=lane.state.passage,
        admit=True,
        reason="known_person",
        note="",
    )
    return replace(words, **changes)


def test_the_guard_speaks_of_who_was_refused_for_a_minute() -> None:
    """``attestation_s``: after it the person has gone, and the word would be somebody else's."""
    lane = refused()
    said = Attest(lane="in", guard="wang", code=AttestedCode.SEEN_GREEN, trip_clear=True)
    for after_s, done in ((59.9, True), (60.0, False)):
        bench = bench_of(lane)
        bench.now = replace(lane.now, mono_ns=lane.state.decided.decided_ns + int(after_s * NS))
        attest(bench, said)
        assert answer(bench).done is done, after_s


def test_what_was_said_before_and_not_again_still_holds() -> None:
    """First the code, then the trip: both stand, in the last speaker's name."""
    lane = Lane(policy=load_policy("spread"))
    before = Attestation(guard="wang", code=AttestedCode.SEEN_GREEN, at_us=1)
    bench = bench_of(lane, person=somebody(lane, card=RESIDENT, attestation=before), phase=Phase.IDENTIFYING)
    attest(bench, Attest(lane="in", guard="li", code=None, trip_clear=True))
    person = bench.state.person or bench.state.decided.person
    assert person.attestation == Attestation(
        guard="li", code=AttestedCode.SEEN_GREEN, trip_clear=True, at_us=bench.now.at_us
    )


def test_the_guard_speaks_of_nobody_who_is_in_or_whose_verdict_is_on_its_way() -> None:
    """An admission is over; a refusal stands only once it is written."""
    lane = Lane()
    lane.face(NORMAL_SKIN_C, 1.0)
    lane.tap("04a1")
    admitted = bench_of(lane)
    lane = refused()
    unwritten = bench_of(lane, decided=replace(lane.state.decided, committed=False))
    for bench in (admitted, unwritten):
        attest(bench, Attest(lane="in", guard="wang", code=AttestedCode.SEEN_GREEN, trip_clear=None))
        assert (answer(bench).done, answer(bench).message) == (False, "nobody_here")
        assert kinds(bench) == []


def test_who_was_refused_and_is_spoken_of_stands_there_anew() -> None:
    """A passage of its own that follows the refused one, with its own time; nothing is measured yet."""
    lane = refused()
    refused_one = lane.state.decided.person
    lane.s += 30
    bench = bench_of(lane)
    attest(bench, Attest(lane="in", guard="wang", code=None, trip_clear=True))
    again = bench.person()
    assert again.follows == refused_one.passage != again.passage
    assert (again.began_ns, again.deadline_ns) == (lane.ns, lane.ns + 20 * NS)
    assert (again.measuring_since_ns, again.measure_by_ns) == (None, None)
    assert (again.card, bench.state.phase) == (COURIER, Phase.IDENTIFYING)


def test_what_is_said_again_takes_the_place_of_what_was_said() -> None:
    """The guard looked twice; and the first word of all may be of the trip alone."""
    lane = Lane(policy=load_policy("spread"))
    before = Attestation(guard="wang", code=AttestedCode.SEEN_GREEN, trip_clear=True, at_us=1)
    said = Attest(lane="in", guard="li", code=AttestedCode.NOT_GREEN, trip_clear=False)
    for known in (before, None):
        bench = bench_of(lane, person=somebody(lane, attestation=known), phase=Phase.IDENTIFYING)
        attest(bench, said)
        assert (bench.person().attestation.code, bench.person().attestation.trip_clear) == (
            AttestedCode.NOT_GREEN,
            False,
        )
    bench = bench_of(lane, person=somebody(lane), phase=Phase.IDENTIFYING)
    attest(bench, replace(said, code=None))
    assert (bench.person().attestation.code, bench.person().attestation.trip_clear) == (None, False)


@pytest.mark.parametrize(
    ("code", "trip_clear", "what", "seen"),
    [
        (AttestedCode.SEEN_GREEN, None, "code", {"code": "seen_green", "trip_clear": None}),
        (None, False, "trip", {"code": "", "trip_clear": False}),
        (AttestedCode.NO_PHONE, True, "code+trip", {"code": "no_phone", "trip_clear": True}),
    ],
)
def test_an_attestation_is_a_record_of_what_was_looked_at(
    code: AttestedCode | None, trip_clear: bool | None, what: str, seen: dict[str, object]
) -> None:
    """That something was seen is a fact; what was seen is of the person's health."""
    lane = Lane(policy=load_policy("spread"))
    bench = bench_of(lane, person=somebody(lane), phase=Phase.IDENTIFYING)
    attest(bench, Attest(lane="in", guard="wang", code=code, trip_clear=trip_clear))
    (draft,) = [effect.draft for effect in bench.effects if isinstance(effect, Remember)]
    assert draft.kind is Kind.ATTESTATION
    assert draft.payloads == {
        PayloadClass.FACTS: {"passage": "in-5f0c1d2e-1", "guard": "wang", "what": what},
        PayloadClass.HEALTH: seen,
    }


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"reason": "  "}, "reason_missing"),
        ({"passage": "in-0"}, "passage_over"),
        ({"passage": ""}, "passage_over"),
    ],
)
def test_an_override_names_its_reason_and_its_passage(changes: dict[str, object], message: str) -> None:
    """Otherwise nothing is written and nothing opens."""
    lane = refused()
    bench = bench_of(lane)
    override(bench, an_override(lane, **changes))
    assert (answer(bench).done, answer(bench).message) == (False, message)
    assert kinds(bench) == []


def test_an_override_is_a_verdict_and_a_record_of_its_own() -> None:
    """Both name the new passage, which follows the refused one."""
    lane = refused()
    bench = bench_of(lane)
    override(bench, an_override(lane))
    assert answer(bench).done
    assert kinds(bench) == [Kind.PASSAGE, Kind.OVERRIDE]
    decided = bench.state.decided
    assert (decided.verdict.admit, decided.by_guard) == (True, "wang")
    assert decided.person.follows == lane.state.passage != decided.person.passage


def test_an_override_of_the_running_passage_keeps_its_name() -> None:
    """Nobody was refused, so nothing is followed; the guard's note is a person's payload."""
    lane = Lane()
    bench = bench_of(lane, person=somebody(lane, card=COURIER), phase=Phase.IDENTIFYING)
    override(bench, an_override(lane, passage="in-5f0c1d2e-1", admit=False, note="loud"))
    assert (answer(bench).done, answer(bench).passage) == (True, "in-5f0c1d2e-1")
    assert (bench.state.decided.verdict.admit, bench.state.decided.person.follows) == (False, "")
    (draft,) = [effect.draft for effect in bench.effects if isinstance(effect, Remember)]
    assert draft.payloads[PayloadClass.PERSON] == {"note": "loud"}


def test_a_refusal_of_more_than_a_minute_ago_is_overruled_by_nobody() -> None:
    """Whoever it was has gone; the console is told so."""
    lane = refused()
    lane.s += 60
    bench = bench_of(lane)
    override(bench, an_override(lane))
    assert (answer(bench).done, answer(bench).message) == (False, "passage_over")
    assert kinds(bench) == []


def test_nobody_is_let_in_twice_nor_kept_in() -> None:
    """After an admission there is nothing to decide; OUT never holds."""
    lane = Lane()
    lane.face(NORMAL_SKIN_C, 1.0)
    lane.tap("04a1")
    bench = bench_of(lane)
    override(bench, an_override(lane))
    assert (answer(bench).done, answer(bench).message) == (False, "already_admitted")
    leaving = Lane(direction=Direction.OUT)
    bench = bench_of(leaving, person=somebody(leaving))
    override(bench, an_override(leaving, admit=False, passage="in-5f0c1d2e-1"))
    assert (answer(bench).done, answer(bench).message) == (False, "out_never_holds")


def test_measuring_again_forgets_every_reading_so_far() -> None:
    """Also the presence they belonged to: the next window begins now."""
    lane = Lane(policy=load_policy("case"))
    fever = screening.by_contact_thermometer(38.6)
    person = somebody(lane, card=RESIDENT, temperature=fever, presence=1, measuring_since_ns=1, measure_by_ns=2)
    bench = bench_of(lane, person=person, phase=Phase.MEASURING)
    measure_again(bench, MeasureAgain(lane="in", guard="wang"))
    again = bench.person()
    assert (again.temperature, again.window, again.presence, again.fresh_from_ns) == (None, (), None, lane.ns)
    assert again.follows == person.passage


def test_measured_again_and_again_is_still_the_first_ones_passage() -> None:
    """What it follows stays what it followed."""
    lane = Lane(policy=load_policy("case"))
    bench = bench_of(lane, person=somebody(lane, card=RESIDENT, follows="in-0"), phase=Phase.MEASURING)
    measure_again(bench, MeasureAgain(lane="in", guard="wang"))
    assert bench.person().follows == "in-0"


@pytest.mark.parametrize(("sensor", "message"), [(True, "nobody_here"), (False, "no_thermometer")])
def test_measuring_again_needs_somebody_and_something(sensor: bool, message: str) -> None:
    """And says which of them is not there."""
    lane = Lane() if sensor else Lane(sensor=None)
    bench = bench_of(lane, person=None if sensor else somebody(lane))
    measure_again(bench, MeasureAgain(lane="in", guard="wang"))
    assert (answer(bench).done, answer(bench).message) == (False, message)


@pytest.mark.parametrize(
    ("centi_c", "taken"), [(3399, False), (3400, True), (3660, True), (4300, True), (4301, False), (366, False)]
)
def test_a_contact_thermometer_reads_what_a_living_person_has(centi_c: int, taken: bool) -> None:
    """34 to 43 degC; a slip of the keys is no temperature."""
    lane = Lane(policy=load_policy("case"))
    bench = bench_of(lane, person=somebody(lane, card=RESIDENT), phase=Phase.MEASURING)
    enter_temperature(bench, EnterTemperature(lane="in", guard="wang", object_centi_c=centi_c, passage=""))
    assert answer(bench).done is taken
    assert answer(bench).message == ("" if taken else "temperature_out_of_range")


def test_a_value_for_a_passage_that_is_over_is_nobodys() -> None:
    """The form stood open while the next person came."""
    lane = Lane(policy=load_policy("case"))
    bench = bench_of(lane, person=somebody(lane, card=RESIDENT), phase=Phase.MEASURING)
    enter_temperature(bench, EnterTemperature(lane="in", guard="wang", object_centi_c=3660, passage="in-0"))
    assert (answer(bench).done, answer(bench).message) == (False, "passage_over")
    assert bench.person().temperature is None


def test_a_value_of_the_guards_is_one_more_shot_and_no_window() -> None:
    """It decides at once, in place of whatever the sensor had read."""
    lane = Lane(policy=load_policy("case"))
    person = somebody(lane, card=replace(RESIDENT, category="staff"), code=GREEN, shots=1, window=("read",))
    bench = bench_of(lane, person=person, phase=Phase.MEASURING)
    enter_temperature(bench, EnterTemperature(lane="in", guard="wang", object_centi_c=3680, passage=person.passage))
    decided = bench.state.decided
    assert decided.verdict.admit
    assert (decided.person.shots, decided.person.window, decided.person.temperature.by_guard) == (2, (), True)


def waits_inside(lane: Lane) -> Warming:
    person = somebody(lane, card=replace(RESIDENT, category="staff"), code=GREEN, presence=3, measuring_since_ns=1)
    return Warming(person=replace(person, passage="in-cold"), category="staff", since_ns=lane.ns, since_us=0)


def enters(bench: Bench, passage: str = "in-cold") -> CommandResult:
    enter_temperature(bench, EnterTemperature(lane="in", guard="wang", object_centi_c=3680, passage=passage))
    return answer(bench)


def test_who_waits_inside_is_called_in_by_the_guards_value() -> None:
    """A new passage of the same person, from now on, with nothing of the old measuring."""
    lane = Lane(policy=load_policy("case"))
    waiting = waits_inside(lane)
    lane.s += 240
    bench = bench_of(lane, warming=(waiting,))
    result = enters(bench)
    person = bench.state.decided.person
    assert (result.done, result.passage) == (True, person.passage)
    assert bench.state.decided.verdict.admit
    assert person.follows == "in-cold" != person.passage
    assert (person.began_ns, person.credential_ns, person.presence) == (lane.ns, lane.ns, None)


def test_the_last_one_of_all_is_called_in_however_long_they_waited() -> None:
    """Nobody came after them: their refusal is over, their waiting is not."""
    lane = refused()
    waiting, last = waits_inside(lane), lane.state.decided
    lane.s += 240
    bench = bench_of(lane, warming=(waiting,), decided=replace(last, person=waiting.person))
    assert bench.state.passage == "in-cold"
    assert enters(bench).done


def test_nobody_is_called_in_over_somebody_elses_passage() -> None:
    """Neither over one that runs nor over one whose record is on its way; somebody unknown is nobody."""
    lane = refused()
    waiting, decided = waits_inside(lane), lane.state.decided
    running = bench_of(lane, warming=(waiting,), person=somebody(lane))
    unwritten = bench_of(lane, warming=(waiting,), decided=replace(decided, committed=False))
    for bench in (running, unwritten):
        result = enters(bench)
        assert (result.done, result.message) == (False, "journal_busy")
        assert kinds(bench) == []
    free = bench_of(lane, warming=(waiting,))
    result = enters(free, "in-other")
    assert (result.done, result.message) == (False, "passage_over")
    assert kinds(free) == []


def acknowledged(state: dict[str, object], passage: str) -> tuple[LaneState, CommandResult, list[Kind]]:
    bench = bench_of(refused(), **state)
    acknowledge(bench, Acknowledge(lane="in", guard="wang", passage=passage))
    return bench.state, answer(bench), kinds(bench)


def test_a_refusal_that_the_guard_has_seen_ends_its_case_and_not_the_waiting() -> None:
    """A resident still waits, without a second alarm; a stranger's case is gone; others stay as they are."""
    mine = Kept(subject=RESIDENT.subject, passage="in-1", since_ns=1, referral=True, stranded_ns=2)
    stranger, other = replace(mine, subject=""), replace(mine, passage="in-2")
    state, result, written = acknowledged({"kept": (mine, other)}, "in-1")
    assert state.kept == (replace(mine, alarmed=True, referral=False), other)
    assert (result.done, written) == (True, [Kind.REFERRAL])
    state, result, _ = acknowledged({"kept": (stranger, other)}, "in-1")
    assert state.kept == (other,)
    state, result, written = acknowledged({"kept": (other,)}, "in-1")
    assert (result.done, result.message, written) == (False, "passage_over", [])


def test_a_refusal_leaves_the_console_once_it_was_seen() -> None:
    """Only the one that was seen; with no case open and nobody waiting that is all."""
    lane = refused()
    passage = lane.state.decided.person.passage
    state, result, written = acknowledged({}, passage)
    assert (state.decided.acknowledged, result.done, result.message, written) == (True, True, "", [])
    state, result, _ = acknowledged({}, "in-0")
    assert (state.decided.acknowledged, result.done) == (False, False)


def test_an_open_case_is_closed_in_the_guards_name() -> None:
    """And only where one is open."""
    mine = Kept(subject=RESIDENT.subject, passage="in-1", since_ns=1, referral=True, stranded_ns=2)
    for referral, closed in ((True, ["closed:guard:wang"]), (False, [])):
        bench = bench_of(refused(), kept=(replace(mine, referral=referral),))
        acknowledge(bench, Acknowledge(lane="in", guard="wang", passage="in-1"))
        drafts = [effect.draft for effect in bench.effects if isinstance(effect, Remember)]
        assert [draft.payloads[PayloadClass.FACTS]["state"] for draft in drafts] == closed


def test_an_emergency_opens_before_it_is_written_and_is_written_once() -> None:
    """Pressed twice it holds twice and is one record; so is its end."""
    bench = bench_of(Lane())
    for opens in (True, True, False, False):
        emergency(bench, Emergency(lane="in", guard="", open=opens, why=""))
    assert isinstance(bench.effects[0], HoldOpen)
    assert [effect.on for effect in bench.effects if isinstance(effect, HoldOpen)] == [True, True, False, False]
    assert kinds(bench) == [Kind.EMERGENCY, Kind.EMERGENCY]
    assert bench.state.emergency_since_us is None
    alarms = [effect for effect in bench.effects if isinstance(effect, RaiseAlarm)]
    assert [(alarm.code, alarm.detail) for alarm in alarms] == [("emergency_open", "in")]


def test_an_emergency_that_is_on_says_since_when() -> None:
    """The console counts from there."""
    bench = bench_of(Lane())
    emergency(bench, Emergency(lane="in", guard="", open=True, why=""))
    assert bench.state.emergency_since_us == bench.now.at_us


def test_a_registered_visitor_is_the_person_now_in_the_lane() -> None:
    """Whether or not they presented anything before; not over a verdict that is being written."""
    lane = Lane()
    event = VisitorRegistered(finding=COURIER, guard="wang", at_ns=lane.ns)
    for person in (None, somebody(lane)):
        bench = bench_of(lane, person=person, phase=Phase.IDENTIFYING)
        visitor_registered(bench, event)
        assert answer(bench).done
        assert bench.person().card == COURIER
        assert bench.person().card_key == f"registered:{COURIER.subject}"
        assert bench.person().deadline_ns == lane.ns + 20 * NS
    busy = refused()
    follows = bench_of(busy)
    visitor_registered(follows, event)
    assert follows.person().follows == busy.state.decided.person.passage
    bench = bench_of(busy, decided=replace(busy.state.decided, committed=False))
    visitor_registered(bench, event)
    assert (answer(bench).done, answer(bench).message) == (False, "journal_busy")
