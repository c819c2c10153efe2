"""The guard's word in a lane: attest, measure again, admit or refuse once, register a visitor, open at once. Pure."""

from __future__ import annotations

from dataclasses import replace

from kiosk import decision, screening
from kiosk.board import Acknowledge, Attest, Emergency, EnterTemperature, Hint, MeasureAgain, Override, Phase
from kiosk.evidence import Attestation
from kiosk.passage_advance import advance
from kiosk.passage_bench import NS, Bench, passage_id, second_by
from kiosk.passage_events import HoldOpen, RaiseAlarm, VisitorRegistered
from kiosk.passage_evidence import evidence_of
from kiosk.passage_kept import close_referral
from kiosk.passage_record import facts_only, override_payloads
from kiosk.passage_state import Person
from kiosk.passage_verdict import commit_passage
from kiosk.reasons import Direction
from kiosk.records import Kind, PayloadClass


def _running_or_refused(bench: Bench) -> Person | None:
    """The person the guard speaks of: the running passage's, else the one just refused (who then runs again)."""
    if bench.state.person is not None:
        return bench.state.person
    decided = bench.state.decided
    if decided is None or not decided.committed or decided.verdict.admit:
        return None
    if bench.ns - decided.decided_ns >= int(bench.setup.policy.waits.attestation_s * NS):
        return None
    person = replace(
        decided.person,
        passage=passage_id(bench),
        follows=decided.person.passage,
        began_ns=bench.ns,
        deadline_ns=second_by(bench),
        measuring_since_ns=None,
        measure_by_ns=None,
    )
    bench.put(person=person, phase=Phase.IDENTIFYING, hint=Hint.NONE)
    return person


def attest(bench: Bench, event: Attest) -> None:
    """The guard says what they saw; what was said before and not again still holds."""
    person = _running_or_refused(bench)
    if person is None:
        bench.reply(done=False, message="nobody_here")
        return
    before = person.attestation
    said = Attestation(
        guard=event.guard,
        code=event.code if event.code is not None or before is None else before.code,
        trip_clear=event.trip_clear if event.trip_clear is not None or before is None else before.trip_clear,
        at_us=bench.now.at_us,
    )
    bench.person(attestation=said)
    facts = facts_only(passage=person.passage, guard=event.guard, what=_attested_what(event))
    seen = {"code": "" if event.code is None else str(event.code), "trip_clear": event.trip_clear}
    bench.remember(Kind.ATTESTATION, person.passage, {**facts, PayloadClass.HEALTH: seen})
    bench.reply(done=True, passage=person.passage)
    advance(bench)


def _attested_what(event: Attest) -> str:
    return "+".join(
        what for what, said in (("code", event.code is not None), ("trip", event.trip_clear is not None)) if said
    )


def measure_again(bench: Bench, event: MeasureAgain) -> None:
    """Drop the temperature and measure anew: the same passage, or a new one that follows the refused one."""
    person = _running_or_refused(bench)
    if person is None or bench.sensor is None:
        bench.reply(done=False, message="nobody_here" if person is None else "no_thermometer")
        return
    bench.person(
        temperature=None, window=(), presence=None, fresh_from_ns=bench.ns, measuring_since_ns=None, measure_by_ns=None,
        follows=person.follows or person.passage,
    )  # fmt: skip
    bench.reply(done=True, passage=person.passage)
    advance(bench)


def enter_temperature(bench: Bench, event: EnterTemperature) -> None:
    """A contact thermometer's value, read by the guard; within its range it decides."""
    object_c = event.object_centi_c / 100
    if not screening.CONTACT_FROM_C <= object_c <= screening.CONTACT_TO_C:
        bench.reply(done=False, message="temperature_out_of_range")
        return
    waits = any(known.person.passage == event.passage for known in bench.state.warming)
    if waits or event.passage not in ("", bench.state.passage):
        if not _called_in(bench, event.passage):
            return
    elif _running_or_refused(bench) is None:
        bench.reply(done=False, message="nobody_here")
        return
    person = bench.person()
    bench.person(temperature=screening.by_contact_thermometer(object_c), window=(), shots=person.shots + 1)
    bench.reply(done=True, passage=person.passage)
    advance(bench)


