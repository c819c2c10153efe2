"""Who stands before the thermometer, by a distance sensor: in the range, and standing rather than passing by. Pure.

Somebody is there when the readings of the last 300 ms (at least two of them) lie in the range and scatter by less than
15 mm; they have left with the second reading in a row outside the range. 0 mm (no echo, or nearer than the sensor can
measure) is outside. Limits: measurement design in ``docs/temperature.md``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from statistics import pstdev

from drivers.devices import DistanceReading

SPAN_NS = 300_000_000
MIN_READINGS = 2
MAX_SD_MM = 15.0
OUTSIDE_ENDS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class DistanceWatch:
    """``present`` is what the sensor says of now; ``newest`` its readings of the last 300 ms."""

    present: bool = False
    newest: tuple[DistanceReading, ...] = ()
    outside: int = 0


def observe_distance(watch: DistanceWatch, reading: DistanceReading, from_mm: int, to_mm: int) -> DistanceWatch:
    """Take one reading; ``from_mm`` to ``to_mm`` is where a person stands to be measured."""
    if not from_mm <= reading.distance_mm <= to_mm:
        outside = watch.outside + 1
        return replace(watch, newest=(), outside=outside, present=watch.present and outside < OUTSIDE_ENDS)
    # A slow unit speaks every 300 ms: its last two readings count whatever they are apart.
    recent = tuple(seen for seen in watch.newest if reading.at_ns - seen.at_ns <= SPAN_NS) or watch.newest[-1:]
    newest = (*recent, reading)
    stands = len(newest) >= MIN_READINGS and pstdev(seen.distance_mm for seen in newest) < MAX_SD_MM
    return DistanceWatch(present=watch.present or stands, newest=newest)
