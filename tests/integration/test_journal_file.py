"""A journal's file at a start (``kiosk/journal_file.py``): is it whole, and what comes in place of one that is not."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from kiosk.database import Database, DatabaseError, Failure, OpenDatabase, SqliteDatabase, transaction
from kiosk.journal import verify
from kiosk.journal_file import JournalFile
from kiosk.journal_tables import SCHEMA_VERSION, row_key
from kiosk.journal_types import JournalError
from kiosk.records import Kind, PayloadClass, Record, Stream
from tests.fakes import FakeClock
from tests.integration.journal_cases import KIOSK, all_records, open_journal, write_passage

PASSAGES = 10


def file_of(path: Path, open_database: OpenDatabase = SqliteDatabase) -> JournalFile:
    return JournalFile(path, kiosk_id=KIOSK, clock=FakeClock(), open_database=open_database)


def facts(record: Record) -> dict[str, Any]:
    return record.payloads[PayloadClass.FACTS].body or {}


def edit(path: Path, *statements: str) -> None:
    raw = sqlite3.connect(path)
    for statement in statements:
        raw.execute(statement)
    raw.commit()
    raw.close()


@pytest.fixture
def path(memory_folder: Path) -> Path:
    """The journal of a kiosk in which ten people passed."""
    clock = FakeClock()
    with open_journal(memory_folder, clock) as journal:
        for number in range(PASSAGES):
            write_passage(journal, clock, number)
    return memory_folder / "journal.db"


def test_the_first_file_of_a_kiosk_is_whole_from_its_first_moment(memory_folder: Path) -> None:
    """A genesis in each stream; what a start that was cut short left beside it is no part of it, and gone."""
    path = memory_folder / "journal.db"
    for suffix in ("", "-wal", "-shm"):
        (memory_folder / f"journal.db.new{suffix}").write_bytes(b"half of one")
    file = file_of(path)
    assert not file.anything_there
    file.begin()
    assert file.anything_there
    assert file.examine(None) == ""
    assert not list(memory_folder.glob("journal.db.new*"))
    for (_, stream), records in all_records(path).items():
        assert [(r.stream, r.seq, r.kind, facts(r)) for r in records] == [
            (stream, 1, Kind.GENESIS, {"why": "new", "previous": None})
        ]


def test_the_log_of_a_file_that_is_gone_is_something_too(memory_folder: Path) -> None:
    """Whoever deleted the file alone gets no fresh journal without a word."""
    (memory_folder / "journal.db-wal").write_bytes(b"a log")
    file = file_of(memory_folder / "journal.db")
    assert file.anything_there
    assert file.examine(None) == "the file is missing or empty, but something was there"


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ("PRAGMA application_id = 7", "application id 7, format 1"),
        ("PRAGMA user_version = 0", "format 0"),
        ("PRAGMA user_version = 1000", "format 1000"),
        ("DROP TABLE journal_erasure", "no such table: journal_erasure"),
        (f"DELETE FROM journal_record WHERE id = {row_key(1, Stream.PASSAGE, 7)}", "passage record 7: missing"),  # noqa: S608
    ],
)
def test_what_is_wrong_with_a_file_is_said(path: Path, statement: str, found: str) -> None:
    """One sentence for the alarm and the set-aside file's genesis."""
    edit(path, statement)
    assert found in file_of(path).examine(None)


@pytest.mark.parametrize(
    ("statements", "found"),
    [
        (("DELETE FROM journal_chain WHERE stream = 3",), "its chain is missing"),
        (("DELETE FROM journal_chain", "DELETE FROM journal_incarnation"), "no incarnation was ever begun"),
    ],
)
def test_what_is_wrong_with_no_record_in_particular_names_none(
    path: Path, statements: tuple[str, ...], found: str
) -> None:
    """The sentence alone."""
    edit(path, *statements)
    assert file_of(path).examine(None) == found


def test_an_empty_file_is_no_journal(path: Path) -> None:
    """As a card that lost its blocks leaves one."""
    path.write_bytes(b"")
    assert file_of(path).examine(None) == "the file is missing or empty, but something was there"


