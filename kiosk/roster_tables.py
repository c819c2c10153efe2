"""The roster's tables and statements, and the steps from older files to this format."""

from __future__ import annotations

from sqlalchemy import BigInteger
from sqlmodel import Field

from config.errors import GatepostError
from kiosk.database import KioskTable
from kiosk.store_file import StoreFile

APPLICATION_ID = 0x47505231
"""``GPR1`` in the file's header: this is a Gatepost roster."""

SCHEMA_VERSION = 3


class RosterError(GatepostError):
    """The roster cannot be opened, read or written."""


class RosterPerson(KioskTable, table=True):
    """One person of the site. ``name_sealed`` and ``phone_sealed`` are AES-GCM; empty where unknown."""

    __tablename__ = "roster_person"

    person_id: str = Field(primary_key=True)
    subject: str = Field(unique=True)
    category: str
    registered: bool
    code_match: str
    name_sealed: bytes
    phone_sealed: bytes


class RosterCard(KioskTable, table=True):
    """One card of a person, by the keyed hash of its number. Times are UTC microseconds, null is unlimited.

    ``lent_by`` is the member who answers for a temporary card, "" for a card of the holder's own. ``tail_hash`` and
    ``head_hash`` are keyed hashes of the last and the first three bytes of a four-byte number, null for others: readers
    of 26 bits tell no more.
    """

    __tablename__ = "roster_card"

    card_hash: bytes = Field(primary_key=True)
    person_id: str = Field(index=True)
    strength: str
    valid_from_us: int | None = Field(sa_type=BigInteger)
    valid_until_us: int | None = Field(sa_type=BigInteger)
    hours: str
    places: str
    lent_by: str = Field(default="")
    tail_hash: bytes | None = Field(default=None, index=True)
    head_hash: bytes | None = Field(default=None, index=True)


class RosterRevocation(KioskTable, table=True):
    """A card that opens nothing any more, whether or not the roster still knows it."""

    __tablename__ = "roster_revocation"

    card_hash: bytes = Field(primary_key=True)
    at_us: int = Field(sa_type=BigInteger)
    why: str


ROSTER_TABLES: tuple[type[KioskTable], ...] = (RosterPerson, RosterCard, RosterRevocation)

# Cards of an older file have no hashes of a part: they are found by their whole number until they are imported again.
_UPGRADES = {
    1: ("ALTER TABLE roster_card ADD COLUMN lent_by VARCHAR NOT NULL DEFAULT ''",),
    2: (
        "ALTER TABLE roster_card ADD COLUMN tail_hash BLOB",
        "ALTER TABLE roster_card ADD COLUMN head_hash BLOB",
        "CREATE INDEX ix_roster_card_tail_hash ON roster_card (tail_hash)",
        "CREATE INDEX ix_roster_card_head_hash ON roster_card (head_hash)",
    ),
}

STORE = StoreFile("a roster", APPLICATION_ID, SCHEMA_VERSION, ROSTER_TABLES, RosterError, _UPGRADES)

FIND = """
    SELECT p.subject, p.category, p.registered, p.code_match, c.strength, c.valid_from_us, c.valid_until_us, c.hours,
           c.places, c.lent_by, l.subject
    FROM roster_card c JOIN roster_person p ON p.person_id = c.person_id
    LEFT JOIN roster_person l ON l.person_id = c.lent_by WHERE c.card_hash = ?"""
FIND_BY_TAIL = "SELECT card_hash FROM roster_card WHERE tail_hash = ? LIMIT 2"
FIND_BY_HEAD = "SELECT card_hash FROM roster_card WHERE head_hash = ? LIMIT 2"
REVOKED = "SELECT 1 FROM roster_revocation WHERE card_hash = ?"
PUT_PERSON = """
    INSERT INTO roster_person (person_id, subject, category, registered, code_match, name_sealed, phone_sealed)
    VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (person_id) DO UPDATE SET category = excluded.category,
    registered = excluded.registered, code_match = excluded.code_match, name_sealed = excluded.name_sealed,
    phone_sealed = excluded.phone_sealed"""
PUT_CARD = """
    INSERT INTO roster_card (card_hash, person_id, strength, valid_from_us, valid_until_us, hours, places, lent_by,
    tail_hash, head_hash) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (card_hash) DO UPDATE SET person_id = excluded.person_id,
    strength = excluded.strength, valid_from_us = excluded.valid_from_us, valid_until_us = excluded.valid_until_us,
    hours = excluded.hours, places = excluded.places, lent_by = excluded.lent_by,
    tail_hash = excluded.tail_hash, head_hash = excluded.head_hash"""
PUT_REVOCATION = """
    INSERT INTO roster_revocation (card_hash, at_us, why) VALUES (?, ?, ?) ON CONFLICT (card_hash) DO NOTHING"""
REINSTATE = "DELETE FROM roster_revocation WHERE card_hash = ?"
