"""The demo's house: one folder with keys, cards, codes and settings of a throw-away community, and its programs.

Everything a real gate needs is made here the way an installer would make it, with throw-away keys; then simulators,
central, gate and sync run as the separate programs they are. Nothing in it is worth anything afterwards.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import httpx
import segno

from kiosk.clock import Instant, ShiftedClock
from kiosk.demo_codes import DemoIssuer, DemoPerson
from kiosk.demo_control import Control
from kiosk.demo_programs import ProgramError, Programs
from kiosk.journal import JournalReader
from kiosk.records import Record, Stream
from kiosk.roster import Roster
from kiosk.run import community_key, derived_key
from kiosk.scenario import CodeShown, Passage, Person, Scenario, inhabitants

KIOSK_ID = "demo-north-1"
ZONE = ZoneInfo("Asia/Shanghai")
GUARD_LOGIN = "demo"
PULSE_S = 0.5
"""Length of the demo's opening pulse."""


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the pages are."""

    gate: str
    central: str


def free_port() -> int:
    """A TCP port of the loopback interface that nobody has now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def start_today(scenario: Scenario, now: datetime) -> datetime:
    """Today's date at the time of day at which the scenario starts, in the demo site's zone."""
    local = now.astimezone(ZONE)
    hours, minutes = (int(part) for part in scenario.starts.split(":"))
    return datetime.combine(local.date(), time(hours, minutes), tzinfo=ZONE)


