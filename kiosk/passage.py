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
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from config.policy import HOME_WAITED, REQUIRED, Category
from drivers.devices import AirReading, CardTap, InputChange, InputName, QrText, TemperatureReading, ThermalFrame
from kiosk import decision, screening
from kiosk.board import (
    Acknowledge,
    Attest,
    CommandResult,
    Emergency,
    EnterTemperature,
    Hint,
    MeasureAgain,
    Override,
    Phase,
)
from kiosk.calibration import Drift
from kiosk.evidence import Attestation, Estimate, Evidence, NotMeasured, TemperatureOutcome
from kiosk.face_blob import hottest_of_face
from kiosk.passage_events import (
    Announce,
    CloseReferral,
    CodeIncomplete,
    CodeVerified,
    Commit,
    CommitFailed,
    Committed,
    CredentialGone,
    DeviceDown,
    DeviceUp,
    Draft,
    Effect,
    Event,
    HoldOpen,
    LaneSetup,
    Now,
    OpenReferral,
    PassageClosed,
    PassVerified,
    Pulse,
    RaiseAlarm,
    Remember,
    Reply,
    TapTorn,
    TimePassed,
    VerifyCard,
    VerifyCode,
    VisitorRegistered,
)
from kiosk.passage_record import (
    STREAM_OF,
    Payloads,
    centi,
    facts_only,
    override_payloads,
    passage_payloads,
    referral_payloads,
)
from kiosk.passage_state import Decided, Kept, LaneState, Measured, Opened, Person, Queued, Sighting
from kiosk.reasons import CheckState, Direction, Passed, Reason
from kiosk.records import Kind
from kiosk.screening import Sensor
from kiosk.verdict import Verdict

NS = 1_000_000_000
HELD_CARD_NS = 1 * NS
"""A reader reports a card that stays several times a second; a pause of this length means it was away."""
HELD_CODE_NS = 3 * NS
"""A camera misses a code that stays for longer than a reader misses a card."""
MAX_SIGHTINGS = 8
MAX_KEPT = 64
MAX_MEASURED = 8192
KEPT_FOR_NS = 1800 * NS
"""How long a refused resident is remembered; who comes back later starts anew."""
AIR_SERVES_NS = 120 * NS
"""A reading of the shaded air sensor serves two minutes; then the fixed or the nominal air is taken again."""
HINT_NS = 3 * NS
"""How long "present one card alone" and its like stand on the screen."""
EXIT_GRACE_NS = 10 * NS
"""A door that opens within this time of the exit button was not forced."""


@dataclass(frozen=True, slots=True)
class Transition:
    """What a step came to: the new state, and the effects to carry out in this order."""

    state: LaneState
    effects: tuple[Effect, ...]


@dataclass(slots=True)
class _Bench:
    """The work of one step: the state as it becomes, and the effects so far. Never outlives the step."""

    setup: LaneSetup
    now: Now
    state: LaneState
    effects: list[Effect]

    def put(self, **changes: Any) -> None:
        self.state = replace(self.state, **changes)

    def person(self, **changes: Any) -> Person:
        if self.state.person is None:
            raise AssertionError("no running passage")
        person = replace(self.state.person, **changes)
        self.state = replace(self.state, person=person)
        return person

    def emit(self, effect: Effect) -> None:
        self.effects.append(effect)

    def remember(self, kind: Kind, ref: str, payloads: Payloads) -> None:
        self.emit(Remember(draft=self.draft(kind, ref, payloads)))

    def draft(self, kind: Kind, ref: str, payloads: Payloads) -> Draft:
        return Draft(
            stream=STREAM_OF[kind], kind=kind, lane=self.setup.lane, ref=ref, at=self.now, payloads=dict(payloads)
        )

    def alarm(self, code: str, detail: str, **facts: Any) -> None:
        self.remember(Kind.ALARM, "", facts_only(code=code, detail=detail, **facts))
        self.emit(RaiseAlarm(code=code, detail=detail))

    def reply(self, *, done: bool, message: str = "", passage: str = "") -> None:
        self.emit(Reply(result=CommandResult(done=done, message=message, passage=passage)))

    def up(self, role: str) -> bool:
        return any(self.setup.devices.get(name) == role for name in self.state.up)

    @property
    def ns(self) -> int:
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


Handler = Callable[[_Bench, Any], None]


@dataclass(frozen=True, slots=True)
class Rule:
    """One cell of the table: what handles the event, and the phases it can lead to (the own one included)."""

    handler: Handler
    to: frozenset[Phase]


def initial(setup: LaneSetup) -> LaneState:
    """A lane at start: every device still has to prove itself."""
    return LaneState(phase=Phase.FAULT if _has_reader(setup) else Phase.IDLE)


def step(setup: LaneSetup, state: LaneState, event: Event, now: Now) -> Transition:
    """Take one event. Pure: the same arguments give the same transition; nothing is raised for any listed event."""
    rule = TABLE[state.phase, type(event)]
    bench = _Bench(setup, now, state, [])
    rule.handler(bench, event)
    if bench.state.phase not in rule.to:
        raise AssertionError(f"{type(event).__name__} led from {state.phase} to {bench.state.phase}: not in the table")
    bench.put(wake_at_ns=_wake_at_ns(bench))
    return Transition(bench.state, tuple(bench.effects))


def _has_reader(setup: LaneSetup) -> bool:
    return any(role in ("card", "camera") for role in setup.devices.values())


