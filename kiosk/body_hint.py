"""The figure of a module that tells nothing but its own "body" temperature: shown to the guard as a hint. Pure.

Such a module bends what it saw towards normal (``docs/temperature.md``), so no verdict rests on it. The hint is the
median of the last five figures within 2.6 s that lie within 0.3 degC of each other; it is gone when they stop.
"""

from __future__ import annotations

from statistics import median

from drivers.devices import BodyHint

COUNT = 5
SPAN_NS = 2_600_000_000
STALE_NS = 1_500_000_000
MAX_RANGE_C = 0.3
FROM_C, TO_C = 32.0, 43.0


def observe_hint(kept: tuple[BodyHint, ...], hint: BodyHint) -> tuple[BodyHint, ...]:
    """The newest figures, as many as a hint needs; one outside 32 to 43 degC says that nobody is there."""
    if not FROM_C <= hint.body_c <= TO_C:
        return ()
    return (*(seen for seen in kept if hint.at_ns - seen.at_ns <= SPAN_NS), hint)[-COUNT:]


def steady_hint_c(kept: tuple[BodyHint, ...], now_ns: int) -> float | None:
    """The hint in degrees Celsius, to a tenth; None while the figures are too few, too far apart or too old."""
    figures = [seen.body_c for seen in kept]
    if len(kept) < COUNT or now_ns - kept[-1].at_ns > STALE_NS or max(figures) - min(figures) > MAX_RANGE_C:
        return None
    return round(median(figures), 1)
