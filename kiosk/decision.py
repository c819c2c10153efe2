"""The decision: everything known about one person, and the policy, become one verdict. Pure.

**Fail closed.** Every check that the policy requires must pass, or be waived by a rule or a guard whose name stands
in the check. Missing evidence makes a check *unknown*, and unknown never admits. All checks are judged and all
failures kept; :class:`kiosk.reasons.Reason` writes the order in which they are shown.

**Waivers.** A check that the policy does not ask of a category is waived by the policy's own rule; that is the
ordinary case and the verdict is ALL_CHECKS_PASSED. A check that was asked and is waived by circumstance (the order
has ended, nothing could be measured and the policy lets that go, a guard's word, the rules of coming home and of
leaving below) makes the verdict ADMITTED_WITH_WAIVER; the check keeps the reason for which it would have failed.

**Leaving.** OUT never holds anybody: what fails is noted and waived by ``out_never_holds``.

**Coming home.** For a category that lives here, IN, with a genuine, unrevoked pass:

- a *fault of the gate* (thermometer or camera out of service, clock not trusted, code only checkable online, the
  register incomplete) is waived at once by ``home_despite_fault``: nobody stays outside because a device broke;
- a *finding on the person* (raised, red, travel) and anything the person can still do (stand still, show a code) is
  not waived at once. The verdict is DENY, its next step leads to the guard or to the sensor, a finding opens a
  referral. It is no night outside: when the person has been kept waiting for ``policy.home.open_after_s`` and no
  guard has decided, the next tap opens by ``home_after_waiting``, and the referral stays open. A guard can admit or
  refuse at any moment before.

A revoked, cloned or forged card is not a resident's card, whoever holds it.

**Clock.** With trust ``none`` nothing that needs freshness passes as fresh: health codes, temporary passes, hours.
An order does not lapse by such a clock either. A card that needs no time still works.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

from config import policy as rules
from config.policy import Category, CodeAgain, JournalFailure, Policy, Unavailable
from kiosk.credentials.pass_binding import pass_hash
from kiosk.evidence import (
    AttestedCode,
    CardStrength,
    CodeFinding,
    CodeStatus,
    Evidence,
    NotMeasured,
    PassFinding,
    TemperatureOutcome,
)
from kiosk.reasons import CheckName, CheckState, ClockTrust, Direction, NextStep, Reason, by_importance
from kiosk.verdict import Check, Verdict


class Instant(Protocol):
    """What a decision needs of time (``kiosk.clock.Instant`` is one): UTC in microseconds and its trust."""

    @property
    def at_us(self) -> int:
        """UTC in microseconds."""
        ...

    @property
    def clock_trust(self) -> ClockTrust:
        """How far it can be believed."""
        ...


#: Reasons that say something of the gate and nothing of the person.
FAULT_REASONS = frozenset(
    {Reason.THERMOMETER_FAULT, Reason.CLOCK_UNTRUSTED, Reason.CODE_NEEDS_ONLINE, Reason.NOT_REGISTERED}
)
#: Why a sensor could not measure although the person did everything right.
SENSOR_TROUBLE = frozenset(
    {NotMeasured.STUCK, NotMeasured.DRIFT, NotMeasured.FAULT, NotMeasured.WARMING_UP, NotMeasured.SURROUNDINGS}
)
#: When skin from the cold is measured again, in seconds inside: the last time it still is too cold, the guard measures.
WARM_AGAIN_S = (180, 300)
#: Findings on the person's health that open a referral.
REFERRAL_REASONS = frozenset(
    {
        Reason.TEMPERATURE_RAISED,
        Reason.CODE_RED,
        Reason.CODE_YELLOW,
        Reason.CODE_NOT_GREEN,
        Reason.CODE_REVOKED,
        Reason.TRIP_NOT_CLEAR,
    }
)


@dataclass(frozen=True, slots=True)
class _Case:
    """What every check of one decision looks at."""

    evidence: Evidence
    policy: Policy
    category: Category | None
    trusted_clock: bool
    lapsed_order: str

    def rule(self, check: CheckName) -> str:
        """``required``, a waiver's name, or "" where the category may not come this way."""
        if self.category is None:
            return ""
        way = self.category.entry if self.evidence.direction is Direction.IN else self.category.exit
        return "" if way is None else way[str(check)]


