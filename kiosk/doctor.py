"""``gatepost doctor``: looks at everything a gate stands on and says, line by line, what is wrong and how to mend it.

Run it before the gate is started, or with the gate stopped: devices are opened for real and must prove themselves.
"""

from __future__ import annotations

import queue
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from pathlib import Path

from config.errors import GatepostError
from config.settings import Settings, root_bytes, secret_file
from drivers.devices import DeviceFault, DeviceReady, Observed
from drivers.rack import Rack
from kiosk.arrivals import versions_in_force
from kiosk.calibrate_cli import expectation_lines
from kiosk.clock import SystemClock, has_rtc
from kiosk.credentials.bundle import AgeLight, TrustState, age_light
from kiosk.credentials.bundle_folder import BundleFolder
from kiosk.credentials.trust import TrustStore
from kiosk.doctor_cards import card_lines
from kiosk.doctor_policy import borderline_in_force, policy_lines
from kiosk.expectation import expected_of_unit
from kiosk.identity import load_authority
from kiosk.lane_sensor import sensor_of
from kiosk.reasons import ClockTrust
from kiosk.retention import disk_used_percent
from kiosk.screens.guards import read_guards
from kiosk.screens.voices import open_voices
from kiosk.set_aside import ASIDE, SUFFIXES
from kiosk.site_stores import community_key
from kiosk.sync_line import SOCKET_NAME
from kiosk.tablet_book import TabletBook
from kiosk.tablet_certificate import certificate_files, tls_context, valid_until

PROOF_WAIT_S = 8.0
"""A thermometer of two baud rates may need five seconds to be found."""

DISK_WARN_PERCENT = 80
CERTIFICATE_WARN = timedelta(days=30)


class Level(StrEnum):
    """How bad it is: good, worth a look, or the gate cannot do its work."""

    GOOD = "good"
    LOOK = "look"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: what was looked at, how it stands, and what to do."""

    level: Level
    what: str
    detail: str


def examine(settings: Settings, *, devices: bool = True) -> Iterator[Finding]:
    """Every finding, as it is made. ``devices`` opens the devices too, which takes up to eight seconds."""
    for policy_level, what, detail in policy_lines(settings):
        yield Finding(Level(policy_level), what, detail)
    yield from _secrets(settings)
    yield from _state(settings.state.folder)
    for good, what, detail in card_lines(settings):
        yield Finding(Level.GOOD if good else Level.LOOK, what, detail)
    yield from _clock()
    yield from _trust(settings)
    yield from _outside(settings)
    yield from _voice(settings)
    yield from _tablets(settings)
    borderline_from_c = borderline_in_force(settings)
    for lane in settings.lane:
        sensor = sensor_of(lane, settings.state.folder, borderline_from_c=borderline_from_c)
        if sensor is not None:
            expected = expected_of_unit(sensor)
            detail = "; ".join(expectation_lines(sensor))
            yield Finding(Level.LOOK if expected is None else Level.GOOD, f"{lane.name}/fevers", detail)
    if devices:
        yield from _devices(settings)


def _secrets(settings: Settings) -> Iterator[Finding]:
    try:
        community_key(settings.keys.community)
        secret_file(settings.keys.kiosk)
    except GatepostError as error:
        yield Finding(Level.BAD, "keys", str(error))
    else:
        yield Finding(Level.GOOD, "keys", "readable by their owner alone")
    if settings.keys.guards is None:
        yield Finding(Level.LOOK, "guards", "nobody can log in to the console: gatepost guard set, then keys.guards")
        return
    try:
        known = len(read_guards(secret_file(settings.keys.guards)))
    except GatepostError as error:
        yield Finding(Level.BAD, "guards", f"{error}; nobody can log in to the console: gatepost guard set")
        return
    if known:
        yield Finding(Level.GOOD, "guards", f"{known} may log in")
    else:
        yield Finding(Level.LOOK, "guards", "nobody can log in to the console: gatepost guard set")


def _state(folder: Path) -> Iterator[Finding]:
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        probe = folder / ".doctor"
        probe.write_bytes(b"")
        probe.unlink()
        used = disk_used_percent(folder)
    except OSError as error:
        yield Finding(Level.BAD, "state folder", f"{folder}: {error.strerror}; give it to the gate's user, mode 0700")
        return
    level = Level.LOOK if used >= DISK_WARN_PERCENT else Level.GOOD
    yield Finding(level, "state folder", f"{folder}, disk {used:.0f} % full")
    for file in sorted(folder.glob(ASIDE)):
        if not file.name.endswith(SUFFIXES[1:]):
            yield Finding(Level.LOOK, "damage", f"{file.name} was set aside and begun anew: look at the disk")


def _clock() -> Iterator[Finding]:
    if not has_rtc():
        yield Finding(Level.BAD, "real-time clock", "none: after a power cut without network the gate knows no time")
    trust = SystemClock(None).now().clock_trust
    level = Level.GOOD if trust is ClockTrust.SYNCED else Level.LOOK
    yield Finding(level, "clock", f"{trust}; dates are judged only by a clock that can be trusted")


def _trust(settings: Settings) -> Iterator[Finding]:
    if settings.trust.folder is None and not settings.trust.roots:
        yield Finding(Level.LOOK, "trust store", "none: no health code will be valid")
        return
    try:
        if settings.trust.folder is not None:
            store = TrustStore.load(settings.trust.folder)
        else:
            bundles = BundleFolder(settings.state.folder / "trust", tuple(map(root_bytes, settings.trust.roots)))
            state = bundles.state()
            if not state.version:
                yield Finding(Level.LOOK, "trust store", "no bundle came yet: no health code will be valid")
                return
            store = bundles.load()
            yield _age(state, timedelta(days=settings.trust.red_after_days))
    except GatepostError as error:
        yield Finding(Level.BAD, "trust store", str(error))
        return
    level = Level.LOOK if store.skipped else Level.GOOD
    yield Finding(level, "trust store", f"{store.key_count()} keys, {len(store.skipped)} anchors that cannot be used")
    wanted = settings.trust.rule_set
    if wanted and wanted not in store.rule_sets:
        known = ", ".join(sorted(store.rule_sets)) or "none"
        yield Finding(Level.BAD, "rule set", f"{wanted}: not in the trust store, so no code is valid; there: {known}")


def _age(state: TrustState, red_after: timedelta) -> Finding:
    """How old the bundle in force is, by the machine's clock."""
    now = SystemClock(None).now().utc()
    light = age_light(state, now, red_after=red_after)
    following = "" if state.next_update is None else f", next due {state.next_update:%Y-%m-%d %H:%M} UTC"
    level = Level.GOOD if light is AgeLight.GREEN else Level.LOOK
    return Finding(level, "trust age", f"version {state.version}: {light}{following}")


