"""Tells the central where every chain stands here, also when there is nothing to send."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from kiosk.clock import Instant
from kiosk.journal_types import Head, StreamKey
from sync import keys
from sync.ackstore import AckStore
from sync.agent_counters import Counters
from sync.agent_options import AgentOptions
from sync.agreement import Agreement
from sync.exchange import Exchange, excerpt
from sync.heartbeat import MAX_POSITIONS, Heartbeat, Position
from sync.send_schedule import by_urgency
from sync.trouble import Troubles
from sync.uplink import HEARTBEAT_PATH, SignedRequest


class HeartbeatSender:
    """The sender of heartbeats; the next one is wanted at ``due_s``. ``held`` gives the versions of what came down."""

    def __init__(
        self,
        options: AgentOptions,
        *,
        state: AckStore,
        private_key: Ed25519PrivateKey,
        exchange: Exchange,
        agreement: Agreement,
        troubles: Troubles,
        counters: Counters,
        held: Callable[[], dict[str, str]],
    ) -> None:
        self._options = options
        self._state = state
        self._key = private_key
        self._exchange = exchange
        self._agreement = agreement
        self._troubles = troubles
        self._counters = counters
        self._held = held
        self.due_s = float("-inf")

    def send(self, positions: Mapping[StreamKey, Head], now: Instant) -> None:
        """Send one and take the answer; raises LinkError."""
        newest = by_urgency(positions)[:MAX_POSITIONS]
        heartbeat = Heartbeat(
            kiosk_id=self._options.kiosk_id,
            wall_us=now.at_us,
            mono_ns=now.mono_ns,
            boot_id=now.boot_id,
            clock_trust=str(now.clock_trust),
            software=self._options.software,
            store_epoch=self._exchange.epoch(),
            positions=tuple(self._position(key, positions[key]) for key in newest),
            backlog=sum(max(0, head.seq - self._agreement.cursor(key).seq) for key, head in positions.items()),
            offset_us=_int_or_none(self._state.fact("offset_us")),
            offset_error_us=_int_or_none(self._state.fact("offset_error_us")),
            held=self._held(),
            alarms=self._troubles.codes[:32],
        )
        body = heartbeat.to_bytes()
        request = SignedRequest(
            path=HEARTBEAT_PATH,
            kiosk_id=self._options.kiosk_id,
            request=self._exchange.request_id(),
            body=body,
            signature=keys.sign(self._key, keys.HEARTBEAT_CONTEXT, body),
        )
        self._counters.heartbeats += 1
        reply = self._exchange.send(request)
        if reply.status != 200:
            if reply.status in (401, 403, 404):
                self._exchange.not_admitted(reply)
            self._exchange.failed(f"HTTP {reply.status} {excerpt(reply.body)}", retry_after_s=reply.retry_after_s)
            return
        answer = self._exchange.believed(request, reply, now)
        self._troubles.told()
        newer_epoch = answer.store_epoch > self._exchange.epoch()
        for ack in answer.acks:
            if (ack.incarnation, ack.stream) in positions:
                self._agreement.apply(ack, answer, now, newer_epoch=newer_epoch)
        self._state.remember(store_epoch=answer.store_epoch, troubles=",".join(self._troubles.codes))
        self._exchange.settle_epoch = False
        self.due_s = now.mono_ns / 1e9 + self._options.heartbeat_interval_s

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


def _int_or_none(text: str) -> int | None:
    return int(text) if text else None
