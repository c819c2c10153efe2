"""The central's schema: made, taken over and upgraded once, on SQLite and on PostgreSQL, or refused unchanged."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import create_engine, inspect, select, text
from typer.testing import CliRunner

from kiosk.records import Stream
from sync.central.cli import app
from sync.central.ingest import Ingest
from sync.central.migrate import HEAD, VERSIONS, History, State, differences
from sync.central.store import HISTORY, Store
from sync.central.tables import CentralTable, Ledger, Meta, StoredRecord, table
from sync.central.verify import verify_store
from sync.errors import SyncError
from tests.conftest import ROOT
from tests.fakes import MORNING_US
from tests.sync_kit import KIOSK, ChainJournal, MemoryCentral, batch_of

NEXT = f"{int(HEAD) + 1:04d}"
LATER = '''"""{what}."""
import sqlalchemy as sa
from alembic import op
revision = "{revision}"
down_revision = "{before}"
additive = {additive}
def upgrade():
    op.add_column("kiosks", sa.Column("room", sa.String(), nullable=False, server_default=""))
    {more}
'''


@pytest.fixture
def database(central_database: str) -> str:
    """An empty database of either kind."""
    return central_database


def rows(database: str, sql: str) -> list[tuple[object, ...]]:
    """What a statement gives, by a connection of its own."""
    engine = create_engine(database if "://" in database else f"sqlite:///{database}")
    with engine.begin() as connection:
        result = connection.execute(text(sql))
        found = [tuple(row) for row in result] if result.returns_rows else []
    engine.dispose()
    return found


def made_before_migrations(database: str, *, without: tuple[str, ...] = ()) -> ChainJournal:
    """A database as the program before made it, with 30 records of one kiosk in it."""
    store = Store(database)
    journal, central = ChainJournal(), MemoryCentral(None, store=store)
    central._now_us = lambda: MORNING_US  # type: ignore[method-assign]
    central.ingest = Ingest(store, now_us=lambda: MORNING_US)
    central.admit(KIOSK)
    for _ in range(30):
        journal.append(Stream.PASSAGE)
    assert central.exchange(batch_of(journal, Stream.PASSAGE, 1, 30)).status == 200
    store.close()
    for name in ("alembic_version", *without):
        rows(database, f"DROP TABLE {name}")
    return journal


def later_revision(folder: Path, *, additive: bool, more: str = "") -> History:
    """The history of a program one revision further on."""
    versions = folder / "versions"
    versions.mkdir()
    for known in VERSIONS.glob("r*.py"):
        (versions / known.name).write_bytes(known.read_bytes())
    later = LATER.format(what="A room", revision=NEXT, before=HEAD, additive=additive, more=more)
    (versions / f"r{NEXT}_room.py").write_text(later)
    return History(models=CentralTable.metadata, versions=versions, head=NEXT)


def test_a_new_database_is_what_the_models_say(database: str) -> None:
    """The revisions, which know no model, make tables, columns, types, keys and indexes as the models have them."""
    store = Store(database)
    with store.reading() as connection:
        assert differences(connection, CentralTable.metadata) == []
        assert inspect(connection).get_pk_constraint("ledger")["constrained_columns"] == [
            "kiosk_id",
            "incarnation",
            "stream",
        ]
        facts = {row.name: row.value for row in connection.execute(select(table(Meta)))}
    assert store.standing().state is State.CURRENT
    assert facts["store_epoch"] == "1"
    store.close()


def test_an_index_that_nobody_asks_goes(database: str) -> None:
    """A database of revision 0004 loses the index of records by passage when it is opened, and nothing else."""
    made_before_migrations(database)
    rows(database, "CREATE INDEX IF NOT EXISTS records_ref ON records (ref)")
    rows(database, "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)")
    rows(database, "INSERT INTO alembic_version (version_num) VALUES ('0004')")
    store = Store(database)
    with store.reading() as connection:
        indexes = {index["name"] for index in inspect(connection).get_indexes("records")}
        assert differences(connection, CentralTable.metadata) == []
    assert indexes == {"records_identity", "records_duty"}
    assert verify_store(store).ok
    store.close()


def test_the_newest_revision_is_the_one_that_the_program_names() -> None:
    """One line of history, and HEAD is its end: opening compares with HEAD alone."""
    assert [script.revision for script in HISTORY.revisions()][-1] == HEAD
    assert len({script.down_revision for script in HISTORY.revisions()}) == len(HISTORY.revisions())


def test_no_revision_imports_a_model() -> None:
    """History does not change when a model does."""
    for file in VERSIONS.glob("*.py"):
        source = file.read_text(encoding="utf-8")
        assert "sync.central.tables" not in source
        assert "sync.central.store" not in source


def test_a_database_from_before_migrations_is_taken_over_whole(database: str) -> None:
    """Its rows, its epoch and its id stay, a table it never had is added, and its chains go on."""
    journal = made_before_migrations(database, without=("phones",))
    facts = rows(database, "SELECT name, value FROM meta ORDER BY name")
    assert Store.as_it_stands(database).standing().state is State.UNSTAMPED
    store = Store(database)
    assert store.standing().state is State.CURRENT
    assert rows(database, "SELECT name, value FROM meta ORDER BY name") == facts
    with store.reading() as connection:
        assert differences(connection, CentralTable.metadata) == []
        assert connection.execute(select(table(Ledger).c.hi)).scalar_one() == 30
        assert len(connection.execute(select(table(StoredRecord).c.seq)).all()) == 30
    assert verify_store(store).ok
    central = MemoryCentral(None, store=store)
    central.ingest = Ingest(store, now_us=lambda: MORNING_US)
    journal.append(Stream.PASSAGE)
    assert central.exchange(batch_of(journal, Stream.PASSAGE, 31, 31)).status == 200
    store.close()


def test_a_taken_over_database_that_is_not_what_it_should_be_stays_unstamped(database: str) -> None:
    """A column that is missing is said by name, and nothing was changed."""
    made_before_migrations(database, without=("phones",))
    rows(database, "ALTER TABLE kiosks DROP COLUMN alarms")
    with pytest.raises(SyncError, match="alarms"):
        Store(database)
    assert Store.as_it_stands(database).standing().state is State.UNSTAMPED
    assert rows(database, "SELECT count(*) FROM records") == [(30,)]
    engine = create_engine(database if "://" in database else f"sqlite:///{database}")
    assert not {"phones", "alembic_version"} & set(inspect(engine).get_table_names())
    engine.dispose()


def test_somebody_elses_tables_are_left_alone(database: str) -> None:
    """A database with a table ``sessions`` of another program is refused, not filled up."""
    rows(database, "CREATE TABLE sessions (id INTEGER PRIMARY KEY)")
    with pytest.raises(SyncError, match="name another database"):
        Store(database)
    assert rows(database, "SELECT count(*) FROM sessions") == [(0,)]


def test_a_database_of_a_newer_program_is_refused_unchanged(database: str) -> None:
    """It says which revision was seen, which was expected, and what to start instead."""
    Store(database).close()
    rows(database, "UPDATE alembic_version SET version_num = '0917'")
    with pytest.raises(SyncError) as refused:
        Store(database)
    assert "0917" in refused.value.seen
    assert HEAD in refused.value.expected
    assert refused.value.hint
    store = Store.as_it_stands(database)
    with pytest.raises(SyncError, match="newer"):
        store.upgrade()
    assert store.standing().state is State.NEWER
    store.close()
    assert rows(database, "SELECT version_num FROM alembic_version") == [("0917",)]


def test_an_additive_revision_runs_at_start_and_a_heavy_one_only_on_command(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At start only what an older program can live beside is run; the command runs the rest, and rows stay."""
    made_before_migrations(database)
    Store(database).close()
    monkeypatch.setattr("sync.central.store.HISTORY", later_revision(tmp_path, additive=False))
    with pytest.raises(SyncError, match="database upgrade"):
        Store(database)
    store = Store.as_it_stands(database)
    assert [(revision.name, revision.what) for revision in store.standing().missing] == [(NEXT, "A room.")]
    assert store.upgrade().state is State.BEHIND
    assert store.standing().state is State.CURRENT
    store.close()
    assert rows(database, "SELECT kiosk_id, room FROM kiosks") == [(KIOSK, "")]
    assert rows(database, "SELECT count(*) FROM records") == [(30,)]


