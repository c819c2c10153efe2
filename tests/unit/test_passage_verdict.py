"""From verdict to passing (``kiosk/passage_verdict.py``): written first, then carried out, then followed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from config.policy import load_policy
from kiosk.board import Phase
from kiosk.evidence import NotMeasured
from kiosk.passage_bench import Bench
from kiosk.passage_events import Announce, Commit, CommitFailed, Committed, PassageClosed, Pulse, RaiseAlarm
from kiosk.passage_state import Opened
from kiosk.passage_verdict import close_passage, commit_failed, committed, decide_passage
from kiosk.reasons import Direction, Passed, Reason
from kiosk.screening import Watch, by_contact_thermometer
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


def test_a_lane_whose_module_only_hints_says_so() -> None:
    """The temperature was asked for and there is nothing to rest it on."""
    lane = Lane(policy=load_policy("case"), sensor=None)
    bench = bench_of(lane, person=somebody(lane, card=RESIDENT))
    decide_passage(bench)
    assert bench.state.decided.person.temperature.why_not is NotMeasured.HINT_ONLY


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


@pytest.mark.parametrize(("card", "opens"), [(RESIDENT, True), (COURIER, False)])
def test_under_a_failed_journal_residents_go_home_and_it_is_an_alarm(card: object, opens: bool) -> None:
    """``on_journal_failure = "residents_only"``, as shipped."""
    bench = decided(Lane(), card)
    commit_failed(bench, CommitFailed(ref="in-5f0c1d2e-1", at_ns=0))
    assert bool([e for e in bench.effects if isinstance(e, Pulse)]) is opens
    assert bench.state.decided.verdict.admit is opens
    assert (Reason.JOURNAL_FAILED in bench.state.decided.verdict.reasons) is not opens
    assert alarms(bench) == ["journal_failed"]


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


@pytest.mark.parametrize(
    ("category", "direction", "told"),
    [
        ("resident_under_observation", Direction.OUT, True),
        ("resident_under_observation", Direction.IN, False),
        ("resident", Direction.OUT, False),
    ],
)
def test_leaving_under_observation_is_told_at_once(category: str, direction: Direction, told: bool) -> None:
    """The door opens all the same; coming in, and other people's going, are told nobody."""
    bench = decided(Lane(direction=direction), replace(RESIDENT, category=category))
    committed(bench, Committed(ref="in-5f0c1d2e-1", at_ns=0))
    assert (alarms(bench) == ["left_under_observation"]) is told
