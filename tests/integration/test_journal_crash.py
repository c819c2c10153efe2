"""Crashes: a killed writer, a cut log, a full or failing disk. What was confirmed is kept, and the chains hold."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from kiosk.database import Failure
from kiosk.journal import Journal, JournalError, JournalReader, verify
from kiosk.records import Kind, PayloadClass, Stream
from tests.conftest import ROOT
from tests.fakes import FakeClock
from tests.faulty_database import FaultPlan
from tests.integration.journal_cases import FACTS, KIOSK, all_records, open_journal, write_passage

Confirmed = dict[tuple[str, str, int], str]


def start_writer(folder: Path, *options: str) -> subprocess.Popen[str]:
    """The writing process of ``tests/integration/journal_writer.py``."""
    command = [sys.executable, "-m", "tests.integration.journal_writer", str(folder), *options]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def read_confirmed(text: str, confirmed: Confirmed) -> None:
    """Add what a writer confirmed; a last line that was cut by the kill is nothing."""
    for line in text.split("\n")[:-1]:
        words = line.split(" ")
        if len(words) == 4:
            incarnation, stream, seq, digest = words
            confirmed[incarnation, stream, int(seq)] = digest


def check_confirmed(path: Path, confirmed: Confirmed) -> None:
    """Every confirmed head is in the journal with the very hash, and every chain holds."""
    report = verify(path)
    assert report.ok, report.bad
    hashes: Confirmed = {}
    reader = JournalReader(path)
    bases = reader.bases()
    reader.close()
    for (incarnation, stream), records in all_records(path).items():
        digest = bases[incarnation, stream].hash
        for record in records:
            digest = record.hash(digest)
            hashes[incarnation, str(stream), record.seq] = digest.hex()
    missing = {
        key: digest
        for key, digest in confirmed.items()
        if hashes.get(key) != digest and key[2] > bases[key[0], Stream(key[1])].seq
    }
    assert missing == {}


def kill_again_and_again(folder: Path, rounds: int, seed: int, *options: str) -> int:
    """Start a writer, kill it after some confirmed lines (and a random part of the next commit), check, repeat."""
    rng = random.Random(seed)
    confirmed: Confirmed = {}
    for _ in range(rounds):
        writer = start_writer(folder, *options)
        assert writer.stdout is not None
        lines = [writer.stdout.readline() for _ in range(3 * rng.randrange(1, 30))]
        for _ in range(rng.randrange(20_000)):  # a moment that no line marks
            pass
        writer.kill()
        # Not communicate(): it reads past what readline() has buffered already, and begins in the middle of a line.
        read_confirmed("".join(lines) + writer.stdout.read(), confirmed)
        writer.wait()
        check_confirmed(folder / "journal.db", confirmed)
    with open_journal(folder) as journal:
        assert len({incarnation for incarnation, _ in all_records(journal.path)}) == 1
    return len(confirmed)


def test_a_killed_writer_loses_nothing_confirmed(tmp_path: Path) -> None:
    """Three kills -9 in a row on one file; the reader of another process reads on each time."""
    assert kill_again_and_again(tmp_path, 3, seed=3) > 20


def test_a_writer_killed_while_it_forgets_keeps_its_numbers(tmp_path: Path) -> None:
    """Kills amid purging and erasing: what is left verifies, and no number is used twice."""
    assert kill_again_and_again(tmp_path, 3, 7, "--forget") > 20


@pytest.mark.campaign
@pytest.mark.parametrize("options", [(), ("--forget",)])
def test_two_hundred_kills(tmp_path: Path, options: tuple[str, ...]) -> None:
    """Goal 8 of the plan, for the journal alone."""
    kill_again_and_again(tmp_path, 200, 4, *options)


def test_a_reader_outlives_the_writer(tmp_path: Path) -> None:
    """The sync process keeps its connection through kill and restart of the gate."""
    writer = start_writer(tmp_path)
    assert writer.stdout is not None
    for _ in range(9):
        writer.stdout.readline()
    reader = JournalReader(tmp_path / "journal.db")
    (incarnation, _), *_ = reader.positions()
    writer.kill()
    writer.communicate()
    before = reader.positions()[incarnation, Stream.PASSAGE]
    clock = FakeClock()
    with open_journal(tmp_path, clock) as journal:
        write_passage(journal, clock, 1)
        assert reader.positions()[incarnation, Stream.PASSAGE].seq == before.seq + 1
        assert reader.slice(incarnation, Stream.PASSAGE, before.seq).prev_head == before.hash


def cut_log_at_random(folder: Path, cuts: int, seed: int) -> None:
    """What a power cut can leave of the log when the disk honours fsync: all up to the last commit, then anything.

    The log is copied after each commit together with its length then (what fsync promised). Each cut takes the
    state of a later moment, keeps the promised length and cuts or garbles what comes behind it. This shows that
    recovery keeps every confirmed record and the chains; it does not show that a disk honours fsync (see the
    campaign on the real thing, ``docs/bench.md``).
    """
    rng = random.Random(seed)
    clock = FakeClock()
    path = folder / "journal.db"
    promised: list[tuple[int, int, bytes]] = []
    with open_journal(folder, clock) as journal:
        log = folder / "journal.db-wal"
        for number in range(60):
            write_passage(journal, clock, number)
            promised.append((number + 2, log.stat().st_size, journal.heads()[Stream.PASSAGE].hash))
        database, whole = path.read_bytes(), log.read_bytes()
        incarnation = journal.incarnation
    for index in range(cuts):
        place = folder / f"cut-{index}"
        place.mkdir()
        seq, length, digest = rng.choice(promised)
        behind = whole[length:]
        tail = behind[: rng.randrange(len(behind) + 1)]
        if tail and rng.random() < 0.5:
            tail = bytes(b if rng.random() > 0.01 else rng.randrange(256) for b in tail)
        (place / "journal.db").write_bytes(database)
        (place / "journal.db-wal").write_bytes(whole[:length] + tail)
        report = verify(place / "journal.db")
        assert report.ok, report.bad
        (chain,) = [c for c in report.chains if c.stream is Stream.PASSAGE]
        assert chain.last_seq >= seq
        reader = JournalReader(place / "journal.db")
        assert reader.slice(incarnation, Stream.PASSAGE, seq - 1, max_records=1).last_head == digest
        reader.close()
        shutil.rmtree(place)


def test_a_log_cut_behind_the_last_commit_keeps_every_commit(tmp_path: Path) -> None:
    """40 cuts at random places behind what fsync promised."""
    cut_log_at_random(tmp_path, 40, seed=5)


@pytest.mark.campaign
def test_a_thousand_cuts(tmp_path: Path) -> None:
    """The same, 1,000 times."""
    cut_log_at_random(tmp_path, 1000, seed=6)


# Full and failing disks


def script(journal: Journal, clock: FakeClock) -> list[object]:
    """The same doings for every fault: two passages, an alarm, an erasure; what each gave."""
    results: list[object] = []
    for number in range(2):
        results.append(attempt(lambda n=number: write_passage(journal, clock, n)))
    entry = {PayloadClass.FACTS: FACTS}
    results.append(attempt(lambda: journal.append(Stream.ALARM, Kind.ALARM, at=clock.now(), payloads=entry)))
    results.append(attempt(lambda: journal.erase(PayloadClass.HEALTH, clock.at_us + 1)))
    return results


def attempt(do: object) -> object:
    """The result, or the JournalError."""
    try:
        return do()  # type: ignore[operator]
    except JournalError as error:
        return error


def fault_at_every_call(folder: Path, failure: Failure, *, after: bool) -> None:
    """One fault at call 1, 2, 3, … of opening, writing and erasing, each in a journal of its own.

    With ``after`` the call took effect although it was reported as failed: a refused append may then stand in the
    journal (written and not confirmed), a confirmed one always does.
    """
    fail_at = 0
    while True:
        fail_at += 1
        place = folder / str(fail_at)
        place.mkdir()
        plan = FaultPlan(fail_at, failure, after=after)
        clock = FakeClock()
        journal = attempt(lambda: open_journal(place, clock, open_database=plan.open))  # noqa: B023
        if isinstance(journal, JournalError):
            journal = open_journal(place, clock, open_database=plan.open)
        assert isinstance(journal, Journal)
        with journal:
            results = script(journal, clock)
            confirmed = [result for result in results[:3] if not isinstance(result, JournalError)]
            refused = sum(isinstance(result, JournalError) for result in results)
            assert refused <= 1
            plan.fail_at = 0
            again = write_passage(journal, clock, 9)
            report = verify(journal.path)
            assert report.ok, (fail_at, report.bad)
            records = all_records(journal.path)
            stored = {(r.stream, r.seq, r.ref) for chain in records.values() for r in chain}
            assert {(r.stream, r.seq, r.ref) for r in [*confirmed, again]} <= stored  # type: ignore[attr-defined]
            assert len({incarnation for incarnation, _ in records}) <= 1 + (plan.failed and refused)
        shutil.rmtree(place)
        if not plan.failed:
            break
    assert fail_at > 40


@pytest.mark.parametrize(
    ("failure", "after"), [(Failure.FULL, False), (Failure.FULL, True), (Failure.INPUT_OUTPUT, True)]
)
def test_a_fault_at_any_call_is_refused_or_healed_and_never_breaks_a_chain(
    memory_folder: Path, failure: Failure, after: bool
) -> None:
    """A full disk before any call, a failing one after any: the next try goes through, confirmed records stay."""
    fault_at_every_call(memory_folder, failure, after=after)


@pytest.mark.campaign
@pytest.mark.parametrize("failure", [Failure.FULL, Failure.INPUT_OUTPUT, Failure.BUSY, Failure.UNREADABLE])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_every_fault_at_any_call(memory_folder: Path, failure: Failure, after: bool) -> None:
    """All kinds of fault, before and after."""
    fault_at_every_call(memory_folder, failure, after=after)


def test_a_full_file_refuses_and_recovers(tmp_path: Path) -> None:
    """SQLite's own SQLITE_FULL: the append is refused, nothing breaks, and with room again it is taken."""
    clock = FakeClock()
    with open_journal(tmp_path, clock) as journal:
        assert journal._database is not None
        ((pages,),) = journal._database.rows("PRAGMA page_count")
        journal._database.rows(f"PRAGMA max_page_count = {pages + 2}")
        written = 0
        refused = None
        while refused is None:
            result = attempt(lambda n=written: write_passage(journal, clock, n))
            refused = result if isinstance(result, JournalError) else None
            written += refused is None
        assert refused.failure is Failure.FULL
        assert journal.heads()[Stream.PASSAGE].seq == written + 1
        assert verify(journal.path).ok
        journal._database.rows("PRAGMA max_page_count = 1000000")
        assert write_passage(journal, clock, 2000).seq == written + 2
        assert verify(journal.path).ok


def test_a_disk_that_stops_taking_bytes_loses_nothing_confirmed(tmp_path: Path) -> None:
    """Real failing writes below SQLite (a file-size limit on the process): confirmed records are all there after it."""
    writer = start_writer(tmp_path, "--bytes", "400000", "--count", "150")
    text, errors = writer.communicate(timeout=60)
    assert "refused" in text, errors
    confirmed: Confirmed = {}
    read_confirmed(text, confirmed)
    assert len(confirmed) > 20
    check_confirmed(tmp_path / "journal.db", confirmed)
    with Journal.open(tmp_path / "journal.db", kiosk_id=KIOSK, clock=FakeClock()) as journal:
        assert len({incarnation for incarnation, _ in all_records(journal.path)}) == 1
