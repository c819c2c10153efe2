"""The revocations that the central sends down: cards that open nothing any more, passes that were withdrawn. Pure.

JSON: ``{"v": 1, "cards": [{"uid": hex, "why": text}], "reinstated": [hex], "passes": [hex of 8 bytes]}``. A list adds
to what is revoked; a card comes back only by standing in ``reinstated`` (and not in ``cards``), so that a list that
forgot one lifts nothing.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from kiosk.signed_document import MAX_BODY_BYTES, DocumentError

MAX_ENTRIES = 200_000
UID_BYTES = (4, 7, 10)
PASS_BYTES = 8
MAX_WHY_CHARS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class RevocationList:
    """``cards`` are numbers with the reason; ``passes`` the ids (8 bytes) of ``GP1`` passes."""

    cards: tuple[tuple[bytes, str], ...] = ()
    reinstated: tuple[bytes, ...] = ()
    passes: tuple[bytes, ...] = ()

    @classmethod
    def parse(cls, body: bytes) -> RevocationList:
        """The list in ``body``, whole or not at all; raises DocumentError naming what is wrong, never an entry."""
        try:
            return cls._read(body)
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise DocumentError(
                "revocations document", seen=str(error)[:80] or type(error).__name__, expected="docs/formats-sync.md"
            ) from None

    @classmethod
    def _read(cls, body: bytes) -> RevocationList:
        if len(body) > MAX_BODY_BYTES:
            raise ValueError("too large")
        document: Any = json.loads(body)
        if not isinstance(document, dict) or set(document) != {"v", "cards", "reinstated", "passes"}:
            raise ValueError("other fields")
        lists = [document[name] for name in ("cards", "reinstated", "passes")]
        if type(document["v"]) is not int or document["v"] != 1 or not all(isinstance(each, list) for each in lists):
            raise ValueError("another version or form")
        if sum(map(len, lists)) > MAX_ENTRIES:
            raise ValueError(f"more than {MAX_ENTRIES} entries")
        cards = tuple((_hex(row["uid"], UID_BYTES), _why(row["why"])) for row in lists[0])
        reinstated = tuple(_hex(row, UID_BYTES) for row in lists[1])
        if {uid for uid, _ in cards} & set(reinstated):
            raise ValueError("a card both revoked and reinstated")
        return cls(cards=cards, reinstated=reinstated, passes=tuple(_hex(row, (PASS_BYTES,)) for row in lists[2]))


def _hex(value: Any, lengths: tuple[int, ...]) -> bytes:
    raw = bytes.fromhex(value) if isinstance(value, str) and len(value) <= 40 else b""
    if len(raw) not in lengths:
        raise ValueError("a number of another length")
    return raw


def _why(value: Any) -> str:
    if not isinstance(value, str) or len(value) > MAX_WHY_CHARS or not value.isprintable():
        raise ValueError("a reason that is no short text")
    return value
