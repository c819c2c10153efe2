"""Where the capture loop leaves the newest view and the web pages find it.

``publish`` is called from the capture loop's thread and never waits; subscribers live on the web server's event
loop. A subscriber never owns a queue: it is woken and takes the newest view, so a slow or stuck browser costs
nothing and shows the present when it comes back, not the past. Event ids are ``<boot>-<n>``, where ``boot``
changes with each start, so that a page notices a restarted kiosk and an id of the last run never matches.
"""

from __future__ import annotations

import asyncio
import secrets
import threading
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass, replace
from types import TracebackType

from config.errors import GatepostError
from kiosk.board import KioskView

MAX_SUBSCRIBERS = 32


class HubFullError(GatepostError):
    """More pages ask for events than a kiosk has screens."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One published view. ``published_ns`` is monotonic: the age of the view is how far the loop is behind."""

    event_id: str
    view: KioskView
    published_ns: int


class Hub:
    """The newest view, and who wants to hear of the next."""

    def __init__(self, *, clock_ns: Callable[[], int] = time.monotonic_ns, boot: str | None = None) -> None:
        self.boot = boot or secrets.token_hex(4)
        self._clock_ns = clock_ns
        self._lock = threading.Lock()
        self._count = 0
        self._newest: Snapshot | None = None
        # Weak: a stream whose page left before its first byte is dropped without ever being entered.
        self._subscribers: weakref.WeakSet[Subscription] = weakref.WeakSet()
        self._closed = False

    def publish(self, view: KioskView) -> None:
        """Make ``view`` the newest. From any thread; never waits.

        Publish at least every 2 s even when nothing happens: a view older than 8 s is shown as "not live". A view
        that differs from the last in ``at_us`` alone is kept but wakes nobody.
        """
        with self._lock:
            last = self._newest
            changed = last is None or replace(view, at_us=last.view.at_us) != last.view
            self._count += changed
            self._newest = Snapshot(f"{self.boot}-{self._count}", view, self._clock_ns())
            subscribers = tuple(self._subscribers) if changed else ()
        for subscriber in subscribers:
            subscriber.wake()

    def current(self) -> KioskView | None:
        """The newest view, or None before the first."""
        newest = self.snapshot()
        return newest.view if newest else None

    def snapshot(self) -> Snapshot | None:
        """The newest view with its event id and age."""
        with self._lock:
            return self._newest

    def age_s(self) -> float | None:
        """Seconds since the last ``publish``; None before the first."""
        newest = self.snapshot()
        return (self._clock_ns() - newest.published_ns) / 1e9 if newest else None

    @property
    def closed(self) -> bool:
        """True once the server is stopping: every stream ends."""
        return self._closed

    def close(self) -> None:
        """End every subscription, for a server that stops."""
        with self._lock:
            self._closed = True
            subscribers = tuple(self._subscribers)
        for subscriber in subscribers:
            subscriber.wake()

    def subscribe(self) -> Subscription:
        """A subscription for the running event loop, to be used as a context manager.

        Raises HubFullError beyond 32: a page that forgets its streams must not take the others' place.
        """
        subscription = Subscription(self, asyncio.get_running_loop())
        with self._lock:
            if len(self._subscribers) >= MAX_SUBSCRIBERS:
                raise HubFullError(
                    "event stream",
                    seen=f"{len(self._subscribers)} pages already listening",
                    expected=f"at most {MAX_SUBSCRIBERS}",
                    hint="close pages that nobody looks at",
                )
            self._subscribers.add(subscription)
        return subscription

    def _leave(self, subscription: Subscription) -> None:
        with self._lock:
            self._subscribers.discard(subscription)


class Subscription:
    """One page's ear at the hub."""

    def __init__(self, hub: Hub, loop: asyncio.AbstractEventLoop) -> None:
        self._hub = hub
        self._loop = loop
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Say that there is news; from any thread."""
        try:
            self._loop.call_soon_threadsafe(self._woken.set)
        except RuntimeError:  # the web server's loop is closed: nobody is left to tell
            self._hub._leave(self)

    async def news(self, timeout_s: float) -> bool:
        """Wait for the next publication: True when there was one, False when ``timeout_s`` ran out."""
        try:
            await asyncio.wait_for(self._woken.wait(), timeout_s)
        except TimeoutError:
            return False
        self._woken.clear()
        return True

    def __enter__(self) -> Subscription:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._hub._leave(self)
