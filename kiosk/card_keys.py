"""The kiosk's own part of the second-generation cards: each card's gate keys, sealed, and the counters it accepted.

In a file of their own: keys come from the issuing desk by way of the central, counters are made here. Cards are
found by a keyed hash of their number; keys are sealed with AES-256-GCM, bound to their card and version, so that
neither a stolen file nor a moved row yields a key without the kiosk's secret. There is never a master key in it: a
stolen kiosk cannot make a card (docs/cards.md says what it can do, and what is done about it).
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from pathlib import Path

import structlog
from sqlalchemy import BigInteger
from sqlmodel import Field

from config.errors import GatepostError
from drivers.cards.ntag424 import CardKeys
from kiosk.credentials.card_counter import COUNTER_MAX, AcceptedCode, CounterConflict, conflicts
from kiosk.database import Database, DatabaseError, KioskTable, OpenDatabase, SqliteDatabase, transaction
from kiosk.sealing import Seal, SealError, derived_key
from kiosk.store_file import Store, StoreFile

APPLICATION_ID = 0x47504B31
"""``GPK1`` in the file's header: card keys of a gate."""

SCHEMA_VERSION = 1
SECRET_BYTES = 32
HEARD_TOLERANCE_US = 2_000_000
"""What a neighbour tells may lie so far from when it was: its age is measured, not its time of day."""

_log = structlog.get_logger(__name__)


class CardKeysError(GatepostError):
    """The file of card keys cannot be opened, read or written."""


class CardKeyRow(KioskTable, table=True):
    """The keys of one card: gate key and file key sealed together."""

    __tablename__ = "card_key"

    card_hash: bytes = Field(primary_key=True)
    gate_key_no: int
    key_version: int
    keys_sealed: bytes


class CardCounterRow(KioskTable, table=True):
    """The highest rolling counter of a card that this kiosk accepted, and when (UTC microseconds)."""

    __tablename__ = "card_counter"

    card_hash: bytes = Field(primary_key=True)
    last_accepted: int
    at_us: int = Field(sa_type=BigInteger)


CARD_KEY_TABLES: tuple[type[KioskTable], ...] = (CardKeyRow, CardCounterRow)

STORE = StoreFile("card keys", APPLICATION_ID, SCHEMA_VERSION, CARD_KEY_TABLES, CardKeysError)

_FIND = "SELECT gate_key_no, key_version, keys_sealed FROM card_key WHERE card_hash = ?"
_PUT = """
    INSERT INTO card_key (card_hash, gate_key_no, key_version, keys_sealed) VALUES (?, ?, ?, ?)
    ON CONFLICT (card_hash) DO UPDATE SET gate_key_no = excluded.gate_key_no, key_version = excluded.key_version,
    keys_sealed = excluded.keys_sealed"""
_LAST = "SELECT last_accepted FROM card_counter WHERE card_hash = ?"
# The condition makes two lanes that accept one code at once impossible: only one of them changes a row.
_ACCEPT = """
    INSERT INTO card_counter (card_hash, last_accepted, at_us) VALUES (?, ?, ?)
    ON CONFLICT (card_hash) DO UPDATE SET last_accepted = excluded.last_accepted, at_us = excluded.at_us
    WHERE excluded.last_accepted > card_counter.last_accepted"""


