"""Stores batches that simply continue their chains: one statement a table, however many batches there are."""

from __future__ import annotations

from sqlalchemy import Connection

from sync.answer import Result
from sync.central.chains import Chain, Move, write_moves
from sync.central.checks import CheckedBatch
from sync.central.kiosk_notes import note_headers
from sync.central.record_alerts import tell_of
from sync.central.record_rows import write_records
from sync.central.sync_log import line_of, write_lines


class Gathered:
    """Batches that continue their chains, to be written together."""

    def __init__(self, connection: Connection, now_us: int) -> None:
        self._connection = connection
        self._now_us = now_us
        self._batches: list[CheckedBatch] = []
        self._moves: list[Move] = []

    def add(self, batch: CheckedBatch, chain: Chain) -> None:
        """One more; ``chain`` stands behind it from now on."""
        self._batches.append(batch)
        self._moves.append(chain.move(batch.parsed.header, self._now_us, len(batch.parsed.records)))

    def write(self) -> None:
        """Write what was gathered, and begin anew."""
        if not self._batches:
            return
        lines = [
            line_of(batch, Result.STORED, self._now_us, fresh=len(batch.parsed.records), rejected=0)
            for batch in self._batches
        ]
        found = zip(
            write_lines(self._connection, lines), (batch.parsed.records for batch in self._batches), strict=True
        )
        write_records(self._connection, found, self._now_us)
        for batch in self._batches:
            tell_of(self._connection, batch.parsed.header.kiosk_id, batch.parsed.records, self._now_us)
        write_moves(self._connection, self._moves)
        note_headers(self._connection, (batch.parsed.header for batch in self._batches), self._now_us)
        self._batches, self._moves = [], []