def category_of(card: PassFinding | None, policy: Policy) -> str:
    """The category of a genuine pass; without one, the policy's category for people who are not known."""
    if card is not None and card.refusal is None and card.category:
        return card.category
    return policy.visitor_category


def lapsed_order(policy: Policy, now: Instant) -> str:
    """The number of the policy's order when it has ended for certain, else "" (an untrusted clock ends no order)."""
    if policy.order is None or now.clock_trust is ClockTrust.NONE or not policy.lapsed(now.at_us):
        return ""
    return policy.order.number


def decide(evidence: Evidence, policy: Policy, now: Instant) -> Verdict:
    """ADMIT or DENY for one person, with every check, every reason in the order shown, and one next step.

    Never raises for any evidence. The rules are those of this module's description.
    """
    name = category_of(evidence.card, policy)
    trusted = now.clock_trust is not ClockTrust.NONE and evidence.clock_trust is not ClockTrust.NONE
    case = _Case(evidence, policy, policy.category_named(name), trusted, lapsed_order(policy, now) if trusted else "")
    checks = tuple(_judge(case, check) for check in CheckName)
    if evidence.direction is Direction.OUT:
        return _out(checks, policy, name)
    checks = _coming_home(case, checks)
    failed = [check for check in checks if check.state in (CheckState.FAIL, CheckState.UNKNOWN)]
    if failed:
        reasons = by_importance([check.reason for check in failed if check.reason is not None])
        return Verdict(
            admit=False,
            reasons=reasons,
            next_step=next_step(reasons[0], evidence),
            checks=checks,
            policy_version=policy.version,
            category=name,
        )
    waived = any(_by_circumstance(check, policy) for check in checks)
    return Verdict(
        admit=True,
        reasons=(Reason.ADMITTED_WITH_WAIVER if waived else Reason.ALL_CHECKS_PASSED,),
        next_step=NextStep.GO_IN,
        checks=checks,
        policy_version=policy.version,
        category=name,
    )


def _by_circumstance(check: Check, policy: Policy) -> bool:
    return check.state is CheckState.WAIVED and check.by not in {waiver.name for waiver in policy.waiver}


def _out(checks: tuple[Check, ...], policy: Policy, category: str) -> Verdict:
    noted = tuple(
        check
        if check.state in (CheckState.PASS, CheckState.WAIVED)
        else replace(check, state=CheckState.WAIVED, by=rules.OUT_NEVER_HOLDS)
        for check in checks
    )
    waived = any(check.reason is not None for check in noted)
    return Verdict(
        admit=True,
        reasons=(Reason.ADMITTED_WITH_WAIVER if waived else Reason.ALL_CHECKS_PASSED,),
        next_step=NextStep.GO_OUT,
        checks=noted,
        policy_version=policy.version,
        category=category,
    )


def _coming_home(case: _Case, checks: tuple[Check, ...]) -> tuple[Check, ...]:
    home = case.category is not None and case.category.lives_here
    if not home or checks[0].name is not CheckName.PASS or checks[0].state is not CheckState.PASS:
        return checks
    waited = case.evidence.home_waiting_s >= case.policy.home.open_after_s
    return tuple(_at_home(case, check, waited) for check in checks)


def _at_home(case: _Case, check: Check, waited: bool) -> Check:
    if check.state in (CheckState.PASS, CheckState.WAIVED):
        return check
    if _is_fault(case.evidence, check):
        return replace(check, state=CheckState.WAIVED, by=rules.HOME_FAULT)
    return replace(check, state=CheckState.WAIVED, by=rules.HOME_WAITED) if waited else check


def _is_fault(evidence: Evidence, check: Check) -> bool:
    if check.reason in FAULT_REASONS:
        return True
    if check.name is CheckName.TEMPERATURE and check.reason is Reason.TEMPERATURE_NOT_MEASURED:
        return evidence.temperature is not None and evidence.temperature.why_not in SENSOR_TROUBLE
    return evidence.camera_fault and check.reason in (Reason.CODE_MISSING, Reason.TRIP_MISSING)


# ---------------------------------------------------------------------------------------------------- checks


