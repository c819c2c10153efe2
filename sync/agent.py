"""The sender: reads the journal, sends batches, believes nothing but the central's acknowledgements.

``Agent.step`` does at most one exchange and says when it wants to be called again; the loop around it only waits.
Clock, randomness, journal and link are arguments: a simulation runs this very code (``tests/scenarios/sync_world.py``).

What drives it
    a timer (heartbeat when idle, bulk every few seconds with jitter, back-off after a failure) and success (a
    stream with more to send goes on at once). Records of the alarm stream go as soon as they are seen.
What is believed
    an answer that repeats the request's random id, from a central whose epoch is not older than one seen before,
    and whose ``head`` is the hash that the journal has at ``acked``.
What goes back
    a lower ``acked`` counts when the epoch is newer or the central asks for a resend; the journal still has the
    records because the kiosk purges by the age of the acknowledgement.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from random import Random, SystemRandom
from typing import Protocol

import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from kiosk.clock import Clock, Instant, SystemClock
from kiosk.journal_reader import JournalReader
from kiosk.journal_types import Head, JournalError, Slice
from kiosk.records import ZERO_HASH, Stream
from sync import batch_dictionary, keys
from sync.ackstore import AckPoint, AckStore
from sync.answer import Answer, Result, StreamAck
from sync.batch import MAX_COMPRESSED_BYTES, build
from sync.batch_header import MAX_RECORDS, BatchHeader, head_statement
from sync.certificate_keeper import CertificateKeeper
from sync.compression import compress, encoding_of
from sync.downlink import Downlink, load_authority
from sync.errors import LinkError, WireError
from sync.heartbeat import MAX_POSITIONS, Heartbeat, Position
from sync.news import WAIT_S
from sync.news_watch import NewsWatch
from sync.retry import Backoff
from sync.uplink import BATCHES_PATH, HEARTBEAT_PATH, Reply, SignedRequest, Uplink

StreamKey = tuple[str, Stream]
log = structlog.get_logger("gatepost.sync")

PRIORITY = {Stream.ALARM: 0, Stream.PASSAGE: 1, Stream.DIAGNOSTIC: 2}
SLICE_BYTES = 1024 * 1024
ACK_POINTS_KEPT_US = 60 * 86_400_000_000
ACK_POINTS_THINNED_EVERY_S = 86_400.0
CERTIFICATE_EVERY_S = 3600.0


class Journal(Protocol):
    """What the agent needs of ``kiosk.journal.JournalReader``."""

    def positions(self) -> dict[StreamKey, Head]:
        """Every chain's head."""
        ...

    def slice(self, incarnation: str, stream: Stream, after_seq: int, *, max_records: int, max_bytes: int) -> Slice:
        """Consecutive records after ``after_seq``."""
        ...


class Link(Protocol):
    """What the agent needs of ``sync.uplink.Uplink``."""

    def exchange(self, request: SignedRequest) -> Reply:
        """Send and wait for the answer; raises LinkError."""
        ...


class Trouble(StrEnum):
    """What sync itself found; said in heartbeats, in ``sync.db`` (fact ``troubles``) and in ``status``."""

    JOURNAL_WENT_BACK = "journal_went_back"
    JOURNAL_UNREADABLE = "journal_unreadable"
    FORKED = "forked"
    HEAD_MISMATCH = "head_mismatch"
    OLD_CENTRAL = "old_central"
    CENTRAL_WENT_BACK = "central_went_back"
    BATCH_REFUSED = "batch_refused"
    NOT_ADMITTED = "not_admitted"
    RECORDS_GONE = "records_gone"
    DOCUMENT_REFUSED = "document_refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentOptions:
    """Everything the agent is told. Times in seconds.

    ``documents`` is the folder for what comes down, believed when signed by the public key in file ``authority``;
    both or neither. ``pass_certificate`` is the file in which the community's word for this kiosk's key is kept fresh,
    None for none. ``bulk_interval_s`` is the mean wait before records that are no alarms go (jittered to 0.5..1.5
    of it), ``poll_interval_s`` how often the journal is looked at, ``heartbeat_interval_s`` the longest silence.
    """

    journal: Path
    state: Path
    central_url: str
    key: Path
    kiosk_id: str
    ca_file: Path | None = None
    encoding: str = batch_dictionary.ENCODING
    poll_interval_s: float = 0.25
    bulk_interval_s: float = 5.0
    heartbeat_interval_s: float = 60.0
    retry_base_s: float = 1.0
    retry_cap_s: float = 300.0
    batch_records: int = MAX_RECORDS
    documents: Path | None = None
    authority: Path | None = None
    pass_certificate: Path | None = None
    connect_timeout_s: float = 5.0
    read_timeout_s: float = 30.0
    software: str = "gatepost"


