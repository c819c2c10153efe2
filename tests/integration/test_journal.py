"""The journal: what is appended is kept, in order, chained, and readable by another process."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from kiosk.database import Failure
from kiosk.journal import Acknowledged, Entry, Journal, JournalError, JournalReader, verify
from kiosk.journal_tables import row_key
from kiosk.journal_types import Head
from kiosk.reasons import ClockTrust
from kiosk.records import ZERO_HASH, Kind, PayloadClass, RecordError, Stream
from tests.conftest import ROOT
from tests.fakes import MORNING_US, FakeClock
from tests.integration.journal_cases import DAY_US, FACTS, acknowledged, all_records, open_journal, write_passage


def test_a_new_journal_opens_each_stream_with_a_genesis_and_marks_the_boot(tmp_path: Path) -> None:
    """The first record of each chain says that the incarnation is new; the start itself is a diagnostic record."""
    with open_journal(tmp_path) as journal:
        records = all_records(journal.path)
        assert set(records) == {(journal.incarnation, stream) for stream in Stream}
        for stream in Stream:
            first = records[journal.incarnation, stream][0]
            assert (first.seq, first.kind) == (1, Kind.GENESIS)
            assert first.payloads[PayloadClass.FACTS].body == {"why": "new", "previous": None}
        assert [r.kind for r in records[journal.incarnation, Stream.DIAGNOSTIC]] == [Kind.GENESIS, Kind.BOOT]


def test_every_stream_counts_from_one_without_gaps_and_its_hashes_follow(tmp_path: Path) -> None:
    """The chain computed by the record contract from 32 zero bytes ends at the journal's own head."""
    clock = FakeClock()
    with open_journal(tmp_path, clock) as journal:
        for number in range(20):
            write_passage(journal, clock, number)
            if number % 5 == 0:
                journal.append(Stream.ALARM, Kind.ALARM, at=clock.now(), payloads={PayloadClass.FACTS: {"alarm": "x"}})
        for (_, stream), records in all_records(journal.path).items():
            assert [r.seq for r in records] == list(range(1, len(records) + 1))
            digest = ZERO_HASH
            for record in records:
                digest = record.hash(digest)
            assert journal.heads()[stream] == Head(len(records), digest)
        assert verify(journal.path).ok


def test_what_is_read_back_is_what_was_returned(tmp_path: Path) -> None:
    """The reader's record equals the writer's, payloads and salts included."""
    clock = FakeClock(trust=ClockTrust.HOLDOVER)
    with open_journal(tmp_path, clock) as journal:
        written = [write_passage(journal, clock, number) for number in range(3)]
        read = all_records(journal.path)[journal.incarnation, Stream.PASSAGE]
        assert read[1:] == written
        assert all(payload.sound() for record in read for payload in record.payloads.values())


def test_another_process_sees_a_record_once_append_returned(tmp_path: Path) -> None:
    """The commit is not in this process's memory only."""
    clock = FakeClock()
    with open_journal(tmp_path, clock) as journal:
        record = write_passage(journal, clock, 1)
        code = (
            "import sys; from kiosk.journal import JournalReader; from kiosk.records import Stream;"
            "p = JournalReader(sys.argv[1]).positions(); print(p[sys.argv[2], Stream.PASSAGE].seq)"
        )
        shown = subprocess.run(
            [sys.executable, "-c", code, str(journal.path), journal.incarnation],
            capture_output=True, text=True, cwd=ROOT, check=True,
        )  # fmt: skip
        assert int(shown.stdout) == record.seq


def test_the_files_are_private_and_the_pragmas_are_the_promise(tmp_path: Path) -> None:
    """Mode 0600 for file, log and index; write-ahead log, synchronous FULL, secure_delete on the connection."""
    old = os.umask(0)
    try:
        journal = open_journal(tmp_path)
    finally:
        os.umask(old)
    with journal:
        for file in tmp_path.iterdir():
            assert stat.S_IMODE(file.stat().st_mode) == 0o600, file.name
        assert journal._database is not None
        pragmas = {
            p: journal._database.rows(f"PRAGMA {p}")[0][0] for p in ("journal_mode", "synchronous", "secure_delete")
        }
        assert pragmas == {"journal_mode": "wal", "synchronous": 2, "secure_delete": 1}


