"""A document that comes down: roster, revocations, policy, … as one signed, numbered snapshot. Pure.

The *manifest* (kind, version, SHA-256 and size of the body) is signed by the site's authority, whose private key
need not be on the central: a central that was broken into can withhold a document, never forge one. A version never
goes back, and a body that is not wholly the one of its manifest is never applied. Sync checks a document when it brings
it, the gate checks it again when it applies it: the program that talks to the network is not believed either.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from config.errors import GatepostError
from kiosk.records import canonical

MAX_BODY_BYTES = 8 * 1024 * 1024
MAX_MANIFEST_BYTES = 1024
SNAPSHOT_CONTEXT = b"gatepost/snapshot/1\n"
_FIELDS: dict[str, type] = {"v": int, "kind": str, "version": int, "sha256": str, "size": int, "made_us": int}


class DocumentError(GatepostError):
    """Not what the authority signed, or older than what is held."""


class DocumentKind(StrEnum):
    """What comes down."""

    ROSTER = "roster"
    REVOCATIONS = "revocations"
    POLICY = "policy"
    TRUST = "trust"
    CARDS = "cards"


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
        """The manifest in canonical JSON ``body``; raises DocumentError for anything else."""
        if len(body) > MAX_MANIFEST_BYTES:
            raise DocumentError("manifest", seen=f"{len(body)} bytes", expected=f"at most {MAX_MANIFEST_BYTES}")
        try:
            fields: Any = json.loads(body)
            if not isinstance(fields, dict) or {name: type(value) for name, value in fields.items()} != _FIELDS:
                raise ValueError("other fields")
            manifest = cls(
                kind=DocumentKind(fields["kind"]),
                version=fields["version"],
                sha256=bytes.fromhex(fields["sha256"]),
                size=fields["size"],
                made_us=fields["made_us"],
            )
            good = fields["v"] == 1 and manifest.version >= 1 and 0 <= manifest.size <= MAX_BODY_BYTES
            # Equality with the bytes received rules out repeated names and other spacing as well.
            if not good or len(manifest.sha256) != 32 or manifest.to_bytes() != body:
                raise ValueError("other values")
        except (ValueError, RecursionError, GatepostError) as error:
            raise DocumentError(
                "manifest", seen=str(error)[:120], expected=f"version 1 or more, size to {MAX_BODY_BYTES}"
            ) from None
        return manifest


def check_document(
    manifest_bytes: bytes, signature: bytes, body: bytes, *, authority: bytes, wanted: DocumentKind, held: int
) -> Manifest:
    """The manifest, if the authority (32 raw bytes of an Ed25519 key) signed it and everything fits.

    Raises DocumentError for another signature, kind, size or hash, and for a version that is not above ``held``.
    """
    manifest = check_manifest(manifest_bytes, signature, authority=authority, wanted=wanted)
    if manifest.version <= held:
        raise DocumentError(f"{wanted} document", seen=f"version {manifest.version}", expected=f"above {held}")
    if len(body) != manifest.size or hashlib.sha256(body).digest() != manifest.sha256:
        raise DocumentError(f"{wanted} document", seen=f"{len(body)} bytes of another body", expected="the manifest's")
    return manifest


def check_manifest(manifest_bytes: bytes, signature: bytes, *, authority: bytes, wanted: DocumentKind) -> Manifest:
    """The manifest of a document whose text is not at hand, if the authority signed it.

    Raises DocumentError for another signature or kind.
    """
    try:
        Ed25519PublicKey.from_public_bytes(authority).verify(signature, SNAPSHOT_CONTEXT + manifest_bytes)
    except (InvalidSignature, ValueError):
        raise DocumentError(f"{wanted} document", seen="a signature that is not the authority's") from None
    manifest = Manifest.parse(manifest_bytes)
    if manifest.kind is not wanted:
        raise DocumentError(f"{wanted} document", seen=str(manifest.kind), expected=str(wanted))
    return manifest
