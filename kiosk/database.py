"""The seam to SQLite: the few calls that the kiosk's stores make, so that the same statements run on the standard
driver and on a fault-injecting one (``tests/faulty_database.py``).

The settings are the product's promise, so they stand here once: write-ahead log with ``synchronous=FULL`` (a
commit returns after its fdatasync), ``secure_delete`` (an erased payload is overwritten with zeros), file mode 0600.
Reference: https://www.sqlite.org/wal.html, https://www.sqlite.org/pragma.html#pragma_synchronous,
https://www.sqlite.org/rescode.html.
"""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

from sqlalchemy import Table, insert
from sqlalchemy.dialects import sqlite
from sqlalchemy.orm import registry
from sqlalchemy.schema import CreateIndex, CreateTable
from sqlmodel import SQLModel

from config.errors import GatepostError
from kiosk.wal import use_wal

Row = tuple[Any, ...]

PAGE_BYTES = 2048
"""Page size of a new file: a commit writes whole pages, and a row here takes 0.2 to 1 kB. Against 4096 bytes it halves
what goes to the card; 1024 would push most payloads into overflow pages."""


class KioskTable(SQLModel, registry=registry()):
    """Base of every table that the kiosk keeps; a registry of its own, apart from the central's."""


def table_of(model: type[KioskTable]) -> Table:
    """The SQLAlchemy table behind a declared model."""
    return model.metadata.tables[str(model.__tablename__)]


_DIALECT = sqlite.dialect(paramstyle="qmark")


def create_statements(models: Sequence[type[KioskTable]]) -> list[str]:
    """The CREATE statements of the declared tables and their indexes, in order."""
    statements = []
    for model in models:
        table = table_of(model)
        statements.append(str(CreateTable(table).compile(dialect=_DIALECT)).strip())
        statements += [str(CreateIndex(index).compile(dialect=_DIALECT)) for index in sorted(table.indexes, key=str)]
    return statements


def insert_statement(model: type[KioskTable]) -> str:
    """INSERT of one row, its parameters in the order in which the model declares its columns."""
    return str(insert(table_of(model)).compile(dialect=_DIALECT))


class Failure(StrEnum):
    """What kind of trouble the database reports: what to do next depends on nothing else."""

    FULL = "full"
    INPUT_OUTPUT = "input_output"
    DAMAGED = "damaged"
    UNREADABLE = "unreadable"
    BUSY = "busy"
    NOT_OPENED = "not_opened"
    OTHER = "other"

    @property
    def means_damage(self) -> bool:
        """Whether the file itself is bad, so that trying again cannot help."""
        return self in (Failure.DAMAGED, Failure.UNREADABLE)


class DatabaseError(GatepostError):
    """A statement that did not go through; ``failure`` says of what kind."""

    def __init__(self, thing: str, failure: Failure, *, seen: str = "", expected: str = "", hint: str = "") -> None:
        super().__init__(thing, seen=seen, expected=expected, hint=hint)
        self.failure = failure


