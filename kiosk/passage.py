"""One lane's state machine: a table of (phase, event), no I/O, no clock. ``step`` is the only way to a new state.

    IDLE         nobody; the screen says "tap your card or show your code"
    IDENTIFYING  somebody is here; a credential is being verified or the second one is awaited
    MEASURING    every credential is there; the measuring window has not settled
    DECIDED      the verdict is being journaled, then held on the screen
    FAULT        neither card reader nor camera works: nothing can be presented; guard and emergency still work

Rules that the table keeps:

- Presence opens the measuring window; the credential binds to the presence; a window belongs to one continuous
  presence. A presence that has served a verdict serves nobody else: the next person is measured after the one before
  stepped away. The same person may be measured again.
- A second credential joins when it is of another kind; a further one of the same kind waits for the next person.
- The same credential held before the reader is one passage; tapped again shortly after an admission it is nothing.
- Torn taps, random UIDs and two cards at once give a hint, never a verdict.
- Nothing opens before the journal's answer: a verdict becomes ``Commit``, and only ``Committed`` (or the rule for a
  failed journal) becomes ``Pulse``.
- OUT never holds anybody; an emergency opens first and is written afterwards.

:data:`TABLE` is the whole machine; ``docs/passage-states.md`` is drawn from it by ``python -m kiosk.passage_diagram``
and a test holds the two together. An event that the table does not list for a phase is a programming error.

What handles the events stands beside it, one idea a file, each above those it uses:

    passage_credentials   passage_devices   passage_guard       cards and codes; faults, contacts, readings; the guard
    passage_advance                                             what is missing decides the phase
    passage_verdict       passage_measuring passage_begin       written, then opened; the window; a passage begins
    passage_kept          passage_asked     passage_evidence    the refused; what the policy asks; what is known
    passage_bench         passage_state     passage_events      one step's work; what a lane remembers; in and out
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

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
from kiosk import screening
from kiosk.board import Acknowledge, Attest, Emergency, EnterTemperature, MeasureAgain, Override, Phase
from kiosk.passage_advance import time_passed
from kiosk.passage_bench import NS, Bench, has_reader
from kiosk.passage_credentials import (
    another_credential,
    code_awaited,
    code_incomplete,
    code_verified,
    credential_after_verdict,
    first_credential,
    gone,
    pass_verified,
    torn,
)
from kiosk.passage_devices import air, body_hint, device_down, device_up, distance, input_changed, reading, thermal
from kiosk.passage_events import (
    CodeAwaited,
    CodeIncomplete,
    CodeVerified,
    CommitFailed,
    Committed,
    CredentialGone,
    DeviceDown,
    DeviceUp,
    Effect,
    Event,
    LaneSetup,
    Now,
    PassVerified,
    TapTorn,
    TimePassed,
    VisitorRegistered,
)
from kiosk.passage_guard import (
    acknowledge,
    attest,
    emergency,
    enter_temperature,
    measure_again,
    override,
    visitor_registered,
)
from kiosk.passage_measuring import window_from_ns
from kiosk.passage_state import LaneState
from kiosk.passage_verdict import commit_failed, committed


@dataclass(frozen=True, slots=True)
class Transition:
    """What a step came to: the new state, and the effects to carry out in this order."""

    state: LaneState
    effects: tuple[Effect, ...]


Handler = Callable[[Bench, Any], None]


@dataclass(frozen=True, slots=True)
class Rule:
    """One cell of the table: what handles the event, and the phases it can lead to (the own one included)."""

    handler: Handler
    to: frozenset[Phase]


def initial(setup: LaneSetup) -> LaneState:
    """A lane at start: every device still has to prove itself."""
    return LaneState(phase=Phase.FAULT if has_reader(setup) else Phase.IDLE)


def step(setup: LaneSetup, state: LaneState, event: Event, now: Now) -> Transition:
    """Take one event. Pure: the same arguments give the same transition; nothing is raised for any listed event."""
    rule = TABLE[state.phase, type(event)]
    bench = Bench(setup, now, state, [])
    rule.handler(bench, event)
    if bench.state.phase not in rule.to:
        raise AssertionError(f"{type(event).__name__} led from {state.phase} to {bench.state.phase}: not in the table")
    bench.put(wake_at_ns=_wake_at_ns(bench))
    return Transition(bench.state, tuple(bench.effects))


def _wake_at_ns(bench: Bench) -> int | None:
    state, setup = bench.state, bench.setup
    times: list[int | None] = [screening.presence_ends_ns(state.watch, contact=bench.contact)]
    person = state.person
    if person is not None:
        verifying = person.pending != ""
        times += [person.await_by_ns] if person.awaited else []
        if verifying or state.phase is Phase.IDENTIFYING:
            times.append(person.deadline_ns)
        elif person.presence is None:  # once somebody is bound, their window's time counts, not the wait for a face
            blind_ns = screening.blind_from_ns(state.watch, person.credential_ns)
            times += [person.measure_by_ns, None if bench.contact else blind_ns]
        measuring = person.measuring_since_ns is not None and person.presence is not None and not verifying
        if measuring and setup.sensor is not None:
            times.append(window_from_ns(bench, person) + int(setup.sensor.window.extended_s * NS))
    if state.phase is Phase.DECIDED and state.decided is not None and state.decided.committed:
        times.append(state.decided.hold_until_ns)
    times += [state.hint_until_ns] if state.hint_until_ns > bench.ns else []
    times += [state.opened.until_ns] if state.opened is not None else []
    times += [state.queued.until_ns] if state.queued is not None else []
    times += [kept.stranded_ns for kept in state.kept if not kept.alarmed]
    return min((at for at in times if at is not None), default=None)


_IDLE, _IDENT, _MEAS, _DEC, _FAULT = Phase.IDLE, Phase.IDENTIFYING, Phase.MEASURING, Phase.DECIDED, Phase.FAULT
_ALL = tuple(Phase)
_GOES_ON = frozenset({_IDENT, _MEAS, _DEC})

#: Rows: phases, events, handler, phases it can lead to besides the one it came in.
ROWS: tuple[tuple[tuple[Phase, ...], tuple[type[Any], ...], Handler, frozenset[Phase]], ...] = (
    ((_IDLE, _FAULT), (CardTap, QrText), first_credential, frozenset({_IDENT})),
    ((_IDENT, _MEAS), (CardTap, QrText), another_credential, frozenset({_IDENT})),
    ((_DEC,), (CardTap, QrText), credential_after_verdict, frozenset({_IDENT})),
    ((_IDENT, _MEAS), (PassVerified,), pass_verified, _GOES_ON),
    ((_IDENT, _MEAS), (CodeVerified,), code_verified, _GOES_ON),
    ((_IDENT, _MEAS), (CodeAwaited,), code_awaited, _GOES_ON),
    ((_IDLE, _DEC, _FAULT), (CodeAwaited,), code_awaited, frozenset()),
    ((_IDENT, _MEAS), (CodeIncomplete,), code_incomplete, _GOES_ON),
    ((_IDLE, _DEC, _FAULT), (CodeIncomplete,), code_incomplete, frozenset()),
    ((_IDLE, _DEC, _FAULT), (PassVerified,), pass_verified, frozenset()),
    ((_IDLE, _DEC, _FAULT), (CodeVerified,), code_verified, frozenset()),
    (_ALL, (TapTorn,), torn, frozenset()),
    (_ALL, (CredentialGone,), gone, frozenset()),
    ((_IDLE, _IDENT, _MEAS), (TemperatureReading,), reading, frozenset({_IDLE, *_GOES_ON})),
    ((_DEC, _FAULT), (TemperatureReading,), reading, frozenset()),
    ((_IDLE, _IDENT, _MEAS), (ThermalFrame,), thermal, frozenset({_IDLE, *_GOES_ON})),
    ((_DEC, _FAULT), (ThermalFrame,), thermal, frozenset()),
    (_ALL, (AirReading,), air, frozenset()),
    ((_IDLE, _IDENT, _MEAS), (DistanceReading,), distance, frozenset({_IDLE, *_GOES_ON})),
    ((_DEC, _FAULT), (DistanceReading,), distance, frozenset()),
    (_ALL, (BodyHint,), body_hint, frozenset()),
    ((_IDLE, _IDENT, _MEAS), (InputChange,), input_changed, frozenset({_IDLE, *_GOES_ON})),
    ((_DEC, _FAULT), (InputChange,), input_changed, frozenset()),
    (_ALL, (Committed,), committed, frozenset()),
    (_ALL, (CommitFailed,), commit_failed, frozenset()),
    ((_DEC,), (TimePassed,), time_passed, frozenset({_IDLE, _IDENT, _FAULT})),
    ((_IDLE, _FAULT), (TimePassed,), time_passed, frozenset({_IDLE, _IDENT, _FAULT})),
    ((_IDENT, _MEAS), (TimePassed,), time_passed, frozenset({_IDLE, _FAULT, *_GOES_ON})),
    ((_DEC,), (DeviceDown,), device_down, frozenset()),
    ((_DEC,), (DeviceUp,), device_up, frozenset()),
    ((_IDLE, _IDENT, _MEAS, _FAULT), (DeviceDown,), device_down, frozenset({_IDLE, _FAULT, *_GOES_ON})),
    ((_IDLE, _IDENT, _MEAS, _FAULT), (DeviceUp,), device_up, frozenset({_IDLE, _FAULT, *_GOES_ON})),
    (_ALL, (Attest,), attest, _GOES_ON),
    (_ALL, (MeasureAgain,), measure_again, _GOES_ON),
    (_ALL, (EnterTemperature,), enter_temperature, _GOES_ON),
    (_ALL, (VisitorRegistered,), visitor_registered, _GOES_ON),
    (_ALL, (Override,), override, frozenset({_DEC})),
    (_ALL, (Acknowledge,), acknowledge, frozenset()),
    (_ALL, (Emergency,), emergency, frozenset()),
)

TABLE: dict[tuple[Phase, type[Any]], Rule] = {
    (phase, event): Rule(handler, to | {phase})
    for phases, events, handler, to in ROWS
    for phase in phases
    for event in events
}
