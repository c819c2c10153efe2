"""The kiosk's copy of people, cards and revocations: looked up at each tap, with the network away.

Cards are found by a keyed hash of their number, so that a stolen file names no card; names and phones are sealed
(AES-256-GCM) in columns of their own and are opened for the guard alone; records know a person by a keyed pseudonym.
All keys follow from the one 32-byte key that :meth:`Roster.open` is given (HKDF-SHA-256, RFC 5869).

A revocation is sticky: an import that forgets it does not lift it, only :meth:`Roster.reinstate` does.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, tzinfo
from pathlib import Path
from typing import BinaryIO

from sqlalchemy import BigInteger
from sqlmodel import Field

from config.errors import GatepostError
from config.policy import Hours
from kiosk.credentials.person_match import person_match
from kiosk.credentials.pseudonym import subject_key_of, subject_of
from kiosk.database import Database, KioskTable, OpenDatabase, SqliteDatabase
from kiosk.evidence import CardStrength
from kiosk.roster_csv import MAX_LINE_BYTES, ImportReport, RosterLine, parse_hours, read_lines
from kiosk.sealing import Seal, SealError, derived_key
from kiosk.store_file import Store, StoreFile

APPLICATION_ID = 0x47505231
"""``GPR1`` in the file's header: this is a Gatepost roster."""

SCHEMA_VERSION = 3
KEY_BYTES = 32
WHOLE_BYTES = 4
"""A number of which a reader of 26 bits tells three bytes."""


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

_FIND = """
    SELECT p.subject, p.category, p.registered, p.code_match, c.strength, c.valid_from_us, c.valid_until_us, c.hours,
           c.places, c.lent_by, l.subject
    FROM roster_card c JOIN roster_person p ON p.person_id = c.person_id
    LEFT JOIN roster_person l ON l.person_id = c.lent_by WHERE c.card_hash = ?"""
_FIND_BY_TAIL = "SELECT card_hash FROM roster_card WHERE tail_hash = ? LIMIT 2"
_FIND_BY_HEAD = "SELECT card_hash FROM roster_card WHERE head_hash = ? LIMIT 2"
_REVOKED = "SELECT 1 FROM roster_revocation WHERE card_hash = ?"
_PUT_PERSON = """
    INSERT INTO roster_person (person_id, subject, category, registered, code_match, name_sealed, phone_sealed)
    VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (person_id) DO UPDATE SET category = excluded.category,
    registered = excluded.registered, code_match = excluded.code_match, name_sealed = excluded.name_sealed,
    phone_sealed = excluded.phone_sealed"""
_PUT_CARD = """
    INSERT INTO roster_card (card_hash, person_id, strength, valid_from_us, valid_until_us, hours, places, lent_by,
    tail_hash, head_hash) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (card_hash) DO UPDATE SET person_id = excluded.person_id,
    strength = excluded.strength, valid_from_us = excluded.valid_from_us, valid_until_us = excluded.valid_until_us,
    hours = excluded.hours, places = excluded.places, lent_by = excluded.lent_by,
    tail_hash = excluded.tail_hash, head_hash = excluded.head_hash"""
_PUT_REVOCATION = """
    INSERT INTO roster_revocation (card_hash, at_us, why) VALUES (?, ?, ?) ON CONFLICT (card_hash) DO NOTHING"""
_REINSTATE = "DELETE FROM roster_revocation WHERE card_hash = ?"


@dataclass(frozen=True, slots=True, kw_only=True)
class RosterEntry:
    """What the roster knows of one card and its holder; no name, no phone.

    ``subject`` is the keyed pseudonym (16 hex digits). ``strength`` is what this card must prove at least.
    ``valid_from_us`` and ``valid_until_us`` bound it (UTC microseconds, the end excluded), ``hours`` and ``places``
    (names of places or lanes) limit it; empty is unlimited. ``lent_by`` is the pseudonym of the member who answers for
    a temporary card; ``lender_gone`` says that the roster knows that member no longer.
    """

    subject: str
    category: str
    registered: bool
    revoked: bool
    code_match: str
    strength: CardStrength
    valid_from_us: int | None
    valid_until_us: int | None
    hours: tuple[Hours, ...]
    places: tuple[str, ...]
    lent_by: str = ""
    lender_gone: bool = False


