"""Where to look in the next frame of a stream, and whether at all: pure, time is an argument.

A gate camera sees an empty lane nearly all day, so an unchanged picture is decoded two or three times a second and
any movement at once. After a sighting the part of the frame around it is looked at, every third frame the whole.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drivers.opencv import cv2

_NS = 1_000_000_000

Box = tuple[int, int, int, int]
"""Left, top, right, bottom in pixels of the frame."""


@dataclass(frozen=True, slots=True)
class Look:
    """Look at ``box`` (the whole frame when None). ``eager`` allows the costly looks."""

    box: Box | None
    eager: bool


class Gaze:
    """``idle_s``: between looks at an unchanged picture. ``eager_s``: how long after the last movement every
    frame is looked at until one is read. ``follow_s``: how long the place of a sighting is kept."""

    def __init__(self, *, idle_s: float = 0.4, eager_s: float = 2.0, follow_s: float = 1.0) -> None:
        self._idle_ns = int(idle_s * _NS)
        self._eager_ns = int(eager_s * _NS)
        self._follow_ns = int(follow_s * _NS)
        self._seen: NDArray[np.uint8] | None = None  # thinned frame of the last look
        self._shape: tuple[int, ...] = ()
        self._looked_ns = -(1 << 62)
        self._moved_ns = -(1 << 62)
        self._box: Box | None = None
        self._box_ns = 0
        self._read = False
        self._turn = 0

    def next(self, gray: NDArray[np.uint8], at_ns: int) -> Look | None:
        """What to do with this frame; None to let it pass."""
        thinned = np.asarray(cv2.blur(np.ascontiguousarray(gray[::8, ::8]), (3, 3)), np.uint8)
        moved = self._seen is not None and (self._seen.shape != thinned.shape or self._differs(thinned))
        if moved:
            self._moved_ns = at_ns
        if self._shape != gray.shape:  # another mode of the camera: places in the old picture mean nothing in it
            self._shape, self._box = gray.shape, None
        lively = at_ns - self._moved_ns < self._eager_ns
        due = at_ns - self._looked_ns >= self._idle_ns
        if not (moved or due or (lively and not self._read)):
            return None
        self._seen = thinned
        self._looked_ns = at_ns
        self._turn += 1
        following = self._box is not None and at_ns - self._box_ns < self._follow_ns
        box = self._box if following and self._turn % 3 else None
        return Look(box, eager=lively)

    def _differs(self, thinned: NDArray[np.uint8]) -> bool:
        """More than three in a thousand samples changed by more than a sensor's noise."""
        assert self._seen is not None  # noqa: S101 - asked only then
        _, changed = cv2.threshold(cv2.absdiff(self._seen, thinned), 13, 1, cv2.THRESH_BINARY)
        return cv2.countNonZero(changed) > 0.003 * thinned.size

    def saw(self, read: Iterable[Iterable[tuple[float, float]]], shape: tuple[int, ...], at_ns: int) -> None:
        """The corners of the codes that the last look read. (What it could not read is often made of patterns by
        chance, at a wrong place: nothing is followed there.)"""
        corners = [list(each) for each in read]
        self._read = bool(corners)
        if not corners:
            return
        points = np.array([point for each in corners for point in each])
        low, high = points.min(axis=0), points.max(axis=0)
        room = 0.35 * float((high - low).max()) + 24
        left, top = (int(max(0, value)) for value in low - room)
        right, bottom = int(min(shape[1], high[0] + room)), int(min(shape[0], high[1] + room))
        if right - left > 40 and bottom - top > 40:
            self._box, self._box_ns = (left, top, right, bottom), at_ns
