"""Up to where this journal and the central agree, chain by chain.

An acknowledgement is believed when its ``head`` is the hash that the journal has at ``acked``. A lower ``acked`` counts
when the epoch is newer or the central asks for a resend; the journal still has the records because the kiosk purges by
the age of the acknowledgement.
"""

from __future__ import annotations

from collections.abc import Mapping

from kiosk.clock import Instant
from kiosk.journal_types import Head, JournalError, StreamKey
from kiosk.records import ZERO_HASH
from sync.ackstore import AckPoint, AckStore
from sync.agent_counters import Counters
from sync.answer import Answer, StreamAck
from sync.journal_source import SLICE_BYTES, Journal
from sync.trouble import Trouble, Troubles


class Agreement:
    """What is acknowledged, by the journal's own hashes."""

    def __init__(self, journal: Journal, state: AckStore, *, troubles: Troubles, counters: Counters) -> None:
        self._journal = journal
        self._state = state
        self._troubles = troubles
        self._counters = counters

    def cursor(self, key: StreamKey) -> AckPoint:
        """After which record to go on: the newest acknowledged, or set aside by the central where forked."""
        acked, aside = self._state.acked(*key), self._state.set_aside_to(*key)
        return aside if aside.seq > acked.seq else acked

    def apply(self, ack: StreamAck, answer: Answer, now: Instant, *, newer_epoch: bool) -> None:
        """Take one acknowledgement for what it proves."""
        key = (ack.incarnation, ack.stream)
        held = self._state.acked(*key)
        point = AckPoint(ack.acked, ack.head, now.at_us, answer.server_us)
        if ack.acked >= held.seq:
            if ack.acked and self._journal_agrees(key, ack):
                self._counters.records_acked += ack.acked - held.seq
                self._state.advance(*key, point)
        elif ack.acked < held.seq and (newer_epoch or ack.resend_from is not None):
            self._troubles.note(Trouble.CENTRAL_WENT_BACK, f"{ack.stream} from {held.seq} to {ack.acked}")
            self._state.go_back(*key, point)
        aside = self._state.set_aside_to(*key)
        if ack.quarantined_to < aside.seq and (newer_epoch or ack.resend_from is not None):
            self._state.set_aside(*key, 0, ZERO_HASH)

    def step_back(self, key: StreamKey, seq: int, now: Instant) -> None:
        """Go on from the newest acknowledgement below ``seq``: the central does not know that record any more."""
        self._go_on_from(key, self._state.newest_point_below(*key, seq), now)

    def notice(self, positions: Mapping[StreamKey, Head], now: Instant) -> None:
        """A journal that holds less than the central has of it was restored from a backup."""
        for key, head in positions.items():
            cursor = self.cursor(key)
            if head.seq < cursor.seq or (head.seq == cursor.seq and head.hash != cursor.head):
                self.journal_went_back(key, head, now)

    def journal_went_back(self, key: StreamKey, head: Head, now: Instant) -> None:
        """Send again from the newest acknowledgement that this journal still agrees with.

        What the restored journal wrote since then the central will find to be a fork, and set aside.
        """
        acked = self._state.acked(*key)
        self._troubles.note(Trouble.JOURNAL_WENT_BACK, f"{key[1]} at {head.seq}, acknowledged {acked.seq}")
        point = acked
        while point.seq and self._hash_at(key, point.seq) != point.head:
            point = self._state.newest_point_below(*key, point.seq)
        self._go_on_from(key, point, now)

    def _go_on_from(self, key: StreamKey, point: AckPoint, now: Instant) -> None:
        self._state.set_aside(*key, 0, ZERO_HASH)
        self._state.go_back(*key, AckPoint(point.seq, point.head, now.at_us, point.server_us))

    def _journal_agrees(self, key: StreamKey, ack: StreamAck) -> bool:
        """Whether our own chain has the acknowledged hash at the acknowledged place."""
        try:
            ours = self._hash_at(key, ack.acked)
        except JournalError as error:
            self._troubles.note(Trouble.JOURNAL_UNREADABLE, str(error))
            return False
        if ours is None:
            # The central has records that this journal does not: it went back. The next records will fork.
            self._troubles.note(Trouble.JOURNAL_WENT_BACK, f"{key[1]} acked {ack.acked}")
            return False
        if ours != ack.head:
            self._troubles.note(Trouble.HEAD_MISMATCH, f"{key[1]} at {ack.acked}")
            return False
        return True

    def _hash_at(self, key: StreamKey, seq: int) -> bytes | None:
        """Our hash of record ``seq``; None when the chain does not reach that far."""
        head = self._journal.positions().get(key, Head())
        if seq > head.seq:
            return None
        if seq == head.seq:
            return head.hash
        part = self._journal.slice(*key, seq, max_records=1, max_bytes=SLICE_BYTES)
        return part.prev_head if part.records and part.records[0].seq == seq + 1 else None
