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
from kiosk.passage_events import Commit, HoldOpen, Remember, Reply, VisitorRegistered
from kiosk.passage_guard import (
    acknowledge,
    attest,
    emergency,
    enter_temperature,
    measure_again,
    override,
    visitor_registered,
)
from kiosk.passage_state import Kept, LaneState
from kiosk.reasons import Direction
from kiosk.records import Kind
from tests.lane import COURIER, NORMAL_SKIN_C, RESIDENT, Lane, bench_of, somebody

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


def test_nobody_is_let_in_twice_nor_kept_in() -> None:
    """After an admission there is nothing to decide; OUT never holds."""
    lane = Lane()
    lane.face(NORMAL_SKIN_C, 1.0)
    lane.tap("04a1")
    bench = bench_of(lane)
    override(bench, an_override(lane))
    assert answer(bench).message == "already_admitted"
    leaving = Lane(direction=Direction.OUT)
    bench = bench_of(leaving, person=somebody(leaving))
    override(bench, an_override(leaving, admit=False, passage="in-5f0c1d2e-1"))
    assert answer(bench).message == "out_never_holds"


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
    assert answer(bench).message == "passage_over"
    assert bench.person().temperature is None


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


def test_an_emergency_opens_before_it_is_written_and_is_written_once() -> None:
    """Pressed twice it holds twice and is one record; so is its end."""
    bench = bench_of(Lane())
    for opens in (True, True, False, False):
        emergency(bench, Emergency(lane="in", guard="", open=opens, why=""))
    assert isinstance(bench.effects[0], HoldOpen)
    assert [effect.on for effect in bench.effects if isinstance(effect, HoldOpen)] == [True, True, False, False]
    assert kinds(bench) == [Kind.EMERGENCY, Kind.EMERGENCY]
    assert bench.state.emergency_since_us is None


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
    bench = bench_of(busy, decided=replace(busy.state.decided, committed=False))
    visitor_registered(bench, event)
    assert (answer(bench).done, answer(bench).message) == (False, "journal_busy")
