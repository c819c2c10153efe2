"""What a lane's state machine remembers between steps: frozen values, and the view the screens get. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from drivers.devices import AirReading, BodyHint, CardTap, QrText, TemperatureReading
from kiosk.board import DeviceLight, Hint, LaneView, Phase, WarmingView
from kiosk.body_hint import steady_hint_c
from kiosk.calibration import DriftWatch
from kiosk.distance_presence import DistanceWatch
from kiosk.evidence import Attestation, CodeFinding, Estimate, NotMeasured, PassFinding, TemperatureOutcome
from kiosk.passage_events import LaneSetup
from kiosk.screening import Sensor, Watch
from kiosk.verdict import Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """The person of the running passage, and what is known so far.

    ``presence`` is the number of the presence that the credential bound to (None: nobody before the sensor yet);
    ``fresh_from_ns`` is from when readings count. ``deadline_ns`` ends the wait for a second credential,
    ``measure_by_ns`` the wait for a face. ``awaited`` is the code that a server is asked about until ``await_by_ns``,
    while everything else goes on. ``window`` are the readings behind ``temperature``,
    ``sensor`` what they were judged by; ``waiting_for`` names
    what the screen asks for.
    """

    passage: str
    began_ns: int
    credential_ns: int
    deadline_ns: int
    card: PassFinding | None = None
    card_key: str = ""
    code: CodeFinding | None = None
    code_key: str = ""
    code_parts: tuple[int, int] | None = None
    pending: str = ""
    awaited: str = ""
    await_by_ns: int = 0
    attestation: Attestation | None = None
    temperature: Estimate | None = None
    window: tuple[TemperatureReading, ...] = ()
    presence: int | None = None
    fresh_from_ns: int = 0
    measuring_since_ns: int | None = None
    measure_by_ns: int | None = None
    sensor: Sensor | None = None
    shots: int = 0
    follows: str = ""
    waiting_for: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """The last verdict of the lane; shown only once ``committed``. ``hold_until_ns`` ends its time on the screen.

    ``presence`` is the number of the presence before the sensor when it fell (None: the sensor saw nobody).
    """

    person: Person
    verdict: Verdict
    ref: str
    decided_ns: int
    decided_at_us: int
    presence: int | None = None
    committed: bool = False
    hold_until_ns: int = 0
    by_guard: str = ""
    acknowledged: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """When a credential was last seen, so that one held in the field counts once."""

    key: str
    last_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Queued:
    """A credential of the next person, presented while this one is not done."""

    event: CardTap | QrText
    until_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """Somebody who was refused and must not be forgotten: a resident at the own gate, or an open referral."""

    subject: str
    passage: str
    since_ns: int
    referral: bool
    stranded_ns: int
    alarmed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A normal measurement that serves a known person for ``valid_for_min``."""

    subject: str
    estimate: Estimate
    at_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Warming:
    """Somebody whose skin was too cold: waits inside since then, to be measured again."""

    person: Person
    category: str
    since_ns: int
    since_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """An admission whose passing is awaited at the beam or the door contact."""

    passage: str
    until_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneState:
    """Everything one lane remembers. Start with ``kiosk.passage.initial``; only ``step`` makes new ones."""

    phase: Phase
    hint: Hint = Hint.TAP_OR_SHOW
    hint_until_ns: int = 0
    up: frozenset[str] = frozenset()
    watch: Watch = field(default_factory=Watch)
    person: Person | None = None
    decided: Decided | None = None
    sightings: tuple[Sighting, ...] = ()
    queued: Queued | None = None
    kept: tuple[Kept, ...] = ()
    measured: tuple[Measured, ...] = ()
    air: AirReading | None = None
    distance: DistanceWatch = field(default_factory=DistanceWatch)
    hints: tuple[BodyHint, ...] = ()
    drift: DriftWatch = field(default_factory=DriftWatch)
    warming: tuple[Warming, ...] = ()
    opened: Opened | None = None
    served_presence: int = 0
    last_id_us: int = 0
    door_expected_until_ns: int = 0
    emergency_since_us: int | None = None
    wake_at_ns: int | None = None

    @property
    def passage(self) -> str:
        """The running passage's id, else the last one's, else ""."""
        if self.person is not None:
            return self.person.passage
        return self.decided.person.passage if self.decided is not None else ""


def lane_view(setup: LaneSetup, state: LaneState, devices: tuple[DeviceLight, ...] = ()) -> LaneView:
    """The lane as both screens show it. A verdict appears only when its record is durable.

    A refusal stays (phase IDLE, not acknowledged) for the console until the guard deals with it or the next
    passage begins; the resident's screen goes by the phase.
    """
    decided = state.decided if state.person is None and state.decided is not None and state.decided.committed else None
    shown = state.person or (decided.person if decided is not None else None)
    card = shown.card if shown is not None else None
    outcome, why = _temperature(state.person.temperature if state.person is not None else None)
    if decided is not None:
        outcome, why = _temperature(decided.person.temperature)
    return LaneView(
        lane=setup.lane,
        direction=setup.direction,
        phase=state.phase,
        hint=state.hint,
        passage=state.passage,
        verdict=decided.verdict if decided is not None else None,
        decided_at_us=decided.decided_at_us if decided is not None else None,
        acknowledged=decided is None or decided.verdict.admit or decided.acknowledged,
        temperature=outcome,
        not_measured=why,
        waiting_for=state.person.waiting_for if state.person is not None else (),
        devices=devices,
        emergency_since_us=state.emergency_since_us,
        warming=tuple(
            WarmingView(passage=waiting.person.passage, category=waiting.category, since_us=waiting.since_us)
            for waiting in state.warming
        ),
        body_hint_c=steady_hint_c(state.hints, state.hints[-1].at_ns) if state.hints else None,
        code_parts=state.person.code_parts if state.person is not None else None,
        holder=card.subject if card is not None else "",
        lent_by=card.lent_by if card is not None else "",
        remarks=card.remarks if card is not None else (),
    )


def _temperature(found: Estimate | None) -> tuple[TemperatureOutcome | None, NotMeasured | None]:
    return (None, None) if found is None else (found.outcome, found.why_not)
