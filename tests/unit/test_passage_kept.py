"""Whom a refusal keeps waiting (``kiosk/passage_kept.py``): residents at their own gate, open referrals."""

from __future__ import annotations

from dataclasses import replace

import pytest

from config.policy import HOME_WAITED
from kiosk import screening
from kiosk.decision import by_guard, decide
from kiosk.passage_bench import Bench
from kiosk.passage_events import CloseReferral, OpenReferral, RaiseAlarm
from kiosk.passage_evidence import evidence_of
from kiosk.passage_kept import MAX_KEPT, alarm_for_the_stranded, keep_waiting, no_longer_kept
from kiosk.passage_state import Decided, Kept, Person
from kiosk.reasons import CheckState, Direction, Reason
from tests.lane import COURIER, NEIGHBOUR, RESIDENT, UNKNOWN_CARD, Lane, bench_of, somebody

NS = 1_000_000_000
FEVER = screening.by_contact_thermometer(38.6)
NORMAL = screening.by_contact_thermometer(36.6)


def decided_on(bench: Bench, person: Person, *, admit: bool = False, reason: Reason | None = None) -> Decided:
    """A verdict on this person: a refusal for ``reason``, or an admission."""
    verdict = decide(evidence_of(bench, person), bench.setup.policy, bench.now)
    if admit:
        verdict = by_guard(verdict, admit=True, guard="wang", direction=bench.setup.direction)
    else:
        verdict = replace(verdict, admit=False, reasons=(reason,) if reason else verdict.reasons)
    return Decided(
        person=person, verdict=verdict, ref=person.passage, decided_ns=bench.ns, decided_at_us=0, committed=True
    )


def waiting(lane: Lane, **changes: object) -> Kept:
    """A resident who has been waiting since a minute ago."""
    kept = Kept(
        subject=RESIDENT.subject, passage="in-0", since_ns=lane.ns - 60 * NS, referral=False,
        stranded_ns=lane.ns + 240 * NS,
    )  # fmt: skip
    return replace(kept, **changes)


def kept_after(lane: Lane, person: Person, *before: Kept, reason: Reason | None = None) -> tuple[Bench, Kept | None]:
    bench = bench_of(lane, kept=before)
    keep_waiting(bench, decided_on(bench, person, reason=reason))
    return bench, bench.state.kept[-1] if bench.state.kept else None


def test_a_resident_refused_at_home_is_kept_from_now_and_stranded_after_five_minutes() -> None:
    """Whatever the reason was."""
    lane = Lane()
    _, kept = kept_after(lane, somebody(lane, card=RESIDENT), reason=Reason.CODE_MISSING)
    assert kept is not None
    assert (kept.subject, kept.since_ns, kept.stranded_ns) == (RESIDENT.subject, lane.ns, lane.ns + 300 * NS)
    assert not kept.referral


def test_a_case_is_opened_for_what_was_found_on_the_persons_health_and_for_nothing_else() -> None:
    """Whatever is wrong with a card, a device or the hour is nobody's case."""
    lane = Lane()
    person = somebody(lane, card=COURIER)
    opens = {reason for reason in Reason if kept_after(lane, person, reason=reason)[1] is not None}
    assert opens == {
        Reason.TEMPERATURE_RAISED,
        Reason.CODE_RED,
        Reason.CODE_YELLOW,
        Reason.CODE_NOT_GREEN,
        Reason.CODE_REVOKED,
        Reason.TRIP_NOT_CLEAR,
    }


@pytest.mark.parametrize(
    ("card", "direction"), [(COURIER, Direction.IN), (UNKNOWN_CARD, Direction.IN), (RESIDENT, Direction.OUT)]
)
def test_nobody_else_is_kept_for_a_refusal_alone(card: object, direction: Direction) -> None:
    """A courier, a stranger, and who wants to leave: sent on, not waiting at home."""
    lane = Lane(direction=direction)
    bench, kept = kept_after(lane, somebody(lane, card=card), reason=Reason.CODE_MISSING)
    assert (kept, bench.effects) == (None, [])


@pytest.mark.parametrize(
    ("reason", "shots", "opened"),
    [
        (Reason.TEMPERATURE_RAISED, 1, True),
        (Reason.CODE_RED, 0, True),
        (Reason.TEMPERATURE_BORDERLINE, 1, False),
        (Reason.TEMPERATURE_BORDERLINE, 2, True),
        (Reason.TEMPERATURE_NOT_MEASURED, 2, False),
    ],
)
def test_what_opens_a_referral(reason: Reason, shots: int, opened: bool) -> None:
    """A finding does, for a courier too; a borderline one only when a second window found the same."""
    lane = Lane()
    bench, kept = kept_after(lane, somebody(lane, card=COURIER, shots=shots), reason=reason)
    assert [type(effect) for effect in bench.effects[1:]] == ([OpenReferral] if opened else [])
    assert (kept is not None and kept.referral) is opened


def test_refused_again_the_waiting_counts_from_the_first_time_and_the_case_stays_one() -> None:
    """The clock of an open case does not start anew with each try; no second case is opened."""
    lane = Lane()
    before = waiting(lane, referral=True, alarmed=True)
    bench, kept = kept_after(lane, somebody(lane, card=RESIDENT), before, reason=Reason.TEMPERATURE_RAISED)
    assert bench.state.kept == (before,)
    assert kept == before
    assert bench.effects == []


