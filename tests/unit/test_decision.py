"""The decision: fail closed, waivers named, residents get home, nobody is held inside."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from config.policy import CodeAgain, HealthCode, JournalFailure, Policy, Temperature, Unavailable, load_policy
from kiosk.credentials.pass_binding import pass_hash
from kiosk.decision import by_guard, category_of, decide, next_step, under_failed_journal
from kiosk.evidence import (
    Attestation,
    AttestedCode,
    CardStrength,
    CodeFinding,
    CodeStatus,
    Estimate,
    Evidence,
    NotMeasured,
    PassFinding,
    TemperatureOutcome,
)
from kiosk.reasons import CheckName, CheckState, ClockTrust, Direction, NextStep, Reason, by_importance
from kiosk.verdict import Verdict
from tests.lane import COURIER, EXPIRED, GREEN, RESIDENT, START_US, At

NOW = At(mono_ns=0, at_us=START_US)
NO_CLOCK = At(mono_ns=0, at_us=START_US, clock_trust=ClockTrust.NONE)
NORMAL = Estimate(outcome=TemperatureOutcome.NORMAL, estimate_c=36.7)
RAISED = Estimate(outcome=TemperatureOutcome.RAISED, estimate_c=38.4)
BORDERLINE = Estimate(outcome=TemperatureOutcome.BORDERLINE, estimate_c=37.6)
MOVING = Estimate(outcome=TemperatureOutcome.NOT_MEASURED, why_not=NotMeasured.MOVING)
GATE_POLICIES = ("building_door", "clear", "case", "spread")


def evidence(**more: object) -> Evidence:
    """A resident at ten on a Monday with everything in order, changed by ``more``."""
    base = Evidence(
        lane="in", place="main-gate", direction=Direction.IN, clock_trust=ClockTrust.SYNCED, local_minute=600,
        weekday=0, card=RESIDENT, code=GREEN, temperature=NORMAL,
    )  # fmt: skip
    return replace(base, **more)


def unavailable(policy: Policy, how: Unavailable) -> Policy:
    return policy.model_copy(update={"temperature": Temperature(unavailable=how)})


def test_everything_in_order() -> None:
    """All four steps pass under the strictest policy."""
    verdict = decide(evidence(), load_policy("spread"), NOW)
    assert verdict.admit
    assert verdict.reasons == (Reason.ALL_CHECKS_PASSED,)
    assert {check.state for check in verdict.checks} == {CheckState.PASS}
    assert [check.name for check in verdict.checks] == list(CheckName)


@pytest.mark.parametrize(
    ("change", "reason", "step"),
    [
        ({"card": None}, Reason.PASS_MISSING, NextStep.TAP_CARD),
        ({"card": PassFinding(refusal=Reason.CARD_UNKNOWN)}, Reason.CARD_UNKNOWN, NextStep.REGISTER_WITH_GUARD),
        ({"card": PassFinding(refusal=Reason.CARD_CLONED)}, Reason.CARD_CLONED, NextStep.SEE_GUARD),
        ({"code": None}, Reason.CODE_MISSING, NextStep.SHOW_CODE),
        ({"code": EXPIRED}, Reason.CODE_EXPIRED, NextStep.REFRESH_CODE),
        ({"code": replace(GREEN, status=CodeStatus.RED)}, Reason.CODE_RED, NextStep.SEE_GUARD),
        ({"code": replace(GREEN, trip_clear=False)}, Reason.TRIP_NOT_CLEAR, NextStep.SEE_GUARD),
        ({"code": replace(GREEN, trip_clear=None)}, Reason.TRIP_MISSING, NextStep.SHOW_CODE_TO_GUARD),
        ({"temperature": None}, Reason.TEMPERATURE_NOT_MEASURED, NextStep.LOOK_AT_SENSOR),
        (
            {"temperature": None, "thermometer_fault": True},
            Reason.THERMOMETER_FAULT,
            NextStep.CONTACT_THERMOMETER,
        ),
        ({"temperature": RAISED}, Reason.TEMPERATURE_RAISED, NextStep.CONTACT_THERMOMETER),
        ({"temperature": BORDERLINE}, Reason.TEMPERATURE_BORDERLINE, NextStep.WAIT_AND_MEASURE_AGAIN),
        ({"temperature": BORDERLINE, "shots": 2}, Reason.TEMPERATURE_BORDERLINE, NextStep.CONTACT_THERMOMETER),
    ],
)
def test_one_thing_is_wrong(change: dict, reason: Reason, step: NextStep) -> None:
    """Each single fault of a staff member is refused with its own reason and its own way out."""
    staff = replace(RESIDENT, category="staff")
    verdict = decide(evidence(**({"card": staff} | change)), load_policy("spread"), NOW)
    assert not verdict.admit
    assert verdict.reasons[0] is reason
    assert verdict.next_step is step


def test_all_failures_are_kept_in_order() -> None:
    """An unknown card, a red code and a fever: all three, the pass first."""
    verdict = decide(
        evidence(card=PassFinding(refusal=Reason.CARD_UNKNOWN), code=replace(GREEN, status=CodeStatus.RED),
                 temperature=RAISED),
        load_policy("spread").model_copy(update={"visitor_category": "staff"}), NOW,
    )  # fmt: skip
    assert verdict.reasons == (Reason.CARD_UNKNOWN, Reason.CODE_RED, Reason.TEMPERATURE_RAISED)


def test_a_courier_out_of_hours_or_at_another_gate() -> None:
    """Hours and places are part of the pass; a courier's own hours come from the policy."""
    policy = load_policy("clear")
    assert decide(evidence(card=COURIER), policy, NOW).admit
    late = decide(evidence(card=COURIER, local_minute=22 * 60), policy, NOW)
    assert late.reasons == (Reason.OUT_OF_HOURS,)
    assert late.next_step is NextStep.COME_BACK_IN_HOURS
    elsewhere = decide(evidence(card=replace(COURIER, places=("south-gate",))), policy, NOW)
    assert elsewhere.reasons == (Reason.PASS_OTHER_GATE,)


