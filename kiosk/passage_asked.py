"""What the policy asks of the person in the lane, and what of it is still missing. Pure."""

from __future__ import annotations

from config.policy import REQUIRED
from kiosk import decision
from kiosk.passage_bench import Bench
from kiosk.passage_evidence import evidence_of, recent
from kiosk.passage_state import Person
from kiosk.reasons import CheckState, Direction


def _asked(bench: Bench, person: Person) -> frozenset[str]:
    """The checks that the policy asks of this person in this direction, after the order's end none on health."""
    policy = bench.setup.policy
    category = policy.category_named(decision.category_of(person.card, policy))
    if category is None:
        return frozenset()
    way = category.entry if bench.setup.direction is Direction.IN else category.exit
    asked = {check for check, rule in (way or {}).items() if rule == REQUIRED}
    if way is None and bench.setup.direction is Direction.IN and person.card is None:
        asked = {"pass"}
    if decision.lapsed_order(policy, bench.now):
        asked -= {"temperature", "health_code", "trip"}
    return frozenset(asked)


def missing_credentials(bench: Bench, person: Person) -> tuple[str, ...]:
    """What the person can still present: ``card``, ``code``. Nothing when the pass already settles it."""
    if person.card is not None and person.card.refusal is not None:
        return ()
    asked, missing = _asked(bench, person), []
    if "pass" in asked and person.card is None and bench.up("card"):
        missing.append("card")
    if {"health_code", "trip"} & asked and bench.up("camera") and not _code_settled(person, asked):
        missing.append("code")
    return tuple(missing)


def _code_settled(person: Person, asked: frozenset[str]) -> bool:
    said = person.attestation
    code = person.code is not None or (said is not None and said.code is not None)
    trip = (person.code is not None) or (said is not None and said.trip_clear is not None)
    return (code or "health_code" not in asked) and (trip or "trip" not in asked)


def temperature_only_hinted(bench: Bench, person: Person) -> bool:
    """Whether a temperature is asked for by a lane whose thermometer works but gives nothing to rest a verdict on."""
    asked = "temperature" in _asked(bench, person) and recent(bench, person) is None
    return asked and bench.setup.sensor is None and bench.up("thermometer")


def temperature_missing(bench: Bench, person: Person) -> bool:
    """Whether a temperature is asked for and can still be had: none known, none recent, the thermometer works."""
    if person.card is not None and person.card.refusal is not None:
        return False
    if "temperature" not in _asked(bench, person) or person.temperature is not None:
        return False
    return bench.up("thermometer") and bench.sensor is not None and recent(bench, person) is None


def pass_fails(bench: Bench, person: Person) -> bool:
    """Whether the pass check has failed for good, so that nothing else need be asked of the person."""
    if person.card is None:
        return False
    verdict = decision.decide(evidence_of(bench, person), bench.setup.policy, bench.now)
    return verdict.checks[0].state is CheckState.FAIL
