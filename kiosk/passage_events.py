"""What a lane's state machine takes in and gives out: frozen events, effects and the lane's set-up. Pure.

The capture loop (``kiosk/capture.py``) turns device events and guard commands into :data:`Event` values, calls
``kiosk.passage.step`` and carries out the :data:`Effect` values **in the order given**. Time never comes from here:
every call has ``now``, and :attr:`LaneState.wake_at_ns` says when :class:`TimePassed` is due.

Who does what:

    capture loop                                         machine
    CardTap, QrText (as the device gave them)      ->    VerifyCard / VerifyCode (or a hint, or nothing: held card)
    PassVerified / CodeVerified (the finding)      ->    … Commit(draft)         the journal writes it durably
    Committed(draft.ref) / CommitFailed(draft.ref) ->    Pulse, Announce, OpenReferral, …
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from config.policy import Policy
from drivers.devices import (
    AirReading,
    BodyHint,
    CardTap,
    DistanceReading,
    InputChange,
    QrText,
    TemperatureReading,
    ThermalFrame,
)
from kiosk.board import Acknowledge, Attest, CommandResult, Emergency, EnterTemperature, MeasureAgain, Override
from kiosk.evidence import CodeFinding, PassFinding
from kiosk.reasons import ClockTrust, Direction, Passed, Reason
from kiosk.records import Kind, PayloadClass, Stream
from kiosk.screening import Sensor
from kiosk.verdict import Verdict


class Now(Protocol):
    """The instant of a step; ``kiosk.clock.Instant`` is one."""

    @property
    def at_us(self) -> int:
        """UTC in microseconds, as far as ``clock_trust`` goes."""
        ...

    @property
    def clock_trust(self) -> ClockTrust:
        """How far ``at_us`` can be believed."""
        ...

    @property
    def boot_id(self) -> str:
        """The boot that ``mono_ns`` counts in."""
        ...

    @property
    def mono_ns(self) -> int:
        """The monotonic clock, the one that events are stamped with."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalTime:
    """Minute of the local day (0 to 1439) and weekday (0 Monday to 6) in the site's zone."""

    minute: int
    weekday: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneSetup:
    """What a lane is made of; constant while it runs.

    ``devices`` maps each device's name to its role (``card``, ``camera``, ``thermometer``, ``relay``, ``inputs``).
    ``local_time`` turns UTC microseconds into the site's local minute and weekday. ``sensor`` describes the
    lane's thermometer (None: the lane has none). ``presence_contact``, ``passage_contact`` say which inputs are
    wired: a presence switch; a beam or door contact by which a passage is seen. ``pulse_s`` is the opening pulse.
    ``distance_mm`` is where a person stands to be measured, for lanes with a distance sensor.
    """

    lane: str
    direction: Direction
    place: str
    policy: Policy
    devices: dict[str, str]
    local_time: Callable[[int], LocalTime]
    sensor: Sensor | None = None
    distance_mm: tuple[int, int] | None = None
    presence_contact: bool = False
    passage_contact: bool = False
    pulse_s: float = 0.5


# ---------------------------------------------------------------------------------------------------- events


@dataclass(frozen=True, slots=True, kw_only=True)
class PassVerified:
    """The answer to :class:`VerifyCard`, or a QR text that was a temporary pass, or a visitor just registered.

    ``credential`` is the handle of the effect that asked (``VerifyCard.credential`` or ``VerifyCode.credential``).
    """

    finding: PassFinding
    credential: str
    at_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeVerified:
    """The answer to :class:`VerifyCode` when the text was a health code (or nothing we know: a refusal)."""

    finding: CodeFinding
    credential: str
    at_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeAwaited:
    """The answer to :class:`VerifyCode` when a server is being asked: the lane goes on meanwhile.

    :class:`CodeVerified` follows. If it is not there at ``until_ns`` (monotonic), ``finding`` stands: that the code
    needs the network.
    """

    finding: CodeFinding
    credential: str
    until_ns: int
    at_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeIncomplete:
    """The answer to :class:`VerifyCode` when the text is one part of several: ``seen`` of ``total`` were read."""

    credential: str
    at_ns: int
    seen: int = 1
    total: int = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class VisitorRegistered:
    """The guard wrote the person now in the lane into the register: ``finding`` is their fresh one-visit pass."""

    finding: PassFinding
    guard: str
    at_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TapTorn:
    """A card left the field before it had been read: a hint, never a verdict."""

    at_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialGone:
    """The source says that what it held is away (tag-gone, the next picture): the same one may count again."""

    at_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceDown:
    """A device of the lane is out of service (a transient fault is none)."""

    name: str
    at_ns: int
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceUp:
    """A device of the lane proved itself. At start every device counts as down until this comes."""

    name: str
    at_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Committed:
    """The journal has the draft ``ref`` durably."""

    ref: str
    at_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitFailed:
    """The journal could not write the draft ``ref``; it will be kept in memory and written when it can be."""

    ref: str
    at_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TimePassed:
    """``LaneState.wake_at_ns`` has come (calling early or often is harmless)."""

    at_ns: int