def test_a_category_without_an_entry() -> None:
    """Spread: couriers hand over at the gate; a category nobody knows is not let in either."""
    for category in ("courier", "acrobat"):
        verdict = decide(evidence(card=replace(COURIER, category=category)), load_policy("spread"), NOW)
        assert verdict.reasons == (Reason.CATEGORY_NOT_ALLOWED,)


def test_waivers_of_the_policy_are_named_and_ordinary() -> None:
    """What the policy does not ask stands there as waived by the policy's rule; the verdict is an ordinary one."""
    verdict = decide(evidence(code=None), load_policy("clear"), NOW)
    assert verdict.reasons == (Reason.ALL_CHECKS_PASSED,)
    assert verdict.checks[2].by == "community_clear"


def test_what_cannot_be_measured_follows_the_policy() -> None:
    """guard_measures refuses for now, deny refuses, waive admits and says so, for a courier."""
    policy = load_policy("clear")
    person = evidence(card=COURIER, temperature=MOVING)
    waived = decide(person, policy, NOW)
    assert waived.admit
    assert waived.reasons == (Reason.ADMITTED_WITH_WAIVER,)
    assert (waived.checks[1].by, waived.checks[1].reason) == (
        "temperature_unavailable",
        Reason.TEMPERATURE_NOT_MEASURED,
    )
    for how, state in ((Unavailable.GUARD_MEASURES, CheckState.UNKNOWN), (Unavailable.DENY, CheckState.FAIL)):
        verdict = decide(person, unavailable(policy, how), NOW)
        assert not verdict.admit
        assert verdict.checks[1].state is state


def test_an_order_that_ended_asks_nothing_more() -> None:
    """Past until the health checks are waived in the order's name; an untrusted clock ends no order."""
    policy = load_policy("spread")
    sick = evidence(temperature=RAISED, code=None)
    assert policy.order is not None
    after = replace(NOW, at_us=policy.order.until_us)
    verdict = decide(sick, policy, after)
    assert verdict.admit
    assert [(check.name, check.state, check.by) for check in verdict.checks[1:4]] == [
        (name, CheckState.WAIVED, "order_lapsed:EXAMPLE-3")
        for name in (CheckName.TEMPERATURE, CheckName.HEALTH_CODE, CheckName.TRIP)
    ]
    assert not decide(sick, policy, replace(after, clock_trust=ClockTrust.NONE)).admit


def test_an_order_that_ended_leaves_the_pass_and_the_register_asked() -> None:
    """They rest on no order: a stranger stays a stranger."""
    policy = load_policy("spread")
    after = replace(NOW, at_us=policy.order.until_us)
    staff = replace(RESIDENT, category="staff")
    assert decide(evidence(card=None), policy, after).reasons == (Reason.PASS_MISSING,)
    unregistered = decide(evidence(card=replace(staff, registered=False)), policy, after)
    assert unregistered.reasons == (Reason.NOT_REGISTERED,)


