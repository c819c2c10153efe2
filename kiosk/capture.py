"""The capture loop: device events and guard commands in, effects out. One thread owns every lane.

Devices and web requests put items into one queue; the loop takes them in order, steps the lane's state machine
(``kiosk/passage.py``, pure) and carries its effects out in the order given. Nothing here decides anything. A commit
is answered before any later event of the same lane, and an output pulses only on the answer to a durable one.
"""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Mapping
from concurrent.futures import Future

import structlog

from config.errors import GatepostError
from drivers.devices import (
    AirReading,
    BodyHint,
    CardHint,
    CardTap,
    DeviceFault,
    DeviceReady,
    DistanceReading,
    FaultKind,
    InputChange,
    Observed,
    QrText,
    TemperatureReading,
    ThermalFrame,
)
from drivers.rack import LaneDevices, Rack
from kiosk.board import CommandResult, Emergency, GuardCommand, RegisterVisitor
from kiosk.card_watch import CardWatch
from kiosk.clock import Clock, Instant
from kiosk.clock_watch import ClockWatch
from kiosk.credentials.shc_chunks import ChunksMissing
from kiosk.evidence import PassFinding
from kiosk.gate_inbox import Asked, GateInbox, NewSetups, Note
from kiosk.gate_parts import Consoles, Verifier, Watcher
from kiosk.journal_types import JournalError
from kiosk.lane_change import LaneChanges
from kiosk.lane_memory import LaneMemory
from kiosk.line_wire import Answered, Heard, NoAnswer, Silent
from kiosk.notify import Notifier
from kiosk.passage import initial, step
from kiosk.passage_events import (
    Announce,
    CloseReferral,
    CodeAwaited,
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
from kiosk.passage_record import facts_only
from kiosk.passage_state import LaneState
from kiosk.records import Kind, RecordError, Stream
from kiosk.sync_line import News
from kiosk.unwritten import Unwritten, Writer
from kiosk.upkeep import Upkeep
from kiosk.verifier import Asking

log = structlog.get_logger("gatepost.capture")

IDLE_WAIT_S = 0.5
"""The loop comes round at least this often, so that the watchdog sees progress and the views stay live."""

MAX_ASKED = 32
"""Questions to servers that are still open; each lane has one at a time, for 1.5 s at most."""

DOUBTFUL = frozenset({NoAnswer.BAD_SIGNATURE, NoAnswer.OTHER_TOKEN, NoAnswer.OTHER_TIME})
"""Answers that no honest server gives: somebody may be between it and the kiosk."""

DOUBT_EVERY_NS = 600_000_000_000
"""Such an alarm is raised once in ten minutes at most."""


class Gate:
    """The loop with its lanes. :meth:`run` blocks; the other methods are for other threads."""

    def __init__(
        self,
        *,
        setups: dict[str, LaneSetup],
        rack: Rack,
        journal: Writer,
        verifier: Verifier,
        clock: Clock,
        watcher: Watcher,
        upkeep: Upkeep,
        notifier: Notifier,
        until_idle_s: float | None = None,
        card_watch: CardWatch | None = None,
        memory: LaneMemory | None = None,
        consoles: Consoles | None = None,
    ) -> None:
        self._consoles = consoles
        self._card_watch = card_watch or CardWatch()
        self._clock_watch = ClockWatch()
        self._setups = dict(setups)
        self._changes = LaneChanges()
        self.rack = rack
        self._unwritten = Unwritten(journal)
        self._verifier = verifier
        self._clock = clock
        self._watcher = watcher
        self._upkeep = upkeep
        self._notifier = notifier
        self._until_idle_s = until_idle_s
        self._last_news_ns = clock.now().mono_ns
        self._inbox = GateInbox()
        self._asked: OrderedDict[int, tuple[str, str]] = OrderedDict()
        self._next_doubt_ns = 0
        self._states: dict[str, LaneState] = {lane: initial(setup) for lane, setup in setups.items()}
        self._memory = memory
        if memory is not None:
            self._states = memory.recall(self._states, clock.now())
        for lane, setup in setups.items():
            verifier.follow(lane, setup.policy)
        self._stopping = threading.Event()
        #: How many neighbouring kiosks have not been heard for a while.
        self.neighbours_silent = 0

    def observe(self, seen: Observed) -> None:
        """For devices, from their own threads: queue an event."""
        self._inbox.put(seen)

    def hear(self, news: News) -> None:
        """For the line to sync, from its own thread: queue an answer or what neighbours told."""
        self._inbox.put(news)

    def follow(self, setups: Mapping[str, LaneSetup]) -> None:
        """For other threads: let these lanes go by another set-up, each as soon as it is between two persons."""
        self._inbox.put(NewSetups(setups))

    def note(self, note: Note) -> None:
        """For other threads of the kiosk: queue a record that belongs to no lane."""
        self._inbox.put(note)

    def begin_with(self, note: Note) -> None:
        """Before :meth:`run`, from its own thread: a record that stands before whatever comes."""
        self._put_down(note, self._clock.now())

    def write(self, note: Note) -> None:
        """For other threads: write a record and wait until it is durable. Raises JournalError when it is not."""
        self._inbox.write(note)

    def command(self, command: GuardCommand) -> CommandResult:
        """For the web app, from its own thread: carry out a guard's command and wait for the answer."""
        return self._inbox.command(command)

    def stop(self) -> None:
        """End :meth:`run` after the item in hand."""
        self._stopping.set()
        self._inbox.wake()

    def run(self) -> None:
        """Start the devices and go round until :meth:`stop`."""
        self.rack.start(self.observe)
        self._notifier.ready()
        try:
            while not self._stopping.is_set():
                self._round()
        finally:
            self._notifier.stopping()
            try:
                self.rack.stop()
            finally:
                if self._memory is not None:
                    self._memory.keep(self._states, self._clock.now(), now=True)
                self._last_notes()

    def _last_notes(self) -> None:
        """What other threads still brought, and the end of every guard's log-in, go into the journal as well; commands
        are refused.
        """
        now = self._clock.now()
        if self._consoles is not None:
            self._consoles.end_all(now_ns=now.mono_ns)
        for item in self._inbox.rest():
            if isinstance(item, Note):
                self._put_down(item, now)
            elif isinstance(item, Asked):
                item.answer.set_result(CommandResult(done=False, message="gate_does_not_answer"))

    def _round(self) -> None:
        item = self._inbox.next(self._wait_s(self._clock.now()))
        now = self._clock.now()
        if isinstance(item, Observed):
            if not isinstance(item.event, TemperatureReading):
                self._last_news_ns = now.mono_ns
            self._observed(item, now)
        elif isinstance(item, Answered | Heard | Silent):
            self._heard(item, now)
        elif isinstance(item, Note):
            self._put_down(item, now)
        elif isinstance(item, NewSetups):
            self._changes.ask(item.setups, now.mono_ns)
        elif isinstance(item, Asked):
            self._commanded(item.command, item.answer)
        for lane, state in list(self._states.items()):
            if state.wake_at_ns is not None and now.mono_ns >= state.wake_at_ns:
                self._step(lane, TimePassed(at_ns=now.mono_ns))
        self._change_lanes(now)
        trust_changed = self._clock_watch.changed(now)
        if trust_changed is not None:
            self._put_down(Note(Stream.DIAGNOSTIC, Kind.CLOCK, facts_only(**trust_changed)), now)
        self._unwritten.retry(now)
        self._upkeep.tick(now)
        if self._consoles is not None:
            self._consoles.expire(now_ns=now.mono_ns)
        if self._memory is not None:
            self._memory.keep(self._states, now)
        self._watcher.show(self._states, now, journal_ok=self._unwritten.journal_ok, unwritten=self._unwritten.count)
        self._notifier.progress(now.mono_ns)
        if self._until_idle_s is not None and now.mono_ns - self._last_news_ns > self._until_idle_s * 1e9:
            self._stopping.set()

    def _change_lanes(self, now: Instant) -> None:
        """Lanes that are to go by another policy do, where nobody is in them."""
        for lane, setup in self._changes.due(self._states, now.mono_ns).items():
            before, self._setups[lane] = self._setups[lane], setup
            self._verifier.follow(lane, setup.policy)
            self._watcher.follow(lane, setup)
            if self._memory is not None and setup.sensor is not None:
                self._memory.follow(lane, setup.sensor.rule)
            log.info("lane_follows", lane=lane, policy=setup.policy.version, before=before.policy.version)
            payloads = facts_only(event="lane_follows", policy=setup.policy.version, before=before.policy.version)
            draft = Draft(stream=Stream.DIAGNOSTIC, kind=Kind.POLICY, lane=lane, ref="", at=now, payloads=payloads)
            self._unwritten.remember(draft, now)

    def _put_down(self, note: Note, now: Instant) -> None:
        draft = Draft(stream=note.stream, kind=note.kind, lane="", ref="", at=now, payloads=note.payloads)
        try:
            if note.written is None:
                self._unwritten.remember(draft, now)
                return
            self._unwritten.commit(draft, stands=note.stands)
        except (JournalError, RecordError) as error:
            # A record that cannot be one is a fault of who brought it: no reason for the lanes to stop.
            log.error("note_not_written", kind=str(note.kind), error=str(error))
            if note.written is not None:
                failed = JournalError("journal", seen=str(error), expected="a durable record")
                note.written.set_exception(error if isinstance(error, JournalError) else failed)
        else:
            note.written.set_result(None)

    def _wait_s(self, now: Instant) -> float:
        wakes = [state.wake_at_ns for state in self._states.values() if state.wake_at_ns is not None]
        if not wakes:
            return IDLE_WAIT_S
        return min(max((min(wakes) - now.mono_ns) / 1e9, 0.0), IDLE_WAIT_S)

    def _observed(self, seen: Observed, now: Instant) -> None:
        self._watcher.observed(seen)
        match seen.event:
            case DeviceFault(transient=True) as fault:
                if fault.kind is FaultKind.CRASHED:
                    self._crashed(seen, fault, now)
                return
            case DeviceFault() as fault:
                log.warning(
                    "device_fault", lane=seen.lane, device=seen.device, kind=str(fault.kind), detail=fault.detail
                )
                self._step(seen.lane, DeviceDown(name=seen.device, at_ns=now.mono_ns, detail=fault.detail))
            case DeviceReady() as ready:
                log.info("device_ready", lane=seen.lane, device=seen.device, detail=ready.detail)
                self._step(seen.lane, DeviceUp(name=seen.device, at_ns=now.mono_ns))
            case CardHint():
                self._step(seen.lane, TapTorn(at_ns=now.mono_ns))
            case CardTap() | QrText() | InputChange() as event:
                self._step(seen.lane, event)
            case TemperatureReading() | ThermalFrame() | AirReading() | DistanceReading() | BodyHint() as event:
                self._step(seen.lane, event)
            case _:
                pass  # not for a lane's machine

    def _heard(self, news: News, now: Instant) -> None:
        match news:
            case Answered():
                self._answered(news, now)
            case Heard():
                self._card_watch.heard(news.facts)
                for conflict in self._verifier.heard(news.facts, now):
                    self._alarm(
                        "card_clone_seen",
                        f"{conflict.earlier.read_ctr} then {conflict.later.read_ctr}",
                        now,
                        card=conflict.later.card.hex(),
                        kiosk=conflict.earlier.kiosk or conflict.later.kiosk,
                    )
            case Silent():
                self.neighbours_silent = news.neighbours

    def _answered(self, answered: Answered, now: Instant) -> None:
        """A server's answer: for the person who still waits for it, and for nobody else."""
        lane, credential = self._asked.pop(answered.number, ("", ""))
        person = self._states[lane].person if lane else None
        if answered.no_answer in DOUBTFUL and now.mono_ns >= self._next_doubt_ns:
            self._next_doubt_ns = now.mono_ns + DOUBT_EVERY_NS
            self._alarm("lookup_answer_refused", str(answered.no_answer), now)
        if person is None or person.awaited != credential:
            return
        finding = self._verifier.looked_up(answered, lane, now)
        if finding is not None:
            self._step(lane, CodeVerified(finding=finding, credential=credential, at_ns=now.mono_ns))

    def _crashed(self, seen: Observed, fault: DeviceFault, now: Instant) -> None:
        """A part of a device died and was started anew: the gate goes on, and who looks after it should know."""
        log.warning("device_crashed", lane=seen.lane, device=seen.device, detail=fault.detail)
        payloads = facts_only(device=seen.device, role="", up=True, detail=fault.detail)
        draft = Draft(stream=Stream.DIAGNOSTIC, kind=Kind.DEVICE, lane=seen.lane, ref="", at=now, payloads=payloads)
        self._unwritten.remember(draft, now)

    def _alarm(self, code: str, detail: str, now: Instant, **facts: str) -> None:
        """An alarm of the kiosk, of no one lane: journaled, and shown."""
        payloads = facts_only(code=code, detail=detail, **facts)
        draft = Draft(stream=Stream.ALARM, kind=Kind.ALARM, lane="", ref="", at=now, payloads=payloads)
        self._unwritten.remember(draft, now)
        self._watcher.effect("", RaiseAlarm(code=code, detail=detail), now)

    def _commanded(self, command: GuardCommand, answer: Future[CommandResult]) -> None:
        lanes = [command.lane]
        if isinstance(command, Emergency) and not command.lane:
            lanes = list(self._states)
        if not set(lanes) <= set(self._states):
            answer.set_result(CommandResult(done=False, message="unknown_lane"))
            return
        result = CommandResult(done=True)
        for lane in lanes:
            event: Event
            if isinstance(command, RegisterVisitor):
                try:
                    finding = self._verifier.register(command, self._clock.now())
                except GatepostError as error:
                    log.error("visitor_not_registered", error=str(error))
                    answer.set_result(CommandResult(done=False, message="not_registered"))
                    return
                event = VisitorRegistered(finding=finding, guard=command.guard, at_ns=self._clock.now().mono_ns)
            else:
                event = command
            for effect in self._step(lane, event):
                if isinstance(effect, Reply):
                    result = effect.result
        answer.set_result(result)

    def _step(self, lane: str, event: Event) -> list[Effect]:
        """Step one lane, carry out what comes of it, and answer commits until nothing is left to do."""
        todo: deque[Event] = deque([event])
        done: list[Effect] = []
        while todo:
            now = self._clock.now()
            transition = step(self._setups[lane], self._states[lane], todo.popleft(), now)
            self._states[lane] = transition.state
            for effect in transition.effects:
                answer = self._carry_out(lane, effect)
                done.append(effect)
                self._watcher.effect(lane, effect, now)
                self._follow(lane, effect, now)
                if answer is not None:
                    todo.append(answer)
        return done

    def _carry_out(self, lane: str, effect: Effect) -> Event | None:
        devices: LaneDevices = self.rack.lanes[lane]
        match effect:
            case VerifyCard():
                now = self._clock.now()
                finding = self._judged(self._verifier.card(effect.tap, lane, now), lane, now)
                return PassVerified(finding=finding, credential=effect.credential, at_ns=now.mono_ns)
            case VerifyCode():
                now = self._clock.now()
                found = self._verifier.code(effect.code, lane, now)
                if isinstance(found, ChunksMissing):
                    if devices.camera is not None:
                        devices.camera.release()  # the other parts need not wait until this one is out of view
                    return CodeIncomplete(
                        credential=effect.credential, at_ns=now.mono_ns, seen=found.seen, total=found.total
                    )
                if isinstance(found, Asking):
                    self._asked[found.number] = (lane, effect.credential)
                    while len(self._asked) > MAX_ASKED:
                        self._asked.popitem(last=False)
                    return CodeAwaited(
                        finding=found.finding,
                        credential=effect.credential,
                        until_ns=found.until_ns,
                        at_ns=now.mono_ns,
                    )
                if isinstance(found, PassFinding):
                    found = self._judged(found, lane, now)
                    if devices.camera is not None and found.refusal is None:
                        devices.camera.release()  # a health code held beside the pass is the same person's
                    return PassVerified(finding=found, credential=effect.credential, at_ns=now.mono_ns)
                return CodeVerified(finding=found, credential=effect.credential, at_ns=now.mono_ns)
            case Commit():
                return self._commit(effect.draft)
            case Remember():
                self._unwritten.remember(effect.draft, self._clock.now())
            case Pulse():
                devices.open_pulse()
            case HoldOpen():
                devices.hold_open(effect.on)
            case Announce():
                if effect.verdict.admit:
                    self._verifier.admitted(lane, self._clock.now())
                else:
                    self._verifier.next_person(lane)
                if devices.camera is not None:
                    devices.camera.decided(refused=not effect.verdict.admit)
                    if devices.shows_pictures:
                        # The next picture is another presentation, even of the same code.
                        return CredentialGone(at_ns=self._clock.now().mono_ns)
            case OpenReferral() | CloseReferral() | RaiseAlarm() | PassageClosed() | Reply():
                pass  # shown by the watcher, journaled by the machine's own drafts
        return None

    def _judged(self, finding: PassFinding, lane: str, now: Instant) -> PassFinding:
        """What the cards of the whole kiosk say of this one, with its alarms carried out."""
        finding, alarms = self._card_watch.judged(finding, self._setups[lane], now)
        for alarm in alarms:
            self._carry_out(lane, alarm)
            self._watcher.effect(lane, alarm, now)
        return finding

    def _follow(self, lane: str, effect: Effect, now: Instant) -> None:
        """Movements of cards go by what was carried out; neighbours hear of whom this gate let in."""
        decided = self._states[lane].decided
        finding = decided.person.card if decided is not None else None
        fact = self._card_watch.followed(effect, finding, self._setups[lane], now)
        if fact is not None:
            self._verifier.tell(fact)

    def _commit(self, draft: Draft) -> Event:
        try:
            self._unwritten.commit(draft)
        except JournalError as error:
            log.error("commit_failed", ref=draft.ref, error=str(error))
            return CommitFailed(ref=draft.ref, at_ns=self._clock.now().mono_ns)
        return Committed(ref=draft.ref, at_ns=self._clock.now().mono_ns)
