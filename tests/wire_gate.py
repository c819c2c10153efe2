"""A lane over real bytes in simulated time: simulated module, faulty line, decoder, lane's machine, many people.

Every frame carries its own number in the module's "body" figure, which no decision reads; so each reading behind a
verdict can be asked when it was taken and who stood there. That is what "never a stale reading, never another
person's" is checked by.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from config.policy import Policy, load_policy
from drivers.devices import CardTap, DeviceFault, DeviceReady, TemperatureReading
from drivers.simulators.line import Line
from drivers.simulators.registry import Spec
from drivers.simulators.scene import APPROACH_S, Scene
from drivers.simulators.streaming import StreamPlayer
from drivers.thermometers import gy_614v3
from kiosk.evidence import CardStrength, PassFinding, TemperatureOutcome
from kiosk.passage_events import (
    Commit,
    DeviceDown,
    DeviceUp,
    Draft,
    Effect,
    Event,
    PassVerified,
    TimePassed,
    VerifyCard,
)
from kiosk.passage_state import Person
from kiosk.screening import MAX_AGE_NS
from tests.lane import NORMAL_SKIN_C, Lane
from tests.virtual_line import VirtualLine

S = 1_000_000_000
EPOCH_NS = 1_000 * S
"""The lane's clock at the line's zero."""
STEP_NS = 20_000_000
NUMBERS = 30_000
"""Frames are numbered 0 to 29,999 (0.00 to 299.99 "degrees"): 50 minutes without a repeat at ten a second."""
SLOW_NS = 400_000_000
FAULTS = ("noise", "split", "bad_checksum", "silence", "unplug", "stuck", "slow")


class NumberedModule:
    """A GY-614V3 whose frames remember when they were taken and who stood there."""

    def __init__(self, seed: int, *, noise_c: float = 0.06, bias_c: float = 0.0) -> None:
        spec = Spec(
            name="thermometer",
            kind="gy_614v3",
            baud=9600,
            seed=seed,
            folder=Path("."),
            options={"noise_c": noise_c, "bias_c": bias_c, "room_c": 23.0},
        )
        self.here = 0
        self.taken: dict[int, tuple[int, int]] = {}
        self._number = 0
        self.player = StreamPlayer(spec, self._frame, period_s=0.1, continuous=gy_614v3.CONTINUOUS)

    def _frame(self, scene: Scene, at_ns: int) -> bytes:
        self._number = (self._number + 1) % NUMBERS
        object_c = scene.object_c(at_ns)
        self.taken[self._number] = (at_ns, self.here if scene.nearness(at_ns) > 0 else 0)
        return gy_614v3.encode(object_c, scene.ambient_c(), self._number / 100)

    def comes(self, number: int, skin_c: float) -> None:
        self.here = number
        self.player.command({"do": "person", "skin_c": skin_c})

    def goes(self) -> None:
        self.player.command({"do": "leave"})

    def of(self, reading: TemperatureReading) -> tuple[int, int]:
        """When the frame of a reading was taken (line's time), and who stood there (0: nobody)."""
        assert reading.body_c is not None
        return self.taken[round(reading.body_c * 100)]


class WireLane(Lane):
    """A lane that lives by the line's time and knows everybody's card: the card's number is the person's."""

    def __init__(self, policy: Policy) -> None:
        self.now_ns = EPOCH_NS
        super().__init__(policy=policy, devices={"reader": "card", "thermo": "thermometer"})
        self.unplug("thermo")
        self.effects.clear()

    @property
    def ns(self) -> int:
        return self.now_ns

    def _answer(self, effect: Effect) -> list[Event]:
        if isinstance(effect, VerifyCard):
            finding = PassFinding(
                refusal=None,
                subject=f"{int.from_bytes(effect.tap.uid):016x}",
                category="resident",
                strength=CardStrength.EV2,
                registered=True,
            )
            return [PassVerified(finding=finding, credential=effect.credential, at_ns=self.ns)]
        return super()._answer(effect)


@dataclass
class Day:
    """One run. ``drafts`` sees every passage's record; counts tell what came of it."""

    seed: int
    faults: tuple[str, ...] = FAULTS
    skins: Callable[[random.Random], float] = lambda draw: draw.gauss(NORMAL_SKIN_C, 0.35)
    drafts: Callable[[Draft], None] = lambda draft: None
    outcomes: Counter[str] = field(default_factory=Counter)
    people: int = 0
    unplugs: int = 0
    slow_until_ns: int = 0

    def __post_init__(self) -> None:
        self.draw = random.Random(self.seed)
        self.module = NumberedModule(self.seed)
        self.line = Line(self.module.player, baud=9600, seed=self.seed)
        self.link = VirtualLine(gy_614v3.Gy614V3Conversation(), self.line)
        self.lane = WireLane(load_policy("case"))
        self._next_fault, self._next_person = self._faults(), self._people()
        self._fault_ns = self._person_ns = 0

    def play(self, hours: float) -> None:
        """Let people come and faults happen up to this hour of the line's time."""
        while self.link.now < hours * 3600 * S:
            if self.link.now >= self._fault_ns:
                self._fault_ns = self.link.now + next(self._next_fault)
            if self.link.now >= self._person_ns:
                self._person_ns = self.link.now + next(self._next_person)
            soonest_ns = min(self._fault_ns, self._person_ns, self.link.now + STEP_NS)
            self._until(max(soonest_ns, self.link.now + 1))

    def _faults(self) -> Iterator[int]:
        """Each ``next`` does something and says for how long to leave it so, ns."""
        while True:
            yield self.draw.randrange(8 * S, 60 * S)
            fault = self.draw.choice(self.faults)
            if fault == "unplug":
                yield from self._unplugged()
                continue
            # A module that repeats itself now and then only is none that anybody has seen; it hangs or it does not.
            self.line.spoil(fault, 1.0 if fault == "stuck" else self.draw.choice([0.3, 1.0]))
            span_ns = self.draw.randrange(S // 5, 8 * S)
            if fault == "slow":
                self.slow_until_ns = self.link.now + span_ns + 2 * SLOW_NS
            yield span_ns
            self.line.spoil(None)

    def _unplugged(self) -> Iterator[int]:
        self.link.unplug()
        self.unplugs += 1
        yield 3 * S // 2
        assert not self.lane.state.up & {"thermo"}, "an unplugging that was not seen within 1.5 s"
        yield self.draw.randrange(S // 10, 5 * S)
        self.link.plug()

    def _people(self) -> Iterator[int]:
        while True:
            self.people += 1
            number, way = self.people, self.draw.random()
            if way < 0.1:  # the card first, then the face
                self._tap(number)
                yield self.draw.randrange(S // 5, S)
                self.module.comes(number, self.skins(self.draw))
                yield self.draw.randrange(S, 5 * S)
            else:
                self.module.comes(number, self.skins(self.draw))
                yield self.draw.randrange(S // 10, 3 * S // 2)
                if way < 0.92:  # the others stand there and walk off without a card
                    self._tap(number)
                yield self.draw.randrange(S // 2, 5 * S)
            self.module.goes()
            # The next one can stand there, or tap, only when this one has gone: at least 0.7 s after the first step
            # away, which no module that speaks 0.4 s late can make up for.
            yield int(APPROACH_S * S) + self.draw.choice([3 * S // 10, self.draw.randrange(3 * S // 10, 6 * S)])

    def _tap(self, number: int) -> None:
        self._send(CardTap(uid=number.to_bytes(7), at_ns=self.lane.ns))

    def _until(self, until_ns: int) -> None:
        wake_ns = self.lane.state.wake_at_ns
        if wake_ns is not None:
            until_ns = min(until_ns, max(wake_ns - EPOCH_NS, self.link.now + 1))
        for event in self.link.run(until_ns):
            self.lane.now_ns = EPOCH_NS + self.link.now
            if isinstance(event, DeviceReady):
                self._send(DeviceUp(name="thermo", at_ns=self.lane.ns))
            elif isinstance(event, DeviceFault) and not event.transient:
                self._send(DeviceDown(name="thermo", at_ns=self.lane.ns))
            elif isinstance(event, TemperatureReading):
                self._send(replace(event, at_ns=event.at_ns + EPOCH_NS))
        self.lane.now_ns = EPOCH_NS + self.link.now
        wake_ns = self.lane.state.wake_at_ns
        if wake_ns is not None and self.lane.ns >= wake_ns:
            self._send(TimePassed(at_ns=self.lane.ns))
            again_ns = self.lane.state.wake_at_ns
            assert again_ns is None or again_ns > self.lane.ns, "the lane would spin"

    def _send(self, event: Event) -> None:
        self.lane.now_ns = EPOCH_NS + self.link.now
        for effect in self.lane.send(event):
            if isinstance(effect, Commit):
                decided = self.lane.state.decided
                assert decided is not None
                self._judge(decided.person)
                self.drafts(effect.draft)
        self.lane.effects.clear()

    def _judge(self, person: Person) -> None:
        found = person.temperature
        assert person.card is not None
        self.outcomes["none" if found is None else str(found.why_not or found.outcome)] += 1
        if found is None or found.outcome is TemperatureOutcome.NOT_MEASURED:
            return
        tapped = int(person.card.subject, 16)
        taken = [self.module.of(reading) for reading in person.window]
        late_ns = SLOW_NS + 100_000_000 if self.link.now < self.slow_until_ns else 0
        assert {who for _, who in taken} == {tapped}, f"{tapped} was judged by readings of {taken}"
        assert self.link.now - taken[-1][0] <= MAX_AGE_NS + late_ns, f"{tapped}: the newest reading is stale"
