"""What the journal's tests share: opening one, writing passages, reading everything back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kiosk.journal import Acknowledged, Journal, JournalReader
from kiosk.records import Kind, PayloadClass, Record, Stream
from tests.fakes import FakeClock

KIOSK = "gate-1"
DAY_US = 86_400_000_000
FACTS: dict[str, Any] = {
    "admit": True,
    "category": "resident",
    "checks": [{"by": "", "name": "pass", "reason": "", "state": "pass"}],
    "direction": "in",
    "next_step": "go_in",
    "policy": "case 3",
    "reasons": ["all_checks_passed"],
}


def open_journal(folder: Path, clock: FakeClock | None = None, **options: Any) -> Journal:
    """A journal in ``folder``."""
    return Journal.open(folder / "journal.db", kiosk_id=KIOSK, clock=clock or FakeClock(), **options)


def write_passage(journal: Journal, clock: FakeClock, number: int, **more: Any) -> Record:
    """One passage record, a second after the last."""
    payloads = {
        PayloadClass.FACTS: {**FACTS, "passage": f"p-{number}"},
        PayloadClass.HEALTH: {"temperature": {"outcome": "raised", "object_centi_c": 3790 + number % 10}},
        PayloadClass.PERSON: {"subject": f"{number:016x}"},
    }
    at = clock.advance(1)
    return journal.append(
        Stream.PASSAGE, Kind.PASSAGE, at=at, lane="in-1", ref=f"p-{number}", payloads=payloads, **more
    )


def all_records(path: Path) -> dict[tuple[str, Stream], list[Record]]:
    """Every record of every chain, read as the sync process does."""
    reader = JournalReader(path)
    found: dict[tuple[str, Stream], list[Record]] = {}
    for (incarnation, stream), head in reader.positions().items():
        records: list[Record] = []
        after = 0
        while after < head.seq:
            piece = reader.slice(incarnation, stream, after)
            if not piece.records:
                break
            records += piece.records
            after = piece.records[-1].seq
        found[incarnation, stream] = records
    reader.close()
    return found


def acknowledged(journal: Journal, stream: Stream, seq: int, at_us: int) -> Acknowledged:
    """The central's word for ``seq`` of the running incarnation, with the right hash."""
    reader = JournalReader(journal.path)
    piece = reader.slice(journal.incarnation, stream, seq - 1, max_records=1)
    reader.close()
    return Acknowledged(journal.incarnation, stream, seq, piece.last_head, at_us)
