"""The hub: newest view only, from any thread, and honest about its age."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from kiosk.board import KioskView
from kiosk.screens.events import stream
from kiosk.screens.hub import MAX_SUBSCRIBERS, Hub, HubFullError
from kiosk.screens.preview import busy_view

VIEW = busy_view(1)


def backlog(count: int) -> KioskView:
    return replace(VIEW, backlog=count)


def draw(view: KioskView) -> dict[str, Any]:
    return {"backlog": view.backlog}


def parse(frame: bytes) -> tuple[str, str, dict[str, Any]]:
    lines = dict(line.split(": ", 1) for line in frame.decode().strip().splitlines())
    return lines["event"], lines.get("id", ""), json.loads(lines["data"])


async def take(hub: Hub, count: int, between: Callable[[int], None] = lambda n: None, **options: Any) -> list[Any]:
    events: list[Any] = []
    async for frame in stream(hub, hub.subscribe(), draw, heartbeat_s=0.01, **options):
        events.append(parse(frame))
        if len(events) == count:
            return events
        between(len(events))
    return events


def test_nothing_is_there_before_the_first_view() -> None:
    """A hub without a view says so instead of inventing one."""
    hub = Hub()
    assert hub.current() is None
    assert hub.age_s() is None


def test_event_ids_move_only_when_something_changed() -> None:
    """The clock alone wakes nobody: a heartbeat of the loop keeps the id."""
    hub = Hub(boot="b")
    ids = []
    for view in (VIEW, replace(VIEW, at_us=VIEW.at_us + 1), backlog(9)):
        hub.publish(view)
        snapshot = hub.snapshot()
        assert snapshot is not None
        ids.append(snapshot.event_id)
        assert hub.current() == view
    assert ids == ["b-1", "b-1", "b-2"]


def test_a_page_gets_the_newest_state_and_then_heartbeats() -> None:
    """The stream opens with hello and the present, then says that it lives."""
    hub = Hub(boot="b")
    hub.publish(backlog(1))
    events = asyncio.run(take(hub, 3))
    assert [event for event, _, _ in events] == ["hello", "state", "alive"]
    assert events[0][2] == {"boot": "b"}
    assert events[1][1:] == ("b-1", {"backlog": 1})


def test_a_slow_page_skips_to_the_present() -> None:
    """Views that came while a browser was stuck are not played back."""
    hub = Hub()
    hub.publish(backlog(1))

    def burst(received: int) -> None:
        if received == 2:
            for count in range(2, 100):
                hub.publish(backlog(count))

    events = asyncio.run(take(hub, 3, burst))
    assert events[2][2] == {"backlog": 99}


def test_a_reconnecting_page_is_not_sent_what_it_shows() -> None:
    """With the newest Last-Event-ID the first answer is a heartbeat."""
    hub = Hub(boot="b")
    hub.publish(backlog(1))
    assert [e[0] for e in asyncio.run(take(hub, 2, last_event_id="b-1"))] == ["hello", "alive"]
    assert [e[0] for e in asyncio.run(take(hub, 2, last_event_id="old-1"))] == ["hello", "state"]


def test_a_silent_capture_loop_is_not_called_live() -> None:
    """The web server's own heartbeat does not cover for a loop that stopped publishing."""
    now_ns = 0
    hub = Hub(clock_ns=lambda: now_ns)
    hub.publish(backlog(1))
    now_ns = int(8.1e9)
    assert [e[0] for e in asyncio.run(take(hub, 2))] == ["hello", "stale"]


def test_an_ended_session_ends_the_stream() -> None:
    """The console of a guard who left learns that it is locked."""
    hub = Hub()
    hub.publish(backlog(1))
    events = asyncio.run(take(hub, 5, allowed=lambda: False))
    assert [e[0] for e in events] == ["hello", "locked"]


def test_publishing_from_another_thread_wakes_the_page() -> None:
    """The capture loop's thread and the web server's loop need no common lock to meet."""
    hub = Hub()
    hub.publish(backlog(1))

    async def wait() -> bool:
        with hub.subscribe() as subscription:
            thread = threading.Thread(target=hub.publish, args=(backlog(2),))
            thread.start()
            woken = await subscription.news(30)
            thread.join()
            return woken

    assert asyncio.run(wait())


def test_closing_ends_every_stream() -> None:
    """A server that stops is not held up by pages that listen."""
    hub = Hub()
    hub.publish(backlog(1))
    events = asyncio.run(take(hub, 9, lambda n: hub.close() if n == 2 else None))
    assert len(events) == 2


def test_pages_beyond_the_limit_are_refused_and_leaving_makes_room() -> None:
    """A page that forgets its streams cannot exhaust the kiosk."""

    async def fill() -> None:
        hub = Hub()
        subscriptions = [hub.subscribe() for _ in range(MAX_SUBSCRIBERS)]
        with pytest.raises(HubFullError):
            hub.subscribe()
        with subscriptions[0]:
            pass
        assert hub.subscribe()

    asyncio.run(fill())


def test_a_page_that_left_before_its_first_byte_takes_no_place() -> None:
    """A stream that was asked for and never begun is forgotten with its request."""

    async def ask_and_leave() -> None:
        hub = Hub()
        hub.publish(VIEW)
        for _ in range(3 * MAX_SUBSCRIBERS):
            stream(hub, hub.subscribe(), draw)

    asyncio.run(ask_and_leave())
