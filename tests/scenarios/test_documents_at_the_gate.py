"""The real gate program takes a document that its sync brought, while it runs, and journals it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization

from config.settings import DOCUMENTS, load_settings
from kiosk.demo.programs import Programs
from kiosk.journal import JournalReader
from kiosk.records import PayloadClass, Stream
from kiosk.signed_document import SNAPSHOT_CONTEXT, DocumentKind, Manifest
from kiosk.site_stores import open_roster
from sync import keys
from sync.downlink import Downlink
from sync.uplink import FetchedDocument
from tests.fakes import MORNING_US
from tests.integration.test_sync_documents import Shelf

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("whole-gate"), pytest.mark.timeout(120)]

GATE = """
[site]
kiosk_id = "north-1"
[state]
folder = "{folder}/state"
[keys]
community = "{folder}/community.key"
kiosk = "{folder}/kiosk.pem"
[sync]
authority = "{folder}/authority.pub"
[web]
port = 0
[[lane]]
name = "in"
  [lane.camera]
  source = "folder"
  path = "{folder}/pictures"
  follow = true
"""


def facts(folder: Path, stream: Stream) -> list[dict[str, Any]]:
    """What the journal's records of a stream say."""
    reader = JournalReader(folder / "state/journal.db")
    try:
        incarnation = next(iter(reader.positions()))[0]
        bodies = [record.payloads[PayloadClass.FACTS].body for record in reader.slice(incarnation, stream, 0).records]
        return [body for body in bodies if body is not None]
    finally:
        reader.close()


def wait_for(what: Callable[[], bool]) -> None:
    """Until it holds; fails after twenty seconds."""
    deadline = time.monotonic() + 20
    while not what():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.05)


def test_a_list_that_arrives_is_in_force_within_seconds(tmp_path: Path) -> None:
    """The roster knows the revoked card, the journal who sent it; a list of another authority is an alarm."""
    (tmp_path / "pictures").mkdir()
    (tmp_path / "community.key").write_bytes(bytes(range(32)))
    (tmp_path / "community.key").chmod(0o600)
    kiosk_key = keys.generate_key(tmp_path / "kiosk.pem")
    authority, stranger = keys.generate_key(tmp_path / "authority.key"), keys.generate_key(tmp_path / "stranger.key")
    (tmp_path / "authority.pub").write_bytes(
        authority.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    config = tmp_path / "gate.toml"
    config.write_text(GATE.format(folder=tmp_path))
    settings = load_settings(config, {}).settings
    body = json.dumps({"v": 1, "cards": [{"uid": "04a1b2c3d4e501", "why": "lost"}], "reinstated": [], "passes": []})
    programs = Programs(tmp_path / "log")
    with ExitStack() as stack:
        stack.callback(programs.stop)
        programs.start("gate", "kiosk.cli", "run", "--config", str(config))
        programs.wait_for("its journal", (tmp_path / "state/journal.db").exists, program="gate")
        for version, signer in ((1, authority), (2, stranger)):
            manifest = Manifest.of(DocumentKind.REVOCATIONS, version, body.encode(), MORNING_US).to_bytes()
            shelf = Shelf()
            shelf.document = FetchedDocument(
                manifest=manifest, signature=keys.sign(signer, SNAPSHOT_CONTEXT, manifest), body=body.encode()
            )
            down = Downlink(
                settings.state.folder / DOCUMENTS,
                kiosk_id="north-1",
                private_key=kiosk_key,
                authority=keys.public_bytes(signer),
                link=shelf,
            )
            assert down.fetch(DocumentKind.REVOCATIONS, "r") == version
            if version == 1:
                wait_for(lambda: any(told.get("document") for told in facts(tmp_path, Stream.DIAGNOSTIC)))
        wait_for(lambda: any(told.get("code") == "document_refused" for told in facts(tmp_path, Stream.ALARM)))
    (told,) = [told for told in facts(tmp_path, Stream.DIAGNOSTIC) if told.get("document")]
    assert (told["document"], told["version"], told["cards"]) == ("revocations", 1, 1)
    with open_roster(settings) as roster:
        found = roster.find_card(bytes.fromhex("04a1b2c3d4e501"))
    assert found is not None
    assert found.revoked
