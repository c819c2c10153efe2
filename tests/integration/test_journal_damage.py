"""A damaged or tampered journal: verify names the first bad record, a start sets the file aside and goes on."""

# ruff: noqa: S608 (the statements are made of the constants below)
from __future__ import annotations

import random
import shutil
import sqlite3
import time
from pathlib import Path

import pytest

from kiosk import journal as journal_module
from kiosk.journal import Journal, JournalError, verify
from kiosk.journal_audit import Audit
from kiosk.journal_tables import row_key
from kiosk.records import Kind, PayloadClass, Record, Stream
from tests.fakes import FakeClock
from tests.integration.journal_cases import all_records, open_journal, write_passage

PASSAGES = 40


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A closed journal of 40 passages, checkpointed into one file."""
    folder = tmp_path_factory.mktemp("written")
    clock = FakeClock()
    with open_journal(folder, clock) as journal:
        for number in range(PASSAGES):
            write_passage(journal, clock, number)
    return folder / "journal.db"


def edited(written: Path, memory_folder: Path, script: str = "") -> Path:
    """A copy of the journal changed by SQL, as somebody with the file in hand would."""
    path = memory_folder / "journal.db"
    shutil.copy(written, path)
    raw = sqlite3.connect(path)
    raw.executescript(script)
    raw.close()
    return path


def at(seq: int) -> int:
    """The row key of a passage record."""
    return row_key(1, Stream.PASSAGE, seq)


AT_7 = f"WHERE id = {at(7)}"
R, F, H, P = "journal_record", "journal_facts", "journal_health", "journal_person"

CHANGES = [
    ("a header", 7, f"UPDATE {R} SET header = CAST(replace(header, 'in-1', 'in-2') AS BLOB) {AT_7}"),
    ("a digest", 7, f"UPDATE {R} SET digests = zeroblob(96) {AT_7}"),
    ("a hash", 7, f"UPDATE {R} SET hash = zeroblob(32) {AT_7}"),
    ("a payload's body", 7, f"UPDATE {H} SET body = CAST(replace(body, '37', '36') AS BLOB) {AT_7}"),
    ("a payload's salt", 7, f"UPDATE {P} SET salt = zeroblob(16) {AT_7}"),
    ("a payload's time", 7, f"UPDATE {P} SET at_us = at_us + 1 {AT_7}"),
    ("a payload taken out", 7, f"DELETE FROM {H} {AT_7}"),
    ("a record taken out", 7, f"DELETE FROM {R} {AT_7}"),
    ("the last record", 41, "; ".join(f"DELETE FROM {t} WHERE id = {at(41)}" for t in (R, F, H, P))),
    (
        "two records exchanged",
        7,
        f"UPDATE {R} SET id = 1000 {AT_7}; UPDATE {R} SET id = {at(7)} WHERE id = {at(8)};"
        f"UPDATE {R} SET id = {at(8)} WHERE id = 1000",
    ),
    ("a record put in", 42, f"INSERT INTO {R} SELECT {at(42)}, header, digests, hash FROM {R} {AT_7}"),
    ("a payload put in", 1, f"INSERT INTO {P} SELECT {at(1)}, at_us, salt, body FROM {P} {AT_7}"),
    ("a record in another stream", 2, f"UPDATE {R} SET id = {row_key(1, Stream.ALARM, 2)} WHERE id = {at(2)}"),
    ("the counter", 41, "UPDATE journal_chain SET last_seq = 40 WHERE stream = 3"),
    ("the head", 42, "UPDATE journal_chain SET head = zeroblob(32) WHERE stream = 3"),
    ("the base", 2, "UPDATE journal_chain SET base_seq = 1 WHERE stream = 3"),
    ("the incarnation", 1, "UPDATE journal_incarnation SET incarnation = 'x'"),
    ("the kiosk", 1, "UPDATE journal_incarnation SET kiosk_id = 'gate-2'"),
    ("a whole chain taken out", 0, "DELETE FROM journal_chain WHERE stream = 3"),
    ("everything taken out", 0, "DELETE FROM journal_chain; DELETE FROM journal_incarnation"),
]


@pytest.mark.parametrize(("what", "seq", "script"), CHANGES, ids=[change[0] for change in CHANGES])
def test_verify_names_what_was_changed(written: Path, memory_folder: Path, what: str, seq: int, script: str) -> None:
    """Change, deletion, insertion, exchange, truncation: each is found, at the first record that shows it."""
    report = verify(edited(written, memory_folder, script))
    assert not report.ok, what
    assert seq in {bad.seq for bad in report.bad}, report.bad


def test_verify_is_content_with_an_untouched_file(written: Path) -> None:
    """No false alarm; and what was counted is what was written."""
    report = verify(written)
    assert report.ok
    assert report.records == PASSAGES + 4
    assert {(chain.stream, chain.erased, chain.lost) for chain in report.chains} == {(s, 0, 0) for s in Stream}


STORED = {
    "journal_record": ("header", "digests", "hash"),
    "journal_facts": ("salt", "body"),
    "journal_health": ("salt", "body"),
    "journal_person": ("salt", "body"),
}


def one_byte_changed(raw: sqlite3.Connection, rng: random.Random) -> str:
    """Change one random byte of one random stored value; where it was."""
    table = rng.choice(list(STORED))
    column = rng.choice(STORED[table])
    key, value = rng.choice(raw.execute(f"SELECT id, {column} FROM {table}").fetchall())
    at = rng.randrange(len(value))
    changed = value[:at] + bytes([value[at] ^ (1 << rng.randrange(8))]) + value[at + 1 :]
    raw.execute(f"UPDATE {table} SET {column} = ? WHERE id = ?", (changed, key))
    return f"{table}.{column} of {key:x} at {at}"


def every_change_is_found(written: Path, memory_folder: Path, count: int, seed: int) -> None:
    """``count`` random one-byte changes of stored values, each on its own, each found."""
    path = edited(written, memory_folder)
    raw = sqlite3.connect(path, isolation_level=None)
    rng = random.Random(seed)
    for _ in range(count):
        raw.execute("BEGIN")
        where = one_byte_changed(raw, rng)
        raw.execute("COMMIT")
        assert not verify(path).ok, where
        raw.close()
        shutil.copy(written, path)
        raw = sqlite3.connect(path, isolation_level=None)
    raw.close()


def test_any_one_byte_change_of_a_stored_value_is_found(written: Path, memory_folder: Path) -> None:
    """150 random ones (10,000 in the campaign)."""
    every_change_is_found(written, memory_folder, 150, seed=1)


@pytest.mark.campaign
def test_ten_thousand_one_byte_changes_are_found(written: Path, memory_folder: Path) -> None:
    """Goal 10 of the plan: all of 10,000."""
    every_change_is_found(written, memory_folder, 10_000, seed=2)


def start_after_damage(path: Path, before: dict[tuple[str, Stream], list[Record]]) -> str:
    """Open a damaged journal, write one passage, and check that nothing went silently; what became of it."""
    clock = FakeClock()
    old = next(iter(before))[0]
    with open_journal(path.parent, clock) as journal:
        write_passage(journal, clock, 999)
        assert verify(path).ok
        after = all_records(path)
        asides = [
            file
            for file in path.parent.iterdir()
            if ".damaged-" in file.name and not file.name.endswith(("-wal", "-shm"))
        ]
        if journal.incarnation == old:
            assert asides == []
            for key, records in before.items():
                assert after[key][: len(records)] == records, key
            return "untouched"
        assert len(asides) == 1
        told = after[journal.incarnation, Stream.ALARM]
        assert told[-1].payloads[PayloadClass.FACTS].body["code"] == "journal_damaged"
        assert told[-1].payloads[PayloadClass.FACTS].body["set_aside"] == asides[0].name
        gaps = [record.payloads[PayloadClass.FACTS].body for record in told if record.kind is Kind.GAP]
        unreadable = told[-1].payloads[PayloadClass.FACTS].body["unreadable"]
        for key, records in before.items():
            carried = {record.seq: record for record in after.get(key, [])}
            for record in records:
                if record.seq in carried:
                    assert carried[record.seq].header() == record.header()
                else:
                    assert unreadable or any(
                        gap["incarnation"] == key[0] and gap["stream"] == key[1]
                        and gap["first_seq"] <= record.seq <= gap["last_seq"]
                        for gap in gaps
                    ), (key, record.seq, gaps)  # fmt: skip
        return "set aside"


def damage_at_random(written: Path, memory_folder: Path, seeds: range) -> dict[str, int]:
    """Overwrite 1 to 64 bytes somewhere in the file, start, and count what became of it."""
    outcomes: dict[str, int] = {}
    before = all_records(written)
    data = written.read_bytes()
    for seed in seeds:
        rng = random.Random(seed)
        place = memory_folder / f"damage-{seed}"
        place.mkdir()
        at, length = rng.randrange(len(data)), rng.choice((1, 1, 8, 64))
        (place / "journal.db").write_bytes(data[:at] + rng.randbytes(length) + data[at + length :])
        outcome = start_after_damage(place / "journal.db", before)
        outcomes[outcome] = outcomes.get(outcome, 0) + 1
        shutil.rmtree(place)
    return outcomes


def test_a_start_on_a_damaged_file_serves_and_tells(written: Path, memory_folder: Path) -> None:
    """25 random damages: either it hit nothing stored, or the file is set aside and every loss is in a gap record."""
    outcomes = damage_at_random(written, memory_folder, range(25))
    assert outcomes.get("set aside", 0) > 5


@pytest.mark.campaign
def test_two_hundred_random_damages(written: Path, memory_folder: Path) -> None:
    """Requirement 11 of the hardening list."""
    damage_at_random(written, memory_folder, range(1000, 1200))


def test_a_bad_record_in_the_middle_costs_that_record_alone(written: Path, memory_folder: Path) -> None:
    """Records behind it are carried over too: their hashes prove where the chain goes on."""
    before = all_records(written)
    old = next(iter(before))[0]
    path = edited(written, memory_folder, f"UPDATE {R} SET header = zeroblob(300) WHERE id = {at(20)}")
    assert start_after_damage(path, before) == "set aside"
    seqs = [record.seq for record in all_records(path)[old, Stream.PASSAGE]]
    assert seqs == [*range(1, 20), *range(21, 42)]


def test_a_lost_end_is_told(written: Path, memory_folder: Path) -> None:
    """The newest record is bad, so nothing behind it can prove where the chain goes on: its number is in a gap."""
    before = all_records(written)
    old = next(iter(before))[0]
    path = edited(written, memory_folder, f"UPDATE {R} SET header = zeroblob(300) WHERE id = {at(41)}")
    assert start_after_damage(path, before) == "set aside"
    assert [record.seq for record in all_records(path)[old, Stream.PASSAGE]] == [*range(1, 41)]


def finding_of(audit: Audit) -> bool:
    """What a begun audit says at its end; fails after half a minute."""
    deadline = time.monotonic() + 30
    while (sound := audit.poll()) is None:
        assert time.monotonic() < deadline, "the audit has not ended"
        time.sleep(0.01)
    return sound


def test_the_audit_of_a_sound_journal_is_content(written: Path) -> None:
    """And one that is not begun says nothing."""
    audit = Audit(written)
    assert audit.poll() is None
    audit.start()
    audit.start()
    assert finding_of(audit) is True
    audit.start()
    audit.stop()
    assert audit.poll() is None


def test_a_second_damage_keeps_the_first_hole(written: Path, memory_folder: Path) -> None:
    """The new file is damaged again: old holes stay holes, and everything is still there once."""
    path = edited(written, memory_folder, f"UPDATE {R} SET header = zeroblob(300) WHERE id = {at(20)}")
    open_journal(memory_folder).close()
    raw = sqlite3.connect(path)
    raw.execute(f"UPDATE {R} SET header = zeroblob(9) WHERE id BETWEEN {at(30)} AND {at(32)}")
    raw.commit()
    raw.close()
    open_journal(memory_folder).close()
    assert verify(path).ok
    records = all_records(path)
    assert len({incarnation for incarnation, _ in records}) == 3
    old = next(iter(records))[0]
    assert [r.seq for r in records[old, Stream.PASSAGE]] == [*range(1, 20), *range(21, 30), *range(33, 42)]


def test_a_damaged_name_of_the_incarnation_is_restored_from_its_records(written: Path, memory_folder: Path) -> None:
    """The records name their incarnation and kiosk themselves; nothing is lost and nothing is sent under a new name."""
    before = all_records(written)
    path = edited(written, memory_folder, "UPDATE journal_incarnation SET incarnation = 'x', kiosk_id = 'gate-9'")
    assert start_after_damage(path, before) == "set aside"
    after = all_records(path)
    assert {key: after[key] for key in before} == before


def test_a_destroyed_payload_leaves_its_record(written: Path, memory_folder: Path) -> None:
    """The passage itself survives with the payload's digest alone."""
    before = all_records(written)
    old = next(iter(before))[0]
    path = edited(written, memory_folder, f"UPDATE {H} SET body = zeroblob(4) WHERE id = {at(20)}")
    assert start_after_damage(path, before) == "set aside"
    record = all_records(path)[old, Stream.PASSAGE][19]
    assert record.payloads[PayloadClass.HEALTH].erased
    assert record.payloads[PayloadClass.FACTS] == before[old, Stream.PASSAGE][19].payloads[PayloadClass.FACTS]
    assert sum(chain.lost for chain in verify(path).chains) == 1