def _judge(case: _Case, name: CheckName) -> Check:
    rule = case.rule(name)
    if rule == "":
        return _no_entry(case, name)
    if rule != rules.REQUIRED:
        return Check(name=name, state=CheckState.WAIVED, by=rule)
    if case.lapsed_order and str(name) in rules.HEALTH_CHECKS:
        return Check(name=name, state=CheckState.WAIVED, by=f"{rules.LAPSED}:{case.lapsed_order}")
    return _JUDGES[name](case)


def _no_entry(case: _Case, name: CheckName) -> Check:
    """The category has no table for this direction: leaving is noted, coming in is refused at the pass check."""
    if case.evidence.direction is Direction.OUT:
        return Check(name=name, state=CheckState.WAIVED, by=rules.OUT_NEVER_HOLDS)
    if name is not CheckName.PASS:
        return Check(name=name, state=CheckState.UNKNOWN)
    card = case.evidence.card
    if card is None:
        return Check(name=name, state=CheckState.UNKNOWN, reason=Reason.PASS_MISSING)
    return Check(name=name, state=CheckState.FAIL, reason=card.refusal or Reason.CATEGORY_NOT_ALLOWED)


def _pass(case: _Case) -> Check:
    card, category, evidence = case.evidence.card, case.category, case.evidence
    if card is None:
        return _unknown(CheckName.PASS, Reason.PASS_MISSING)
    if card.refusal is not None:
        return _fail(CheckName.PASS, card.refusal)
    if category is not None and not category.lives_here and evidence.direction is Direction.IN:
        place = evidence.place or evidence.lane
        if any(places and place not in places for places in (category.places, card.places)):
            return _fail(CheckName.PASS, Reason.PASS_OTHER_GATE)
        if (category.hours or card.strength is CardStrength.PASS_CODE) and not case.trusted_clock:
            return _unknown(CheckName.PASS, Reason.CLOCK_UNTRUSTED)
        if not category.open_at(evidence.weekday, evidence.local_minute):
            return _fail(CheckName.PASS, Reason.OUT_OF_HOURS)
    return _passed(CheckName.PASS)


def _temperature(case: _Case) -> Check:
    evidence, name = case.evidence, CheckName.TEMPERATURE
    found = evidence.temperature
    outcome = TemperatureOutcome.NOT_MEASURED if found is None else found.outcome
    if outcome is TemperatureOutcome.NORMAL:
        return _passed(name)
    if outcome is TemperatureOutcome.RAISED:
        return _fail(name, Reason.TEMPERATURE_RAISED)
    if outcome is TemperatureOutcome.BORDERLINE:
        return _fail(name, Reason.TEMPERATURE_BORDERLINE)
    recent = evidence.recent_measurement
    if recent is not None and recent.outcome is TemperatureOutcome.NORMAL:
        return _passed(name)
    reason = Reason.THERMOMETER_FAULT if evidence.thermometer_fault else Reason.TEMPERATURE_NOT_MEASURED
    unavailable = case.policy.temperature.unavailable
    if unavailable is Unavailable.WAIVE:
        return Check(name=name, state=CheckState.WAIVED, reason=reason, by=rules.UNAVAILABLE)
    return _fail(name, reason) if unavailable is Unavailable.DENY else _unknown(name, reason)


def _health_code(case: _Case) -> Check:
    evidence, name = case.evidence, CheckName.HEALTH_CODE
    attestation = evidence.attestation
    attested = attestation.code if attestation is not None else None
    if attested is AttestedCode.NOT_GREEN:
        return _fail(name, Reason.CODE_NOT_GREEN)
    finding = evidence.code
    against = _against(finding)
    if against is not None:
        return _fail(name, against)
    if attested is AttestedCode.SEEN_GREEN:
        return _passed(name)
    if attestation is not None and attested is AttestedCode.NO_PHONE and case.policy.no_phone_waives:
        return Check(name=name, state=CheckState.WAIVED, by=f"{rules.NO_PHONE}:guard:{attestation.guard}")
    if finding is None:
        return _unknown(name, Reason.CODE_MISSING)
    if finding.refusal is Reason.CODE_NEEDS_ONLINE:
        return _unknown(name, finding.refusal)
    if finding.refusal is not None:
        return _fail(name, finding.refusal)
    if not case.trusted_clock:
        return _unknown(name, Reason.CLOCK_UNTRUSTED)
    card = evidence.card
    if card is not None and card.code_match and finding.subject_match and card.code_match != finding.subject_match:
        return _fail(name, Reason.CODE_OTHER_PERSON)
    if finding.bound_pass and card is None:
        return _unknown(name, Reason.PASS_MISSING)  # a friend's phone would do as well without the pass it goes with
    if card is not None and card.refusal is None and finding.bound_pass not in ("", pass_hash(card.subject).hex()):
        return _fail(name, Reason.CODE_OTHER_PERSON)
    if finding.used_at and case.policy.health_code.again is CodeAgain.GUARD_LOOKS:
        return _unknown(name, Reason.CODE_REUSED)
    return _passed(name)