def _called_in(bench: Bench, passage: str) -> bool:
    """Take up somebody who waits inside, when the lane is free; a reply says why not."""
    waiting = next((known for known in bench.state.warming if known.person.passage == passage), None)
    decided = bench.state.decided
    if waiting is None:
        bench.reply(done=False, message="passage_over")
        return False
    if bench.state.person is not None or (decided is not None and not decided.committed):
        bench.reply(done=False, message="journal_busy")
        return False
    person = replace(
        waiting.person, passage=passage_id(bench), follows=passage, began_ns=bench.ns, credential_ns=bench.ns,
        deadline_ns=second_by(bench), presence=None, measuring_since_ns=None, measure_by_ns=None,
    )  # fmt: skip
    bench.put(person=person, phase=Phase.IDENTIFYING, hint=Hint.NONE)
    return True


def override(bench: Bench, event: Override) -> None:
    """Admit or refuse once. The running person, or the one refused last; OUT cannot be refused."""
    state = bench.state
    if not event.admit and bench.setup.direction is Direction.OUT:
        bench.reply(done=False, message="out_never_holds")
        return
    if not event.reason.strip():
        bench.reply(done=False, message="reason_missing")
        return
    if state.passage != event.passage or not event.passage:
        bench.reply(done=False, message="passage_over")
        return
    if state.person is None and (state.decided is None or state.decided.verdict.admit):
        bench.reply(done=False, message="already_admitted")
        return
    person = _running_or_refused(bench)
    if person is None:
        bench.reply(done=False, message="passage_over")
        return
    verdict = decision.decide(evidence_of(bench, person), bench.setup.policy, bench.now)
    verdict = decision.by_guard(verdict, admit=event.admit, guard=event.guard, direction=bench.setup.direction)
    payloads = override_payloads(
        passage=person.passage, admit=event.admit, guard=event.guard, reason=event.reason, note=event.note
    )
    commit_passage(bench, verdict, guard=event.guard)
    bench.remember(Kind.OVERRIDE, person.passage, payloads)
    bench.reply(done=True, passage=person.passage)


def acknowledge(bench: Bench, event: Acknowledge) -> None:
    """The guard has seen a refusal: it leaves the console; a referral is closed, a resident's waiting goes on."""
    decided = bench.state.decided
    if decided is not None and decided.person.passage == event.passage:
        bench.put(decided=replace(decided, acknowledged=True))
    mine = [kept for kept in bench.state.kept if kept.passage == event.passage]
    for kept in mine:
        if kept.referral:
            close_referral(bench, kept, f"guard:{event.guard}")
    # The resident's waiting time goes on: acknowledging is not admitting.
    bench.put(
        kept=tuple(
            replace(kept, alarmed=True, referral=False) if kept in mine else kept
            for kept in bench.state.kept
            if kept not in mine or kept.subject
        )
    )
    found = decided is not None and decided.person.passage == event.passage
    bench.reply(done=found or bool(mine), message="" if found or mine else "passage_over")


def emergency(bench: Bench, event: Emergency) -> None:
    """Opens first and is written when it can be; needs nobody's leave and no phase."""
    bench.emit(HoldOpen(on=event.open))
    already = bench.state.emergency_since_us is not None
    if already != event.open:
        bench.put(emergency_since_us=bench.now.at_us if event.open else None)
        facts = facts_only(open=event.open, guard=event.guard, why=event.why)
        bench.remember(Kind.EMERGENCY, "", facts)
        if event.open:
            bench.emit(RaiseAlarm(code="emergency_open", detail=bench.setup.lane))
    bench.reply(done=True)


def visitor_registered(bench: Bench, event: VisitorRegistered) -> None:
    """The guard registered the person in the lane: their pass counts for this passage."""
    if bench.state.phase is Phase.DECIDED and bench.state.decided is not None and not bench.state.decided.committed:
        bench.reply(done=False, message="journal_busy")
        return
    person = _running_or_refused(bench)
    if person is None:
        person = Person(
            passage=passage_id(bench), began_ns=bench.ns, credential_ns=bench.ns, deadline_ns=second_by(bench)
        )
        bench.put(person=person, phase=Phase.IDENTIFYING, hint=Hint.NONE)
    bench.person(card=event.finding, card_key=f"registered:{event.finding.subject}", deadline_ns=second_by(bench))
    bench.reply(done=True, passage=bench.state.passage)
    advance(bench)
