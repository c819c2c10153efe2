"""A lane driven by hand: events in, effects recorded, journal and verifiers answered like the capture loop does."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace

from config.policy import Policy, load_policy
from config.sensor_model import SensorModel
from drivers.devices import CardTap, InputChange, InputName, QrText, TemperatureReading
from kiosk.evidence import CardStrength, CodeFinding, CodeStatus, PassFinding
from kiosk.passage import initial, step
from kiosk.passage_bench import Bench
from kiosk.passage_events import (
    CodeVerified,
    Commit,
    CommitFailed,
    Committed,
    DeviceDown,
    DeviceUp,
    Draft,
    Effect,
    Event,
    LaneSetup,
    LocalTime,
    PassVerified,
    TimePassed,
    VerifyCard,
    VerifyCode,
)
from kiosk.passage_state import LaneState, Person
from kiosk.reasons import ClockTrust, Direction, Reason
from kiosk.records import Kind
from kiosk.screening import Sensor
from kiosk.verdict import Verdict

MODEL = SensorModel(
    version="test-1", site="single_spot", a_c=5.64, b=-0.128, low_c=37.5, high_c=38.0, spread_c=0.57,
    repeatability_c=0.26,
)  # fmt: skip
#: Skin that the model reads as 36.8, 37.7 (borderline) and 38.6 degC in air of 24 degC.
NORMAL_SKIN_C, BORDERLINE_SKIN_C, FEVER_SKIN_C = 34.23, 35.15, 36.03

RESIDENT = PassFinding(
    refusal=None, subject="a1b2c3d4e5f60718", category="resident", strength=CardStrength.EV2, registered=True
)
NEIGHBOUR = replace(RESIDENT, subject="0011223344556677")
COURIER = replace(RESIDENT, subject="c0c0c0c0c0c0c0c0", category="courier")
UNKNOWN_CARD = PassFinding(refusal=Reason.CARD_UNKNOWN)
REVOKED_CARD = PassFinding(refusal=Reason.CARD_REVOKED, subject=RESIDENT.subject, category="resident")
GREEN = CodeFinding(refusal=None, kind="hcert", status=CodeStatus.GREEN, trip_clear=True)
EXPIRED = CodeFinding(refusal=Reason.CODE_EXPIRED, kind="hcert")

CARDS = {"04a1": RESIDENT, "04a2": NEIGHBOUR, "04c0": COURIER, "04ff": UNKNOWN_CARD, "04ee": REVOKED_CARD}
CODES = {"HC1:green": GREEN, "HC1:expired": EXPIRED}


@dataclass(frozen=True)
class At:
    """An instant of the lane's day."""

    mono_ns: int
    at_us: int
    clock_trust: ClockTrust = ClockTrust.SYNCED
    boot_id: str = "5f0c1d2e-0000-4000-8000-000000000001"


