"""Several processes open the same new file at the same moment: the gate, and a command-line tool at a first start."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from kiosk.database import Database, DatabaseError, Failure, Row, SqliteDatabase
from kiosk.photos import Photos, PhotosError
from kiosk.roster import Roster

ROOT = Path(__file__).parents[2]
KEY = bytes(range(32))


@pytest.mark.parametrize("kind", ["roster", "acks"])
def test_processes_that_open_a_new_file_together_all_get_it(kind: str, tmp_path: Path) -> None:
    """Of four that open each of eight new files within microseconds, none is told that it is locked or half made."""
    ended = subprocess.run(
        [sys.executable, "-m", "tests.integration.open_together", kind, str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert (ended.stdout, ended.returncode) == ("", 0), ended.stderr[-2000:]
    assert len(list(tmp_path.glob("*.db"))) == 8


class MeetsAnother(SqliteDatabase):
    """A connection whose first look finds an empty file, just before another process has made its tables."""

    def __init__(self, path: Path, other: Callable[[Path], None], *, read_only: bool = False) -> None:
        self._other: Callable[[], None] | None = partial(other, path)
        super().__init__(path, read_only=read_only)

    def rows(self, sql: str, parameters: Any = ()) -> list[Row]:
        found = super().rows(sql, parameters)
        if "count(*) FROM sqlite_master" in sql and self._other is not None:
            other, self._other = self._other, None
            other()
        return found


def meeting(other: Callable[[Path], None]) -> Callable[..., Database]:
    """An ``OpenDatabase`` that meets ``other`` while it opens."""
    return partial(MeetsAnother, other=other)


def test_who_comes_second_takes_the_tables_of_the_first(tmp_path: Path) -> None:
    """A store that looked before the other one's tables stood does not make them once more."""
    path = tmp_path / "photos.db"
    with Photos.open(path, KEY, open_database=meeting(lambda path: Photos.open(path, KEY).close())) as photos:
        assert not photos.has("nobody")


def test_who_comes_second_does_not_upgrade_again(tmp_path: Path) -> None:
    """An older file that another process has just brought to today's format is taken as it is."""
    path = tmp_path / "roster.db"
    Roster.open(path, KEY).close()
    older = sqlite3.connect(path, isolation_level=None)
    for part in ("tail_hash", "head_hash"):
        older.execute(f"DROP INDEX ix_roster_card_{part}")
        older.execute(f"ALTER TABLE roster_card DROP COLUMN {part}")
    older.execute("PRAGMA user_version = 2")
    older.close()
    with Roster.open(path, KEY, open_database=meeting(lambda path: Roster.open(path, KEY).close())) as roster:
        assert roster.counts() == (0, 0, 0)


def test_a_file_that_turns_out_to_be_another_stores_is_refused(tmp_path: Path) -> None:
    """Whoever came first made a roster of it: it is no store of photographs."""
    path = tmp_path / "mixed.db"
    with pytest.raises(PhotosError, match="file of its own"):
        Photos.open(path, KEY, open_database=meeting(lambda path: Roster.open(path, KEY).close()))


class Raced(sqlite3.Connection):
    """A connection that meets another process at the switch of the journal, ``MEETINGS`` times."""

    MEETINGS = 2
    met = 0

    def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
        if "journal_mode" in sql and Raced.met < self.MEETINGS:
            Raced.met += 1
            error = sqlite3.OperationalError("database is locked")
            error.sqlite_errorcode = sqlite3.SQLITE_BUSY
            raise error
        return super().execute(sql, *parameters)


def test_a_store_that_is_locked_at_its_first_switch_is_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite's own waiting does not cover the switch to the write-ahead log; ours does."""
    monkeypatch.setattr(Raced, "met", 0)
    monkeypatch.setattr(sqlite3, "connect", partial(sqlite3.connect, factory=Raced))
    Roster.open(tmp_path / "roster.db", KEY).close()
    assert Raced.met == 2


def test_a_store_that_stays_locked_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says that somebody else writes the file, and does not wait for ever."""
    monkeypatch.setattr(Raced, "met", 0)
    monkeypatch.setattr(Raced, "MEETINGS", 10**9)
    monkeypatch.setattr(sqlite3, "connect", partial(sqlite3.connect, factory=Raced))
    with pytest.raises(DatabaseError) as told:
        SqliteDatabase(tmp_path / "roster.db", busy_timeout_s=0.05)
    assert told.value.failure is Failure.BUSY
