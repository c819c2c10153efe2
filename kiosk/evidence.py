"""Evidence: everything known about one person at the gate, as frozen values. Pure.

Verifiers (``kiosk/credentials``), the screening (``kiosk/screening.py``) and the guard fill it;
``kiosk/decision.py`` reads it. Missing evidence is ``None`` and has a rule of its own, never a default.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from kiosk.reasons import ClockTrust, Direction, Reason, Remark


class CardStrength(StrEnum):
    """What a card proves (DESIGN "Cards"): challenge and response, rolling code, or only a number."""

    EV2 = "ev2"
    SUN = "sun"
    UID = "uid"
    PASS_CODE = "pass_code"


@dataclass(frozen=True, slots=True, kw_only=True)
class PassFinding:
    """What the pass presented turned out to be.

    ``refusal`` is None for a genuine, unrevoked, unexpired pass of this site. ``subject`` is the keyed pseudonym
    of the holder (16 hex digits) or "" when nobody is known by it. ``category`` is the holder's category in the
    roster. ``code_match`` is the keyed hash that a health code of the same person carries, where enrolled.
    ``lent_by`` is the pseudonym of the member who answers for a lent card. ``remarks`` refuse nothing. ``used_at``
    names the gate of the other kiosk that let a one-time pass in before, "" for none.
    """

    refusal: Reason | None
    subject: str = ""
    category: str = ""
    strength: CardStrength = CardStrength.UID
    registered: bool = False
    code_match: str = ""
    places: tuple[str, ...] = ()
    evidence_hash: str = ""
    lent_by: str = ""
    remarks: tuple[Remark, ...] = ()
    used_at: str = ""


class CodeStatus(StrEnum):
    """Colour of a health code; a certificate without colours is green when it is valid."""

    GREEN = "green"
    YELLOW = "yellow"
    RED = "red"


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeFinding:
    """What the health code presented turned out to be: ``refusal`` is None when it is valid.

    ``kind`` names the format (``hcert``, ``shc``, ``gc1``, …). ``subject_match`` is the keyed hash of name and
    birth date. ``bound_pass`` is the hash of the one pass that a community code goes with (16 hex digits,
    ``kiosk/credentials/pass_binding.py``), "" for codes bound to no pass. ``trip_clear`` is None
    when the code says nothing of travel. ``used_at`` names the gate at which the same credential was let in a few
    minutes ago, "" for none. ``evidence_hash`` is the SHA-256 of the text, kept for refused codes only.
    """

    refusal: Reason | None
    kind: str
    status: CodeStatus | None = None
    issuer: str = ""
    expires_at_us: int | None = None
    subject_match: str = ""
    bound_pass: str = ""
    trip_clear: bool | None = None
    detail: str = ""
    used_at: str = ""
    evidence_hash: str = ""


class AttestedCode(StrEnum):
    """What the guard saw on the phone and says so with one key."""

    SEEN_GREEN = "seen_green"
    NOT_GREEN = "not_green"
    NO_PHONE = "no_phone"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attestation:
    """The guard's statement about this person: ``guard`` is the guard's pseudonymous id."""

    guard: str
    code: AttestedCode | None = None
    trip_clear: bool | None = None
    at_us: int = 0


class TemperatureOutcome(StrEnum):
    """The screening's four outcomes."""

    NORMAL = "normal"
    BORDERLINE = "borderline"
    RAISED = "raised"
    NOT_MEASURED = "not_measured"


class NotMeasured(StrEnum):
    """Why a temperature could not be had."""

    NO_READING = "no_reading"
    TOO_FEW = "too_few"
    TOO_FAR = "too_far"
    MOVING = "moving"
    COLD_SKIN = "cold_skin"
    SURROUNDINGS = "surroundings"
    WARMING_UP = "warming_up"
    STUCK = "stuck"
    DRIFT = "drift"
    FAULT = "fault"
    HINT_ONLY = "hint_only"
    """The module tells only a "body" figure, on which nothing can rest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What one person's readings mean.

    ``estimate_c`` and ``uncertainty_c`` (one standard deviation) are None when nothing was measured, and
    ``why_not`` then says why. ``count`` readings were used of ``seen``. ``rule`` names rule and coefficients.
    """

    outcome: TemperatureOutcome
    why_not: NotMeasured | None = None
    estimate_c: float | None = None
    uncertainty_c: float | None = None
    object_c: float | None = None
    count: int = 0
    seen: int = 0
    rule: str = ""
    by_guard: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """All of it, for one person in one lane.

    ``thermometer_fault`` and ``camera_fault`` say that the device is out of service, which is not the same as a
    person who was not measured. ``local_minute`` is the minute of the local day (0 to 1439) and ``weekday`` 0
    (Monday) to 6, both computed by the caller in the site's time zone. ``place`` is the gate's name in passes and
    policies. ``shots`` counts measuring windows of this person so far; ``home_waiting_s`` is how long a resident
    whose card is good has been kept waiting since the first refusal (0: not at all); ``cold_for_s`` how long ago the
    person's skin was first found too cold to be measured.
    """

    lane: str
    direction: Direction
    clock_trust: ClockTrust
    local_minute: int
    weekday: int
    card: PassFinding | None = None
    code: CodeFinding | None = None
    temperature: Estimate | None = None
    attestation: Attestation | None = None
    thermometer_fault: bool = False
    camera_fault: bool = False
    recent_measurement: Estimate | None = None
    place: str = ""
    shots: int = 1
    home_waiting_s: int = 0
    cold_for_s: int = 0
