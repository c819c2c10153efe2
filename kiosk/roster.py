"""The kiosk's copy of people, cards and revocations: looked up at each tap, with the network away.

Cards are found by a keyed hash of their number, so that a stolen file names no card; names and phones are sealed
(AES-256-GCM) in columns of their own and are opened for the guard alone; records know a person by a keyed pseudonym.
All keys follow from the one 32-byte key that :meth:`Roster.open` is given (HKDF-SHA-256, RFC 5869).

A revocation is sticky: an import that forgets it does not lift it, only :meth:`Roster.reinstate` does.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, tzinfo
from pathlib import Path

from config.policy import Hours
from kiosk.credentials.person_match import person_match
from kiosk.credentials.pseudonym import subject_key_of, subject_of
from kiosk.database import Database, OpenDatabase, SqliteDatabase
from kiosk.evidence import CardStrength
from kiosk.roster_csv import ImportReport, RosterLine, agreeing, bounded_lines, parse_hours, read_lines
from kiosk.roster_tables import (
    FIND,
    FIND_BY_HEAD,
    FIND_BY_TAIL,
    PUT_CARD,
    PUT_PERSON,
    PUT_REVOCATION,
    REINSTATE,
    REVOKED,
    STORE,
    RosterError,
)
from kiosk.sealing import Seal, SealError, derived_key
from kiosk.store_file import Store

KEY_BYTES = 32
WHOLE_BYTES = 4
"""A number of which a reader of 26 bits tells three bytes."""


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
        sql, part = (FIND_BY_TAIL, b"tail") if last else (FIND_BY_HEAD, b"head")
        hashes |= {bytes(row[0]) for row in self._rows(sql, (self._part_hash(part, known),))}
        entries = [entry for card_hash in sorted(hashes) if (entry := self._find(card_hash)) is not None]
        return entries[:2]

    def _find(self, card_hash: bytes) -> RosterEntry | None:
        with self._using() as database:
            found = database.rows(FIND, (card_hash,))
            revoked = bool(database.rows(REVOKED, (card_hash,)))
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
        self._run(PUT_REVOCATION, (self.card_hash(uid), at_us, why[:200]))

    def revoke_all(self, cards: Iterable[tuple[bytes, str]], reinstated: Iterable[bytes], *, at_us: int) -> int:
        """A whole list (number and reason each) at once, and those that came back; how many did. Raises RosterError."""
        rows = [(self.card_hash(uid), at_us, why[:200]) for uid, why in cards]
        with self._changing() as database:
            database.run_many(PUT_REVOCATION, rows)
            return sum(database.run(REINSTATE, (self.card_hash(uid),)) for uid in reinstated)

    def reinstate(self, uid: bytes) -> bool:
        """Lift a revocation (a lost card was found); whether there was one. Raises RosterError."""
        return self._run(REINSTATE, (self.card_hash(uid),)) > 0

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
                    lines = list(read_lines(bounded_lines(file), report, zone=zone))
            else:
                lines = list(read_lines(source, report, zone=zone))
        except OSError as error:
            raise RosterError(str(source), seen=error.strerror or str(error), expected="a readable CSV file") from error
        good = self._answered_for(agreeing(lines, report), report, replace=replace)
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
            PUT_PERSON,
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
            PUT_CARD,
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
        database.run_many(PUT_REVOCATION, [(hashed[line.card_uid], at_us, "roster") for line in held if line.revoked])
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
