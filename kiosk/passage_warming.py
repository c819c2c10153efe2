"""Who came in from the cold: waits inside while the lane goes on, is measured again at 3 and 5 minutes. Pure.

Forehead skin comes back slowly: 36.6 degC at rest, 0.8 short of it three minutes after coming in and 0.5 short after
five (Dzien 2020, 92 people). So a reading before three minutes is none, and one from then on has what is still missing
added before it is judged. The guard may measure anybody who waits with the contact thermometer, at a side point and
without the person before the lane: its value decides.
"""

from __future__ import annotations

from dataclasses import replace

from kiosk.decision import WARM_AGAIN_S
from kiosk.evidence import NotMeasured
from kiosk.passage_bench import NS, Bench
from kiosk.passage_state import Decided, Person, Warming
from kiosk.reasons import Direction
from kiosk.screening import Sensor

MISSING_C = ((300, 0.5), (180, 0.8))
"""What skin is short of its rest value, degC, from so many seconds inside; the largest span that has passed counts."""
FORGOTTEN_NS = 900 * NS
"""Who comes back later than this has warmed up, and is measured like everybody."""
MAX_WARMING = 32


def warming_of(bench: Bench, person: Person) -> Warming | None:
    """The entry of this person, by the pass or by the passage that this one goes on from; None for everybody else."""
    subject, passages = _subject(person), (person.passage, person.follows)
    for waiting in bench.state.warming:
        mine = (subject and _subject(waiting.person) == subject) or waiting.person.passage in passages
        if mine and not _forgotten(bench, waiting):
            return waiting
    return None


def cold_for_s(bench: Bench, person: Person) -> int:
    """How long ago this person's skin was first found too cold, in seconds; 0 for everybody else."""
    waiting = warming_of(bench, person)
    return 0 if waiting is None else (bench.ns - waiting.since_ns) // NS


def too_early(bench: Bench, person: Person) -> bool:
    """Whether the person waits inside and the first time to measure again has not come."""
    waiting = warming_of(bench, person)
    return waiting is not None and bench.ns - waiting.since_ns < WARM_AGAIN_S[0] * NS


def warmed(bench: Bench, sensor: Sensor, person: Person) -> Sensor:
    """The sensor for this person: with what skin from the cold still lacks added to what it reads."""
    cold_s = cold_for_s(bench, person)
    missing_c = next((missing_c for from_s, missing_c in MISSING_C if cold_s >= from_s), 0.0)
    return replace(sensor, offset_c=round(sensor.offset_c + missing_c, 6)) if missing_c else sensor


def keep_warming(bench: Bench, decided: Decided) -> None:
    """After a refusal: whose skin was too cold waits from the first time on; any other finding ends the waiting."""
    found, before = decided.person.temperature, warming_of(bench, decided.person)
    others = tuple(known for known in bench.state.warming if known is not before and not _forgotten(bench, known))
    cold = found is not None and found.why_not is NotMeasured.COLD_SKIN and bench.setup.direction is Direction.IN
    if not cold:
        bench.put(warming=others)
        return
    since_ns, since_us = (bench.ns, bench.now.at_us) if before is None else (before.since_ns, before.since_us)
    waiting = Warming(person=decided.person, category=decided.verdict.category, since_ns=since_ns, since_us=since_us)
    bench.put(warming=(*others, waiting)[-MAX_WARMING:])


def no_longer_warming(bench: Bench, decided: Decided) -> None:
    """The person went in."""
    mine = warming_of(bench, decided.person)
    if mine is not None:
        bench.put(warming=tuple(waiting for waiting in bench.state.warming if waiting is not mine))


def _forgotten(bench: Bench, waiting: Warming) -> bool:
    return bench.ns - waiting.since_ns >= FORGOTTEN_NS


def _subject(person: Person) -> str:
    return person.card.subject if person.card is not None and person.card.refusal is None else ""
