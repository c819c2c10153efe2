"""What neighbouring gates of one site tell each other: that a credential was just let in. Pure.

A :class:`Fact` holds keyed hashes, a gate's name and a moment of the machine's monotonic clock; no name, no number, no
text of a code. Moments travel as ages, so two gates need not agree on the time of day. ``sync/peer.py`` carries them.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterator, Set
from dataclasses import dataclass
from enum import IntEnum

HASH_BYTES = 16
MAX_PLACE_CHARS = 32
COUNTER_MAX = 0xFFFFFF
MAX_HEARD_PASSES = 50_000
NO_SHOWING = bytes(HASH_BYTES)


class FactKind(IntEnum):
    """What was let in: a health code, a one-time pass, a card with its rolling counter, or a card's holder."""

    CODE = 1
    PASS = 2
    CARD = 3
    HOLDER = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One credential was let in at ``place``.

    ``what`` is the keyed hash (16 bytes) of the credential, ``showing`` that of this very showing of a code (zeros: it
    has only one). ``read_ctr`` is a card's counter (1 to 16777215), else 0. ``mono_ns`` is the machine's monotonic
    clock. Raises ValueError for anything out of these bounds.
    """

    kind: FactKind
    what: bytes
    place: str
    mono_ns: int
    showing: bytes = NO_SHOWING
    read_ctr: int = 0

    def __post_init__(self) -> None:
        if len(self.what) != HASH_BYTES or len(self.showing) != HASH_BYTES:
            raise ValueError("hashes of a fact have 16 bytes")
        if not 0 < len(self.place) <= MAX_PLACE_CHARS or not self.place.isascii() or not self.place.isprintable():
            raise ValueError("the place of a fact: 1 to 32 ASCII characters")
        if not (1 if self.kind is FactKind.CARD else 0) <= self.read_ctr <= COUNTER_MAX:
            raise ValueError("the counter of a fact")


@dataclass(frozen=True, slots=True)
class HeardFact:
    """A fact of another kiosk; its ``mono_ns`` has become a moment of this machine's clock."""

    kiosk: str
    fact: Fact


def keyed(key: bytes, purpose: str, text: str) -> bytes:
    """The 16 bytes under which the gates of one site speak of ``text``; nothing without their key."""
    return hmac.digest(key, f"{purpose}\x00{text}".encode(), "sha256")[:HASH_BYTES]


class UsedPasses(Set[str]):
    """The ids (hex) of one-time passes that were let in, here or, as far as heard, next door (by keyed hash)."""

    def __init__(self, key: bytes = b"", ids: Set[str] = frozenset()) -> None:
        self._key = key
        self._ids = set(ids)
        self._heard: dict[bytes, str] = {}

    def __contains__(self, pass_id: object) -> bool:
        return pass_id in self._ids or (isinstance(pass_id, str) and self.hash_of(pass_id) in self._heard)

    def __iter__(self) -> Iterator[str]:
        return iter(self._ids)

    def __len__(self) -> int:
        return len(self._ids)

    def add(self, pass_id: str) -> None:
        """This one was let in here."""
        self._ids.add(pass_id)

    def let_in_at(self, pass_id: str) -> str:
        """The gate of the other kiosk that let this one in; "" when none did, or this one."""
        return "" if pass_id in self._ids else self._heard.get(self.hash_of(pass_id), "")

    def heard(self, hashed: bytes, place: str) -> bool:
        """A neighbour at ``place`` let this one in; whether that is news."""
        news = hashed not in self._heard
        self._heard[hashed] = place
        if len(self._heard) > MAX_HEARD_PASSES:
            del self._heard[next(iter(self._heard))]
        return news

    def hash_of(self, pass_id: str) -> bytes:
        """How the pass is named between gates."""
        return keyed(self._key, "pass", pass_id)