class DemoHouse:
    """The folder and its programs. :meth:`prepare`, :meth:`start`, then play, then :meth:`stop`."""

    def __init__(self, folder: Path, scenario: Scenario, *, now: datetime, gate_port: int = 0) -> None:
        self.folder = folder
        self.scenario = scenario
        self.starts_at = start_today(scenario, now)
        self.central_port = free_port()
        self.gate_port = gate_port or free_port()
        self.state = folder / "state"
        self.config = folder / "gate.toml"
        self.pictures = folder / "pictures"
        self.control = Control(folder / "control.sock")
        self.programs = Programs(folder / "log")
        self.guard_secret = secrets.token_urlsafe(9)
        self.admin_secret = secrets.token_urlsafe(15)
        self._issuer = DemoIssuer.create(self.starts_at)
        self._number = 0

    @property
    def addresses(self) -> Addresses:
        """Where gate and central show their pages."""
        return Addresses(f"http://127.0.0.1:{self.gate_port}", f"http://127.0.0.1:{self.central_port}")

    # ------------------------------------------------------------------------------------------ making it

    def prepare(self) -> None:
        """Keys, roster, trust folder, settings, plan: all that an installer and an issuing desk would have made."""
        for folder in (self.folder, self.state, self.pictures, self.folder / "keys", self.folder / "central"):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        _private(self.folder / "keys/community.key", secrets.token_bytes(32))
        _private(self.folder / "keys/guards.toml", self._guards().encode())
        self._issuer.write_trust_folder(self.folder / "trust")
        self.config.write_text(self._gate_toml(), encoding="utf-8")
        (self.folder / "plan.toml").write_text(PLAN, encoding="utf-8")
        self._fill_roster()

    def _guards(self) -> str:
        from kiosk.screens.guards import hash_secret

        return f'[guards.{GUARD_LOGIN}]\nname = "演示保安"\nsecret = "{hash_secret(self.guard_secret)}"\n'

    def _gate_toml(self) -> str:
        dev = self.folder / "dev"
        return f"""# Made by `gatepost demo`: everything here is simulated and worth nothing afterwards.
[site]
name = "演示社区"
kiosk_id = "{KIOSK_ID}"
place = "north-gate"
duty_number = "010-5555 0100"
[state]
folder = "{self.state}"
[policy]
file = "{self.scenario.policy}"
[trust]
folder = "{self.folder / "trust"}"
[keys]
community = "{self.folder / "keys/community.key"}"
kiosk = "{self.folder / "keys/kiosk.pem"}"
guards = "{self.folder / "keys/guards.toml"}"
[web]
port = {self.gate_port}
[sync]
central_url = "{self.addresses.central}"
interval_s = 1.0
heartbeat_s = 5.0
[simulation]
devices = true
start_at = {self.starts_at.isoformat()}
[[lane]]
name = "in"
direction = "in"
  [lane.reader]
  port = "{dev / "reader-in"}"
  [lane.thermometer]
  port = "{dev / "thermometer-in"}"
  air_c = 23.0
  [lane.camera]
  source = "folder"
  path = "{self.pictures}"
  follow = true
  [lane.relay]
  port = "{dev / "relay-in"}"
  pulse_s = {PULSE_S}
  [lane.contacts]
  port = "{dev / "contacts-in"}"
  inputs = {{ 1 = "passage_beam" }}
"""

    def _fill_roster(self) -> None:
        key = community_key(self.folder / "keys/community.key")
        at_us = int(self.starts_at.timestamp() * 1_000_000)
        with Roster.open(self.state / "roster.db", key, match_key=derived_key(key, "person match")) as roster:
            lines = [line.encode() + b"\n" for line in self._roster_lines()]
            report = roster.import_csv(lines, at_us=at_us, zone=ZONE)
        if report.bad_lines:
            raise AssertionError(f"the demo's own roster has bad lines: {report.bad[:3]}")

    def _roster_lines(self) -> Iterable[str]:
        yield "person_id,category,name,card_uid,registered,revoked,surname,given,birth_date"
        for group in inhabitants(self.scenario).values():
            for person in group:
                if person.group.cards:
                    yield ",".join(
                        (
                            f"demo-{person.number}",
                            person.group.category,
                            person.name,
                            person.uid.hex().upper(),
                            "yes" if person.group.registered else "no",
                            "yes" if person.group.revoked else "no",
                            surname_of(person),
                            GIVEN_NAME,
                            person.birth_date,
                        )
                    )

    # --------------------------------------------------------------------------------------- running it

    def start(self) -> None:
        """Start simulators, central, enrolled sync and gate, and wait until each is ready."""
        self.start_simulators()
        self.start_central()
        self.enrol()
        self.start_gate()
        self.start_sync()

    def start_simulators(self) -> None:
        """The other end of every wire."""
        self.programs.start(
            "simulators", "drivers.simulators", "--dir", str(self.folder), "--plan", str(self.folder / "plan.toml")
        )
        self.programs.wait_for("its control socket", self.control.ready, program="simulators")

    def start_central(self) -> None:
        """The central, with one admin whose passphrase is printed by the demo."""
        _private(self.folder / "central/admin.txt", self.admin_secret.encode() + b"\n")
        run_once(
            "sync.central.cli", "init", *self._database, "--admin-passphrase-file", self.folder / "central/admin.txt"
        )
        self.programs.start(
            "gatepost-central",
            *("sync.central.cli", "serve", *self._database, "--port", str(self.central_port)),
            *("--site-name", "演示社区", "--timezone", str(ZONE)),
        )
        self.programs.wait_for(
            "its port", lambda: answers(self.addresses.central + "/health"), program="gatepost-central"
        )

    def enrol(self) -> None:
        """The kiosk makes its key and is admitted by its fingerprint, as an admin would do it."""
        code = run_once("sync.central.cli", "enrol-code", *self._database, "--kiosk-id", KIOSK_ID).strip()
        told = run_once("sync.cli", "enrol", *self._sync_identity, "--code", code)
        fingerprint = next(line.split()[-1] for line in told.splitlines() if line.startswith("fingerprint"))
        run_once("sync.central.cli", "approve", *self._database, "--kiosk-id", KIOSK_ID, "--fingerprint", fingerprint)

    def start_gate(self) -> None:
        """The gate itself; ready when its pages answer and every device has proved itself."""
        self.programs.start("gatepost", "kiosk.cli", "run", "--config", str(self.config))
        self.programs.wait_for("its pages", lambda: answers(self.addresses.gate + "/lane/in"), program="gatepost")

    def start_sync(self) -> None:
        """The sender, quicker than on a real gate so that the demo shows it at work."""
        self.programs.start(
            "gatepost-sync",
            *("sync.cli", "run", *self._sync_identity),
            *("--journal", str(self.state / "journal.db"), "--state", str(self.state / "sync.db")),
            *("--bulk-interval-s", "1", "--heartbeat-interval-s", "5", "--retry-cap-s", "2"),
        )

    @property
    def _database(self) -> tuple[str, str]:
        return "--database", str(self.folder / "central/central.db")

    @property
    def _sync_identity(self) -> tuple[str, ...]:
        key = str(self.folder / "keys/kiosk.pem")
        return "--central", self.addresses.central, "--key", key, "--kiosk-id", KIOSK_ID

    def export(self) -> list[dict[str, object]]:
        """Every passage that the central has stored, by its own export."""
        text = run_once("sync.central.cli", "export", *self._database, "--format", "ndjson")
        return [json.loads(line) for line in text.splitlines() if line]

    def stop(self) -> None:
        """Stop every program."""
        self.programs.stop()

    def settings_clock(self) -> ShiftedClock:
        """A clock that began when this was called, at the scenario's start."""
        return ShiftedClock(int(self.starts_at.timestamp() * 1_000_000))

    # ------------------------------------------------------------------------------------- what people show

    def code_text(self, passage: Passage, now: Instant) -> str:
        """The text of the code that the person of this passage shows."""
        person, at = passage.person, now.utc()
        who = DemoPerson(surname=surname_of(person), given=GIVEN_NAME, birth_date=person.birth_date)
        match passage.situation.code:
            case CodeShown.EXPIRED:
                return self._issuer.hcert(who, issued_at=at - timedelta(days=60), expires_at=at - timedelta(days=1))
            case CodeShown.FORGED:
                return self._issuer.forged_hcert(who, issued_at=at, expires_at=at + timedelta(days=30))
            case CodeShown.OPAQUE:
                return f"https://code.example.cn/h?t={person.number:08x}{person.number * 2654435761 % 2**32:08x}"
            case _:
                return self._issuer.hcert(who, issued_at=at - timedelta(days=2), expires_at=at + timedelta(days=30))

    def hold_up(self, text: str) -> Path:
        """Hold a phone with this text before the camera: a picture appears in the camera's folder, whole."""
        self._number += 1
        path = self.pictures / f"{self._number:06d}.png"
        beside = path.with_suffix(".part")
        segno.make(text, error="m", micro=False).save(str(beside), kind="png", scale=5, border=6)
        beside.replace(path)
        return path

    def passages(self, after_seq: int) -> list[Record]:
        """The passage stream's records after ``after_seq``, of the newest incarnation; empty before the first."""
        reader = JournalReader(self.state / "journal.db")
        try:
            chains = [key for key in reader.positions() if key[1] is Stream.PASSAGE]
            return list(reader.slice(*chains[-1], after_seq).records) if chains else []
        finally:
            reader.close()

    def relay_changes(self) -> list[dict[str, object]]:
        """Every change of the simulated relay so far, from its own log on disk."""
        path = self.folder / "relay-relay-in.log"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


