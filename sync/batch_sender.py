"""Sends one batch of a chain, and does what its answer asks for."""

from __future__ import annotations

from collections.abc import Callable

import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from kiosk.clock import Instant
from sync import batch_dictionary, keys
from sync.ackstore import AckPoint, AckStore
from sync.agent_counters import Counters
from sync.agent_options import AgentOptions
from sync.agreement import Agreement
from sync.answer import Answer, Result
from sync.batch import MAX_COMPRESSED_BYTES, build
from sync.batch_header import BatchHeader, head_statement
from sync.compression import compress, encoding_of
from sync.errors import LinkError
from sync.exchange import Exchange, excerpt
from sync.journal_source import SLICE_BYTES, Journal
from sync.send_schedule import SendSchedule, StreamState, Work
from sync.trouble import Trouble, Troubles
from sync.uplink import BATCHES_PATH, Reply, SignedRequest

log = structlog.get_logger("gatepost.sync")


class BatchSender:
    """The sender of batches. ``held`` gives the versions of what came down."""

    def __init__(
        self,
        options: AgentOptions,
        *,
        journal: Journal,
        state: AckStore,
        private_key: Ed25519PrivateKey,
        exchange: Exchange,
        agreement: Agreement,
        schedule: SendSchedule,
        troubles: Troubles,
        counters: Counters,
        held: Callable[[], dict[str, str]],
    ) -> None:
        self._options = options
        self._journal = journal
        self._state = state
        self._key = private_key
        self._exchange = exchange
        self._agreement = agreement
        self._schedule = schedule
        self._troubles = troubles
        self._counters = counters
        self._held = held
        self._encoding = options.encoding

    def send(self, work: Work, now: Instant) -> None:
        """Send the next batch of ``work`` and take the answer; raises LinkError, JournalError."""
        incarnation, stream = work.key
        state = self._schedule.of(work.key)
        cursor = self._agreement.cursor(work.key)
        part = self._journal.slice(
            incarnation, stream, cursor.seq, max_records=state.batch_records, max_bytes=SLICE_BYTES
        )
        if not part.records:
            return
        first = part.records[0].seq
        gap_first = cursor.seq + 1 if first > cursor.seq + 1 else None
        if gap_first is None and part.prev_head != cursor.head:
            self._agreement.journal_went_back(work.key, work.head, now)
            return
        if gap_first is not None:
            self._troubles.note(Trouble.RECORDS_GONE, f"{stream} {gap_first} to {first - 1}")
        header = BatchHeader(
            kiosk_id=self._options.kiosk_id,
            incarnation=incarnation,
            stream=stream,
            first=first,
            last=part.records[-1].seq,
            prev_head=part.prev_head,
            last_head=part.last_head,
            wall_us=now.at_us,
            mono_ns=now.mono_ns,
            boot_id=now.boot_id,
            clock_trust=str(now.clock_trust),
            software=self._options.software,
            backlog=work.head.seq - cursor.seq,
            oldest_us=part.records[0].at_us,
            gap_first=gap_first,
            held=self._held(),
        )
        written = build(header, part.records)
        encoding = encoding_of(written, self._encoding)
        body = compress(written, encoding)
        if len(body) > MAX_COMPRESSED_BYTES and len(part.records) > 1:
            state.batch_records = max(1, len(part.records) // 2)
            return
        request = SignedRequest(
            path=BATCHES_PATH,
            kiosk_id=self._options.kiosk_id,
            request=self._exchange.request_id(),
            body=body,
            signature=keys.sign(self._key, keys.BATCH_CONTEXT, body),
            encoding=encoding,
            head_signature=keys.sign(self._key, keys.HEAD_CONTEXT, head_statement(header)),
        )
        self._counters.batches += 1
        self._counters.bytes_sent += len(body)
        reply = self._exchange.send(request)
        if reply.status in (200, 409):
            self._answered(header, self._exchange.believed(request, reply, now), now)
        else:
            self._refused(state, len(part.records), reply, encoding)

    def _answered(self, header: BatchHeader, answer: Answer, now: Instant) -> None:
        key = (header.incarnation, header.stream)
        state = self._schedule.of(key)
        newer_epoch = answer.store_epoch > self._exchange.epoch()
        for ack in answer.acks:
            if (ack.incarnation, ack.stream) == key:
                self._agreement.apply(ack, answer, now, newer_epoch=newer_epoch)
                if answer.result in (Result.STORED, Result.DUPLICATE, Result.PARTIAL) and ack.acked >= header.last:
                    # This batch at least is there, whatever else: also where the central has more than a restored
                    # journal, so that its ``acked`` and ``head`` lie beyond what can be compared here.
                    point = AckPoint(header.last, header.last_head, now.at_us, answer.server_us)
                    self._state.advance(*key, point)
                if answer.result is Result.FORK and ack.quarantined_to == header.last:
                    self._troubles.note(Trouble.FORKED, f"{header.stream} {header.first} to {header.last}")
                    self._state.set_aside(*key, header.last, header.last_head)
        # One answer speaks for one stream; a heartbeat asks a restored central about all of them, before anything
        # else, and only then is the new epoch remembered.
        self._exchange.settle_epoch = self._exchange.settle_epoch or newer_epoch
        if answer.rejected:
            log.warning("records set aside by the central", count=len(answer.rejected), stream=str(header.stream))
        state.backoff = None
        # Driven by success: more of this stream goes at once, in full batches again after a halving.
        state.due_s = now.mono_ns / 1e9
        state.batch_records = min(self._options.batch_records, state.batch_records * 2)
        cursor = self._agreement.cursor(key).seq
        if answer.result is Result.GAP and 0 < cursor == header.first - 1:
            # The central does not know the record that this batch follows, though it once acknowledged it: go back
            # to an earlier one, until both agree on where the stream parted.
            self._agreement.step_back(key, cursor, now)
        elif header.first - 1 <= cursor < header.last:
            # Nothing moved: an answer that may not be believed in full. No reason to stop, and none to spin.
            self._schedule.refuse_for_now(state)

    def _refused(self, state: StreamState, count: int, reply: Reply, encoding: str) -> None:
        """Neither an acknowledgement nor a request to resend; see RFC 9110 §15 for the statuses."""
        if reply.status == 415 and encoding == batch_dictionary.ENCODING:
            # A central older than the dictionary: the same records go at once in the form that every central takes.
            log.info("the central does not know the dictionary", encoding=encoding)
            self._encoding = "zstd"
            return
        if reply.status == 413 and count > 1:
            state.batch_records = max(1, count // 2)
            return
        if reply.status in (401, 403, 404):
            self._exchange.not_admitted(reply)
            raise LinkError("central", seen=f"HTTP {reply.status}", hint="is this kiosk enrolled and approved?")
        if reply.status in (408, 425, 429) or reply.status >= 500:
            self._exchange.failed(f"HTTP {reply.status}", retry_after_s=reply.retry_after_s)
            return
        # This batch is refused for what it is. Others go on; this stream tries again, slower and slower.
        self._troubles.note(Trouble.BATCH_REFUSED, f"HTTP {reply.status} {excerpt(reply.body)}")
        self._exchange.backoff.succeeded()
        self._schedule.refuse_for_now(state)
