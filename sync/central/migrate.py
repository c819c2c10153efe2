"""Brings the central's database to the schema that this program works with, once, whoever else starts beside it.

===========  ===================================================================================================
empty        none of our tables: every revision is run
unstamped    made by a program from before migrations (its tables, no revision): what is missing is added, the
             outcome is compared with the models, and only then is it stamped
current      nothing to do; found out without a lock, and without loading Alembic
behind       revisions are missing: run, but at start only if each says that it is ``additive`` (quick, and a
             program of the revision before can go on working beside it); ``gatepost-central database upgrade``
             runs any
newer        it has a revision that this program does not know: refused, unchanged
===========  ===================================================================================================

One transaction does all of it, DDL included, under a lock that only one process gets: ``BEGIN EXCLUSIVE`` on SQLite,
``pg_advisory_xact_lock`` on PostgreSQL. Who waited for it finds the database current. A failure leaves it as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, MetaData, inspect, text

from sync.errors import SyncError

if TYPE_CHECKING:
    from alembic.config import Config
    from alembic.script import Script

HEAD = "0005"
VERSIONS = Path(__file__).resolve().parent / "migrations" / "versions"
LEGACY_SCHEMA_VERSION = "1"
"""What programs from before migrations wrote into ``meta`` and demand there: they run on revision 0001 as well. A
revision that they cannot live with changes it."""
_LOCK_KEY = int.from_bytes(b"gatepost", "big") >> 1  # one bigint for every central that shares the database


class State(StrEnum):
    """Where a database stands; see the head of this file."""

    EMPTY = "empty"
    UNSTAMPED = "unstamped"
    CURRENT = "current"
    BEHIND = "behind"
    NEWER = "newer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """One step of the history: its id, what it does in one line, and whether it may run at start."""

    name: str
    what: str
    additive: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where a database stands: ``seen`` is its revision ("" for none), ``missing`` what would be run, in order."""

    state: State
    seen: str
    expected: str
    missing: tuple[Revision, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """The revisions that a program knows; ``models`` is what the newest of them amounts to."""

    models: MetaData
    versions: Path = VERSIONS
    head: str = HEAD

    def config(self, connection: Connection | None = None) -> Config:
        """Alembic's configuration, which needs no file."""
        from alembic.config import Config

        config = Config()
        config.set_main_option("script_location", str(VERSIONS.parent).replace("%", "%%"))
        config.set_main_option("path_separator", "newline")
        config.set_main_option("version_locations", str(self.versions).replace("%", "%%"))
        config.attributes["connection"] = connection
        return config

    def revisions(self) -> tuple[Script, ...]:
        """Every revision, oldest first."""
        from alembic.script import ScriptDirectory

        return tuple(reversed(tuple(ScriptDirectory.from_config(self.config()).walk_revisions())))


def is_current(connection: Connection, history: History) -> bool:
    """Whether the database has the newest revision; cheap, since every start of every command asks."""
    return inspect(connection).has_table("alembic_version") and _seen(connection) == history.head


def standing(connection: Connection, history: History, *, database: str) -> Standing:
    """Where the database stands.

    Raises SyncError when it holds some of our tables but is none of ours, or has an older program's unknown form.
    """
    seen = _seen(connection) if inspect(connection).has_table("alembic_version") else ""
    if not seen:
        state = State.UNSTAMPED if _made_before_migrations(connection, history, database) else State.EMPTY
        return Standing(state=state, seen="", expected=history.head, missing=_after(history, ""))
    if seen == history.head:
        return Standing(state=State.CURRENT, seen=seen, expected=history.head, missing=())
    known = seen in {script.revision for script in history.revisions()}
    return Standing(
        state=State.BEHIND if known else State.NEWER,
        seen=seen,
        expected=history.head,
        missing=_after(history, seen) if known else (),
    )


def bring_up(
    begin: Callable[[], AbstractContextManager[Connection]],
    history: History,
    *,
    database: str,
    first_rows: Callable[[Connection], None],
    any_revision: bool,
) -> Standing:
    """Make or upgrade the database; returns where it stood before.

    ``begin`` opens the one transaction (on SQLite with ``BEGIN EXCLUSIVE``), ``first_rows`` puts into a new database
    what every store begins with. ``any_revision`` False runs additive revisions only. Raises SyncError, with the
    database unchanged, when it is newer than this program, is none of ours, or needs what may not be done now.
    """
    with begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK_KEY})
        found = standing(connection, history, database=database)
        if found.state is State.NEWER:
            raise SyncError(
                f"central database {database}",
                seen=f"revision {found.seen}, of a newer program",
                expected=f"{history.head} or older",
                hint="start the gatepost-central that it was upgraded for, or restore the backup from before",
            )
        heavy = [revision for revision in found.missing if not revision.additive]
        if found.state is State.BEHIND and heavy and not any_revision:
            raise SyncError(
                f"central database {database}",
                seen=f"revision {found.seen}",
                expected=f"{history.head}; {', '.join(r.name for r in heavy)} may not run beside an older program",
                hint="stop every gatepost-central, back up, then gatepost-central database upgrade",
            )
        if found.missing:
            from alembic import command

            command.upgrade(history.config(connection), "head")
        if found.state is State.UNSTAMPED:
            _require_models(connection, history, database)
        if found.state is State.EMPTY:
            first_rows(connection)
        return found


def _seen(connection: Connection) -> str:
    names = connection.execute(text("SELECT version_num FROM alembic_version ORDER BY version_num")).scalars()
    return " ".join(names)


def _after(history: History, seen: str) -> tuple[Revision, ...]:
    scripts = history.revisions()
    names = [script.revision for script in scripts]
    return tuple(
        Revision(name=script.revision, what=script.doc, additive=bool(getattr(script.module, "additive", False)))
        for script in scripts[names.index(seen) + 1 if seen else 0 :]
    )


def _made_before_migrations(connection: Connection, history: History, database: str) -> bool:
    """Whether our tables are there without a revision; raises SyncError where they are somebody else's."""
    ours = sorted(set(inspect(connection).get_table_names()) & set(history.models.tables))
    if not ours:
        return False
    version = None
    if "meta" in ours and {"name", "value"} <= {column["name"] for column in inspect(connection).get_columns("meta")}:
        version = connection.execute(text("SELECT value FROM meta WHERE name = 'schema_version'")).scalar()
    if version != LEGACY_SCHEMA_VERSION:
        raise SyncError(
            f"central database {database}",
            seen=f"tables {', '.join(ours)[:120]}, schema version {version or 'unknown'}",
            expected=f"an empty database, or one that gatepost-central made (schema version {LEGACY_SCHEMA_VERSION})",
            hint="name another database",
        )
    return True


def _require_models(connection: Connection, history: History, database: str) -> None:
    """A database that was taken over is stamped only if it now is what the models say."""
    odd = differences(connection, history.models)
    if odd:
        raise SyncError(
            f"central database {database}",
            seen=f"made before migrations, with another schema: {'; '.join(odd)[:300]}",
            expected="the tables of gatepost-central",
            hint="start the gatepost-central that made it once more, or restore its backup",
        )


def differences(connection: Connection, models: MetaData) -> Sequence[str]:
    """What the database lacks or has otherwise than the models; tables of others do not count."""
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    def ours(name: str | None, kind: str, parents: object) -> bool:
        return kind != "table" or name in models.tables

    context = MigrationContext.configure(connection, opts={"include_name": ours})
    return [str(difference) for difference in compare_metadata(context, models)]
