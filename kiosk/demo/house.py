"""A demo's house: one folder with throw-away keys, and gate, sync and central as the separate programs they are.

Everything a real gate needs is made here the way an installer would make it. What stands before the gate (simulated
devices and people, or a folder of pictures) is the business of the houses built on this one.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import sys
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from zoneinfo import ZoneInfo

import httpx

from kiosk.demo.programs import ProgramError, Programs
from kiosk.journal import JournalReader
from kiosk.records import Kind, Record, Stream

KIOSK_ID = "demo-north-1"
ZONE = ZoneInfo("Asia/Shanghai")
GUARD_LOGIN = "demo"
VOICES = "voices"
"""Folder of what the resident's screen says, below the demo's; made only for a demo with a screen."""


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


class House(ABC):
    """The folder and its programs. :meth:`prepare`, :meth:`start`, then whatever the day brings, then :meth:`stop`."""

    def __init__(self, folder: Path, *, gate_port: int = 0) -> None:
        self.folder = folder
        self.central_port = free_port()
        self.gate_port = gate_port or free_port()
        self.state = folder / "state"
        self.config = folder / "gate.toml"
        self.programs = Programs(folder / "log")
        self.guard_secret = secrets.token_urlsafe(9)
        self.admin_secret = secrets.token_urlsafe(15)

    @property
    def addresses(self) -> Addresses:
        """Where gate and central show their pages."""
        return Addresses(f"http://127.0.0.1:{self.gate_port}", f"http://127.0.0.1:{self.central_port}")

    # ------------------------------------------------------------------------------------------ making it

    def prepare(self) -> None:
        """Keys and settings: what an installer would have made."""
        for folder in (self.folder, self.state, self.folder / "keys", self.folder / "central"):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_private(self.folder / "keys/community.key", secrets.token_bytes(32))
        write_private(self.folder / "keys/guards.toml", self._guards().encode())
        self.config.write_text(self.common_toml() + self.gate_toml(), encoding="utf-8")

    @abstractmethod
    def gate_toml(self) -> str:
        """The part of the gate's settings that this house differs in: policy, trust folder, lanes."""

    def _guards(self) -> str:
        from kiosk.screens.guards import hash_secret

        return f'[guards.{GUARD_LOGIN}]\nname = "演示保安"\nsecret = "{hash_secret(self.guard_secret)}"\n'

    def common_toml(self) -> str:
        """The part of the gate's settings that every house has."""
        return f"""# Made by `gatepost demo`: nothing here is worth anything afterwards.
[site]
name = "演示社区"
kiosk_id = "{KIOSK_ID}"
place = "north-gate"
duty_number = "010-5555 0100"
[state]
folder = "{self.state}"
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
{self._voice_toml()}"""

    def _voice_toml(self) -> str:
        voices = self.folder / VOICES
        return f'[web.voice]\nfolder = "{voices}"\n' if voices.is_dir() else ""

    # --------------------------------------------------------------------------------------- running it

    def start(self) -> None:
        """Start central, enrolled sync and gate, and wait until each is ready."""
        self.start_central()
        self.enrol()
        self.start_gate()
        self.start_sync()

    def stop(self) -> None:
        """Stop every program."""
        self.programs.stop()

    def start_central(self) -> None:
        """The central, with one admin whose passphrase is printed by the demo."""
        write_private(self.folder / "central/admin.txt", self.admin_secret.encode() + b"\n")
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
        self.programs.start("gatepost-sync", "sync.cli", "run", "--config", str(self.config), "--retry-cap-s", "2")

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

    def passages(self, after_seq: int) -> list[Record]:
        """The passage stream's records after ``after_seq``, of the newest incarnation; empty before the first."""
        reader = JournalReader(self.state / "journal.db")
        try:
            chains = [key for key in reader.positions() if key[1] is Stream.PASSAGE]
            return list(reader.slice(*chains[-1], after_seq).records) if chains else []
        finally:
            reader.close()

    def passage_records(self) -> list[Record]:
        """Every record of kind passage in the kiosk's journal, in order."""
        reader = JournalReader(self.state / "journal.db")
        found: list[Record] = []
        try:
            for incarnation, stream in reader.positions():
                after = 0
                while stream is Stream.PASSAGE and (records := reader.slice(incarnation, stream, after).records):
                    after = records[-1].seq
                    found += [record for record in records if record.kind is Kind.PASSAGE]
        finally:
            reader.close()
        return found


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


def write_private(path: Path, content: bytes) -> None:
    """A new file that only its owner can read; FileExistsError when it is there already."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