def _against(finding: CodeFinding | None) -> Reason | None:
    """A red, yellow, forged or revoked code speaks against the person whatever else is attested."""
    if finding is None:
        return None
    if finding.refusal in (Reason.CODE_FORGED, Reason.CODE_REVOKED, Reason.CODE_RED, Reason.CODE_YELLOW):
        return finding.refusal
    return {CodeStatus.RED: Reason.CODE_RED, CodeStatus.YELLOW: Reason.CODE_YELLOW}.get(
        finding.status or CodeStatus.GREEN
    )


def _trip(case: _Case) -> Check:
    evidence, name = case.evidence, CheckName.TRIP
    said = [
        clear
        for clear in (
            evidence.attestation.trip_clear if evidence.attestation is not None else None,
            evidence.code.trip_clear if evidence.code is not None and evidence.code.refusal is None else None,
        )
        if clear is not None
    ]
    if False in said:
        return _fail(name, Reason.TRIP_NOT_CLEAR)
    attested = evidence.attestation is not None and evidence.attestation.trip_clear is True
    if attested or (said and case.trusted_clock):
        return _passed(name)
    return _unknown(name, Reason.CLOCK_UNTRUSTED if said else Reason.TRIP_MISSING)


def _register(case: _Case) -> Check:
    card, name = case.evidence.card, CheckName.REGISTER
    if card is not None and card.refusal is None:
        return _passed(name) if card.registered else _fail(name, Reason.NOT_REGISTERED)
    # Without a genuine pass the pass check already says why; where no pass is asked, this one does.
    asked = case.rule(CheckName.PASS) == rules.REQUIRED
    return Check(name=name, state=CheckState.UNKNOWN, reason=None if asked else Reason.NOT_REGISTERED)


_JUDGES = {
    CheckName.PASS: _pass,
    CheckName.TEMPERATURE: _temperature,
    CheckName.HEALTH_CODE: _health_code,
    CheckName.TRIP: _trip,
    CheckName.REGISTER: _register,
}


def _passed(name: CheckName) -> Check:
    return Check(name=name, state=CheckState.PASS)


def _fail(name: CheckName, reason: Reason) -> Check:
    return Check(name=name, state=CheckState.FAIL, reason=reason)


def _unknown(name: CheckName, reason: Reason) -> Check:
    return Check(name=name, state=CheckState.UNKNOWN, reason=reason)


# ------------------------------------------------------------------------------------------------- next step

_NEXT: dict[Reason, NextStep] = {
    Reason.CARD_REPLAYED: NextStep.TAP_CARD,
    Reason.CARD_UNKNOWN: NextStep.REGISTER_WITH_GUARD,
    Reason.CARD_OTHER_SITE: NextStep.REGISTER_WITH_GUARD,
    Reason.PASS_EXPIRED: NextStep.REGISTER_WITH_GUARD,
    Reason.PASS_USED: NextStep.REGISTER_WITH_GUARD,
    Reason.PASS_NOT_YET_VALID: NextStep.COME_BACK_IN_HOURS,
    Reason.PASS_OTHER_GATE: NextStep.GO_TO_NAMED_GATE,
    Reason.OUT_OF_HOURS: NextStep.COME_BACK_IN_HOURS,
    Reason.PASS_MISSING: NextStep.TAP_CARD,
    Reason.CODE_UNKNOWN_ISSUER: NextStep.SHOW_CODE_TO_GUARD,
    Reason.CODE_FORGED: NextStep.SHOW_CODE_TO_GUARD,
    Reason.CODE_OTHER_PERSON: NextStep.SHOW_CODE,
    Reason.CODE_EXPIRED: NextStep.REFRESH_CODE,
    Reason.CODE_STALE: NextStep.REFRESH_CODE,
    Reason.CODE_CHALLENGE: NextStep.TYPE_DIGITS,
    Reason.CODE_REUSED: NextStep.REFRESH_CODE,
    Reason.CODE_NOT_YET_VALID: NextStep.SHOW_CODE_TO_GUARD,
    Reason.CODE_RULES_FAILED: NextStep.SHOW_CODE_TO_GUARD,
    Reason.CODE_MALFORMED: NextStep.SHOW_CODE_TO_GUARD,
    Reason.CODE_UNSUPPORTED: NextStep.SHOW_CODE_TO_GUARD,
    Reason.CODE_NEEDS_ONLINE: NextStep.SHOW_CODE_TO_GUARD,
    Reason.TRIP_MISSING: NextStep.SHOW_CODE_TO_GUARD,
    Reason.TEMPERATURE_RAISED: NextStep.CONTACT_THERMOMETER,
    Reason.THERMOMETER_FAULT: NextStep.CONTACT_THERMOMETER,
    Reason.NOT_REGISTERED: NextStep.REGISTER_WITH_GUARD,
}