@dataclass(frozen=True, slots=True)
class Contact:
    """The sealed part of a person, opened for the guard."""

    name: str
    phone: str


class Roster(Store):
    """The roster file of one site. Thread-safe. Make one with :meth:`open`."""

    def __init__(self, path: Path, key: bytes, match_key: bytes, database: Database) -> None:
        super().__init__(STORE, path, database)
        self._card_key = derived_key(key, b"gatepost roster card 1")
        self._subject_key = subject_key_of(key)
        self._seal = Seal(derived_key(key, b"gatepost roster seal 1"))
        self._match_key = match_key

    @classmethod
    def open(
        cls, path: Path | str, key: bytes, *, match_key: bytes = b"", open_database: OpenDatabase = SqliteDatabase
    ) -> Roster:
        """Open the roster at ``path``, making it (mode 0600) when there is none.

        ``key`` is 32 random bytes of the site, ``match_key`` the key of ``person_match`` (without one, health codes
        are matched to nobody). Raises RosterError for a key of another length, for a file that is something else or
        was made under another key, and where the file cannot be opened.
        """
        path = Path(path)
        if len(key) != KEY_BYTES:
            raise RosterError("roster key", seen=f"{len(key)} bytes", expected=f"{KEY_BYTES} random bytes")
        roster = cls(path, key, match_key, STORE.open(path, open_database))
        try:
            roster._check_key()
        except BaseException:
            roster.close()
            raise
        return roster

    def find_card(self, uid: bytes) -> RosterEntry | None:
        """What is known of the card with this number; None when nothing is.

        A revoked card that belongs to nobody any more is still found: an entry without subject. Raises RosterError.
        """
        return self._find(self.card_hash(uid))

    def find_by_part(self, known: bytes, *, last: bool) -> list[RosterEntry]:
        """The cards that a reader of 26 bits may mean by the ``last`` (else first) three bytes of their number.

        None, one, or two of several; a card whose whole number is these three bytes is among them. Raises RosterError.
        """
        hashes = {self.card_hash(known)}
        sql, part = (_FIND_BY_TAIL, b"tail") if last else (_FIND_BY_HEAD, b"head")
        hashes |= {bytes(row[0]) for row in self._rows(sql, (self._part_hash(part, known),))}
        entries = [entry for card_hash in sorted(hashes) if (entry := self._find(card_hash)) is not None]
        return entries[:2]

    def _find(self, card_hash: bytes) -> RosterEntry | None:
        with self._using() as database:
            found = database.rows(_FIND, (card_hash,))
            revoked = bool(database.rows(_REVOKED, (card_hash,)))
        if not found:
            return _NOBODY if revoked else None
        subject, category, registered, code_match, strength, valid_from_us, valid_until_us, hours, places = found[0][:9]
        lent_by, lender = found[0][9:]
        return RosterEntry(
            subject=subject,
            category=category,
            registered=bool(registered),
            revoked=revoked,
            code_match=code_match,
            strength=CardStrength(strength),
            valid_from_us=valid_from_us,
            valid_until_us=valid_until_us,
            hours=parse_hours(hours),
            places=tuple(filter(None, places.split(";"))),
            lent_by=lender or "",
            lender_gone=bool(lent_by) and lender is None,
        )

    def card_hash(self, uid: bytes) -> bytes:
        """The keyed hash under which a card number is stored: HMAC-SHA-256, 16 bytes."""
        return hmac.digest(self._card_key, uid, "sha256")[:16]

    def _part_hash(self, part: bytes, known: bytes) -> bytes:
        return hmac.digest(self._card_key, part + b"\0" + known, "sha256")[:16]

    def subject_of(self, person_id: str) -> str:
        """The keyed pseudonym of a person: HMAC-SHA-256, 16 hexadecimal digits."""
        return subject_of(self._subject_key, person_id)

    def contact_of(self, subject: str) -> Contact | None:
        """Name and phone of a person, for the guard; None for an unknown one. Raises RosterError."""
        rows = self._rows(
            "SELECT person_id, name_sealed, phone_sealed FROM roster_person WHERE subject = ?", (subject,)
        )
        if not rows:
            return None
        person_id, name, phone = rows[0]
        return Contact(self._unsealed(name, "name", person_id), self._unsealed(phone, "phone", person_id))

    def subjects(self) -> frozenset[str]:
        """The pseudonyms of everybody. Raises RosterError."""
        return frozenset(subject for (subject,) in self._rows("SELECT subject FROM roster_person"))

    def revoke(self, uid: bytes, *, at_us: int, why: str) -> None:
        """This card opens nothing from now on, also one that the roster does not know. Raises RosterError."""
        self._run(_PUT_REVOCATION, (self.card_hash(uid), at_us, why[:200]))

    def revoke_all(self, cards: Iterable[tuple[bytes, str]], reinstated: Iterable[bytes], *, at_us: int) -> int:
        """A whole list (number and reason each) at once, and those that came back; how many did. Raises RosterError."""
        rows = [(self.card_hash(uid), at_us, why[:200]) for uid, why in cards]
        with self._changing() as database:
            database.run_many(_PUT_REVOCATION, rows)
            return sum(database.run(_REINSTATE, (self.card_hash(uid),)) for uid in reinstated)

    def reinstate(self, uid: bytes) -> bool:
        """Lift a revocation (a lost card was found); whether there was one. Raises RosterError."""
        return self._run(_REINSTATE, (self.card_hash(uid),)) > 0

    def counts(self) -> tuple[int, int, int]:
        """How many people, cards and revocations there are. Raises RosterError."""
        people, cards, revocations = (
            self._rows(f"SELECT count(*) FROM {table}")[0][0]  # noqa: S608
            for table in ("roster_person", "roster_card", "roster_revocation")
        )
        return people, cards, revocations

    def strengths(self) -> dict[CardStrength, int]:
        """How many cards must prove what. Raises RosterError."""
        rows = self._rows("SELECT strength, count(*) FROM roster_card GROUP BY strength")
        return {CardStrength(strength): int(count) for strength, count in rows}

    def categories(self) -> dict[str, int]:
        """How many people are of which category. Raises RosterError."""
        rows = self._rows("SELECT category, count(*) FROM roster_person GROUP BY category")
        return {str(category): int(count) for category, count in rows}

    def import_csv(
        self, source: Path | str | Iterable[bytes], *, at_us: int, zone: tzinfo = UTC, replace: bool = False
    ) -> ImportReport:
        """Take the good lines of a CSV (a path, or its raw lines) and report every bad one.

        With ``replace`` the file is the whole roster: people and cards that it does not name go (revocations stay).
        A replacing import with any bad line changes nothing, since somebody's card would silently stop. All in one
        transaction. ``at_us`` dates the revocations; ``zone`` is the site's time zone. Raises RosterError.
        """
        report = ImportReport()
        try:
            if isinstance(source, (str, Path)):
                with Path(source).open("rb") as file:
                    lines = list(read_lines(_bounded(file), report, zone=zone))
            else:
                lines = list(read_lines(source, report, zone=zone))
        except OSError as error:
            raise RosterError(str(source), seen=error.strerror or str(error), expected="a readable CSV file") from error
        good = self._answered_for(_agreeing(lines, report), report, replace=replace)
        if replace and report.bad_lines:
            return report
        with self._changing() as database:
            self._take(database, good, report, at_us, replace=replace)
        return report

    def _answered_for(self, lines: list[RosterLine], report: ImportReport, *, replace: bool) -> list[RosterLine]:
        """The lines without lent cards whose lender is nobody of this site, or holds a lent card only."""
        members = {line.person_id for line in lines if not line.lent_by}
        good = []
        for line in lines:
            if line.lent_by and line.lent_by not in members and (replace or not self._known(line.lent_by)):
                report.refuse(line.line, f"lent_by {line.lent_by!r} is no member of this roster")
            else:
                good.append(line)
        return good

    def _known(self, person_id: str) -> bool:
        return bool(self._rows("SELECT 1 FROM roster_person WHERE person_id = ?", (person_id,)))

    def _take(
        self, database: Database, lines: list[RosterLine], report: ImportReport, at_us: int, *, replace: bool
    ) -> None:
        if replace:
            database.run("DELETE FROM roster_card")
            database.run("DELETE FROM roster_person")
        people = {line.person_id: line for line in lines}
        database.run_many(
            _PUT_PERSON,
            [
                (
                    person_id,
                    self.subject_of(person_id),
                    line.category,
                    line.registered,
                    person_match(self._match_key, line.surname, line.given, line.birth_date),
                    self._sealed(line.name, "name", person_id),
                    self._sealed(line.phone, "phone", person_id),
                )
                for person_id, line in people.items()
            ],
        )
        held = [line for line in lines if line.card_uid]
        hashed = {line.card_uid: self.card_hash(line.card_uid) for line in held}
        database.run_many(
            _PUT_CARD,
            [
                (
                    hashed[line.card_uid],
                    line.person_id,
                    str(line.card_strength),
                    line.valid_from_us,
                    line.valid_until_us,
                    line.hours,
                    ";".join(line.places),
                    line.lent_by,
                    self._part_hash(b"tail", line.card_uid[1:]) if len(line.card_uid) == WHOLE_BYTES else None,
                    self._part_hash(b"head", line.card_uid[:-1]) if len(line.card_uid) == WHOLE_BYTES else None,
                )
                for line in held
            ],
        )
        revoked = {card_hash for (card_hash,) in database.rows("SELECT card_hash FROM roster_revocation")}
        report.kept_revoked += sum(1 for line in held if not line.revoked and hashed[line.card_uid] in revoked)
        database.run_many(_PUT_REVOCATION, [(hashed[line.card_uid], at_us, "roster") for line in held if line.revoked])
        report.people += len(people)
        report.cards += len(held)

    def _sealed(self, text: str, column: str, person_id: str) -> bytes:
        return self._seal.sealed_text(text, column, person_id) if text else b""

    def _unsealed(self, sealed: bytes, column: str, person_id: str) -> str:
        try:
            return self._seal.opened_text(sealed, column, person_id) if sealed else ""
        except SealError as error:
            raise RosterError(f"{self._path}: a sealed {column}", seen=error.seen, hint="import again") from error

    def _check_key(self) -> None:
        rows = self._rows("SELECT person_id, subject FROM roster_person LIMIT 1")
        if rows and rows[0][1] != self.subject_of(rows[0][0]):
            raise RosterError(
                str(self._path),
                seen="pseudonyms made under another key",
                expected="the key with which this roster was imported",
                hint="give back that key, or remove the file and import again",
            )


