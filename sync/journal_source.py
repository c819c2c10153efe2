"""What the sender needs of the gate's journal: where each chain stands, and records in order."""

from __future__ import annotations

from typing import Protocol

from kiosk.journal_types import Head, Slice, StreamKey
from kiosk.records import Stream

SLICE_BYTES = 1024 * 1024


class Journal(Protocol):
    """What the agent needs of ``kiosk.journal.JournalReader``."""

    def positions(self) -> dict[StreamKey, Head]:
        """Every chain's head."""
        ...

    def slice(self, incarnation: str, stream: Stream, after_seq: int, *, max_records: int, max_bytes: int) -> Slice:
        """Consecutive records after ``after_seq``."""
        ...
