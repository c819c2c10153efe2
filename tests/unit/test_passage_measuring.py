"""The measuring window (``kiosk/passage_measuring.py``): whose it is, and what of it serves later."""

from __future__ import annotations

from dataclasses import replace

import pytest

from config.policy import Policy, load_policy
from kiosk import screening
from kiosk.board import Hint, Phase
from kiosk.calibration import Drift, DriftWatch
from kiosk.evidence import Estimate, NotMeasured, TemperatureOutcome
from kiosk.passage_bench import Bench
from kiosk.passage_events import RaiseAlarm
from kiosk.passage_measuring import bind, keep_measurement, measure, still_measuring, watch_drift, window_from_ns
from kiosk.passage_state import Decided, Measured, Person, Warming
from kiosk.screening import Watch
from tests.lane import NEIGHBOUR, NORMAL_SKIN_C, RESIDENT, REVOKED_CARD, Lane, bench_of, somebody

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


def bound(lane: Lane, watch: Watch, **known: object) -> Person:
    """What binding makes of a resident who tapped just now."""
    bench = bench_of(lane, person=somebody(lane, card=RESIDENT, **known), watch=watch)
    bind(bench)
    return bench.person()


@pytest.mark.parametrize(("after_s", "why"), [(179, NotMeasured.COLD_SKIN), (180, None)])
def test_who_was_sent_inside_to_warm_up_is_not_measured_before_three_minutes(
    after_s: int, why: NotMeasured | None
) -> None:
    """Their skin would still be too cold; standing before the sensor changes nothing."""
    lane = Lane(policy=CASE)
    cold = Warming(person=somebody(lane, card=RESIDENT), category="resident", since_ns=lane.ns, since_us=0)
    lane.s += after_s
    watch = Watch(number=3, since_ns=lane.ns, live_at_ns=lane.ns)
    bench = bench_of(lane, person=somebody(lane, card=RESIDENT), watch=watch, warming=(cold,))
    bind(bench)
    found = bench.person().temperature
    assert (found.why_not if found is not None else None) is why
    assert bench.person().presence == 3
    known = bench_of(lane, person=somebody(lane, card=RESIDENT, temperature=NORMAL), watch=watch, warming=(cold,))
    bind(known)
    assert known.person().temperature == NORMAL


@pytest.mark.parametrize(
    ("identical", "blind_for_s", "why"),
    [
        (1, 0.449, None),
        (1, 0.45, NotMeasured.NO_READING),
        (2, 0.45, NotMeasured.STUCK),
    ],
)
def test_while_the_sensor_sees_nothing_nobody_knows_whose_the_next_face_is(
    identical: int, blind_for_s: float, why: NotMeasured | None
) -> None:
    """Silent, or the same reading again and again, since the card was tapped."""
    lane = Lane(policy=CASE)
    tapped_ns, lane.s = lane.ns, lane.s + blind_for_s
    watch = Watch(number=3, live_at_ns=tapped_ns - NS, identical=identical)
    found = bound(lane, watch, credential_ns=tapped_ns).temperature
    assert (found.why_not if found is not None else None) is why


def test_where_a_contact_tells_who_is_there_a_silent_sensor_loses_nobody() -> None:
    """Nor does it lose somebody whose presence is known already."""
    tapped_ns = Lane().ns
    watch = Watch(number=3, since_ns=tapped_ns, live_at_ns=tapped_ns, glimpsed_ns=tapped_ns + 1)
    lane = Lane(policy=CASE, presence_contact=True)
    lane.s = 1.0
    assert bound(lane, watch, credential_ns=tapped_ns).presence == 3
    lane = Lane(policy=CASE)
    lane.s = 1.0
    assert bound(lane, watch, credential_ns=tapped_ns, presence=3).temperature is None


@pytest.mark.parametrize(("after_ns", "why"), [(0, None), (1, NotMeasured.TOO_FAR)])
def test_somebody_who_stood_too_far_away_and_left_was_most_likely_this_one(
    after_ns: int, why: NotMeasured | None
) -> None:
    """Glimpsed after the tap; whoever was glimpsed before it was somebody else."""
    lane = Lane(policy=CASE)
    watch = Watch(number=3, live_at_ns=lane.ns, glimpsed_ns=lane.ns + after_ns, seen=4)
    found = bound(lane, watch).temperature
    assert (found.why_not if found is not None else None) is why
    assert found is None or found.seen == 4


