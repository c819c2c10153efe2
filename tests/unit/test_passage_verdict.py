"""From verdict to passing (``kiosk/passage_verdict.py``): written first, then carried out, then followed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from config.policy import load_policy
from kiosk.board import Phase
from kiosk.evidence import NotMeasured
from kiosk.passage_bench import Bench
from kiosk.passage_events import Announce, Commit, CommitFailed, Committed, PassageClosed, Pulse, RaiseAlarm, Remember
from kiosk.passage_state import Kept, Opened, Warming
from kiosk.passage_verdict import close_passage, commit_failed, committed, decide_passage
from kiosk.reasons import Direction, Passed, Reason
from kiosk.records import Kind, PayloadClass
from kiosk.screening import Watch, by_contact_thermometer, not_measured
from kiosk.temperature_record import sensor_payload
from tests.lane import COURIER, RESIDENT, UNKNOWN_CARD, Lane, bench_of, somebody

NS = 1_000_000_000
NORMAL = by_contact_thermometer(36.6)


def decided(lane: Lane, card: object = RESIDENT, **state: object) -> Bench:
    """A verdict that is on its way to the journal: an admission, unless the card says otherwise."""
    bench = bench_of(lane, person=somebody(lane, card=card, card_key="card:04a1", temperature=NORMAL), **state)
    decide_passage(bench)
    return bench


def kinds(bench: Bench) -> list[str]:
    return [type(effect).__name__ for effect in bench.effects]


def alarms(bench: Bench) -> list[str]:
    return [effect.code for effect in bench.effects if isinstance(effect, RaiseAlarm)]


def test_a_verdict_is_written_before_anything_else() -> None:
    """One effect; the person no longer runs, the presence has served."""
    lane = Lane()
    bench = decided(lane, watch=Watch(number=7, since_ns=1))
    assert kinds(bench) == ["Commit"]
    draft = bench.effects[0].draft
    assert (draft.kind, draft.ref) == (Kind.PASSAGE, "in-5f0c1d2e-1")
    assert (bench.state.person, bench.state.phase) == (None, Phase.DECIDED)
    assert (bench.state.served_presence, bench.state.decided.presence) == (7, 7)
    empty = decided(lane, watch=Watch(number=7), served_presence=6)
    assert (empty.state.served_presence, empty.state.decided.presence) == (6, None)


def test_the_record_says_how_long_the_person_stood_there() -> None:
    """From the credential to the verdict, in milliseconds."""
    lane = Lane()
    bench = bench_of(lane, person=somebody(lane, card=RESIDENT, temperature=NORMAL))
    lane.s += 1.25
    later = replace(bench, now=lane.now)
    decide_passage(later)
    (commit,) = later.effects
    assert isinstance(commit, Commit)
    assert "'credential_to_verdict_ms': 1250" in str(commit.draft.payloads)


@pytest.mark.parametrize("warmed", [False, True])
def test_the_record_keeps_the_sensor_that_measured_this_person(warmed: bool) -> None:
    """Whose offset was another one for skin from the cold; otherwise the lane's."""
    lane = Lane(policy=load_policy("case"))
    own = replace(lane.sensor, offset_c=0.3) if warmed else None
    fever = replace(by_contact_thermometer(38.6), by_guard=False)
    bench = bench_of(lane, person=somebody(lane, card=RESIDENT, temperature=fever, sensor=own))
    decide_passage(bench)
    told = bench.effects[0].draft.payloads[PayloadClass.HEALTH]["temperature"]
    assert told["sensor"] == sensor_payload(own or lane.sensor)


def test_what_was_still_awaited_is_awaited_no_longer() -> None:
    """A late answer finds nobody whom it could be about."""
    lane = Lane()
    known = {"pending": "card:04a2", "awaited": "code:1", "waiting_for": ("lookup",), "temperature": NORMAL}
    bench = bench_of(lane, person=somebody(lane, card=RESIDENT, **known))
    decide_passage(bench)
    person = bench.state.decided.person
    assert (person.pending, person.awaited, person.waiting_for) == ("", "", ())


