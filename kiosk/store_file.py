"""Opens a store's own SQLite file: makes its tables in an empty one, refuses one that is something else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from config.errors import GatepostError
from kiosk.database import Database, DatabaseError, KioskTable, OpenDatabase, create_statements, transaction


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
        try:
            database = open_database(path)
            try:
                self._settle(path, database)
            except BaseException:
                database.close()
                raise
        except DatabaseError as error:
            raise self.translated(error) from error
        return database

    def translated(self, error: DatabaseError) -> GatepostError:
        """A failure of the database as the store's own error."""
        return self.error(error.thing, seen=error.seen, expected=error.expected, hint=error.hint)

    def _settle(self, path: Path, database: Database) -> None:
        ((application,),) = database.rows("PRAGMA application_id")
        ((version,),) = database.rows("PRAGMA user_version")
        ((tables,),) = database.rows("SELECT count(*) FROM sqlite_master")
        if not tables:
            with transaction(database):
                for statement in create_statements(self.tables):
                    database.run(statement)
                database.run(f"PRAGMA application_id = {self.application_id}")
                database.run(f"PRAGMA user_version = {self.version}")
            return
        if application == self.application_id and version in self.upgrades:
            with transaction(database):  # all steps or none: a power cut leaves the old format whole
                while version in self.upgrades:
                    for statement in self.upgrades[version]:
                        database.run(statement)
                    version += 1
                database.run(f"PRAGMA user_version = {version}")
        if (application, version) != (self.application_id, self.version):
            raise self.error(
                str(path),
                seen=f"application id {application}, format {version}",
                expected=f"{self.what} of format {self.version}",
                hint=f"give {self.what} a file of its own",
            )