class CardKeyStore(Store):
    """Thread-safe. Make one with :meth:`open`; ``keys_of`` is what the reader's dialogue asks."""

    def __init__(self, path: Path, secret: bytes, database: Database) -> None:
        super().__init__(STORE, path, database)
        self._unwritten: dict[bytes, int] = {}
        self._hash_key = derived_key(secret, b"gatepost card keys hash 1")
        self._seal = Seal(derived_key(secret, b"gatepost card keys seal 1"))

    @classmethod
    def open(cls, path: Path | str, secret: bytes, *, open_database: OpenDatabase = SqliteDatabase) -> CardKeyStore:
        """Open the file, making it (mode 0600) when there is none. ``secret`` is 32 random bytes of this kiosk.

        Raises CardKeysError for a secret of another length and for a file that is something else.
        """
        path = Path(path)
        if len(secret) != SECRET_BYTES:
            raise CardKeysError("secret of the card keys", seen=f"{len(secret)} bytes", expected=f"{SECRET_BYTES}")
        return cls(path, secret, STORE.open(path, open_database))

    def keys_of(self, uid: bytes) -> CardKeys | None:
        """The keys of the card with this UID; None when none are held. Raises CardKeysError."""
        card_hash = self.card_hash(uid)
        rows = self._rows(_FIND, (card_hash,))
        if not rows:
            return None
        gate_key_no, key_version, sealed = rows[0]
        try:
            keys = self._seal.opened(sealed, _bound(card_hash, gate_key_no, key_version))
        except SealError as error:
            raise CardKeysError(
                f"{self._path}: keys of a card",
                seen="bytes that this kiosk's secret does not open",
                hint="give back the secret, or let the central send the keys again",
            ) from error
        return CardKeys(gate_key=keys[:16], file_key=keys[16:], gate_key_no=gate_key_no, key_version=key_version)

    def take(
        self, cards: Iterable[tuple[bytes, CardKeys]], *, replace: bool = False, retired_no: int | None = None
    ) -> int:
        """Hold these cards' keys; with ``replace`` no others (counters stay). All or none; how many were taken.

        ``retired_no`` is a key slot that opens nothing any more: whatever is held of it afterwards goes.
        """
        rows = []
        for uid, keys in cards:
            card_hash = self.card_hash(uid)
            bound = _bound(card_hash, keys.gate_key_no, keys.key_version)
            sealed = self._seal.sealed(keys.gate_key + keys.file_key, bound)
            rows.append((card_hash, keys.gate_key_no, keys.key_version, sealed))
        with self._changing() as database:
            if replace:
                database.run("DELETE FROM card_key")
            database.run_many(_PUT, rows)
            if retired_no is not None:
                database.run("DELETE FROM card_key WHERE gate_key_no = ?", (retired_no,))
        return len(rows)

    def forget(self, uid: bytes) -> bool:
        """Hold this card's keys no longer (its counter stays); whether there were any. Raises CardKeysError."""
        return self._run("DELETE FROM card_key WHERE card_hash = ?", (self.card_hash(uid),)) > 0

    def last_accepted(self, uid: bytes) -> int:
        """The card's highest accepted counter; 0 for none. Raises CardKeysError."""
        card_hash = self.card_hash(uid)
        rows = self._rows(_LAST, (card_hash,))
        return max(int(rows[0][0]) if rows else 0, self._unwritten.get(card_hash, 0))

    def accept(self, uid: bytes, read_ctr: int, *, at_us: int) -> bool:
        """Spend a counter, durably; false when it, or a higher one, was spent before (perhaps by the other lane).

        When the disk fails, the counter is kept in memory until the program ends: a resident with a genuine card is
        not locked out by a fault, and within this run no code counts twice all the same. Raises ValueError for a
        counter outside 1 to 16777215.
        """
        if not 1 <= read_ctr <= COUNTER_MAX:
            raise ValueError(f"counter {read_ctr}: expected 1 to {COUNTER_MAX}")
        card_hash = self.card_hash(uid)
        with self._lock:
            if read_ctr <= self._unwritten.get(card_hash, 0):
                return False
            try:
                with transaction(self._database):
                    changed = self._database.run(_ACCEPT, (card_hash, read_ctr, at_us)) > 0
            except DatabaseError as error:
                _log.error("card_counter_not_written", file=str(self._path), why=str(error))
                self._unwritten[card_hash] = read_ctr
                return True
            self._unwritten.pop(card_hash, None)
            return changed

    def count(self) -> int:
        """How many cards' keys are held. Raises CardKeysError."""
        return int(self._rows("SELECT count(*) FROM card_key")[0][0])

    def counters(self) -> dict[bytes, int]:
        """Every card's highest accepted counter by its keyed hash. Raises CardKeysError."""
        return {
            bytes(card): int(last) for card, last in self._rows("SELECT card_hash, last_accepted FROM card_counter")
        }

    def hear(self, code: AcceptedCode) -> CounterConflict | None:
        """Another kiosk of the same secret accepted this code: none of its counters passes here any more.

        The conflict when it and the last one known here cannot both be of one card: an equal counter, or the lower one
        used later. A time of 0 (either kiosk had no trusted clock) proves no order. Raises CardKeysError.
        """
        rows = self._rows("SELECT last_accepted, at_us FROM card_counter WHERE card_hash = ?", (code.card,))
        self.raise_counters({code.card: code.read_ctr}, at_us=code.at_us)
        if not rows:
            return None
        known = AcceptedCode(card=code.card, kiosk="", read_ctr=int(rows[0][0]), at_us=int(rows[0][1]))
        if known.read_ctr == code.read_ctr and abs(known.at_us - code.at_us) <= HEARD_TOLERANCE_US:
            return None  # the same news told again
        if known.read_ctr != code.read_ctr and 0 in (known.at_us, code.at_us):
            return None
        return next(iter(conflicts((known, code), clock_tolerance_us=HEARD_TOLERANCE_US)), None)

    def raise_counters(self, counters: dict[bytes, int], *, at_us: int) -> None:
        """Take over what other kiosks of the same secret accepted; none goes down. Raises CardKeysError."""
        with self._changing() as database:
            database.run_many(_ACCEPT, [(card, last, at_us) for card, last in counters.items()])

    def card_hash(self, uid: bytes) -> bytes:
        """The keyed hash under which a card stands here: HMAC-SHA-256, 16 bytes."""
        return hmac.digest(self._hash_key, uid, "sha256")[:16]


def _bound(card_hash: bytes, gate_key_no: int, key_version: int) -> bytes:
    """Sealed keys cannot be moved to another card, nor an old version put back under a new number."""
    return card_hash + bytes((gate_key_no, key_version))
