"""Who had a gate's console when on a day, and how long nobody had it. Pure.

From the kiosk's ``shift`` records (``docs/formats.md``), its ``boot`` records, which end each log-in that a killed gate
could not end itself, and the moments at which it decided on somebody or is known to have run. A log-in without an end
lasts 12 hours at most, as at the kiosk. A gate that started again after a silence of more than 15 minutes may have been
off meanwhile: of that time nothing is said, neither that somebody was there nor that nobody was. The day ends with the
last that was heard of the gate.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

S = 1_000_000
SHIFT_US = 12 * 3600 * S
"""A log-in at the kiosk's console ends by itself after so long."""
SILENCE_US = 15 * 60 * S
NOTICED_US = 60 * S
"""A shorter vacancy (one guard locks, the next logs in) gets no line of its own; it counts in the sum."""

BEGINS = frozenset({"logged_in", "unlocked", "handed_over"})
ENDS = frozenset({"logged_out", "idle_locked", "shift_ended", "replaced", "displaced", "stopped"})
LOCKED_OUT = "locked_out"


class Post(StrEnum):
    """What a line of the day tells of the console."""

    GUARD = "guard"
    NOBODY = "nobody"
    SILENT = "silent"


@dataclass(frozen=True, slots=True)
class Shift:
    """One ``shift`` record: when (UTC microseconds), what, by whom, of which log-in."""

    at_us: int
    event: str
    guard: str
    session: str

    @classmethod
    def of(cls, at_us: int, facts: Mapping[str, Any]) -> Shift:
        """The shift of a record's facts; what is missing or no text is ""."""
        event, guard, session = (
            text[:64] if isinstance(text := facts.get(name), str) else "" for name in ("event", "guard", "session")
        )
        return cls(at_us, event, guard, session)


@dataclass(slots=True)
class Signs:
    """What one kiosk let hear: shift records and starts in any order, and moments at which it was certainly running.

    ``moments_us`` are passages, ``alive_us`` what starts say of the run before them. They reach beyond the day: log-ins
    12 hours back, starts and the nearest moments a day either way. ``heard_us`` is
    when the kiosk was last heard of at all.
    """

    shifts: list[Shift] = field(default_factory=list)
    boots_us: list[int] = field(default_factory=list)
    moments_us: list[int] = field(default_factory=list)
    alive_us: list[int] = field(default_factory=list)
    heard_us: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """One line: from when to when, and how many passages there were; ``guard`` and ``how`` it ended only of a guard.

    ``how`` is the event that ended the log-in, ``boot`` where the gate started anew, "" at the edge of the day.
    """

    kiosk_id: str
    post: Post
    from_us: int
    to_us: int
    guard: str = ""
    how: str = ""
    passages: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class DutyDay:
    """A kiosk's day: its lines in order, how long nobody had the console, and lock-outs by login ("" unknown names)."""

    kiosk_id: str
    stretches: tuple[Stretch, ...]
    vacant_us: int
    lock_outs: tuple[tuple[str, int], ...]


def duty_day(kiosk_id: str, signs: Signs, *, from_us: int, to_us: int) -> DutyDay:
    """The day ``from_us`` to ``to_us`` of one kiosk."""
    moments = sorted(signs.moments_us)
    heard = sorted([*moments, *signs.alive_us, *(shift.at_us for shift in signs.shifts), *signs.boots_us])
    all_day = bisect_left(moments, to_us)
    to_us = max(from_us, min(to_us, max([signs.heard_us, *heard[-1:]])))
    silences = _silences(heard, signs.boots_us, from_us)
    watches = _watches(kiosk_id, signs, heard)
    known = [_cut(watch, from_us, to_us) for watch in _joined(watches)]
    guards = [watch for watch in known if watch.from_us < watch.to_us]
    silent = [
        _cut(Stretch(kiosk_id=kiosk_id, post=Post.SILENT, from_us=begin, to_us=end), from_us, to_us)
        for begin, end in silences
    ]
    silent = [stretch for stretch in silent if stretch.from_us < stretch.to_us]
    vacant = [
        Stretch(kiosk_id=kiosk_id, post=Post.NOBODY, from_us=begin, to_us=end)
        for begin, end in _between([(s.from_us, s.to_us) for s in (*guards, *silent)], from_us, to_us)
    ]
    shown = [*guards, *silent, *(stretch for stretch in vacant if stretch.to_us - stretch.from_us >= NOTICED_US)]
    return DutyDay(
        kiosk_id=kiosk_id,
        stretches=tuple(
            replace(
                each,
                # The line that ends with the last sign has that sign in it.
                passages=(all_day if each.to_us == to_us else bisect_left(moments, each.to_us))
                - bisect_left(moments, each.from_us),
            )
            for each in sorted(shown, key=lambda each: (each.from_us, each.to_us, each.guard))
        ),
        vacant_us=sum(stretch.to_us - stretch.from_us for stretch in vacant),
        lock_outs=_lock_outs(signs.shifts, from_us, to_us),
    )


