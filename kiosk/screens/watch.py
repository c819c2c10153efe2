"""Whether somebody's browser still paints: heartbeats with a frame counter, and verdicts said to be painted.

A page posts every 5 s how many frames it has painted. A browser that hangs, shows "Aw, Snap" or lost its window
posts nothing, or the same count again: then the age of that screen grows, and the service around it restarts it.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

MAX_SCREENS = 32


@dataclass(frozen=True, slots=True)
class Painted:
    """A verdict reached somebody's eyes: lane, passage and the monotonic instant its page said so."""

    lane: str
    passage: str
    at_ns: int


class BrowserWatch:
    """What the pages said of themselves. Safe from several threads."""

    def __init__(self, clock_ns: Callable[[], int]) -> None:
        self._clock_ns = clock_ns
        self._lock = threading.Lock()
        self._frames: dict[str, tuple[int, int]] = {}
        self._painted: deque[Painted] = deque(maxlen=1000)

    def alive(self, screen: str, frames: int) -> None:
        """A heartbeat of ``screen`` with its frame counter; one that did not move does not count."""
        with self._lock:
            last = self._frames.get(screen)
            if last is not None and last[0] == frames:
                return
            if last is None and len(self._frames) >= MAX_SCREENS:
                self._frames.pop(min(self._frames, key=lambda name: self._frames[name][1]))
            self._frames[screen] = (frames, self._clock_ns())

    def age_s(self, screen: str | None = None) -> float | None:
        """Seconds since ``screen`` (or, without one, any screen) painted; None when none ever did."""
        with self._lock:
            if screen is not None:
                seen = [self._frames[screen][1]] if screen in self._frames else []
            else:
                seen = [at_ns for _, at_ns in self._frames.values()]
        return (self._clock_ns() - max(seen)) / 1e9 if seen else None

    def painted(self, lane: str, passage: str) -> None:
        """A page has painted the verdict of ``passage``."""
        with self._lock:
            self._painted.append(Painted(lane, passage, self._clock_ns()))

    def painted_verdicts(self) -> tuple[Painted, ...]:
        """The last 1000 painted verdicts, oldest first."""
        with self._lock:
            return tuple(self._painted)
