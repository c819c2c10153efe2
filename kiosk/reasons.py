"""The closed lists of what a verdict can say: reasons, next steps, checks. Pure, standard library only.

Order matters: the members of :class:`Reason` stand in the order in which they are shown when several are true at
once. Every member has a text for the resident and one for the guard, in zh-CN and en
(``kiosk/screens/messages/``); a test fails when one is missing. The central uses the codes unchanged.
"""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """Why a verdict is what it is, most telling first."""

    # Who is it: the pass (card, temporary pass).
    CARD_REVOKED = "card_revoked"
    CARD_CLONED = "card_cloned"
    CARD_EMULATED = "card_emulated"
    CARD_FORGED = "card_forged"
    CARD_REPLAYED = "card_replayed"
    CARD_OTHER_SITE = "card_other_site"
    CARD_UNKNOWN = "card_unknown"
    CARD_AMBIGUOUS = "card_ambiguous"
    CARD_WEAK = "card_weak"
    CARD_EXPIRED = "card_expired"
    PASS_FORGED = "pass_forged"
    PASS_REVOKED = "pass_revoked"
    PASS_EXPIRED = "pass_expired"
    PASS_NOT_YET_VALID = "pass_not_yet_valid"
    PASS_USED = "pass_used"
    PASS_OTHER_GATE = "pass_other_gate"
    OUT_OF_HOURS = "out_of_hours"
    CATEGORY_NOT_ALLOWED = "category_not_allowed"
    PASSED_BACK = "passed_back"
    PASS_MISSING = "pass_missing"
    # The health code.
    CODE_FORGED = "code_forged"
    CODE_REVOKED = "code_revoked"
    CODE_RED = "code_red"
    CODE_YELLOW = "code_yellow"
    CODE_NOT_GREEN = "code_not_green"
    CODE_OTHER_PERSON = "code_other_person"
    CODE_UNKNOWN_ISSUER = "code_unknown_issuer"
    CODE_EXPIRED = "code_expired"
    CODE_NOT_YET_VALID = "code_not_yet_valid"
    CODE_RULES_FAILED = "code_rules_failed"
    CODE_STALE = "code_stale"
    CODE_CHALLENGE = "code_challenge"
    CODE_REUSED = "code_reused"
    CODE_MALFORMED = "code_malformed"
    CODE_UNSUPPORTED = "code_unsupported"
    CODE_NEEDS_ONLINE = "code_needs_online"
    CODE_MISSING = "code_missing"
    TRIP_NOT_CLEAR = "trip_not_clear"
    TRIP_MISSING = "trip_missing"
    # The temperature.
    TEMPERATURE_RAISED = "temperature_raised"
    TEMPERATURE_BORDERLINE = "temperature_borderline"
    TEMPERATURE_NOT_MEASURED = "temperature_not_measured"
    THERMOMETER_FAULT = "thermometer_fault"
    # The register.
    NOT_REGISTERED = "not_registered"
    # The gate itself.
    CLOCK_UNTRUSTED = "clock_untrusted"
    ROSTER_FAILED = "roster_failed"
    JOURNAL_FAILED = "journal_failed"
    GUARD_DENIED = "guard_denied"
    # Why somebody was let in.
    GUARD_ADMITTED = "guard_admitted"
    ADMITTED_WITH_WAIVER = "admitted_with_waiver"
    ALL_CHECKS_PASSED = "all_checks_passed"


#: Findings that share one public sentence ("please see the guard"); the detail is on the console alone.
PRIVATE_REASONS: frozenset[Reason] = frozenset(
    {
        Reason.CARD_REVOKED,
        Reason.CARD_CLONED,
        Reason.CARD_EMULATED,
        Reason.CARD_FORGED,
        Reason.PASS_REVOKED,
        Reason.CODE_REVOKED,
        Reason.CODE_RED,
        Reason.CODE_YELLOW,
        Reason.CODE_NOT_GREEN,
        Reason.TRIP_NOT_CLEAR,
        Reason.TEMPERATURE_RAISED,
        Reason.GUARD_DENIED,
    }
)

_ORDER = {reason: index for index, reason in enumerate(Reason)}


def by_importance(reasons: set[Reason] | frozenset[Reason] | list[Reason]) -> tuple[Reason, ...]:
    """The reasons, each once, in the order in which :class:`Reason` writes them; the first is shown."""
    return tuple(sorted(set(reasons), key=_ORDER.__getitem__))


class NextStep(StrEnum):
    """The one thing the person at the gate does next."""

    GO_IN = "go_in"
    GO_OUT = "go_out"
    TAP_CARD = "tap_card"
    SHOW_CODE = "show_code"
    SHOW_CODE_TO_GUARD = "show_code_to_guard"
    REFRESH_CODE = "refresh_code"
    TYPE_DIGITS = "type_digits"
    LOOK_AT_SENSOR = "look_at_sensor"
    WAIT_AND_MEASURE_AGAIN = "wait_and_measure_again"
    WAIT_INSIDE = "wait_inside"
    CONTACT_THERMOMETER = "contact_thermometer"
    REGISTER_WITH_GUARD = "register_with_guard"
    COME_BACK_IN_HOURS = "come_back_in_hours"
    GO_TO_NAMED_GATE = "go_to_named_gate"
    SEE_GUARD = "see_guard"


class Remark(StrEnum):
    """What the guard and the journal are told of a pass that was taken all the same."""

    COUNTER_JUMP = "counter_jump"
    """Over 500 readings since the last tap here: a phone may have read the card, or somebody collected codes."""
    COUNTER_EXHAUSTED = "counter_exhausted"
    """The rolling code's last value: the card must be replaced."""
    PASSED_BACK = "passed_back"
    """In again without having gone out."""
    TWO_GATES = "two_gates"
    """At another gate of the site a moment ago, sooner than anybody walks from there."""
    LENT_CARD = "lent_card"
    """A temporary card that a member has lent out."""
    WEAK_CARD = "weak_card"
    """A number alone, at a gate that asks its cards for more: anybody may have copied it."""


class CheckName(StrEnum):
    """The gate's four steps; the health code's trip part stands apart because it can be attested apart."""

    PASS = "pass"
    TEMPERATURE = "temperature"
    HEALTH_CODE = "health_code"
    TRIP = "trip"
    REGISTER = "register"


class CheckState(StrEnum):
    """Result of one check. Unknown never admits; waived names the rule or person that waived it."""

    PASS = "pass"
    FAIL = "fail"
    UNKNOWN = "unknown"
    WAIVED = "waived"


class Direction(StrEnum):
    """Which way a lane leads."""

    IN = "in"
    OUT = "out"


class ClockTrust(StrEnum):
    """How far wall time can be believed. Order is always (boot, seq), never wall time."""

    SYNCED = "synced"
    HOLDOVER = "holdover"
    ASSERTED = "asserted"
    NONE = "none"


class Passed(StrEnum):
    """Whether the person went through after the verdict, by the passage beam or the door contact."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"