_NOBODY = RosterEntry(
    subject="",
    category="",
    registered=False,
    revoked=True,
    code_match="",
    strength=CardStrength.UID,
    valid_from_us=None,
    valid_until_us=None,
    hours=(),
    places=(),
)


def _bounded(file: BinaryIO) -> Iterator[bytes]:
    # A line that is too long is cut one byte past the limit, so that it is seen as too long and still is one line.
    while line := file.readline(MAX_LINE_BYTES + 1):
        rest = line
        while len(rest) > MAX_LINE_BYTES and not rest.endswith(b"\n"):
            rest = file.readline(MAX_LINE_BYTES + 1)
        yield line


def _agreeing(lines: list[RosterLine], report: ImportReport) -> list[RosterLine]:
    """The lines without those that contradict an earlier one: another person of the same id, the same card twice."""
    first_of: dict[str, RosterLine] = {}
    card_of: dict[bytes, RosterLine] = {}
    good = []
    for line in lines:
        person = first_of.setdefault(line.person_id, line)
        if person.person() != line.person():
            report.refuse(line.line, f"person {line.person_id!r} differs from line {person.line}")
            continue
        if line.card_uid:
            card = card_of.setdefault(line.card_uid, line)
            if card is not line:
                report.refuse(line.line, f"the card stands on line {card.line} already")
                continue
        good.append(line)
    return good
