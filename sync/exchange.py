"""One signed request to the central at a time, and which answers to it are believed.

Believed is what repeats the request's random id and comes from a central whose epoch is not older than one seen before.
"""

from __future__ import annotations

from random import Random
from typing import Protocol

import structlog

from kiosk.clock import Clock, Instant
from sync.ackstore import AckStore
from sync.agent_counters import Counters
from sync.agent_options import AgentOptions
from sync.answer import Answer
from sync.errors import LinkError, WireError
from sync.retry import Backoff
from sync.trouble import Trouble, Troubles
from sync.uplink import Reply, SignedRequest

log = structlog.get_logger("gatepost.sync")


class Link(Protocol):
    """What the agent needs of ``sync.uplink.Uplink``."""

    def exchange(self, request: SignedRequest) -> Reply:
        """Send and wait for the answer; raises LinkError."""
        ...


class Exchange:
    """The way to the central: how often it failed (``backoff``), and what the central offers (``offers``).

    ``settle_epoch`` says that the next thing to send is a heartbeat: the central's epoch is not what it was.
    """

    def __init__(
        self,
        options: AgentOptions,
        *,
        state: AckStore,
        link: Link,
        clock: Clock,
        rng: Random,
        troubles: Troubles,
        counters: Counters,
    ) -> None:
        self._options = options
        self._state = state
        self._link = link
        self._clock = clock
        self._rng = rng
        self._troubles = troubles
        self._counters = counters
        self.backoff = self.new_backoff()
        self.settle_epoch = False
        self.offers: dict[str, str] = {}

    def new_backoff(self) -> Backoff:
        """A back-off with this kiosk's delays, for what is tried apart from the rest."""
        return Backoff(uniform=self._rng.uniform, base_s=self._options.retry_base_s, cap_s=self._options.retry_cap_s)

    def now_s(self) -> float:
        """Seconds of the clock that never goes back."""
        return self._clock.now().mono_ns / 1e9

    def request_id(self) -> str:
        """128 random bits in hexadecimal, which the answer must repeat."""
        return f"{self._rng.getrandbits(128):032x}"

    def send(self, request: SignedRequest) -> Reply:
        """Send and wait for the answer; raises LinkError."""
        return self._link.exchange(request)

    def epoch(self) -> int:
        """The newest store epoch that the central was seen with; 0 before the first answer."""
        return int(self._state.fact("store_epoch", "0"))

    def believed(self, request: SignedRequest, reply: Reply, sent: Instant) -> Answer:
        """The answer, if it belongs to this request and to a central not older than one seen before; else LinkError."""
        try:
            answer = Answer.parse(reply.body)
        except WireError as error:
            raise LinkError("answer of the central", seen=str(error)[:200], expected="an answer") from error
        if answer.request != request.request:
            raise LinkError("answer of the central", seen="to another request", expected="to this one")
        epoch = self.epoch()
        if answer.store_epoch < epoch:
            # Not believed; but the next heartbeat tells it, and a central that was restored takes a newer epoch.
            self._troubles.note(Trouble.OLD_CENTRAL, f"epoch {answer.store_epoch}, seen before {epoch}")
            self.settle_epoch = True
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
        self.backoff.succeeded()
        return answer

    def not_admitted(self, reply: Reply) -> None:
        """Note an answer that says that this kiosk may not send."""
        self._troubles.note(Trouble.NOT_ADMITTED, f"HTTP {reply.status} {excerpt(reply.body)}")

    def failed(self, why: str, *, retry_after_s: float | None = None) -> None:
        """Nothing came of it, for a reason that waiting may heal; ``retry_after_s`` is what the central ordered."""
        self._counters.failures += 1
        now_s = self.now_s()
        due_s = self.backoff.failed(now_s, retry_after_s=retry_after_s)
        log.info("central not reached", why=why[:200], next_try_s=round(due_s - now_s, 1))
        self._state.remember(last_error=why[:300])


def excerpt(body: bytes) -> str:
    """The beginning of an answer's body, for a log."""
    return body[:120].decode("utf-8", "replace")
