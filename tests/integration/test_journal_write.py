"""How entries become records (``kiosk/journal_write.py``): salted, chained and counted, or nothing at all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kiosk.database import Database, DatabaseError, Failure, SqliteDatabase, transaction
from kiosk.journal_tables import INSERT_CHAIN, INSERT_INCARNATION, PAYLOAD_TABLE, STREAM_NUMBER, create_schema, row_key
from kiosk.journal_types import Entry, Head
from kiosk.journal_verify import chain_rows, verify_database
from kiosk.journal_write import MAX_PAYLOAD_BYTES, Life, prepare, write
from kiosk.records import ZERO_HASH, Kind, PayloadClass, RecordError, Stream
from tests.fakes import FakeClock

LIFE = Life("gate-1", "0123456789abcdef0123456789abcdef", 3)
NOW = FakeClock().now()
START = dict.fromkeys(Stream, Head())


@pytest.fixture
def database(memory_folder: Path) -> Iterator[Database]:
    """A journal's file with one incarnation, in which nothing was written yet."""
    database = SqliteDatabase(memory_folder / "journal.db")
    with transaction(database):
        create_schema(database)
        database.run(INSERT_INCARNATION, (LIFE.number, LIFE.incarnation, LIFE.kiosk_id))
        for stream in Stream:
            database.run(INSERT_CHAIN, (LIFE.number, STREAM_NUMBER[stream], 0, ZERO_HASH, 0, ZERO_HASH))
    yield database
    database.close()


def passage(ref: str, **payloads: dict[str, Any]) -> Entry:
    bodies = {PayloadClass(name): body for name, body in payloads.items()}
    return Entry(stream=Stream.PASSAGE, kind=Kind.PASSAGE, at=NOW, lane="in-1", ref=ref, payloads=bodies)


def alarm(code: str) -> Entry:
    return Entry(stream=Stream.ALARM, kind=Kind.ALARM, at=NOW, payloads={PayloadClass.FACTS: {"code": code}})


def heads(database: Database) -> dict[Stream, Head]:
    return {row.stream: row.head for row in chain_rows(database)}


def test_each_chain_goes_on_from_its_own_head(database: Database) -> None:
    """Two passages and an alarm between them: 1, 2 and 1, each hash following from the one before in its stream."""
    entries = [passage("p-1", facts={"admit": True}), alarm("tamper"), passage("p-2", person={"subject": "a1"})]
    with transaction(database):
        records, after = write(database, LIFE, START, [prepare(entry) for entry in entries])
    first, alarmed, second = records
    assert [(record.stream, record.seq, record.ref) for record in records] == [
        (Stream.PASSAGE, 1, "p-1"),
        (Stream.ALARM, 1, ""),
        (Stream.PASSAGE, 2, "p-2"),
    ]
    assert after == {
        Stream.PASSAGE: Head(2, second.hash(first.hash(ZERO_HASH))),
        Stream.ALARM: Head(1, alarmed.hash(ZERO_HASH)),
        Stream.DIAGNOSTIC: Head(),
    }
    assert heads(database) == after
    assert verify_database(database).ok


def test_a_record_says_who_wrote_it_when_and_where(database: Database) -> None:
    """Identity from the incarnation, the rest from the entry; nothing of it is made up."""
    with transaction(database):
        ((record,), _) = write(database, LIFE, START, [prepare(passage("p-1", facts={"admit": True}))])
    assert (record.kiosk_id, record.incarnation, record.kind, record.lane) == (*LIFE[:2], Kind.PASSAGE, "in-1")
    assert (record.at_us, record.clock_trust) == (NOW.at_us, NOW.clock_trust)
    assert (record.boot_id, record.mono_ns) == (NOW.boot_id, NOW.mono_ns)
    assert record.payloads[PayloadClass.FACTS].body == {"admit": True}


