"""The central's database: SQLite by default, any SQLAlchemy URL otherwise."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, insert, make_url, select, update
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from sync.central.migrate import LEGACY_SCHEMA_VERSION, History, Standing, bring_up, is_current, standing
from sync.central.tables import CentralTable, Counter, Meta, table
from sync.errors import SyncError

HISTORY = History(models=CentralTable.metadata)
_EPOCH = select(table(Meta).c.value).where(table(Meta).c.name == "store_epoch")


def database_url(database: str) -> str:
    """An SQLAlchemy URL of a URL, or of the path of a SQLite file."""
    return database if "://" in database else f"sqlite:///{Path(database).absolute()}"


class Store:
    """The central's database. Thread-safe; several processes may open the same one (not ``sqlite://``, in memory).

    Opening makes a new database and runs what is missing where that is safe (``sync/central/migrate.py``). Raises
    SyncError when it cannot be opened, is newer than this program, or must be upgraded by hand.
    """

    def __init__(self, database: str | Path) -> None:
        self._open(database)
        with self._readable():
            with self.reading() as connection:
                current = is_current(connection, HISTORY)
            if not current:
                self._bring_up(HISTORY, any_revision=False)

    @classmethod
    def as_it_stands(cls, database: str | Path) -> Store:
        """The same, nothing made or upgraded: for the commands that look at the schema itself."""
        store = cls.__new__(cls)
        store._open(database)
        return store

    def standing(self, history: History | None = None) -> Standing:
        """Where the schema stands; raises SyncError when it cannot be read or is none of ours."""
        with self._readable(), self.reading() as connection:
            return standing(connection, history or HISTORY, database=self.url)

    def upgrade(self, history: History | None = None) -> Standing:
        """Run every revision that is missing; returns where the schema stood. Raises SyncError as opening does."""
        with self._readable():
            return self._bring_up(history or HISTORY, any_revision=True)

    def _open(self, database: str | Path) -> None:
        address = database_url(str(database))
        self.is_sqlite = address.startswith("sqlite")
        if address.startswith("sqlite:///"):
            _make_private(Path(address.removeprefix("sqlite:///")))
        try:
            self.url = make_url(address).render_as_string(hide_password=True)
            self.engine: Engine = create_engine(
                address, connect_args={"timeout": 30.0} if self.is_sqlite else {}, pool_pre_ping=not self.is_sqlite
            )
        except (ArgumentError, ImportError) as error:
            raise SyncError(
                "central database",
                seen=str(error)[:200],
                expected="the path of a SQLite file, or postgresql+psycopg://user@host/name",
                hint="PostgreSQL needs the extra: pip install gatepost[postgresql]",
            ) from error
        if self.is_sqlite:
            event.listen(self.engine, "connect", _set_up_sqlite)
            event.listen(self.engine, "begin", _begin)

    @contextmanager
    def _readable(self) -> Iterator[None]:
        try:
            yield
        except SQLAlchemyError as error:
            raise SyncError(
                f"central database {self.url}", seen=str(error)[:200], expected="a database that can be written"
            ) from error

    def close(self) -> None:
        """Give the connections back."""
        self.engine.dispose()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that only reads: one consistent state of everything."""
        with self.engine.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that writes; committed durably when the block ends, rolled back when it raises.

        On SQLite it takes the write lock at once (BEGIN IMMEDIATE), so that reading and then writing inside it
        cannot fail half-way with "database is locked".
        """
        with self.engine.connect().execution_options(gatepost_begin="IMMEDIATE") as connection, connection.begin():
            yield connection

    def epoch(self, connection: Connection) -> int:
        """The store epoch, 1 or more; it rises whenever this store went back to an earlier state."""
        return int(connection.execute(_EPOCH).scalar_one())

    def raise_epoch(self, connection: Connection, *, above: int = 0) -> int:
        """Raise the store epoch beyond itself and ``above``, and return it."""
        epoch = max(self.epoch(connection), above) + 1
        connection.execute(update(table(Meta)).where(table(Meta).c.name == "store_epoch").values(value=str(epoch)))
        return epoch

    @contextmanager
    def _alone(self) -> Iterator[Connection]:
        """A transaction beside which no other process writes (SQLite) or upgrades (the lock in ``bring_up``)."""
        with self.engine.connect().execution_options(gatepost_begin="EXCLUSIVE") as connection, connection.begin():
            yield connection

    def _bring_up(self, history: History, *, any_revision: bool) -> Standing:
        return bring_up(
            self._alone, history, database=self.url, first_rows=_insert_first_rows, any_revision=any_revision
        )


def _insert_first_rows(connection: Connection) -> None:
    """What a new store begins with."""
    first = {"schema_version": LEGACY_SCHEMA_VERSION, "store_epoch": "1", "store_id": os.urandom(8).hex()}
    connection.execute(insert(table(Meta)), [{"name": name, "value": value} for name, value in first.items()])
    connection.execute(insert(table(Counter)).values(name="receive_id", value=0))


def _make_private(path: Path) -> None:
    """A new SQLite file belongs to its owner alone; SQLite gives its -wal and -shm files the same mode."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))


def _set_up_sqlite(connection: Any, _record: Any) -> None:
    # The driver's own transaction handling is switched off; BEGIN is said below, as SQLAlchemy's manual advises.
    connection.isolation_level = None
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "secure_delete=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: Connection) -> None:
    mode = connection.get_execution_options().get("gatepost_begin", "DEFERRED")
    connection.exec_driver_sql(f"BEGIN {mode}")
