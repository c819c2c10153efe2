"""The server-sent events of one page (WHATWG HTML, section 9.2): state, heartbeat, stale, locked.

========= ==================================================================================================
event     meaning
========= ==================================================================================================
hello     first of all: the hub's boot; a page drawn by another boot loads itself anew
state     the page's regions as HTML; id is the hub's event id
alive     nothing new, but the capture loop is publishing (every 5 s)
stale     the web server lives and the capture loop does not: the page must say "not live"
locked    the guard's session has ended: the console must go to its lock page
========= ==================================================================================================

A page that hears neither ``state`` nor ``alive`` for 8 s calls itself not live.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from typing import Any

from fastapi import Request
from fastapi.responses import Response, StreamingResponse

from kiosk.board import KioskView
from kiosk.screens.hub import Hub, Subscription

RETRY_MS = 1000
HEARTBEAT_S = 5.0
STALE_AFTER_S = 8.0

Render = Callable[[KioskView], dict[str, Any]]


def frame(event: str, data: dict[str, Any], event_id: str = "") -> bytes:
    """One event on the wire; JSON keeps line breaks out of ``data``."""
    head = f"id: {event_id}\n" if event_id else ""
    return f"{head}event: {event}\ndata: {json.dumps(data, ensure_ascii=False, separators=(',', ':'))}\n\n".encode()


async def stream(
    hub: Hub,
    subscription: Subscription,
    render: Render,
    *,
    last_event_id: str = "",
    allowed: Callable[[], bool] = lambda: True,
    heartbeat_s: float = HEARTBEAT_S,
) -> AsyncIterator[bytes]:
    """The events of one page until it leaves, its session ends or the hub closes.

    ``last_event_id`` is what the browser sends when it reconnects: a page that already shows the newest state is
    not sent it again. At each heartbeat the page is drawn anew and sent if it changed, since ages and "offline for
    12 minutes" move without any event.
    """
    with subscription:
        yield f"retry: {RETRY_MS}\n".encode() + frame("hello", {"boot": hub.boot})
        shown: dict[str, Any] | None = None
        newest = hub.snapshot()
        if newest and newest.event_id == last_event_id:
            shown = render(newest.view)
        while not hub.closed:
            if not allowed():
                yield frame("locked", {})
                return
            newest, age_s = hub.snapshot(), hub.age_s()
            if newest is None or age_s is None or age_s > STALE_AFTER_S:
                yield frame("stale", {})
            else:
                drawn = render(newest.view)
                if drawn != shown:
                    shown = drawn
                    yield frame("state", drawn, newest.event_id)
                else:
                    yield frame("alive", {})
            await subscription.news(heartbeat_s)


class EventAnswer:
    """Answers a request with the events of its page, with ``heartbeat_s`` between heartbeats. Raises HubFullError."""

    def __init__(self, hub: Hub, *, heartbeat_s: float = HEARTBEAT_S) -> None:
        self._hub = hub
        self._heartbeat_s = heartbeat_s

    def __call__(self, request: Request, draw: Render, *, allowed: Callable[[], bool] = lambda: True) -> Response:
        """The answer, which goes on until the page leaves; see :func:`stream`."""
        events = stream(
            self._hub,
            self._hub.subscribe(),
            draw,
            last_event_id=request.headers.get("last-event-id", "")[:64],
            allowed=allowed,
            heartbeat_s=self._heartbeat_s,
        )
        return StreamingResponse(events, media_type="text/event-stream", headers={"x-accel-buffering": "no"})


def heard(lane: str, passage: str, face: str) -> dict[str, Any]:
    """What a page's sounds go by, for one lane."""
    return {"lane": lane, "passage": passage, "face": str(face)}