def test_without_a_trusted_clock_nothing_passes_as_fresh() -> None:
    """Trust none: codes, temporary passes and hours are unknown; a staff card that needs no time still works."""
    staff = replace(RESIDENT, category="staff")
    verdict = decide(evidence(card=staff), load_policy("spread"), NO_CLOCK)
    assert verdict.reasons == (Reason.CLOCK_UNTRUSTED,)
    assert verdict.checks[2].state is CheckState.UNKNOWN
    assert decide(evidence(card=staff), load_policy("clear"), NO_CLOCK).admit
    assert not decide(evidence(card=COURIER), load_policy("clear"), NO_CLOCK).admit
    temporary = replace(staff, strength=CardStrength.PASS_CODE)
    assert decide(evidence(card=temporary), load_policy("clear"), NO_CLOCK).reasons == (Reason.CLOCK_UNTRUSTED,)


@pytest.mark.parametrize("name", GATE_POLICIES)
@pytest.mark.parametrize(
    "fault",
    [
        {"thermometer_fault": True, "temperature": None},
        {"camera_fault": True, "code": None, "attestation": Attestation(guard="g", trip_clear=True)},
        {"camera_fault": True, "code": None},
        {"clock_trust": ClockTrust.NONE},
        {"temperature": Estimate(outcome=TemperatureOutcome.NOT_MEASURED, why_not=NotMeasured.STUCK)},
        {"code": CodeFinding(refusal=Reason.CODE_NEEDS_ONLINE, kind="gbt"), "attestation":
         Attestation(guard="g", trip_clear=True)},
        {"card": replace(RESIDENT, registered=False)},
    ],
)  # fmt: skip
def test_no_fault_keeps_a_resident_out(name: str, fault: dict) -> None:
    """A resident with a good card gets home whatever device, clock or register is broken, at any hour."""
    for minute in (0, 600, 1439):
        verdict = decide(evidence(local_minute=minute, **fault), load_policy(name), NOW)
        assert verdict.admit, verdict
    courier = evidence(**({"card": COURIER} | fault))
    if name != "building_door" and "card" not in fault and "thermometer_fault" in fault:
        assert not decide(courier, unavailable(load_policy("clear"), Unavailable.GUARD_MEASURES), NOW).admit


@pytest.mark.parametrize(
    ("missing", "fault", "reason"),
    [
        ({"code": None}, {"camera_fault": True}, Reason.CODE_MISSING),
        ({"code": replace(GREEN, trip_clear=None)}, {"camera_fault": True}, Reason.TRIP_MISSING),
        ({"temperature": MOVING}, {"temperature": replace(MOVING, why_not=NotMeasured.DRIFT)},
         Reason.TEMPERATURE_NOT_MEASURED),
        ({"temperature": None}, {"thermometer_fault": True}, Reason.TEMPERATURE_NOT_MEASURED),
    ],
)  # fmt: skip
def test_what_a_resident_can_still_do_is_no_fault_of_the_gate(
    missing: dict[str, Any], fault: dict[str, Any], reason: Reason
) -> None:
    """Show the code, stand still: asked of them as long as the device works, waived at once when it does not."""
    policy = load_policy("spread")
    asked = decide(evidence(**missing), policy, NOW)
    assert (asked.admit, asked.reasons[0]) == (False, reason)
    waived = decide(evidence(**(missing | fault)), policy, NOW)
    assert waived.admit
    assert "home_despite_fault" in {check.by for check in waived.checks}


def test_a_finding_on_a_resident_goes_to_the_guard_first() -> None:
    """A fever is no fault: refused, to the guard; after five minutes without a decision the tap opens, and says why."""
    policy = load_policy("case")
    first = decide(evidence(temperature=RAISED), policy, NOW)
    assert not first.admit
    assert first.next_step is NextStep.CONTACT_THERMOMETER
    assert not decide(evidence(temperature=RAISED, home_waiting_s=299), policy, NOW).admit
    later = decide(evidence(temperature=RAISED, home_waiting_s=300), policy, NOW)
    assert later.admit
    assert (later.checks[1].by, later.checks[1].reason) == ("home_after_waiting", Reason.TEMPERATURE_RAISED)
    assert not decide(evidence(card=COURIER, temperature=RAISED, home_waiting_s=300), policy, NOW).admit


def test_a_revoked_card_is_nobodys_home() -> None:
    """Faults and waiting do not help a revoked, cloned, imitated or forged card."""
    for refusal in (Reason.CARD_REVOKED, Reason.CARD_CLONED, Reason.CARD_EMULATED, Reason.CARD_FORGED):
        card = replace(RESIDENT, refusal=refusal)
        verdict = decide(evidence(card=card, thermometer_fault=True, home_waiting_s=9999), load_policy("clear"), NOW)
        assert verdict.reasons[0] is refusal


