"""The keyed pseudonym of a person, and the key that makes it: all that an issuer of codes needs of the community's key.

The key of pseudonyms follows from the community's 32 bytes (HKDF-SHA-256, RFC 5869) and leads nowhere else: whoever
holds it can name people as records do, but opens no card look-up and no sealed name. So the central may hold it. Pure.
"""

from __future__ import annotations

import hmac

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

SUBJECT_KEY_BYTES = 32
SUBJECT_CHARS = 16


def subject_key_of(community_key: bytes) -> bytes:
    """The 32-byte key of pseudonyms of the community with this 32-byte key."""
    return HKDFExpand(algorithm=hashes.SHA256(), length=SUBJECT_KEY_BYTES, info=b"gatepost roster subject 1").derive(
        community_key
    )


def subject_of(subject_key: bytes, person_id: str) -> str:
    """The pseudonym of the person whom the roster knows as ``person_id``: HMAC-SHA-256, 16 hexadecimal digits."""
    return hmac.digest(subject_key, person_id.encode("utf-8"), "sha256")[: SUBJECT_CHARS // 2].hex()
