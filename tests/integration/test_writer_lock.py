"""One writer a journal (``kiosk/writer_lock.py``): for certain, and no longer than its process lives."""

from __future__ import annotations

import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kiosk.database import Failure
from kiosk.journal_types import JournalError
from kiosk.writer_lock import WriterLock
from tests.conftest import ROOT

BEGINS = """
import os, sys
from pathlib import Path
from kiosk.writer_lock import WriterLock
path = Path(sys.argv[1])
"""
HOLDS = "WriterLock(path).take(); print('held', flush=True); sys.stdin.read()"
LEAVES_A_CHILD = """
WriterLock(path).take()
if os.fork() == 0:
    sys.stdin.read()
    os._exit(0)
print('held', flush=True)
os._exit(0)
"""


@contextmanager
def program(journal: Path, does: str) -> Iterator[subprocess.Popen[str]]:
    """Another program that takes the lock and goes on until its input ends."""
    code = f"{BEGINS}\n{does}"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(journal)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


def busy(lock: WriterLock) -> JournalError:
    with pytest.raises(JournalError) as caught:
        lock.take()
    assert not lock.held
    return caught.value


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_second_program_is_refused_by_name(tmp_path: Path) -> None:
    """The message says which journal, and the way out; nothing stays open of the try."""
    journal = tmp_path / "journal.db"
    with program(journal, HOLDS):
        before = open_files()
        error = busy(WriterLock(journal))
        assert open_files() == before
    assert error.failure is Failure.BUSY
    assert str(journal) in str(error)
    assert "stop the other gatepost" in str(error)


def test_a_killed_program_leaves_no_lock(tmp_path: Path) -> None:
    """The kernel drops it, so a gate that was killed starts again at once."""
    journal = tmp_path / "journal.db"
    with program(journal, HOLDS) as process:
        process.kill()
        process.wait()
        lock = WriterLock(journal)
        lock.take()
        lock.release()


def test_a_forked_child_does_not_hold_on_to_it(tmp_path: Path) -> None:
    """The relay's supervisor outlives the gate on purpose; the next gate writes all the same."""
    journal = tmp_path / "journal.db"
    with program(journal, LEAVES_A_CHILD) as process:
        assert process.wait() == 0
        lock = WriterLock(journal)
        lock.take()
        lock.release()


def test_within_one_program_the_second_is_refused_until_the_first_lets_go(tmp_path: Path) -> None:
    """POSIX locks alone would let the same process in twice."""
    first, second = WriterLock(tmp_path / "journal.db"), WriterLock(tmp_path / "journal.db")
    first.take()
    assert (first.held, second.held) == (True, False)
    assert busy(second).failure is Failure.BUSY
    first.release()
    assert not first.held
    second.take()
    second.release()


def test_what_was_let_go_another_program_takes(tmp_path: Path) -> None:
    """For the kernel as well: nothing of the lock stays open."""
    lock, before = WriterLock(tmp_path / "journal.db"), open_files()
    lock.take()
    lock.release()
    assert open_files() == before
    with program(tmp_path / "journal.db", HOLDS):
        busy(lock)


def test_the_same_journal_by_another_name_is_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative path and an absolute one."""
    monkeypatch.chdir(tmp_path)
    first = WriterLock(Path("journal.db"))
    first.take()
    busy(WriterLock(tmp_path / "journal.db"))
    first.release()


def test_a_refused_one_lets_nobody_elses_lock_go(tmp_path: Path) -> None:
    """Letting go without having it, or twice, is nothing."""
    first, refused = WriterLock(tmp_path / "journal.db"), WriterLock(tmp_path / "journal.db")
    first.take()
    busy(refused)
    refused.release()
    busy(refused)
    first.release()
    first.release()
    refused.take()
    refused.release()


def test_a_folder_that_is_not_there_is_told_and_leaves_nothing_held(tmp_path: Path) -> None:
    """Once somebody made the folder, the lock can be taken."""
    lock = WriterLock(tmp_path / "state" / "journal.db")
    with pytest.raises(FileNotFoundError):
        lock.take()
    assert not lock.held
    (tmp_path / "state").mkdir()
    lock.take()
    assert stat.S_IMODE((tmp_path / "state" / "journal.db.lock").stat().st_mode) == 0o600
    lock.release()
