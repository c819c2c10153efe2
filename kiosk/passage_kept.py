"""Whom a refusal keeps waiting: residents at their own gate and open referrals, so that nobody is forgotten. Pure."""

from __future__ import annotations

from dataclasses import replace

from config.policy import HOME_WAITED
from kiosk import decision
from kiosk.passage_bench import Bench
from kiosk.passage_events import CloseReferral, OpenReferral
from kiosk.passage_evidence import KEPT_FOR_NS
from kiosk.passage_record import referral_payloads
from kiosk.passage_state import Decided, Kept
from kiosk.reasons import Direction, Reason
from kiosk.records import Kind
from kiosk.verdict import Verdict

MAX_KEPT = 64


def keep_waiting(bench: Bench, decided: Decided) -> None:
    """Remember whom a refusal keeps outside: residents at their own gate, and open referrals."""
    person, verdict = decided.person, decided.verdict
    card = person.card if person.card is not None and person.card.refusal is None else None
    home = bench.setup.direction is Direction.IN and bench.setup.policy.lives_here(verdict.category)
    referral = bool(decision.REFERRAL_REASONS & set(verdict.reasons)) or (
        Reason.TEMPERATURE_BORDERLINE in verdict.reasons and person.shots >= 2
    )
    if not home and not referral:
        return
    subject = card.subject if card is not None else ""
    before = next((k for k in bench.state.kept if subject and k.subject == subject), None)
    if before is not None and bench.ns - before.since_ns >= KEPT_FOR_NS:
        before = None
    stranded_ns = bench.seconds(bench.setup.policy.waits.stranded_s)
    kept = Kept(
        subject=subject,
        passage=person.passage if before is None or (referral and not before.referral) else before.passage,
        since_ns=bench.ns if before is None else before.since_ns,
        referral=referral or (before is not None and before.referral),
        stranded_ns=stranded_ns if before is None else before.stranded_ns,
        alarmed=before is not None and before.alarmed,
    )
    others = tuple(k for k in bench.state.kept if not (subject and k.subject == subject))
    bench.put(kept=(*others, kept)[-MAX_KEPT:])
    if referral and (before is None or not before.referral):
        _open_referral(bench, kept, verdict)


def _open_referral(bench: Bench, kept: Kept, verdict: Verdict) -> None:
    due_us = bench.now.at_us + int(bench.setup.policy.waits.stranded_s * 1_000_000)
    payloads = referral_payloads(
        passage=kept.passage, state="open", owner="guard", due_us=due_us, reasons=verdict.reasons
    )
    bench.remember(Kind.REFERRAL, kept.passage, payloads)
    bench.emit(
        OpenReferral(passage=kept.passage, subject=kept.subject, reasons=verdict.reasons, owner="guard", due_us=due_us)
    )


def no_longer_kept(bench: Bench, decided: Decided) -> None:
    """The person went in: the waiting is over. A referral ends too, unless only the waiting opened the gate."""
    person = decided.person
    subject = person.card.subject if person.card is not None else ""
    mine = [
        k
        for k in bench.state.kept
        if (subject and k.subject == subject) or k.passage in (person.passage, person.follows)
    ]
    waited = any(check.by == HOME_WAITED for check in decided.verdict.checks)
    for kept in mine:
        if kept.referral and not waited:
            close_referral(bench, kept, f"guard:{decided.by_guard}" if decided.by_guard else "admitted")
    bench.put(
        kept=tuple(
            replace(k, alarmed=True) if waited and k in mine else k
            for k in bench.state.kept
            if k not in mine or (waited and k.referral)
        )
    )


def close_referral(bench: Bench, kept: Kept, how: str) -> None:
    """Write that the case is over, and how."""
    payloads = referral_payloads(passage=kept.passage, state=f"closed:{how}", owner="guard", due_us=0, reasons=())
    bench.remember(Kind.REFERRAL, kept.passage, payloads)
    bench.emit(CloseReferral(passage=kept.passage, how=how))


def alarm_for_the_stranded(bench: Bench) -> None:
    """One alarm for everybody who has been kept waiting for longer than the policy allows."""
    due = [kept for kept in bench.state.kept if not kept.alarmed and bench.ns >= kept.stranded_ns]
    for kept in due:
        bench.alarm("stranded", kept.passage, passage=kept.passage)
    if due:
        bench.put(kept=tuple(replace(k, alarmed=True) if k in due else k for k in bench.state.kept))
