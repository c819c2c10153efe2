"""The file of the time that two people said (``kiosk/clock_assertion.py``): kept whole, believed only when sound."""

from __future__ import annotations

import json
import stat
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from kiosk.clock_assertion import FILE, MAX_BYTES, Assertion, forget, keep, recall
from tests.fakes import MORNING_US

BOOT = "00000000-0000-4000-8000-000000000001"
SAID = Assertion(at_us=MORNING_US, mono_ns=12_000_000_000, boot_id=BOOT)
END_OF_2099_US = 4_102_444_800_000_000 - 1


def test_what_was_said_is_there_after_a_restart_for_the_gate_alone(tmp_path: Path) -> None:
    """The file is the owner's alone, and holds nothing of whoever said it."""
    path = tmp_path / FILE
    keep(path, SAID)
    assert recall(path) == SAID
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert json.loads(path.read_bytes()) == asdict(SAID)


def test_a_later_word_takes_the_place_of_an_earlier_one(tmp_path: Path) -> None:
    """One file, one word: the last."""
    path = tmp_path / FILE
    later = Assertion(at_us=MORNING_US + 1, mono_ns=0, boot_id=BOOT)
    for said in (SAID, later):
        keep(path, said)
    assert recall(path) == later
    assert [each.name for each in tmp_path.iterdir()] == [FILE]


@pytest.mark.parametrize("changes", [{"at_us": 1}, {"at_us": END_OF_2099_US}, {"mono_ns": 0}])
def test_the_edges_of_what_can_be_true_are_believed(tmp_path: Path, changes: dict[str, int]) -> None:
    """From the first microsecond of 1970 to the last of 2099, from the very moment of the boot."""
    said = Assertion(**{**asdict(SAID), **changes})
    keep(tmp_path / FILE, said)
    assert recall(tmp_path / FILE) == said


@pytest.mark.parametrize(
    "changes",
    [
        {"at_us": 0},
        {"at_us": -1},
        {"at_us": END_OF_2099_US + 1},
        {"at_us": True},
        {"at_us": 1.5},
        {"at_us": str(MORNING_US)},
        {"at_us": None},
        {"mono_ns": -1},
        {"mono_ns": False},
        {"mono_ns": 1e9},
        {"boot_id": None},
        {"boot_id": 7},
        {"guard": "wang"},
    ],
)
def test_a_value_that_cannot_be_true_is_no_assertion(tmp_path: Path, changes: dict[str, Any]) -> None:
    """A damaged file counts as none: the time is asked for again."""
    (tmp_path / FILE).write_text(json.dumps({**asdict(SAID), **changes}))
    assert recall(tmp_path / FILE) is None


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00" * 40,
        b"\xff\xfe",
        b"[]",
        b"7",
        b"null",
        b'{"at_us": 1}',
        b"[" * MAX_BYTES,
    ],
    ids=["empty", "zeros", "no text", "list", "number", "null", "a part", "deep"],
)
def test_what_is_not_one_assertion_is_none(tmp_path: Path, content: bytes) -> None:
    """Never an exception at the gate's start, however the file looks."""
    (tmp_path / FILE).write_bytes(content)
    assert recall(tmp_path / FILE) is None


def test_a_file_of_any_size_is_read_no_further_than_an_assertion_can_be(tmp_path: Path) -> None:
    """What stands behind the first half kilobyte is never looked at."""
    (tmp_path / FILE).write_bytes(json.dumps(asdict(SAID)).encode().ljust(MAX_BYTES) + b"no JSON")
    assert recall(tmp_path / FILE) == SAID


def test_no_file_is_no_assertion_and_nothing_to_forget(tmp_path: Path) -> None:
    """A kiosk that was always synced has none."""
    assert recall(tmp_path / FILE) is None
    forget(tmp_path / FILE)


def test_a_sync_makes_it_forgotten(tmp_path: Path) -> None:
    """What people said no longer counts, after the next restart either."""
    keep(tmp_path / FILE, SAID)
    forget(tmp_path / FILE)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_removed_or_written_is_told_where_it_matters(tmp_path: Path) -> None:
    """Forgetting is overruled by the next sync anyway; keeping is the caller's to say."""
    (tmp_path / FILE).mkdir()
    forget(tmp_path / FILE)
    assert recall(tmp_path / FILE) is None
    with pytest.raises(OSError, match="No such file"):
        keep(tmp_path / "no-folder" / FILE, SAID)
