"""The verdict: written down first, then carried out, then followed until the person has passed. Pure."""

from __future__ import annotations

from dataclasses import replace

from kiosk import decision, screening
from kiosk.board import Hint, Phase
from kiosk.evidence import NotMeasured
from kiosk.passage_asked import temperature_only_hinted
from kiosk.passage_bench import Bench
from kiosk.passage_events import Announce, Commit, CommitFailed, Committed, PassageClosed, Pulse
from kiosk.passage_evidence import evidence_of
from kiosk.passage_kept import keep_waiting, no_longer_kept
from kiosk.passage_measuring import keep_measurement, watch_drift
from kiosk.passage_record import facts_only, passage_payloads
from kiosk.passage_state import Decided, Opened
from kiosk.passage_warming import keep_warming, no_longer_warming, warming_of
from kiosk.reasons import Direction, Passed
from kiosk.records import Kind
from kiosk.verdict import Verdict


def decide_passage(bench: Bench) -> None:
    """Decide on what is known now, and have it written."""
    person = bench.person()
    if person.temperature is None and temperature_only_hinted(bench, person):
        person = bench.person(temperature=screening.not_measured(NotMeasured.HINT_ONLY, None))
    evidence = evidence_of(bench, person)
    commit_passage(bench, decision.decide(evidence, bench.setup.policy, bench.now), guard="")


def commit_passage(bench: Bench, verdict: Verdict, *, guard: str) -> None:
    """Have this verdict written; nothing opens and nothing is shown before the journal's answer."""
    person = bench.person(pending="", awaited="", waiting_for=())
    before = warming_of(bench, person)
    if before is not None and not person.follows:
        person = bench.person(follows=before.person.passage)
    watch = bench.state.watch
    payloads = passage_payloads(
        evidence=evidence_of(bench, person),
        verdict=verdict,
        sensor=person.sensor or bench.sensor,
        window=person.window,
        passage=person.passage,
        follows=person.follows,
        credential_to_verdict_ms=(bench.ns - person.credential_ns) // 1_000_000,
        guard=guard,
    )
    bench.put(
        person=None,
        phase=Phase.DECIDED,
        hint=Hint.NONE,
        served_presence=watch.number if watch.present else bench.state.served_presence,
        decided=Decided(
            person=person,
            verdict=verdict,
            ref=person.passage,
            decided_ns=bench.ns,
            decided_at_us=bench.now.at_us,
            presence=watch.number if watch.present else None,
            by_guard=guard,
        ),
    )
    bench.emit(Commit(draft=bench.draft(Kind.PASSAGE, person.passage, payloads)))


def committed(bench: Bench, event: Committed) -> None:
    """The journal has it durably: carry it out."""
    decided = bench.state.decided
    if decided is None or decided.committed or decided.ref != event.ref:
        return
    _publish(bench, decided)


def commit_failed(bench: Bench, event: CommitFailed) -> None:
    """The journal fails: who gets in is the policy's ``on_journal_failure``; the draft waits in memory."""
    decided = bench.state.decided
    if decided is None or decided.committed or decided.ref != event.ref:
        return
    verdict = decision.under_failed_journal(decided.verdict, bench.setup.policy, bench.setup.direction)
    decided = replace(decided, verdict=verdict)
    _publish(bench, decided)
    bench.alarm("journal_failed", bench.setup.lane, passage=event.ref, opened=verdict.admit)


def _publish(bench: Bench, decided: Decided) -> None:
    """The verdict is durable (or its rule for a failed journal applied): open, say so, follow up."""
    verdict, holds = decided.verdict, bench.setup.policy.holds
    hold_s = holds.admit_s if verdict.admit else holds.deny_s
    bench.put(decided=replace(decided, committed=True, hold_until_ns=bench.seconds(hold_s)), phase=Phase.DECIDED)
    if verdict.admit:
        _open(bench, decided)
    bench.emit(Announce(passage=decided.person.passage, verdict=verdict, by_guard=bool(decided.by_guard)))
    watch_drift(bench, decided.person)
    if verdict.admit:
        keep_measurement(bench, decided.person)
        no_longer_kept(bench, decided)
        no_longer_warming(bench, decided)
    else:
        keep_waiting(bench, decided)
        keep_warming(bench, decided)


def _open(bench: Bench, decided: Decided) -> None:
    passage, holds = decided.person.passage, bench.setup.policy.holds
    bench.emit(Pulse(passage=passage, duration_s=bench.setup.pulse_s))
    if bench.state.opened is not None:
        close_passage(bench, Passed.UNKNOWN)
    if bench.setup.passage_contact:
        bench.put(opened=Opened(passage=passage, until_ns=bench.seconds(holds.passed_within_s)))
    bench.put(door_expected_until_ns=bench.seconds(holds.passed_within_s))
    category = bench.setup.policy.category_named(decided.verdict.category)
    if bench.setup.direction is Direction.OUT and category is not None and category.report_exit:
        bench.alarm("left_under_observation", passage, passage=passage)


def close_passage(bench: Bench, passed: Passed) -> None:
    """Write whether the person admitted last went through."""
    opened = bench.state.opened
    if opened is not None:
        facts = facts_only(passage=opened.passage, passed=str(passed))
        bench.remember(Kind.PASSED, opened.passage, facts)
        bench.emit(PassageClosed(passage=opened.passage, passed=passed))
        bench.put(opened=None)
