"""Sealing what a stolen file must not show: AES-256-GCM, each value bound to the place it stands in. Pure.

A sealed value is a random nonce of 12 bytes, then ciphertext and tag (NIST SP 800-38D). What it is bound to is not
stored with it, so that a value moved to another row or column does not open.
"""

from __future__ import annotations

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from config.errors import GatepostError

NONCE_BYTES = 12
SEAL_KEY_BYTES = 32


class SealError(GatepostError):
    """Bytes that this key does not open: another key, another place, or damage."""


class Seal:
    """One key of 32 bytes, in use. Raises ValueError for a key of another length."""

    def __init__(self, key: bytes) -> None:
        if len(key) != SEAL_KEY_BYTES:
            raise ValueError(f"a key of {len(key)} bytes: expected {SEAL_KEY_BYTES}")
        self._cipher = AESGCM(key)

    def sealed(self, content: bytes, bound: bytes) -> bytes:
        """``content``, to be opened only with the same ``bound``."""
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, content, bound)

    def opened(self, sealed: bytes, bound: bytes) -> bytes:
        """The content. Raises SealError."""
        try:
            return self._cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], bound)
        except (InvalidTag, ValueError):
            raise SealError("a sealed value", seen="bytes that this key does not open") from None

    def sealed_text(self, text: str, column: str, row: str) -> bytes:
        """``text`` as UTF-8, bound to its column and to the name of its row."""
        return self.sealed(text.encode(), _place(column, row))

    def opened_text(self, sealed: bytes, column: str, row: str) -> str:
        """The text of that column and row. Raises SealError."""
        return self.opened(sealed, _place(column, row)).decode()


def derived_key(secret: bytes, info: bytes) -> bytes:
    """A key of 32 bytes for one use, which ``info`` names (HKDF-SHA-256 without extraction, RFC 5869, 2.3).

    ``secret`` is 32 random bytes; who holds the derived key learns nothing of it, nor of the keys of other uses.
    """
    return HKDFExpand(algorithm=hashes.SHA256(), length=32, info=info).derive(secret)


def _place(column: str, row: str) -> bytes:
    return f"{column}\0{row}".encode()
