"""Deleting from a journal in steps (``kiosk/journal_forget.py``): what goes, what stays, and that it is gone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kiosk import journal_forget
from kiosk.database import Database, SqliteDatabase, transaction
from kiosk.journal_forget import empty_log, erase_step, note_erasure, purge_step, shrink_step
from kiosk.journal_tables import PAYLOAD_TABLE, SEQ_BITS
from kiosk.journal_types import Acknowledged
from kiosk.journal_verify import chain_rows, erasure_horizons, verify_database
from kiosk.records import PayloadClass, Stream
from tests.fakes import MORNING_US, FakeClock
from tests.integration.journal_cases import acknowledged, open_journal, write_passage

PASSAGES = 7
LAST = PASSAGES + 1
"""A genesis stands before them."""
S_US = 1_000_000


@pytest.fixture
def path(memory_folder: Path) -> Path:
    """A journal of seven passages, a second apart, the first a second after the morning began."""
    clock = FakeClock()
    with open_journal(memory_folder, clock) as journal:
        for number in range(PASSAGES):
            write_passage(journal, clock, number)
    return memory_folder / "journal.db"


@pytest.fixture
def database(path: Path) -> Iterator[Database]:
    """The same, open for writing."""
    database = SqliteDatabase(path)
    yield database
    database.close()


def mark(path: Path, seq: int) -> Acknowledged:
    """The central's word for a passage."""
    with open_journal(path.parent) as journal:
        return acknowledged(journal, Stream.PASSAGE, seq, MORNING_US)


def counts(database: Database) -> dict[PayloadClass, int]:
    return {
        cls: database.rows(f"SELECT count(*) FROM {table} WHERE at_us > {MORNING_US}")[0][0]  # noqa: S608
        for cls, table in PAYLOAD_TABLE.items()
    }


def bases(database: Database) -> dict[Stream, int]:
    return {row.stream: row.base.seq for row in chain_rows(database)}


def test_everything_up_to_the_mark_goes_with_its_payloads(path: Path) -> None:
    """The chain begins behind the mark and still verifies; the other streams lose nothing."""
    kept = mark(path, 5)
    database = SqliteDatabase(path)
    assert purge_step(database, kept) == 5
    assert bases(database) == {Stream.PASSAGE: 5, Stream.ALARM: 0, Stream.DIAGNOSTIC: 0}
    assert counts(database) == dict.fromkeys(PayloadClass, LAST - 5)
    assert verify_database(database).ok
    assert purge_step(database, kept) == 0
    database.close()


