"""The kiosk reads the sync process's acknowledgements, and never takes silence for one."""

from __future__ import annotations

from pathlib import Path

from kiosk.acknowledgements import read_acknowledgements
from kiosk.journal_types import Acknowledged
from kiosk.records import Stream
from sync.ackstore import AckPoint, AckStore
from tests.fakes import MORNING_US


def test_what_the_sync_process_keeps_is_what_the_kiosk_reads(tmp_path: Path) -> None:
    """Points of the ack store come out as marks, while the store is open."""
    store = AckStore(tmp_path / "sync.db")
    store.advance("a" * 32, Stream.PASSAGE, AckPoint(5, b"\x05" * 32, MORNING_US, MORNING_US))
    store.advance("a" * 32, Stream.PASSAGE, AckPoint(9, b"\x09" * 32, MORNING_US + 120_000_000, MORNING_US))
    marks = read_acknowledgements(tmp_path / "sync.db")
    assert [(mark.stream, mark.seq, mark.hash[:1], mark.at_us) for mark in marks] == [
        (Stream.PASSAGE, 5, b"\x05", MORNING_US),
        (Stream.PASSAGE, 9, b"\x09", MORNING_US + 120_000_000),
    ]
    assert all(isinstance(mark, Acknowledged) and mark.confirmed_us is not None for mark in marks)
    store.close()


def test_a_missing_or_damaged_file_acknowledges_nothing(tmp_path: Path) -> None:
    """Then nothing may be purged."""
    assert read_acknowledgements(tmp_path / "sync.db") == []
    (tmp_path / "sync.db").write_bytes(b"not a database" * 100)
    assert read_acknowledgements(tmp_path / "sync.db") == []
