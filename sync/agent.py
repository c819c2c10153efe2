"""The sender: reads the journal, sends batches, believes nothing but the central's acknowledgements.

``Agent.step`` does at most one exchange and says when it wants to be called again; the loop around it only waits
(``sync/run.py``). Clock, randomness, journal and link are arguments: a simulation runs this very code
(``tests/scenarios/sync_world.py``).

What drives it: a timer (heartbeat when idle, bulk every few seconds with jitter, back-off after a failure) and success
(a stream with more to send goes on at once). Records of the alarm stream go as soon as they are seen
(``sync/send_schedule.py``). What is believed stands in ``sync/exchange.py``, what goes back in ``sync/agreement.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from random import Random

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from kiosk.clock import Clock
from kiosk.journal_types import JournalError
from sync.ackstore import AckStore
from sync.agent_counters import Counters
from sync.agent_options import AgentOptions
from sync.agreement import Agreement
from sync.batch_sender import BatchSender
from sync.certificate_fetcher import CertificateFetcher
from sync.certificate_keeper import CertificateKeeper
from sync.document_fetcher import DocumentFetcher
from sync.downlink import Downlink
from sync.errors import LinkError
from sync.exchange import Exchange, Link
from sync.heartbeat_sender import HeartbeatSender
from sync.journal_source import Journal
from sync.send_schedule import SendSchedule
from sync.trouble import Trouble, Troubles

ACK_POINTS_KEPT_US = 60 * 86_400_000_000
ACK_POINTS_THINNED_EVERY_S = 86_400.0


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
        self._clock = clock
        self._news: Mapping[str, str] | None = None
        self._thin_due_s = float("-inf")
        self.counters = counters = Counters()
        self._troubles = troubles = Troubles(state)
        self.exchange = exchange = Exchange(
            options, state=state, link=link, clock=clock, rng=rng, troubles=troubles, counters=counters
        )
        self.agreement = agreement = Agreement(journal, state, troubles=troubles, counters=counters)
        self._schedule = SendSchedule(options, agreement=agreement, exchange=exchange, rng=rng)

        def held() -> dict[str, str]:
            return downlink.held() if downlink is not None else {}

        self._batches = BatchSender(
            options,
            journal=journal,
            state=state,
            private_key=private_key,
            exchange=exchange,
            agreement=agreement,
            schedule=self._schedule,
            troubles=troubles,
            counters=counters,
            held=held,
        )
        self._heartbeats = HeartbeatSender(
            options,
            state=state,
            private_key=private_key,
            exchange=exchange,
            agreement=agreement,
            troubles=troubles,
            counters=counters,
            held=held,
        )
        self._documents = (
            DocumentFetcher(downlink, exchange=exchange, troubles=troubles) if downlink is not None else None
        )
        self._certificate = CertificateFetcher(certificate, exchange=exchange) if certificate is not None else None

    def offered(self, offers: Mapping[str, str]) -> None:
        """For the thread that waits for news: the central offers these versions now. Taken up by the next step."""
        self._news = offers

    def step(self) -> float:
        """Do the most urgent thing that is due, if any; returns the seconds until the next call is wanted."""
        now = self._clock.now()
        now_s = now.mono_ns / 1e9
        news, self._news = self._news, None
        if news is not None:
            self.exchange.offers = dict(news)
            if self._documents is not None:
                self._documents.offered()
        try:
            positions = self._journal.positions()
            self.agreement.notice(positions, now)
        except JournalError as error:
            self._troubles.note(Trouble.JOURNAL_UNREADABLE, str(error))
            positions = {}
        backoff = self.exchange.backoff
        try:
            if self.exchange.settle_epoch and backoff.not_before_s <= now_s:
                self._heartbeats.send(positions, now)
                return 0.0
            work = self._schedule.next_work(positions, now_s)
            if work is not None:
                self._batches.send(work, now)
                return 0.0
            if self._heartbeats.due_s <= now_s and backoff.not_before_s <= now_s:
                self._heartbeats.send(positions, now)
                return 0.0
            fetched = self._documents.step(now_s) if self._documents is not None else None
            if fetched is not None:
                if fetched:
                    # The central hears of it at once, so that its page shows what this kiosk works by.
                    self._heartbeats.due_s = now_s
                return 0.0
            if self._certificate is not None:
                self._certificate.step(now)
        except JournalError as error:
            self._troubles.note(Trouble.JOURNAL_UNREADABLE, str(error))
        except LinkError as error:
            self.exchange.failed(str(error))
        if self._thin_due_s <= now_s:
            self._thin_due_s = now_s + ACK_POINTS_THINNED_EVERY_S
            self._state.forget_points_before(int(self._state.fact("last_server_us", "0")) - ACK_POINTS_KEPT_US)
        return self._options.poll_interval_s
