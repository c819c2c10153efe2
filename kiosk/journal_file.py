"""A journal's file at a start: is it whole, and what comes in place of one that is not.

A damaged file is set aside whole, a new one is begun, what can still be proved is carried over, and its first records
tell all of it: a ``genesis`` in each stream, a ``gap`` for each hole, an ``alarm``.
"""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

from kiosk.clock import Clock, Instant
from kiosk.database import Database, DatabaseError, Failure, OpenDatabase, transaction
from kiosk.durable_file import sync_folder
from kiosk.journal_salvage import Salvage, carry_over
from kiosk.journal_tables import (
    APPLICATION_ID,
    INSERT_CHAIN,
    INSERT_INCARNATION,
    SCHEMA_VERSION,
    STREAM_NUMBER,
    create_schema,
)
from kiosk.journal_types import Entry, Head, JournalError, VerifyReport
from kiosk.journal_verify import chain_rows, verify_database
from kiosk.journal_write import Life, prepare, write
from kiosk.records import Kind, PayloadClass, Stream
from kiosk.set_aside import set_aside


class JournalFile:
    """The file at ``path`` while nobody has it open for writing. Its methods raise DatabaseError and OSError, too."""

    def __init__(self, path: Path, *, kiosk_id: str, clock: Clock, open_database: OpenDatabase) -> None:
        self._path = path
        self._kiosk_id = kiosk_id
        self._clock = clock
        self._open_database = open_database

    @property
    def anything_there(self) -> bool:
        """A file, or the log of one."""
        return self._path.exists() or self._path.with_name(self._path.name + "-wal").exists()

    def begin(self) -> None:
        """Make the first file of a kiosk."""
        self._build({"why": "new"}, None)

    def examine(self, newest: int | None) -> str:
        """What is wrong with the file; "" when nothing. Of each chain the ``newest`` records are walked, None for all.

        Raises JournalError for a file that is something else, DatabaseError for trouble that may pass.
        """
        for attempt in (1, 2):
            try:
                return self._examine_once(newest)
            except DatabaseError as error:
                if error.failure is Failure.DAMAGED or (error.failure is Failure.UNREADABLE and attempt == 2):
                    return error.seen or str(error)
                if error.failure is not Failure.UNREADABLE:
                    raise
        return ""

    def _examine_once(self, newest: int | None) -> str:
        if not self._path.exists() or self._path.stat().st_size == 0:
            return "the file is missing or empty, but something was there"
        database = self._open_database(self._path, read_only=True)
        try:
            database.run("BEGIN")
            tables = {name for (name,) in database.rows("SELECT name FROM sqlite_master WHERE type = 'table'")}
            ours = {name for name in tables if str(name).startswith("journal_")}
            if tables and not ours:
                raise JournalError(
                    str(self._path),
                    failure=Failure.NOT_OPENED,
                    seen=f"tables {', '.join(sorted(map(str, tables))[:5])}",
                    expected="a Gatepost journal",
                    hint="give the journal a file of its own",
                )
            ((application,),) = database.rows("PRAGMA application_id")
            ((version,),) = database.rows("PRAGMA user_version")
            if application == APPLICATION_ID and SCHEMA_VERSION < version < 1000:
                raise JournalError(
                    str(self._path),
                    failure=Failure.NOT_OPENED,
                    seen=f"format {version}",
                    expected=f"at most {SCHEMA_VERSION}",
                    hint="install the newer Gatepost again",
                )
            if application != APPLICATION_ID or version != SCHEMA_VERSION:
                return f"application id {application}, format {version}"
            ((check,), *_) = database.rows("PRAGMA quick_check(1)")
            if check != "ok":
                return str(check)
            report = verify_database(database, newest=newest)
            return "" if report.ok else _first_bad(report)
        except DatabaseError as error:
            if error.failure is Failure.OTHER:  # a table or column that is not there
                return error.seen
            raise
        finally:
            database.rollback()
            database.close()

    def begin_after_damage(self, damage: str) -> None:
        """Set the damaged file aside whole; begin a new one with what of it can still be proved."""
        aside = set_aside(self._path, self._clock.now().utc())
        old: Database | None = None
        try:
            old = self._open_database(aside, read_only=True)
        except DatabaseError:
            old = None  # beyond reading: nothing is carried over, and the genesis says so
        try:
            self._build({"why": "damaged", "seen": damage[:200], "set_aside": aside.name}, old)
        finally:
            if old is not None:
                old.close()

    def _build(self, genesis: dict[str, Any], old: Database | None) -> None:
        """Make a whole journal under another name, then rename: the path never holds half of one."""
        beside = self._path.with_name(self._path.name + ".new")
        for suffix in ("", "-wal", "-shm"):
            beside.with_name(beside.name + suffix).unlink(missing_ok=True)
        database = self._open_database(beside)
        try:
            with transaction(database):
                create_schema(database)
                salvage = Salvage() if old is None else carry_over(old, database)
                self.begin_life(database, genesis, salvage)
            database.rows("PRAGMA wal_checkpoint(TRUNCATE)")
        finally:
            database.close()
        beside.rename(self._path)
        sync_folder(self._path.parent)

    def begin_life(self, database: Database, genesis: dict[str, Any], salvage: Salvage | None = None) -> None:
        """A new incarnation with its three chains, each opened by a genesis record (in the caller's transaction).

        ``genesis`` tells why.
        """
        rows = chain_rows(database)
        number = max((row.number for row in rows), default=0) + 1
        previous = {row.stream: row for row in rows if row.number == number - 1}
        incarnation = uuid.uuid4().hex
        database.run(INSERT_INCARNATION, (number, incarnation, self._kiosk_id))
        zero = Head()
        for stream in Stream:
            database.run(INSERT_CHAIN, (number, STREAM_NUMBER[stream], zero.seq, zero.hash, zero.seq, zero.hash))
        now = self._clock.now()
        entries = []
        for stream in Stream:
            before = previous.get(stream)
            facts: dict[str, Any] = {**genesis, "previous": None}
            if before is not None:
                facts["previous"] = {
                    "incarnation": before.incarnation,
                    "seq": before.head.seq,
                    "hash": before.head.hash.hex(),
                }
            entries.append(Entry(stream=stream, kind=Kind.GENESIS, at=now, payloads={PayloadClass.FACTS: facts}))
        entries += _told(genesis, salvage or Salvage(), now)
        life = Life(self._kiosk_id, incarnation, number)
        write(database, life, dict.fromkeys(Stream, zero), [prepare(entry) for entry in entries])