def test_an_additive_revision_needs_no_command(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Starting the newer program is enough."""
    Store(database).close()
    monkeypatch.setattr("sync.central.store.HISTORY", later_revision(tmp_path, additive=True))
    Store(database).close()
    assert rows(database, "SELECT version_num FROM alembic_version") == [(NEXT,)]


def test_a_revision_that_fails_leaves_the_database_as_it_was(database: str, tmp_path: Path) -> None:
    """DDL and stamp are one transaction: half a revision does not exist."""
    Store(database).close()
    store = Store.as_it_stands(database)
    with pytest.raises(SyncError):
        store.upgrade(later_revision(tmp_path, additive=True, more='op.execute("SELECT no_such_column FROM meta")'))
    assert store.standing().state is State.CURRENT
    store.close()
    engine = create_engine(database if "://" in database else f"sqlite:///{database}")
    assert "room" not in {column["name"] for column in inspect(engine).get_columns("kiosks")}
    engine.dispose()


OPENS = """
import sys, alembic.command
from sync.central.store import Store
print("ready", flush=True)
sys.stdin.readline()
Store(sys.argv[1]).close()
"""


def test_several_programs_that_start_together_make_one_database(database: str) -> None:
    """Two processes open an empty database at the same moment; one makes it, nobody fails."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", OPENS, database],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
    assert rows(database, "SELECT count(*) FROM meta WHERE name = 'store_id'") == [(1,)]
    assert rows(database, "SELECT version_num FROM alembic_version") == [(HEAD,)]


def test_the_commands_say_where_a_database_stands_and_bring_it_up(database: str) -> None:
    """``status`` changes nothing and exits with 1 while something is to be done; ``upgrade`` does it."""
    made_before_migrations(database)
    runner = CliRunner()
    before = runner.invoke(app, ["database", "status", "--database", database])
    assert before.exit_code == 1
    assert "unstamped" in before.output
    assert HEAD in before.output
    assert runner.invoke(app, ["database", "status", "--database", database]).output == before.output
    done = runner.invoke(app, ["database", "upgrade", "--database", database])
    assert done.exit_code == 0
    assert HEAD in done.output
    after = runner.invoke(app, ["database", "status", "--database", database])
    assert (after.exit_code, "current" in after.output) == (0, True)
    assert "nothing to do" in runner.invoke(app, ["database", "upgrade", "--database", database]).output


def test_a_password_in_the_address_is_never_shown() -> None:
    """An address that cannot be reached is named without its password."""
    with pytest.raises(SyncError) as refused:
        Store("postgresql+nodriver://gatepost:s3cret@localhost:1/none")
    assert "s3cret" not in str(refused.value)