@dataclass
class Lane:
    """One lane; time is in seconds from its start (a Monday, 10:00 local)."""

    policy: Policy = field(default_factory=lambda: load_policy("clear"))
    direction: Direction = Direction.IN
    devices: dict[str, str] = field(
        default_factory=lambda: {"reader": "card", "camera": "camera", "thermo": "thermometer"}
    )
    sensor: Sensor | None = field(default_factory=lambda: Sensor(model=MODEL, air_c=24.0))
    presence_contact: bool = False
    distance_mm: tuple[int, int] | None = None
    passage_contact: bool = False
    journal_ok: bool = True
    clock_trust: ClockTrust = ClockTrust.SYNCED
    start_devices: bool = True

    def __post_init__(self) -> None:
        self.setup = LaneSetup(
            lane="in",
            direction=self.direction,
            place="main-gate",
            policy=self.policy,
            devices=self.devices,
            local_time=lambda at_us: LocalTime(minute=600 + int(at_us - START_US) // 60_000_000, weekday=0),
            sensor=self.sensor,
            presence_contact=self.presence_contact,
            distance_mm=self.distance_mm,
            passage_contact=self.passage_contact,
        )
        self.state: LaneState = initial(self.setup)
        self.s = 0.0
        self.effects: list[Effect] = []
        if self.start_devices:
            for name in self.devices:
                self.send(DeviceUp(name=name, at_ns=self.ns))
        self.effects.clear()

    @property
    def ns(self) -> int:
        return 1_000_000_000_000 + round(self.s * 1e9)

    @property
    def now(self) -> At:
        return At(mono_ns=self.ns, at_us=START_US + round(self.s * 1e6), clock_trust=self.clock_trust)

    def send(self, event: Event, *, answer: bool = True) -> list[Effect]:
        """One event and everything that follows from it at the same instant; returns its effects.

        Without ``answer`` nobody verifies or writes: the test answers itself.
        """
        todo, seen = deque([event]), []
        while todo:
            transition = step(self.setup, self.state, todo.popleft(), self.now)
            self.state = transition.state
            for effect in transition.effects:
                seen.append(effect)
                todo.extend(self._answer(effect) if answer else [])
        self.effects += seen
        return seen

    def _answer(self, effect: Effect) -> list[Event]:
        match effect:
            case VerifyCard():
                finding = CARDS[effect.tap.uid.hex()]
                return [PassVerified(finding=finding, credential=effect.credential, at_ns=self.ns)]
            case VerifyCode():
                found = CODES[effect.code.text]
                return [CodeVerified(finding=found, credential=effect.credential, at_ns=self.ns)]
            case Commit() if self.journal_ok:
                return [Committed(ref=effect.draft.ref, at_ns=self.ns)]
            case Commit():
                return [CommitFailed(ref=effect.draft.ref, at_ns=self.ns)]
        return []

    def tap(self, uid: str, **more: object) -> list[Effect]:
        return self.send(CardTap(uid=bytes.fromhex(uid), at_ns=self.ns, **more))

    def show(self, text: str) -> list[Effect]:
        return self.send(QrText(text=text, data=text.encode(), corners=(), engine="test", at_ns=self.ns))

    def reading(self, object_c: float, ambient_c: float = 25.0) -> list[Effect]:
        return self.send(TemperatureReading(object_c=object_c, ambient_c=ambient_c, at_ns=self.ns))

    def face(self, skin_c: float, for_s: float) -> None:
        """A steady face at 10 Hz, with the sensor's own small noise."""
        for index in range(round(for_s * 10)):
            self.wait(0.1)
            self.reading(skin_c + (0.02, -0.01, 0.0)[index % 3])

    def nobody(self, for_s: float) -> None:
        """The sensor sees the wall."""
        for _ in range(round(for_s * 10)):
            self.wait(0.1)
            self.reading(24.5 + (round(self.s * 10) % 3) * 0.02)

    def contact(self, name: InputName, active: bool) -> list[Effect]:
        return self.send(InputChange(name=name, active=active, at_ns=self.ns))

    def wait(self, seconds: float) -> None:
        """Let time pass; the lane is woken whenever it asked for it."""
        end = self.s + seconds
        for _ in range(1000):
            wake = self.state.wake_at_ns
            if wake is None or wake > 1_000_000_000_000 + round(end * 1e9):
                break
            self.s = max(self.s, (wake - 1_000_000_000_000) / 1e9)
            self.send(TimePassed(at_ns=self.ns))
            assert self.state.wake_at_ns is None or self.state.wake_at_ns > wake, "the lane would spin"
        self.s = end

    def unplug(self, name: str) -> None:
        self.send(DeviceDown(name=name, at_ns=self.ns, detail="gone"))

    def plug(self, name: str) -> None:
        self.send(DeviceUp(name=name, at_ns=self.ns))

    def of(self, kind: type) -> list:
        return [effect for effect in self.effects if isinstance(effect, kind)]

    def drafts(self, kind: Kind) -> list[Draft]:
        return [effect.draft for effect in self.effects if hasattr(effect, "draft") and effect.draft.kind is kind]

    @property
    def verdict(self) -> Verdict | None:
        return self.state.decided.verdict if self.state.decided is not None and self.state.decided.committed else None


START_US = 1_795_399_200_000_000


def bench_of(lane: Lane, **state: object) -> Bench:
    """One step's work in this lane, its state changed so: for the rules that a step is made of."""
    return Bench(setup=lane.setup, now=lane.now, state=replace(lane.state, **state), effects=[])


def somebody(lane: Lane, **known: object) -> Person:
    """The person of a passage that begins now, and what is known of them."""
    new = Person(passage="in-5f0c1d2e-1", began_ns=lane.ns, credential_ns=lane.ns, deadline_ns=lane.ns + 20_000_000_000)
    return replace(new, **known)