class Database(Protocol):
    """One connection. Every method raises :class:`DatabaseError`; nothing else of the driver shows through."""

    def run(self, sql: str, parameters: Sequence[Any] = ()) -> int:
        """Run one statement; the number of rows it changed."""
        ...

    def run_many(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        """Run one statement for each row of parameters."""
        ...

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """All rows of a query."""
        ...

    def commit(self) -> None:
        """End the transaction; durable when it returns."""
        ...

    def rollback(self) -> None:
        """Give the transaction up, if there is one."""
        ...

    def close(self) -> None:
        """Let go of the file."""
        ...


class OpenDatabase(Protocol):
    """How a store gets a connection: :class:`SqliteDatabase`, or a test's."""

    def __call__(self, path: Path, *, read_only: bool = False) -> Database:
        """Open the file at ``path``; made when missing, unless ``read_only``."""
        ...


@contextmanager
def transaction(database: Database) -> Iterator[None]:
    """All of the block or nothing of it. The commit's own failure is raised after a roll-back."""
    try:
        database.run("BEGIN IMMEDIATE")
        yield
        database.commit()
    except BaseException:
        database.rollback()
        raise


class SqliteDatabase:
    """The seam on Python's sqlite3. ``read_only`` opens for a process that must never write this file.

    A connection may be used from several threads, one at a time (the stores hold a lock).
    """

    def __init__(self, path: Path, *, read_only: bool = False, busy_timeout_s: float = 5.0) -> None:
        self._path = path
        uri = f"file:{quote(str(path))}?mode={'ro' if read_only else 'rw'}"
        if not read_only:
            self._create_private(path)
        try:
            self._connection = sqlite3.connect(
                uri, uri=True, timeout=busy_timeout_s, isolation_level=None, check_same_thread=False
            )
        except _DRIVER_ERRORS as error:
            raise self._translated(error) from error
        try:
            if read_only:
                self.run("PRAGMA query_only=ON")
                self.rows("SELECT count(*) FROM sqlite_master")
            else:
                self._settle(busy_timeout_s)
        except BaseException:
            self._connection.close()
            raise

    @staticmethod
    def _create_private(path: Path) -> None:
        # SQLite gives -wal and -shm the mode of the database file, so this one call keeps all three private.
        try:
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        except OSError as error:
            failure = Failure.FULL if error.errno == errno.ENOSPC else Failure.NOT_OPENED
            raise DatabaseError(
                str(path),
                failure,
                seen=error.strerror or str(error),
                hint="look at owner, mode and space of its folder",
            ) from error

    def _settle(self, busy_timeout_s: float) -> None:
        # Both take effect only in a new file; with the second, freed pages can be given back later, in steps.
        self.run(f"PRAGMA page_size={PAGE_BYTES}")
        self.run("PRAGMA auto_vacuum=INCREMENTAL")
        try:
            mode = use_wal(self._connection, within_s=busy_timeout_s)
        except _DRIVER_ERRORS as error:
            raise self._translated(error) from error
        if mode != "wal":
            raise DatabaseError(
                str(self._path), Failure.NOT_OPENED, seen=f"journal mode {mode}", expected="wal",
                hint="keep it on a local file system (ext4), not on a network share",
            )  # fmt: skip
        self.run("PRAGMA synchronous=FULL")
        self.run("PRAGMA secure_delete=ON")
        self.run("PRAGMA foreign_keys=ON")

    def _translated(self, error: Exception) -> DatabaseError:
        name = getattr(error, "sqlite_errorname", type(error).__name__)
        failure = failure_of(getattr(error, "sqlite_errorcode", None))
        # The driver's own complaints about damaged text, in a value or in SQLite's message, come without a code.
        if isinstance(error, UnicodeDecodeError) or "decode to UTF-8" in str(error):
            failure = Failure.DAMAGED
        return DatabaseError(str(self._path), failure, seen=f"{name}: {error}", hint=_HINTS[failure])

    def run(self, sql: str, parameters: Sequence[Any] = ()) -> int:
        """Run one statement; the number of rows it changed."""
        try:
            return self._connection.execute(sql, parameters).rowcount
        except _DRIVER_ERRORS as error:
            raise self._translated(error) from error

    def run_many(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        """Run one statement for each row of parameters."""
        try:
            self._connection.executemany(sql, rows)
        except _DRIVER_ERRORS as error:
            raise self._translated(error) from error

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """All rows of a query."""
        try:
            return self._connection.execute(sql, parameters).fetchall()
        except _DRIVER_ERRORS as error:
            raise self._translated(error) from error

    def commit(self) -> None:
        """End the transaction; durable when it returns."""
        self.run("COMMIT")

    def rollback(self) -> None:
        """Give the transaction up, if there is one (SQLite may have done so by itself)."""
        if self._connection.in_transaction:
            self.run("ROLLBACK")

    def close(self) -> None:
        """Let go of the file."""
        try:
            self._connection.close()
        except _DRIVER_ERRORS as error:
            raise self._translated(error) from error


_DRIVER_ERRORS = (sqlite3.Error, sqlite3.Warning, UnicodeDecodeError)


def failure_of(code: int | None) -> Failure:
    """The kind of trouble behind a SQLite result code (primary or extended)."""
    if code in _UNREADABLE:
        return Failure.UNREADABLE
    return _FAILURES.get((code or 0) & 0xFF, Failure.OTHER)


# A block of the card or disk that cannot be read back, or a file shorter than it says.
_UNREADABLE = {
    sqlite3.SQLITE_IOERR_READ,
    sqlite3.SQLITE_IOERR_SHORT_READ,
    sqlite3.SQLITE_IOERR_DATA,
    sqlite3.SQLITE_IOERR_CORRUPTFS,
}
_FAILURES = {
    sqlite3.SQLITE_FULL: Failure.FULL,
    sqlite3.SQLITE_IOERR: Failure.INPUT_OUTPUT,
    sqlite3.SQLITE_CORRUPT: Failure.DAMAGED,
    sqlite3.SQLITE_NOTADB: Failure.DAMAGED,
    sqlite3.SQLITE_BUSY: Failure.BUSY,
    sqlite3.SQLITE_LOCKED: Failure.BUSY,
    sqlite3.SQLITE_CANTOPEN: Failure.NOT_OPENED,
    sqlite3.SQLITE_PERM: Failure.NOT_OPENED,
    sqlite3.SQLITE_READONLY: Failure.NOT_OPENED,
    sqlite3.SQLITE_AUTH: Failure.NOT_OPENED,
}

_HINTS = {
    Failure.FULL: "free some space on this file system",
    Failure.INPUT_OUTPUT: "look at the kernel log: the card or disk may be failing",
    Failure.DAMAGED: "restart the gate: a damaged file is set aside and a new one begun",
    Failure.UNREADABLE: "look at the kernel log: the card or disk is failing",
    Failure.BUSY: "look for a second program that writes this file",
    Failure.NOT_OPENED: "look at owner and mode of the file and of its folder",
    Failure.OTHER: "",
}