def _outside(settings: Settings) -> Iterator[Finding]:
    """What gatepost-sync does for the gate: documents, online lookup, neighbouring gates."""
    if settings.sync.authority is not None:
        try:
            load_authority(settings.sync.authority)
            versions_in_force(settings.state.folder)
        except GatepostError as error:
            yield Finding(Level.BAD, "authority", str(error))
        else:
            detail = "roster, revocations, policy and card keys of the central are believed"
            yield Finding(Level.GOOD, "authority", detail)
    lookup, neighbours = settings.lookup, settings.neighbours
    if not lookup.url and not neighbours.addresses:
        return
    if lookup.url and lookup.secret is not None:
        try:
            secret_file(lookup.secret)
        except GatepostError as error:
            yield Finding(Level.BAD, "lookup secret", str(error))
    if lookup.url and not (lookup.reply.token or lookup.reply.nonce):
        detail = "answers repeat neither token nor nonce: only TLS keeps a recorded one away (lookup.reply)"
        yield Finding(Level.LOOK, "lookup answers", detail)
    if (settings.state.folder / SOCKET_NAME).exists():
        yield Finding(Level.GOOD, "line to sync", f"{len(neighbours.addresses)} neighbouring gates in the settings")
    else:
        detail = "gatepost-sync does not run: no code is looked up, no neighbour heard; systemctl start gatepost-sync"
        yield Finding(Level.LOOK, "line to sync", detail)


def _voice(settings: Settings) -> Iterator[Finding]:
    """What the residents' screens can say aloud."""
    folder = settings.web.voice.folder
    if folder is None:
        yield Finding(Level.LOOK, "voice", "tones alone: name a folder in web.voice.folder, then gatepost voice make")
        return
    voices = open_voices(settings.web.voice)
    languages = ", ".join(settings.web.voice.languages)
    yield Finding(Level.GOOD, "voice", f"{folder}: {len(voices.recordings)} sentences in {languages}")
    for problem in voices.problems:
        yield Finding(Level.LOOK, "voice", problem)


def _tablets(settings: Settings) -> Iterator[Finding]:
    """The console on tablets: its certificate, and who is paired."""
    if not settings.web.tablet.host:
        return
    try:
        files = certificate_files(settings)
        tls_context(files)
        until = valid_until(files)
        paired = len(TabletBook(settings.state.folder).listed())
    except GatepostError as error:
        yield Finding(Level.BAD, "tablets", str(error))
        return
    left = until - SystemClock(None).now().utc()
    level = Level.LOOK if left < CERTIFICATE_WARN else Level.GOOD
    detail = f"{paired} paired, certificate until {until:%Y-%m-%d}"
    yield Finding(level, "tablets", detail + ("; gatepost console certificate" if level is Level.LOOK else ""))


def _devices(settings: Settings) -> Iterator[Finding]:
    rack = Rack(settings)
    waiting = {(lane, role) for lane, role, _ in rack.devices()}
    heard: queue.SimpleQueue[Observed] = queue.SimpleQueue()
    last_fault: dict[tuple[str, str], str] = {}
    rack.start(heard.put)
    try:
        deadline = time.monotonic() + PROOF_WAIT_S
        while waiting and (left_s := deadline - time.monotonic()) > 0:
            try:
                seen = heard.get(timeout=left_s)
            except queue.Empty:
                break
            key = (seen.lane, seen.device)
            if isinstance(seen.event, DeviceReady) and key in waiting:
                waiting.discard(key)
                yield Finding(Level.GOOD, f"{seen.lane}/{seen.device}", seen.event.detail)
            elif isinstance(seen.event, DeviceFault):
                last_fault[key] = f"{seen.event.kind}: {seen.event.detail}"
    finally:
        rack.stop()
    for lane, role in sorted(waiting):
        detail = last_fault.get((lane, role), f"did not prove itself within {PROOF_WAIT_S:.0f} s")
        yield Finding(Level.BAD, f"{lane}/{role}", detail)
