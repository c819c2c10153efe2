"""Asks the central, all the time, whether there is a newer document, and tells the sender: a thread and a connection of
its own, because the question waits at the central and batches do not."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random, SystemRandom
from typing import Protocol

import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sync import keys
from sync.errors import LinkError, WireError
from sync.news import NEWS_CONTEXT, NEWS_PATH, news_question, read_answer
from sync.retry import Backoff
from sync.uplink import Reply, SignedRequest

log = structlog.get_logger("gatepost.sync")

RETRY_BASE_S, RETRY_CAP_S = 2.0, 120.0
UNKNOWN_THERE_S = 3600.0
"""A central of before this question does not know it; heartbeats bring the news meanwhile."""
AT_MOST_EVERY_S = 0.5
"""Between two answers: a central that answers without waiting costs two requests a second, no more."""


class NewsLink(Protocol):
    """What is needed of ``sync.uplink.Uplink``."""

    def exchange(self, request: SignedRequest) -> Reply:
        """Send and wait for the answer; raises LinkError."""
        ...

    def close(self) -> None:
        """Close the connection."""
        ...


@dataclass(slots=True, kw_only=True)
class NewsWatch:
    """``tell`` hands new offers to the sender, from this thread; ``told`` are the versions it needs not be told of."""

    kiosk_id: str
    private_key: Ed25519PrivateKey
    link: NewsLink
    tell: Callable[[Mapping[str, str]], None]
    told: dict[str, str]
    rng: Random = field(default_factory=SystemRandom)
    _backoff: Backoff = field(init=False)
    _stopping: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __post_init__(self) -> None:
        self._backoff = Backoff(uniform=self.rng.uniform, base_s=RETRY_BASE_S, cap_s=RETRY_CAP_S)

    def start(self) -> None:
        """Ask from now on."""
        self._thread = threading.Thread(target=self._run, name="news", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ask no more. A question that waits at the central is not waited for: the thread ends behind it, by itself."""
        self._stopping.set()

    def ask(self) -> float:
        """One question and its answer; the seconds to wait before the next. Never raises for what comes back."""
        request = f"{self.rng.getrandbits(128):032x}"
        body = news_question(self.kiosk_id, request, self.told)
        signed = SignedRequest(
            path=NEWS_PATH,
            kiosk_id=self.kiosk_id,
            request=request,
            body=body,
            signature=keys.sign(self.private_key, NEWS_CONTEXT, body),
        )
        try:
            reply = self.link.exchange(signed)
            if reply.status in (404, 405):
                return UNKNOWN_THERE_S
            if reply.status != 200:
                return self._failed(reply.retry_after_s)
            offers = read_answer(reply.body, request)
        except (LinkError, WireError) as error:
            log.debug("no news", error=str(error))
            return self._failed(None)
        self._backoff.succeeded()
        if offers != self.told:
            self.told = offers
            self.tell(offers)
        return AT_MOST_EVERY_S

    def _failed(self, retry_after_s: float | None) -> float:
        return max(AT_MOST_EVERY_S, self._backoff.failed(0.0, retry_after_s=retry_after_s))

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                wait_s = self.ask()
            except Exception as error:  # noqa: BLE001 - the thread's top loop: it is told, and asks again
                log.error("news_failed", error=str(error))
                wait_s = RETRY_CAP_S
            self._stopping.wait(wait_s)
        self.link.close()