def test_a_database_without_a_table_is_a_journal_that_lost_them(path: Path) -> None:
    """It holds nobody's data, so it is set aside like any other damage."""
    path.unlink()
    edit(path, "CREATE TABLE holiday (day TEXT)", "DROP TABLE holiday")
    assert path.stat().st_size > 0
    assert file_of(path).examine(None) == "application id 0, format 0"


def test_pages_that_belong_to_nothing_are_damage_even_where_every_record_can_be_read(path: Path) -> None:
    """The file's header counts free pages (bytes 36 to 39, sqlite.org/fileformat2.html); the next write would take
    pages that are in use."""
    content = bytearray(path.read_bytes())
    content[36:40] = (7).to_bytes(4, "big")
    path.write_bytes(content)
    assert "reelist" in file_of(path).examine(5)


def test_only_the_newest_records_are_walked_when_the_gate_is_in_a_hurry(path: Path) -> None:
    """Damage further back is left to the daily audit."""
    edit(path, f"UPDATE journal_record SET hash = zeroblob(32) WHERE id = {row_key(1, Stream.PASSAGE, 3)}")  # noqa: S608
    assert file_of(path).examine(5) == ""
    assert file_of(path).examine(None).startswith("passage record 3: ")


@pytest.mark.parametrize(
    ("statements", "seen"),
    [
        (("CREATE TABLE holiday (day TEXT)",), "tables holiday"),
        ((f"PRAGMA user_version = {SCHEMA_VERSION + 1}",), f"format {SCHEMA_VERSION + 1}"),
        (("PRAGMA user_version = 999",), "format 999"),
    ],
    ids=["another program's", "the next version's", "a late version's"],
)
def test_a_file_that_is_something_else_is_left_alone(path: Path, statements: tuple[str, ...], seen: str) -> None:
    """It is not damaged: setting it aside would lose somebody's data, so the gate does not start on it."""
    if "holiday" in statements[0]:
        path.unlink()
    edit(path, *statements)
    before = path.read_bytes()
    with pytest.raises(JournalError) as caught:
        file_of(path).examine(None)
    assert (caught.value.failure, caught.value.seen) == (Failure.NOT_OPENED, seen)
    assert path.read_bytes() == before


class OpensLater:
    """An ``OpenDatabase`` whose first tries fail."""

    def __init__(self, *failures: Failure) -> None:
        self.failures = list(failures)

    def __call__(self, path: Path, *, read_only: bool = False) -> Database:
        if self.failures:
            raise DatabaseError("journal.db", self.failures.pop(0), seen="disk I/O error")
        return SqliteDatabase(path, read_only=read_only)


@pytest.mark.parametrize(
    ("failures", "found"),
    [
        ([Failure.UNREADABLE], ""),
        ([Failure.UNREADABLE, Failure.UNREADABLE], "disk I/O error"),
        ([Failure.DAMAGED], "disk I/O error"),
    ],
)
def test_a_file_that_cannot_be_read_once_is_tried_again(path: Path, failures: list[Failure], found: str) -> None:
    """A read that fails twice is damage, and so is what the database itself calls so."""
    opens = OpensLater(*failures)
    assert file_of(path, opens).examine(None) == found
    assert opens.failures == []


@pytest.mark.parametrize("failure", [Failure.BUSY, Failure.FULL, Failure.NOT_OPENED, Failure.INPUT_OUTPUT])
def test_trouble_that_may_pass_is_no_damage(path: Path, failure: Failure) -> None:
    """The caller tries again later; nothing is set aside for it."""
    with pytest.raises(DatabaseError) as caught:
        file_of(path, OpensLater(failure)).examine(None)
    assert caught.value.failure is failure


def told(path: Path) -> Record:
    """The alarm of the newest life."""
    alarms = [records[-1] for (_, stream), records in all_records(path).items() if stream is Stream.ALARM]
    assert alarms[-1].kind is Kind.ALARM
    return alarms[-1]


def aside_of(path: Path) -> Path:
    return path.with_name(facts(told(path))["set_aside"])


