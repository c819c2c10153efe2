"""The second gate keys of a site's cards: kept sealed while nothing is wrong, shipped to the gates after a theft. Pure.

*Escrow*, made at the issuing desk: every card's second gate key, AES-256-GCM under a *release key* of 32 random bytes
that is kept apart, on a stick in a safe. Whoever has only the escrow (the central, its backups) has nothing.

*Release*, made after a kiosk was stolen: the same keys under a fresh content key, which is sealed to each kiosk that is
still approved, by its own identity key. The stolen kiosk is not among them. A gate that takes the release answers to
the first keys no more: cards that are not in it open nothing, unless it says otherwise.

Sealing to an Ed25519 key: an ephemeral X25519 key agrees with the Montgomery form of the kiosk's key (the birational
map of RFC 7748, section 4.1, as libsodium and age use it); HKDF-SHA-256 over both public keys gives the wrapping key.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from config.errors import GatepostError
from kiosk.sealing import NONCE_BYTES, Seal, SealError

RELEASE_KEY_BYTES = 32
UID_BYTES = 7
KEY_BYTES = 16
FIRST_GATE_KEY_NO, SECOND_GATE_KEY_NO = 3, 4
"""The card's key slots (docs/cards.md, "Keys")."""
MAX_CARDS = 100_000
MAX_ESCROW_BYTES = 8 * 1024 * 1024
MAX_KIOSKS = 1000
_ESCROW_BOUND = b"gatepost card escrow 1"
_RELEASE_BOUND = b"gatepost card release 1"
_WRAP_INFO = b"gatepost card release wrap 1"
_ROW_BYTES = UID_BYTES + 2 + 2 * KEY_BYTES
_P = 2**255 - 19


class CardReleaseError(GatepostError):
    """An escrow or release that cannot be opened here, or that holds something else."""


@dataclass(frozen=True, slots=True)
class SecondKeys:
    """What a gate needs of one card once its first gate key is retired; key material is not printed."""

    uid: bytes
    gate_key: bytes = field(repr=False)
    file_key: bytes = field(repr=False)
    gate_key_no: int = SECOND_GATE_KEY_NO
    key_version: int = 1

    def __post_init__(self) -> None:
        sizes = (len(self.uid), len(self.gate_key), len(self.file_key))
        if sizes != (UID_BYTES, KEY_BYTES, KEY_BYTES):
            raise ValueError("a number of 7 bytes and keys of 16")
        if self.gate_key_no != SECOND_GATE_KEY_NO or not 1 <= self.key_version <= 255:
            raise ValueError("a second gate key of a version from 1 to 255")


@dataclass(frozen=True, slots=True)
class Release:
    """What a gate is given. ``keep_others``: cards that are not in it go on with their first key."""

    cards: tuple[SecondKeys, ...]
    keep_others: bool


def make_escrow(cards: Iterable[SecondKeys], release_key: bytes) -> bytes:
    """The sealed keys of these cards. Raises CardReleaseError for a release key of another length, or too many."""
    rows = _packed(tuple(cards))
    return _sealing(release_key).sealed(rows, _ESCROW_BOUND)


def open_escrow(escrow: bytes, release_key: bytes) -> tuple[SecondKeys, ...]:
    """The cards of an escrow. Raises CardReleaseError when this key does not open it."""
    if len(escrow) > MAX_ESCROW_BYTES:
        raise CardReleaseError("card escrow", seen=f"{len(escrow)} bytes", expected=f"at most {MAX_ESCROW_BYTES}")
    return _opened(_sealing(release_key), escrow, _ESCROW_BOUND, "card escrow", "the release key it was made with")


def make_release(cards: Sequence[SecondKeys], kiosks: Mapping[str, bytes], *, keep_others: bool = False) -> bytes:
    """The document for the gates: ``kiosks`` maps each that may have it to its Ed25519 public key (32 bytes).

    Raises CardReleaseError for a key that is none, and for too many cards or kiosks.
    """
    if len(kiosks) > MAX_KIOSKS:
        raise CardReleaseError("card release", seen=f"{len(kiosks)} kiosks", expected=f"at most {MAX_KIOSKS}")
    content_key = os.urandom(32)
    content = Seal(content_key).sealed(_packed(tuple(cards)), _RELEASE_BOUND)
    sealed = {kiosk_id: _text(_wrap(content_key, kiosk_id, public)) for kiosk_id, public in kiosks.items()}
    document = {"v": 1, "keep_others": keep_others, "sealed": sealed, "content": _text(content)}
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def open_release(body: bytes, kiosk_id: str, private_key: Ed25519PrivateKey) -> Release:
    """The release as this kiosk may read it. Raises CardReleaseError when it is not for it, or something else."""
    try:
        document: Any = json.loads(body)
        if not isinstance(document, dict) or set(document) != {"v", "keep_others", "sealed", "content"}:
            raise ValueError("other fields")
        if document["v"] != 1 or not isinstance(document["keep_others"], bool):
            raise ValueError("another version")
        sealed = document["sealed"].get(kiosk_id)
        content = base64.b64decode(document["content"], validate=True)
        wrapped = None if sealed is None else base64.b64decode(sealed, validate=True)
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise CardReleaseError("card release", seen=str(error)[:80], expected="docs/formats-sync.md") from None
    if wrapped is None:
        raise CardReleaseError("card release", seen=f"nothing for kiosk {kiosk_id}", expected="keys sealed to it")
    content_key = _unwrap(wrapped, kiosk_id, private_key)
    cards = _opened(Seal(content_key), content, _RELEASE_BOUND, "card release", "its own content key")
    return Release(cards, document["keep_others"])


