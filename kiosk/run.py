"""Puts the gate together from its settings and runs it: the only place that builds everything."""

from __future__ import annotations

import os
import resource
import secrets
import signal
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import structlog
from fastapi import FastAPI

from config.errors import ConfigError
from config.lane import Strength
from config.settings import DOCUMENTS, PASS_CERTIFICATE, Settings, load_settings, root_bytes, secret_file
from drivers.cards.ntag424 import ev2_dialogue, sun_dialogue
from drivers.rack import CardDialogue, Rack
from kiosk.acks import read_acknowledged
from kiosk.arrivals import Appliers, Arrivals
from kiosk.board import KioskView
from kiosk.capture import Gate
from kiosk.card_keys import CardKeyStore
from kiosk.card_watch import CardWatch
from kiosk.clock import Clock, ShiftedClock, SystemClock
from kiosk.clock_desk import ClockDesk
from kiosk.credentials.bundle_folder import BundleFolder
from kiosk.credentials.trust import TrustStore, describe_skipped
from kiosk.damaged_stores import set_aside_damaged
from kiosk.evidence import CardStrength
from kiosk.gate_inbox import Note
from kiosk.id_desk import IdDesk
from kiosk.identity import load_authority, load_kiosk_key
from kiosk.journal import Journal, JournalReader
from kiosk.lane_memory import LaneMemory
from kiosk.lane_setup import lane_setup
from kiosk.left_out import GUARDS, TABLETS, UNTAKEN, LeftOut
from kiosk.lights import Lights
from kiosk.line_wire import Hello
from kiosk.movement_recall import recall_movements
from kiosk.neighbours import UsedPasses
from kiosk.notify import Notifier
from kiosk.pass_book import PassBook, passes_issued
from kiosk.passage_events import LaneSetup
from kiosk.passage_record import facts_only
from kiosk.people import RosterPeople
from kiosk.policy_keeper import PolicyKeeper, policy_at_start
from kiosk.program_log import set_up_logging
from kiosk.records import Kind, PayloadClass, Record, Stream
from kiosk.register import Register
from kiosk.release import RELEASED
from kiosk.screens.app import LOOPBACK_HOSTS, create_app
from kiosk.screens.duty import DutyBook
from kiosk.screens.guards import GuardBook
from kiosk.screens.hub import Hub
from kiosk.screens.server import ScreensServer
from kiosk.screens.sessions import Sessions
from kiosk.screens.speech import Speech
from kiosk.screens.voices import open_voices
from kiosk.site_stores import REGISTER, community_key, key_for, open_card_keys, open_photos, open_roster
from kiosk.sync_line import SyncLine
from kiosk.tablet_console import Console, serve_tablets, tablet_desk
from kiosk.trust_keeper import Sources, TrustKeeper
from kiosk.upkeep import Upkeep
from kiosk.verifier import GateVerifier, Outside
from kiosk.views import Views

log = structlog.get_logger("gatepost")

CARD_META_KEY_BYTES = 16


def clock_of(settings: Settings) -> Clock:
    """The machine's judged clock, or the simulated day's."""
    if settings.start_at is not None:
        return ShiftedClock(int(settings.start_at.timestamp() * 1_000_000))
    return SystemClock(settings.state.folder / "clock.floor", built_at_us=round(RELEASED.timestamp()) * 1_000_000)


def clock_desk(clock: Clock, gate: Gate) -> ClockDesk | None:
    """Where two people set the clock; None for a simulated one."""
    if not isinstance(clock, SystemClock):
        return None

    def write(facts: dict[str, Any]) -> None:
        gate.write(Note(Stream.DIAGNOSTIC, Kind.CLOCK, facts_only(**facts), stands=False))

    return ClockDesk(clock, write)


def run_gate(config: Path, *, until_idle_s: float | None = None) -> None:
    """Run until SIGTERM, Ctrl-C, or ``until_idle_s`` seconds without an event.

    Raises ConfigError for settings that cannot be used and JournalError when no journal can be opened; a device
    that is missing is no error but a light on the console, and neither are the files of guards and tablets.
    """
    # A crash must leave no image of the memory: it would hold frames, codes and keys.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    set_up_logging()
    settings = load_settings(config).settings
    with ExitStack() as stack:
        gate = build(settings, stack, until_idle_s=until_idle_s)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: gate.stop())
        gate.run()
    log.info("stopped")


