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
import fcntl
import os
import threading
import uuid
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from kiosk.clock import Clock, Instant
from kiosk.database import Database, DatabaseError, Failure, OpenDatabase, SqliteDatabase, transaction
from kiosk.journal_reader import JournalReader
from kiosk.journal_salvage import Salvage, carry_over, finish_set_aside, set_aside, sync_folder
from kiosk.journal_tables import (
    ADVANCE_CHAIN,
    APPLICATION_ID,
    INSERT_CHAIN,
    INSERT_INCARNATION,
    INSERT_PAYLOAD,
    INSERT_RECORD,
    PAYLOAD_TABLE,
    RECORD_HASH,
    SCHEMA_VERSION,
    SEQ_MASK,
    STREAM_NUMBER,
    create_schema,
    row_key,
)
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
from kiosk.journal_verify import chain_rows, contradicted, verify, verify_database
from kiosk.reasons import ClockTrust
from kiosk.records import (
    SALT_BYTES,
    Kind,
    Payload,
    PayloadClass,
    Record,
    RecordError,
    Stream,
    canonical,
    chain_hash,
    digest_of,
)

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

MAX_PAYLOAD_BYTES = 64 * 1024
"""A payload's canonical form may take this much, so that one record always fits in a batch."""

START_WALK_RECORDS = 20_000
"""So many records at the end of each chain are walked at a start: a gate must open within seconds, also after a month
without the central. The rest is walked by the daily audit, and record by record when it is sent."""

_PURGE_STEP = 2000
_SHRINK_STEP = 500
_UNSET: dict[PayloadClass, Mapping[str, Any]] = {}