def _packed(cards: tuple[SecondKeys, ...]) -> bytes:
    if len(cards) > MAX_CARDS or len({card.uid for card in cards}) != len(cards):
        raise CardReleaseError("cards", seen=f"{len(cards)}", expected=f"at most {MAX_CARDS}, each once")
    return b"".join(
        card.uid + bytes((card.gate_key_no, card.key_version)) + card.gate_key + card.file_key for card in cards
    )


def _opened(seal: Seal, data: bytes, bound: bytes, what: str, expected: str) -> tuple[SecondKeys, ...]:
    try:
        rows = seal.opened(data, bound)
    except SealError as error:
        raise CardReleaseError(what, seen=error.seen, expected=expected) from None
    if len(rows) % _ROW_BYTES or len(rows) > MAX_CARDS * _ROW_BYTES:
        raise CardReleaseError(what, seen=f"{len(rows)} bytes", expected=f"rows of {_ROW_BYTES}")
    try:
        return tuple(_row(rows[at : at + _ROW_BYTES]) for at in range(0, len(rows), _ROW_BYTES))
    except ValueError as error:
        raise CardReleaseError(what, seen=str(error)) from None


def _row(row: bytes) -> SecondKeys:
    keys = row[UID_BYTES + 2 :]
    return SecondKeys(row[:UID_BYTES], keys[:KEY_BYTES], keys[KEY_BYTES:], row[UID_BYTES], row[UID_BYTES + 1])


def _sealing(release_key: bytes) -> Seal:
    if len(release_key) != RELEASE_KEY_BYTES:
        raise CardReleaseError("release key", seen=f"{len(release_key)} bytes", expected=f"{RELEASE_KEY_BYTES}")
    return Seal(release_key)


# --- sealing to a kiosk's identity key ----------------------------------------------------------------------------


def _wrap(content_key: bytes, kiosk_id: str, public_key: bytes) -> bytes:
    try:
        recipient = X25519PublicKey.from_public_bytes(montgomery_public(public_key))
        ephemeral = X25519PrivateKey.generate()
        shared = ephemeral.exchange(recipient)
    except ValueError:
        raise CardReleaseError(f"key of kiosk {kiosk_id}", seen="no point of use", expected="Ed25519") from None
    own = ephemeral.public_key().public_bytes_raw()
    key = _wrapping_key(shared, own, recipient.public_bytes_raw())
    # The wrapping key serves once, so a nonce of zeros does; the kiosk's name is bound to it.
    return own + AESGCM(key).encrypt(bytes(NONCE_BYTES), content_key, kiosk_id.encode())


def _unwrap(wrapped: bytes, kiosk_id: str, private_key: Ed25519PrivateKey) -> bytes:
    own = montgomery_private(private_key)
    try:
        shared = own.exchange(X25519PublicKey.from_public_bytes(wrapped[:32]))
        key = _wrapping_key(shared, wrapped[:32], own.public_key().public_bytes_raw())
        return AESGCM(key).decrypt(bytes(NONCE_BYTES), wrapped[32:], kiosk_id.encode())
    except (InvalidTag, ValueError):
        raise CardReleaseError(
            "card release", seen="keys sealed to another key than this kiosk's", expected="enrolled with this key"
        ) from None


def _wrapping_key(shared: bytes, ephemeral: bytes, recipient: bytes) -> bytes:
    return HKDF(hashes.SHA256(), 32, salt=ephemeral + recipient, info=_WRAP_INFO).derive(shared)


def montgomery_public(ed25519: bytes) -> bytes:
    """The X25519 public key of an Ed25519 one: u = (1 + y) / (1 - y) mod 2^255 - 19 (RFC 7748, section 4.1)."""
    y = int.from_bytes(ed25519, "little") & (2**255 - 1)
    if len(ed25519) != 32 or y >= _P or y == 1:
        raise ValueError("no Ed25519 key")
    return ((1 + y) * pow(1 - y, -1, _P) % _P).to_bytes(32, "little")


def montgomery_private(ed25519: Ed25519PrivateKey) -> X25519PrivateKey:
    """The X25519 private key of an Ed25519 one: the first half of SHA-512 of its seed (RFC 8032, section 5.1.5)."""
    return X25519PrivateKey.from_private_bytes(hashlib.sha512(ed25519.private_bytes_raw()).digest()[:32])


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