def build(
    settings: Settings, stack: ExitStack, *, until_idle_s: float | None = None, clock: Clock | None = None
) -> Gate:
    """The whole gate, with everything that must be closed registered on ``stack``.

    ``clock`` stands in for the one that the settings ask for: a test gives each picture the time it was made for.
    """
    folder = settings.state.folder
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    key = community_key(settings.keys.community)
    start = policy_at_start(settings)
    clock = clock or clock_of(settings)
    journal = Journal.open(
        folder / "journal.db",
        kiosk_id=settings.site.kiosk_id,
        clock=clock,
        known=read_acknowledged(folder / "sync.db"),
        alive_us=clock.last_run_us if isinstance(clock, SystemClock) else None,
    )
    stack.callback(journal.close)
    damaged = list(set_aside_damaged(folder, clock.now()))
    roster = stack.enter_context(open_roster(settings))
    register = stack.enter_context(Register.open(folder / REGISTER, key_for(key, "register")))
    card_keys = stack.enter_context(open_card_keys(settings))
    photos = stack.enter_context(open_photos(settings))
    line = line_to_sync(settings, key)
    verifier = GateVerifier(
        roster=roster,
        card_keys=card_keys,
        register_book=register,
        store=_trust_store(settings, key),
        rule_set=settings.trust.rule_set,
        place=settings.site.place,
        zone=settings.site.zone,
        challenge_secret=secrets.token_bytes(32),
        used_passes=UsedPasses(key_for(key, "neighbours"), passes_let_in(folder / "journal.db")),
        outside=outside_of(settings, key, line),
    )
    trust = trust_keeper(
        settings,
        key,
        put=verifier.use,
        note=lambda facts: gate.note(Note(Stream.DIAGNOSTIC, Kind.POLICY, facts_only(**facts))),
    )
    if trust is not None:
        verifier.use(trust.store)
    setups = {lane.name: lane_setup(settings, lane, start.in_force.policy) for lane in settings.lane}
    rack = Rack(settings, card_dialogue(settings, card_keys))
    upkeep = Upkeep(
        journal,
        folder / "sync.db",
        acknowledged_days=settings.retention.acknowledged_days,
        health_days=settings.retention.health_days,
        visit_days=settings.retention.visit_days,
        register=register,
    )
    stack.callback(upkeep.close)
    hub = Hub()
    id_desk = IdDesk(clock, settings.site.zone)
    views = Views(
        _template(settings, clock),
        setups=setups,
        lights=Lights([(lane, role) for lane, role, _ in rack.devices()], _frame_ages(rack)),
        publish=hub.publish,
        sync=lambda: upkeep.sync,
        standing_alarms=lambda: (
            *upkeep.alarms,
            *(["neighbours_silent"] if gate.neighbours_silent else []),
            *(trust.alarms if trust is not None else ()),
            *(arrivals.alarms if arrivals is not None else ()),
            *policy.alarms,
            *left_out.alarms,
        ),
        challenge=verifier.digits,
        trust=lambda at: None if trust is None else trust.age(at.utc()),
        id_card=id_desk.observed,
        policy=lambda: policy.in_force.policy.version,
    )
    duty = DutyBook(lambda facts: gate.note(Note(Stream.PASSAGE, Kind.SHIFT, facts_only(**facts))))
    sessions = Sessions(duty)
    gate = Gate(
        setups=setups,
        rack=rack,
        journal=journal,
        verifier=verifier,
        clock=clock,
        watcher=views,
        upkeep=upkeep,
        notifier=Notifier(os.environ),
        until_idle_s=until_idle_s,
        card_watch=card_watch(key, setups, journal, clock),
        memory=LaneMemory(folder, {name: setup.sensor.rule for name, setup in setups.items() if setup.sensor}),
        consoles=sessions,
    )
    policy = PolicyKeeper(settings, start, setups=setups, put=gate.follow)
    left_out = LeftOut(gate.begin_with, damaged)
    guards = guard_book(settings, clock, duty, left_out)
    passes, people = pass_book(settings, clock, gate, verifier), RosterPeople(roster, photos)
    app = create_app(
        hub,
        gate.command,
        guards=guards,
        cameras={name: lane.camera for name, lane in rack.lanes.items() if lane.camera is not None},
        trust=trust,
        policy=policy,
        clock=clock_desk(clock, gate),
        passes=passes,
        people=people,
        id_cards=id_desk,
        speech=speech_of(settings),
        tablets=tablet_desk(settings, clock, lambda facts: gate.note(device_note(facts))),
        site_code_text=settings.site.place_code,
        zone=settings.site.zone,
        allowed_hosts=(*LOOPBACK_HOSTS, *settings.web.names),
        now_ns=lambda: clock.now().mono_ns,
        sessions=sessions,
    )
    serve_screens(settings, stack, app)
    console = Console(hub, gate.command, guards, sessions, passes, people, id_desk)
    with left_out.unless_usable(TABLETS):
        serve_tablets(settings, stack, clock, console, lambda facts: gate.note(device_note(facts)))
    if trust is not None:
        trust.start()
        stack.callback(trust.stop)
    gate.begin_with(Note(Stream.DIAGNOSTIC, Kind.POLICY, facts_only(**policy.at_start())))
    arrivals = None
    with left_out.unless_usable(UNTAKEN):
        arrivals = open_arrivals(settings, stack, clock, gate=gate, verifier=verifier, policy=policy)
    if line is not None:
        line.start(gate.hear)
        stack.callback(line.stop)
    if arrivals is not None:
        arrivals.start()
        stack.callback(arrivals.stop)
    return gate


