"""What comes down: signed, numbered, never backwards, swapped in whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Connection, select
from starlette.testclient import TestClient

from kiosk.signed_document import SNAPSHOT_CONTEXT
from sync import keys
from sync.central.app import create_app
from sync.central.documents import publish
from sync.central.store import Store
from sync.central.tables import Document, table
from sync.document import DocumentKind, Manifest, check_document
from sync.downlink import Downlink, load_authority
from sync.errors import KeyFileError, LinkError, WireError
from sync.uplink import FetchedDocument, FetchRequest, Uplink
from tests.fakes import MORNING_US
from tests.sync_kit import KEY, KIOSK, MemoryCentral

AUTHORITY = Ed25519PrivateKey.from_private_bytes(bytes(range(32, 64)))
AUTHORITY_PUBLIC = keys.public_bytes(AUTHORITY)


def signed(kind: DocumentKind, version: int, body: bytes, key: Ed25519PrivateKey = AUTHORITY) -> FetchedDocument:
    manifest = Manifest.of(kind, version, body, MORNING_US).to_bytes()
    return FetchedDocument(manifest=manifest, signature=keys.sign(key, SNAPSHOT_CONTEXT, manifest), body=body)


def offer(connection: Connection, document: FetchedDocument) -> None:
    """The central takes it in."""
    publish(
        connection,
        MORNING_US,
        manifest_bytes=document.manifest,
        signature=document.signature,
        body=document.body,
        authority=AUTHORITY_PUBLIC,
        by="test",
    )


class Shelf:
    """A link that hands out one prepared document."""

    def __init__(self) -> None:
        self.document: FetchedDocument | None = None

    def fetch(self, request: FetchRequest) -> FetchedDocument | None:
        return self.document


def downlink(folder: Path, link: Any) -> Downlink:
    return Downlink(folder, kiosk_id=KIOSK, private_key=KEY, authority=AUTHORITY_PUBLIC, link=link)


def test_a_newer_document_comes_into_force_and_stays_after_a_restart(tmp_path: Path) -> None:
    """Body and version are there, the old folder is gone, and a new process finds the same."""
    shelf = Shelf()
    down = downlink(tmp_path, shelf)
    for version in (3, 4):
        shelf.document = signed(DocumentKind.POLICY, version, b"rules %d" % version)
        assert down.fetch(DocumentKind.POLICY, "r") == version
    assert (tmp_path / "policy" / "body").read_bytes() == b"rules 4"
    assert not (tmp_path / "policy-3").exists()
    assert downlink(tmp_path, shelf).held() == {"policy": "4"}


@pytest.mark.parametrize(
    "bad",
    [
        signed(DocumentKind.POLICY, 6, b"forged", KEY),
        signed(DocumentKind.POLICY, 5, b"same version, other rules"),
        signed(DocumentKind.POLICY, 4, b"older"),
        signed(DocumentKind.ROSTER, 6, b"another kind"),
        FetchedDocument(
            manifest=signed(DocumentKind.POLICY, 6, b"whole").manifest,
            signature=signed(DocumentKind.POLICY, 6, b"whole").signature,
            body=b"whol",
        ),
        FetchedDocument(manifest=b"{}", signature=keys.sign(AUTHORITY, SNAPSHOT_CONTEXT, b"{}"), body=b""),
    ],
    ids=["forged", "same", "older", "other kind", "cut", "empty manifest"],
)
def test_what_does_not_check_changes_nothing(tmp_path: Path, bad: FetchedDocument) -> None:
    """Forged, equal, older, mixed and cut documents leave version 5 in force."""
    shelf = Shelf()
    down = downlink(tmp_path, shelf)
    shelf.document = signed(DocumentKind.POLICY, 5, b"rules 5")
    down.fetch(DocumentKind.POLICY, "r")
    shelf.document = bad
    with pytest.raises(WireError):
        down.fetch(DocumentKind.POLICY, "r")
    assert (tmp_path / "policy" / "body").read_bytes() == b"rules 5"
    assert down.held() == {"policy": "5"}


def test_a_document_altered_on_disk_counts_as_nothing(tmp_path: Path) -> None:
    """It is fetched again rather than believed."""
    shelf = Shelf()
    down = downlink(tmp_path, shelf)
    shelf.document = signed(DocumentKind.TRUST, 5, b"keys")
    down.fetch(DocumentKind.TRUST, "r")
    (tmp_path / "trust" / "body").write_bytes(b"other keys")
    again = downlink(tmp_path, shelf)
    assert again.held() == {}
    assert again.wanted({"trust": "5", "policy": "0", "roster": "x"}) == [DocumentKind.TRUST]


def test_a_roster_whose_text_the_gate_erased_is_held_until_the_gate_needs_it(tmp_path: Path) -> None:
    """Nothing is fetched anew at each start of sync; without its link, or with another manifest, it is."""
    shelf = Shelf()
    down = downlink(tmp_path, shelf)
    for kind in (DocumentKind.ROSTER, DocumentKind.REVOCATIONS):
        shelf.document = signed(kind, 5, b"people")
        down.fetch(kind, "r")
        (tmp_path / kind / "body").unlink()
    again = downlink(tmp_path, shelf)
    assert again.held() == {"roster": "5"}
    assert again.wanted({"roster": "5"}) == []
    (tmp_path / "roster").unlink()
    assert again.wanted({"roster": "5"}) == [DocumentKind.ROSTER]
    shelf.document = signed(DocumentKind.ROSTER, 5, b"people")
    assert again.fetch(DocumentKind.ROSTER, "r") == 5
    assert (tmp_path / "roster/body").read_bytes() == b"people"
    (tmp_path / "roster/body").unlink()
    (tmp_path / "roster/manifest").write_bytes(signed(DocumentKind.ROSTER, 6, b"people").manifest)
    assert downlink(tmp_path, shelf).held() == {}


def test_a_crash_before_the_swap_leaves_the_old_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rename of the link is the only moment at which anything changes."""
    shelf = Shelf()
    down = downlink(tmp_path, shelf)
    shelf.document = signed(DocumentKind.POLICY, 1, b"one")
    down.fetch(DocumentKind.POLICY, "r")
    shelf.document = signed(DocumentKind.POLICY, 2, b"two")

    def fails(self: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", fails)
    with pytest.raises(LinkError):
        down.fetch(DocumentKind.POLICY, "r")
    monkeypatch.undo()
    assert (tmp_path / "policy" / "body").read_bytes() == b"one"
    again = downlink(tmp_path, shelf)
    assert again.held() == {"policy": "1"}
    assert again.fetch(DocumentKind.POLICY, "r") == 2


def test_revocations_go_first(tmp_path: Path) -> None:
    """When several are offered, the one that keeps somebody out is fetched first; what is no number is no offer."""
    shelf = Shelf()
    down = downlink(tmp_path, shelf)
    for kind in (DocumentKind.POLICY, DocumentKind.ROSTER, DocumentKind.REVOCATIONS, DocumentKind.TRUST):
        shelf.document = signed(kind, 1, b"one")
        down.fetch(kind, "r")
    offers = {"policy": "2", "roster": "3", "revocations": "9", "trust": "1"}
    assert down.wanted(offers) == [DocumentKind.REVOCATIONS, DocumentKind.ROSTER, DocumentKind.POLICY]
    assert down.wanted({"policy": "x", "roster": ""}) == []


def test_the_authoritys_key_file(tmp_path: Path) -> None:
    """A public key in PEM; anything else is named."""
    path = tmp_path / "authority.pem"
    path.write_bytes(
        AUTHORITY.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    assert load_authority(path) == AUTHORITY_PUBLIC
    path.write_text("nonsense")
    with pytest.raises(KeyFileError):
        load_authority(path)


def test_the_central_gives_the_newest_to_its_kiosks_only(tmp_path: Path) -> None:
    """Over HTTP: 304 when held, 401 without the kiosk's signature, and the whole document otherwise."""
    store = Store(tmp_path / "central.db")
    helper = MemoryCentral(lambda: None, store=store)
    helper._now_us = lambda: MORNING_US  # type: ignore[method-assign]
    helper.admit(KIOSK)
    with store.writing() as connection:
        for version in (1, 2):
            offer(connection, signed(DocumentKind.ROSTER, version, b"cards %d" % version))
        with pytest.raises(WireError):
            offer(connection, signed(DocumentKind.ROSTER, 2, b"again"))
    with TestClient(create_app(store), base_url="http://127.0.0.1") as client:
        link = Uplink("http://127.0.0.1")
        link._client = client  # type: ignore[assignment]
        down = downlink(tmp_path / "documents", link)
        assert down.fetch(DocumentKind.ROSTER, "a1") == 2
        assert (tmp_path / "documents" / "roster" / "body").read_bytes() == b"cards 2"
        assert down.fetch(DocumentKind.ROSTER, "a2") == 2
        with pytest.raises(LinkError, match="404"):
            down.fetch(DocumentKind.TRUST, "a3")
        down._key = Ed25519PrivateKey.generate()
        down._held[DocumentKind.ROSTER] = 0
        with pytest.raises(LinkError, match="401"):
            down.fetch(DocumentKind.ROSTER, "a4")


def test_versions_never_go_back() -> None:
    """Equal is not newer."""
    document = signed(DocumentKind.POLICY, 7, b"x")
    arguments: dict[str, Any] = {"authority": AUTHORITY_PUBLIC, "wanted": DocumentKind.POLICY}
    assert check_document(document.manifest, document.signature, document.body, **arguments, held=6).version == 7
    for held in (7, 8):
        with pytest.raises(WireError, match="above"):
            check_document(document.manifest, document.signature, document.body, **arguments, held=held)


def test_what_nobody_is_offered_again_is_erased(central_database: str) -> None:
    """Who moved away goes from the central with the next roster; what was signed stays, and policies stay whole."""
    store = Store(central_database)
    with store.writing() as connection:
        for kind in DocumentKind:
            for version in (1, 2, 3):
                offer(connection, signed(kind, version, f'version = "{kind}-{version}"'.encode()))
    with store.reading() as connection:
        rows = list(connection.execute(select(table(Document)).order_by("version")))
    whole = {kind: [row.version for row in rows if row.kind == kind and row.body] for kind in DocumentKind}
    assert whole == {
        DocumentKind.ROSTER: [3],
        DocumentKind.REVOCATIONS: [3],
        DocumentKind.CARDS: [3],
        DocumentKind.POLICY: [1, 2, 3],
        DocumentKind.TRUST: [1, 2, 3],
    }
    for row in rows:
        assert keys.verify(AUTHORITY_PUBLIC, SNAPSHOT_CONTEXT, bytes(row.manifest), bytes(row.signature))
    store.close()