def test_opening_again_goes_on_where_it_ended(tmp_path: Path) -> None:
    """Same incarnation, next number, one more boot record."""
    clock = FakeClock()
    with open_journal(tmp_path, clock) as journal:
        incarnation = journal.incarnation
        last = write_passage(journal, clock, 1)
    clock.reboot()
    with open_journal(tmp_path, clock) as journal:
        assert journal.incarnation == incarnation
        assert write_passage(journal, clock, 2).seq == last.seq + 1
        diagnostics = all_records(journal.path)[incarnation, Stream.DIAGNOSTIC]
        assert [r.kind for r in diagnostics] == [Kind.GENESIS, Kind.BOOT, Kind.BOOT]
        assert diagnostics[1].boot_id != diagnostics[2].boot_id


def test_what_the_kiosk_wants_to_know_again_is_told_by_kind_and_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two incarnations, in order, piece by piece; nothing about anybody's health comes along."""
    monkeypatch.setattr("kiosk.journal_reader.TOLD_STEP", 3)
    clock = FakeClock()
    for kiosk_id in ("gate-1", "gate-2"):
        with Journal.open(tmp_path / "journal.db", kiosk_id=kiosk_id, clock=clock) as journal:
            for number in range(8):
                payloads: dict[PayloadClass, dict[str, object]] = {
                    PayloadClass.FACTS: {"number": number, "card": "uid" if number % 2 else "pass_code"},
                    PayloadClass.HEALTH: {"outcome": "raised"},
                }
                kind = Kind.PASSED if number == 2 else Kind.PASSAGE
                journal.append(Stream.PASSAGE, kind, at=clock.now(), payloads=payloads)
    reader = JournalReader(tmp_path / "journal.db")
    try:
        told = list(reader.all_told(Stream.PASSAGE, (Kind.PASSAGE,), holding=b'"card":"pass_code"'))
        everything = list(reader.all_told(Stream.PASSAGE, (Kind.PASSAGE, Kind.PASSED)))
        (one,) = reader.told(told[0].incarnation, Stream.PASSAGE, (Kind.PASSED,), after_seq=0, up_to_seq=99)
    finally:
        reader.close()
    numbers = [dict(record.payloads[PayloadClass.FACTS].body or {})["number"] for record in told]
    assert numbers == [0, 4, 6] * 2
    assert [record.kiosk_id for record in told] == ["gate-1"] * 3 + ["gate-2"] * 3
    assert all(record.payloads[PayloadClass.HEALTH].erased for record in told)
    assert len(everything) == 16
    assert (one.kind, one.seq) == (Kind.PASSED, everything[2].seq)


def test_a_start_says_when_the_gate_was_last_alive(tmp_path: Path) -> None:
    """So that whoever reads on knows until when a killed gate ran; not told where no clock knows."""
    clock = FakeClock()
    path = tmp_path / "journal.db"
    Journal.open(path, kiosk_id="gate-1", clock=clock).close()
    Journal.open(path, kiosk_id="gate-1", clock=clock, alive_us=clock.at_us - 60).close()
    boots = [r for records in all_records(path).values() for r in records if r.kind is Kind.BOOT]
    told = [dict(boot.payloads[PayloadClass.FACTS].body or {}).get("alive_us") for boot in boots]
    assert told == [None, clock.at_us - 60]


