"""The measuring window (``kiosk/passage_measuring.py``): whose it is, and what of it serves later."""

from __future__ import annotations

from dataclasses import replace

import pytest

from config.policy import Policy, load_policy
from kiosk import screening
from kiosk.calibration import Drift, DriftWatch
from kiosk.evidence import Estimate, NotMeasured, TemperatureOutcome
from kiosk.passage_events import RaiseAlarm
from kiosk.passage_measuring import bind, keep_measurement, watch_drift, window_from_ns
from kiosk.passage_state import Decided, Measured
from kiosk.screening import Watch
from tests.lane import NEIGHBOUR, RESIDENT, REVOKED_CARD, Lane, bench_of, somebody

NS = 1_000_000_000
CASE = load_policy("case")
NORMAL = Estimate(outcome=TemperatureOutcome.NORMAL, estimate_c=36.6, uncertainty_c=0.5, count=6, rule="test")
FEVER = replace(NORMAL, outcome=TemperatureOutcome.RAISED, estimate_c=38.6)


def hours(number: int) -> Policy:
    temperature = CASE.temperature.model_copy(update={"valid_for_min": 60 * number})
    return CASE.model_copy(update={"temperature": temperature})


def after_verdict_on(lane: Lane, card_key: str) -> Decided:
    lane.face(34.23, 1.0)
    lane.tap("04a1")
    assert lane.state.decided is not None
    person = replace(lane.state.decided.person, card_key=card_key)
    return replace(lane.state.decided, person=person)


def test_the_window_is_bound_to_the_presence_of_now() -> None:
    """Number three stands there since two seconds ago: their readings since then count."""
    lane = Lane(policy=CASE)
    lane.s = 10.0
    bench = bench_of(lane, person=somebody(lane, card=RESIDENT), watch=Watch(number=3, since_ns=lane.ns - 2 * NS))
    bind(bench)
    assert (bench.person().presence, bench.person().fresh_from_ns) == (3, lane.ns - 2 * NS)


@pytest.mark.parametrize(("card_key", "bound"), [("card:04a1", 1), ("card:04a2", None)])
def test_a_presence_that_served_a_verdict_serves_only_the_same_card_again(card_key: str, bound: int | None) -> None:
    """And then with readings from now on; a neighbour waits until it has stepped away."""
    lane = Lane(policy=CASE)
    decided = after_verdict_on(lane, "card:04a1")
    lane.s += 10.0
    watch = replace(lane.state.watch, since_ns=lane.ns - NS, live_at_ns=lane.ns, warm_at_ns=lane.ns)
    person = somebody(lane, card=NEIGHBOUR, card_key=card_key)
    bench = bench_of(lane, person=person, decided=decided, watch=watch, served_presence=watch.number)
    bind(bench)
    assert bench.person().presence == bound
    assert bench.person().fresh_from_ns == (lane.ns if bound else 0)


def test_who_steps_away_before_the_window_settled_is_not_measured() -> None:
    """ "Moving", and the next face is not theirs."""
    lane = Lane(policy=CASE)
    person = somebody(lane, card=RESIDENT, presence=3)
    for watch in (Watch(number=3), Watch(number=4, since_ns=lane.ns)):
        bench = bench_of(lane, person=person, watch=watch)
        bind(bench)
        found = bench.person().temperature
        assert found is not None
        assert found.why_not is NotMeasured.MOVING


def test_the_windows_time_counts_from_the_last_of_three() -> None:
    """Asked for, stepped up, fresh."""
    lane = Lane()
    bench = bench_of(lane, watch=Watch(number=1, since_ns=20))
    assert window_from_ns(bench, somebody(lane, measuring_since_ns=30, fresh_from_ns=10)) == 30
    assert window_from_ns(bench, somebody(lane, measuring_since_ns=10, fresh_from_ns=0)) == 20
    assert window_from_ns(bench, somebody(lane, fresh_from_ns=40)) == 40


@pytest.mark.parametrize(
    ("policy", "card", "found", "kept"),
    [
        (hours(4), RESIDENT, NORMAL, True),
        (hours(4), RESIDENT, FEVER, False),
        (hours(4), RESIDENT, None, False),
        (hours(4), REVOKED_CARD, NORMAL, False),
        (hours(4), None, NORMAL, False),
        (hours(0), RESIDENT, NORMAL, False),
    ],
)
def test_what_is_kept_for_later(policy: Policy, card: object, found: Estimate | None, kept: bool) -> None:
    """A normal measurement of a known person, where the policy lets one serve."""
    lane = Lane(policy=policy)
    bench = bench_of(lane)
    keep_measurement(bench, somebody(lane, card=card, temperature=found))
    assert bench.state.measured == (
        (Measured(subject=RESIDENT.subject, estimate=NORMAL, at_ns=lane.ns),) if kept else ()
    )


def test_a_newer_measurement_takes_the_olders_place_and_what_has_expired_goes() -> None:
    """One a person; a neighbour's stays for its four hours."""
    lane = Lane(policy=hours(4))
    lane.s = 20_000.0
    old = Measured(subject=RESIDENT.subject, estimate=NORMAL, at_ns=lane.ns - NS)
    neighbour = Measured(subject=NEIGHBOUR.subject, estimate=NORMAL, at_ns=lane.ns - 4 * 3600 * NS + 1)
    expired = replace(neighbour, subject="ffffffffffffffff", at_ns=neighbour.at_ns - 1)
    bench = bench_of(lane, measured=(old, neighbour, expired))
    keep_measurement(bench, somebody(lane, card=RESIDENT, temperature=NORMAL))
    assert bench.state.measured == (neighbour, replace(old, at_ns=lane.ns))


def drifted(lane: Lane, **known: object) -> tuple[Drift, list[str]]:
    """The running check after 600 passages, of which the last 400 read higher and higher, by 2 degC at the end."""
    bench = bench_of(lane)
    for number in range(600):
        usual = replace(NORMAL, estimate_c=36.6 + max(0, number - 200) / 200)
        watch_drift(bench, somebody(lane, **{"temperature": usual, **known}))
    return bench.state.drift.state, [e.code for e in bench.effects if isinstance(e, RaiseAlarm)]


def test_a_sensor_that_moves_warns_once_and_then_stops() -> None:
    """The median of many passages moves: each step is one alarm."""
    state, alarms = drifted(Lane())
    assert state is Drift.STOP
    assert alarms == ["thermometer_drift_warn", "thermometer_drift_stop"]


@pytest.mark.parametrize(
    "known",
    [
        {"temperature": replace(NORMAL, estimate_c=39.0, outcome=TemperatureOutcome.RAISED)},
        {"temperature": replace(screening.by_contact_thermometer(36.6), estimate_c=39.0)},
        {"follows": "in-1"},
    ],
    ids=["a fever", "the guard's own thermometer", "the same person again"],
)
def test_what_says_nothing_of_the_sensor_does_not_move_its_check(known: dict[str, object]) -> None:
    """Only first, normal estimates of the sensor itself."""
    assert drifted(Lane(), **known) == (DriftWatch().state, [])
