"""What the screens show and what the guard can ask: frozen views and commands. Pure.

The capture loop publishes one :class:`LaneView` a lane and one :class:`KioskView`; the web app turns them into
pages and server-sent events. The guard's clicks come back as :data:`GuardCommand` values, carried out by the
capture loop alone, each answered by a :class:`CommandResult`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from kiosk.credentials.bundle import AgeLight
from kiosk.evidence import AttestedCode, NotMeasured, TemperatureOutcome
from kiosk.reasons import ClockTrust, Direction, Remark
from kiosk.verdict import Verdict


class Phase(StrEnum):
    """Where a lane's state machine (``kiosk/passage.py``) stands."""

    IDLE = "idle"
    IDENTIFYING = "identifying"
    MEASURING = "measuring"
    DECIDED = "decided"
    FAULT = "fault"


class Hint(StrEnum):
    """What the resident's screen says besides a verdict; never a verdict."""

    TAP_OR_SHOW = "tap_or_show"
    SHOW_CODE = "show_code"
    TAP_CARD = "tap_card"
    LOOK_AT_SENSOR = "look_at_sensor"
    HOLD_STILL = "hold_still"
    ONE_CARD_ONLY = "one_card_only"
    CARD_AGAIN = "card_again"
    USE_REAL_CARD = "use_real_card"
    WAIT_FOR_YOUR_TURN = "wait_for_your_turn"
    CHECKING_CODE = "checking_code"
    NEXT_CODE = "next_code"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceLight:
    """One device of a lane: shape, word and colour on the console. ``age_ms`` since its last good event."""

    name: str
    role: str
    ok: bool
    detail: str
    age_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WarmingView:
    """Somebody who waits inside because of cold skin; ``since_us`` is when that was found (UTC, microseconds)."""

    passage: str
    category: str
    since_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedView:
    """What the lane's thermometer can be expected to find at its threshold; shares from 0 to 1 with 95 % intervals."""

    low_c: float
    sensitivity: tuple[float, float, float]
    specificity: tuple[float, float, float]
    retest: tuple[float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneView:
    """One lane, as both screens show it. ``passage`` is the running or last passage's id ("" before the first).

    The resident's page uses phase, hint and the verdict's public sentence only; category, temperature outcome and
    the reasons behind are for the console,
    and so are ``warming`` (who waits inside), ``body_hint_c`` (a module's own figure, a hint) and ``expected`` (None
    where the lane ``measures``: nothing is known of its thermometer).
    ``challenge`` are the digits that a phone has to sign into its code, ""
    where the policy asks for none; ``code_parts`` says how many of how many codes of one card were read.
    ``holder`` and ``lent_by`` are keyed pseudonyms of who holds the card and who answers for a lent one ("" for nobody
    known), ``remarks`` what the guard should know of it: all three for the console alone.
    """

    lane: str
    direction: Direction
    phase: Phase
    hint: Hint = Hint.TAP_OR_SHOW
    passage: str = ""
    verdict: Verdict | None = None
    decided_at_us: int | None = None
    acknowledged: bool = True
    temperature: TemperatureOutcome | None = None
    not_measured: NotMeasured | None = None
    waiting_for: tuple[str, ...] = ()
    devices: tuple[DeviceLight, ...] = ()
    emergency_since_us: int | None = None
    warming: tuple[WarmingView, ...] = ()
    body_hint_c: float | None = None
    measures: bool = False
    expected: ExpectedView | None = None
    challenge: str = ""
    code_parts: tuple[int, int] | None = None
    holder: str = ""
    lent_by: str = ""
    remarks: tuple[Remark, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RecentPassage:
    """One line of the console's list of the last passages."""

    passage: str
    lane: str
    at_us: int
    admit: bool
    reason: str
    category: str
    by_guard: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustAge:
    """How old the trust store is: ``days`` until its announced next update, negative once past; version 0: none yet."""

    light: AgeLight
    version: int
    days: int


@dataclass(frozen=True, slots=True, kw_only=True)
class KioskView:
    """Everything the pages show; a page load renders the current one without waiting for an event."""

    kiosk_id: str
    site_name: str
    at_us: int
    clock_trust: ClockTrust
    lanes: tuple[LaneView, ...]
    recent: tuple[RecentPassage, ...] = ()
    backlog: int = 0
    last_ack_us: int | None = None
    journal_ok: bool = True
    simulated: bool = False
    alarms: tuple[str, ...] = ()
    duty_number: str = ""
    policy: str = ""
    trust: TrustAge | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Attest:
    """The guard saw the phone of the person now in ``lane``."""

    lane: str
    guard: str
    code: AttestedCode | None = None
    trip_clear: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """Admit (or deny) the person of ``passage`` once; ``reason`` is required, free text goes to ``note``."""

    lane: str
    passage: str
    guard: str
    admit: bool
    reason: str
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledge:
    """The guard has dealt with a denial that stays on the console until then."""

    lane: str
    passage: str
    guard: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasureAgain:
    """Start a fresh measuring window for the person in ``lane``."""

    lane: str
    guard: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EnterTemperature:
    """A contact-thermometer value in hundredths of a degree Celsius, which then decides.

    ``passage`` names somebody who waits inside; "" is whoever stands in the lane.
    """

    lane: str
    guard: str
    object_centi_c: int
    passage: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Emergency:
    """Open ``lane`` (or every lane: "") and keep it open until closed. Needs no login: ``guard`` may be ""."""

    lane: str
    open: bool
    guard: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisterVisitor:
    """Write the person in ``lane`` into the register, in 30 seconds."""

    lane: str
    guard: str
    name: str
    phone_last4: str
    host: str
    purpose: str
    category: str = "visitor"


@dataclass(frozen=True, slots=True, kw_only=True)
class PassWish:
    """The temporary pass that a guard asks for, good for so many ``hours``.

    ``once`` makes a pass for this gate that is used up by one passage; ``every_gate`` is for passes that may be used
    again. It counts from ``from_minute`` to ``until_minute`` of each local day; None: at any hour.
    """

    guard: str
    category: str
    hours: int
    once: bool
    every_gate: bool = False
    from_minute: int | None = None
    until_minute: int | None = None


GuardCommand = Attest | Override | Acknowledge | MeasureAgain | EnterTemperature | Emergency | RegisterVisitor


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandResult:
    """What became of a command: ``done``, or the message key saying why not (nothing is half done)."""

    done: bool
    message: str = ""
    passage: str = field(default="")