def test_a_damaged_file_is_set_aside_whole_and_told(path: Path) -> None:
    """A record taken out leaves itself and the next one unproved: a gap of two, and an alarm with where the rest is."""
    (old,) = {incarnation for incarnation, _ in all_records(path)}
    edit(path, f"DELETE FROM journal_record WHERE id = {row_key(1, Stream.PASSAGE, 7)}")  # noqa: S608
    before = path.read_bytes()
    file = file_of(path)
    file.begin_after_damage(file.examine(None))
    aside = aside_of(path)
    assert aside.read_bytes() == before
    assert verify(path).ok
    (new,) = {incarnation for incarnation, _ in all_records(path)} - {old}
    _, gap, alarm = all_records(path)[new, Stream.ALARM]
    assert (gap.kind, alarm.kind) == (Kind.GAP, Kind.ALARM)
    assert facts(gap) == {
        "why": "damaged",
        "incarnation": old,
        "stream": "passage",
        "first_seq": 7,
        "last_seq": 8,
        "count": 2,
    }
    assert facts(alarm) == {
        "code": "journal_damaged",
        "seen": "passage record 7: missing",
        "set_aside": aside.name,
        "carried_over": PASSAGES + 4 - 2,
        "holes": 1,
        "unreadable": False,
    }


def test_the_new_file_goes_on_from_the_old_ones_heads(path: Path) -> None:
    """Each genesis names the record that came before it, so nobody can leave a whole life out."""
    (old,) = {incarnation for incarnation, _ in all_records(path)}
    last = all_records(path)[old, Stream.PASSAGE][-1]
    with SqliteDatabase(path, read_only=True)._connection as raw:
        ((digest,),) = raw.execute(f"SELECT hash FROM journal_record WHERE id = {row_key(1, Stream.PASSAGE, last.seq)}")  # noqa: S608
    file_of(path).begin_after_damage("a trial")
    (genesis,) = [
        records[0]
        for (incarnation, stream), records in all_records(path).items()
        if incarnation != old and stream is Stream.PASSAGE
    ]
    assert facts(genesis) == {
        "why": "damaged",
        "seen": "a trial",
        "set_aside": aside_of(path).name,
        "previous": {"incarnation": old, "seq": last.seq, "hash": digest.hex()},
    }


@pytest.mark.parametrize("content", [b"", b"no database at all" * 500], ids=["empty", "rubbish"])
def test_a_file_beyond_reading_is_told_as_unreadable(path: Path, content: bytes) -> None:
    """Nothing is carried over, and no gap can be named; the damage is cut to what a record carries."""
    path.write_bytes(content)
    file_of(path).begin_after_damage("x" * 300)
    found = [
        record for (_, stream), records in all_records(path).items() if stream is Stream.ALARM for record in records
    ]
    assert [record.kind for record in found] == [Kind.GENESIS, Kind.ALARM]
    told = facts(found[1])
    assert (told["unreadable"], told["carried_over"], told["holes"], told["seen"]) == (True, 0, 0, "x" * 200)
    assert aside_of(path).read_bytes() == content


def test_a_new_life_in_the_same_file_leaves_the_old_one_as_it_is(path: Path) -> None:
    """As after a journal that went back: the next number, three chains from zero, the old ones untouched."""
    before = all_records(path)
    (old,) = {incarnation for incarnation, _ in before}
    database = SqliteDatabase(path)
    with transaction(database):
        file_of(path).begin_life(database, {"why": "went_back"})
    assert database.rows("SELECT number, kiosk_id FROM journal_incarnation ORDER BY number") == [(1, KIOSK), (2, KIOSK)]
    database.close()
    after = all_records(path)
    assert {key: after[key] for key in before} == before
    began = [records for key, records in after.items() if key not in before]
    assert [[record.seq for record in records] for records in began] == [[1], [1], [1]]
    assert {facts(records[0])["previous"]["incarnation"] for records in began} == {old}
    assert verify(path).ok


@pytest.mark.parametrize("fails", ["genesis", "rename"])
def test_a_build_that_fails_leaves_the_path_empty(
    memory_folder: Path, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    """The path never holds half of a journal, and the next try finds nothing in its way."""
    path = memory_folder / "journal.db"
    file, problem = file_of(path), OSError("no space left on device")

    def broken(*_: object, **__: object) -> None:
        raise problem

    with monkeypatch.context() as patched:
        place: tuple[Any, str] = (JournalFile, "begin_life") if fails == "genesis" else (Path, "rename")
        patched.setattr(*place, broken)
        with pytest.raises(OSError, match="no space left"):
            file.begin()
    assert not file.anything_there
    file.begin()
    assert file.examine(None) == ""