def test_the_guards_word() -> None:
    """Seen green passes, not green fails, no phone is waived; a forged or red code is not talked away."""
    policy, staff = load_policy("case"), replace(RESIDENT, category="staff")

    def said(code: AttestedCode, **more: object) -> object:
        return decide(
            evidence(card=staff, code=None, attestation=Attestation(guard="g1", code=code), **more), policy, NOW
        )

    assert said(AttestedCode.SEEN_GREEN).admit
    assert said(AttestedCode.NOT_GREEN).reasons == (Reason.CODE_NOT_GREEN,)
    assert said(AttestedCode.NO_PHONE).checks[2].by == "no_phone:guard:g1"
    forged = decide(
        evidence(card=staff, code=CodeFinding(refusal=Reason.CODE_FORGED, kind="hcert"),
                 attestation=Attestation(guard="g1", code=AttestedCode.SEEN_GREEN)), policy, NOW,
    )  # fmt: skip
    assert forged.reasons == (Reason.CODE_FORGED,)


def test_the_code_of_another_person() -> None:
    """Where the roster knows the holder's hash, a borrowed code is refused."""
    card = replace(RESIDENT, category="staff", code_match="aa")
    verdict = decide(evidence(card=card, code=replace(GREEN, subject_match="bb")), load_policy("case"), NOW)
    assert verdict.reasons == (Reason.CODE_OTHER_PERSON,)
    assert decide(evidence(card=card, code=replace(GREEN, subject_match="aa")), load_policy("case"), NOW).admit


def test_a_recent_measurement_serves_unless_there_is_a_newer_one() -> None:
    """A normal one from before stands in for a missing one, never against a raised one."""
    policy = load_policy("case")
    assert decide(evidence(temperature=None, recent_measurement=NORMAL), policy, NOW).admit
    assert not decide(evidence(temperature=RAISED, recent_measurement=NORMAL), policy, NOW).admit


@pytest.mark.parametrize("name", GATE_POLICIES)
def test_out_never_holds(name: str) -> None:
    """Whatever is wrong, OUT admits and notes it."""
    verdict = decide(
        evidence(direction=Direction.OUT, card=replace(RESIDENT, refusal=Reason.CARD_REVOKED), code=None,
                 temperature=RAISED), load_policy(name), NOW,
    )  # fmt: skip
    assert verdict.admit
    assert verdict.next_step is NextStep.GO_OUT


def states(verdict: Verdict) -> dict[CheckName, tuple[CheckState, str, Reason | None]]:
    return {check.name: (check.state, check.by, check.reason) for check in verdict.checks}


def test_leaving_is_noted_check_by_check() -> None:
    """What a way out asks for and is not in order is waived by its own name; what the policy waives keeps its name."""
    policy = load_policy("clear")
    asks = {"pass": "required", "temperature": "community_clear", "health_code": "required",
            "trip": "community_clear", "register": "required"}  # fmt: skip
    visitor = policy.category_named("visitor")
    assert visitor is not None
    changed = visitor.model_copy(update={"exit": asks})
    policy = policy.model_copy(
        update={"category": tuple(changed if each is visitor else each for each in policy.category)}
    )
    leaving = evidence(direction=Direction.OUT, card=None, code=None, temperature=None)
    verdict = decide(leaving, policy, NOW)
    assert verdict.reasons == (Reason.ADMITTED_WITH_WAIVER,)
    noted, waived = "out_never_holds", "community_clear"
    assert states(verdict) == {
        CheckName.PASS: (CheckState.WAIVED, noted, Reason.PASS_MISSING),
        CheckName.TEMPERATURE: (CheckState.WAIVED, waived, None),
        CheckName.HEALTH_CODE: (CheckState.WAIVED, noted, Reason.CODE_MISSING),
        CheckName.TRIP: (CheckState.WAIVED, waived, None),
        CheckName.REGISTER: (CheckState.WAIVED, noted, None),
    }
    in_order = replace(leaving, card=replace(RESIDENT, category="visitor"), code=GREEN)
    verdict = decide(in_order, policy, NOW)
    assert verdict.reasons == (Reason.ALL_CHECKS_PASSED,)
    assert states(verdict)[CheckName.PASS] == (CheckState.PASS, "", None)


def test_leaving_by_a_way_that_the_policy_does_not_name_is_ordinary() -> None:
    """Nothing is asked on the way out, and no reason stands in the record."""
    verdict = decide(evidence(direction=Direction.OUT, card=None, code=None), load_policy("clear"), NOW)
    assert verdict.reasons == (Reason.ALL_CHECKS_PASSED,)
    assert {check.by for check in verdict.checks} == {"out_never_holds"}