def test_each_payload_lies_in_its_classes_table_with_its_records_time(database: Database) -> None:
    """Retention erases by that time and that table; what is not in the record is in no table."""
    with transaction(database):
        write(database, LIFE, START, [prepare(passage("p-1", facts={"admit": True}, person={"subject": "a1"}))])
    key = row_key(LIFE.number, Stream.PASSAGE, 1)
    found = {cls: database.rows(f"SELECT id, at_us, body FROM {table}") for cls, table in PAYLOAD_TABLE.items()}  # noqa: S608
    assert found == {
        PayloadClass.FACTS: [(key, NOW.at_us, b'{"admit":true}')],
        PayloadClass.HEALTH: [],
        PayloadClass.PERSON: [(key, NOW.at_us, b'{"subject":"a1"}')],
    }


def test_a_counter_that_somebody_else_moved_gives_the_whole_transaction_up(database: Database) -> None:
    """A second writer is no reason to use a number twice: nothing of the three entries stays."""
    with transaction(database):
        write(database, LIFE, START, [prepare(passage("p-1"))])
    stood = heads(database)
    entries = [alarm("tamper"), passage("p-2"), alarm("fire")]
    database.run("BEGIN")
    database.run("DELETE FROM journal_record")  # so that the counter alone is what stands in the way
    with pytest.raises(DatabaseError, match="the counter of passage moved") as caught:
        write(database, LIFE, START, [prepare(entry) for entry in entries])
    database.rollback()
    assert caught.value.failure is Failure.OTHER
    assert heads(database) == stood
    assert database.rows("SELECT count(*) FROM journal_record") == [(1,)]


def test_only_the_incarnation_that_is_written_moves(database: Database) -> None:
    """An earlier one's chains stay where they ended."""
    old = Life("gate-1", "f" * 32, 2)
    database.run(INSERT_INCARNATION, (old.number, old.incarnation, old.kiosk_id))
    for stream in Stream:
        database.run(INSERT_CHAIN, (old.number, STREAM_NUMBER[stream], 0, ZERO_HASH, 0, ZERO_HASH))
    with transaction(database):
        write(database, LIFE, START, [prepare(passage("p-1"))])
    moved = [row.incarnation for row in chain_rows(database) if row.head.seq]
    assert moved == [LIFE.incarnation]


def test_what_is_the_same_twice_has_two_digests() -> None:
    """By its salt: from a digest nobody finds out which of two subjects it was."""
    one, other = (prepare(passage("p-1", person={"subject": "a1"})) for _ in range(2))
    assert one.bodies == other.bodies
    assert one.payloads[PayloadClass.PERSON].digest != other.payloads[PayloadClass.PERSON].digest
    assert one.payloads[PayloadClass.PERSON].sound()


def test_what_was_prepared_no_longer_changes() -> None:
    """The caller's own dictionary may go on to be something else."""
    body: dict[str, Any] = {"subject": "a1"}
    prepared = prepare(passage("p-1", person=body))
    body["subject"] = "b2"
    assert prepared.payloads[PayloadClass.PERSON].body == {"subject": "a1"}
    assert prepared.payloads[PayloadClass.PERSON].sound()


@pytest.mark.parametrize(("bytes_over", "fits"), [(0, True), (1, False)])
def test_a_payload_is_as_long_as_a_batch_can_carry(bytes_over: int, fits: bool) -> None:
    """64 KiB of canonical form and not one byte more; the message says whose and how long."""
    note = "x" * (MAX_PAYLOAD_BYTES - len('{"note":""}') + bytes_over)
    if fits:
        assert len(prepare(passage("p-1", person={"note": note})).bodies[PayloadClass.PERSON]) == 64 * 1024
        return
    with pytest.raises(RecordError, match="payload person of passage: 65537 bytes, at most 65536"):
        prepare(passage("p-1", person={"note": note}))


def test_a_float_is_no_payload() -> None:
    """Two programs would write it differently; temperatures are hundredths."""
    with pytest.raises(RecordError):
        prepare(passage("p-1", health={"object_c": 37.5}))
