"""HTTP/1.1 that does not wait for ever for a request: for a listener that strangers can reach.

uvicorn waits without end for the first request of a connection and for the rest of one that has begun. Here whoever is
waited for at two looks in a row is dropped; an answer that goes on, such as a page's events, is not waited for.
"""

from __future__ import annotations

import asyncio

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

LOOK_EVERY_S = 15.0


class ImpatientProtocol(H11Protocol):
    """As uvicorn's; a connection that owes a request, or the rest of it, lives 30 s at most."""

    _look_timer: asyncio.TimerHandle | None = None
    _waited: bool = False
    _waited_after: RequestResponseCycle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """TLS stands; from now on something has to come."""
        super().connection_made(transport)
        self._look_later()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody is waited for any more."""
        if self._look_timer is not None:
            self._look_timer.cancel()
        super().connection_lost(exc)

    def _look_later(self) -> None:
        self._look_timer = self.loop.call_later(LOOK_EVERY_S, self._look)

    def _look(self) -> None:
        waits = self.conn.their_state in (h11.IDLE, h11.SEND_BODY)
        if waits and self._waited and self._waited_after is self.cycle:
            self.transport.abort()
            return
        self._waited, self._waited_after = waits, self.cycle
        self._look_later()