def test_waiting_becomes_a_case_when_a_finding_comes_to_it() -> None:
    """The case bears the name of the passage with the finding; the waiting goes on."""
    lane = Lane()
    bench, kept = kept_after(lane, somebody(lane, card=RESIDENT), waiting(lane), reason=Reason.TEMPERATURE_RAISED)
    assert kept is not None
    assert (kept.referral, kept.passage, kept.since_ns) == (True, "in-5f0c1d2e-1", lane.ns - 60 * NS)
    assert len(bench.effects) == 2


def test_after_half_an_hour_a_refusal_begins_anew() -> None:
    """Who comes back later has not been standing there all the time."""
    lane = Lane()
    _, kept = kept_after(
        lane, somebody(lane, card=RESIDENT), waiting(lane, since_ns=lane.ns - 1800 * NS), reason=Reason.CODE_MISSING
    )
    assert kept is not None
    assert kept.since_ns == lane.ns


def test_people_without_a_name_are_each_kept() -> None:
    """Two strangers with a fever are two cases."""
    lane = Lane()
    first = waiting(lane, subject="", referral=True)
    bench, _ = kept_after(lane, somebody(lane, temperature=FEVER), first, reason=Reason.TEMPERATURE_RAISED)
    assert len(bench.state.kept) == 2


def test_no_more_than_64_are_remembered_the_newest() -> None:
    """A flood of refusals does not grow without end."""
    lane = Lane()
    crowd = tuple(waiting(lane, subject=f"{number:016x}", passage=f"in-{number}") for number in range(MAX_KEPT))
    bench, kept = kept_after(lane, somebody(lane, card=RESIDENT), *crowd, reason=Reason.CODE_MISSING)
    assert len(bench.state.kept) == MAX_KEPT
    assert bench.state.kept[0].passage == "in-1"
    assert kept is not None
    assert kept.subject == RESIDENT.subject


def admitted(lane: Lane, person: Person, *kept: Kept, guard: str = "", waited: bool = False) -> Bench:
    bench = bench_of(lane, kept=kept)
    decided = replace(decided_on(bench, person, admit=True), by_guard=guard)
    if waited:
        first, *others = decided.verdict.checks
        checks = (replace(first, state=CheckState.WAIVED, by=HOME_WAITED), *others)
        decided = replace(decided, verdict=replace(decided.verdict, checks=checks))
    no_longer_kept(bench, decided)
    return bench


def test_going_in_ends_the_waiting_of_that_person_alone() -> None:
    """A neighbour and a stranger wait on."""
    lane = Lane()
    neighbour, stranger = waiting(lane, subject=NEIGHBOUR.subject), waiting(lane, subject="", passage="in-7")
    bench = admitted(lane, somebody(lane, card=RESIDENT), waiting(lane), neighbour, stranger)
    assert bench.state.kept == (neighbour, stranger)
    assert bench.effects == []


def test_a_stranger_is_known_by_the_passage_that_the_new_one_follows() -> None:
    """Measured again in the same visit and let in: their case is over."""
    lane = Lane()
    stranger = waiting(lane, subject="", passage="in-7", referral=True)
    bench = admitted(lane, somebody(lane, follows="in-7"), stranger)
    assert bench.state.kept == ()
    assert [effect.how for effect in bench.effects if isinstance(effect, CloseReferral)] == ["admitted"]


def test_a_case_says_who_ended_it() -> None:
    """The guard's own pseudonym, where the guard let the person in."""
    lane = Lane()
    bench = admitted(lane, somebody(lane, card=RESIDENT), waiting(lane, referral=True), guard="wang")
    assert [effect.how for effect in bench.effects if isinstance(effect, CloseReferral)] == ["guard:wang"]


def test_who_went_in_only_by_waiting_keeps_the_case_but_no_longer_strands() -> None:
    """A feverish resident is home after the time, and somebody still has to look after them."""
    lane = Lane()
    case, other = waiting(lane, referral=True), waiting(lane, subject=NEIGHBOUR.subject)
    bench = admitted(lane, somebody(lane, card=RESIDENT), case, other, waited=True)
    assert bench.state.kept == (replace(case, alarmed=True), other)
    assert bench.effects == []
    assert admitted(lane, somebody(lane, card=RESIDENT), waiting(lane), waited=True).state.kept == ()


def test_everybody_stranded_raises_one_alarm() -> None:
    """At five minutes, once; who has waited for less is not named."""
    lane = Lane()
    late, soon = waiting(lane, stranded_ns=lane.ns), waiting(lane, passage="in-9", stranded_ns=lane.ns + 1)
    bench = bench_of(lane, kept=(late, soon))
    alarm_for_the_stranded(bench)
    alarm_for_the_stranded(bench)
    assert [(e.code, e.detail) for e in bench.effects if isinstance(e, RaiseAlarm)] == [("stranded", "in-0")]
    assert [kept.alarmed for kept in bench.state.kept] == [True, False]
