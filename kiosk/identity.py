"""The keys by which this kiosk is known and by which it knows the site's authority, from their PEM files."""

from __future__ import annotations

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from config.errors import ConfigError

MAX_KEY_FILE_BYTES = 4096


def load_authority(path: Path) -> bytes:
    """The authority's Ed25519 public key (PEM) as 32 raw bytes. Raises ConfigError."""
    try:
        key = load_pem_public_key(_content(path))
    except (OSError, ValueError) as error:
        raise ConfigError(f"authority key {path}", seen=str(error)[:120], expected="an Ed25519 public key") from error
    if not isinstance(key, Ed25519PublicKey):
        raise ConfigError(f"authority key {path}", seen=type(key).__name__, expected="an Ed25519 public key")
    return key.public_bytes_raw()


def load_kiosk_key(path: Path) -> Ed25519PrivateKey:
    """This kiosk's Ed25519 key (PKCS#8 PEM), as it enrolled with. Raises ConfigError."""
    try:
        key = load_pem_private_key(_content(path), password=None)
    except (OSError, ValueError, TypeError) as error:
        raise ConfigError(f"kiosk key {path}", seen=type(error).__name__, expected="Ed25519 in PKCS#8 PEM") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigError(f"kiosk key {path}", seen=type(key).__name__, expected="an Ed25519 key")
    return key


def _content(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MAX_KEY_FILE_BYTES)
