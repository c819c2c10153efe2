"""From three finder patterns to the code's modules, drawn as a clean picture for a reader's error correction to judge.

:mod:`drivers.qr_warp` lays the grid over tilted, curled and crumpled sheets, :mod:`drivers.qr_regrow` mends it where
it slipped; here the modules are decided: brightness at each one's middle against the neighbourhood; what every code
of this size must show is drawn as it must be (:mod:`drivers.qr_symbol`), the format as its nearest valid word.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from drivers import qr_erasures
from drivers.opencv import cv2
from drivers.qr_clock import FrameClock
from drivers.qr_finders import Gray, Triple
from drivers.qr_regrow import regrown
from drivers.qr_symbol import function_match, layout_of, picture
from drivers.qr_vote import Bits, Count
from drivers.qr_warp import PX, Map, first_map, refine, straighten, versions

Corners = tuple[tuple[float, float], ...]


def levels(drawn: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(n, n): brightness in the middle of each module."""
    inner = [drawn[row::PX, column::PX] for row in (1, 2) for column in (1, 2)]
    return np.asarray(sum(part.astype(np.float32) for part in inner) / np.float32(4), np.float32)


def thresholds(values: NDArray[np.float32], reach: int) -> NDArray[np.float32]:
    """Halfway between the darkest and the lightest module within ``reach``, smoothed."""
    kernel = np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)
    low, high = cv2.erode(values, kernel), cv2.dilate(values, kernel)
    return np.asarray(cv2.GaussianBlur((low + high) / 2, (0, 0), reach * 0.7), np.float32)


@dataclass(frozen=True, slots=True)
class Reading:
    """One attempt at a code's modules: clean picture, place, how well what is known beforehand fits (0 to 1), and the
    brightnesses (n, n) it was decided from."""

    picture: Gray
    corners: Corners
    match: float
    version: int
    values: NDArray[np.float32]


def equalised(values: NDArray[np.float32], amount: float) -> NDArray[np.float32]:
    """What blur carried over from the four neighbours, taken back: ``amount`` times the difference to them."""
    cross = np.array([[0, 0.25, 0], [0.25, 0, 0.25], [0, 0.25, 0]], np.float32)
    around = np.asarray(cv2.filter2D(values, -1, cross), np.float32)
    return np.asarray(values + amount * (values - around), np.float32)


# (reach of the threshold in modules, what is taken back of the blur), the likeliest first
_ATTEMPTS = ((3, 0.0), (6, 0.0), (4, 0.7), (4, 1.5))


def likeness(gray: Gray, triple: Triple) -> float:
    """How well what is known beforehand fits before anything is refined: to choose among guessed triples."""
    version = versions(gray, triple)[0]
    values = levels(straighten(gray, first_map(gray, triple, 17 + 4 * version)))
    return function_match(values < thresholds(values, 4), version)


def _attempts(gray: Gray, grid: Map, version: int) -> Iterator[Reading]:
    """Attempts with one map: with less and more taken back of the blur."""
    values = levels(straighten(gray, grid))
    for reach, amount in _ATTEMPTS:
        sharp = equalised(values, amount) if amount else values
        dark = sharp < thresholds(sharp, reach)
        match = function_match(dark, version)
        yield Reading(picture(layout_of(dark, version).dark), _corners(grid), match, version, values)
        if match < 0.72:
            break


def _corners(grid: Map) -> Corners:
    return tuple((float(x), float(y)) for x, y in (grid[r, c] for r, c in ((0, 0), (0, -1), (-1, -1), (-1, 0))))


def readings(gray: Gray, triple: Triple, clock: FrameClock) -> Iterator[Reading]:
    """Attempts at the code of a triple, the likeliest first, as far as the frame's budget goes; the caller stops at
    the first that can be read."""
    for version in versions(gray, triple):
        size = 17 + 4 * version
        pixels = (size * PX) ** 2
        if not clock.affords("refine", pixels):
            return
        with clock.spend("refine", pixels):
            grid = refine(gray, first_map(gray, triple, size))
        first = next(_attempts(gray, grid, version))
        match = first.match
        yield first
        if match > 0.85:
            for better in regrown(gray, grid, clock):
                grid = better
                yield next(_attempts(gray, grid, version))
        for reading in islice(_attempts(gray, grid, version), 1, None):
            match = max(match, reading.match)
            yield reading
        if match > 0.85:
            yield from _without_spoilt(next(_attempts(gray, grid, version)), clock)
        if match > 0.93:
            break  # this is its size, whether it can be read or not


def _without_spoilt(base: Reading, clock: FrameClock) -> Iterator[Reading]:
    """Attempts that give up patches of glare or cover instead of taking them for data."""
    dark = base.values < thresholds(base.values, 3)
    shown = layout_of(dark, base.version).dark
    for reach in (4, 3):
        yield from _without(qr_erasures.spoilt(shown, reach), dark, base, clock)


def _without(lost: Bits, dark: Bits, base: Reading, clock: FrameClock) -> Iterator[Reading]:
    """The attempt that fills in lost modules; none where it cannot be done, or not in time."""
    pixels = lost.size * PX**2
    if not clock.affords("erasures", pixels):
        return
    with clock.spend("erasures", pixels):
        layout = layout_of(dark, base.version)
        modules = qr_erasures.filled(layout.dark, base.version, layout.format_word, layout.free, lost)
    if modules is not None:
        yield replace(base, picture=picture(modules), match=1.0)


def counted(count: Count, base: Reading, clock: FrameClock) -> Iterator[Reading]:
    """Attempts with what several frames say together; ``base`` is the newest one's."""
    yield replace(base, picture=picture(layout_of(count.dark, base.version).dark))
    yield from _without(count.doubtful, count.dark, base, clock)
