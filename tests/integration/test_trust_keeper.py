"""The trust store of a running gate: by network or stick, never backwards, a shorter list only with a guard's word."""

from __future__ import annotations

import base64
import errno
import os
import threading
import time
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from config.settings import load_settings
from kiosk import trust_keeper
from kiosk.credentials import CodeReason, CodeState, verify_health_code
from kiosk.credentials.bundle import AgeLight, make_bundle
from kiosk.credentials.bundle_folder import BundleFolder
from kiosk.credentials.trust import TrustStore
from kiosk.demo.codes import DemoIssuer, DemoPerson
from kiosk.journal import JournalReader
from kiosk.records import Kind, PayloadClass, Stream
from kiosk.run import build
from kiosk.signed_document import DocumentKind
from kiosk.trust_keeper import DAMAGED, REFUSED, SHRUNK, Sources, TrustKeeper
from tests.integration.test_sync_documents import Shelf, downlink, signed

NOW = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
ROOT = Ed25519PrivateKey.from_private_bytes(bytes(32))
PUBLIC = ROOT.public_key().public_bytes_raw()
PERSON = DemoPerson(surname="Li", given="Wei", birth_date="1980-01-01")
TEN_KEYS = {
    "community_keys.json": b'{"keys": ['
    + b",".join(
        b'{"name": "k", "use": ["code"], "public_key": "%s", "not_before": "2026-01-01T00:00:00+00:00",'
        b' "not_after": "2027-01-01T00:00:00+00:00"}'
        % base64.b64encode(Ed25519PrivateKey.from_private_bytes(bytes([n]) * 32).public_key().public_bytes_raw())
        for n in range(10)
    )
    + b"]}"
}


def bundle(version: int, files: dict[str, bytes], *, root: Ed25519PrivateKey = ROOT, at: datetime = NOW) -> bytes:
    """A bundle of that version; each is made an hour after the one before."""
    return make_bundle(
        files,
        version=version,
        created_at=at + timedelta(hours=version),
        next_update=at + timedelta(days=7),
        root_keys=[root],
    )


class Kiosk:
    """A keeper with its sources, and everything that it told."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.document = folder / "documents/trust/body"
        self.stick = folder / "stick"
        self.notes: list[dict[str, Any]] = []
        self.stores: list[TrustStore] = []
        self.keeper = self.restarted()

    def restarted(self) -> TrustKeeper:
        self.keeper = TrustKeeper(
            BundleFolder(self.folder / "trust", (PUBLIC,)),
            Sources(document=self.document, stick=self.stick),
            match_key=bytes(32),
            red_after=timedelta(days=7),
            put=self.stores.append,
            note=self.notes.append,
        )
        return self.keeper

    def by_network(self, data: bytes) -> None:
        self.document.parent.mkdir(parents=True, exist_ok=True)
        self._write(self.document, data)

    def by_stick(self, data: bytes, name: str = "new.trust") -> None:
        self.stick.mkdir(exist_ok=True)
        self._write(self.stick / name, data)

    def _write(self, path: Path, data: bytes) -> None:
        path.write_bytes(data)
        # Two writes within the file system's clock tick would look alike.
        at_ns = time.time_ns() + len(self.notes) * 1_000_000_000
        os.utime(path, ns=(at_ns, at_ns))
        self.keeper.look()


@pytest.fixture
def kiosk(tmp_path: Path) -> Kiosk:
    return Kiosk(tmp_path)


def test_a_bundle_by_network_and_a_newer_one_by_stick(kiosk: Kiosk) -> None:
    """Each is swapped in whole and journaled with its way; the store is there again after a restart."""
    assert kiosk.keeper.store.key_count() == 0
    kiosk.by_network(bundle(1, TEN_KEYS))
    kiosk.by_stick(bundle(2, TEN_KEYS))
    assert [(note["event"], note["source"], note["version"]) for note in kiosk.notes] == [
        ("trust_in_force", "network", 1),
        ("trust_in_force", "stick", 2),
    ]
    assert [store.key_count() for store in kiosk.stores] == [10, 10]
    kiosk.restarted().look()
    assert kiosk.keeper.store.key_count() == 10
    assert len(kiosk.notes) == 2


def test_an_old_stick_is_no_news_and_nothing_goes_back(kiosk: Kiosk) -> None:
    """Last month's stick, plugged in again, changes nothing and raises no alarm."""
    kiosk.by_network(bundle(5, TEN_KEYS))
    kiosk.by_stick(bundle(4, {}))
    assert kiosk.keeper.status().state.version == 5
    assert kiosk.keeper.alarms == ()
    assert len(kiosk.notes) == 1


