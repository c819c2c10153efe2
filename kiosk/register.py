"""The gate's register of visitors: who came to whom, written once by the guard in half a minute.

Names stand here in sealed columns, in a file of their own, apart from the passages; a passage carries only the
visitor's pseudonym. A visit's pass is good for the person now in the lane, and its row is erased after its retention.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import BigInteger
from sqlmodel import Field

from config.errors import GatepostError
from kiosk.board import RegisterVisitor
from kiosk.clock import Instant
from kiosk.database import Database, KioskTable, OpenDatabase, Row, SqliteDatabase, insert_statement
from kiosk.evidence import CardStrength, PassFinding
from kiosk.sealing import Seal, SealError
from kiosk.store_file import Store, StoreFile

APPLICATION_ID = 0x47505631
"""``GPV1`` in the file's header: this is a register of visitors."""

SCHEMA_VERSION = 1


class RegisterError(GatepostError):
    """The register cannot be opened, read or written."""


class RegisterVisit(KioskTable, table=True):
    """One visit. The sealed columns are AES-256-GCM, each bound to its column and visit."""

    __tablename__ = "register_visit"

    subject: str = Field(primary_key=True)
    at_us: int = Field(sa_type=BigInteger, index=True)
    lane: str
    guard: str
    category: str
    purpose: str
    name_sealed: bytes
    phone_sealed: bytes
    host_sealed: bytes


STORE = StoreFile("a register of visitors", APPLICATION_ID, SCHEMA_VERSION, (RegisterVisit,), RegisterError)


@dataclass(frozen=True, slots=True)
class Visit:
    """One visit, opened for a guard or an export that is allowed to see it."""

    subject: str
    at_us: int
    lane: str
    guard: str
    category: str
    purpose: str
    name: str
    phone_last4: str
    host: str


class Register(Store):
    """The register's file. Thread-safe. Make one with :meth:`open`."""

    def __init__(self, path: Path, key: bytes, database: Database) -> None:
        super().__init__(STORE, path, database)
        self._seal = Seal(key)

    @classmethod
    def open(cls, path: Path, key: bytes, *, open_database: OpenDatabase = SqliteDatabase) -> Register:
        """Open the register at ``path``, making it (mode 0600) when there is none; ``key`` is 32 bytes of its own.

        Raises RegisterError when the file is something else or cannot be opened.
        """
        return cls(path, key, STORE.open(path, open_database))

    def enter(self, visitor: RegisterVisitor, at: Instant) -> PassFinding:
        """Write a visit durably; the finding is the pass for the person now in the lane. Raises RegisterError."""
        subject = secrets.token_hex(8)
        row = (
            subject,
            at.at_us,
            visitor.lane,
            visitor.guard,
            visitor.category,
            visitor.purpose,
            self._seal.sealed_text(visitor.name, "name", subject),
            self._seal.sealed_text(visitor.phone_last4, "phone", subject),
            self._seal.sealed_text(visitor.host, "host", subject),
        )
        self._run(insert_statement(RegisterVisit), row)
        return PassFinding(
            refusal=None, subject=subject, category=visitor.category, strength=CardStrength.PASS_CODE, registered=True
        )

    def visits(self, since_us: int) -> list[Visit]:
        """The visits from ``since_us`` on, oldest first. Raises RegisterError."""
        rows = self._rows(
            "SELECT subject, at_us, lane, guard, category, purpose, name_sealed, phone_sealed, host_sealed "
            "FROM register_visit WHERE at_us >= ? ORDER BY at_us",
            (since_us,),
        )
        return [self._visit(row) for row in rows]

    def _visit(self, row: Row) -> Visit:
        subject, at_us, lane, guard, category, purpose, name, phone, host = row
        return Visit(
            subject=subject,
            at_us=at_us,
            lane=lane,
            guard=guard,
            category=category,
            purpose=purpose,
            name=self._opened(name, "name", subject),
            phone_last4=self._opened(phone, "phone", subject),
            host=self._opened(host, "host", subject),
        )

    def erase(self, before_us: int) -> int:
        """Delete the visits before ``before_us``; how many. Raises RegisterError."""
        count = self._run("DELETE FROM register_visit WHERE at_us < ?", (before_us,))
        self._empty_log()
        return count

    def _opened(self, sealed: bytes, column: str, subject: str) -> str:
        try:
            return self._seal.opened_text(sealed, column, subject)
        except SealError as error:
            raise RegisterError(
                f"{self._path}: a sealed {column}", seen=error.seen, hint="give back its key"
            ) from error