GIVEN_NAME = "DEMO"

PLAN = """# The simulated devices of the demo's lane: python -m drivers.simulators --dir DIR --plan PLAN
[[device]]
name = "reader-in"
kind = "pn532"
[[device]]
name = "thermometer-in"
kind = "gy_mcu90615"
[[device]]
name = "relay-in"
kind = "relay"
channels = 2
[[device]]
name = "contacts-in"
kind = "contacts"
contacts = "passage_beam"
"""


def answers(url: str) -> bool:
    """Whether an HTTP server at this loopback address answers with a success."""
    try:
        return httpx.get(url, timeout=1.0, trust_env=False).is_success
    except httpx.HTTPError:
        return False


def run_once(module: str, *arguments: object) -> str:
    """Run ``python -m module arguments`` to its end; its output, or ProgramError with what it said."""
    done = subprocess.run(
        [sys.executable, "-m", module, *map(str, arguments)], capture_output=True, text=True, timeout=120, check=False
    )
    if done.returncode != 0:
        raise ProgramError(
            f"{module} {arguments[0]}", seen=f"exit {done.returncode}: {(done.stderr or done.stdout)[-500:]}"
        )
    return done.stdout


def surname_of(person: Person) -> str:
    """A surname in Latin letters that is the person's own in this run."""
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    number, name = person.number, ""
    for _ in range(4):
        number, rest = divmod(number, 26)
        name = letters[rest] + name
    return "QX" + name


def _private(path: Path, content: bytes) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