def test_a_failed_journal_and_the_guards_override() -> None:
    """residents_only keeps the courier out, not the resident, not whom the guard admits."""
    policy = load_policy("clear")
    courier = decide(evidence(card=COURIER), policy, NOW)
    assert under_failed_journal(courier, policy, Direction.IN).reasons == (Reason.JOURNAL_FAILED,)
    assert under_failed_journal(decide(evidence(), policy, NOW), policy, Direction.IN).admit
    refused = decide(evidence(card=None), policy, NOW)
    admitted = by_guard(refused, admit=True, guard="g1", direction=Direction.IN)
    assert {c.by for c in admitted.checks if c.reason is not None} == {"guard:g1"}
    assert under_failed_journal(admitted, policy, Direction.IN).admit


def test_a_policy_may_go_on_as_decided_under_a_failed_journal() -> None:
    """Or keep everybody out who does not live here; what was refused stays refused for its own reason."""
    strict = load_policy("clear")
    lax = strict.model_copy(update={"on_journal_failure": JournalFailure.AS_DECIDED})
    courier = decide(evidence(card=COURIER), strict, NOW)
    assert under_failed_journal(courier, lax, Direction.IN) == courier
    assert under_failed_journal(courier, strict, Direction.OUT) == courier
    refused = decide(evidence(card=None), strict, NOW)
    assert under_failed_journal(refused, strict, Direction.IN) == refused
    kept_out = under_failed_journal(courier, strict, Direction.IN)
    assert (kept_out.admit, kept_out.next_step) == (False, NextStep.SEE_GUARD)


def test_a_guards_refusal_keeps_every_check_and_an_admission_waives_only_what_failed() -> None:
    """Both are the guard's own reason; the way on is the lane's."""
    policy = load_policy("spread")
    found = decide(evidence(card=replace(RESIDENT, category="staff"), code=None), policy, NOW)
    denied = by_guard(found, admit=False, guard="g1", direction=Direction.IN)
    assert (denied.admit, denied.reasons, denied.next_step) == (False, (Reason.GUARD_DENIED,), NextStep.SEE_GUARD)
    assert denied.checks == found.checks
    admitted = by_guard(found, admit=True, guard="g1", direction=Direction.IN)
    assert (admitted.admit, admitted.reasons, admitted.next_step) == (True, (Reason.GUARD_ADMITTED,), NextStep.GO_IN)
    assert [(check.state, check.by) for check in admitted.checks] == [
        (CheckState.PASS, ""),
        (CheckState.PASS, ""),
        (CheckState.WAIVED, "guard:g1"),
        (CheckState.WAIVED, "guard:g1"),
        (CheckState.PASS, ""),
    ]
    assert by_guard(found, admit=True, guard="g1", direction=Direction.OUT).next_step is NextStep.GO_OUT


def not_measured(why: NotMeasured) -> Estimate:
    return Estimate(outcome=TemperatureOutcome.NOT_MEASURED, why_not=why)


@pytest.mark.parametrize(
    ("reason", "known", "step"),
    [
        (Reason.PASS_OTHER_GATE, {}, NextStep.GO_TO_NAMED_GATE),
        (Reason.PASS_OTHER_GATE, {"card": None}, NextStep.GO_TO_NAMED_GATE),
        (
            Reason.PASS_OTHER_GATE,
            {"card": PassFinding(refusal=Reason.PASS_OTHER_GATE, strength=CardStrength.PASS_CODE)},
            NextStep.SEE_GUARD,
        ),
        (Reason.CARD_REPLAYED, {"card": PassFinding(refusal=None, strength=CardStrength.PASS_CODE)}, NextStep.TAP_CARD),
        (Reason.CODE_REUSED, {}, NextStep.SHOW_CODE_TO_GUARD),
        (Reason.CODE_REUSED, {"code": CodeFinding(refusal=Reason.CODE_REUSED, kind="gc1")}, NextStep.REFRESH_CODE),
        (Reason.CODE_REUSED, {"code": None}, NextStep.REFRESH_CODE),
        (Reason.CODE_MISSING, {}, NextStep.SHOW_CODE),
        (Reason.CODE_MISSING, {"camera_fault": True}, NextStep.SHOW_CODE_TO_GUARD),
        (Reason.TEMPERATURE_BORDERLINE, {"shots": 1}, NextStep.WAIT_AND_MEASURE_AGAIN),
        (Reason.TEMPERATURE_BORDERLINE, {"shots": 2}, NextStep.CONTACT_THERMOMETER),
        *(
            (Reason.TEMPERATURE_NOT_MEASURED, {"temperature": not_measured(why)}, NextStep.CONTACT_THERMOMETER)
            for why in NotMeasured
            if why.value in ("stuck", "drift", "fault", "warming_up", "surroundings", "hint_only")
        ),
        *(
            (Reason.TEMPERATURE_NOT_MEASURED, {"temperature": not_measured(why), "shots": shots}, step)
            for why in (NotMeasured.MOVING, NotMeasured.TOO_FAR, NotMeasured.TOO_FEW, NotMeasured.NO_READING)
            for shots, step in ((2, NextStep.LOOK_AT_SENSOR), (3, NextStep.CONTACT_THERMOMETER))
        ),
        (
            Reason.TEMPERATURE_NOT_MEASURED,
            {"temperature": not_measured(NotMeasured.COLD_SKIN), "cold_for_s": 299},
            NextStep.WAIT_INSIDE,
        ),
        (
            Reason.TEMPERATURE_NOT_MEASURED,
            {"temperature": not_measured(NotMeasured.COLD_SKIN), "cold_for_s": 300},
            NextStep.CONTACT_THERMOMETER,
        ),
        (Reason.TEMPERATURE_NOT_MEASURED, {"temperature": None}, NextStep.LOOK_AT_SENSOR),
        (Reason.TEMPERATURE_RAISED, {}, NextStep.CONTACT_THERMOMETER),
        (Reason.CARD_REVOKED, {}, NextStep.SEE_GUARD),
    ],
)
def test_the_next_step_fits_the_person(reason: Reason, known: dict[str, Any], step: NextStep) -> None:
    """One thing to do, and one that can help: not the sensor where the sensor is the trouble."""
    assert next_step(reason, evidence(**known)) is step