def _wake_at_ns(bench: _Bench) -> int | None:
    state, setup = bench.state, bench.setup
    times: list[int | None] = [screening.presence_ends_ns(state.watch, contact=setup.presence_contact)]
    person = state.person
    if person is not None:
        verifying = person.pending != ""
        times.append(person.deadline_ns if verifying or state.phase is Phase.IDENTIFYING else person.measure_by_ns)
        measuring = person.measuring_since_ns is not None and person.presence is not None and not verifying
        if measuring and setup.sensor is not None:
            times.append(_window_from_ns(bench, person) + int(setup.sensor.window.extended_s * NS))
    if state.phase is Phase.DECIDED and state.decided is not None and state.decided.committed:
        times.append(state.decided.hold_until_ns)
    times += [state.hint_until_ns] if state.hint_until_ns > bench.ns else []
    times += [state.opened.until_ns] if state.opened is not None else []
    times += [state.queued.until_ns] if state.queued is not None else []
    times += [kept.stranded_ns for kept in state.kept if not kept.alarmed]
    return min((at for at in times if at is not None), default=None)


# ----------------------------------------------------------------------------------------------- credentials


def credential_key(event: CardTap | QrText) -> str:
    """Names a credential within the lane's memory only; it is never written anywhere."""
    if isinstance(event, CardTap):
        return "card:" + event.uid.hex()
    return "code:" + hashlib.sha256(event.data or event.text.encode("utf-8", "surrogatepass")).hexdigest()


def _hint_of(event: CardTap | QrText) -> Hint | None:
    if isinstance(event, CardTap) and event.cards_in_field > 1:
        return Hint.ONE_CARD_ONLY
    if isinstance(event, CardTap) and event.random_uid:
        return Hint.USE_REAL_CARD
    return None


def _tell(bench: _Bench, hint: Hint) -> None:
    """Say what went wrong with a credential, long enough to be read."""
    bench.put(hint=hint, hint_until_ns=bench.ns + HINT_NS)


def _ask(bench: _Bench, hint: Hint) -> None:
    """Say what is wanted next, unless something that went wrong still stands there to be read."""
    if bench.ns >= bench.state.hint_until_ns:
        bench.put(hint=hint)


def _still_held(bench: _Bench, event: CardTap | QrText) -> bool:
    """Whether this is the same presentation going on; notes the sighting either way."""
    key = credential_key(event)
    before = next((seen.last_ns for seen in bench.state.sightings if seen.key == key), None)
    others = tuple(seen for seen in bench.state.sightings if seen.key != key)
    bench.put(sightings=(*others, Sighting(key=key, last_ns=bench.ns))[-MAX_SIGHTINGS:])
    pause = HELD_CARD_NS if isinstance(event, CardTap) else HELD_CODE_NS
    return before is not None and bench.ns - before < pause


def _just_admitted(bench: _Bench, event: CardTap | QrText) -> bool:
    """The same person again right after an admission: the same credential, or the other kind that was not needed."""
    decided = bench.state.decided
    if decided is None or not decided.verdict.admit:
        return False
    if bench.ns - decided.decided_ns >= int(bench.setup.policy.holds.same_card_s * NS):
        return False
    key, person = credential_key(event), decided.person
    if key in (person.card_key, person.code_key):
        return True
    watch = bench.state.watch
    left = person.presence is not None and not (watch.present and watch.number == person.presence)
    return isinstance(event, QrText) and not person.code_key and bool(person.card_key) and not left


def _first_credential(bench: _Bench, event: CardTap | QrText) -> None:
    """IDLE, FAULT, or IDENTIFYING with nobody identified: a passage begins."""
    hint = _hint_of(event)
    if hint is not None:
        _tell(bench, hint)
        return
    if _still_held(bench, event) or _just_admitted(bench, event):
        return
    _begin(bench, event)


def _begin(bench: _Bench, event: CardTap | QrText) -> None:
    """A new passage. It carries on from the refusal before it when the same person answers what was missing."""
    before = _carried_on(bench, event)
    person = Person(
        passage=_passage_id(bench),
        began_ns=bench.ns,
        credential_ns=bench.ns,
        deadline_ns=bench.seconds(bench.setup.policy.waits.credential_s),
        fresh_from_ns=bench.ns if before is not None else 0,
        shots=before.shots if before is not None else 0,
        follows=before.passage if before is not None else "",
    )
    if before is not None and credential_key(event) not in (before.card_key, before.code_key):
        person = replace(
            person,
            card=before.card,
            card_key=before.card_key,
            code=before.code,
            code_key=before.code_key,
            attestation=before.attestation,
            temperature=_normal_only(before.temperature),
            window=before.window,
            presence=before.presence,
        )
    bench.put(person=person, phase=Phase.IDENTIFYING, hint=Hint.NONE, hint_until_ns=0, queued=None)
    _verify(bench, event)


def _carried_on(bench: _Bench, event: CardTap | QrText) -> Person | None:
    """The refused person whom this credential belongs to as well, or None for somebody new.

    It is the same card or code again, or the other kind, as long as the refusal is on the screen and (where a sensor
    sees people) its person was seen there at the refusal and has not stepped away since.
    """
    decided = bench.state.decided
    if decided is None or decided.verdict.admit or bench.ns >= decided.hold_until_ns or _stepped_away(bench, decided):
        return None
    person, key = decided.person, credential_key(event)
    if key in (person.card_key, person.code_key):
        return person
    other_kind = not person.card_key if isinstance(event, CardTap) else not person.code_key
    return person if other_kind and _genuine(person) else None


def _stepped_away(bench: _Bench, decided: Decided) -> bool:
    """Whether whoever is here now may be somebody else than the person of the last verdict.

    Only what sees people can tell: a working thermometer or a presence contact. Without either nobody is known to
    have left. A person whom the sensor had not seen when the verdict fell cannot be told from the next one.
    """
    sees_people = bench.setup.presence_contact or (bench.sensor is not None and bench.up("thermometer"))
    watch = bench.state.watch
    return sees_people and (decided.presence is None or not watch.present or watch.number != decided.presence)


def _genuine(person: Person) -> bool:
    return person.card is None or person.card.refusal is None


def _normal_only(found: Estimate | None) -> Estimate | None:
    return found if found is not None and found.outcome is TemperatureOutcome.NORMAL else None


