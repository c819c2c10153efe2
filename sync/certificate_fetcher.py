"""Looks after the pass certificate once an hour; it has weeks left when it is asked for again."""

from __future__ import annotations

import structlog

from kiosk.clock import Instant
from sync.certificate_keeper import CertificateKeeper
from sync.errors import LinkError, WireError
from sync.exchange import Exchange

EVERY_S = 3600.0
log = structlog.get_logger("gatepost.sync")


class CertificateFetcher:
    """Asks for a new certificate when ``keeper`` says that one is due."""

    def __init__(self, keeper: CertificateKeeper, *, exchange: Exchange) -> None:
        self._keeper = keeper
        self._exchange = exchange
        self._due_s = float("-inf")

    def step(self, now: Instant) -> None:
        """Ask if it is time; a failure is logged, and the next hour tries again."""
        now_s = now.mono_ns / 1e9
        if max(self._due_s, self._exchange.backoff.not_before_s) > now_s:
            return
        self._due_s = now_s + EVERY_S
        if not self._keeper.due(now.utc()):
            return
        try:
            self._keeper.fetch(now.utc(), self._exchange.request_id())
        except (LinkError, WireError) as error:
            log.warning("no pass certificate", error=str(error))
