"""Ed25519 keys: PKCS#8 PEM files that nobody else may read, fingerprints, and what each signature is about.

Every signature covers a context line before the bytes, so that a signed heartbeat can never pass for a batch.
Source: RFC 8032 (Ed25519), RFC 5958 and RFC 8410 (PKCS#8 form of the key).
"""

from __future__ import annotations

import hashlib
import os
import stat
from functools import lru_cache
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from kiosk.durable_file import new_file
from sync.errors import KeyFileError

SIGNATURE_BYTES = 64
PUBLIC_KEY_BYTES = 32
BATCH_CONTEXT = b"gatepost/batch/1\n"
HEAD_CONTEXT = b"gatepost/head/1\n"
HEARTBEAT_CONTEXT = b"gatepost/heartbeat/1\n"
ENROL_CONTEXT = b"gatepost/enrol/1\n"
MAX_KEY_FILE_BYTES = 4096


def generate_key(path: Path) -> Ed25519PrivateKey:
    """Make a private key and write it to ``path`` with mode 0600; an existing file is never overwritten.

    Raises KeyFileError when the file exists or cannot be written.
    """
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        new_file(path, pem)
    except OSError as error:
        raise KeyFileError(f"key file {path}", seen=error.strerror or "", expected="a new file") from error
    return key


def load_private_key(path: Path) -> Ed25519PrivateKey:
    """The Ed25519 key in PKCS#8 PEM file ``path``.

    Raises KeyFileError when the file is missing, has any permission bit for group or others, is larger than
    4 kB, or holds another kind of key.
    """
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            pem = file.read(MAX_KEY_FILE_BYTES + 1)
    except OSError as error:
        raise KeyFileError(
            f"key file {path}", seen=error.strerror or "", expected="a readable file", hint="gatepost-sync enrol"
        ) from error
    if mode & 0o077:
        raise KeyFileError(
            f"key file {path}",
            seen=f"mode {mode:04o}",
            expected="no permission bit for group or others",
            hint=f"chmod 600 {path}",
        )
    try:
        key = serialization.load_pem_private_key(pem[:MAX_KEY_FILE_BYTES], password=None)
    except (ValueError, TypeError) as error:
        raise KeyFileError(f"key file {path}", seen="not a key", expected="Ed25519 in PKCS#8 PEM") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise KeyFileError(f"key file {path}", seen=type(key).__name__, expected="an Ed25519 key")
    return key


def public_bytes(key: Ed25519PrivateKey) -> bytes:
    """The 32 raw bytes of the public key."""
    return key.public_key().public_bytes_raw()


def fingerprint(public_key: bytes) -> str:
    """What two people compare aloud: the first 16 bytes of SHA-256 of the raw public key, as 8 groups of 4."""
    text = hashlib.sha256(public_key).hexdigest()[:32]
    return "-".join(text[index : index + 4] for index in range(0, 32, 4))


def sign(key: Ed25519PrivateKey, context: bytes, message: bytes) -> bytes:
    """The 64-byte Ed25519 signature of ``context ‖ message``."""
    return key.sign(context + message)


def verify(public_key: bytes, context: bytes, message: bytes, signature: bytes) -> bool:
    """Whether ``signature`` over ``context ‖ message`` is by the holder of ``public_key`` (32 raw bytes)."""
    if len(signature) != SIGNATURE_BYTES or len(public_key) != PUBLIC_KEY_BYTES:
        return False
    try:
        _key_of(public_key).verify(signature, context + message)
    except (InvalidSignature, ValueError):
        return False
    return True


@lru_cache(4096)
def _key_of(public_key: bytes) -> Ed25519PublicKey:
    # Making one costs about a fifth of a verification; the same kiosks come again and again.
    return Ed25519PublicKey.from_public_bytes(public_key)
