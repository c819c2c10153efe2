"""How a signed document (``kiosk/signed_document.py``) is asked for and told on the wire. Pure."""

from __future__ import annotations

from typing import Any

from kiosk import signed_document
from kiosk.records import canonical
from kiosk.signed_document import MAX_BODY_BYTES, DocumentError, DocumentKind, Manifest
from sync.errors import WireError

MANIFEST_HEADER = "Gatepost-Manifest"
FETCH_CONTEXT = b"gatepost/fetch/1\n"


def kind_of(text: Any) -> DocumentKind:
    """The kind named ``text``; raises WireError (404) for any other word."""
    try:
        return DocumentKind(text)
    except ValueError:
        raise WireError("document kind", status=404, seen=str(text)[:40], expected=", ".join(DocumentKind)) from None


def fetch_statement(kiosk_id: str, kind: DocumentKind, request: str) -> bytes:
    """What a kiosk signs to be given a document."""
    return canonical({"kiosk_id": kiosk_id, "kind": str(kind), "request": request})


def read_manifest(body: bytes) -> Manifest:
    """The manifest in canonical JSON ``body``; raises WireError for anything else."""
    try:
        return Manifest.parse(body)
    except DocumentError as error:
        raise _told(error) from error


def check_manifest(manifest_bytes: bytes, signature: bytes, *, authority: bytes, wanted: DocumentKind) -> Manifest:
    """As :func:`kiosk.signed_document.check_manifest`; raises WireError."""
    try:
        return signed_document.check_manifest(manifest_bytes, signature, authority=authority, wanted=wanted)
    except DocumentError as error:
        raise _told(error) from error


def check_document(
    manifest_bytes: bytes, signature: bytes, body: bytes, *, authority: bytes, wanted: DocumentKind, held: int
) -> Manifest:
    """As :func:`kiosk.signed_document.check_document`; raises WireError."""
    try:
        return signed_document.check_document(
            manifest_bytes, signature, body, authority=authority, wanted=wanted, held=held
        )
    except DocumentError as error:
        raise _told(error) from error


def _told(error: DocumentError) -> WireError:
    return WireError(error.thing, seen=error.seen, expected=error.expected, hint=error.hint)


__all__ = [
    "FETCH_CONTEXT",
    "MANIFEST_HEADER",
    "MAX_BODY_BYTES",
    "DocumentKind",
    "Manifest",
    "check_document",
    "check_manifest",
    "fetch_statement",
    "kind_of",
    "read_manifest",
]
