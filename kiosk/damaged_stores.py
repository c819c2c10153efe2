"""Stores that a start finds damaged: each is set aside whole, and the gate begins with an empty one.

A worn card or a power cut at a bad moment may spoil a file, and a gate comes up whatever its memory says: nobody is
known then, the guard decides, and it is told. What the central sent is taken once more (``kiosk/arrivals.py``), the
rest is imported again. Nothing is carried over: only the sealed columns prove themselves, and a half-read roster might
let somebody in whose card was revoked.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from kiosk import card_keys, photos, register, roster_tables
from kiosk.arrivals import take_once_more
from kiosk.clock import Instant
from kiosk.database import OpenDatabase, SqliteDatabase
from kiosk.set_aside import finish_set_aside, set_aside
from kiosk.signed_document import DocumentError, DocumentKind
from kiosk.site_stores import CARD_KEYS, PHOTOS, REGISTER, ROSTER
from kiosk.store_file import StoreFile

STORES: Mapping[str, StoreFile] = {
    ROSTER: roster_tables.STORE,
    CARD_KEYS: card_keys.STORE,
    REGISTER: register.STORE,
    PHOTOS: photos.STORE,
}
FROM_THE_CENTRAL: Mapping[str, tuple[DocumentKind, ...]] = {
    ROSTER: (DocumentKind.ROSTER, DocumentKind.REVOCATIONS),
    CARD_KEYS: (DocumentKind.CARDS,),
}


@dataclass(frozen=True, slots=True)
class Damaged:
    """A file that was set aside under the name ``aside``, and what SQLite saw wrong with it."""

    file: str
    aside: str
    seen: str

    def __str__(self) -> str:
        return f"{self.file} was damaged, is now {self.aside} and begun anew: {self.seen}"


def set_aside_damaged(state: Path, now: Instant, *, open_database: OpenDatabase = SqliteDatabase) -> Iterator[Damaged]:
    """Look through the stores in ``state``, which nobody has open yet, and set the damaged ones aside.

    Raises the store's error for a file that is something else or cannot be opened, OSError when it cannot be renamed.
    """
    for name, store in STORES.items():
        path = state / name
        finish_set_aside(path)
        seen = store.damage(path, open_database)
        if seen:
            # First, so that a power cut in between costs nothing but a document taken twice.
            with suppress(DocumentError):  # told by who takes documents, and takes none then
                take_once_more(state, FROM_THE_CENTRAL.get(name, ()))
            yield Damaged(file=name, aside=set_aside(path, now.utc()).name, seen=seen)