class Journal:
    """The one writer of a journal file. Thread-safe: appends of several threads are taken one after the other.

    Make one with :meth:`open`. A failed append leaves the chains whole, and the next one tries again by itself, also
    opening the file anew where that may help.
    """

    def __init__(self, path: Path, *, kiosk_id: str, clock: Clock, open_database: OpenDatabase) -> None:
        self._path = path
        self._kiosk_id = kiosk_id
        self._clock = clock
        self._open_database = open_database
        self._lock = threading.RLock()
        self._writer_lock = _WriterLock(path)
        self._database: Database | None = None
        self._heads: dict[Stream, Head] = {}
        self._number = 0
        self._incarnation = ""
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
        open_database: OpenDatabase = SqliteDatabase,
    ) -> Journal:
        """Open the journal at ``path``, making it (mode 0600) when there is none.

        ``known`` are the central's last acknowledgements: a journal that ends before one of them, or holds another
        record there, was rolled back, and goes on under a new incarnation instead of using a number twice.

        Raises JournalError when another process writes it, when the folder is missing, not writable or full, when
        the file is something else, or when it was written by a newer version.
        """
        journal = cls(Path(path), kiosk_id=kiosk_id, clock=clock, open_database=open_database)
        try:
            with journal._lock:
                journal._start(list(known))
        except BaseException:
            journal.close()
            raise
        return journal

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def path(self) -> Path:
        """Where the file is."""
        return self._path

    @property
    def incarnation(self) -> str:
        """This life of the journal: 32 hexadecimal digits, random."""
        return self._incarnation

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
        prepared = [_prepare(entry) for entry in entries]
        with self._lock:
            try:
                database = self._ready()
                with transaction(database):
                    records, heads = self._write(database, self._incarnation, self._number, self._heads, prepared)
            except DatabaseError as error:
                self._after(error)
                raise _journal_error(error) from error
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
        table = PAYLOAD_TABLE[cls]
        erased = 0
        first = True
        while True:
            with self._lock:
                try:
                    database = self._ready()
                    with transaction(database):
                        if first:
                            database.run(
                                "INSERT INTO journal_erasure (payload_class, before_us) VALUES (?, ?) ON CONFLICT "
                                "(payload_class) DO UPDATE SET before_us = max(before_us, excluded.before_us)",
                                (str(cls), before_us),
                            )
                        count = database.run(
                            f"DELETE FROM {table} WHERE id IN "  # noqa: S608
                            f"(SELECT id FROM {table} WHERE at_us < ? LIMIT {_PURGE_STEP})",
                            (before_us,),
                        )
                    erased += count
                    first = False
                    if count < _PURGE_STEP:
                        database.rows("PRAGMA wal_checkpoint(TRUNCATE)")
                        return erased
                except DatabaseError as error:
                    self._after(error)
                    raise _journal_error(error) from error

    def give_up(self, stream: Stream, *, at: Instant, why: str, at_least: int = 1) -> int:
        """Delete what is left of a stream of this incarnation, sent or not; how many records went.

        Fewer than ``at_least`` are left alone: the gap record costs something too. For a disk that is nearly full,
        and for diagnostics: passages and alarms are refused here. One transaction deletes and writes the gap record
        that says so, in the alarm stream. Raises JournalError.
        """
        if stream is not Stream.DIAGNOSTIC:
            raise JournalError(f"giving up {stream} records", seen="asked for", expected="diagnostics only")
        with self._lock:
            try:
                database = self._ready()
                head = self._heads[stream]
                base = next(r.base for r in chain_rows(database) if (r.number, r.stream) == (self._number, stream))
                if head.seq - base.seq < at_least:
                    return 0
                facts = {
                    "why": why,
                    "incarnation": self._incarnation,
                    "stream": str(stream),
                    "first_seq": base.seq + 1,
                    "last_seq": head.seq,
                    "count": head.seq - base.seq,
                }
                gap = Entry(stream=Stream.ALARM, kind=Kind.GAP, at=at, payloads={PayloadClass.FACTS: facts})
                with transaction(database):
                    _delete_to(database, self._number, stream, head)
                    _, heads = self._write(database, self._incarnation, self._number, self._heads, [_prepare(gap)])
            except DatabaseError as error:
                self._after(error)
                raise _journal_error(error) from error
            self._heads = heads
            return head.seq - base.seq

    def oldest_payload_us(self, cls: PayloadClass) -> int | None:
        """When the oldest payload of a class that is still here was made; None when there is none.

        Tells whether retention really happened, whatever its job believes. Raises JournalError.
        """
        with self._lock:
            try:
                ((oldest,),) = self._ready().rows(f"SELECT min(at_us) FROM {PAYLOAD_TABLE[cls]}")  # noqa: S608
            except DatabaseError as error:
                self._after(error)
                raise _journal_error(error) from error
        return None if oldest is None else int(oldest)

    def shrink(self) -> None:
        """Give the file's free pages back to the file system, in short transactions.

        Where a reader holds the log, the file itself becomes smaller at the next call. Raises JournalError.
        """
        while True:
            with self._lock:
                try:
                    database = self._ready()
                    ((free,),) = database.rows("PRAGMA freelist_count")
                    if not free:
                        database.rows("PRAGMA wal_checkpoint(TRUNCATE)")
                        return
                    with transaction(database):
                        for _ in range(min(free, _SHRINK_STEP)):
                            database.rows("PRAGMA incremental_vacuum(1)")  # the driver steps it once: one page
                except DatabaseError as error:
                    self._after(error)
                    raise _journal_error(error) from error

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

    def _start(self, known: list[Acknowledged]) -> None:
        try:
            self._writer_lock.take()
            finish_set_aside(self._path)
            damage = self._examine() if self._anything_there() else ""
            if damage:
                self._begin_after_damage(damage)
            elif not self._path.exists():
                self._build({"why": "new"}, Salvage(), None)
            database = self._database = self._open_database(self._path)
            self._load(database)
            went_back = self._went_back(database, known)
            if went_back or self._owner(database) != self._kiosk_id:
                with transaction(database):
                    self._begin_incarnation(database, {"why": "went_back" if went_back else "other_kiosk"})
                self._load(database)
        except DatabaseError as error:
            raise _journal_error(error) from error
        except OSError as error:
            raise _folder_error(self._path, error) from error
        facts = {"program": "gatepost", "pid": os.getpid()}
        self.append(Stream.DIAGNOSTIC, Kind.BOOT, at=self._clock.now(), payloads={PayloadClass.FACTS: facts})

    def _anything_there(self) -> bool:
        return self._path.exists() or self._path.with_name(self._path.name + "-wal").exists()

    def _examine(self) -> str:
        """What is wrong with the file; "" when nothing. Trouble that may pass is raised, not called damage."""
        for attempt in (1, 2):
            try:
                return self._examine_once()
            except DatabaseError as error:
                if error.failure is Failure.DAMAGED or (error.failure is Failure.UNREADABLE and attempt == 2):
                    return error.seen or str(error)
                if error.failure is not Failure.UNREADABLE:
                    raise
        return ""

    def _examine_once(self) -> str:
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
            report = verify_database(database, newest=None if self._damaged else START_WALK_RECORDS)
            return "" if report.ok else _first_bad(report)
        except DatabaseError as error:
            if error.failure is Failure.OTHER:  # a table or column that is not there
                return error.seen
            raise
        finally:
            database.rollback()
            database.close()

    def _begin_after_damage(self, damage: str) -> None:
        aside = set_aside(self._path, self._clock.now().utc())
        old: Database | None = None
        try:
            old = self._open_database(aside, read_only=True)
        except DatabaseError:
            old = None  # beyond reading: nothing is carried over, and the genesis says so
        try:
            self._build({"why": "damaged", "seen": damage[:200], "set_aside": aside.name}, Salvage(), old)
        finally:
            if old is not None:
                old.close()

    def _build(self, genesis: dict[str, Any], salvage: Salvage, old: Database | None) -> None:
        """Make a whole journal under another name, then rename: the path never holds half of one."""
        beside = self._path.with_name(self._path.name + ".new")
        for suffix in ("", "-wal", "-shm"):
            beside.with_name(beside.name + suffix).unlink(missing_ok=True)
        database = self._open_database(beside)
        try:
            with transaction(database):
                create_schema(database)
                if old is not None:
                    salvage = carry_over(old, database)
                self._begin_incarnation(database, genesis, salvage)
            database.rows("PRAGMA wal_checkpoint(TRUNCATE)")
        finally:
            database.close()
        beside.rename(self._path)
        sync_folder(self._path.parent)

    def _begin_incarnation(self, database: Database, genesis: dict[str, Any], salvage: Salvage | None = None) -> None:
        """A new incarnation with its three chains, each opened by a genesis record (in the caller's transaction)."""
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
        prepared = [_prepare(entry) for entry in entries]
        self._write(database, incarnation, number, dict.fromkeys(Stream, zero), prepared)

    def _went_back(self, database: Database, known: list[Acknowledged]) -> bool:
        mine = [mark for mark in known if mark.incarnation == self._incarnation]
        return contradicted(database, mine)

    def _owner(self, database: Database) -> str:
        ((owner,),) = database.rows("SELECT kiosk_id FROM journal_incarnation WHERE number = ?", (self._number,))
        return str(owner)

    def _load(self, database: Database) -> None:
        rows = chain_rows(database)
        self._number = max(row.number for row in rows)
        current = [row for row in rows if row.number == self._number]
        self._incarnation = current[0].incarnation
        self._heads = {row.stream: row.head for row in current}
        self._stale = False

    # Writing

    def _ready(self) -> Database:
        """The connection, opened anew after trouble that an open file may keep. Raises as open does."""
        if not self._writer_lock.held:
            raise JournalError(str(self._path), failure=Failure.NOT_OPENED, seen="closed", expected="an open journal")
        if self._damaged:
            try:
                finish_set_aside(self._path)
                damage = self._examine()
                if damage:
                    self._begin_after_damage(damage)
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

    def _write(
        self,
        database: Database,
        incarnation: str,
        number: int,
        heads: Mapping[Stream, Head],
        prepared: Sequence[_Prepared],
    ) -> tuple[list[Record], dict[Stream, Head]]:
        after = dict(heads)
        records = []
        for entry, payloads, bodies in prepared:
            head = after[entry.stream]
            record = Record(
                kiosk_id=self._kiosk_id,
                incarnation=incarnation,
                stream=entry.stream,
                seq=head.seq + 1,
                kind=entry.kind,
                at_us=entry.at.at_us,
                clock_trust=str(entry.at.clock_trust),
                boot_id=entry.at.boot_id,
                mono_ns=entry.at.mono_ns,
                lane=entry.lane,
                ref=entry.ref,
                payloads=payloads,
            )
            header, digests = canonical(record.header()), record.digests()
            digest = chain_hash(head.hash, header, digests)
            key = row_key(number, entry.stream, record.seq)
            database.run(INSERT_RECORD, (key, header, digests, digest))
            for cls, body in bodies.items():
                database.run(INSERT_PAYLOAD[cls], (key, record.at_us, payloads[cls].salt, body))
            after[entry.stream] = Head(record.seq, digest)
            records.append(record)
        for name, head in after.items():
            before = heads[name]
            if head.seq == before.seq:
                continue
            if database.run(ADVANCE_CHAIN, (head.seq, head.hash, number, STREAM_NUMBER[name], before.seq)) != 1:
                raise DatabaseError(
                    str(self._path), Failure.OTHER, seen=f"the counter of {name} moved", expected=str(before.seq),
                    hint="look for a second program that writes this file",
                )  # fmt: skip
        return records, after

    def _purge_to(self, mark: Acknowledged) -> int:
        purged = 0
        while True:
            with self._lock:
                try:
                    database = self._ready()
                    step = self._purge_step(database, mark)
                except DatabaseError as error:
                    self._after(error)
                    raise _journal_error(error) from error
            if not step:
                return purged
            purged += step

    def _purge_step(self, database: Database, mark: Acknowledged) -> int:
        row = next(
            (r for r in chain_rows(database) if (r.incarnation, r.stream) == (mark.incarnation, mark.stream)), None
        )
        if row is None or not row.base.seq < mark.seq <= row.head.seq:
            return 0
        at_mark = database.rows(RECORD_HASH, (row_key(row.number, row.stream, mark.seq),))
        if not at_mark or at_mark[0][0] != mark.hash:
            return 0
        begin, end = row_key(row.number, row.stream, 0), row_key(row.number, row.stream, mark.seq)
        oldest = database.rows(
            f"SELECT id & {SEQ_MASK}, hash FROM journal_record WHERE id > ? AND id <= ? ORDER BY id LIMIT ?",  # noqa: S608
            (begin, end, _PURGE_STEP),
        )
        with transaction(database):
            return _delete_to(database, row.number, row.stream, Head(*oldest[-1]))

    def _close_database(self) -> None:
        database, self._database = self._database, None
        if database is not None:
            try:
                database.close()
            except DatabaseError:
                return


