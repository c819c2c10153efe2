"""The running passage and its measuring window: bound to one presence, measured, kept for later. Pure."""

from __future__ import annotations

from dataclasses import replace

from kiosk import screening
from kiosk.board import Hint, Phase
from kiosk.calibration import Drift
from kiosk.evidence import NotMeasured, TemperatureOutcome
from kiosk.passage_asked import temperature_missing
from kiosk.passage_bench import NS, Bench, ask, normal_only
from kiosk.passage_state import Measured, Person
from kiosk.passage_warming import too_early, warmed
from kiosk.temperature_record import centi

MAX_MEASURED = 8192


def bind(bench: Bench) -> None:
    """Bind the running passage to the presence before the sensor, once; one that has served a verdict is not free."""
    person, watch = bench.person(), bench.state.watch
    if person.temperature is None and too_early(bench, person) and temperature_missing(bench, person):
        bench.person(temperature=screening.not_measured(NotMeasured.COLD_SKIN, bench.sensor))
    if person.presence is None and person.temperature is None and _blind(bench, person):
        # The person may have come and gone unseen: the next face before the sensor may be somebody else's.
        why = NotMeasured.STUCK if watch.identical > 1 else NotMeasured.NO_READING
        bench.person(temperature=screening.not_measured(why, bench.sensor))
        return
    if person.presence is None and person.temperature is None and _glimpsed(bench, person):
        # Somebody stood there, unrecognised, and left: most likely this person, so the next face is not theirs.
        bench.person(temperature=screening.not_measured(NotMeasured.TOO_FAR, bench.sensor, seen=watch.seen))
        return
    if person.presence is None and watch.present:
        again = watch.number == bench.state.served_presence and _served_before(bench, person)
        if again or watch.number != bench.state.served_presence:
            since = watch.since_ns or 0
            bench.person(presence=watch.number, fresh_from_ns=bench.ns if again else since)
        return
    left = person.presence is not None and not (watch.present and watch.number == person.presence)
    if left and person.temperature is None:
        why = NotMeasured.MOVING if temperature_missing(bench, person) else NotMeasured.NO_READING
        bench.person(temperature=screening.not_measured(_trouble(bench) or why, bench.sensor))


def _glimpsed(bench: Bench, person: Person) -> bool:
    watched = not bench.contact and temperature_missing(bench, person)
    return watched and bench.state.watch.glimpsed_ns > person.credential_ns


def _blind(bench: Bench, person: Person) -> bool:
    watched = not bench.contact and temperature_missing(bench, person)
    return watched and bench.ns >= screening.blind_from_ns(bench.state.watch, person.credential_ns)


def _trouble(bench: Bench) -> NotMeasured | None:
    return screening.sensor_trouble(bench.state.watch, bench.sensor) if bench.sensor is not None else None


def _served_before(bench: Bench, person: Person) -> bool:
    """Whether the presence that served the last verdict was this very person's."""
    last = bench.state.decided
    same_card = last is not None and person.card_key != "" and person.card_key == last.person.card_key
    return person.follows != "" or same_card


def window_from_ns(bench: Bench, person: Person) -> int:
    """From when the window's time counts: asked for, stepped up, and fresh, whichever came last."""
    return max(person.measuring_since_ns or 0, bench.state.watch.since_ns or 0, person.fresh_from_ns)


def measure(bench: Bench) -> None:
    """Take the window's result for the bound person. Before MEASURING only a settled one: they may yet stand still."""
    person, watch, sensor = bench.person(), bench.state.watch, bench.sensor
    bound = person.presence is not None and watch.present and watch.number == person.presence
    if sensor is None or not bound or person.temperature is not None or not bench.up("thermometer"):
        return
    sensor = warmed(bench, sensor, person)
    fresh = replace(watch, warm=tuple(r for r in watch.warm if r.at_ns >= person.fresh_from_ns))
    found = screening.measure(fresh, sensor, bench.ns, window_from_ns(bench, person))
    if found is None:
        return
    if found.outcome is TemperatureOutcome.NOT_MEASURED and person.measuring_since_ns is None:
        return
    bench.person(temperature=found, window=fresh.warm, sensor=sensor, shots=person.shots + 1)


def still_measuring(bench: Bench) -> bool:
    """Enter or go on with MEASURING; False as soon as there is a temperature or the wait for a face is over."""
    person = bench.person()
    if person.measuring_since_ns is None:
        measure_by_ns = bench.seconds(bench.setup.policy.waits.temperature_s)
        bench.person(measuring_since_ns=bench.ns, measure_by_ns=measure_by_ns)
        measure(bench)
        person = bench.person()
    if person.temperature is not None:
        return False
    trouble = _trouble(bench)
    if person.presence is None and trouble is not None:
        # Whoever waits for a sensor that is no good might be measured by the face of the next one when it is back.
        bench.person(temperature=screening.not_measured(trouble, bench.sensor, seen=bench.state.watch.seen))
        return False
    if person.presence is None and person.measure_by_ns is not None and bench.ns >= person.measure_by_ns:
        why = NotMeasured.TOO_FAR if bench.state.watch.present else NotMeasured.NO_READING
        bench.person(temperature=screening.not_measured(why, bench.sensor, seen=bench.state.watch.seen))
        return False
    bench.person(waiting_for=("temperature",))
    bound = person.presence is not None
    ask(bench, Hint.HOLD_STILL if bound else Hint.LOOK_AT_SENSOR)
    bench.put(phase=Phase.MEASURING)
    return True


def keep_measurement(bench: Bench, person: Person) -> None:
    """Keep a normal measurement of a known person, where the policy lets one serve for a while."""
    valid_ns = bench.setup.policy.temperature.valid_for_min * 60 * NS
    subject = person.card.subject if person.card is not None and person.card.refusal is None else ""
    normal = normal_only(person.temperature)
    if not valid_ns or not subject or normal is None:
        return
    others = tuple(m for m in bench.state.measured if m.subject != subject and bench.ns - m.at_ns < valid_ns)
    bench.put(measured=(*others, Measured(subject=subject, estimate=normal, at_ns=bench.ns))[-MAX_MEASURED:])


def watch_drift(bench: Bench, person: Person) -> None:
    """One more normal estimate of the sensor; an alarm when its median begins to warn, and when it stops."""
    found, sensor = normal_only(person.temperature), bench.sensor
    if found is None or found.by_guard or found.estimate_c is None or sensor is None or person.follows:
        return
    before = bench.state.drift.state
    air_c = sensor.model.nominal_air_c if sensor.air_c is None else sensor.air_c
    bench.put(drift=bench.state.drift.seen(found.estimate_c, air_c))
    after, moved_c = bench.state.drift.state, bench.state.drift.moved_c()
    if after is not before and after in (Drift.WARN, Drift.STOP):
        bench.alarm(f"thermometer_drift_{after}", bench.setup.lane, moved_centi_c=centi(moved_c))
