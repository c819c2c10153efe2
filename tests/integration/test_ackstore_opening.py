"""Sync's own file is opened while another process is opening it, too."""

from __future__ import annotations

import sqlite3
import threading
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from sync import ackstore
from sync.ackstore import AckStore
from sync.errors import SyncError


def holding(path: Path, until: threading.Event) -> threading.Thread:
    """Somebody who is writing the first page of the new file."""
    begun = threading.Event()

    def hold() -> None:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
        begun.set()
        until.wait(30)
        other.execute("COMMIT")
        other.close()

    thread = threading.Thread(target=hold)
    thread.start()
    begun.wait(10)
    return thread


class Raced(sqlite3.Connection):
    """A connection that meets another process at the switch of the journal, twice: 3 of 360 real openings of a new file
    by six processes at once did, and SQLite's own waiting does not cover it."""

    met = 0

    def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
        if "journal_mode" in sql and Raced.met < 2:
            Raced.met += 1
            error = sqlite3.OperationalError("database is locked")
            error.sqlite_errorcode = sqlite3.SQLITE_BUSY
            raise error
        return super().execute(sql, *parameters)


def test_a_file_that_somebody_else_is_opening_is_asked_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither of two processes that start together ends with an error."""
    connect = sqlite3.connect
    monkeypatch.setattr(ackstore.sqlite3, "connect", partial(connect, factory=Raced))
    AckStore(tmp_path / "sync.db").close()
    assert Raced.met == 2


def test_a_file_that_stays_locked_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says so, and does not wait for ever."""
    monkeypatch.setattr(ackstore, "OPEN_WITHIN_S", 0.2)
    done = threading.Event()
    other = holding(tmp_path / "sync.db", done)
    with pytest.raises(SyncError, match="locked"):
        AckStore(tmp_path / "sync.db")
    done.set()
    other.join()
