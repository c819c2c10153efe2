"""Which chain's records go next, and when: alarms as soon as they are seen, the rest in company after a while."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from random import Random

from kiosk.journal_types import Head, StreamKey
from kiosk.records import Stream
from sync.agent_options import AgentOptions
from sync.agreement import Agreement
from sync.batch_header import MAX_RECORDS
from sync.exchange import Exchange
from sync.retry import Backoff

_PRIORITY = {Stream.ALARM: 0, Stream.PASSAGE: 1, Stream.DIAGNOSTIC: 2}


def by_urgency(keys: Iterable[StreamKey]) -> list[StreamKey]:
    """Alarms first, then passages, then diagnostics."""
    return sorted(keys, key=lambda key: (_PRIORITY[key[1]], key[0]))


@dataclass(slots=True)
class StreamState:
    """What one chain is waiting for; lost at a restart without harm."""

    due_s: float | None = None
    seen_seq: int = 0
    batch_records: int = MAX_RECORDS
    backoff: Backoff | None = None


@dataclass(slots=True)
class Work:
    """The chain to send next."""

    key: StreamKey
    head: Head


class SendSchedule:
    """When each chain is due."""

    def __init__(self, options: AgentOptions, *, agreement: Agreement, exchange: Exchange, rng: Random) -> None:
        self._options = options
        self._agreement = agreement
        self._exchange = exchange
        self._rng = rng
        self._streams: dict[StreamKey, StreamState] = {}

    def of(self, key: StreamKey) -> StreamState:
        """What this chain is waiting for; only of one that ``next_work`` has seen."""
        return self._streams[key]

    def next_work(self, positions: Mapping[StreamKey, Head], now_s: float) -> Work | None:
        """The most urgent chain with something to send whose time has come."""
        for key in by_urgency(positions):
            head, cursor = positions[key], self._agreement.cursor(key).seq
            state = self._streams.setdefault(key, StreamState(batch_records=self._options.batch_records))
            if head.seq <= cursor:
                state.due_s = None
                state.seen_seq = head.seq
                continue
            if state.due_s is None:
                jitter = 0.0 if key[1] is Stream.ALARM else self._rng.uniform(0.5, 1.5)
                state.due_s = now_s + jitter * self._options.bulk_interval_s
            allowed_s = max(self._exchange.backoff.not_before_s, state.backoff.not_before_s if state.backoff else now_s)
            if key[1] is Stream.ALARM and head.seq > state.seen_seq:
                # A new alarm tries the link once, whatever the back-off says, unless the central ordered a wait.
                allowed_s = self._exchange.backoff.urgent_at_s(now_s)
            if max(state.due_s, allowed_s) <= now_s:
                state.seen_seq = head.seq
                return Work(key, head)
        return None

    def refuse_for_now(self, state: StreamState) -> None:
        """This chain alone is tried ever more slowly."""
        state.backoff = state.backoff or self._exchange.new_backoff()
        state.backoff.failed(self._exchange.now_s())
