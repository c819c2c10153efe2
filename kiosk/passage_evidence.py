"""What is known of the person of the running passage, put together for the decision. Pure."""

from __future__ import annotations

from kiosk.evidence import Estimate, Evidence
from kiosk.passage_bench import NS, Bench
from kiosk.passage_state import Person
from kiosk.passage_warming import cold_for_s

KEPT_FOR_NS = 1800 * NS
"""How long a refused resident is remembered; who comes back later starts anew."""


def evidence_of(bench: Bench, person: Person) -> Evidence:
    """Everything known about this person at this instant, with the lane's faults and the local time."""
    setup, local = bench.setup, bench.setup.local_time(bench.now.at_us)
    return Evidence(
        lane=setup.lane,
        direction=setup.direction,
        place=setup.place,
        clock_trust=bench.now.clock_trust,
        local_minute=local.minute,
        weekday=local.weekday,
        card=person.card,
        code=person.code,
        temperature=person.temperature,
        attestation=person.attestation,
        thermometer_fault=not bench.up("thermometer"),
        camera_fault=not bench.up("camera"),
        recent_measurement=recent(bench, person),
        shots=max(1, person.shots),
        home_waiting_s=_waited_s(bench, person),
        cold_for_s=cold_for_s(bench, person),
    )


def recent(bench: Bench, person: Person) -> Estimate | None:
    """The normal measurement that still serves this person (the policy's ``valid_for_min``), or None."""
    valid_ns = bench.setup.policy.temperature.valid_for_min * 60 * NS
    subject = person.card.subject if person.card is not None and person.card.refusal is None else ""
    if not valid_ns or not subject:
        return None
    found = (m for m in bench.state.measured if m.subject == subject and bench.ns - m.at_ns < valid_ns)
    return next((measured.estimate for measured in found), None)


def _waited_s(bench: Bench, person: Person) -> int:
    subject = person.card.subject if person.card is not None and person.card.refusal is None else ""
    found = [kept for kept in bench.state.kept if subject and kept.subject == subject]
    waits = [bench.ns - kept.since_ns for kept in found if bench.ns - kept.since_ns < KEPT_FOR_NS]
    return max(waits, default=0) // NS
