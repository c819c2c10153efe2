"""The kiosk's own copy of the newest policy that it accepted from the central: one file, signed as it came.

``policy-in-force.json`` in the state folder, mode 0600, written whole beside the old one and put in its place, so that
a power cut leaves the one or the other. It is checked against the authority's key each time it is read: whoever can
write into the folder can take it away, not forge it. The gate's sync keeps what it brought in ``documents``; that may
already be a newer one which this kiosk refused, so the gate does not start from there.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from pathlib import Path

from config.policy import Policy, parse_policy
from kiosk.durable_file import replace_file
from kiosk.signed_document import DocumentError, DocumentKind, Manifest, check_document

FILE = "policy-in-force.json"
MAX_FILE_BYTES = 512 * 1024


@dataclass(frozen=True, slots=True)
class SignedDocument:
    """A document with what the authority signed of it."""

    manifest: bytes
    signature: bytes
    body: bytes


def read_policy(folder: Path, authority: bytes) -> tuple[Manifest, Policy] | None:
    """The policy kept in ``folder``, None when none was ever accepted.

    Raises DocumentError for a file that cannot be read or was not signed by ``authority`` (32 raw bytes), ConfigError
    for a policy that this program does not understand.
    """
    kept = _read(folder / FILE)
    if kept is None:
        return None
    manifest = check_document(
        kept.manifest, kept.signature, kept.body, authority=authority, wanted=DocumentKind.POLICY, held=0
    )
    return manifest, parse_policy(kept.body, document_name(manifest.version))


def keep_policy(folder: Path, document: SignedDocument) -> None:
    """Keep this one, durably, in place of the one before. Raises OSError where the disk refuses."""
    parts = {
        "manifest": base64.b64encode(document.manifest).decode(),
        "signature": base64.b64encode(document.signature).decode(),
        "body": base64.b64encode(document.body).decode(),
    }
    replace_file(folder / FILE, json.dumps(parts).encode("ascii"))


def document_name(version: int) -> str:
    """How a policy of the central is called in errors."""
    return f"policy document {version}"


def _read(path: Path) -> SignedDocument | None:
    try:
        with path.open("rb") as file:
            body = file.read(MAX_FILE_BYTES + 1)
        if len(body) > MAX_FILE_BYTES:
            raise ValueError("too large")
        stored = json.loads(body)
        return SignedDocument(
            *(base64.b64decode(stored[name], validate=True) for name in ("manifest", "signature", "body"))
        )
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise DocumentError(
            str(path), seen=str(error)[:80] or type(error).__name__, expected="the policy that was accepted"
        ) from error