def serve_screens(settings: Settings, stack: ExitStack, app: FastAPI) -> None:
    """Start the screens' server on loopback and end it with ``stack``. Raises ConfigError for a taken port."""
    server = ScreensServer(app, host=settings.web.host, port=settings.web.port)
    server.start()
    stack.callback(server.stop)
    log.info("screens", address=server.address, lanes=[lane.name for lane in settings.lane])


def device_note(facts: Mapping[str, Any]) -> Note:
    """A tablet that was paired or revoked, for the diagnostic stream."""
    return Note(Stream.DIAGNOSTIC, Kind.DEVICE, facts_only(**facts))


def speech_of(settings: Settings) -> Speech:
    """What residents' screens say aloud. A sentence that cannot be said is logged; the gate goes on without it."""
    voices = open_voices(settings.web.voice)
    for problem in voices.problems:
        log.warning("not_said", detail=problem)
    return Speech(settings.web.voice, voices, settings.site.zone)


def card_watch(key: bytes, setups: Mapping[str, LaneSetup], journal: Journal, clock: Clock) -> CardWatch:
    """What watches the cards of all lanes; it knows where they were before a restart."""
    watch = CardWatch(key_for(key, "neighbours"))
    inside_min = max((setup.policy.cards.inside_min for setup in setups.values()), default=0)
    recall_movements(watch, journal.path, journal.incarnation, clock.now(), inside_min=inside_min)
    return watch


def guard_book(settings: Settings, clock: Clock, duty: DutyBook, left_out: LeftOut) -> GuardBook:
    """Who may log in: nobody where the settings name no file of guards, or it cannot be used."""
    if settings.keys.guards is not None:
        with left_out.unless_usable(GUARDS):
            return GuardBook.load(
                secret_file(settings.keys.guards),
                tries_file=settings.state.folder / "guard-tries.json",
                now_ns=clock.now().mono_ns,
                on_lock_out=duty.locked_out,
            )
    return GuardBook()


def open_arrivals(
    settings: Settings, stack: ExitStack, clock: Clock, *, gate: Gate, verifier: GateVerifier, policy: PolicyKeeper
) -> Arrivals | None:
    """What takes the central's documents, with stores of its own; None where the settings name no authority."""
    if settings.sync.authority is None:
        return None
    authority = load_authority(settings.sync.authority)

    def revoke_passes(ids: frozenset[bytes]) -> None:
        for pass_id in ids:
            verifier.revoke_pass(pass_id)

    appliers = Appliers(
        roster=stack.enter_context(open_roster(settings)),
        card_keys=stack.enter_context(open_card_keys(settings)),
        kiosk_id=settings.site.kiosk_id,
        kiosk_key=lambda: load_kiosk_key(secret_file(settings.keys.kiosk)),
        revoke_passes=revoke_passes,
        zone=settings.site.zone,
        now_us=lambda: clock.now().at_us,
    )
    return Arrivals(
        folder=settings.state.folder / DOCUMENTS,
        state=settings.state.folder,
        authority=authority,
        appliers=appliers,
        note=lambda facts: gate.note(Note(Stream.DIAGNOSTIC, Kind.POLICY, facts_only(**facts))),
        alarm=lambda code, facts: gate.note(Note(Stream.ALARM, Kind.ALARM, facts_only(code=code, **facts))),
        policy=policy,
    )


def line_to_sync(settings: Settings, key: bytes) -> SyncLine | None:
    """The line to sync, not yet started; None where the site has neither an online lookup nor neighbouring gates."""
    if not settings.lookup.url and not settings.neighbours.addresses:
        return None
    hello = Hello(
        kiosk_id=settings.site.kiosk_id,
        peer_key=key_for(key, "neighbours"),
        match_key=key_for(key, "person match"),
    )
    return SyncLine(settings.state.folder, hello)


def outside_of(settings: Settings, key: bytes, line: SyncLine | None) -> Outside | None:
    """What the verifier is told of lookup and neighbours."""
    if line is None:
        return None
    return Outside(
        line=line,
        peer_key=key_for(key, "neighbours"),
        online_prefixes=settings.lookup.prefixes if settings.lookup.url else (),
        issuer=settings.lookup.issuer,
        lookup_limit_s=settings.lookup.time_limit_s,
        remember=timedelta(minutes=settings.neighbours.remember_min),
    )


