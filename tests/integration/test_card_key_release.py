"""A kiosk is stolen: the central ships the second keys, the gate takes them, cards issued before open, the thief's not.

The cards were issued over the desk's own exchange; the central is a process with its real commands; the documents come
through the real sender and receiver; the reader is a simulated PN532 on its wire.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from cryptography.hazmat.primitives import serialization
from typer.testing import CliRunner

from config.errors import GatepostError
from drivers.cards.ntag424 import CardKeys
from drivers.cards.ntag424_issue import Role
from drivers.simulators.ntag424_card import personalised
from kiosk.arrivals import STATE, Appliers, Arrivals, retired_key_no
from kiosk.card_cli import app as card_app
from kiosk.card_keys import CardKeyStore
from kiosk.card_release import make_release
from kiosk.evidence import CardStrength
from kiosk.issuing import kiosk_keys, second_keys
from kiosk.reasons import Reason
from kiosk.roster import Roster
from kiosk.signed_document import SNAPSHOT_CONTEXT, DocumentKind, Manifest
from sync import keys
from sync.agent_options import AgentOptions
from sync.central import cli as central_cli
from sync.downlink import Downlink
from sync.run import run_agent
from sync.uplink import FetchedDocument
from tests.fakes import MORNING_US
from tests.integration.central_process import CentralProcess
from tests.integration.test_card_pass import EV2, LOST, OLD, SITE, SUN, Gate, issued
from tests.integration.test_sync_documents import Shelf

KIOSKS = ("north-1", "stolen-1")


@dataclass
class Site:
    """A folder with the desk's files, the central, and the gate that is left."""

    folder: Path
    central: CentralProcess
    gate: Gate
    arrivals: Arrivals
    notes: list[dict[str, Any]] = field(default_factory=list)
    alarms: list[dict[str, Any]] = field(default_factory=list)
    withdrawn: set[bytes] = field(default_factory=set)

    def open_central(self) -> None:
        """Start the central and admit the kiosks, as an admin does who compared fingerprints."""
        self.central.start()
        for kiosk in KIOSKS:
            self.central.admit(kiosk, keys.load_private_key(self.folder / f"{kiosk}.pem"))

    def run(self, *arguments: str) -> str:
        """One command of the central."""
        result = CliRunner().invoke(
            central_cli.app, [arguments[0], "--database", str(self.central.database), *arguments[1:]]
        )
        if isinstance(result.exception, GatepostError):
            raise result.exception
        assert result.exit_code == 0, (result.output, result.exception)
        return str(result.stdout)

    def publish(self, kind: str, version: int, body: bytes) -> None:
        (self.folder / "document").write_bytes(body)
        self.run(
            "publish",
            *("--kind", kind, "--version", str(version), "--file", str(self.folder / "document")),
            *("--authority-key", str(self.folder / "authority.key")),
        )

    def ship(self, *more: str) -> str:
        return self.run(
            "ship-card-keys",
            *("--escrow", str(self.folder / "escrow.bin"), "--release-key", str(self.folder / "release.key")),
            *("--authority-key", str(self.folder / "authority.key"), "--stolen", "stolen-1", *more),
        )

    def lay(self, kind: DocumentKind, version: int, body: bytes) -> None:
        """A document as the receiver puts it down, without a central."""
        authority = keys.load_private_key(self.folder / "authority.key")
        manifest = Manifest.of(kind, version, body, MORNING_US).to_bytes()
        shelf = Shelf()
        shelf.document = FetchedDocument(
            manifest=manifest, signature=keys.sign(authority, SNAPSHOT_CONTEXT, manifest), body=body
        )
        down = Downlink(
            self.folder / "north-1",
            kiosk_id="north-1",
            private_key=keys.load_private_key(self.folder / "north-1.pem"),
            authority=keys.public_bytes(authority),
            link=shelf,
        )
        assert down.fetch(kind, "r") == version

    def sync(self, kiosk: str, kind: str, version: int, *, tries: int = 200) -> None:
        """The kiosk's sender runs until the document is there (so many twentieths of a second at most)."""
        options = AgentOptions(
            journal=self.folder / "no-journal.db",
            state=self.folder / f"{kiosk}.sync.db",
            central_url=self.central.url,
            key=self.folder / f"{kiosk}.pem",
            kiosk_id=kiosk,
            documents=self.folder / kiosk,
            authority=self.folder / "authority.pub",
            heartbeat_interval_s=0.5,
            poll_interval_s=0.02,
        )
        stop = threading.Event()
        thread = threading.Thread(target=run_agent, args=(options, stop))
        thread.start()
        wanted = self.folder / kiosk / f"{kind}-{version}" / "manifest"
        for _ in range(tries):
            if wanted.exists() or stop.wait(0.05):
                break
        stop.set()
        thread.join()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """Three cards issued and escrowed; two kiosks admitted, of which one is about to be stolen."""
    authority = keys.generate_key(tmp_path / "authority.key")
    (tmp_path / "authority.pub").write_bytes(
        authority.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    (tmp_path / "site-keys.json").write_text(
        json.dumps(
            {
                "site": SITE.site,
                "version": SITE.version,
                "card_master": SITE.card_master.hex(),
                "site_master": SITE.site_master.hex(),
            }
        )
    )
    (tmp_path / "site-keys.json").chmod(0o600)
    (tmp_path / "issued.csv").write_text(
        "person_id,category,card_uid,card_strength,revoked\n"
        f"R-0,resident,{EV2.hex()},ev2,\nR-1,resident,{SUN.hex()},sun,\nR-2,resident,{LOST.hex()},ev2,yes\n"
    )
    made = CliRunner().invoke(
        card_app,
        [
            *("escrow", str(tmp_path / "issued.csv"), str(tmp_path / "escrow.bin")),
            *("--keys", str(tmp_path / "site-keys.json"), "--release-key", str(tmp_path / "release.key")),
        ],
    )
    assert made.exit_code == 0, made.output
    assert os.stat(tmp_path / "release.key").st_mode & 0o077 == 0
    gate_folder = tmp_path / "gate"
    gate_folder.mkdir()
    gate = Gate(gate_folder)
    database = tmp_path / "central.db"
    notes: list[dict[str, Any]] = []
    alarms: list[dict[str, Any]] = []
    withdrawn: set[bytes] = set()
    for kiosk in KIOSKS:
        keys.generate_key(tmp_path / f"{kiosk}.pem")
    central = CentralProcess(database)
    try:
        arrivals = Arrivals(
            folder=tmp_path / "north-1",
            state=gate_folder,
            authority=keys.public_bytes(authority),
            appliers=Appliers(
                roster=Roster.open(gate_folder / "roster.db", bytes(32)),
                card_keys=CardKeyStore.open(gate_folder / "card-keys.db", bytes(32)),
                kiosk_id="north-1",
                kiosk_key=lambda: keys.load_private_key(tmp_path / "north-1.pem"),
                revoke_passes=withdrawn.update,
                zone=ZoneInfo("Asia/Shanghai"),
                now_us=lambda: MORNING_US,
            ),
            note=notes.append,
            alarm=lambda code, facts: alarms.append({"code": code} | facts),
        )
        yield Site(tmp_path, central, gate, arrivals, notes, alarms, withdrawn)
    finally:
        central.kill()


def test_after_a_theft_the_second_keys_open_and_the_first_do_not(site: Site) -> None:
    """No card is recalled; the thief, who has every first key, opens nothing; nor can he read the release."""
    site.open_central()
    card = issued(EV2)
    thief = personalised(
        EV2,
        gate_key=SITE.of(EV2, Role.GATE),
        file_key=SITE.of(EV2, Role.FILE),
        meta_key=SITE.meta(),
        sealed_gate_key=bytes(16),
    )
    assert site.gate.tapped("ev2", card).refusal is None
    assert site.gate.tapped("ev2", thief).refusal is None, "with the first key an emulator is the card"
    with pytest.raises(GatepostError, match="still approved"):
        site.ship()
    statuses = {kiosk["kiosk_id"]: kiosk["fingerprint"] for kiosk in json.loads(site.run("kiosks"))}
    site.run("revoke", "--kiosk-id", "stolen-1", "--fingerprint", statuses["stolen-1"])
    assert "second keys of 2 cards, version 1, sealed for: north-1" in site.ship()

    site.sync("stolen-1", "cards", 1, tries=30)
    assert not (site.folder / "stolen-1" / "cards").exists()
    site.sync("north-1", "cards", 1)
    site.arrivals.look()
    assert site.notes == [{"document": "cards", "version": 1, "held": 0, "cards": 2, "keep_others": False}]

    found = site.gate.tapped("ev2", card)
    assert (found.refusal, found.strength) == (None, CardStrength.EV2)
    assert site.gate.tapped("ev2", thief).refusal is Reason.CARD_FORGED
    held = site.gate.keys.keys_of(EV2)
    assert held == kiosk_keys(SITE, EV2, second=True)
    assert site.gate.keys.keys_of(LOST) is None, "what was not in the escrow has no key any more"
    assert retired_key_no(site.folder / "gate") == 3, "and no file of first keys is taken any more"
    site.arrivals.look()
    assert len(site.notes) == 1


def test_cards_that_were_issued_since_may_go_on_with_their_first_key(site: Site) -> None:
    """When the admin says so: the escrow was older than the newest cards."""
    newest = bytes.fromhex("04a1b2c3d4e5aa")
    site.gate.keys.take([(newest, CardKeys(gate_key=bytes(16), file_key=bytes(16)))])
    release = make_release(
        tuple(second_keys(SITE, [EV2])),
        {"north-1": keys.public_bytes(keys.load_private_key(site.folder / "north-1.pem"))},
        keep_others=True,
    )
    site.lay(DocumentKind.CARDS, 1, release)
    site.arrivals.look()
    kept = site.gate.keys.keys_of(newest)
    assert kept is not None
    assert kept.gate_key_no == 3
    assert site.gate.keys.keys_of(EV2) == kiosk_keys(SITE, EV2, second=True)


def test_revocations_and_roster_come_into_force_and_only_forward(site: Site) -> None:
    """A revoked card stays revoked through a roster that forgot it, until it is reinstated; versions never go back."""
    site.open_central()
    card = issued(EV2)
    revoked = {"v": 1, "cards": [{"uid": EV2.hex(), "why": "lost"}], "reinstated": [], "passes": ["0011223344556677"]}
    site.publish("revocations", 1, json.dumps(revoked).encode())
    site.sync("north-1", "revocations", 1)
    site.arrivals.look()
    assert site.gate.tapped("ev2", card).refusal is Reason.CARD_REVOKED
    assert site.withdrawn == {bytes.fromhex("0011223344556677")}
    roster = f"person_id,category,card_uid,card_strength\nR-0,resident,{EV2.hex()},ev2\n".encode()
    site.publish("roster", 1, roster)
    site.sync("north-1", "roster", 1)
    site.arrivals.look()
    assert site.gate.roster.counts()[:2] == (1, 1)
    assert site.gate.roster.find_card(OLD) is None
    assert site.gate.tapped("ev2", card).refusal is Reason.CARD_REVOKED
    back = {"v": 1, "cards": [], "reinstated": [EV2.hex()], "passes": []}
    site.publish("revocations", 2, json.dumps(back).encode())
    site.sync("north-1", "revocations", 2)
    site.arrivals.look()
    assert site.gate.tapped("ev2", card).refusal is None
    assert [note["version"] for note in site.notes] == [1, 1, 2]
    assert json.loads((site.folder / "gate" / STATE).read_text()) == {"revocations": 2, "roster": 1}


def test_what_is_not_whole_changes_nothing_and_is_an_alarm(site: Site) -> None:
    """A roster with a bad line; a body changed on the disk; an older version laid there: refused once, and told."""
    before = site.gate.roster.counts()
    site.lay(DocumentKind.ROSTER, 1, b"person_id,category,card_uid\nR-9,resident,no number\n")
    site.arrivals.look()
    site.arrivals.look()
    assert site.gate.roster.counts() == before
    assert [alarm["code"] for alarm in site.alarms] == ["document_refused"]
    assert site.arrivals.alarms == ("document_refused",)
    with pytest.raises(GatepostError):
        site.publish("revocations", 1, b'{"v": 1}')
    good = {"v": 1, "cards": [], "reinstated": [], "passes": []}
    site.lay(DocumentKind.REVOCATIONS, 1, json.dumps(good).encode())
    (site.folder / "north-1" / "revocations" / "body").write_bytes(
        b'{"v":1,"cards":[],"reinstated":[],"passes":["00"]}'
    )
    site.arrivals.look()
    assert len(site.alarms) == 2
    assert site.notes == []


def test_the_way_from_document_to_store_runs_by_itself(site: Site) -> None:
    """The thread of its own takes what arrives, and tells withdrawn passes again after a start."""
    revoked = {"v": 1, "cards": [], "reinstated": [], "passes": ["0011223344556677"]}
    site.lay(DocumentKind.REVOCATIONS, 1, json.dumps(revoked).encode())
    site.arrivals.look()
    site.withdrawn.clear()
    site.arrivals.start()
    for _ in range(200):
        if site.withdrawn:
            break
        threading.Event().wait(0.02)
    site.arrivals.stop()
    assert site.withdrawn == {bytes.fromhex("0011223344556677")}