def _passage_id(bench: _Bench) -> str:
    """Unique in this boot across restarts of the program: the monotonic microsecond, one later when it is taken."""
    number = max(bench.ns // 1000, bench.state.last_id_us + 1)
    bench.put(last_id_us=number)
    return f"{bench.setup.lane}-{bench.now.boot_id.replace('-', '')[:8]}-{number:x}"


def _verify(bench: _Bench, event: CardTap | QrText) -> None:
    key = credential_key(event)
    bench.person(pending=key, credential_ns=bench.ns)
    if isinstance(event, CardTap):
        bench.emit(VerifyCard(tap=event, credential=key))
    else:
        bench.emit(VerifyCode(code=event, credential=key))


def _another_credential(bench: _Bench, event: CardTap | QrText) -> None:
    """IDENTIFYING or MEASURING: it joins when of another kind, otherwise it waits for the next person."""
    person = bench.state.person
    if person is None:
        _first_credential(bench, event)
        return
    hint = _hint_of(event)
    if hint is not None:
        _tell(bench, hint)
        return
    if _still_held(bench, event) or credential_key(event) in (person.card_key, person.code_key, person.pending):
        return
    if isinstance(event, CardTap):
        joins = person.card is None
    else:
        joins = person.code is None or person.code.refusal is not None
    if joins and not person.pending:
        _verify(bench, event)
        return
    bench.put(queued=Queued(event=event, until_ns=bench.seconds(bench.setup.policy.waits.credential_s)))
    _tell(bench, Hint.WAIT_FOR_YOUR_TURN)


def _credential_after_verdict(bench: _Bench, event: CardTap | QrText) -> None:
    """DECIDED: a new presentation interrupts the hold; a card that is still held does not."""
    if bench.state.decided is None or not bench.state.decided.committed:
        bench.put(queued=Queued(event=event, until_ns=bench.seconds(bench.setup.policy.waits.credential_s)))
        return
    if _hint_of(event) is not None or _still_held(bench, event) or _just_admitted(bench, event):
        return
    _begin(bench, event)


def _torn(bench: _Bench, _: TapTorn) -> None:
    if bench.state.phase is not Phase.DECIDED:
        _tell(bench, Hint.CARD_AGAIN)


def _gone(bench: _Bench, _: CredentialGone) -> None:
    bench.put(sightings=())


def _pass_verified(bench: _Bench, event: PassVerified) -> None:
    person = bench.state.person
    if person is None or person.pending != event.credential:
        return
    bench.person(card=event.finding, card_key=event.credential, pending="", deadline_ns=_second_by(bench))
    _advance(bench)


def _code_verified(bench: _Bench, event: CodeVerified) -> None:
    person = bench.state.person
    if person is None or person.pending != event.credential:
        return
    bench.person(code=event.finding, code_key=event.credential, pending="", deadline_ns=_second_by(bench))
    _advance(bench)


def _code_incomplete(bench: _Bench, event: CodeIncomplete) -> None:
    person = bench.state.person
    if person is None or person.pending != event.credential:
        return
    bench.person(pending="", deadline_ns=_second_by(bench))
    _advance(bench)


def _second_by(bench: _Bench) -> int:
    return bench.seconds(bench.setup.policy.waits.credential_s)


def _visitor_registered(bench: _Bench, event: VisitorRegistered) -> None:
    """The guard registered the person in the lane: their pass counts for this passage."""
    if bench.state.phase is Phase.DECIDED and bench.state.decided is not None and not bench.state.decided.committed:
        bench.reply(done=False, message="journal_busy")
        return
    person = _running_or_refused(bench)
    if person is None:
        person = Person(
            passage=_passage_id(bench), began_ns=bench.ns, credential_ns=bench.ns, deadline_ns=_second_by(bench)
        )
        bench.put(person=person, phase=Phase.IDENTIFYING, hint=Hint.NONE)
    bench.person(card=event.finding, card_key=f"registered:{event.finding.subject}", deadline_ns=_second_by(bench))
    bench.reply(done=True, passage=bench.state.passage)
    _advance(bench)


# --------------------------------------------------------------------------------------- what is still missing


def _category(bench: _Bench, person: Person) -> Category | None:
    card = person.card
    known = card is not None and card.refusal is None and card.category
    return bench.setup.policy.category_named(card.category if known and card else bench.setup.policy.visitor_category)


def _asked(bench: _Bench, person: Person) -> frozenset[str]:
    """The checks that the policy asks of this person in this direction, after the order's end none on health."""
    category = _category(bench, person)
    if category is None:
        return frozenset()
    way = category.entry if bench.setup.direction is Direction.IN else category.exit
    asked = {check for check, rule in (way or {}).items() if rule == REQUIRED}
    if way is None and bench.setup.direction is Direction.IN and person.card is None:
        asked = {"pass"}
    if decision.lapsed_order(bench.setup.policy, bench.now):
        asked -= {"temperature", "health_code", "trip"}
    return frozenset(asked)


def _missing_credentials(bench: _Bench, person: Person) -> tuple[str, ...]:
    """What the person can still present: ``card``, ``code``. Nothing when the pass already settles it."""
    if person.card is not None and person.card.refusal is not None:
        return ()
    asked, missing = _asked(bench, person), []
    if "pass" in asked and person.card is None and bench.up("card"):
        missing.append("card")
    if {"health_code", "trip"} & asked and bench.up("camera") and not _code_settled(person, asked):
        missing.append("code")
    return tuple(missing)


def _code_settled(person: Person, asked: frozenset[str]) -> bool:
    said = person.attestation
    code = person.code is not None or (said is not None and said.code is not None)
    trip = (person.code is not None) or (said is not None and said.trip_clear is not None)
    return (code or "health_code" not in asked) and (trip or "trip" not in asked)


def _temperature_missing(bench: _Bench, person: Person) -> bool:
    if person.card is not None and person.card.refusal is not None:
        return False
    if "temperature" not in _asked(bench, person) or person.temperature is not None:
        return False
    return bench.up("thermometer") and bench.sensor is not None and _recent(bench, person) is None


def _advance(bench: _Bench) -> None:
    """Look at the running passage: what is missing decides the phase; when nothing is, the verdict is made."""
    person = bench.state.person
    if person is None:
        _rest(bench)
        return
    if person.pending and bench.ns < person.deadline_ns:
        return
    bench.person(pending="")  # a verification that never answers is no evidence, and no reason to wait for ever
    _bind(bench)
    _measure(bench)
    person = bench.person()
    missing = _missing_credentials(bench, person)
    if missing and bench.ns < person.deadline_ns and not _pass_fails(bench, person):
        _ask(bench, Hint.TAP_CARD if "card" in missing else Hint.SHOW_CODE)
        bench.person(waiting_for=missing, measuring_since_ns=None, measure_by_ns=None)
        bench.put(phase=Phase.IDENTIFYING)
        return
    measurable = not missing and _temperature_missing(bench, person) and not _pass_fails(bench, person)
    if measurable and _still_measuring(bench):
        return
    _decide(bench)


def _pass_fails(bench: _Bench, person: Person) -> bool:
    """Whether the pass check has failed for good, so that nothing else need be asked of the person."""
    if person.card is None:
        return False
    verdict = decision.decide(_evidence(bench, person), bench.setup.policy, bench.now)
    return verdict.checks[0].state is CheckState.FAIL


def _still_measuring(bench: _Bench) -> bool:
    """Enter or go on with MEASURING; False as soon as there is a temperature or the wait for a face is over."""
    person = bench.person()
    if person.measuring_since_ns is None:
        measure_by_ns = bench.seconds(bench.setup.policy.waits.temperature_s)
        bench.person(measuring_since_ns=bench.ns, measure_by_ns=measure_by_ns)
        _measure(bench)
        person = bench.person()
    if person.temperature is not None:
        return False
    if person.presence is None and person.measure_by_ns is not None and bench.ns >= person.measure_by_ns:
        why = NotMeasured.TOO_FAR if bench.state.watch.present else NotMeasured.NO_READING
        bench.person(temperature=screening.not_measured(why, bench.sensor, seen=bench.state.watch.seen))
        return False
    bench.person(waiting_for=("temperature",))
    bound = person.presence is not None
    _ask(bench, Hint.HOLD_STILL if bound else Hint.LOOK_AT_SENSOR)
    bench.put(phase=Phase.MEASURING)
    return True


# ------------------------------------------------------------------------------------- presence and temperature


def _reading(bench: _Bench, event: TemperatureReading) -> None:
    sensor = bench.sensor
    if sensor is None or not bench.up("thermometer"):
        return
    contact = bench.setup.presence_contact
    bench.put(watch=screening.observe(bench.state.watch, event, bench.ns, sensor, contact=contact))
    _seen_somebody(bench)


def _thermal(bench: _Bench, event: ThermalFrame) -> None:
    _reading(bench, hottest_of_face(event))


def _air(bench: _Bench, event: AirReading) -> None:
    bench.put(air=event)


def _seen_somebody(bench: _Bench) -> None:
    if bench.state.phase in (Phase.IDENTIFYING, Phase.MEASURING, Phase.IDLE):
        _advance(bench)


def _bind(bench: _Bench) -> None:
    """Bind the running passage to the presence before the sensor, once; one that has served a verdict is not free."""
    person, watch = bench.person(), bench.state.watch
    if person.presence is None and watch.present:
        again = watch.number == bench.state.served_presence and _served_before(bench, person)
        if again or watch.number != bench.state.served_presence:
            since = watch.since_ns or 0
            bench.person(presence=watch.number, fresh_from_ns=bench.ns if again else since)
        return
    left = person.presence is not None and not (watch.present and watch.number == person.presence)
    if left and person.temperature is None:
        why = NotMeasured.MOVING if _temperature_missing(bench, person) else NotMeasured.NO_READING
        bench.person(temperature=screening.not_measured(why, bench.sensor))


def _served_before(bench: _Bench, person: Person) -> bool:
    """Whether the presence that served the last verdict was this very person's."""
    last = bench.state.decided
    same_card = last is not None and person.card_key != "" and person.card_key == last.person.card_key
    return person.follows != "" or same_card


def _window_from_ns(bench: _Bench, person: Person) -> int:
    return max(person.measuring_since_ns or 0, bench.state.watch.since_ns or 0, person.fresh_from_ns)


def _measure(bench: _Bench) -> None:
    """Take the window's result for the bound person. Before MEASURING only a settled one: they may yet stand still."""
    person, watch, sensor = bench.person(), bench.state.watch, bench.sensor
    bound = person.presence is not None and watch.present and watch.number == person.presence
    if sensor is None or not bound or person.temperature is not None or not bench.up("thermometer"):
        return
    fresh = replace(watch, warm=tuple(r for r in watch.warm if r.at_ns >= person.fresh_from_ns))
    found = screening.measure(fresh, sensor, bench.ns, _window_from_ns(bench, person))
    if found is None:
        return
    if found.outcome is TemperatureOutcome.NOT_MEASURED and person.measuring_since_ns is None:
        return
    bench.person(temperature=found, window=fresh.warm, shots=person.shots + 1)


def _recent(bench: _Bench, person: Person) -> Estimate | None:
    valid_ns = bench.setup.policy.temperature.valid_for_min * 60 * NS
    subject = person.card.subject if person.card is not None and person.card.refusal is None else ""
    if not valid_ns or not subject:
        return None
    found = (m for m in bench.state.measured if m.subject == subject and bench.ns - m.at_ns < valid_ns)
    return next((measured.estimate for measured in found), None)


def _keep_measurement(bench: _Bench, person: Person) -> None:
    valid_ns = bench.setup.policy.temperature.valid_for_min * 60 * NS
    subject = person.card.subject if person.card is not None and person.card.refusal is None else ""
    normal = _normal_only(person.temperature)
    if not valid_ns or not subject or normal is None:
        return
    others = tuple(m for m in bench.state.measured if m.subject != subject and bench.ns - m.at_ns < valid_ns)
    bench.put(measured=(*others, Measured(subject=subject, estimate=normal, at_ns=bench.ns))[-MAX_MEASURED:])


def _watch_drift(bench: _Bench, person: Person) -> None:
    """One more normal estimate of the sensor; an alarm when its median begins to warn, and when it stops."""
    found, sensor = _normal_only(person.temperature), bench.sensor
    if found is None or found.by_guard or found.estimate_c is None or sensor is None or person.follows:
        return
    before = bench.state.drift.state
    air_c = sensor.model.nominal_air_c if sensor.air_c is None else sensor.air_c
    bench.put(drift=bench.state.drift.seen(found.estimate_c, air_c))
    after, moved_c = bench.state.drift.state, bench.state.drift.moved_c()
    if after is not before and after in (Drift.WARN, Drift.STOP):
        bench.alarm(f"thermometer_drift_{after}", bench.setup.lane, moved_centi_c=centi(moved_c))


# ------------------------------------------------------------------------------------------------- the verdict


def _evidence(bench: _Bench, person: Person) -> Evidence:
    setup, local = bench.setup, bench.setup.local_time(bench.now.at_us)
    return Evidence(
        lane=setup.lane,
        direction=setup.direction,
        place=setup.place,
        clock_trust=bench.now.clock_trust,
        local_minute=local.minute,
        weekday=local.weekday,
        card=person.card,
        code=person.code,
        temperature=person.temperature,
        attestation=person.attestation,
        visitor_category=setup.policy.visitor_category,
        thermometer_fault=not bench.up("thermometer"),
        camera_fault=not bench.up("camera"),
        recent_measurement=_recent(bench, person),
        shots=max(1, person.shots),
        home_waiting_s=_waited_s(bench, person),
    )


def _waited_s(bench: _Bench, person: Person) -> int:
    subject = person.card.subject if person.card is not None and person.card.refusal is None else ""
    found = [kept for kept in bench.state.kept if subject and kept.subject == subject]
    waits = [bench.ns - kept.since_ns for kept in found if bench.ns - kept.since_ns < KEPT_FOR_NS]
    return max(waits, default=0) // NS


def _decide(bench: _Bench) -> None:
    person = bench.person()
    evidence = _evidence(bench, person)
    _commit_passage(bench, decision.decide(evidence, bench.setup.policy, bench.now), guard="")


def _commit_passage(bench: _Bench, verdict: Verdict, *, guard: str) -> None:
    person = bench.person(pending="", waiting_for=())
    watch = bench.state.watch
    payloads = passage_payloads(
        evidence=_evidence(bench, person),
        verdict=verdict,
        sensor=bench.sensor,
        window=person.window,
        passage=person.passage,
        follows=person.follows,
        credential_to_verdict_ms=(bench.ns - person.credential_ns) // 1_000_000,
        guard=guard,
    )
    bench.put(
        person=None,
        phase=Phase.DECIDED,
        hint=Hint.NONE,
        served_presence=watch.number if watch.present else bench.state.served_presence,
        decided=Decided(
            person=person,
            verdict=verdict,
            ref=person.passage,
            decided_ns=bench.ns,
            decided_at_us=bench.now.at_us,
            presence=watch.number if watch.present else None,
            by_guard=guard,
        ),
    )
    bench.emit(Commit(draft=bench.draft(Kind.PASSAGE, person.passage, payloads)))


def _committed(bench: _Bench, event: Committed) -> None:
    decided = bench.state.decided
    if decided is None or decided.committed or decided.ref != event.ref:
        return
    _publish(bench, decided)


def _commit_failed(bench: _Bench, event: CommitFailed) -> None:
    """The journal fails: who gets in is the policy's ``on_journal_failure``; the draft waits in memory."""
    decided = bench.state.decided
    if decided is None or decided.committed or decided.ref != event.ref:
        return
    verdict = decision.under_failed_journal(decided.verdict, bench.setup.policy, bench.setup.direction)
    decided = replace(decided, verdict=verdict)
    _publish(bench, decided)
    bench.alarm("journal_failed", bench.setup.lane, passage=event.ref, opened=verdict.admit)


def _publish(bench: _Bench, decided: Decided) -> None:
    """The verdict is durable (or its rule for a failed journal applied): open, say so, follow up."""
    verdict, holds = decided.verdict, bench.setup.policy.holds
    hold_s = holds.admit_s if verdict.admit else holds.deny_s
    bench.put(decided=replace(decided, committed=True, hold_until_ns=bench.seconds(hold_s)), phase=Phase.DECIDED)
    if verdict.admit:
        _open(bench, decided)
    bench.emit(Announce(passage=decided.person.passage, verdict=verdict, by_guard=bool(decided.by_guard)))
    _watch_drift(bench, decided.person)
    if verdict.admit:
        _keep_measurement(bench, decided.person)
        _no_longer_kept(bench, decided)
    else:
        _keep_waiting(bench, decided)


def _open(bench: _Bench, decided: Decided) -> None:
    passage, holds = decided.person.passage, bench.setup.policy.holds
    bench.emit(Pulse(passage=passage, duration_s=bench.setup.pulse_s))
    if bench.state.opened is not None:
        _close_passage(bench, Passed.UNKNOWN)
    if bench.setup.passage_contact:
        bench.put(opened=Opened(passage=passage, until_ns=bench.seconds(holds.passed_within_s)))
    bench.put(door_expected_until_ns=bench.seconds(holds.passed_within_s))
    category = bench.setup.policy.category_named(decided.verdict.category)
    if bench.setup.direction is Direction.OUT and category is not None and category.report_exit:
        bench.alarm("left_under_observation", passage, passage=passage)


def _close_passage(bench: _Bench, passed: Passed) -> None:
    opened = bench.state.opened
    if opened is not None:
        facts = facts_only(passage=opened.passage, passed=str(passed))
        bench.remember(Kind.PASSED, opened.passage, facts)
        bench.emit(PassageClosed(passage=opened.passage, passed=passed))
        bench.put(opened=None)


def _keep_waiting(bench: _Bench, decided: Decided) -> None:
    """Remember whom a refusal keeps outside: residents at their own gate, and open referrals."""
    person, verdict = decided.person, decided.verdict
    card = person.card if person.card is not None and person.card.refusal is None else None
    home = bench.setup.direction is Direction.IN and bench.setup.policy.lives_here(verdict.category)
    referral = bool(decision.REFERRAL_REASONS & set(verdict.reasons)) or (
        Reason.TEMPERATURE_BORDERLINE in verdict.reasons and person.shots >= 2
    )
    if not home and not referral:
        return
    subject = card.subject if card is not None else ""
    before = next((k for k in bench.state.kept if subject and k.subject == subject), None)
    if before is not None and bench.ns - before.since_ns >= KEPT_FOR_NS:
        before = None
    stranded_ns = bench.seconds(bench.setup.policy.waits.stranded_s)
    kept = Kept(
        subject=subject,
        passage=person.passage if before is None or (referral and not before.referral) else before.passage,
        since_ns=bench.ns if before is None else before.since_ns,
        referral=referral or (before is not None and before.referral),
        stranded_ns=stranded_ns if before is None else before.stranded_ns,
        alarmed=before is not None and before.alarmed,
    )
    others = tuple(k for k in bench.state.kept if not (subject and k.subject == subject))
    bench.put(kept=(*others, kept)[-MAX_KEPT:])
    if referral and (before is None or not before.referral):
        _open_referral(bench, kept, verdict)


def _open_referral(bench: _Bench, kept: Kept, verdict: Verdict) -> None:
    due_us = bench.now.at_us + int(bench.setup.policy.waits.stranded_s * 1_000_000)
    payloads = referral_payloads(
        passage=kept.passage, state="open", owner="guard", due_us=due_us, reasons=verdict.reasons
    )
    bench.remember(Kind.REFERRAL, kept.passage, payloads)
    bench.emit(
        OpenReferral(passage=kept.passage, subject=kept.subject, reasons=verdict.reasons, owner="guard", due_us=due_us)
    )


def _no_longer_kept(bench: _Bench, decided: Decided) -> None:
    """The person went in: the waiting is over. A referral ends too, unless only the waiting opened the gate."""
    person = decided.person
    subject = person.card.subject if person.card is not None else ""
    mine = [
        k
        for k in bench.state.kept
        if (subject and k.subject == subject) or k.passage in (person.passage, person.follows)
    ]
    waited = any(check.by == HOME_WAITED for check in decided.verdict.checks)
    for kept in mine:
        if kept.referral and not waited:
            _close_referral(bench, kept, f"guard:{decided.by_guard}" if decided.by_guard else "admitted")
    bench.put(
        kept=tuple(
            replace(k, alarmed=True) if waited and k in mine else k
            for k in bench.state.kept
            if k not in mine or (waited and k.referral)
        )
    )


def _close_referral(bench: _Bench, kept: Kept, how: str) -> None:
    payloads = referral_payloads(passage=kept.passage, state=f"closed:{how}", owner="guard", due_us=0, reasons=())
    bench.remember(Kind.REFERRAL, kept.passage, payloads)
    bench.emit(CloseReferral(passage=kept.passage, how=how))


# -------------------------------------------------------------------------------------------- the guard's word


def _running_or_refused(bench: _Bench) -> Person | None:
    """The person the guard speaks of: the running passage's, else the one just refused (who then runs again)."""
    if bench.state.person is not None:
        return bench.state.person
    decided = bench.state.decided
    if decided is None or not decided.committed or decided.verdict.admit:
        return None
    if bench.ns - decided.decided_ns >= int(bench.setup.policy.waits.attestation_s * NS):
        return None
    person = replace(
        decided.person,
        passage=_passage_id(bench),
        follows=decided.person.passage,
        began_ns=bench.ns,
        deadline_ns=_second_by(bench),
        measuring_since_ns=None,
        measure_by_ns=None,
    )
    bench.put(person=person, phase=Phase.IDENTIFYING, hint=Hint.NONE)
    return person


def _attest(bench: _Bench, event: Attest) -> None:
    person = _running_or_refused(bench)
    if person is None:
        bench.reply(done=False, message="nobody_here")
        return
    before = person.attestation
    said = Attestation(
        guard=event.guard,
        code=event.code if event.code is not None or before is None else before.code,
        trip_clear=event.trip_clear if event.trip_clear is not None or before is None else before.trip_clear,
        at_us=bench.now.at_us,
    )
    bench.person(attestation=said)
    bench.remember(
        Kind.ATTESTATION,
        person.passage,
        facts_only(passage=person.passage, guard=event.guard, what=_attested_what(event)),
    )
    bench.reply(done=True, passage=person.passage)
    _advance(bench)


def _attested_what(event: Attest) -> str:
    return "+".join(
        what for what, said in (("code", event.code is not None), ("trip", event.trip_clear is not None)) if said
    )


def _measure_again(bench: _Bench, event: MeasureAgain) -> None:
    person = _running_or_refused(bench)
    if person is None or bench.sensor is None:
        bench.reply(done=False, message="nobody_here" if person is None else "no_thermometer")
        return
    bench.person(
        temperature=None, window=(), presence=None, fresh_from_ns=bench.ns, measuring_since_ns=None, measure_by_ns=None,
        follows=person.follows or person.passage,
    )  # fmt: skip
    bench.reply(done=True, passage=person.passage)
    _advance(bench)


def _enter_temperature(bench: _Bench, event: EnterTemperature) -> None:
    object_c = event.object_centi_c / 100
    if not screening.CONTACT_FROM_C <= object_c <= screening.CONTACT_TO_C:
        bench.reply(done=False, message="temperature_out_of_range")
        return
    person = _running_or_refused(bench)
    if person is None:
        bench.reply(done=False, message="nobody_here")
        return
    bench.person(temperature=screening.by_contact_thermometer(object_c), window=(), shots=person.shots + 1)
    bench.reply(done=True, passage=person.passage)
    _advance(bench)


def _override(bench: _Bench, event: Override) -> None:
    """Admit or refuse once. The running person, or the one refused last; OUT cannot be refused."""
    state = bench.state
    if not event.admit and bench.setup.direction is Direction.OUT:
        bench.reply(done=False, message="out_never_holds")
        return
    if not event.reason.strip():
        bench.reply(done=False, message="reason_missing")
        return
    if state.passage != event.passage or not event.passage:
        bench.reply(done=False, message="passage_over")
        return
    if state.person is None and (state.decided is None or state.decided.verdict.admit):
        bench.reply(done=False, message="already_admitted")
        return
    person = _running_or_refused(bench)
    if person is None:
        bench.reply(done=False, message="passage_over")
        return
    verdict = decision.decide(_evidence(bench, person), bench.setup.policy, bench.now)
    verdict = decision.by_guard(verdict, admit=event.admit, guard=event.guard, direction=bench.setup.direction)
    payloads = override_payloads(
        passage=person.passage, admit=event.admit, guard=event.guard, reason=event.reason, note=event.note
    )
    _commit_passage(bench, verdict, guard=event.guard)
    bench.remember(Kind.OVERRIDE, person.passage, payloads)
    bench.reply(done=True, passage=person.passage)


def _acknowledge(bench: _Bench, event: Acknowledge) -> None:
    decided = bench.state.decided
    if decided is not None and decided.person.passage == event.passage:
        bench.put(decided=replace(decided, acknowledged=True))
    mine = [kept for kept in bench.state.kept if kept.passage == event.passage]
    for kept in mine:
        if kept.referral:
            _close_referral(bench, kept, f"guard:{event.guard}")
    # The resident's waiting time goes on: acknowledging is not admitting.
    bench.put(
        kept=tuple(
            replace(kept, alarmed=True, referral=False) if kept in mine else kept
            for kept in bench.state.kept
            if kept not in mine or kept.subject
        )
    )
    found = decided is not None and decided.person.passage == event.passage
    bench.reply(done=found or bool(mine), message="" if found or mine else "passage_over")


def _emergency(bench: _Bench, event: Emergency) -> None:
    """Opens first and is written when it can be; needs nobody's leave and no phase."""
    bench.emit(HoldOpen(on=event.open))
    already = bench.state.emergency_since_us is not None
    if already != event.open:
        bench.put(emergency_since_us=bench.now.at_us if event.open else None)
        facts = facts_only(open=event.open, guard=event.guard, why=event.why)
        bench.remember(Kind.EMERGENCY, "", facts)
        if event.open:
            bench.emit(RaiseAlarm(code="emergency_open", detail=bench.setup.lane))
    bench.reply(done=True)


# --------------------------------------------------------------------------------------- devices, inputs, time


def _device_down(bench: _Bench, event: DeviceDown) -> None:
    if event.name in bench.state.up:
        bench.put(up=bench.state.up - {event.name})
        role = bench.setup.devices.get(event.name, "")
        bench.remember(Kind.DEVICE, "", facts_only(device=event.name, role=role, up=False, detail=event.detail[:200]))
        if role == "thermometer":
            # Its readings are gone with it; whoever stands there is seen anew when it is back.
            bench.put(watch=screening.Watch(number=bench.state.watch.number))
        if role == "inputs" and bench.setup.presence_contact:
            bench.put(watch=screening.end_presence(bench.state.watch))
    if bench.state.phase is not Phase.DECIDED:
        _advance(bench)


def _device_up(bench: _Bench, event: DeviceUp) -> None:
    if event.name not in bench.state.up:
        bench.put(up=bench.state.up | {event.name})
        role = bench.setup.devices.get(event.name, "")
        bench.remember(Kind.DEVICE, "", facts_only(device=event.name, role=role, up=True, detail=""))
    if bench.state.phase is not Phase.DECIDED:
        _advance(bench)


def _input(bench: _Bench, event: InputChange) -> None:
    match event.name:
        case InputName.PASSAGE_BEAM | InputName.DOOR_CONTACT:
            _passage_contact(bench, event)
        case InputName.PRESENCE if bench.setup.presence_contact:
            watch = bench.state.watch
            watch = screening.begin_presence(watch, event.at_ns) if event.active else screening.end_presence(watch)
            bench.put(watch=watch)
            _seen_somebody(bench)
        case InputName.EXIT_BUTTON if event.active:
            bench.put(door_expected_until_ns=bench.ns + EXIT_GRACE_NS)
        case InputName.FIRE:
            # The contact cuts the lock's supply by itself: it is observed here, not acted upon.
            bench.remember(Kind.EMERGENCY, "", facts_only(open=event.active, guard="", why="fire_contact"))
            if event.active:
                bench.emit(RaiseAlarm(code="fire", detail=bench.setup.lane))
        case InputName.TAMPER if event.active:
            bench.alarm("tamper", bench.setup.lane)
        case _:
            pass


def _passage_contact(bench: _Bench, event: InputChange) -> None:
    if not event.active:
        return
    if bench.state.opened is not None:
        _close_passage(bench, Passed.YES)
    elif (
        event.name is InputName.DOOR_CONTACT
        and bench.ns >= bench.state.door_expected_until_ns
        and bench.state.emergency_since_us is None
    ):
        bench.alarm("door_forced", bench.setup.lane)


def _time(bench: _Bench, _: TimePassed) -> None:
    contact = bench.setup.presence_contact
    bench.put(watch=screening.silence(bench.state.watch, bench.ns, contact=contact))
    opened = bench.state.opened
    if opened is not None and bench.ns >= opened.until_ns:
        _close_passage(bench, Passed.NO)
    _alarm_for_the_stranded(bench)
    queued = bench.state.queued
    if queued is not None and bench.ns >= queued.until_ns:
        bench.put(queued=None)
    if bench.state.phase is Phase.DECIDED:
        decided = bench.state.decided
        if decided is not None and decided.committed and bench.ns >= decided.hold_until_ns:
            _rest(bench)
        return
    _advance(bench)


def _alarm_for_the_stranded(bench: _Bench) -> None:
    due = [kept for kept in bench.state.kept if not kept.alarmed and bench.ns >= kept.stranded_ns]
    for kept in due:
        bench.alarm("stranded", kept.passage, passage=kept.passage)
    if due:
        bench.put(kept=tuple(replace(k, alarmed=True) if k in due else k for k in bench.state.kept))


def _rest(bench: _Bench) -> None:
    """Nobody's passage is running: the next one in the queue, somebody who only stands there, or nobody."""
    queued = bench.state.queued
    if queued is not None:
        _begin(bench, queued.event)
        return
    if _has_reader(bench.setup) and not (bench.up("card") or bench.up("camera")):
        bench.put(phase=Phase.FAULT, hint=Hint.NONE)
        return
    watch = bench.state.watch
    somebody = watch.present and watch.number != bench.state.served_presence
    bench.put(phase=Phase.IDENTIFYING if somebody else Phase.IDLE)
    _ask(bench, Hint.TAP_OR_SHOW)


# --------------------------------------------------------------------------------------------------- the table

_IDLE, _IDENT, _MEAS, _DEC, _FAULT = Phase.IDLE, Phase.IDENTIFYING, Phase.MEASURING, Phase.DECIDED, Phase.FAULT
_ALL = tuple(Phase)
_GOES_ON = frozenset({_IDENT, _MEAS, _DEC})

#: Rows: phases, events, handler, phases it can lead to besides the one it came in.
ROWS: tuple[tuple[tuple[Phase, ...], tuple[type[Any], ...], Handler, frozenset[Phase]], ...] = (
    ((_IDLE, _FAULT), (CardTap, QrText), _first_credential, frozenset({_IDENT})),
    ((_IDENT, _MEAS), (CardTap, QrText), _another_credential, frozenset({_IDENT})),
    ((_DEC,), (CardTap, QrText), _credential_after_verdict, frozenset({_IDENT})),
    ((_IDENT, _MEAS), (PassVerified,), _pass_verified, _GOES_ON),
    ((_IDENT, _MEAS), (CodeVerified,), _code_verified, _GOES_ON),
    ((_IDENT, _MEAS), (CodeIncomplete,), _code_incomplete, _GOES_ON),
    ((_IDLE, _DEC, _FAULT), (CodeIncomplete,), _code_incomplete, frozenset()),
    ((_IDLE, _DEC, _FAULT), (PassVerified,), _pass_verified, frozenset()),
    ((_IDLE, _DEC, _FAULT), (CodeVerified,), _code_verified, frozenset()),
    (_ALL, (TapTorn,), _torn, frozenset()),
    (_ALL, (CredentialGone,), _gone, frozenset()),
    ((_IDLE, _IDENT, _MEAS), (TemperatureReading,), _reading, frozenset({_IDLE, *_GOES_ON})),
    ((_DEC, _FAULT), (TemperatureReading,), _reading, frozenset()),
    ((_IDLE, _IDENT, _MEAS), (ThermalFrame,), _thermal, frozenset({_IDLE, *_GOES_ON})),
    ((_DEC, _FAULT), (ThermalFrame,), _thermal, frozenset()),
    (_ALL, (AirReading,), _air, frozenset()),
    ((_IDLE, _IDENT, _MEAS), (InputChange,), _input, frozenset({_IDLE, *_GOES_ON})),
    ((_DEC, _FAULT), (InputChange,), _input, frozenset()),
    (_ALL, (Committed,), _committed, frozenset()),
    (_ALL, (CommitFailed,), _commit_failed, frozenset()),
    ((_DEC,), (TimePassed,), _time, frozenset({_IDLE, _IDENT, _FAULT})),
    ((_IDLE, _FAULT), (TimePassed,), _time, frozenset({_IDLE, _IDENT, _FAULT})),
    ((_IDENT, _MEAS), (TimePassed,), _time, frozenset({_IDLE, _FAULT, *_GOES_ON})),
    ((_DEC,), (DeviceDown,), _device_down, frozenset()),
    ((_DEC,), (DeviceUp,), _device_up, frozenset()),
    ((_IDLE, _IDENT, _MEAS, _FAULT), (DeviceDown,), _device_down, frozenset({_IDLE, _FAULT, *_GOES_ON})),
    ((_IDLE, _IDENT, _MEAS, _FAULT), (DeviceUp,), _device_up, frozenset({_IDLE, _FAULT, *_GOES_ON})),
    (_ALL, (Attest,), _attest, _GOES_ON),
    (_ALL, (MeasureAgain,), _measure_again, _GOES_ON),
    (_ALL, (EnterTemperature,), _enter_temperature, _GOES_ON),
    (_ALL, (VisitorRegistered,), _visitor_registered, _GOES_ON),
    (_ALL, (Override,), _override, frozenset({_DEC})),
    (_ALL, (Acknowledge,), _acknowledge, frozenset()),
    (_ALL, (Emergency,), _emergency, frozenset()),
)

TABLE: dict[tuple[Phase, type[Any]], Rule] = {
    (phase, event): Rule(handler, to | {phase})
    for phases, events, handler, to in ROWS
    for phase in phases
    for event in events
}