@pytest.mark.parametrize("content", [b"", b"x" * 10_000, b"SQLite format 3\x00" + b"\xff" * 5000])
def test_a_file_beyond_reading_is_set_aside_whole(memory_folder: Path, content: bytes) -> None:
    """An empty file, and bytes that are no database: kept as they are, and a new incarnation serves."""
    (memory_folder / "journal.db").write_bytes(content)
    with open_journal(memory_folder) as journal:
        assert verify(journal.path).ok
        told = all_records(journal.path)[journal.incarnation, Stream.ALARM][-1].payloads[PayloadClass.FACTS].body
        assert (memory_folder / told["set_aside"]).read_bytes() == content
        assert told["unreadable"] is True


def test_a_log_without_its_file_is_not_played_into_a_new_one(written: Path, memory_folder: Path) -> None:
    """An orphaned write-ahead log goes aside; SQLite must never replay it into another database."""
    (memory_folder / "journal.db-wal").write_bytes(b"\x37\x7f\x06\x82" + b"\x00" * 100)
    with open_journal(memory_folder) as journal:
        assert verify(journal.path).ok
    assert [file.name for file in memory_folder.iterdir() if file.name.endswith("-wal")] == [
        file.name for file in memory_folder.iterdir() if ".damaged-" in file.name
    ]