def _delete_to(database: Database, number: int, stream: Stream, last: Head) -> int:
    """Delete a chain's records up to ``last``, which becomes its base (in the caller's transaction); how many."""
    keys = row_key(number, stream, 0), row_key(number, stream, last.seq)
    count = database.run("DELETE FROM journal_record WHERE id > ? AND id <= ?", keys)
    for table in PAYLOAD_TABLE.values():
        database.run(f"DELETE FROM {table} WHERE id > ? AND id <= ?", keys)  # noqa: S608
    database.run(
        "UPDATE journal_chain SET base_seq = ?, base_head = ? WHERE number = ? AND stream = ?",
        (last.seq, last.hash, number, STREAM_NUMBER[stream]),
    )
    return count


class _Prepared(NamedTuple):
    """An entry with its payloads salted and digested, and their canonical bytes."""

    entry: Entry
    payloads: dict[PayloadClass, Payload]
    bodies: dict[PayloadClass, bytes]


def _prepare(entry: Entry) -> _Prepared:
    payloads, bodies = {}, {}
    for cls, body in entry.payloads.items():
        encoded = canonical(body)
        if len(encoded) > MAX_PAYLOAD_BYTES:
            raise RecordError(f"payload {cls} of {entry.kind}: {len(encoded)} bytes, at most {MAX_PAYLOAD_BYTES}")
        salt = os.urandom(SALT_BYTES)
        payloads[cls] = Payload(digest=digest_of(salt, encoded), salt=salt, body=dict(body))
        bodies[cls] = encoded
    return _Prepared(entry, payloads, bodies)


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
    where = f"{bad.stream} record {bad.seq}: " if bad.stream is not None and bad.seq else ""
    return f"{where}{bad.what}"


