"""Switching a SQLite file to its write-ahead log while another process may be opening the same new file."""

from __future__ import annotations

import sqlite3
import time

ASK_AGAIN_S = 0.01


def use_wal(connection: sqlite3.Connection, *, within_s: float) -> str:
    """The journal mode after the switch: ``wal``, or another one where the file system has no locks for it.

    SQLite's own waiting (``timeout``) does not cover this switch: it answers SQLITE_BUSY at once while somebody else
    holds the file (https://www.sqlite.org/pragma.html#pragma_journal_mode), so it is asked again for ``within_s``
    seconds. Raises sqlite3.Error.
    """
    deadline_s = time.monotonic() + within_s
    while True:
        try:
            ((mode,),) = connection.execute("PRAGMA journal_mode=WAL").fetchall()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() >= deadline_s:
                raise
            time.sleep(ASK_AGAIN_S)
        else:
            return str(mode)
