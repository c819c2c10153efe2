"""Where a code's grid lies in the picture, on sheets that are tilted, curled or crumpled.

A reader that lays one perspective over the code fails as soon as the sheet bends by half a module. Here:

1. *First map.* Each finder pattern gives its place and its two module vectors; a bicubic (Ferguson) patch through
   the corners with these slopes follows the bend between them. The fourth corner comes from the alignment pattern
   next to it, or from the slopes of its neighbours.
2. *Phase.* The code is drawn straight with the map, four pixels a module. Edges between modules can only lie on
   the lines of the grid, so the local phase of the edges against the grid tells how far the map is off, everywhere
   where there is print and not only at alignment patterns. The map is corrected, and again.

A map is (size + 1, size + 1, 2): where in the picture the corners of the modules lie, x and y in pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drivers.opencv import cv2
from drivers.qr_finders import Finder, Floats, Gray, Triple
from drivers.qr_symbol import VERSION_WORDS

PX = 4
"""Pixels a module in the straightened picture."""

Map = NDArray[np.float32]

_TWO_PI = 2 * np.pi


def _sample(gray: Gray, points: Floats) -> NDArray[np.float32]:
    """Brightness at (..., 2) points in pixels (the middle of the first pixel is 0.5, 0.5)."""
    flat = np.asarray(points, np.float32) - np.float32(0.5)
    return np.asarray(
        cv2.remap(gray, flat[..., 0], flat[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.float32
    )


def read_version(gray: Gray, triple: Triple) -> int | None:
    """The version written beside a far finder (7 and above), None where neither copy is near a valid word."""
    best = (4, 0)
    for finder, transposed in ((triple.top_right, False), (triple.bottom_left, True)):
        long, short = (finder.down, finder.across) if transposed else (finder.across, finder.down)
        rows, columns = np.mgrid[0:6, 0:3]
        points = finder.middle + (columns[..., None] - 7.0) * long + (rows[..., None] - 3.0) * short
        values = _sample(gray, points)
        dark = values < (values.min() + values.max()) / 2
        word = int((dark.ravel() << np.arange(18)).sum())
        distances = np.array([int(each).bit_count() for each in VERSION_WORDS ^ word])
        best = min(best, (int(distances.min()), 7 + int(distances.argmin())))
    return best[1] or None


def versions(gray: Gray, triple: Triple) -> list[int]:
    """The versions to try, the likeliest first."""
    guess = (triple.modules - 17) / 4
    near = sorted(range(1, 41), key=lambda version: abs(version - guess))[:3]
    if guess > 5.5:
        written = read_version(gray, triple)
        if written is not None and abs(written - guess) < max(2.5, 0.3 * guess):
            return [written, *[version for version in near if version != written][:1]]
    return near


@dataclass(frozen=True, slots=True)
class Corner:
    """A place in the picture and what one module spans there; ``seen`` or only guessed."""

    at: Floats
    across: Floats
    down: Floats
    seen: bool = True


def _fourth(gray: Gray, triple: Triple, size: int) -> Corner:
    """The point (size - 6.5, size - 6.5), where versions above 1 have an alignment pattern."""
    tl, tr, bl = triple.top_left, triple.top_right, triple.bottom_left
    far = size - 10.0  # from the finders' middles at 3.5 to 6.5 before the end
    across = bl.across + (tr.across - tl.across) * 0.7
    down = tr.down + (bl.down - tl.down) * 0.7
    straight = tr.middle + bl.middle - tl.middle - 3 * (across + down)
    # where the right edge, followed down, meets the lower edge, followed to the right
    matrix = np.column_stack([tr.down, -bl.across])
    guesses = [straight]
    if abs(np.linalg.det(matrix)) > 1e-6:
        t, s = np.linalg.solve(matrix, bl.middle - tr.middle)
        if 0.6 * far < t < 1.6 * far and 0.6 * far < s < 1.6 * far:
            guesses.append(tr.middle + t * tr.down - 3 * (across + down))
            guesses.append((guesses[0] + guesses[1]) / 2)
    guess = guesses[-1]
    found = _alignment_near(gray, guess, across, down, reach=3.0 + 0.07 * size) if size > 21 else None
    return Corner(guess if found is None else found, across, down, found is not None)


def _with_third(triple: Triple, corner: Corner, size: int) -> Triple:
    """The triple with its lost finder where perspective through the other two and the fourth corner has it.

    A parallelogram, which :func:`drivers.qr_finders.pairs` completes them by, is off by modules when seen at a slant.
    """
    last = size - 3.5
    finders = {(3.5, 3.5): triple.top_left, (last, 3.5): triple.top_right, (3.5, last): triple.bottom_left}
    lost = [place for place, finder in finders.items() if finder.strength == 0]
    if len(lost) != 1 or not corner.seen:
        return triple
    modules = [np.array([size - 6.5, size - 6.5])]
    points = [corner.at]
    for place, finder in finders.items():
        if finder.strength:
            for x, y in ((-3.5, -3.5), (3.5, -3.5), (3.5, 3.5), (-3.5, 3.5)):
                modules.append(np.array([place[0] + x, place[1] + y]))
                points.append(finder.middle + x * finder.across + y * finder.down)
    plane, _ = cv2.findHomography(np.array(modules), np.array(points))
    if plane is None:
        return triple
    x, y = lost[0]
    around = np.array([[[x, y], [x + 0.5, y], [x - 0.5, y], [x, y + 0.5], [x, y - 0.5]]])
    middle, right, left, below, above = cv2.perspectiveTransform(around, plane)[0]
    across, down = np.asarray(right - left, np.float64), np.asarray(below - above, np.float64)
    third = Finder(np.asarray(middle, np.float64), across, down, float(np.hypot(*across) + np.hypot(*down)) / 2, 0)
    finders[x, y] = third
    top_left, top_right, bottom_left = finders.values()
    return Triple(top_left, top_right, bottom_left, triple.modules, triple.misfit)


def _alignment_near(gray: Gray, guess: Floats, across: Floats, down: Floats, reach: float) -> Floats | None:
    """The middle of the alignment pattern that fits best within ``reach`` modules, None when none fits well."""
    per = 3
    half = int((reach + 2.5) * per) + 1
    steps = (np.arange(-half, half + 1)) / per
    points = guess + steps[None, :, None] * across + steps[:, None, None] * down
    patch = _sample(gray, points)
    mark = np.full((5, 5), -1.0, np.float32)
    mark[1:4, 1:4], mark[2, 2] = 1.0, -1.0
    fit = cv2.matchTemplate(patch, np.kron(mark, np.ones((per, per), np.float32)), cv2.TM_CCOEFF_NORMED)
    away = np.hypot(*(np.indices(fit.shape) - (fit.shape[0] - 1) / 2)) / per
    fit = fit - 0.02 * away
    row, column = np.unravel_index(int(fit.argmax()), fit.shape)
    if fit[row, column] < 0.55:
        return None
    centre = (fit.shape[0] - 1) / 2
    return np.asarray(guess + (column - centre) / per * across + (row - centre) / per * down)


def first_map(gray: Gray, triple: Triple, size: int) -> Map:
    """(size + 1, size + 1, 2): where in the picture the corners of the modules lie."""
    corner = _fourth(gray, triple, size)
    triple = _with_third(triple, corner, size)

    def at(finder: Finder) -> Corner:
        return Corner(finder.middle, finder.across, finder.down)

    # the four known points in modules are not a square (3.5 and 6.5): the fourth is led on to 3.5 by its slopes
    last = Corner(corner.at + 3 * (corner.across + corner.down), corner.across, corner.down)
    span = size - 7.0
    corners = [[at(triple.top_left), at(triple.top_right)], [at(triple.bottom_left), last]]
    geometry = np.zeros((4, 4, 2))
    for r in range(2):
        for c in range(2):
            each = corners[r][c]
            geometry[r, c] = each.at
            geometry[r, 2 + c] = each.across * span
            geometry[2 + r, c] = each.down * span
    t = (np.arange(size + 1) - 3.5) / span
    # Hermite's polynomials within the corners, straight on outside them
    inner = np.clip(t, 0, 1)
    basis = np.stack(
        [
            2 * inner**3 - 3 * inner**2 + 1,
            -2 * inner**3 + 3 * inner**2,
            inner**3 - 2 * inner**2 + inner + np.minimum(t, 0),
            inner**3 - inner**2 + np.maximum(t - 1, 0),
        ]
    )
    planes = [basis.T @ geometry[..., k] @ basis for k in (0, 1)]
    return np.dstack(planes).astype(np.float32)


def straighten(gray: Gray, grid: Map) -> NDArray[np.uint8]:
    """The symbol drawn straight with a map, :data:`PX` pixels a module."""
    nodes = grid.shape[0]
    # as ``resize`` counts, the corner of the first module lies half a node in
    spread = cv2.resize(grid - np.float32(0.5), (nodes * PX, nodes * PX), interpolation=cv2.INTER_LINEAR)
    inner = slice(PX // 2, PX // 2 + (nodes - 1) * PX)
    points = np.ascontiguousarray(spread[inner, inner])
    remapped = cv2.remap(gray, points, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)  # type: ignore[call-overload]
    return np.asarray(remapped, np.uint8)


def phase(drawn: NDArray[np.uint8], size: int, axis: int, sigma: float) -> tuple[NDArray[np.float32], ...]:
    """The first harmonic of the edges across ``axis`` (0: along rows) around each module, real and imaginary part,
    and the sum of their strengths. The edge of a spot of glare counts no more than a few others."""
    steep = cv2.convertScaleAbs(cv2.Sobel(drawn, cv2.CV_16S, 1 - axis, axis, ksize=3), alpha=0.25)
    _, steep = cv2.threshold(steep, 3 * cv2.mean(steep)[0] + 1, 0, cv2.THRESH_TRUNC)
    long, short = size * PX, size
    lines = cv2.resize(steep, (long, short) if axis == 0 else (short, long), interpolation=cv2.INTER_AREA)
    lines = lines if axis == 0 else lines.T
    a, b, c, d = (np.asarray(lines[:, k::PX], np.float32) for k in range(PX))
    # cosine and sine of the four pixels' places, at 1/8, 3/8, 5/8 and 7/8 of a module, times the root of two
    parts = ((a - b - c + d), (a + b - c - d), (a + b + c + d) * np.float32(np.sqrt(2)))
    blurred = (
        cv2.GaussianBlur(part if axis == 0 else part.T.copy(), (0, 0), sigma, borderType=cv2.BORDER_CONSTANT)
        for part in parts
    )
    return tuple(np.asarray(part, np.float32) for part in blurred)


def unwrapped(turns: Floats, weight: Floats) -> Floats:
    """The smooth field whose fractional part ``turns`` (-0.5 to 0.5) is, anchored at the three finder patterns.

    Least squares over the differences between neighbours (Poisson's equation with free edges, solved by cosine
    transform); where there is little weight the differences of the solution itself are put in, and again.
    """
    size = turns.shape[0]
    usual = float(np.partition(weight, -weight.size // 4, axis=None)[-weight.size // 4])
    reliable = np.clip(weight / (0.2 * usual + 1e-9), 0, 1) ** 2
    if float((np.abs(turns) * reliable).max()) < 0.3:  # nothing can have turned over: only fill the gaps
        near_by = cv2.GaussianBlur(np.dstack([turns * reliable, reliable]), (0, 0), 2.0)
        filled = near_by[..., 0] / np.maximum(near_by[..., 1], 1e-3)
        return np.asarray(filled + (turns - filled) * reliable)
    down, right = turns[1:] - turns[:-1], turns[:, 1:] - turns[:, :-1]
    steps = (down - np.round(down), right - np.round(right))
    shares = (np.minimum(reliable[:-1], reliable[1:]), np.minimum(reliable[:, :-1], reliable[:, 1:]))
    fields = (np.zeros_like(down), np.zeros_like(right))
    cosines = 2 * np.cos(np.pi * np.arange(size) / size)
    divisor = cosines[:, None] + cosines[None, :] - 4
    divisor[0, 0] = 1
    field = np.zeros_like(turns)
    for _ in range(8):
        flow = [share * step + (1 - share) * own for share, step, own in zip(shares, steps, fields, strict=True)]
        spring = np.zeros_like(turns)
        spring[:-1] += flow[0]
        spring[1:] -= flow[0]
        spring[:, :-1] += flow[1]
        spring[:, 1:] -= flow[1]
        field = cv2.idct(cv2.dct(spring) / divisor)
        fields = (field[1:] - field[:-1], field[:, 1:] - field[:, :-1])
    near = max(2, round(7 * size / (2 * size + 1)))
    corners = np.zeros_like(turns, bool)
    corners[:near, :near] = corners[:near, -near:] = corners[-near:, :near] = True
    field = field - float(np.average((field - turns)[corners], weights=weight[corners] + 1e-9))
    return np.asarray(field + (turns - field - np.round(turns - field)) * reliable)


_SPREADS = (1.0, 1.2, 1.4, 1.4, 1.4)


def refine(gray: Gray, grid: NDArray[np.float32]) -> NDArray[np.float32]:
    """The map corrected by the phase of the edges again and again, until nothing moves by much.

    The first look is the most local: where a sheet bends sharply, a wide one would mix turns of the phase.
    """
    size = grid.shape[0] - 1
    half = size // 4 * 2
    line = np.clip(np.arange(size + 1) * half / size - 0.5, 0, half - 1).astype(np.float32)
    nodes_x, nodes_y = np.tile(line, (size + 1, 1)), np.tile(line[:, None], (1, size + 1))
    columns, rows = np.meshgrid(np.arange(size + 1, dtype=np.float32), np.arange(size + 1, dtype=np.float32))
    for spread in _SPREADS:
        drawn = straighten(gray, grid)
        offsets = []
        for axis in (0, 1):
            real, imaginary, total = (
                cv2.resize(each, (half, half), interpolation=cv2.INTER_AREA)
                for each in phase(drawn, size, axis, spread)
            )
            strength = np.hypot(real, imaginary).astype(np.float64)
            turns = np.arctan2(imaginary, real).astype(np.float64) / _TWO_PI
            offset = unwrapped(turns, strength * strength / np.maximum(total, 1e-3))
            smooth = cv2.GaussianBlur(offset.astype(np.float32), (0, 0), 0.4 * spread)
            offsets.append(np.asarray(cv2.remap(smooth, nodes_x, nodes_y, cv2.INTER_LINEAR), np.float32))
        grid = moved(grid, np.asarray(columns + offsets[0]), np.asarray(rows + offsets[1]))
        if max(float(np.abs(offset).max()) for offset in offsets) < 0.12:
            break
    return grid


def moved(grid: NDArray[np.float32], columns: NDArray[np.float32], rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """The map read at other places; beyond its edge it goes straight on."""
    end = grid.shape[0] - 1
    inside_x, inside_y = np.clip(columns, 0, end), np.clip(rows, 0, end)
    read = cv2.remap(grid, inside_x, inside_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    out = np.asarray(read, np.float32)
    for axis, over in ((1, columns - inside_x), (0, rows - inside_y)):
        slope = np.asarray(cv2.blur(np.gradient(grid, axis=axis).astype(np.float32), (3, 3)), np.float32)
        out = out + over[..., None] * slope
    return out
