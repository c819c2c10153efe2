"""The receiver: fetches documents that the central offers, checks them, and swaps them in whole.

    documents/policy           a symbolic link to the folder of the version in force
    documents/policy-17/body   the document
    documents/policy-17/manifest, signature

The link is replaced by a rename, so a reader sees the old version or the new one; a power cut in between leaves the
old. What is in force is checked again at start-up: a folder that was tampered with counts as nothing held. The gate
removes the text of a roster that it has put in force, and the link of a kind that it needs once more.
"""

from __future__ import annotations

import base64
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import structlog
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from kiosk.durable_file import new_file, sync_folder
from sync import keys
from sync.document import FETCH_CONTEXT, DocumentKind, Manifest, check_document, check_manifest, fetch_statement
from sync.errors import KeyFileError, LinkError, WireError
from sync.uplink import FetchedDocument, FetchRequest

log = structlog.get_logger("gatepost.sync")


class DocumentLink(Protocol):
    """What the downlink needs of ``sync.uplink.Uplink``."""

    def fetch(self, request: FetchRequest) -> FetchedDocument | None:
        """The document, or None when the central has nothing newer; raises LinkError."""
        ...


def load_authority(path: Path) -> bytes:
    """The authority's Ed25519 public key (PEM) as 32 raw bytes; raises KeyFileError."""
    try:
        key = serialization.load_pem_public_key(path.read_bytes()[: keys.MAX_KEY_FILE_BYTES])
    except (OSError, ValueError) as error:
        raise KeyFileError(f"authority key {path}", seen=str(error)[:120], expected="an Ed25519 public key") from error
    if not isinstance(key, Ed25519PublicKey):
        raise KeyFileError(f"authority key {path}", seen=type(key).__name__, expected="an Ed25519 public key")
    return key.public_bytes_raw()


class Downlink:
    """The documents of one kiosk in ``folder``."""

    def __init__(
        self, folder: Path, *, kiosk_id: str, private_key: Ed25519PrivateKey, authority: bytes, link: DocumentLink
    ) -> None:
        self._folder = folder
        self._kiosk_id = kiosk_id
        self._key = private_key
        self._authority = authority
        self._link = link
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._held = {kind: self._version_in_force(kind) for kind in DocumentKind}

    def held(self) -> dict[str, str]:
        """The versions in force, as told to the central."""
        self._look_for_gone()
        return {str(kind): str(version) for kind, version in self._held.items() if version}

    def wanted(self, offers: Mapping[str, str]) -> list[DocumentKind]:
        """Kinds of which the central offers a higher version; revocations first."""
        self._look_for_gone()
        newer = [
            kind
            for kind in DocumentKind
            if offers.get(kind, "").isdigit() and int(offers[kind][:15]) > self._held[kind]
        ]
        return sorted(newer, key=lambda kind: kind is not DocumentKind.REVOCATIONS)

    def fetch(self, kind: DocumentKind, request_id: str) -> int:
        """Get the newest document of a kind and put it in force; returns the version in force.

        Raises LinkError when it does not arrive, WireError when it is not what the authority signed or is older
        than what is held: then nothing changes.
        """
        request = FetchRequest(
            kind=str(kind),
            kiosk_id=self._kiosk_id,
            request=request_id,
            held=self._held[kind],
            signature=keys.sign(self._key, FETCH_CONTEXT, fetch_statement(self._kiosk_id, kind, request_id)),
        )
        found = self._link.fetch(request)
        if found is None:
            return self._held[kind]
        manifest = check_document(
            found.manifest, found.signature, found.body, authority=self._authority, wanted=kind, held=self._held[kind]
        )
        self._put_in_force(manifest, found)
        log.info("document in force", kind=str(kind), version=manifest.version)
        return manifest.version

    def _look_for_gone(self) -> None:
        for kind, version in self._held.items():
            if version and not (self._folder / str(kind)).exists():
                self._held[kind] = 0

    def _version_in_force(self, kind: DocumentKind) -> int:
        place = self._folder / str(kind)
        try:
            manifest = (place / "manifest").read_bytes()
            signature = base64.b64decode((place / "signature").read_bytes())
            if kind is DocumentKind.ROSTER and not (place / "body").exists():
                return check_manifest(manifest, signature, authority=self._authority, wanted=kind).version
            body = (place / "body").read_bytes()
            return check_document(manifest, signature, body, authority=self._authority, wanted=kind, held=0).version
        except (OSError, ValueError, WireError):
            return 0

    def _put_in_force(self, manifest: Manifest, found: FetchedDocument) -> None:
        name = f"{manifest.kind}-{manifest.version}"
        place = self._folder / name
        link, new_link = self._folder / str(manifest.kind), self._folder / f"{manifest.kind}.new"
        try:
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir(mode=0o700)
            for file, content in (
                ("body", found.body),
                ("manifest", found.manifest),
                ("signature", base64.b64encode(found.signature)),
            ):
                new_file(place / file, content)
            new_link.unlink(missing_ok=True)
            new_link.symlink_to(name)
            new_link.replace(link)
            sync_folder(self._folder)
        except OSError as error:
            raise LinkError(f"documents {self._folder}", seen=str(error), expected="a folder to write into") from error
        self._held[manifest.kind] = manifest.version
        for old in self._folder.glob(f"{manifest.kind}-*"):
            if old.name != name:
                shutil.rmtree(old, ignore_errors=True)
