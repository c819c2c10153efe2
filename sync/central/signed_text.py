"""A document as the authority signed it, as one text: made where the key is kept, pasted into the central's page.

JSON with ``manifest``, ``signature``, ``body`` and the authority's public key, each in base64. So the private key need
never be on the central, nor a shell on it be given to whoever publishes.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Connection, select

from kiosk.signed_document import SNAPSHOT_CONTEXT, DocumentKind
from sync import keys
from sync.central.offers import newest_versions
from sync.central.tables import Document, table
from sync.document import Manifest, check_document
from sync.errors import WireError

documents = table(Document)

MAX_TEXT_CHARS = 120_000
_PARTS = ("manifest", "signature", "body", "authority")


@dataclass(frozen=True, slots=True)
class SignedText:
    """What the text holds; nothing of it is believed yet. ``authority`` is a public key, 32 raw bytes."""

    manifest: bytes
    signature: bytes
    body: bytes
    authority: bytes

    @classmethod
    def sign(cls, kind: DocumentKind, version: int, body: bytes, made_us: int, key: Ed25519PrivateKey) -> SignedText:
        """Sign ``body`` as document ``version``, which is 1 or more; ``made_us`` is UTC in microseconds."""
        manifest = Manifest.of(kind, version, body, made_us).to_bytes()
        return cls(manifest, keys.sign(key, SNAPSHOT_CONTEXT, manifest), body, keys.public_bytes(key))

    @classmethod
    def read(cls, text: str) -> SignedText:
        """Raises WireError for a text of another form, or of more than 120,000 characters."""
        if len(text) > MAX_TEXT_CHARS:
            raise WireError("signed text", status=413, seen=f"{len(text)} characters", expected=f"≤ {MAX_TEXT_CHARS}")
        try:
            parts = json.loads(text)
            return cls(*(base64.b64decode(parts[name], validate=True) for name in _PARTS))
        except (ValueError, KeyError, TypeError, RecursionError):
            raise WireError("signed text", seen=text[:40], expected="what gatepost-central policy sign wrote") from None

    def __str__(self) -> str:
        """The text, one line."""
        return json.dumps({name: base64.b64encode(getattr(self, name)).decode("ascii") for name in _PARTS})


def check_signed(connection: Connection, signed: SignedText, kind: DocumentKind) -> Manifest:
    """The manifest, if the authority of the documents on offer signed it under the next number; else WireError.

    Which authority that is the documents say that are there; of the very first one the kiosks alone can tell.
    """
    newest = int(newest_versions(connection).get(str(kind), "0"))
    try:
        manifest = check_document(
            signed.manifest, signed.signature, signed.body, authority=signed.authority, wanted=kind, held=0
        )
    except WireError as error:
        raise WireError("signed text", seen=str(error)[:200], expected=f"a signed {kind}") from error
    if manifest.version != newest + 1:
        raise WireError("document number", status=409, seen=str(manifest.version), expected=str(newest + 1))
    before = connection.execute(
        select(documents.c.manifest, documents.c.signature).order_by(documents.c.published_us.desc()).limit(1)
    ).first()
    if before is not None and not keys.verify(
        signed.authority, SNAPSHOT_CONTEXT, bytes(before.manifest), bytes(before.signature)
    ):
        raise WireError("authority", status=409, seen="another key", expected="the one that signed what is on offer")
    return manifest