def _watches(kiosk_id: str, signs: Signs, heard: Sequence[int]) -> list[Stretch]:
    ends = {shift.session: shift for shift in signs.shifts if shift.event in ENDS}
    boots = sorted(signs.boots_us)
    watches = []
    for shift in signs.shifts:
        if shift.event in BEGINS:
            to_us, how = _end(shift, ends.get(shift.session), boots, heard)
            watches.append(
                Stretch(
                    kiosk_id=kiosk_id,
                    post=Post.GUARD,
                    from_us=shift.at_us,
                    to_us=to_us,
                    guard=shift.guard,
                    how=how,
                )
            )
    return watches


def _end(shift: Shift, end: Shift | None, boots: Sequence[int], heard: Sequence[int]) -> tuple[int, str]:
    """When a log-in ended, and by what; without an end of its own the next start ends it at the last sign before."""
    limit_us = shift.at_us + SHIFT_US
    next_boot = bisect_left(boots, shift.at_us + 1)
    boot_us = boots[next_boot] if next_boot < len(boots) else None
    if end is not None and shift.at_us <= end.at_us:
        return min(end.at_us, limit_us), end.event
    if boot_us is not None and boot_us <= limit_us:
        last_us = heard[bisect_left(heard, boot_us) - 1]
        return (boot_us if boot_us - last_us <= SILENCE_US else max(last_us, shift.at_us)), "boot"
    return limit_us, ""


def _silences(heard: Sequence[int], boots: Iterable[int], from_us: int) -> list[tuple[int, int]]:
    """The stretches before a start in which the gate may have been off."""
    found = []
    for boot_us in boots:
        before = bisect_left(heard, boot_us)
        last_us = heard[before - 1] if before else min(from_us, boot_us)
        if boot_us - last_us > SILENCE_US:
            found.append((last_us, boot_us))
    return found


def _joined(watches: Iterable[Stretch]) -> list[Stretch]:
    """One guard's log-ins that overlap, or follow each other within a minute, are one stretch."""
    by_guard: dict[str, list[Stretch]] = {}
    for watch in sorted(watches, key=lambda watch: watch.from_us):
        mine = by_guard.setdefault(watch.guard, [])
        if mine and watch.from_us - mine[-1].to_us < NOTICED_US:
            last = mine[-1]
            later = watch if watch.to_us >= last.to_us else last
            mine[-1] = replace(last, to_us=later.to_us, how=later.how)
        else:
            mine.append(watch)
    return [watch for mine in by_guard.values() for watch in mine]


def _cut(stretch: Stretch, from_us: int, to_us: int) -> Stretch:
    end_us = min(stretch.to_us, to_us)
    how = stretch.how if stretch.to_us <= to_us else ""
    return replace(stretch, from_us=max(stretch.from_us, from_us), to_us=end_us, how=how)


def _between(taken: Iterable[tuple[int, int]], from_us: int, to_us: int) -> list[tuple[int, int]]:
    """What is left of the day."""
    left, at_us = [], from_us
    for begin, end in sorted(taken):
        if begin > at_us:
            left.append((at_us, begin))
        at_us = max(at_us, end)
    return [*left, (at_us, to_us)] if at_us < to_us else left


def _lock_outs(shifts: Iterable[Shift], from_us: int, to_us: int) -> tuple[tuple[str, int], ...]:
    counts: dict[str, int] = {}
    for shift in shifts:
        if shift.event == LOCKED_OUT and from_us <= shift.at_us < to_us:
            counts[shift.guard] = counts.get(shift.guard, 0) + 1
    return tuple(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
