"""The kiosk's keyed stores, opened as its settings say: for the gate and for the tools beside it.

Every key follows from the community's, each for one purpose. Nothing of devices or screens is loaded for this.
"""

from __future__ import annotations

from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from config.errors import ConfigError
from config.settings import Settings, secret_file
from kiosk.card_keys import CardKeyStore
from kiosk.photos import Photos
from kiosk.roster import Roster

COMMUNITY_KEY_BYTES = 32
ROSTER, PHOTOS, CARD_KEYS, REGISTER = "roster.db", "photos.db", "cards.db", "register.db"
"""The files, in the state folder."""


def community_key(path: Path) -> bytes:
    """The 32 bytes of the community's key; ConfigError when they are not."""
    key = secret_file(path).read_bytes()
    if len(key) != COMMUNITY_KEY_BYTES:
        raise ConfigError(f"secret {path}", seen=f"{len(key)} bytes", expected=f"{COMMUNITY_KEY_BYTES}")
    return key


def key_for(key: bytes, purpose: str) -> bytes:
    """A key of its own for one purpose, from the community's key: HKDF-SHA-256 (RFC 5869), 32 bytes."""
    return HKDF(hashes.SHA256(), 32, salt=None, info=f"gatepost {purpose} 1".encode()).derive(key)


def open_roster(settings: Settings) -> Roster:
    """The kiosk's roster, under the community's key."""
    key = community_key(settings.keys.community)
    return Roster.open(settings.state.folder / ROSTER, key, match_key=key_for(key, "person match"))


def open_photos(settings: Settings) -> Photos:
    """The photographs of card holders, under a key that follows from the community's."""
    key = community_key(settings.keys.community)
    return Photos.open(settings.state.folder / PHOTOS, key_for(key, "photos"))


def open_card_keys(settings: Settings) -> CardKeyStore:
    """The kiosk's card keys and accepted counters, under a key that follows from the community's."""
    key = community_key(settings.keys.community)
    return CardKeyStore.open(settings.state.folder / CARD_KEYS, key_for(key, "card keys"))