def test_a_step_takes_only_so_many_and_the_next_goes_on(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three, three and two; a passage can be written between any two of them."""
    monkeypatch.setattr(journal_forget, "STEP_ROWS", 3)
    last = mark(path, LAST)
    database = SqliteDatabase(path)
    found: list[int] = []
    for _ in range(4):
        found.append(purge_step(database, last))
        assert verify_database(database).ok
    assert found == [3, 3, 2, 0]
    assert bases(database)[Stream.PASSAGE] == LAST
    database.close()


@pytest.mark.parametrize(
    "changes",
    [
        {"hash": bytes(32)},
        {"seq": LAST},
        {"seq": LAST + 1},
        {"seq": 0},
        {"stream": Stream.ALARM},
        {"incarnation": "f" * 32},
    ],
    ids=["hash", "another record's", "beyond the head", "nothing", "stream", "incarnation"],
)
def test_a_mark_that_is_not_this_journals_deletes_nothing(path: Path, changes: dict[str, Any]) -> None:
    """A central that mixed two kiosks up, or a journal that went back, costs no record."""
    wrong = replace(mark(path, 5), **changes)
    database = SqliteDatabase(path)
    assert purge_step(database, wrong) == 0
    assert set(bases(database).values()) == {0}
    assert counts(database) == dict.fromkeys(PayloadClass, PASSAGES)
    database.close()


def test_a_mark_beyond_its_stream_reaches_into_no_other(path: Path) -> None:
    """Behind a stream's numbers lie the next stream's records: a hash from there is no mark here."""
    with open_journal(path.parent) as journal:
        first = acknowledged(journal, Stream.DIAGNOSTIC, 1, MORNING_US)
    database = SqliteDatabase(path)
    assert purge_step(database, replace(first, stream=Stream.ALARM, seq=(1 << SEQ_BITS) + 1)) == 0
    assert set(bases(database).values()) == {0}
    database.close()


def test_a_mark_on_a_record_that_is_gone_deletes_nothing(path: Path) -> None:
    """A damaged journal is the audit's to tell of; purging only must not fail on it."""
    kept = mark(path, 5)
    database = SqliteDatabase(path)
    database.run("DELETE FROM journal_record WHERE hash = ?", (kept.hash,))
    assert purge_step(database, kept) == 0
    assert counts(database) == dict.fromkeys(PayloadClass, PASSAGES)
    database.close()


def test_erasing_a_class_leaves_the_rest_and_every_digest(database: Database) -> None:
    """Passages made before the third second lose their health payload alone; the one at it keeps its own."""
    before_us = MORNING_US + 3 * S_US
    with transaction(database):
        note_erasure(database, PayloadClass.HEALTH, before_us)
        assert erase_step(database, PayloadClass.HEALTH, before_us) == 2
    assert counts(database) == {**dict.fromkeys(PayloadClass, PASSAGES), PayloadClass.HEALTH: PASSAGES - 2}
    assert verify_database(database).ok


def test_what_is_missing_without_a_note_is_a_theft(database: Database) -> None:
    """The note is what tells retention from somebody with the file in hand."""
    erase_step(database, PayloadClass.HEALTH, MORNING_US + 3 * S_US)
    assert not verify_database(database).ok


def test_erasing_takes_steps_as_well(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer than a step's rows tell that none is left."""
    monkeypatch.setattr(journal_forget, "STEP_ROWS", 3)
    found = [erase_step(database, PayloadClass.PERSON, MORNING_US + 60 * S_US) for _ in range(4)]
    assert found == [3, 3, 1, 0]


def test_the_note_of_an_erasure_never_goes_back(database: Database) -> None:
    """An earlier date, from a clock that was put back, does not make what is gone look stolen."""
    for before_us in (MORNING_US, MORNING_US + S_US, MORNING_US):
        note_erasure(database, PayloadClass.HEALTH, before_us)
    note_erasure(database, PayloadClass.PERSON, MORNING_US)
    assert erasure_horizons(database) == {PayloadClass.HEALTH: MORNING_US + S_US, PayloadClass.PERSON: MORNING_US}


def test_an_erased_payload_stands_in_no_file(database: Database, path: Path) -> None:
    """Overwritten in the file, and the log emptied: somebody who reads the card finds the subject nowhere."""
    subject, log = b'"subject":"0000000000000003"', path.with_name(path.name + "-wal")

    def on_disk() -> bytes:
        return path.read_bytes() + log.read_bytes()

    database.run("PRAGMA user_version = 1")  # the log is there, whoever opened the file last
    assert subject in on_disk()
    erase_step(database, PayloadClass.PERSON, MORNING_US + 60 * S_US)
    empty_log(database)
    assert subject not in on_disk()
    assert log.stat().st_size == 0


def test_free_pages_go_back_to_the_disk_in_steps(
    database: Database, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two pages a step, until there are none."""
    monkeypatch.setattr(journal_forget, "_STEP_PAGES", 2)
    database.run("CREATE TABLE filler (body BLOB)")
    for _ in range(5):
        database.run("INSERT INTO filler VALUES (zeroblob(1500))")
    database.run("DROP TABLE filler")
    empty_log(database)
    before = path.stat().st_size
    left: list[int] = []
    while shrink_step(database):
        left += database.rows("PRAGMA freelist_count")[0]
    empty_log(database)
    assert left == [*range(left[0], 0, -2), 0]
    assert before - path.stat().st_size == (left[0] + 2) * 2048