@pytest.mark.parametrize(("follows", "named"), [("", "in-cold"), ("in-7", "in-7")])
def test_who_was_sent_inside_to_warm_up_is_the_same_persons_passage(follows: str, named: str) -> None:
    """Known by the card; whoever follows a passage already goes on following that one."""
    lane = Lane()
    person = somebody(lane, card=RESIDENT, card_key="card:04a1", temperature=NORMAL)
    cold = Warming(person=replace(person, passage="in-cold"), category="resident", since_ns=lane.ns, since_us=0)
    bench = bench_of(lane, person=replace(person, follows=follows), warming=(cold,))
    decide_passage(bench)
    assert bench.state.decided.person.follows == named
    (commit,) = bench.effects
    assert f"'follows': '{named}'" in str(commit.draft.payloads)
    committed(bench, Committed(ref=person.passage, at_ns=0))
    assert bench.state.warming == (), "who is in waits no longer"


def test_a_lane_whose_module_only_hints_says_so() -> None:
    """The temperature was asked for and there is nothing to rest it on."""
    lane = Lane(policy=load_policy("case"), sensor=None)
    bench = bench_of(lane, person=somebody(lane, card=RESIDENT))
    decide_passage(bench)
    assert bench.state.decided.person.temperature.why_not is NotMeasured.HINT_ONLY
    assert decided(lane).state.decided.person.temperature == NORMAL, "the guard's own value stands"
    measures = Lane(policy=load_policy("case"))
    bench = bench_of(measures, person=somebody(measures, card=RESIDENT))
    decide_passage(bench)
    assert bench.state.decided.person.temperature is None, "here something could have been measured"


def test_an_answer_of_the_journal_counts_once_and_for_its_own_passage() -> None:
    """A second one, or one for a passage before, opens nothing."""
    lane = Lane()
    bench = decided(lane)
    committed(bench, Committed(ref="in-0", at_ns=0))
    commit_failed(bench, CommitFailed(ref="in-0", at_ns=0))
    assert kinds(bench) == ["Commit"]
    for _ in range(2):
        committed(bench, Committed(ref="in-5f0c1d2e-1", at_ns=0))
        commit_failed(bench, CommitFailed(ref="in-5f0c1d2e-1", at_ns=0))
    assert kinds(bench) == ["Commit", "Pulse", "Announce"]
    nobody = bench_of(lane)
    committed(nobody, Committed(ref="in-0", at_ns=0))
    commit_failed(nobody, CommitFailed(ref="in-0", at_ns=0))
    assert nobody.effects == []


@pytest.mark.parametrize(("card", "hold_s", "opens"), [(RESIDENT, 3, True), (UNKNOWN_CARD, 8, False)])
def test_a_verdict_stands_for_its_hold_and_only_an_admission_opens(card: object, hold_s: int, opens: bool) -> None:
    """Three seconds for ADMIT, eight for DENY, which takes longer to read."""
    lane = Lane()
    bench = decided(lane, card)
    committed(bench, Committed(ref="in-5f0c1d2e-1", at_ns=0))
    assert bench.state.decided.hold_until_ns == lane.ns + hold_s * NS
    assert bool([e for e in bench.effects if isinstance(e, Pulse)]) is opens
    (said,) = [e for e in bench.effects if isinstance(e, Announce)]
    assert said.verdict.admit is opens
    assert bench.state.door_expected_until_ns == (lane.ns + 10 * NS if opens else 0)


def test_an_opening_is_one_pulse_of_the_lanes_length_for_that_passage() -> None:
    """Said aloud as the rules' verdict or as the guard's."""
    lane = Lane()
    for by_guard in ("", "wang"):
        bench = decided(lane)
        bench.put(decided=replace(bench.state.decided, by_guard=by_guard))
        committed(bench, Committed(ref="in-5f0c1d2e-1", at_ns=0))
        _, pulse, said = bench.effects
        assert pulse == Pulse(passage="in-5f0c1d2e-1", duration_s=lane.setup.pulse_s)
        assert (said.passage, said.by_guard) == ("in-5f0c1d2e-1", bool(by_guard))


def test_only_an_admission_keeps_its_measurement_and_ends_the_waiting() -> None:
    """A refused one's normal temperature serves nobody later; a resident who was kept out is not kept any more."""
    policy = load_policy("clear")
    temperature = policy.temperature.model_copy(update={"valid_for_min": 60})
    lane = Lane(policy=policy.model_copy(update={"temperature": temperature}))
    outside = Kept(subject=RESIDENT.subject, passage="in-0", since_ns=lane.ns, referral=False, stranded_ns=0)
    bench = decided(lane, kept=(outside,))
    committed(bench, Committed(ref="in-5f0c1d2e-1", at_ns=0))
    assert [found.subject for found in bench.state.measured] == [RESIDENT.subject]
    assert bench.state.kept == ()
    refused = decided(lane, replace(RESIDENT, category="acrobat"), kept=(outside,))
    committed(refused, Committed(ref="in-5f0c1d2e-1", at_ns=0))
    assert (refused.state.measured, refused.state.kept) == ((), (outside,))


