"""Lending by movements: in again without out, two gates at once; soft remarks, hard refuses only on what was seen."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.policy import CardRules, Passback
from kiosk.credentials.movements import Movement, Movements
from kiosk.evidence import PassFinding
from kiosk.reasons import Direction, Passed, Reason, Remark

S = 1_000_000_000
RULES = CardRules()
WORKER = PassFinding(refusal=None, subject="a1b2c3d4e5f60718", category="service_worker")


def moved(movements: Movements, at_s: float, direction: Direction = Direction.IN, passed: Passed = Passed.YES) -> None:
    """The worker was let through, and the contact said so."""
    passage = f"p-{at_s}"
    movements.admitted(
        WORKER.subject, Movement(place="main-gate", direction=direction, passage=passage, mono_ns=round(at_s * S))
    )
    movements.closed(passage, passed)


def judged(
    movements: Movements,
    at_s: float,
    passback: Passback = Passback.SOFT,
    direction: Direction = Direction.IN,
    finding: PassFinding = WORKER,
) -> PassFinding:
    return movements.judge(
        finding, place="main-gate", direction=direction, passback=passback, rules=RULES, mono_ns=round(at_s * S)
    )


def test_in_again_without_out_is_a_remark_under_soft_and_a_refusal_under_hard() -> None:
    """In at 0 s, seen passing, in again at 60 s; off says nothing."""
    movements = Movements()
    moved(movements, 0)
    assert judged(movements, 60, Passback.OFF) == WORKER
    assert judged(movements, 60, Passback.SOFT) == replace(WORKER, remarks=(Remark.PASSED_BACK,))
    assert judged(movements, 60, Passback.HARD).refusal is Reason.PASSED_BACK


def test_in_and_out_and_in_is_nothing() -> None:
    """Who left may come back, at once."""
    movements = Movements()
    moved(movements, 0)
    moved(movements, 60, Direction.OUT)
    assert judged(movements, 61, Passback.HARD) == WORKER


def test_leaving_is_never_judged() -> None:
    """Out twice, out without in: nobody is kept in."""
    movements = Movements()
    moved(movements, 0)
    assert judged(movements, 1, Passback.HARD, Direction.OUT) == WORKER
    moved(movements, 2, Direction.OUT)
    assert judged(movements, 3, Passback.HARD, Direction.OUT) == WORKER


@pytest.mark.parametrize(("passed", "refusal"), [(Passed.YES, Reason.PASSED_BACK), (Passed.UNKNOWN, None)])
def test_hard_refuses_only_who_was_seen_to_go_in(passed: Passed, refusal: Reason | None) -> None:
    """Where nothing saw the person pass, the rule is soft."""
    movements = Movements()
    moved(movements, 0, passed=passed)
    found = judged(movements, 60, Passback.HARD)
    assert found.refusal is refusal
    assert refusal is not None or found.remarks == (Remark.PASSED_BACK,)


def test_who_turned_back_at_the_gate_has_not_moved() -> None:
    """Tapped in and stayed outside: may tap again. Tapped out and stayed inside: still inside."""
    movements = Movements()
    moved(movements, 0, passed=Passed.NO)
    assert judged(movements, 10, Passback.HARD) == WORKER
    moved(movements, 20)
    moved(movements, 30, Direction.OUT, passed=Passed.NO)
    assert judged(movements, 40, Passback.HARD).refusal is Reason.PASSED_BACK


def test_an_entry_is_forgotten_after_its_time() -> None:
    """240 minutes by default: the way out that nobody read does not count for ever."""
    movements = Movements()
    moved(movements, 0)
    assert judged(movements, 240 * 60 - 1).remarks == (Remark.PASSED_BACK,)
    assert judged(movements, 240 * 60) == WORKER


def test_the_guard_forgets_one_and_an_emergency_everybody() -> None:
    """Afterwards a tap is as good as the first."""
    movements = Movements()
    moved(movements, 0)
    movements.forget(WORKER.subject, 0)
    assert judged(movements, 1, Passback.HARD) == WORKER
    moved(movements, 2)
    movements.forget_all()
    assert judged(movements, 3, Passback.HARD) == WORKER
    movements.closed("p-2", Passed.YES)
    assert len(movements) == 0


def test_a_card_at_two_gates_faster_than_walking_is_told() -> None:
    """59 s after another gate: a remark whatever the category; after a minute, or at this very gate: nothing."""
    movements = Movements()
    movements.heard(WORKER.subject.encode(), "east-gate", 0)
    assert judged(movements, 59, Passback.OFF).remarks == (Remark.TWO_GATES,)
    assert judged(movements, 60, Passback.OFF).remarks == ()
    movements.heard(WORKER.subject.encode(), "main-gate", 100 * S)
    assert judged(movements, 101, Passback.OFF).remarks == ()
    movements.heard(WORKER.subject.encode(), "east-gate", 50 * S)  # heard late: the newer one stands
    assert judged(movements, 101, Passback.OFF).remarks == ()


def test_a_refused_or_unknown_pass_is_left_as_it_is() -> None:
    """Movements never make a bad card better, and nobody is nobody's twin."""
    movements = Movements()
    moved(movements, 0)
    refused = replace(WORKER, refusal=Reason.CARD_REVOKED)
    assert judged(movements, 1, Passback.HARD, finding=refused) == refused
    unknown = PassFinding(refusal=None, category="visitor")
    assert judged(movements, 1, Passback.HARD, finding=unknown) == unknown


@given(st.lists(st.tuples(st.integers(0, 9), st.booleans(), st.sampled_from(list(Passed))), max_size=60))
def test_the_memory_is_bounded_and_agrees_with_itself(moves: list[tuple[int, bool, Passed]]) -> None:
    """Whatever moves, four holders at most are remembered, each with the one passage that leads to it."""
    movements = Movements(max_holders=4)
    for number, (holder, way_in, passed) in enumerate(moves):
        direction = Direction.IN if way_in else Direction.OUT
        movements.admitted(
            f"s{holder}", Movement(place="a", direction=direction, passage=f"p{number}", mono_ns=number * S)
        )
        movements.closed(f"p{number - number % 3}", passed)
        movements.heard(f"s{holder}".encode(), "b", number)
    assert len(movements) <= 4
    assert len(movements._elsewhere) <= 4
    assert set(movements._holder_of.values()) <= set(movements._last)