@pytest.mark.parametrize("renamed", [0, 1, 2])
def test_setting_aside_is_finished_by_the_next_start(written: Path, memory_folder: Path, renamed: int) -> None:
    """A crash between the renames: the intention on disk says what to finish, and nothing is mixed up."""
    path = memory_folder / "journal.db"
    shutil.copy(written, path)
    (memory_folder / "journal.db-wal").write_bytes(b"log of the damaged file")
    (memory_folder / "journal.db-shm").write_bytes(b"index")
    aside = "journal.db.damaged-20261121T080000Z"
    (memory_folder / "journal.db.set-aside").write_text(aside)
    for suffix in ("-shm", "-wal")[:renamed]:
        (memory_folder / f"journal.db{suffix}").rename(memory_folder / f"{aside}{suffix}")
    with open_journal(memory_folder) as journal:
        assert verify(journal.path).ok
        assert (memory_folder / f"{aside}-wal").read_bytes() == b"log of the damaged file"
        assert not (memory_folder / "journal.db.set-aside").exists()


def test_an_old_bad_record_is_found_by_the_audit_and_dealt_with_at_the_next_record(
    written: Path, memory_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A start walks the newest records only; the audit finds the rest beside the running gate."""
    monkeypatch.setattr(journal_module, "START_WALK_RECORDS", 10)
    edited(written, memory_folder, f"UPDATE {R} SET header = zeroblob(300) WHERE id = {at(20)}")
    clock = FakeClock()
    with open_journal(memory_folder, clock) as journal:
        first = journal.incarnation
        write_passage(journal, clock, 100)
        assert journal.incarnation == first
        audit = Audit(journal.path)
        audit.start()
        assert finding_of(audit) is False
        journal.suspect()
        write_passage(journal, clock, 101)
        assert journal.incarnation != first
        assert verify(journal.path).ok
        assert [r.seq for r in all_records(journal.path)[first, Stream.PASSAGE]] == [*range(1, 20), *range(21, 43)]


@pytest.mark.parametrize("seq", [33, 38, 41])
def test_a_bad_record_among_the_newest_is_found_at_the_start(
    written: Path, memory_folder: Path, monkeypatch: pytest.MonkeyPatch, seq: int
) -> None:
    """Also the first of those that a start walks."""
    monkeypatch.setattr(journal_module, "START_WALK_RECORDS", 10)
    edited(written, memory_folder, f"UPDATE {R} SET header = zeroblob(300) WHERE id = {at(seq)}")
    with open_journal(memory_folder) as journal:
        assert len({incarnation for incarnation, _ in all_records(journal.path)}) == 2


def test_damage_met_while_running_is_dealt_with_at_the_next_record(memory_folder: Path) -> None:
    """A page goes bad under a running gate: an append fails, the next one is taken by a new incarnation."""
    clock = FakeClock()
    journal = open_journal(memory_folder, clock)
    with journal:
        for number in range(200):
            write_passage(journal, clock, number)
        first = journal.incarnation
        assert journal._database is not None
        journal._database.rows("PRAGMA wal_checkpoint(TRUNCATE)")
        data = journal.path.read_bytes()
        with journal.path.open("r+b") as file:
            file.seek(4096)
            file.write(b"\xff" * (len(data) - 4096))
        failures = _append_until_taken(journal, clock)
        assert failures >= 1
        assert journal.incarnation != first
        assert verify(journal.path).ok


def _append_until_taken(journal: Journal, clock: FakeClock) -> int:
    for failures in range(10):
        try:
            write_passage(journal, clock, 500 + failures)
        except JournalError:
            journal._close_database()  # a cached page may hide the damage; a real gate meets it sooner or later
            continue
        if failures:
            return failures
        journal._close_database()
    raise AssertionError("ten appends failed")