def test_a_refusal_for_cold_skin_waits_inside() -> None:
    """To be measured again; one for anything else does not."""
    lane = Lane(policy=load_policy("case"))
    for why, waiting in ((NotMeasured.COLD_SKIN, 1), (NotMeasured.MOVING, 0)):
        person = somebody(lane, card=replace(RESIDENT, category="staff"), temperature=not_measured(why, None))
        bench = bench_of(lane, person=person)
        decide_passage(bench)
        committed(bench, Committed(ref=person.passage, at_ns=0))
        assert len(bench.state.warming) == waiting


@pytest.mark.parametrize(("card", "opens"), [(RESIDENT, True), (COURIER, False)])
def test_under_a_failed_journal_residents_go_home_and_it_is_an_alarm(card: object, opens: bool) -> None:
    """``on_journal_failure = "residents_only"``, as shipped."""
    bench = decided(Lane(), card)
    commit_failed(bench, CommitFailed(ref="in-5f0c1d2e-1", at_ns=0))
    assert bool([e for e in bench.effects if isinstance(e, Pulse)]) is opens
    assert bench.state.decided.verdict.admit is opens
    assert (Reason.JOURNAL_FAILED in bench.state.decided.verdict.reasons) is not opens
    assert alarms(bench) == ["journal_failed"]
    (told,) = [effect.draft for effect in bench.effects if isinstance(effect, Remember)]
    facts = told.payloads[PayloadClass.FACTS]
    assert (facts["passage"], facts["opened"]) == ("in-5f0c1d2e-1", opens)


def test_the_passing_is_followed_where_something_sees_it() -> None:
    """A beam or door contact within ten seconds; a lane without either does not wait for it."""
    for wired in (True, False):
        lane = Lane(passage_contact=wired)
        bench = decided(lane)
        committed(bench, Committed(ref="in-5f0c1d2e-1", at_ns=0))
        awaited = Opened(passage="in-5f0c1d2e-1", until_ns=lane.ns + 10 * NS)
        assert bench.state.opened == (awaited if wired else None)


def test_a_second_admission_leaves_the_first_ones_passing_unknown() -> None:
    """One beam cannot tell two people apart."""
    bench = decided(Lane(passage_contact=True), opened=Opened(passage="in-0", until_ns=1))
    committed(bench, Committed(ref="in-5f0c1d2e-1", at_ns=0))
    closed = [(e.passage, e.passed) for e in bench.effects if isinstance(e, PassageClosed)]
    assert closed == [("in-0", Passed.UNKNOWN)]
    assert bench.state.opened.passage == "in-5f0c1d2e-1"


def test_a_passing_is_written_once() -> None:
    """The beam is broken again by the next person's bag: nothing."""
    bench = bench_of(Lane(), opened=Opened(passage="in-0", until_ns=1))
    close_passage(bench, Passed.YES)
    close_passage(bench, Passed.YES)
    assert len([e for e in bench.effects if isinstance(e, PassageClosed)]) == 1
    (told,) = [effect.draft for effect in bench.effects if isinstance(effect, Remember)]
    assert (told.kind, told.ref) == (Kind.PASSED, "in-0")
    assert told.payloads == {PayloadClass.FACTS: {"passage": "in-0", "passed": "yes"}}


@pytest.mark.parametrize(
    ("category", "direction", "told"),
    [
        ("resident_under_observation", Direction.OUT, True),
        ("resident_under_observation", Direction.IN, False),
        ("resident", Direction.OUT, False),
        ("acrobat", Direction.OUT, False),
    ],
)
def test_leaving_under_observation_is_told_at_once(category: str, direction: Direction, told: bool) -> None:
    """The door opens all the same; coming in, and other people's going, are told nobody."""
    bench = decided(Lane(direction=direction), replace(RESIDENT, category=category))
    committed(bench, Committed(ref="in-5f0c1d2e-1", at_ns=0))
    assert (alarms(bench) == ["left_under_observation"]) is told