@pytest.mark.parametrize(
    ("step", "reasons"),
    [
        (NextStep.TAP_CARD, "card_replayed pass_missing"),
        (NextStep.REGISTER_WITH_GUARD, "card_unknown card_other_site pass_expired pass_used not_registered"),
        (NextStep.COME_BACK_IN_HOURS, "pass_not_yet_valid out_of_hours"),
        (NextStep.REFRESH_CODE, "code_expired code_stale"),
        (NextStep.SHOW_CODE, "code_other_person"),
        (NextStep.TYPE_DIGITS, "code_challenge"),
        (
            NextStep.SHOW_CODE_TO_GUARD,
            "code_unknown_issuer code_forged code_not_yet_valid code_rules_failed code_malformed code_unsupported "
            "code_needs_online trip_missing",
        ),
        (NextStep.SEE_GUARD, "card_ambiguous card_cloned card_revoked code_red code_revoked trip_not_clear"),
    ],
)
def test_what_there_is_to_do_about_a_reason(step: NextStep, reasons: str) -> None:
    """Whatever the person cannot mend leads to the guard."""
    assert {next_step(Reason(reason), evidence()) for reason in reasons.split()} == {step}


def test_whose_category_counts() -> None:
    """A good card's own; nobody's word for a refused card, whose category is the stranger's."""
    policy = load_policy("clear").model_copy(update={"visitor_category": "courier"})
    assert category_of(RESIDENT, policy) == "resident"
    for card in (None, replace(RESIDENT, refusal=Reason.CARD_CLONED), replace(RESIDENT, category="")):
        assert category_of(card, policy) == "courier"


@pytest.mark.parametrize(
    ("attested", "code_says", "refusal", "trusted", "reason"),
    [
        (None, None, None, True, Reason.TRIP_MISSING),
        (None, True, None, True, None),
        (None, True, None, False, Reason.CLOCK_UNTRUSTED),
        (None, True, Reason.CODE_EXPIRED, True, Reason.TRIP_MISSING),
        (None, False, Reason.CODE_EXPIRED, True, Reason.TRIP_MISSING),
        (True, None, None, False, None),
        (True, False, None, True, Reason.TRIP_NOT_CLEAR),
        (False, True, None, True, Reason.TRIP_NOT_CLEAR),
        (False, None, None, False, Reason.TRIP_NOT_CLEAR),
    ],
)
def test_where_somebody_has_been(
    attested: bool | None, code_says: bool | None, refusal: Reason | None, trusted: bool, reason: Reason | None
) -> None:
    """A code's claim needs a clock, the guard's eyes do not; a no is believed, a refused code says nothing."""
    person = evidence(
        card=replace(RESIDENT, category="staff"),
        code=CodeFinding(refusal=refusal, kind="hcert", status=CodeStatus.GREEN, trip_clear=code_says),
        attestation=Attestation(guard="g1", code=AttestedCode.SEEN_GREEN, trip_clear=attested),
    )
    trip = decide(person, load_policy("spread"), NOW if trusted else NO_CLOCK).checks[3]
    assert trip.reason is reason
    assert (trip.state is CheckState.PASS) is (reason is None)


