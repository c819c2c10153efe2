"""One card at two gates sooner than anybody walks from one to the other: lent, or copied. Pure.

Gates tell each other as it happens where they can (``kiosk/credentials/movements.py``); here it is found afterwards,
for gates that could not talk. Wall clocks of two kiosks differ by a little: a finding is a reason to look, no proof.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

WALK_S = 60
"""Least seconds on foot between two gates of a site, as in the shipped policies (``cards.walk_s``)."""


@dataclass(frozen=True, slots=True)
class Entry:
    """Somebody was let in: the keyed pseudonym, the gate's name, and when (UTC microseconds)."""

    subject: str
    place: str
    at_us: int


def sooner_than_walking(entries: Iterable[Entry], walk_s: int = WALK_S) -> Counter[tuple[str, str]]:
    """How often, by pair of gates in the order of the alphabet. ``entries`` may come in any order."""
    last: dict[str, Entry] = {}
    found: Counter[tuple[str, str]] = Counter()
    for entry in sorted(entries, key=lambda each: each.at_us):
        before = last.get(entry.subject)
        if before is not None and before.place != entry.place and entry.at_us - before.at_us < walk_s * 1_000_000:
            found[min(before.place, entry.place), max(before.place, entry.place)] += 1
        last[entry.subject] = entry
    return found
