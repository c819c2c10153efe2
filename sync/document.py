"""A document that comes down: roster, revocations, policy or trust store as one signed, numbered snapshot. Pure.

The *manifest* (kind, version, SHA-256 and size of the body) is signed by the site's authority, whose private key
need not be on the central: a central that was broken into can withhold a document, never forge one. A version never
goes back, and a body that is not wholly the one of its manifest is never applied.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from kiosk.records import canonical
from sync import keys
from sync.batch import hash_of, loads_canonical, take
from sync.errors import WireError

MAX_BODY_BYTES = 8 * 1024 * 1024
MAX_MANIFEST_BYTES = 1024
MANIFEST_HEADER = "Gatepost-Manifest"
FETCH_CONTEXT = b"gatepost/fetch/1\n"


class DocumentKind(StrEnum):
    """What comes down."""

    ROSTER = "roster"
    REVOCATIONS = "revocations"
    POLICY = "policy"
    TRUST = "trust"


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What the authority signs. ``version`` is 1 or more and only rises; ``made_us`` is UTC in microseconds."""

    kind: DocumentKind
    version: int
    sha256: bytes
    size: int
    made_us: int

    def to_bytes(self) -> bytes:
        """Canonical JSON, ready to sign."""
        return canonical(
            {
                "v": 1,
                "kind": str(self.kind),
                "version": self.version,
                "sha256": self.sha256.hex(),
                "size": self.size,
                "made_us": self.made_us,
            }
        )

    @classmethod
    def of(cls, kind: DocumentKind, version: int, body: bytes, made_us: int) -> Manifest:
        """The manifest of ``body``."""
        return cls(kind=kind, version=version, sha256=hashlib.sha256(body).digest(), size=len(body), made_us=made_us)

    @classmethod
    def parse(cls, body: bytes) -> Manifest:
        """The manifest in canonical JSON ``body``; raises WireError for anything else."""
        fields = take(loads_canonical(body, max_bytes=MAX_MANIFEST_BYTES), "manifest", _FIELDS)
        if fields["v"] != 1 or fields["version"] < 1 or not 0 <= fields["size"] <= MAX_BODY_BYTES:
            raise WireError("manifest", seen=str(fields)[:120], expected=f"version 1 or more, size to {MAX_BODY_BYTES}")
        return cls(
            kind=kind_of(fields["kind"]),
            version=fields["version"],
            sha256=hash_of(fields["sha256"], "manifest sha256"),
            size=fields["size"],
            made_us=fields["made_us"],
        )


_FIELDS: dict[str, tuple[type, ...]] = {
    "v": (int,),
    "kind": (str,),
    "version": (int,),
    "sha256": (str,),
    "size": (int,),
    "made_us": (int,),
}


def kind_of(text: Any) -> DocumentKind:
    """The kind named ``text``; raises WireError (404) for any other word."""
    try:
        return DocumentKind(text)
    except ValueError:
        raise WireError("document kind", status=404, seen=str(text)[:40], expected=", ".join(DocumentKind)) from None


def fetch_statement(kiosk_id: str, kind: DocumentKind, request: str) -> bytes:
    """What a kiosk signs to be given a document."""
    return canonical({"kiosk_id": kiosk_id, "kind": str(kind), "request": request})


def check_document(
    manifest_bytes: bytes, signature: bytes, body: bytes, *, authority: bytes, wanted: DocumentKind, held: int
) -> Manifest:
    """The manifest, if the authority signed it and everything fits.

    Raises WireError for another signature, kind, size or hash, and for a version that is not above ``held``.
    """
    if not keys.verify(authority, keys.SNAPSHOT_CONTEXT, manifest_bytes, signature):
        raise WireError(f"{wanted} document", seen="a signature that is not the authority's")
    manifest = Manifest.parse(manifest_bytes)
    if manifest.kind is not wanted:
        raise WireError(f"{wanted} document", seen=str(manifest.kind), expected=str(wanted))
    if manifest.version <= held:
        raise WireError(f"{wanted} document", seen=f"version {manifest.version}", expected=f"above {held}")
    if len(body) != manifest.size or hashlib.sha256(body).digest() != manifest.sha256:
        raise WireError(f"{wanted} document", seen=f"{len(body)} bytes of another body", expected="the manifest's")
    return manifest
