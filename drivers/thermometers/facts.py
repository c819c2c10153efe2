"""What the floors above must know of a sensor model beside its readings."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class SensorFacts:
    """A sensor model as its maker describes it; temperatures in degrees Celsius.

    ``object_range_c`` and ``ambient_range_c`` are inclusive: a good frame outside them is a fault, not a reading.
    ``accuracy_c`` is the maker's claim, not ours. ``stuck_after_frames``: so many identical readings in a row
    (object and ambient) do not happen with a living sensor; ``kiosk/screening.py`` flags them.
    """

    model: str
    rate_hz: float
    object_range_c: tuple[float, float]
    ambient_range_c: tuple[float, float]
    accuracy_c: float
    resolution_c: float
    stuck_after_frames: int = 20
