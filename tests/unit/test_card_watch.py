"""What all cards of a kiosk tell together: lanes that share movements, resets, and the alarms with their records."""

from __future__ import annotations

from dataclasses import replace

import pytest

from config.policy import CardRules, Category, Passback, load_policy
from kiosk.card_watch import CardWatch
from kiosk.credentials.refused_cards import ILLEGAL, RefusedCards
from kiosk.neighbours import Fact, HeardFact
from kiosk.passage_events import Announce, LaneSetup, LocalTime, PassageClosed, RaiseAlarm, Remember
from kiosk.reasons import Direction, NextStep, Passed, Reason, Remark
from kiosk.records import Kind, PayloadClass, Stream
from kiosk.verdict import Verdict
from tests.lane import COURIER, START_US, UNKNOWN_CARD, At

S = 1_000_000_000
BASE = load_policy("clear")
ADMITTED = Verdict(
    admit=True,
    reasons=(Reason.ALL_CHECKS_PASSED,),
    next_step=NextStep.GO_IN,
    checks=(),
    policy_version="t",
    category="courier",
)


def setup(lane: str, direction: Direction = Direction.IN, passback: Passback = Passback.HARD) -> LaneSetup:
    """A lane under the policy of clear days, with the couriers' anti-passback set."""
    category: tuple[Category, ...] = tuple(
        each.model_copy(update={"passback": passback}) if each.name == "courier" else each for each in BASE.category
    )
    return LaneSetup(
        lane=lane,
        direction=direction,
        place="main-gate",
        policy=BASE.model_copy(update={"category": category}),
        devices={},
        local_time=lambda _: LocalTime(minute=600, weekday=0),
    )


def at(seconds: float) -> At:
    return At(mono_ns=round(seconds * S), at_us=START_US + round(seconds * 1e6))


def go(watch: CardWatch, lane: LaneSetup, seconds: float, *, by_guard: bool = False) -> None:
    """The courier is let through and seen passing."""
    passage = f"{lane.lane}-{seconds}"
    watch.followed(Announce(passage=passage, verdict=ADMITTED, by_guard=by_guard), COURIER, lane, at(seconds))
    watch.followed(PassageClosed(passage=passage, passed=Passed.YES), COURIER, lane, at(seconds + 1))


def test_two_lanes_of_a_kiosk_know_of_each_other() -> None:
    """In by lane a, in again by lane b: passed back; out by lane c between: nothing."""
    watch = CardWatch()
    go(watch, setup("a"), 0)
    assert watch.judged(COURIER, setup("b"), at(10))[0].refusal is Reason.PASSED_BACK
    go(watch, setup("c", Direction.OUT), 20)
    assert watch.judged(COURIER, setup("b"), at(30))[0] == COURIER


@pytest.mark.parametrize("code", ["emergency_open", "fire"])
def test_an_emergency_resets_everybody_and_a_guards_admission_its_person(code: str) -> None:
    """Nobody is kept out by a memory that is certainly wrong."""
    watch = CardWatch()
    go(watch, setup("a"), 0)
    watch.followed(RaiseAlarm(code=code, detail="a"), None, setup("a"), at(5))
    assert watch.judged(COURIER, setup("a"), at(10))[0] == COURIER
    go(watch, setup("a"), 20)
    assert watch.judged(COURIER, setup("a"), at(30))[0].refusal is Reason.PASSED_BACK
    go(watch, setup("a"), 40, by_guard=True)
    assert watch.judged(COURIER, setup("a"), at(50))[0] == COURIER


def test_a_refusal_and_a_refused_card_are_no_movement() -> None:
    """Only an admission puts somebody inside."""
    watch = CardWatch()
    denied = replace(ADMITTED, admit=False, reasons=(Reason.TEMPERATURE_RAISED,), next_step=NextStep.SEE_GUARD)
    watch.followed(Announce(passage="p", verdict=denied), COURIER, setup("a"), at(0))
    refused = replace(COURIER, refusal=Reason.CARD_EXPIRED)
    watch.followed(Announce(passage="q", verdict=ADMITTED), refused, setup("a"), at(1))
    assert watch.judged(COURIER, setup("a"), at(2))[0] == COURIER


def test_a_card_at_two_gates_is_told_and_alarms() -> None:
    """A neighbour let it in ten seconds ago: the person is not refused, the guard is told and the journal, too."""
    watch, neighbour = CardWatch(b"k" * 32), CardWatch(b"k" * 32)
    east = replace(setup("e"), place="east-gate")
    fact = neighbour.followed(Announce(passage="e-1", verdict=ADMITTED), COURIER, east, at(0))
    assert isinstance(fact, Fact)
    assert COURIER.subject not in repr(fact)
    watch.heard([HeardFact(kiosk="east", fact=fact)])
    finding, effects = watch.judged(COURIER, setup("a"), at(10))
    assert (finding.refusal, finding.remarks) == (None, (Remark.TWO_GATES,))
    remember, alarm = effects
    assert alarm == RaiseAlarm(code="card_at_two_gates", detail="a")
    assert isinstance(remember, Remember)
    assert (remember.draft.kind, remember.draft.stream) == (Kind.ALARM, Stream.ALARM)
    assert remember.draft.payloads == {PayloadClass.FACTS: {"code": "card_at_two_gates", "detail": "a"}}


def test_who_leaves_is_no_news_for_the_neighbours() -> None:
    """Out at one gate and in at the next within a minute is a walk round the house, and nobody's copy."""
    out = setup("o", Direction.OUT)
    assert CardWatch().followed(Announce(passage="o-1", verdict=ADMITTED), COURIER, out, at(0)) is None


def test_the_fifth_refused_card_in_fifty_seconds_alarms_once() -> None:
    """Four are nothing; the fifth is the alarm; the next twenty belong to it; each lane counts its own."""
    watch = CardWatch()
    codes = [
        [
            effect.code
            for effect in watch.judged(UNKNOWN_CARD, setup("a"), at(second))[1]
            if isinstance(effect, RaiseAlarm)
        ]
        for second in range(0, 50, 2)
    ]
    assert codes == [[], [], [], [], ["illegal_cards"]] + [[]] * 20
    assert watch.judged(UNKNOWN_CARD, setup("b"), at(50))[1] == ()


def test_slow_refusals_and_other_reasons_never_alarm() -> None:
    """One refused card every 13 s, and any number of cards that came at the wrong hour."""
    refused = RefusedCards()
    assert not any(refused.note(Reason.CARD_UNKNOWN, CardRules(), 13 * S * number) for number in range(20))
    assert not any(refused.note(Reason.OUT_OF_HOURS, CardRules(), number) for number in range(20))
    assert not any(refused.note(None, CardRules(), number) for number in range(20))
    assert not any(refused.note(Reason.CARD_UNKNOWN, CardRules(alarm_after=0), number) for number in range(20))
    assert Reason.CARD_EXPIRED not in ILLEGAL


def test_the_alarm_comes_again_after_a_quiet_time() -> None:
    """Five more, later than 50 s after the first alarm, are a new one."""
    refused = RefusedCards()
    assert sum(refused.note(Reason.CARD_FORGED, CardRules(), number * S) for number in range(5)) == 1
    assert sum(refused.note(Reason.CARD_FORGED, CardRules(), (100 + number) * S) for number in range(5)) == 1
