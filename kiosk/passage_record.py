"""The payloads of a lane's records, as integers-only dictionaries by payload class. Pure.

``facts`` say what the gate did and hold nothing about a person's body or name. ``health`` holds what was measured
and what a code said: of a normal temperature only its band and the rule's version, of everything else all that is
needed to compute it again. ``person`` holds the keyed pseudonym alone. Temperatures are hundredths of a degree
Celsius (``…_centi_c``), coefficients millionths (``…_micro``), spans milliseconds, instants microseconds.
``docs/formats.md`` lists the keys.
"""

from __future__ import annotations

from typing import Any

from drivers.devices import TemperatureReading
from kiosk.evidence import CodeFinding, Evidence
from kiosk.reasons import Reason
from kiosk.records import Kind, PayloadClass, Stream
from kiosk.screening import Sensor
from kiosk.temperature_record import temperature_payload
from kiosk.verdict import Verdict

Payloads = dict[PayloadClass, dict[str, Any]]


def passage_payloads(
    *,
    evidence: Evidence,
    verdict: Verdict,
    sensor: Sensor | None,
    window: tuple[TemperatureReading, ...],
    passage: str,
    follows: str,
    credential_to_verdict_ms: int,
    guard: str,
) -> Payloads:
    """The payloads of a passage record. ``window`` are the readings behind the estimate, oldest first."""
    facts: dict[str, Any] = {
        "passage": passage,
        "follows": follows,
        "direction": str(evidence.direction),
        "place": evidence.place,
        "category": verdict.category,
        "policy": verdict.policy_version,
        "admit": verdict.admit,
        "reasons": [str(reason) for reason in verdict.reasons],
        "next_step": str(verdict.next_step),
        "checks": [
            {
                "name": str(check.name),
                "state": str(check.state),
                "reason": str(check.reason) if check.reason is not None else "",
                "by": check.by,
            }
            for check in verdict.checks
        ],
        "credential": str(evidence.card.strength) if evidence.card is not None else "",
        "code_kind": evidence.code.kind if evidence.code is not None else "",
        "thermometer_fault": evidence.thermometer_fault,
        "camera_fault": evidence.camera_fault,
        "shots": evidence.shots,
        "credential_to_verdict_ms": credential_to_verdict_ms,
        "guard": guard,
    }
    if evidence.card is not None and evidence.card.remarks:
        facts["remarks"] = [str(remark) for remark in evidence.card.remarks]
    if evidence.card is not None and evidence.card.refusal is not None:
        facts["pass_refused"] = str(evidence.card.refusal)
    payloads: Payloads = {PayloadClass.FACTS: facts}
    health = _health(evidence, sensor, window)
    if health:
        payloads[PayloadClass.HEALTH] = health
    person = _person(evidence)
    if person:
        payloads[PayloadClass.PERSON] = person
    return payloads


def _health(evidence: Evidence, sensor: Sensor | None, window: tuple[TemperatureReading, ...]) -> dict[str, Any]:
    health: dict[str, Any] = {}
    if evidence.temperature is not None:
        health["temperature"] = temperature_payload(evidence.temperature, sensor, window)
    if evidence.recent_measurement is not None:
        health["recent"] = {
            "outcome": str(evidence.recent_measurement.outcome),
            "rule": evidence.recent_measurement.rule,
        }
    if evidence.code is not None:
        health["code"] = code_payload(evidence.code)
    if evidence.attestation is not None:
        said = evidence.attestation
        health["attestation"] = {
            "guard": said.guard,
            "code": str(said.code) if said.code is not None else "",
            "trip_clear": said.trip_clear,
            "at_us": said.at_us,
        }
    return health


def _person(evidence: Evidence) -> dict[str, Any]:
    person: dict[str, Any] = {}
    card = evidence.card
    if card is not None and (card.subject or card.evidence_hash):
        person["subject"] = card.subject
        if card.evidence_hash:
            person["evidence_hash"] = card.evidence_hash
        if card.lent_by:
            person["lent_by"] = card.lent_by
    if evidence.code is not None and evidence.code.subject_match:
        person["code_match"] = evidence.code.subject_match
    return person


def code_payload(code: CodeFinding) -> dict[str, Any]:
    """What a health code said; the hash of its text only where it was refused."""
    return {
        "kind": code.kind,
        "refusal": str(code.refusal) if code.refusal is not None else "",
        "status": str(code.status) if code.status is not None else "",
        "issuer": code.issuer,
        "expires_at_us": code.expires_at_us,
        "trip_clear": code.trip_clear,
        "detail": code.detail,
        "evidence_hash": code.evidence_hash,
    }


def override_payloads(*, passage: str, admit: bool, guard: str, reason: str, note: str) -> Payloads:
    """A guard's override: who, when (the record), why. The free text may name people, so it is a person's payload."""
    payloads: Payloads = {
        PayloadClass.FACTS: {"passage": passage, "admit": admit, "guard": guard, "reason": reason},
    }
    if note:
        payloads[PayloadClass.PERSON] = {"note": note}
    return payloads


def referral_payloads(*, passage: str, state: str, owner: str, due_us: int, reasons: tuple[Reason, ...]) -> Payloads:
    """A referral opened or closed; what was found is a health payload."""
    payloads: Payloads = {PayloadClass.FACTS: {"passage": passage, "state": state, "owner": owner, "due_us": due_us}}
    if reasons:
        payloads[PayloadClass.HEALTH] = {"reasons": [str(reason) for reason in reasons]}
    return payloads


def facts_only(**facts: Any) -> Payloads:
    """Payloads of a record that says nothing about anybody."""
    return {PayloadClass.FACTS: facts}


#: The stream of each kind that a lane writes.
STREAM_OF = {
    Kind.PASSAGE: Stream.PASSAGE,
    Kind.PASSED: Stream.PASSAGE,
    Kind.OVERRIDE: Stream.PASSAGE,
    Kind.ATTESTATION: Stream.PASSAGE,
    Kind.REGISTRATION: Stream.PASSAGE,
    Kind.REFERRAL: Stream.ALARM,
    Kind.EMERGENCY: Stream.ALARM,
    Kind.ALARM: Stream.ALARM,
    Kind.DEVICE: Stream.DIAGNOSTIC,
}
