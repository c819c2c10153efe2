"""Fetches what the central offers newer than held: one document a step, a refused one ever more slowly."""

from __future__ import annotations

from sync.downlink import Downlink
from sync.errors import LinkError, WireError
from sync.exchange import Exchange
from sync.trouble import Trouble, Troubles


class DocumentFetcher:
    """Fetches into ``downlink``, what ``exchange`` was offered."""

    def __init__(self, downlink: Downlink, *, exchange: Exchange, troubles: Troubles) -> None:
        self._downlink = downlink
        self._exchange = exchange
        self._troubles = troubles
        self._backoff = exchange.new_backoff()

    def offered(self) -> None:
        """The central offers something else: what was refused is not what is offered now."""
        self._backoff.succeeded()

    def step(self, now_s: float) -> bool | None:
        """Whether a document came; None when there was nothing to ask for, or it is too early."""
        if max(self._backoff.not_before_s, self._exchange.backoff.not_before_s) > now_s:
            return None
        wanted = self._downlink.wanted(self._exchange.offers)
        if not wanted:
            return None
        try:
            self._downlink.fetch(wanted[0], self._exchange.request_id())
        except (LinkError, WireError) as error:
            self._backoff.failed(now_s)
            self._troubles.note(Trouble.DOCUMENT_REFUSED, str(error))
            return False
        self._backoff.succeeded()
        return True