def _told(genesis: dict[str, Any], salvage: Salvage, now: Instant) -> list[Entry]:
    """The records that tell of damage: one gap record a hole, and an alarm."""
    if genesis["why"] != "damaged":
        return []
    gaps = [
        Entry(
            stream=Stream.ALARM,
            kind=Kind.GAP,
            at=now,
            payloads={
                PayloadClass.FACTS: {
                    "why": "damaged",
                    "incarnation": hole.incarnation,
                    "stream": str(hole.stream),
                    "first_seq": hole.first_seq,
                    "last_seq": hole.last_seq,
                    "count": hole.last_seq - hole.first_seq + 1,
                }
            },
        )
        for hole in salvage.holes
    ]
    facts = {
        "code": "journal_damaged",
        "seen": genesis["seen"],
        "set_aside": genesis["set_aside"],
        "carried_over": salvage.records,
        "holes": len(salvage.holes),
        "unreadable": not salvage.heads,
    }
    return [*gaps, Entry(stream=Stream.ALARM, kind=Kind.ALARM, at=now, payloads={PayloadClass.FACTS: facts})]


def _first_bad(report: VerifyReport) -> str:
    bad = report.bad[0]
    where = f"{bad.stream} record {bad.seq}: " if bad.seq else ""
    return f"{where}{bad.what}"