def next_step(reason: Reason, evidence: Evidence) -> NextStep:
    """The one thing to do about the reason that is shown; whatever has no better answer leads to the guard."""
    card = evidence.card
    if reason is Reason.PASS_OTHER_GATE and card is not None and card.strength is CardStrength.PASS_CODE:
        return NextStep.SEE_GUARD  # a visitor with a pass for another gate: the guard knows whether it will do here
    if reason is Reason.CODE_REUSED and evidence.code is not None and evidence.code.refusal is None:
        return NextStep.SHOW_CODE_TO_GUARD  # it is genuine and was here before: a fresh one would tell no more
    if reason is Reason.CODE_MISSING:
        return NextStep.SHOW_CODE_TO_GUARD if evidence.camera_fault else NextStep.SHOW_CODE
    if reason is Reason.TEMPERATURE_BORDERLINE:
        return NextStep.WAIT_AND_MEASURE_AGAIN if evidence.shots < 2 else NextStep.CONTACT_THERMOMETER
    if reason is Reason.TEMPERATURE_NOT_MEASURED:
        why = evidence.temperature.why_not if evidence.temperature is not None else None
        if why in SENSOR_TROUBLE or why is NotMeasured.HINT_ONLY or evidence.shots >= 3:
            return NextStep.CONTACT_THERMOMETER
        if why is NotMeasured.COLD_SKIN:
            return NextStep.WAIT_INSIDE if evidence.cold_for_s < WARM_AGAIN_S[-1] else NextStep.CONTACT_THERMOMETER
        return NextStep.LOOK_AT_SENSOR
    return _NEXT.get(reason, NextStep.SEE_GUARD)


# ----------------------------------------------------------------------------------- after the decision itself


def by_guard(verdict: Verdict, *, admit: bool, guard: str, direction: Direction) -> Verdict:
    """The verdict after a guard's override: admitting waives what failed in the guard's name, denying keeps it all."""
    if not admit:
        return replace(verdict, admit=False, reasons=(Reason.GUARD_DENIED,), next_step=NextStep.SEE_GUARD)
    checks = tuple(
        check
        if check.state in (CheckState.PASS, CheckState.WAIVED)
        else replace(check, state=CheckState.WAIVED, by=f"guard:{guard}")
        for check in verdict.checks
    )
    step = NextStep.GO_IN if direction is Direction.IN else NextStep.GO_OUT
    return replace(verdict, admit=True, reasons=(Reason.GUARD_ADMITTED,), next_step=step, checks=checks)


def under_failed_journal(verdict: Verdict, policy: Policy, direction: Direction) -> Verdict:
    """The verdict while the journal cannot be written: residents get home, OUT is never held, a guard's word stands.

    Everybody else is refused with JOURNAL_FAILED unless the policy says ``as_decided``.
    """
    if not verdict.admit or direction is Direction.OUT or policy.lives_here(verdict.category):
        return verdict
    if policy.on_journal_failure is JournalFailure.AS_DECIDED or verdict.reasons[0] is Reason.GUARD_ADMITTED:
        return verdict
    return replace(verdict, admit=False, reasons=(Reason.JOURNAL_FAILED,), next_step=NextStep.SEE_GUARD)
