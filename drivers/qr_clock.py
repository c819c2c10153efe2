"""What is left of a frame's budget, and what each step of reading costs on this machine."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from drivers.qr_looks import HALF, RESCUES, STRETCH

_STRETCH = 4.0
COSTS_MS = {
    "rest": 5.0,
    "finders": 8.0,
    "pairs": 10.0,
    "refine": 120.0,
    "regrow": 110.0,
    "erasures": 40.0,
    **{look.name: look.cost_ms for look in (HALF, STRETCH, *RESCUES)},
}
"""Milliseconds of each step for a million pixels (of the straightened picture for the last three before the looks),
to begin with."""
_FLOOR, _FLOORS = 150_000, {"refine": 15_000, "regrow": 15_000, "erasures": 15_000}
# pixels below which a step costs no less


class FrameClock:
    """What is left of a frame's budget, and what each look costs on this machine.

    Counted in the thread's processor time, so that another program's turn on the core does not blind the gate; but
    by the clock on the wall no frame takes more than :data:`_STRETCH` times its budget.
    """

    def __init__(self, budget_s: float, costs: dict[str, float]) -> None:
        self._end_ns = time.thread_time_ns() + int(budget_s * 1e9)
        self._wall_end_ns = time.monotonic_ns() + int(_STRETCH * budget_s * 1e9)
        self._costs = costs

    def left_ms(self) -> float:
        """Milliseconds, negative when the budget is spent."""
        return min(self._end_ns - time.thread_time_ns(), self._wall_end_ns - time.monotonic_ns()) / 1e6

    def cut(self, most_ms: float) -> None:
        """Leave at most so much from now on."""
        self._end_ns = min(self._end_ns, time.thread_time_ns() + int(most_ms * 1e6))

    def affords(self, name: str, pixels: int) -> bool:
        """Whether a step would end in time. One that never does is thought a little cheaper each time, and so tried
        again some day: the machine may have been busy when it was measured."""
        cost = self._costs.get(name, COSTS_MS[name])
        if cost * max(pixels, _FLOORS.get(name, _FLOOR)) / 1e6 < self.left_ms():
            return True
        self._costs[name] = 0.97 * cost
        return False

    @contextmanager
    def spend(self, name: str, pixels: int) -> Iterator[None]:
        """Remember what this step takes: a moving mean, which one slow turn does not upset."""
        began_ns = time.thread_time_ns()
        yield
        # nanoseconds a pixel are milliseconds a million
        cost = (time.thread_time_ns() - began_ns) / max(pixels, _FLOORS.get(name, _FLOOR))
        known = self._costs.get(name, COSTS_MS[name])
        self._costs[name] = 0.85 * known + 0.15 * min(cost, 3 * known)
