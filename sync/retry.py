"""When to try again: exponential back-off with full jitter, and no limit on tries. Pure.

Full jitter (Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015) spreads the kiosks of a city
that all lost the central at the same moment; ``Retry-After`` of the central is a floor under the drawn delay.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

BASE_S = 1.0
CAP_S = 300.0
MAX_RETRY_AFTER_S = 3600.0


@dataclass(slots=True)
class Backoff:
    """The state of one link: how often it failed in a row, and when it may be tried next.

    ``uniform(low, high)`` draws the jitter. Times are seconds of any clock that never goes back.
    """

    uniform: Callable[[float, float], float]
    base_s: float = BASE_S
    cap_s: float = CAP_S
    failures: int = 0
    not_before_s: float = float("-inf")
    ordered_s: float = float("-inf")

    def succeeded(self) -> None:
        """The link works: the next failure starts from the shortest delay again."""
        self.failures = 0
        self.not_before_s = float("-inf")
        self.ordered_s = float("-inf")

    def failed(self, now_s: float, *, retry_after_s: float | None = None) -> float:
        """Note a failure at ``now_s``; returns when the next try is due.

        The delay is uniform in 0..min(cap, base x 2^failures), and not before ``retry_after_s`` (0 to 3600 s).
        """
        ceiling_s = min(self.cap_s, self.base_s * 2.0 ** min(self.failures, 32))
        self.failures += 1
        delay_s = self.uniform(0.0, ceiling_s)
        if retry_after_s is not None:
            floor_s = min(max(retry_after_s, 0.0), MAX_RETRY_AFTER_S)
            self.ordered_s = now_s + floor_s
            delay_s += floor_s
        self.not_before_s = now_s + delay_s
        return self.not_before_s

    def urgent_at_s(self, now_s: float) -> float:
        """When something urgent may be tried: at once, unless the central itself ordered a wait."""
        return max(now_s, self.ordered_s)
