"""The kiosk's append-only log: a record is kept, or :class:`JournalError` says that it is not.

``append`` returns after the durable commit (write-ahead log, ``synchronous=FULL``), and only then may an output
pulse. Each of the three streams has its own gapless ``seq`` from 1 and its own hash chain (``kiosk/records.py``), so
alarms can overtake passages without breaking an order. Payloads lie in a table for each class and can be erased;
their digests stay in the chain.

At every start the file is checked: SQLite's own check of all of it, and a walk of the newest 20,000 records of every
chain (``kiosk/journal_audit.py`` walks them all once a day, beside the running gate). A damaged file is set aside
whole, a new one is begun under a new *incarnation*, what can still be proved is carried over, and all of it is
journaled: a ``genesis`` record opens each stream of a new incarnation and names the last known head, a ``gap`` record
tells what is missing, an ``alarm`` says that it happened. A ``boot`` record marks each start.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from kiosk.clock import Clock, Instant
from kiosk.database import Database, DatabaseError, Failure, OpenDatabase, SqliteDatabase, transaction
from kiosk.journal_file import JournalFile
from kiosk.journal_forget import (
    STEP_ROWS,
    delete_to,
    empty_log,
    erase_step,
    note_erasure,
    purge_step,
    shrink_step,
)
from kiosk.journal_reader import JournalReader
from kiosk.journal_tables import PAYLOAD_TABLE
from kiosk.journal_types import (
    Acknowledged,
    Entry,
    Head,
    JournalError,
    PurgeReport,
    Slice,
    StreamKey,
    VerifyReport,
)
from kiosk.journal_verify import chain_rows, contradicted, verify
from kiosk.journal_write import Life, prepare, write
from kiosk.reasons import ClockTrust
from kiosk.records import Kind, PayloadClass, Record, Stream
from kiosk.set_aside import finish_set_aside
from kiosk.writer_lock import WriterLock

__all__ = [
    "Acknowledged",
    "Entry",
    "Head",
    "Journal",
    "JournalError",
    "JournalReader",
    "PurgeReport",
    "Slice",
    "StreamKey",
    "VerifyReport",
    "verify",
]

START_WALK_RECORDS = 20_000
"""So many records at the end of each chain are walked at a start: a gate must open within seconds, also after a month
without the central. The rest is walked by the daily audit, and record by record when it is sent."""

_UNSET: dict[PayloadClass, Mapping[str, Any]] = {}


class Journal:
    """The one writer of a journal file. Thread-safe: appends of several threads are taken one after the other.

    Make one with :meth:`open`. A failed append leaves the chains whole, and the next one tries again by itself, also
    opening the file anew where that may help.
    """

    def __init__(self, path: Path, *, kiosk_id: str, clock: Clock, open_database: OpenDatabase) -> None:
        self._path = path
        self._clock = clock
        self._open_database = open_database
        self._file = JournalFile(path, kiosk_id=kiosk_id, clock=clock, open_database=open_database)
        self._lock = threading.RLock()
        self._writer_lock = WriterLock(path)
        self._database: Database | None = None
        self._heads: dict[Stream, Head] = {}
        self._life = Life(kiosk_id, "", 0)
        self._damaged = False
        self._stale = False

    @classmethod
    def open(
        cls,
        path: Path | str,
        *,
        kiosk_id: str,
        clock: Clock,
        known: Iterable[Acknowledged] = (),
        alive_us: int | None = None,
        open_database: OpenDatabase = SqliteDatabase,
    ) -> Journal:
        """Open the journal at ``path``, making it (mode 0600) when there is none.

        ``known`` are the central's last acknowledgements: a journal that ends before one of them, or holds another
        record there, was rolled back, and goes on under a new incarnation instead of using a number twice.
        ``alive_us`` (UTC) is when the gate was last known to run before this start; the boot record says it.

        Raises JournalError when another process writes it, when the folder is missing, not writable or full, when
        the file is something else, or when it was written by a newer version.
        """
        journal = cls(Path(path), kiosk_id=kiosk_id, clock=clock, open_database=open_database)
        try:
            with journal._lock:
                journal._start(list(known), alive_us)
        except BaseException:
            journal.close()
            raise
        return journal

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def path(self) -> Path:
        """Where the file is."""
        return self._path

    @property
    def incarnation(self) -> str:
        """This life of the journal: 32 hexadecimal digits, random."""
        return self._life.incarnation

    def heads(self) -> dict[Stream, Head]:
        """Where each stream of this incarnation stands; as of the last durable commit."""
        with self._lock:
            return dict(self._heads)

    def append(
        self,
        stream: Stream,
        kind: Kind,
        *,
        at: Instant,
        lane: str = "",
        ref: str = "",
        payloads: Mapping[PayloadClass, Mapping[str, Any]] = _UNSET,
    ) -> Record:
        """Write one record; it is durable when this returns.

        Raises JournalError when it was not written, RecordError for a payload outside the record contract (floats,
        deep nesting, over 64 KiB).
        """
        return self.append_many([Entry(stream=stream, kind=kind, at=at, lane=lane, ref=ref, payloads=payloads)])[0]

    def append_many(self, entries: Sequence[Entry]) -> list[Record]:
        """Write several records in one transaction: all are durable when this returns, or none is.

        Raises as :meth:`append`.
        """
        prepared = [prepare(entry) for entry in entries]
        with self._using() as database:
            with transaction(database):
                records, heads = write(database, self._life, self._heads, prepared)
            self._heads = heads
            return records

    def purge(self, acknowledged: Iterable[Acknowledged], *, now: Instant, retention_us: int) -> PurgeReport:
        """Delete records that the central has kept for certain for at least ``retention_us``.

        Of each chain everything up to the highest mark with ``now - mark.at_us >= retention_us`` goes: retention
        counts from the acknowledgement. A mark whose hash is not this journal's is passed over, and with clock trust
        ``none`` nothing is purged unless ``retention_us`` is 0. Works in short transactions, so that a passage never
        waits long. Raises JournalError.
        """
        report = PurgeReport({}, {})
        if retention_us and now.clock_trust is ClockTrust.NONE:
            return report
        ripe = [mark for mark in acknowledged if now.at_us - mark.at_us >= retention_us]
        for mark in sorted(ripe, key=lambda m: m.seq):
            count = self._purge_to(mark)
            if count:
                key = (mark.incarnation, mark.stream)
                report.purged[key] = report.purged.get(key, 0) + count
                report.up_to[key] = mark.seq
        return report

    def erase(self, cls: PayloadClass, before_us: int) -> int:
        """Erase the payloads of a class of records made before ``before_us``; how many were erased.

        The digests stay, so every chain still verifies. The bytes are overwritten in the file (``secure_delete``)
        and the write-ahead log is emptied; where a reader holds that up, the next erasure empties it. Raises
        JournalError.
        """
        with self._using() as database, transaction(database):
            note_erasure(database, cls, before_us)
            erased = count = erase_step(database, cls, before_us)
        while count == STEP_ROWS:
            with self._using() as database, transaction(database):
                count = erase_step(database, cls, before_us)
            erased += count
        with self._using() as database:
            empty_log(database)
        return erased

    def give_up(self, stream: Stream, *, at: Instant, why: str, at_least: int = 1) -> int:
        """Delete what is left of a stream of this incarnation, sent or not; how many records went.

        Fewer than ``at_least`` are left alone: the gap record costs something too. For a disk that is nearly full,
        and for diagnostics: passages and alarms are refused here. One transaction deletes and writes the gap record
        that says so, in the alarm stream. Raises JournalError.
        """
        if stream is not Stream.DIAGNOSTIC:
            raise JournalError(f"giving up {stream} records", seen="asked for", expected="diagnostics only")
        with self._using() as database:
            head = self._heads[stream]
            base = next(r.base for r in chain_rows(database) if (r.number, r.stream) == (self._life.number, stream))
            if head.seq - base.seq < at_least:
                return 0
            facts = {
                "why": why,
                "incarnation": self._life.incarnation,
                "stream": str(stream),
                "first_seq": base.seq + 1,
                "last_seq": head.seq,
                "count": head.seq - base.seq,
            }
            gap = Entry(stream=Stream.ALARM, kind=Kind.GAP, at=at, payloads={PayloadClass.FACTS: facts})
            with transaction(database):
                delete_to(database, self._life.number, stream, head)
                _, heads = write(database, self._life, self._heads, [prepare(gap)])
            self._heads = heads
            return head.seq - base.seq

    def oldest_payload_us(self, cls: PayloadClass) -> int | None:
        """When the oldest payload of a class that is still here was made; None when there is none.

        Tells whether retention really happened, whatever its job believes. Raises JournalError.
        """
        with self._using() as database:
            ((oldest,),) = database.rows(f"SELECT min(at_us) FROM {PAYLOAD_TABLE[cls]}")  # noqa: S608
        return None if oldest is None else int(oldest)

    def shrink(self) -> None:
        """Give the file's free pages back to the file system, in short transactions.

        Where a reader holds the log, the file itself becomes smaller at the next call. Raises JournalError.
        """
        more = True
        while more:
            with self._using() as database:
                more = shrink_step(database)
                if not more:
                    empty_log(database)

    def suspect(self) -> None:
        """Somebody found the file damaged (the daily audit, the sync process): look at all of it before writing on.

        At the next append a damaged file is set aside and a new one begun.
        """
        with self._lock:
            self._damaged = True
            self._close_database()

    def close(self) -> None:
        """Let go of the file; appending afterwards raises JournalError."""
        with self._lock:
            self._close_database()
            self._writer_lock.release()

    # Starting

    def _start(self, known: list[Acknowledged], alive_us: int | None) -> None:
        try:
            self._writer_lock.take()
            finish_set_aside(self._path)
            if self._file.anything_there:
                self._mend(START_WALK_RECORDS)
            else:
                self._file.begin()
            database = self._database = self._open_database(self._path)
            self._load(database)
            went_back = self._went_back(database, known)
            if went_back or self._owner(database) != self._life.kiosk_id:
                with transaction(database):
                    self._file.begin_life(database, {"why": "went_back" if went_back else "other_kiosk"})
                self._load(database)
        except DatabaseError as error:
            raise _journal_error(error) from error
        except OSError as error:
            raise _folder_error(self._path, error) from error
        facts: dict[str, str | int] = {"program": "gatepost", "pid": os.getpid()}
        if alive_us is not None:
            facts["alive_us"] = alive_us
        self.append(Stream.DIAGNOSTIC, Kind.BOOT, at=self._clock.now(), payloads={PayloadClass.FACTS: facts})

    def _mend(self, newest: int | None) -> None:
        damage = self._file.examine(newest)
        if damage:
            self._file.begin_after_damage(damage)

    def _went_back(self, database: Database, known: list[Acknowledged]) -> bool:
        mine = [mark for mark in known if mark.incarnation == self._life.incarnation]
        return contradicted(database, mine)

    def _owner(self, database: Database) -> str:
        ((owner,),) = database.rows("SELECT kiosk_id FROM journal_incarnation WHERE number = ?", (self._life.number,))
        return str(owner)

    def _load(self, database: Database) -> None:
        rows = chain_rows(database)
        number = max(row.number for row in rows)
        current = [row for row in rows if row.number == number]
        self._life = Life(self._life.kiosk_id, current[0].incarnation, number)
        self._heads = {row.stream: row.head for row in current}
        self._stale = False

    # Writing

    @contextmanager
    def _using(self) -> Iterator[Database]:
        """The open file for this thread alone; its trouble is noted, and raised as JournalError."""
        with self._lock:
            try:
                yield self._ready()
            except DatabaseError as error:
                self._after(error)
                raise _journal_error(error) from error

    def _ready(self) -> Database:
        """The connection, opened anew after trouble that an open file may keep. Raises as open does."""
        if not self._writer_lock.held:
            raise JournalError(str(self._path), failure=Failure.NOT_OPENED, seen="closed", expected="an open journal")
        if self._damaged:
            try:
                finish_set_aside(self._path)
                self._mend(None)
            except OSError as error:
                raise _folder_error(self._path, error) from error
            self._damaged = False
        if self._database is None:
            self._database = self._open_database(self._path)
            self._stale = True
        if self._stale:
            self._load(self._database)
        return self._database

    def _after(self, error: DatabaseError) -> None:
        # What is on the disk is the truth from here on; what was held in memory may be one commit behind it.
        self._stale = True
        if error.failure in (Failure.FULL, Failure.BUSY):
            return
        self._damaged = self._damaged or error.failure.means_damage
        self._close_database()

    def _purge_to(self, mark: Acknowledged) -> int:
        purged, step = 0, 1
        while step:
            with self._using() as database:
                step = purge_step(database, mark)
            purged += step
        return purged

    def _close_database(self) -> None:
        database, self._database = self._database, None
        if database is not None:
            try:
                database.close()
            except DatabaseError:
                return


def _journal_error(error: DatabaseError) -> JournalError:
    return JournalError(error.thing, failure=error.failure, seen=error.seen, expected=error.expected, hint=error.hint)


def _folder_error(path: Path, error: OSError) -> JournalError:
    return JournalError(
        str(error.filename or path),
        failure=Failure.FULL if error.errno == errno.ENOSPC else Failure.NOT_OPENED,
        seen=error.strerror or str(error),
        hint="look at owner, mode and space of the folder",
    )