def test_where_no_temperature_is_asked_nobody_is_missed() -> None:
    """Neither a glimpse nor a blind sensor says anything about this person."""
    lane = Lane(policy=load_policy("building_door"))
    assert bound(lane, Watch(number=3, live_at_ns=lane.ns, glimpsed_ns=lane.ns + 1)).temperature is None
    assert bound(lane, Watch(number=3), credential_ns=lane.ns - NS).temperature is None


def test_two_people_with_codes_alone_are_not_the_same_person() -> None:
    """Neither has a card: that is nothing they have in common."""
    lane = Lane(policy=CASE)
    decided = after_verdict_on(lane, "")
    watch = replace(lane.state.watch, live_at_ns=lane.ns, warm_at_ns=lane.ns)
    person = somebody(lane, code_key="code:2")
    bench = bench_of(lane, person=person, decided=decided, watch=watch, served_presence=watch.number)
    bind(bench)
    assert bench.person().presence is None


def test_who_steps_away_from_a_sensor_that_is_no_good_was_not_moving() -> None:
    """The sensor's trouble is told; where no temperature is asked, only that there is none."""
    lane = Lane(policy=CASE, sensor=replace(Lane().sensor, drifted=True))
    assert bound(lane, Watch(number=3), presence=3).temperature.why_not is NotMeasured.DRIFT
    asks_none = Lane(policy=load_policy("building_door"))
    assert bound(asks_none, Watch(number=3), presence=3).temperature.why_not is NotMeasured.NO_READING


def test_the_same_person_measured_again_is_the_same_presence() -> None:
    """A passage that follows another has stood there all the time; what counts is read from now on."""
    lane = Lane(policy=CASE)
    watch = Watch(number=3, since_ns=lane.ns - NS, live_at_ns=lane.ns)
    for follows, presence in (("in-1", 3), ("", None)):
        bench = bench_of(lane, person=somebody(lane, follows=follows), watch=watch, served_presence=3)
        bind(bench)
        assert bench.person().presence == presence
    assert bound(lane, watch, presence=3, fresh_from_ns=7).fresh_from_ns == 7, "bound once"


def before_the_sensor(lane: Lane, **known: object) -> Bench:
    """Somebody has stood still for a second, and is bound to that presence."""
    lane.face(NORMAL_SKIN_C, 1.0)
    person = somebody(lane, **{"card": RESIDENT, "presence": lane.state.watch.number, **known})
    return bench_of(lane, person=person)


def test_a_window_that_settled_is_this_persons_temperature() -> None:
    """With its readings, the sensor they were read by, and one more shot."""
    bench = before_the_sensor(Lane(policy=CASE), shots=1)
    measure(bench)
    person = bench.person()
    assert person.temperature.outcome is TemperatureOutcome.NORMAL
    assert (person.window, person.sensor, person.shots) == (bench.state.watch.warm, bench.sensor, 2)


@pytest.mark.parametrize("known", [{"presence": None}, {"presence": 99}, {"temperature": FEVER}])
def test_nobody_elses_window_and_no_second_one_is_taken(known: dict[str, object]) -> None:
    """Not bound, bound to somebody before, or measured already."""
    bench = before_the_sensor(Lane(policy=CASE), **known)
    measure(bench)
    assert (bench.person().temperature, bench.person().shots) == (known.get("temperature"), 0)


def test_whoever_has_stepped_away_is_measured_no_more() -> None:
    """What the sensor sees from then on is the wall, however long a face was asked for."""
    lane = Lane(policy=CASE)
    bench = before_the_sensor(lane, measuring_since_ns=lane.ns - 60 * NS)
    bench.put(watch=screening.end_presence(bench.state.watch))
    bench.now = replace(lane.now, mono_ns=lane.ns + 60 * NS)
    measure(bench)
    assert bench.person().temperature is None


def test_a_sensor_that_is_gone_measures_nobody() -> None:
    """What it read before is no measurement; neither is what a module that only hints reads."""
    lane = Lane(policy=CASE)
    bench = before_the_sensor(lane)
    bench.put(up=bench.state.up - {"thermo"})
    measure(bench)
    assert bench.person().temperature is None
    hints = before_the_sensor(Lane(policy=CASE))
    hints.setup = replace(hints.setup, sensor=None)
    measure(hints)
    assert hints.person().temperature is None


def test_readings_from_before_count_for_nothing() -> None:
    """Measured again: the fresh ones have to settle by themselves, those at the very instant among them."""
    lane = Lane(policy=CASE)
    lane.face(NORMAL_SKIN_C, 1.0)
    warm = lane.state.watch.warm
    for first, measured in ((-5, True), (-4, False)):
        fresh_from_ns = warm[first].at_ns
        bench = bench_of(
            lane,
            person=somebody(lane, card=RESIDENT, presence=lane.state.watch.number, fresh_from_ns=fresh_from_ns),
        )
        measure(bench)
        assert (bench.person().temperature is not None) is measured
        assert bench.person().window == (warm[-5:] if measured else ())