def pass_book(settings: Settings, clock: Clock, gate: Gate, verifier: GateVerifier) -> PassBook:
    """The temporary passes that the guard issues here, with those that the journal remembers."""
    folder = settings.state.folder
    try:
        key = secret_file(settings.keys.kiosk)
    except ConfigError:
        key = settings.keys.kiosk  # made by the enrolment, later; until then the book says what is missing
    return PassBook(
        place=settings.site.place,
        key=key,
        certificate=settings.keys.pass_certificate or folder / PASS_CERTIFICATE,
        clock=clock,
        write=lambda kind, payloads, stands: gate.write(Note(Stream.PASSAGE, kind, payloads, stands=stands)),
        revoke=verifier.revoke_pass,
        passes=passes_issued(folder / "journal.db"),
    )


def _frame_ages(rack: Rack) -> dict[tuple[str, str], Callable[[], float | None]]:
    cameras = {name: lane.camera for name, lane in rack.lanes.items() if lane.camera is not None}
    return {(name, "camera"): camera.frame_age_ms for name, camera in cameras.items()}


def passes_let_in(journal: Path) -> set[str]:
    """The ids of the temporary passes that the journal's passages admitted, as far back as the kiosk keeps them."""
    reader = JournalReader(journal)
    by_pass = f'"credential":"{CardStrength.PASS_CODE}"'.encode()
    try:
        told = reader.all_told(Stream.PASSAGE, (Kind.PASSAGE,), holding=by_pass)
        return {subject for record in told if (subject := _pass_let_in(record))}
    finally:
        reader.close()


def _pass_let_in(record: Record) -> str:
    facts = record.payloads[PayloadClass.FACTS].body if PayloadClass.FACTS in record.payloads else None
    person = record.payloads[PayloadClass.PERSON].body if PayloadClass.PERSON in record.payloads else None
    admitted = record.kind is Kind.PASSAGE and facts is not None and facts["admit"]
    by_pass = facts is not None and facts.get("credential") == str(CardStrength.PASS_CODE)
    return str(person["subject"]) if admitted and by_pass and person is not None else ""


def card_dialogue(settings: Settings, card_keys: CardKeyStore) -> CardDialogue | None:
    """What the readers ask of a second-generation card; the strongest strength that any lane of the kiosk asks for.

    Raises ConfigError for strength ``sun`` without the site's key ``keys.card_meta`` of 16 bytes.
    """
    strengths = {lane.reader.strength for lane in settings.lane if lane.reader is not None}
    if Strength.EV2 in strengths:
        return ev2_dialogue(card_keys.keys_of)
    if Strength.SUN not in strengths:
        return None
    if settings.keys.card_meta is None:
        raise ConfigError("keys.card_meta", seen="nothing", expected="16 bytes, for readers of strength sun")
    meta_key = secret_file(settings.keys.card_meta).read_bytes()
    if len(meta_key) != CARD_META_KEY_BYTES:
        raise ConfigError(
            f"secret {settings.keys.card_meta}", seen=f"{len(meta_key)} bytes", expected=f"{CARD_META_KEY_BYTES}"
        )
    return sun_dialogue(meta_key, card_keys.keys_of)


def trust_keeper(
    settings: Settings,
    key: bytes,
    *,
    put: Callable[[TrustStore], None],
    note: Callable[[dict[str, Any]], None],
) -> TrustKeeper | None:
    """What keeps the trust store by signed bundles; None where the settings name no roots."""
    if not settings.trust.roots:
        return None
    folder = settings.state.folder
    return TrustKeeper(
        BundleFolder(folder / "trust", tuple(map(root_bytes, settings.trust.roots))),
        Sources(document=folder / DOCUMENTS / "trust" / "body", stick=settings.trust.stick),
        match_key=key_for(key, "person match"),
        red_after=timedelta(days=settings.trust.red_after_days),
        put=put,
        note=note,
    )


def _trust_store(settings: Settings, key: bytes) -> TrustStore:
    match_key = key_for(key, "person match")
    if settings.trust.folder is None:
        return TrustStore(match_key=match_key)
    store = TrustStore.load(settings.trust.folder, match_key=match_key)
    if store.skipped:
        log.warning("trust_anchors_skipped", detail=describe_skipped(store.skipped))
    return store


def _template(settings: Settings, clock: Clock) -> KioskView:
    return KioskView(
        kiosk_id=settings.site.kiosk_id,
        site_name=settings.site.name,
        at_us=clock.now().at_us,
        clock_trust=clock.now().clock_trust,
        lanes=(),
        simulated=settings.simulation.devices,
        duty_number=settings.site.duty_number,
    )