Event = (
    CardTap
    | QrText
    | TemperatureReading
    | ThermalFrame
    | AirReading
    | DistanceReading
    | BodyHint
    | InputChange
    | PassVerified
    | CodeVerified
    | CodeAwaited
    | CodeIncomplete
    | VisitorRegistered
    | TapTorn
    | CredentialGone
    | DeviceDown
    | DeviceUp
    | Committed
    | CommitFailed
    | TimePassed
    | Attest
    | Override
    | Acknowledge
    | MeasureAgain
    | EnterTemperature
    | Emergency
)

# --------------------------------------------------------------------------------------------------- effects


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A record to be: the journal adds identity, salt and chain. ``ref`` is the passage id (or an emergency's)."""

    stream: Stream
    kind: Kind
    lane: str
    ref: str
    at: Now
    payloads: dict[PayloadClass, dict[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyCard:
    """Ask ``kiosk/credentials`` what this tap is; answer with :class:`PassVerified`."""

    tap: CardTap
    credential: str


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyCode:
    """Ask ``kiosk/credentials`` what this text is; answer with :class:`CodeVerified` or :class:`PassVerified`."""

    code: QrText
    credential: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """Write durably, then send :class:`Committed` (or :class:`CommitFailed`). Nothing opens before the answer."""

    draft: Draft


@dataclass(frozen=True, slots=True, kw_only=True)
class Remember:
    """Write durably as soon as it can be; nobody waits for it (kept in memory while the journal fails)."""

    draft: Draft


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulse:
    """Open the lane's own output once, for ``duration_s``."""

    passage: str
    duration_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldOpen:
    """Emergency: drive the lane's output on until told otherwise."""

    on: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Announce:
    """The verdict is durable: chime, sentence, the console's list; tell the camera that its picture is decided."""

    passage: str
    verdict: Verdict
    by_guard: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenReferral:
    """An open case with an owner and a clock; on the console until it is closed."""

    passage: str
    subject: str
    reasons: tuple[Reason, ...]
    owner: str
    due_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CloseReferral:
    """The case of ``passage`` is over: by a guard, or because the person went in."""

    passage: str
    how: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RaiseAlarm:
    """Something that a person must look at: ``code`` is stable (``stranded``, ``door_forced``, …)."""

    code: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """The answer to the guard command of this very step (commands without a Reply were carried out)."""

    result: CommandResult


@dataclass(frozen=True, slots=True, kw_only=True)
class PassageClosed:
    """Whether the person admitted in ``passage`` went through (also journaled, as a Remember before it)."""

    passage: str
    passed: Passed


Effect = (
    VerifyCard
    | VerifyCode
    | Commit
    | Remember
    | Pulse
    | HoldOpen
    | Announce
    | OpenReferral
    | CloseReferral
    | RaiseAlarm
    | Reply
    | PassageClosed
)

__all__ = [
    "Acknowledge",
    "AirReading",
    "Announce",
    "Attest",
    "CardTap",
    "CloseReferral",
    "CodeAwaited",
    "CodeIncomplete",
    "CodeVerified",
    "Commit",
    "CommitFailed",
    "Committed",
    "CredentialGone",
    "DeviceDown",
    "DeviceUp",
    "Draft",
    "Effect",
    "Emergency",
    "EnterTemperature",
    "Event",
    "HoldOpen",
    "InputChange",
    "LaneSetup",
    "LocalTime",
    "MeasureAgain",
    "Now",
    "OpenReferral",
    "Override",
    "PassVerified",
    "PassageClosed",
    "Pulse",
    "QrText",
    "RaiseAlarm",
    "Remember",
    "Reply",
    "TapTorn",
    "TemperatureReading",
    "ThermalFrame",
    "TimePassed",
    "VerifyCard",
    "VerifyCode",
    "VisitorRegistered",
]