def _journal_error(error: DatabaseError) -> JournalError:
    return JournalError(error.thing, failure=error.failure, seen=error.seen, expected=error.expected, hint=error.hint)


def _folder_error(path: Path, error: OSError) -> JournalError:
    return JournalError(
        str(error.filename or path),
        failure=Failure.FULL if error.errno == errno.ENOSPC else Failure.NOT_OPENED,
        seen=error.strerror or str(error),
        hint="look at owner, mode and space of the folder",
    )


class _WriterLock:
    """Keeps a second program from writing the same journal.

    A POSIX record lock: the kernel drops it when the process ends in any way, and a child that was forked (the relay's
    supervisor) does not hold on to it. Within one process the set below does the same.
    """

    _held: set[Path] = set()  # noqa: RUF012

    def __init__(self, path: Path) -> None:
        self._path = path.absolute()
        self._file = path.with_name(path.name + ".lock")
        self._fd: int | None = None

    @property
    def held(self) -> bool:
        """Whether this object holds the lock."""
        return self._fd is not None

    def take(self) -> None:
        """Take the lock. Raises JournalError when somebody else has it, OSError when its file cannot be made."""
        busy = JournalError(
            str(self._path),
            failure=Failure.BUSY,
            seen="another program (or part of this one) writes it",
            expected="one writer",
            hint="stop the other gatepost, or give this one a journal of its own",
        )
        if self._path in self._held:
            raise busy
        fd = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(fd)
            raise busy from None
        self._fd = fd
        self._held.add(self._path)

    def release(self) -> None:
        """Let go, if held."""
        if self._fd is not None:
            self._held.discard(self._path)
            os.close(self._fd)
            self._fd = None