@pytest.mark.parametrize(("asked_s_ago", "why"), [(None, None), (1.9, None), (2.0, NotMeasured.MOVING)])
def test_an_unsettled_window_is_a_finding_only_once_a_face_was_asked_for(
    asked_s_ago: float | None, why: NotMeasured | None
) -> None:
    """Before that they may yet stand still, however long they have been fidgeting."""
    lane = Lane(policy=CASE)
    for number in range(40):
        lane.wait(0.1)
        lane.reading(NORMAL_SKIN_C + (0.0, 0.4)[number % 2])
    since_ns = None if asked_s_ago is None else lane.ns - int(asked_s_ago * NS)
    person = somebody(lane, card=RESIDENT, presence=lane.state.watch.number, measuring_since_ns=since_ns)
    bench = bench_of(lane, person=person)
    measure(bench)
    found = bench.person().temperature
    assert (found.why_not if found is not None else None) is why


def measuring(lane: Lane, watch: Watch | None = None, **known: object) -> tuple[bool, Bench]:
    bench = bench_of(lane, person=somebody(lane, card=RESIDENT, **known), watch=watch or Watch(live_at_ns=lane.ns))
    return still_measuring(bench), bench


@pytest.mark.parametrize(("presence", "hint"), [(None, Hint.LOOK_AT_SENSOR), (3, Hint.HOLD_STILL)])
def test_whoever_is_to_be_measured_is_told_what_to_do(presence: int | None, hint: Hint) -> None:
    """Come before the sensor, or stand still before it; for six seconds from the first asking."""
    lane = Lane(policy=CASE)
    goes_on, bench = measuring(lane, presence=presence)
    person = bench.person()
    assert goes_on
    assert (bench.state.phase, bench.state.hint, person.waiting_for) == (Phase.MEASURING, hint, ("temperature",))
    assert (person.measuring_since_ns, person.measure_by_ns) == (lane.ns, lane.ns + 6 * NS)
    lane.s += 1.0
    bench.now = lane.now
    assert still_measuring(bench)
    assert bench.person().measuring_since_ns == person.measuring_since_ns


def test_a_temperature_ends_the_measuring_at_once() -> None:
    """One that is there, and one that settles in the very step in which it is asked for."""
    assert not measuring(Lane(policy=CASE), temperature=NORMAL)[0]
    bench = before_the_sensor(Lane(policy=CASE))
    assert not still_measuring(bench)
    assert bench.person().temperature.outcome is TemperatureOutcome.NORMAL


@pytest.mark.parametrize(
    ("asked_s_ago", "there", "why"),
    [
        (5.999, False, None),
        (6.0, False, NotMeasured.NO_READING),
        (6.0, True, NotMeasured.TOO_FAR),
    ],
)
def test_a_face_is_waited_for_six_seconds(asked_s_ago: float, there: bool, why: NotMeasured | None) -> None:
    """Then there is none: nobody came, or somebody who could not be bound stood there."""
    lane = Lane(policy=CASE)
    since_ns = lane.ns - int(asked_s_ago * NS)
    watch = Watch(number=3, since_ns=lane.ns if there else None, live_at_ns=lane.ns, seen=2)
    goes_on, bench = measuring(lane, watch, measuring_since_ns=since_ns, measure_by_ns=since_ns + 6 * NS)
    found = bench.person().temperature
    assert goes_on is (why is None)
    assert (found.why_not if found is not None else None) is why
    assert found is None or found.seen == 2


def test_who_is_bound_is_waited_for_by_their_window_and_not_by_the_clock() -> None:
    """Six seconds are for coming; who stands there gets what the window takes."""
    lane = Lane(policy=CASE)
    goes_on, _ = measuring(lane, presence=3, measuring_since_ns=1, measure_by_ns=lane.ns - 1)
    assert goes_on


def test_nobody_waits_for_a_sensor_that_is_no_good() -> None:
    """The next one's face might be taken for theirs once it is back; who stands there already may go on."""
    lane = Lane(policy=CASE, sensor=replace(Lane().sensor, drifted=True))
    goes_on, bench = measuring(lane, Watch(live_at_ns=lane.ns, seen=3))
    assert not goes_on
    assert (bench.person().temperature.why_not, bench.person().temperature.seen) == (NotMeasured.DRIFT, 3)
    assert measuring(lane, presence=3)[0]


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