@pytest.mark.parametrize("what", ["foreign root", "one byte changed", "no bundle"])
def test_what_is_not_genuine_is_refused_told_once_and_forgotten_with_its_stick(kiosk: Kiosk, what: str) -> None:
    """The store stays, the console says so, and pulling the stick ends the alarm."""
    kiosk.by_network(bundle(1, TEN_KEYS))
    good = bytearray(bundle(2, TEN_KEYS))
    good[-1] ^= 1
    foreign = bundle(2, TEN_KEYS, root=Ed25519PrivateKey.from_private_bytes(bytes([7]) * 32))
    kiosk.by_stick({"foreign root": foreign, "one byte changed": bytes(good), "no bundle": b"\x00" * 100}[what])
    kiosk.keeper.look()
    assert kiosk.keeper.alarms == (REFUSED,)
    assert [note["event"] for note in kiosk.notes] == ["trust_in_force", "trust_refused"]
    assert kiosk.keeper.status().state.version == 1
    (kiosk.stick / "new.trust").unlink()
    kiosk.keeper.look()
    assert kiosk.keeper.alarms == ()


def test_a_broken_stick_is_an_alarm_and_keeps_no_bundle_of_the_network_out(
    kiosk: Kiosk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stick whose files cannot be listed: the network's bundle counts, and the console says what is wrong."""
    real = os.listdir

    def broken(path: Any) -> list[str]:
        if Path(path) == kiosk.stick:
            raise OSError(errno.EIO, "Input/output error", str(path))
        return real(path)

    monkeypatch.setattr(os, "listdir", broken)
    kiosk.by_network(bundle(1, TEN_KEYS))
    assert kiosk.keeper.store.key_count() == 10
    assert kiosk.keeper.alarms == ("trust_refused",)
    assert "Input/output error" in kiosk.keeper.status().refused
    monkeypatch.undo()
    kiosk.keeper.look()
    assert (kiosk.keeper.alarms, kiosk.keeper.status().refused) == ((), "")


def test_a_far_shorter_list_waits_for_a_guards_word(kiosk: Kiosk) -> None:
    """Nine tenths of the keys gone: somebody says that it is meant, and the record says who."""
    kiosk.by_network(bundle(1, TEN_KEYS))
    kiosk.by_network(bundle(2, {"community_keys.json": b'{"keys": []}'}))
    assert kiosk.keeper.alarms == (SHRUNK,)
    assert "0 keys" in kiosk.keeper.status().waiting
    assert kiosk.keeper.status().state.version == 1
    assert kiosk.keeper.confirm("wang")
    assert not kiosk.keeper.confirm("wang")
    assert kiosk.keeper.status().state.version == 2
    assert [(note["event"], note.get("guard", "")) for note in kiosk.notes] == [
        ("trust_in_force", ""),
        ("trust_waits", ""),
        ("trust_in_force", "wang"),
    ]


def test_a_revocation_outlives_the_bundle_that_forgot_it(kiosk: Kiosk, tmp_path: Path) -> None:
    """The code stays refused in the running store, without a restart."""
    issuer = DemoIssuer.create(NOW)
    text = issuer.hcert(PERSON, issued_at=NOW, expires_at=NOW + timedelta(days=30))
    later = NOW + timedelta(hours=3)
    for version, revoked in ((1, [text]), (2, [])):
        issuer.write_trust_folder(tmp_path / "lists", revoked=revoked)
        kiosk.by_network(bundle(version, {p.name: p.read_bytes() for p in (tmp_path / "lists").glob("*.json")}))
        verdict = verify_health_code(text, kiosk.stores[-1], later)
        assert (verdict.state, verdict.reason) == (CodeState.INVALID, CodeReason.REVOKED)


def test_what_sync_put_in_force_is_what_the_gate_takes(kiosk: Kiosk) -> None:
    """The document of the central, twice: the folder and the link of the one are what the other looks at."""
    shelf = Shelf()
    for version in (1, 2):
        shelf.document = signed(DocumentKind.TRUST, version, bundle(version, TEN_KEYS))
        downlink(kiosk.folder / "documents", shelf).fetch(DocumentKind.TRUST, f"a{version}")
        kiosk.keeper.look()
    assert [(note["source"], note["version"]) for note in kiosk.notes] == [("network", 1), ("network", 2)]


@pytest.mark.parametrize("name", ["state.json", "current/community_keys.json"])
def test_a_damaged_copy_trusts_nothing_takes_nothing_and_stops_nothing(kiosk: Kiosk, name: str) -> None:
    """The gate starts all the same: cards open, no code is trusted, the console says what to repair."""
    kiosk.by_network(bundle(1, TEN_KEYS))
    (kiosk.folder / "trust" / name).write_text("{")
    keeper = kiosk.restarted()
    kiosk.by_stick(bundle(2, TEN_KEYS))
    assert keeper.alarms == (DAMAGED,)
    assert keeper.store.key_count() == 0
    assert len(kiosk.notes) == 1
    assert name.rpartition("/")[2] in keeper.status().refused


def test_the_age_light(kiosk: Kiosk) -> None:
    """Red before the first bundle, green until the announced update, amber for a week, then red."""
    assert kiosk.keeper.age(NOW).light is AgeLight.RED
    kiosk.by_network(bundle(1, TEN_KEYS))
    ages = [kiosk.keeper.age(NOW + timedelta(days=days)) for days in (1, 8, 14)]
    assert [(age.light, age.days) for age in ages] == [
        (AgeLight.GREEN, 6),
        (AgeLight.AMBER, -1),
        (AgeLight.RED, -7),
    ]


GATE = """
[site]
kiosk_id = "trust-1"
[state]
folder = "{folder}/state"
[policy]
file = "code_check"
[trust]
roots = ["{root}"]
stick = "{folder}/stick"
[keys]
community = "{folder}/community.key"
[web]
port = 0
[[lane]]
name = "in"
  [lane.camera]
  source = "folder"
  path = "{folder}/pictures"
  follow = true
"""


def test_a_running_gate_takes_what_sync_brought_and_what_a_stick_brings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The document in sync's folder is in force at once, the stick's when it is plugged in; both are in the journal."""
    monkeypatch.setattr(trust_keeper, "LOOK_EVERY_S", 0.05)
    for name in ("pictures", "stick", "state"):
        (tmp_path / name).mkdir(mode=0o700)
    (tmp_path / "community.key").write_bytes(bytes(range(32)))
    (tmp_path / "community.key").chmod(0o600)
    document = tmp_path / "state/documents/trust/body"
    document.parent.mkdir(parents=True)
    today = datetime.now(UTC) - timedelta(days=1)
    document.write_bytes(bundle(1, TEN_KEYS, at=today))
    config = tmp_path / "gate.toml"
    config.write_text(GATE.format(folder=tmp_path, root=base64.b64encode(PUBLIC).decode()))
    with ExitStack() as stack:
        gate = build(load_settings(config, {}).settings, stack)
        thread = threading.Thread(target=gate.run)
        thread.start()
        stack.callback(thread.join, 10)
        stack.callback(gate.stop)
        assert versions(tmp_path / "state/journal.db", 1) == [1]
        (tmp_path / "stick/march.trust").write_bytes(bundle(2, TEN_KEYS, at=today))
        assert versions(tmp_path / "state/journal.db", 2) == [1, 2]


def versions(journal: Path, count: int) -> list[int]:
    """The versions of the trust store that the journal tells of, once there are ``count``."""
    reader = JournalReader(journal)
    deadline = time.monotonic() + 30
    found: list[int] = []
    try:
        while len(found) < count and time.monotonic() < deadline:
            incarnation = next(iter(reader.positions()))[0]
            records = reader.slice(incarnation, Stream.DIAGNOSTIC, 0).records
            facts = [r.payloads[PayloadClass.FACTS].body or {} for r in records if r.kind is Kind.POLICY]
            found = [body["version"] for body in facts if body.get("event") == "trust_in_force"]
            time.sleep(0.02)
    finally:
        reader.close()
    return found