def test_another_kiosk_id_begins_another_incarnation(tmp_path: Path) -> None:
    """A card image put into a second kiosk does not go on with the first one's numbers."""
    clock = FakeClock()
    with open_journal(tmp_path, clock) as journal:
        write_passage(journal, clock, 1)
        old, heads = journal.incarnation, journal.heads()
    with Journal.open(tmp_path / "journal.db", kiosk_id="gate-2", clock=clock) as journal:
        assert journal.incarnation != old
        first = all_records(journal.path)[journal.incarnation, Stream.PASSAGE][0]
        assert first.kiosk_id == "gate-2"
        assert first.payloads[PayloadClass.FACTS].body == {
            "why": "other_kiosk",
            "previous": {"incarnation": old, "seq": 2, "hash": heads[Stream.PASSAGE].hash.hex()},
        }
        assert verify(journal.path).ok


def test_a_journal_older_than_the_central_knows_begins_another_incarnation(tmp_path: Path) -> None:
    """A restored backup must not use a number twice; the central's acknowledgement gives it away."""
    clock = FakeClock()
    with open_journal(tmp_path, clock) as journal:
        write_passage(journal, clock, 1)
        incarnation = journal.incarnation
        here = acknowledged(journal, Stream.PASSAGE, 2, clock.at_us)
    ahead = Acknowledged(incarnation, Stream.PASSAGE, 9, b"\x01" * 32, clock.at_us)
    with open_journal(tmp_path, clock, known=[here]) as journal:
        assert journal.incarnation == incarnation
    with open_journal(tmp_path, clock, known=[here, ahead]) as journal:
        assert journal.incarnation != incarnation
        first = all_records(journal.path)[journal.incarnation, Stream.ALARM][0]
        assert first.payloads[PayloadClass.FACTS].body["why"] == "went_back"


def test_several_records_are_written_together_or_not_at_all(tmp_path: Path) -> None:
    """A payload outside the contract in the last of three leaves none of them."""
    clock = FakeClock()
    with open_journal(tmp_path, clock) as journal:
        before = journal.heads()
        good = Entry(stream=Stream.PASSAGE, kind=Kind.PASSAGE, at=clock.now(), payloads={PayloadClass.FACTS: FACTS})
        bad = Entry(stream=Stream.ALARM, kind=Kind.ALARM, at=clock.now(), payloads={PayloadClass.FACTS: {"c": 36.6}})
        with pytest.raises(RecordError):
            journal.append_many([good, good, bad])
        assert journal.heads() == before
        assert [r.seq for r in journal.append_many([good, good])] == [2, 3]
        assert journal.append_many([]) == []


def test_a_payload_over_64_kib_is_refused(tmp_path: Path) -> None:
    """One record must always fit in a batch."""
    with open_journal(tmp_path) as journal, pytest.raises(RecordError, match="at most 65536"):
        journal.append(
            Stream.DIAGNOSTIC, Kind.DEVICE, at=FakeClock().now(), payloads={PayloadClass.FACTS: {"d": "x" * 65536}}
        )


def test_a_second_writer_is_refused(tmp_path: Path) -> None:
    """In this process and in another one; the first goes on, and its end frees the file."""
    with open_journal(tmp_path) as journal:
        with pytest.raises(JournalError, match="one writer"):
            open_journal(tmp_path)
        code = (
            "import sys; from pathlib import Path; from tests.integration.journal_cases import open_journal;"
            "open_journal(Path(sys.argv[1]))"
        )
        second = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert second.returncode != 0
        assert "another program" in second.stderr
        assert journal.heads()[Stream.DIAGNOSTIC].seq == 2
    open_journal(tmp_path).close()