def test_at_which_gate_a_pass_is_good() -> None:
    """By the gate's name, or the lane's where it has none; a policy's places and a pass's own both count."""
    policy = load_policy("clear")
    north = replace(COURIER, places=("north-gate",))
    for place, lane, good in (("north-gate", "in", True), ("", "north-gate", True), ("main-gate", "north-gate", False)):
        assert decide(evidence(card=north, place=place, lane=lane), policy, NOW).admit is good
    courier = policy.category_named("courier")
    assert courier is not None
    here = courier.model_copy(update={"places": ("main-gate",)})
    only_here = policy.model_copy(
        update={"category": tuple(here if each is courier else each for each in policy.category)}
    )
    assert decide(evidence(card=COURIER), only_here, NOW).admit
    for card in (COURIER, north):
        elsewhere = decide(evidence(card=card, place="north-gate"), only_here, NOW)
        assert elsewhere.reasons == (Reason.PASS_OTHER_GATE,)
    assert decide(evidence(card=replace(RESIDENT, places=("north-gate",))), policy, NOW).admit, "home is home"


def test_a_code_that_goes_with_a_pass_goes_with_no_other() -> None:
    """Nor with none at all; with a refused one it is the refusal that is told."""
    policy, staff = load_policy("case"), replace(RESIDENT, category="staff")
    bound = replace(GREEN, bound_pass=pass_hash(staff.subject).hex())

    def code_check(**known: object) -> Reason | None:
        return decide(evidence(**known), policy, NOW).checks[2].reason

    assert code_check(card=staff, code=bound) is None
    assert code_check(card=replace(staff, subject="0" * 16), code=bound) is Reason.CODE_OTHER_PERSON
    assert code_check(card=replace(staff, subject="0" * 16, refusal=Reason.CARD_CLONED), code=bound) is None
    assert code_check(card=None, code=bound) is Reason.PASS_MISSING


@pytest.mark.parametrize(("asked", "reason"), [("required", None), ("community_clear", Reason.NOT_REGISTERED)])
def test_the_register_speaks_up_only_where_no_pass_is_asked(asked: str, reason: Reason | None) -> None:
    """Otherwise the missing pass is the one thing to say; either way it is not in order."""
    policy = load_policy("clear")
    visitor = policy.category_named("visitor")
    assert visitor is not None
    assert visitor.entry is not None
    changed = visitor.model_copy(update={"entry": {**visitor.entry, "pass": asked}})
    policy = policy.model_copy(
        update={"category": tuple(changed if each is visitor else each for each in policy.category)}
    )
    verdict = decide(evidence(card=None), policy, NOW)
    assert states(verdict)[CheckName.REGISTER] == (CheckState.UNKNOWN, "", reason)
    assert not verdict.admit


CARDS = st.one_of(
    st.none(),
    st.builds(
        PassFinding,
        refusal=st.sampled_from([None, None, None, *[r for r in Reason if r.value.startswith(("card", "pass_"))]]),
        subject=st.just("a" * 16),
        category=st.sampled_from(["resident", "resident_under_observation", "courier", "staff", "visitor", "x", ""]),
        strength=st.sampled_from(CardStrength),
        registered=st.booleans(),
        code_match=st.sampled_from(["", "aa"]),
        places=st.sampled_from([(), ("main-gate",), ("south-gate",)]),
    ),
)
CODES = st.one_of(
    st.none(),
    st.builds(
        CodeFinding,
        refusal=st.sampled_from([None, None, *[r for r in Reason if r.value.startswith("code_")]]),
        kind=st.just("hcert"),
        status=st.sampled_from([None, *CodeStatus]),
        subject_match=st.sampled_from(["", "aa", "bb"]),
        trip_clear=st.sampled_from([None, True, False]),
    ),
)
ESTIMATES = st.one_of(
    st.none(),
    st.sampled_from([NORMAL, RAISED, BORDERLINE]),
    st.builds(Estimate, outcome=st.just(TemperatureOutcome.NOT_MEASURED), why_not=st.sampled_from(NotMeasured)),
)
ATTESTATIONS = st.one_of(
    st.none(),
    st.builds(
        Attestation,
        guard=st.just("g1"),
        code=st.sampled_from([None, *AttestedCode]),
        trip_clear=st.sampled_from([None, True, False]),
    ),
)
EVIDENCE = st.builds(
    Evidence,
    lane=st.just("in"),
    place=st.just("main-gate"),
    direction=st.just(Direction.IN),
    clock_trust=st.sampled_from(ClockTrust),
    local_minute=st.integers(0, 1439),
    weekday=st.integers(0, 6),
    card=CARDS,
    code=CODES,
    temperature=ESTIMATES,
    attestation=ATTESTATIONS,
    thermometer_fault=st.booleans(),
    camera_fault=st.booleans(),
    recent_measurement=st.one_of(st.none(), st.just(NORMAL)),
    shots=st.integers(1, 3),
    home_waiting_s=st.sampled_from([0, 10, 301]),
)
POLICIES = st.sampled_from([load_policy(name) for name in (*GATE_POLICIES, "code_check")])


