"""A store in a SQLite file of its own: what kind of file it is (:class:`StoreFile`), and its use by several threads
(:class:`Store`), whose failures are the store's own error.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from config.errors import GatepostError
from kiosk.database import (
    Database,
    DatabaseError,
    Failure,
    KioskTable,
    OpenDatabase,
    Row,
    create_statements,
    transaction,
)


@dataclass(frozen=True, slots=True)
class StoreFile:
    """What kind of file it is. ``application_id`` stands in the file's header, ``version`` is its format's number;
    ``what`` names it in errors, which are of the type ``error``. ``upgrades`` are the statements that make the next
    format of each older one."""

    what: str
    application_id: int
    version: int
    tables: Sequence[type[KioskTable]]
    error: type[GatepostError]
    upgrades: Mapping[int, Sequence[str]] = field(default_factory=dict)

    def open(self, path: Path, open_database: OpenDatabase) -> Database:
        """The open file, made (mode 0600) when there is none.

        Raises ``error`` when it is something else, of another format, or cannot be opened.
        """
        with self.own_errors():
            database = open_database(path)
            try:
                self._settle(path, database)
            except BaseException:
                database.close()
                raise
        return database

    def damage(self, path: Path, open_database: OpenDatabase) -> str:
        """What is wrong with the file, as far as SQLite can see; "" for nothing, and where there is no file.

        Raises ``error`` for what :meth:`open` raises it for, and for trouble that may pass.
        """
        if not path.exists():
            return ""
        for attempt in (1, 2):
            try:
                return _looked_through(open_database(path, read_only=True))
            except DatabaseError as error:
                # A block that cannot be read may be read the second time.
                if error.failure is Failure.DAMAGED or (error.failure is Failure.UNREADABLE and attempt == 2):
                    return error.seen
                if error.failure is not Failure.UNREADABLE:
                    raise self.error(error.thing, seen=error.seen, expected=error.expected, hint=error.hint) from error
        return ""

    @contextmanager
    def own_errors(self) -> Iterator[None]:
        """A failure of the database inside the block is raised as the store's ``error``."""
        try:
            yield
        except DatabaseError as error:
            raise self.error(error.thing, seen=error.seen, expected=error.expected, hint=error.hint) from error

    def _settle(self, path: Path, database: Database) -> None:
        application, version, tables = _facts(database)
        if not tables or (application == self.application_id and version in self.upgrades):
            with transaction(database):  # all steps or none: a power cut leaves the old format whole
                application, version, tables = _facts(database)  # another process may have come first
                if not tables:
                    application, version = self._make(database)
                elif application == self.application_id:
                    version = self._upgrade(database, version)
        if (application, version) != (self.application_id, self.version):
            raise self.error(
                str(path),
                seen=f"application id {application}, format {version}",
                expected=f"{self.what} of format {self.version}",
                hint=f"give {self.what} a file of its own",
            )

    def _make(self, database: Database) -> tuple[int, int]:
        for statement in create_statements(self.tables):
            database.run(statement)
        database.run(f"PRAGMA application_id = {self.application_id}")
        database.run(f"PRAGMA user_version = {self.version}")
        return self.application_id, self.version

    def _upgrade(self, database: Database, version: int) -> int:
        while version in self.upgrades:
            for statement in self.upgrades[version]:
                database.run(statement)
            version += 1
        database.run(f"PRAGMA user_version = {version}")
        return version


def _looked_through(database: Database) -> str:
    try:
        ((check,), *_) = database.rows("PRAGMA quick_check(1)")
    finally:
        database.close()
    return "" if check == "ok" else str(check)


def _facts(database: Database) -> tuple[int, int, int]:
    """Application id and format in the header, and how many tables and indexes there are."""
    ((application,),) = database.rows("PRAGMA application_id")
    ((version,),) = database.rows("PRAGMA user_version")
    ((tables,),) = database.rows("SELECT count(*) FROM sqlite_master")
    return application, version, tables


class Store:
    """Base of the stores: one open file, its statements one after the other. Thread-safe.

    Every method raises the ``error`` of the file's kind.
    """

    def __init__(self, kind: StoreFile, path: Path, database: Database) -> None:
        self._kind = kind
        self._path = path
        self._database = database
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        with self._using() as database:
            database.close()

    def _rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[Row]:
        with self._using() as database:
            return database.rows(sql, parameters)

    def _run(self, sql: str, parameters: Sequence[Any] = ()) -> int:
        """One statement, durable when this returns; how many rows it changed."""
        with self._changing() as database:
            return database.run(sql, parameters)

    @contextmanager
    def _using(self) -> Iterator[Database]:
        """The database for this thread alone."""
        with self._lock, self._kind.own_errors():
            yield self._database

    @contextmanager
    def _changing(self) -> Iterator[Database]:
        """All of the block, durable when it ends, or nothing of it."""
        with self._using() as database, transaction(database):
            yield database

    def _empty_log(self) -> None:
        """After deleting: nothing of it stays in the write-ahead log (the file itself was overwritten)."""
        self._rows("PRAGMA wal_checkpoint(TRUNCATE)")