def test_threads_may_append_at_the_same_time(tmp_path: Path) -> None:
    """Four lanes write; the numbers have no gap and the chain holds."""
    clock = FakeClock()
    with open_journal(tmp_path, clock) as journal:

        def lane(number: int) -> None:
            for index in range(25):
                write_passage(journal, clock, number * 100 + index)

        threads = [threading.Thread(target=lane, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert journal.heads()[Stream.PASSAGE].seq == 101
        assert verify(journal.path).ok


def test_a_file_of_something_else_is_left_alone(tmp_path: Path) -> None:
    """A wrong path in the settings must not set somebody's database aside."""
    path = tmp_path / "journal.db"
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE members (name)")
    other.close()
    before = path.read_bytes()
    with pytest.raises(JournalError, match="members"):
        open_journal(tmp_path)
    assert path.read_bytes() == before


def test_a_newer_format_is_refused_not_rewritten(tmp_path: Path) -> None:
    """After a roll-back of the program the newer program's records stay."""
    open_journal(tmp_path).close()
    raw = sqlite3.connect(tmp_path / "journal.db")
    raw.execute("PRAGMA user_version = 2")
    raw.close()
    with pytest.raises(JournalError, match="format 2"):
        open_journal(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written_is_named(tmp_path: Path) -> None:
    """The installer sees which folder."""
    tmp_path.chmod(0o500)
    with pytest.raises(JournalError, match=str(tmp_path)):
        open_journal(tmp_path)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    """The error says which file could not be made."""
    with pytest.raises(JournalError) as caught:
        open_journal(tmp_path / "gone")
    assert caught.value.failure is Failure.NOT_OPENED
    assert "gone" in str(caught.value)


def test_after_close_nothing_is_taken(tmp_path: Path) -> None:
    """A late event of a stopping program is an error, not a silent loss."""
    journal = open_journal(tmp_path)
    journal.close()
    with pytest.raises(JournalError, match="closed"):
        journal.append(Stream.ALARM, Kind.ALARM, at=FakeClock().now())


def test_a_passage_costs_the_card_less_than_14_kb_of_log(tmp_path: Path) -> None:
    """2,000 passages a day stay under the 50 MB that a memory card should be asked for, checkpoints included."""
    clock = FakeClock()
    with open_journal(tmp_path, clock) as journal:
        assert journal._database is not None
        journal._database.rows("PRAGMA wal_autocheckpoint = 0")
        log = tmp_path / "journal.db-wal"
        before = log.stat().st_size
        for number in range(100):
            write_passage(journal, clock, number)
        assert (log.stat().st_size - before) / 100 < 14_000


# Purge and erasure


def purged_to(journal: Journal) -> int:
    """The base of the passage stream."""
    return JournalReader(journal.path).bases()[journal.incarnation, Stream.PASSAGE].seq


def test_records_go_only_when_acknowledged_for_long_enough(tmp_path: Path) -> None:
    """Retention counts from the acknowledgement: seven days minus a second keeps all, seven days frees up to it."""
    clock = FakeClock()
    with open_journal(tmp_path, clock) as journal:
        for number in range(10):
            write_passage(journal, clock, number)
        mark = acknowledged(journal, Stream.PASSAGE, 6, clock.at_us)
        clock.advance(7 * 86_400 - 1)
        assert journal.purge([mark], now=clock.now(), retention_us=7 * DAY_US).purged == {}
        clock.advance(1)
        report = journal.purge([mark], now=clock.now(), retention_us=7 * DAY_US)
        key = (journal.incarnation, Stream.PASSAGE)
        assert (report.purged, report.up_to) == ({key: 6}, {key: 6})
        assert [r.seq for r in all_records(journal.path)[key]] == [7, 8, 9, 10, 11]
        assert verify(journal.path).ok


@pytest.mark.parametrize("change", ["hash", "seq", "incarnation", "trust", "future"])
def test_a_mark_that_cannot_be_right_frees_nothing(tmp_path: Path, change: str) -> None:
    """Another record's hash, a number not yet written, an unknown incarnation, no clock, an acknowledgement to come."""
    clock = FakeClock()
    with open_journal(tmp_path, clock) as journal:
        for number in range(5):
            write_passage(journal, clock, number)
        good = acknowledged(journal, Stream.PASSAGE, 4, clock.at_us)
        mark = {
            "hash": Acknowledged(good.incarnation, good.stream, good.seq, b"\x07" * 32, good.at_us),
            "seq": Acknowledged(good.incarnation, good.stream, 99, good.hash, good.at_us),
            "incarnation": Acknowledged("0" * 32, good.stream, good.seq, good.hash, good.at_us),
            "future": Acknowledged(good.incarnation, good.stream, good.seq, good.hash, good.at_us + 400 * DAY_US),
        }.get(change, good)
        clock.advance(8 * 86_400)
        if change == "trust":
            clock.trust = ClockTrust.NONE
        journal.purge([mark], now=clock.now(), retention_us=7 * DAY_US)
        assert purged_to(journal) == 0


def test_numbers_go_on_after_everything_was_purged(tmp_path: Path) -> None:
    """The counter is a row of its own: a full purge and a restart do not begin at 1 again."""
    clock = FakeClock()
    with open_journal(tmp_path, clock) as journal:
        for number in range(5):
            write_passage(journal, clock, number)
        mark = acknowledged(journal, Stream.PASSAGE, 6, clock.at_us)
        clock.advance(8 * 86_400)
        journal.purge([mark], now=clock.now(), retention_us=7 * DAY_US)
        assert all_records(journal.path)[journal.incarnation, Stream.PASSAGE] == []
    with open_journal(tmp_path, clock) as journal:
        assert write_passage(journal, clock, 9).seq == 7
        piece = JournalReader(journal.path).slice(journal.incarnation, Stream.PASSAGE, 0)
        assert (piece.prev_head, piece.records[0].seq) == (mark.hash, 7)
        assert verify(journal.path).ok


def test_a_long_purge_works_in_steps(tmp_path: Path) -> None:
    """More than one transaction's worth of records goes completely, and the chain still holds."""
    clock = FakeClock()
    with open_journal(tmp_path, clock) as journal:
        entry = Entry(stream=Stream.PASSAGE, kind=Kind.PASSAGE, at=clock.now(), payloads={PayloadClass.FACTS: {"a": 1}})
        journal.append_many([entry] * 4500)
        mark = acknowledged(journal, Stream.PASSAGE, 4400, clock.at_us)
        clock.advance(8 * 86_400)
        report = journal.purge([mark], now=clock.now(), retention_us=7 * DAY_US)
        assert sum(report.purged.values()) == 4400
        assert verify(journal.path).ok


def test_an_erased_payload_leaves_its_digest_and_no_byte(tmp_path: Path) -> None:
    """The canary is nowhere in the file or its log; the chain still verifies; newer payloads stay."""
    clock = FakeClock()
    with open_journal(tmp_path, clock) as journal:
        for number in range(50):
            write_passage(journal, clock, number)
        canary = {PayloadClass.PERSON: {"note": "canary-8c1d18"}, PayloadClass.FACTS: FACTS}
        journal.append(Stream.PASSAGE, Kind.PASSAGE, at=clock.advance(1), payloads=canary)
        before_us = clock.at_us + 1
        kept = write_passage(journal, clock, 51)
        assert any(b"canary-8c1d18" in file.read_bytes() for file in tmp_path.iterdir())
        assert journal.erase(PayloadClass.PERSON, before_us) == 51
        assert not any(b"canary-8c1d18" in file.read_bytes() for file in tmp_path.iterdir())
        report = verify(journal.path)
        assert report.ok
        assert sum(chain.erased for chain in report.chains) == 51
        records = all_records(journal.path)[journal.incarnation, Stream.PASSAGE]
        assert records[-1] == kept
        assert records[-2].payloads[PayloadClass.PERSON].erased
        assert not records[-2].payloads[PayloadClass.FACTS].erased
        assert journal.erase(PayloadClass.PERSON, before_us) == 0


# The reader


def test_a_slice_joins_on_to_the_one_before(tmp_path: Path) -> None:
    """Cut by count or by bytes, slices chain: the last head of one is the previous head of the next."""
    clock = FakeClock()
    with open_journal(tmp_path, clock) as journal:
        for number in range(30):
            write_passage(journal, clock, number)
        reader = JournalReader(journal.path)
        for limits in ({"max_records": 7}, {"max_bytes": 2500}, {"max_records": 1, "max_bytes": 1}):
            after, head, count = 0, ZERO_HASH, 0
            while True:
                piece = reader.slice(journal.incarnation, Stream.PASSAGE, after, **limits)
                assert piece.prev_head == head
                if not piece.records:
                    break
                assert len(piece.records) <= limits.get("max_records", 500)
                for record in piece.records:
                    head = record.hash(head)
                assert piece.last_head == head
                count += len(piece.records)
                after = piece.records[-1].seq
            assert (after, count) == (31, 31)


def test_the_reader_says_when_there_is_nothing_yet_and_when_the_journal_went_back(tmp_path: Path) -> None:
    """Before the gate ever ran, for an unknown chain, and for a position beyond the head."""
    reader = JournalReader(tmp_path / "journal.db")
    with pytest.raises(JournalError, match="first runs"):
        reader.positions()
    with open_journal(tmp_path) as journal:
        assert reader.positions()
        with pytest.raises(JournalError, match="no such chain"):
            reader.slice("0" * 32, Stream.ALARM, 0)
        with pytest.raises(JournalError, match="went back"):
            reader.slice(journal.incarnation, Stream.ALARM, 5)


def test_the_reader_cannot_write(tmp_path: Path) -> None:
    """The sync process holds a connection on which every change is refused."""
    with open_journal(tmp_path) as journal:
        reader = JournalReader(journal.path)
        reader.positions()
        assert reader._database is not None
        with pytest.raises(Exception, match=r"readonly|attempt to write"):
            reader._database.run("DELETE FROM journal_record")


def test_the_reader_follows_a_file_that_was_replaced(tmp_path: Path) -> None:
    """After a damaged file was set aside, the same reader shows the new one."""
    clock = FakeClock()
    with open_journal(tmp_path, clock) as journal:
        write_passage(journal, clock, 1)
        reader = JournalReader(journal.path)
        assert len({incarnation for incarnation, _ in reader.positions()}) == 1
    size = (tmp_path / "journal.db").stat().st_size
    with (tmp_path / "journal.db").open("r+b") as file:
        file.seek(size - 4096 * 3)
        file.write(os.urandom(4096 * 3))
    with open_journal(tmp_path, clock) as journal:
        assert (journal.incarnation, Stream.PASSAGE) in reader.positions()


def test_a_payload_changed_in_the_file_does_not_leave_the_reader_unnoticed(tmp_path: Path) -> None:
    """A header edited under the reader stops the slice; what is sent is what was hashed."""
    clock = FakeClock()
    with open_journal(tmp_path, clock) as journal:
        for number in range(3):
            write_passage(journal, clock, number)
        raw = sqlite3.connect(journal.path)
        key = row_key(1, Stream.PASSAGE, 3)
        sql = "UPDATE journal_record SET header = CAST(replace(header, 'in-1', 'in-2') AS BLOB) WHERE id = ?"
        raw.execute(sql, (key,))
        raw.commit()
        raw.close()
        with pytest.raises(JournalError, match="record 3") as caught:
            JournalReader(journal.path).slice(journal.incarnation, Stream.PASSAGE, 0)
        assert caught.value.failure is Failure.DAMAGED


def test_instants_of_the_past_are_stored_as_believed(tmp_path: Path) -> None:
    """A kiosk that thinks it is 1970 writes so, marked untrusted; the order is the sequence number's."""
    clock = FakeClock(0, trust=ClockTrust.NONE)
    with open_journal(tmp_path, clock) as journal:
        write_passage(journal, clock, 1)
        clock.step(MORNING_US / 1_000_000)
        clock.trust = ClockTrust.SYNCED
        write_passage(journal, clock, 2)
        records = all_records(journal.path)[journal.incarnation, Stream.PASSAGE][1:]
        assert [r.clock_trust for r in records] == ["none", "synced"]
        assert verify(journal.path).ok