@given(person=EVIDENCE, policy=POLICIES)
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_unknown_never_admits(person: Evidence, policy: Policy) -> None:
    """Every admission has five checks, each passed or waived by somebody named; every refusal has its reasons."""
    verdict = decide(person, policy, replace(NOW, clock_trust=person.clock_trust))
    assert [check.name for check in verdict.checks] == list(CheckName)
    states = {check.state for check in verdict.checks}
    assert verdict.admit == (not states & {CheckState.FAIL, CheckState.UNKNOWN})
    assert all(check.by for check in verdict.checks if check.state is CheckState.WAIVED)
    assert verdict.reasons == by_importance(list(verdict.reasons))


@given(person=EVIDENCE, policy=POLICIES, data=st.data())
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_less_evidence_in_ones_favour_never_helps(person: Evidence, policy: Policy, data: st.DataObject) -> None:
    """Taking away what speaks for a person never turns DENY into ADMIT.

    What speaks against somebody (a refused card, a raised temperature) is another matter: without it there is
    nothing to refuse, and where the policy waives what is absent that person is admitted.
    """
    now = replace(NOW, clock_trust=person.clock_trust)
    less: dict[str, object] = {}
    asks_for_a_pass = policy.version != "code-check-1"  # where none is asked, a card only names the category
    if person.card is not None and person.card.refusal is None and asks_for_a_pass:
        less["card"] = None
    code = person.code
    if (
        code is not None
        and code.refusal is None
        and code.status in (None, CodeStatus.GREEN)
        and (code.trip_clear is not False and not code.subject_match)
    ):
        less["code"] = None
    if person.temperature == NORMAL:
        less["temperature"] = None
    said = person.attestation
    if said is not None and said.code is not AttestedCode.NOT_GREEN and said.trip_clear is not False:
        less["attestation"] = None
    if person.recent_measurement is not None:
        less["recent_measurement"] = None
    gone = data.draw(st.sets(st.sampled_from(sorted(less)) if less else st.nothing(), max_size=len(less)))
    poorer = replace(person, **{key: less[key] for key in gone})
    if not decide(person, policy, now).admit:
        assert not decide(poorer, policy, now).admit


@given(person=EVIDENCE, policy=POLICIES)
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_the_order_of_reasons_is_stable(person: Evidence, policy: Policy) -> None:
    """The same evidence gives the same verdict, whatever was decided before."""
    now = replace(NOW, clock_trust=person.clock_trust)
    assert decide(person, policy, now) == decide(person, policy, now)


@given(person=EVIDENCE, name=st.sampled_from(GATE_POLICIES))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_who_lives_here_gets_home_in_the_end(person: Evidence, name: str) -> None:
    """A genuine resident card always opens, at the latest after the waiting time, whatever else is known."""
    card = replace(RESIDENT, registered=person.card is not None and person.card.registered)
    home = replace(person, card=card, home_waiting_s=300)
    assert decide(home, load_policy(name), replace(NOW, clock_trust=person.clock_trust)).admit


@pytest.mark.parametrize("again", list(CodeAgain))
def test_a_code_that_went_in_minutes_ago_is_told_or_looked_at(again: CodeAgain) -> None:
    """As shipped it passes; where the policy says so the guard looks, and the guard's word settles it."""
    policy = load_policy("spread").model_copy(update={"health_code": HealthCode(again=again)})
    seen = evidence(code=replace(GREEN, used_at="north-gate"))
    verdict = decide(seen, policy, NOW)
    assert verdict.admit is (again is CodeAgain.TELL)
    if again is CodeAgain.GUARD_LOOKS:
        assert verdict.reasons == (Reason.CODE_REUSED,)
        assert verdict.next_step is NextStep.SHOW_CODE_TO_GUARD
    green = Attestation(guard="g1", code=AttestedCode.SEEN_GREEN)
    assert decide(replace(seen, attestation=green), policy, NOW).admit
    assert decide(evidence(), policy, NOW).admit
