"""What ``GC1:`` and ``GP1:`` have in common: the envelope, Ed25519 under a purpose, and short typed fields. Pure.

    text = prefix + Base45( CBOR [ body: bstr, signature: bstr(64), … ] )      body = CBOR array, its first item 1
    signature = Ed25519( purpose ‖ body ), purpose = ASCII ending in a zero byte, so no signature serves twice

``docs/formats-codes.md`` pins the bytes.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from kiosk.credentials import base45
from kiosk.credentials.anchors import CommunityKey, CommunityUse
from kiosk.credentials.cbor import CborError, dumps, loads
from kiosk.credentials.code_verdict import CodeReason, CodeRefusedError
from kiosk.credentials.trust import TrustStore

VERSION = 1
MAX_TEXT = 1024
KEY_ID_BYTES = 8
SIGNATURE_BYTES = 64
_MAX_EPOCH_S = 2**33


def key_id_of(public_key: Ed25519PublicKey) -> bytes:
    """First 8 bytes of SHA-256 of the 32 raw bytes."""
    return hashlib.sha256(public_key.public_bytes_raw()).digest()[:KEY_ID_BYTES]


def seal(prefix: str, parts: list[Any]) -> str:
    """The text of an envelope."""
    return prefix + base45.encode(dumps(parts))


def open_text(prefix: str, text: str, sizes: frozenset[int]) -> list[Any]:
    """The parts of an envelope of one of ``sizes``, all byte strings or null; not yet believed.

    Raises CodeRefusedError for a text too long, not Base45, not CBOR, or of another shape.
    """
    if len(text) > MAX_TEXT:
        raise CodeRefusedError(CodeReason.TOO_LONG)
    try:
        parts = loads(base45.decode(text[len(prefix) :]))
    except base45.Base45Error:
        raise CodeRefusedError(CodeReason.ENCODING) from None
    except CborError:
        raise CodeRefusedError(CodeReason.STRUCTURE) from None
    if not isinstance(parts, list) or len(parts) not in sizes:
        raise CodeRefusedError(CodeReason.STRUCTURE)
    if not all(part is None or isinstance(part, bytes) for part in parts):
        raise CodeRefusedError(CodeReason.STRUCTURE)
    return parts


def read_body(body: Any, size: int) -> list[Any]:
    """The ``size`` fields of a version 1 body. Raises CodeRefusedError (structure) for any other."""
    try:
        fields = loads(body) if isinstance(body, bytes) else None
    except CborError:
        raise CodeRefusedError(CodeReason.STRUCTURE) from None
    if not isinstance(fields, list) or len(fields) != size or type(fields[0]) is not int or fields[0] != VERSION:
        raise CodeRefusedError(CodeReason.STRUCTURE)
    return fields


def signed_by(public_key: Ed25519PublicKey, purpose: bytes, body: bytes, signature: Any) -> bool:
    """Whether ``signature`` over purpose and body is this key's."""
    if not isinstance(signature, bytes) or len(signature) != SIGNATURE_BYTES:
        return False
    try:
        public_key.verify(signature, purpose + body)
    except InvalidSignature:
        return False
    return True


def sign(private_key: Ed25519PrivateKey, purpose: bytes, body: bytes) -> bytes:
    """The 64 bytes that :func:`signed_by` accepts."""
    return private_key.sign(purpose + body)


def trusted_key(store: TrustStore, key_id: Any, use: CommunityUse) -> CommunityKey:
    """The community's key of this id and use. CodeRefusedError when unknown, revoked, or for another use."""
    if not isinstance(key_id, bytes) or len(key_id) != KEY_ID_BYTES:
        raise CodeRefusedError(CodeReason.KEY_ID_MISSING)
    key = store.community_keys.get(key_id)
    if key is None:
        raise CodeRefusedError(CodeReason.ISSUER_UNKNOWN, key_id.hex())
    if key_id in store.community_revoked_keys:
        raise CodeRefusedError(CodeReason.KEY_REVOKED, key_id.hex())
    if use not in key.uses:
        raise CodeRefusedError(CodeReason.KEY_USAGE, key_id.hex())
    return key


def an_instant(value: Any) -> datetime:
    """Whole seconds since 1970 as UTC. CodeRefusedError (structure) for anything else."""
    if type(value) is not int or not 0 < value < _MAX_EPOCH_S:
        raise CodeRefusedError(CodeReason.STRUCTURE)
    return datetime.fromtimestamp(value, tz=UTC)


def a_text(value: Any, max_length: int, *, empty: bool = False) -> str:
    """A printable text of at most ``max_length`` characters."""
    if not isinstance(value, str) or len(value) > max_length or not (value or empty) or not value.isprintable():
        raise CodeRefusedError(CodeReason.STRUCTURE)
    return value


def some_texts(value: Any, max_items: int, max_length: int) -> tuple[str, ...]:
    """A list of such texts."""
    if not isinstance(value, list) or len(value) > max_items:
        raise CodeRefusedError(CodeReason.STRUCTURE)
    return tuple(a_text(item, max_length) for item in value)


def some_bytes(value: Any, length: int) -> bytes:
    """Exactly ``length`` bytes."""
    if not isinstance(value, bytes) or len(value) != length:
        raise CodeRefusedError(CodeReason.STRUCTURE)
    return value