@dataclass(slots=True)
class _StreamState:
    """What one chain is waiting for; lost at a restart without harm."""

    due_s: float | None = None
    seen_seq: int = 0
    batch_records: int = MAX_RECORDS
    backoff: Backoff | None = None


@dataclass(slots=True)
class _Work:
    """The chain to send next."""

    key: StreamKey
    head: Head


@dataclass(slots=True)
class Counters:
    """What this process has done since it started."""

    batches: int = 0
    records_acked: int = 0
    heartbeats: int = 0
    failures: int = 0
    bytes_sent: int = 0


class Agent:
    """One kiosk's sender. Not thread-safe; ``step`` is called by one loop."""

    def __init__(
        self,
        options: AgentOptions,
        *,
        journal: Journal,
        state: AckStore,
        link: Link,
        private_key: Ed25519PrivateKey,
        clock: Clock,
        rng: Random,
        downlink: Downlink | None = None,
        certificate: CertificateKeeper | None = None,
    ) -> None:
        self._options = options
        self._journal = journal
        self._state = state
        self._link = link
        self._key = private_key
        self._clock = clock
        self._rng = rng
        self._downlink = downlink
        self._certificate = certificate
        self._certificate_due_s = float("-inf")
        self._fetch_backoff = self._new_backoff()
        self._encoding = options.encoding
        self._streams: dict[StreamKey, _StreamState] = {}
        self._backoff = self._new_backoff()
        self._heartbeat_due_s = float("-inf")
        self._thin_due_s = float("-inf")
        self._settle_epoch = False
        self._troubles: dict[str, str] = {}
        self.counters = Counters()
        self.offers: dict[str, str] = {}
        self._news: Mapping[str, str] | None = None

    def _new_backoff(self) -> Backoff:
        return Backoff(uniform=self._rng.uniform, base_s=self._options.retry_base_s, cap_s=self._options.retry_cap_s)

    def offered(self, offers: Mapping[str, str]) -> None:
        """For the thread that waits for news: the central offers these versions now. Taken up by the next step."""
        self._news = offers

    # -- one step ----------------------------------------------------------------------------------------------

    def step(self) -> float:
        """Do the most urgent thing that is due, if any; returns the seconds until the next call is wanted."""
        now = self._clock.now()
        now_s = now.mono_ns / 1e9
        news, self._news = self._news, None
        if news is not None:
            self.offers = dict(news)
            self._fetch_backoff.succeeded()  # what was refused is not what is offered now
        try:
            positions = self._journal.positions()
            self._notice_journal(positions, now)
        except JournalError as error:
            self._trouble(Trouble.JOURNAL_UNREADABLE, str(error))
            positions = {}
        try:
            if self._settle_epoch and self._backoff.not_before_s <= now_s:
                self._send_heartbeat(positions, now)
                return 0.0
            work = self._next_work(positions, now_s)
            if work is not None:
                self._send_batch(work, now)
                return 0.0
            if self._heartbeat_due_s <= now_s and self._backoff.not_before_s <= now_s:
                self._send_heartbeat(positions, now)
                return 0.0
            if self._fetch_document(now_s):
                return 0.0
            self._fetch_certificate(now)
        except JournalError as error:
            self._trouble(Trouble.JOURNAL_UNREADABLE, str(error))
        except LinkError as error:
            self._failed(str(error))
        if self._thin_due_s <= now_s:
            self._thin_due_s = now_s + ACK_POINTS_THINNED_EVERY_S
            self._state.forget_points_before(int(self._state.fact("last_server_us", "0")) - ACK_POINTS_KEPT_US)
        return self._options.poll_interval_s

    def _cursor(self, key: StreamKey) -> AckPoint:
        """After which record to go on: the newest acknowledged, or set aside by the central where forked."""
        acked, aside = self._state.acked(*key), self._state.set_aside_to(*key)
        return aside if aside.seq > acked.seq else acked

    def _next_work(self, positions: Mapping[StreamKey, Head], now_s: float) -> _Work | None:
        """The most urgent chain with something to send whose time has come."""
        for key in sorted(positions, key=lambda k: (PRIORITY[k[1]], k[0])):
            head, cursor = positions[key], self._cursor(key).seq
            state = self._streams.setdefault(key, _StreamState(batch_records=self._options.batch_records))
            if head.seq <= cursor:
                state.due_s = None
                state.seen_seq = head.seq
                continue
            if state.due_s is None:
                jitter = 0.0 if key[1] is Stream.ALARM else self._rng.uniform(0.5, 1.5)
                state.due_s = now_s + jitter * self._options.bulk_interval_s
            allowed_s = max(self._backoff.not_before_s, state.backoff.not_before_s if state.backoff else now_s)
            if key[1] is Stream.ALARM and head.seq > state.seen_seq:
                # A new alarm tries the link once, whatever the back-off says, unless the central ordered a wait.
                allowed_s = self._backoff.urgent_at_s(now_s)
            if max(state.due_s, allowed_s) <= now_s:
                state.seen_seq = head.seq
                return _Work(key, head)
        return None

    # -- batches -----------------------------------------------------------------------------------------------

    def _send_batch(self, work: _Work, now: Instant) -> None:
        incarnation, stream = work.key
        state = self._streams[work.key]
        cursor = self._cursor(work.key)
        part = self._journal.slice(
            incarnation, stream, cursor.seq, max_records=state.batch_records, max_bytes=SLICE_BYTES
        )
        if not part.records:
            return
        first = part.records[0].seq
        gap_first = cursor.seq + 1 if first > cursor.seq + 1 else None
        if gap_first is None and part.prev_head != cursor.head:
            self._journal_went_back(work.key, work.head, now)
            return
        if gap_first is not None:
            self._trouble(Trouble.RECORDS_GONE, f"{stream} {gap_first} to {first - 1}")
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
            request=self._request_id(),
            body=body,
            signature=keys.sign(self._key, keys.BATCH_CONTEXT, body),
            encoding=encoding,
            head_signature=keys.sign(self._key, keys.HEAD_CONTEXT, head_statement(header)),
        )
        self.counters.batches += 1
        self.counters.bytes_sent += len(body)
        reply = self._link.exchange(request)
        if reply.status in (200, 409):
            self._batch_answered(header, self._believed(request, reply, now), now)
        else:
            self._batch_refused(state, len(part.records), reply, encoding)

    def _batch_answered(self, header: BatchHeader, answer: Answer, now: Instant) -> None:
        key = (header.incarnation, header.stream)
        state = self._streams[key]
        newer_epoch = answer.store_epoch > self._epoch()
        for ack in answer.acks:
            if (ack.incarnation, ack.stream) == key:
                self._apply(ack, answer, now, newer_epoch=newer_epoch)
                if answer.result in (Result.STORED, Result.DUPLICATE, Result.PARTIAL) and ack.acked >= header.last:
                    # This batch at least is there, whatever else: also where the central has more than a restored
                    # journal, so that its ``acked`` and ``head`` lie beyond what can be compared here.
                    point = AckPoint(header.last, header.last_head, now.at_us, answer.server_us)
                    self._state.advance(*key, point)
                if answer.result is Result.FORK and ack.quarantined_to == header.last:
                    self._trouble(Trouble.FORKED, f"{header.stream} {header.first} to {header.last}")
                    self._state.set_aside(*key, header.last, header.last_head)
        # One answer speaks for one stream; a heartbeat asks a restored central about all of them, before anything
        # else, and only then is the new epoch remembered.
        self._settle_epoch = self._settle_epoch or newer_epoch
        if answer.rejected:
            log.warning("records set aside by the central", count=len(answer.rejected), stream=str(header.stream))
        state.backoff = None
        # Driven by success: more of this stream goes at once, in full batches again after a halving.
        state.due_s = now.mono_ns / 1e9
        state.batch_records = min(self._options.batch_records, state.batch_records * 2)
        cursor = self._cursor(key).seq
        if answer.result is Result.GAP and 0 < cursor == header.first - 1:
            # The central does not know the record that this batch follows, though it once acknowledged it: go back
            # to an earlier one, until both agree on where the stream parted.
            point = self._state.newest_point_below(*key, cursor)
            self._state.set_aside(*key, 0, ZERO_HASH)
            self._state.go_back(*key, AckPoint(point.seq, point.head, now.at_us, point.server_us))
        elif header.first - 1 <= cursor < header.last:
            # Nothing moved: an answer that may not be believed in full. No reason to stop, and none to spin.
            self._refuse_for_now(state)

    def _batch_refused(self, state: _StreamState, count: int, reply: Reply, encoding: str) -> None:
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
            self._trouble(Trouble.NOT_ADMITTED, f"HTTP {reply.status} {_excerpt(reply.body)}")
            raise LinkError("central", seen=f"HTTP {reply.status}", hint="is this kiosk enrolled and approved?")
        if reply.status in (408, 425, 429) or reply.status >= 500:
            self._failed(f"HTTP {reply.status}", retry_after_s=reply.retry_after_s)
            return
        # This batch is refused for what it is. Others go on; this stream tries again, slower and slower.
        self._trouble(Trouble.BATCH_REFUSED, f"HTTP {reply.status} {_excerpt(reply.body)}")
        self._reached()
        self._refuse_for_now(state)

    def _refuse_for_now(self, state: _StreamState) -> None:
        state.backoff = state.backoff or self._new_backoff()
        state.backoff.failed(self._clock.now().mono_ns / 1e9)

    # -- heartbeats --------------------------------------------------------------------------------------------

    def _send_heartbeat(self, positions: Mapping[StreamKey, Head], now: Instant) -> None:
        newest = sorted(positions, key=lambda key: (PRIORITY[key[1]], key[0]))[:MAX_POSITIONS]
        heartbeat = Heartbeat(
            kiosk_id=self._options.kiosk_id,
            wall_us=now.at_us,
            mono_ns=now.mono_ns,
            boot_id=now.boot_id,
            clock_trust=str(now.clock_trust),
            software=self._options.software,
            store_epoch=self._epoch(),
            positions=tuple(self._position(key, positions[key]) for key in newest),
            backlog=sum(max(0, head.seq - self._cursor(key).seq) for key, head in positions.items()),
            offset_us=_int_or_none(self._state.fact("offset_us")),
            offset_error_us=_int_or_none(self._state.fact("offset_error_us")),
            held=self._held(),
            alarms=tuple(self._troubles)[:32],
        )
        body = heartbeat.to_bytes()
        request = SignedRequest(
            path=HEARTBEAT_PATH,
            kiosk_id=self._options.kiosk_id,
            request=self._request_id(),
            body=body,
            signature=keys.sign(self._key, keys.HEARTBEAT_CONTEXT, body),
        )
        self.counters.heartbeats += 1
        reply = self._link.exchange(request)
        if reply.status != 200:
            if reply.status in (401, 403, 404):
                self._trouble(Trouble.NOT_ADMITTED, f"HTTP {reply.status} {_excerpt(reply.body)}")
            self._failed(f"HTTP {reply.status} {_excerpt(reply.body)}", retry_after_s=reply.retry_after_s)
            return
        answer = self._believed(request, reply, now)
        self._troubles.clear()
        newer_epoch = answer.store_epoch > self._epoch()
        for ack in answer.acks:
            if (ack.incarnation, ack.stream) in positions:
                self._apply(ack, answer, now, newer_epoch=newer_epoch)
        self._state.remember(store_epoch=answer.store_epoch, troubles=",".join(self._troubles))
        self._settle_epoch = False
        self._heartbeat_due_s = now.mono_ns / 1e9 + self._options.heartbeat_interval_s

    # -- documents ---------------------------------------------------------------------------------------------

    def _held(self) -> dict[str, str]:
        return self._downlink.held() if self._downlink is not None else {}

    def _fetch_document(self, now_s: float) -> bool:
        """Fetch one document that the central offers newer than held; one that is refused is tried ever more slowly."""
        if self._downlink is None or max(self._fetch_backoff.not_before_s, self._backoff.not_before_s) > now_s:
            return False
        wanted = self._downlink.wanted(self.offers)
        if not wanted:
            return False
        try:
            self._downlink.fetch(wanted[0], self._request_id())
        except (LinkError, WireError) as error:
            self._fetch_backoff.failed(now_s)
            self._trouble(Trouble.DOCUMENT_REFUSED, str(error))
            return True
        self._fetch_backoff.succeeded()
        # The central hears of it at once, so that its page shows what this kiosk works by.
        self._heartbeat_due_s = now_s
        return True

    def _fetch_certificate(self, now: Instant) -> None:
        """Look after the pass certificate once an hour; it has weeks left when it is asked for again."""
        now_s = now.mono_ns / 1e9
        if self._certificate is None or max(self._certificate_due_s, self._backoff.not_before_s) > now_s:
            return
        self._certificate_due_s = now_s + CERTIFICATE_EVERY_S
        if not self._certificate.due(now.utc()):
            return
        try:
            self._certificate.fetch(now.utc(), self._request_id())
        except (LinkError, WireError) as error:
            log.warning("no pass certificate", error=str(error))

    def _position(self, key: StreamKey, head: Head) -> Position:
        aside = self._state.set_aside_to(*key)
        return Position(
            incarnation=key[0],
            stream=key[1],
            last=head.seq,
            last_head=head.hash,
            acked=self._state.acked(*key).seq,
            set_aside=aside.seq,
            set_aside_head=aside.head,
        )

    # -- answers -----------------------------------------------------------------------------------------------

    def _believed(self, request: SignedRequest, reply: Reply, sent: Instant) -> Answer:
        """The answer, if it belongs to this request and to a central not older than one seen before."""
        try:
            answer = Answer.parse(reply.body)
        except WireError as error:
            raise LinkError("answer of the central", seen=str(error)[:200], expected="an answer") from error
        if answer.request != request.request:
            raise LinkError("answer of the central", seen="to another request", expected="to this one")
        epoch = self._epoch()
        if answer.store_epoch < epoch:
            # Not believed; but the next heartbeat tells it, and a central that was restored takes a newer epoch.
            self._trouble(Trouble.OLD_CENTRAL, f"epoch {answer.store_epoch}, seen before {epoch}")
            self._settle_epoch = True
            raise LinkError(
                "central",
                seen=f"store epoch {answer.store_epoch}",
                expected=f"at least {epoch}",
                hint="an old central was brought back beside the one that replaced it",
            )
        received = self._clock.now()
        facts: dict[str, str | int] = {
            "last_contact_us": received.at_us,
            "last_server_us": answer.server_us,
            "offset_us": answer.server_us - (sent.at_us + received.at_us) // 2,
            "offset_error_us": max(0, (received.mono_ns - sent.mono_ns) // 2000),
            "last_error": "",
        }
        self._state.remember(**facts)
        self.offers = dict(answer.offers)
        self._reached()
        return answer

    def _epoch(self) -> int:
        return int(self._state.fact("store_epoch", "0"))

    def _apply(self, ack: StreamAck, answer: Answer, now: Instant, *, newer_epoch: bool) -> None:
        """Take one acknowledgement for what it proves."""
        key = (ack.incarnation, ack.stream)
        held = self._state.acked(*key)
        point = AckPoint(ack.acked, ack.head, now.at_us, answer.server_us)
        if ack.acked >= held.seq:
            if ack.acked and self._journal_agrees(key, ack):
                self.counters.records_acked += ack.acked - held.seq
                self._state.advance(*key, point)
        elif ack.acked < held.seq and (newer_epoch or ack.resend_from is not None):
            self._trouble(Trouble.CENTRAL_WENT_BACK, f"{ack.stream} from {held.seq} to {ack.acked}")
            self._state.go_back(*key, point)
        aside = self._state.set_aside_to(*key)
        if ack.quarantined_to < aside.seq and (newer_epoch or ack.resend_from is not None):
            self._state.set_aside(*key, 0, ZERO_HASH)

    def _journal_agrees(self, key: StreamKey, ack: StreamAck) -> bool:
        """Whether our own chain has the acknowledged hash at the acknowledged place."""
        try:
            ours = self._hash_at(key, ack.acked)
        except JournalError as error:
            self._trouble(Trouble.JOURNAL_UNREADABLE, str(error))
            return False
        if ours is None:
            # The central has records that this journal does not: it went back. The next records will fork.
            self._trouble(Trouble.JOURNAL_WENT_BACK, f"{key[1]} acked {ack.acked}")
            return False
        if ours != ack.head:
            self._trouble(Trouble.HEAD_MISMATCH, f"{key[1]} at {ack.acked}")
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

    # -- what the journal does ---------------------------------------------------------------------------------

    def _notice_journal(self, positions: Mapping[StreamKey, Head], now: Instant) -> None:
        """A journal that holds less than the central has of it was restored from a backup."""
        for key, head in positions.items():
            cursor = self._cursor(key)
            if head.seq < cursor.seq or (head.seq == cursor.seq and head.hash != cursor.head):
                self._journal_went_back(key, head, now)

    def _journal_went_back(self, key: StreamKey, head: Head, now: Instant) -> None:
        """Send again from the newest acknowledgement that this journal still agrees with.

        What the restored journal wrote since then the central will find to be a fork, and set aside.
        """
        acked = self._state.acked(*key)
        self._trouble(Trouble.JOURNAL_WENT_BACK, f"{key[1]} at {head.seq}, acknowledged {acked.seq}")
        point = acked
        while point.seq and self._hash_at(key, point.seq) != point.head:
            point = self._state.newest_point_below(*key, point.seq)
        self._state.set_aside(*key, 0, ZERO_HASH)
        self._state.go_back(*key, AckPoint(point.seq, point.head, now.at_us, point.server_us))

    # -- what is remembered of trouble -------------------------------------------------------------------------

    def _trouble(self, trouble: Trouble, detail: str) -> None:
        if self._troubles.get(str(trouble)) == detail:
            return
        log.warning("sync trouble", trouble=str(trouble), detail=detail)
        self._troubles[str(trouble)] = detail
        self._state.remember(troubles=",".join(self._troubles), last_trouble=f"{trouble}: {detail}"[:300])

    def _reached(self) -> None:
        self._backoff.succeeded()

    def _failed(self, why: str, *, retry_after_s: float | None = None) -> None:
        self.counters.failures += 1
        now_s = self._clock.now().mono_ns / 1e9
        due_s = self._backoff.failed(now_s, retry_after_s=retry_after_s)
        log.info("central not reached", why=why[:200], next_try_s=round(due_s - now_s, 1))
        self._state.remember(last_error=why[:300])

    def _request_id(self) -> str:
        return f"{self._rng.getrandbits(128):032x}"


def _int_or_none(text: str) -> int | None:
    return int(text) if text else None


def _excerpt(body: bytes) -> str:
    return body[:120].decode("utf-8", "replace")


def run_agent(options: AgentOptions, stop: threading.Event, *, clock: Clock | None = None) -> Counters:
    """Send until ``stop`` is set; returns what was done.

    Waits for a journal that is not there yet. Raises KeyFileError, SyncError for a key, address or state file
    that cannot be used: those do not heal by waiting.
    """
    private_key = keys.load_private_key(options.key)
    state = AckStore(options.state)
    try:
        with Uplink(
            options.central_url,
            ca_file=options.ca_file,
            connect_timeout_s=options.connect_timeout_s,
            read_timeout_s=options.read_timeout_s,
            software=options.software,
        ) as link:
            downlink = None
            if options.documents is not None and options.authority is not None:
                downlink = Downlink(
                    options.documents,
                    kiosk_id=options.kiosk_id,
                    private_key=private_key,
                    authority=load_authority(options.authority),
                    link=link,
                )
            certificate = None
            if options.pass_certificate is not None:
                certificate = CertificateKeeper(
                    options.pass_certificate, kiosk_id=options.kiosk_id, private_key=private_key, link=link
                )
            agent = Agent(
                options,
                journal=JournalReader(options.journal),
                state=state,
                link=link,
                private_key=private_key,
                clock=clock or SystemClock(None),
                rng=SystemRandom(),
                downlink=downlink,
                certificate=certificate,
            )
            watch = None
            if downlink is not None:
                watch = NewsWatch(
                    kiosk_id=options.kiosk_id,
                    private_key=private_key,
                    link=Uplink(
                        options.central_url,
                        ca_file=options.ca_file,
                        connect_timeout_s=options.connect_timeout_s,
                        read_timeout_s=WAIT_S + options.read_timeout_s,
                        software=options.software,
                    ),
                    tell=agent.offered,
                    told=downlink.held(),
                )
                watch.start()
            try:
                while not stop.is_set():
                    stop.wait(agent.step())
            finally:
                if watch is not None:
                    watch.stop()
            return agent.counters
    finally:
        state.close()
