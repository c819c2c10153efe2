"""The work of one step of a lane's state machine: the state as it becomes, and the effects so far. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from kiosk.board import CommandResult, Hint
from kiosk.calibration import Drift
from kiosk.evidence import Estimate, TemperatureOutcome
from kiosk.passage_events import Draft, Effect, LaneSetup, Now, RaiseAlarm, Remember, Reply
from kiosk.passage_record import STREAM_OF, Payloads, facts_only
from kiosk.passage_state import LaneState, Person
from kiosk.records import Kind
from kiosk.screening import Sensor

NS = 1_000_000_000
AIR_SERVES_NS = 120 * NS
"""A reading of the shaded air sensor serves two minutes; then the fixed or the nominal air is taken again."""
HINT_NS = 3 * NS
"""How long "present one card alone" and its like stand on the screen."""


@dataclass(slots=True)
class Bench:
    """The work of one step: the state as it becomes, and the effects so far. Never outlives the step."""

    setup: LaneSetup
    now: Now
    state: LaneState
    effects: list[Effect]

    def put(self, **changes: Any) -> None:
        """Change the lane's state."""
        self.state = replace(self.state, **changes)

    def person(self, **changes: Any) -> Person:
        """The running passage's person, changed; AssertionError when no passage runs."""
        if self.state.person is None:
            raise AssertionError("no running passage")
        person = replace(self.state.person, **changes)
        self.state = replace(self.state, person=person)
        return person

    def emit(self, effect: Effect) -> None:
        """One more effect, after those before it."""
        self.effects.append(effect)

    def remember(self, kind: Kind, ref: str, payloads: Payloads) -> None:
        """A record that nobody waits for."""
        self.emit(Remember(draft=self.draft(kind, ref, payloads)))

    def draft(self, kind: Kind, ref: str, payloads: Payloads) -> Draft:
        """A record of this lane at this instant."""
        return Draft(
            stream=STREAM_OF[kind], kind=kind, lane=self.setup.lane, ref=ref, at=self.now, payloads=dict(payloads)
        )

    def alarm(self, code: str, detail: str, **facts: Any) -> None:
        """An alarm: journaled, and shown to whoever is on duty. ``code`` is stable."""
        self.remember(Kind.ALARM, "", facts_only(code=code, detail=detail, **facts))
        self.emit(RaiseAlarm(code=code, detail=detail))

    def reply(self, *, done: bool, message: str = "", passage: str = "") -> None:
        """The answer to the guard's command of this very step."""
        self.emit(Reply(result=CommandResult(done=done, message=message, passage=passage)))

    def up(self, role: str) -> bool:
        """Whether a device of that role works."""
        return any(self.setup.devices.get(name) == role for name in self.state.up)

    @property
    def contact(self) -> bool:
        """Whether something else than the thermometer tells who stands before it: a switch, a distance sensor."""
        return presence_by_contact(self.setup, self.state)

    @property
    def ns(self) -> int:
        """The monotonic instant of the step."""
        return self.now.mono_ns

    @property
    def sensor(self) -> Sensor | None:
        """The lane's thermometer in the air of this minute; out of use while the running check says it drifted."""
        sensor, air = self.setup.sensor, self.state.air
        if sensor is None:
            return None
        if air is not None and self.ns - air.at_ns <= AIR_SERVES_NS:
            sensor = replace(sensor, air_c=air.air_c)
        return replace(sensor, drifted=True) if self.state.drift.state is Drift.STOP else sensor

    def seconds(self, seconds: float) -> int:
        """The monotonic instant that many seconds from now."""
        return self.ns + int(seconds * NS)


def presence_by_contact(setup: LaneSetup, state: LaneState) -> bool:
    """A presence switch speaks as long as it is wired; a distance sensor while it works."""
    by_distance = setup.distance_mm is not None and any(setup.devices.get(name) == "distance" for name in state.up)
    return setup.presence_contact or by_distance


def has_reader(setup: LaneSetup) -> bool:
    """Whether anything is built in by which a credential can be presented."""
    return any(role in ("card", "camera") for role in setup.devices.values())


def tell(bench: Bench, hint: Hint) -> None:
    """Say what went wrong with a credential, long enough to be read."""
    bench.put(hint=hint, hint_until_ns=bench.ns + HINT_NS)


def ask(bench: Bench, hint: Hint) -> None:
    """Say what is wanted next, unless something that went wrong still stands there to be read."""
    if bench.ns >= bench.state.hint_until_ns:
        bench.put(hint=hint)


def normal_only(found: Estimate | None) -> Estimate | None:
    """The estimate when it was normal, else None."""
    return found if found is not None and found.outcome is TemperatureOutcome.NORMAL else None


def passage_id(bench: Bench) -> str:
    """Unique in this boot across restarts of the program: the monotonic microsecond, one later when it is taken."""
    number = max(bench.ns // 1000, bench.state.last_id_us + 1)
    bench.put(last_id_us=number)
    return f"{bench.setup.lane}-{bench.now.boot_id.replace('-', '')[:8]}-{number:x}"


def second_by(bench: Bench) -> int:
    """Until when a second credential is awaited, monotonic ns."""
    return bench.seconds(bench.setup.policy.waits.credential_s)
