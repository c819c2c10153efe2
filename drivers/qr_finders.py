"""Finder patterns: the three nested squares in a code's corners, found and measured one by one.

ISO/IEC 18004:2015, 6.3.3: a dark 7x7 square, a light 5x5, a dark 3x3, so that every line through the middle cuts
runs of 1:1:3:1:1 modules. Each pattern found gives its middle and the two module vectors *at that corner*: on a
curled or crumpled sheet the three corners of a code disagree, and that disagreement is what
:mod:`drivers.qr_grid` unrolls the sheet with.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from drivers.opencv import cv2

Gray = NDArray[np.uint8]
Floats = NDArray[np.float64]
Field = NDArray[np.float32]
Candidate = tuple[float, float, float, int]
"""x, y, module (all in pixels) and how many lines agree."""

MAX_FINDERS = 9
MAX_CANDIDATES = 40
"""More candidates than this are cut, strongest first: a chequered shirt must not cost the budget."""

_CELL = 4
_RAYS = 32
_SAMPLES = 44
_ANGLES = np.arange(_RAYS) * 2 * np.pi / _RAYS
_DIRECTIONS = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], axis=1)
_TURNS = np.arange(18) * np.pi / 36
_TURNED_SQUARE = 1 / np.maximum(*np.abs([f(_ANGLES[None, :] - _TURNS[:, None]) for f in (np.cos, np.sin)]))
"""(turns, rays): how far the side of a square of 1 lies out along each ray."""


@dataclass(frozen=True, slots=True)
class Finder:
    """A finder pattern: its middle in pixels, and the pixels that one module spans along its two sides."""

    middle: Floats  # (2,)
    across: Floats  # (2,) one module along the code's rows, once it belongs to a triple
    down: Floats  # (2,) one module along the code's columns
    module_px: float
    strength: int

    def enlarged(self, scale: float) -> Candidate:
        """Where to look for this pattern in a larger picture."""
        return float(self.middle[0] * scale), float(self.middle[1] * scale), self.module_px * scale, self.strength


def binary(gray: Gray) -> NDArray[np.bool_]:
    """True where dark against the neighbourhood, which is wide enough for the solid middle of a large pattern."""
    window = max(31, (max(gray.shape) // 10) | 1)
    return np.asarray(cv2.boxFilter(gray, -1, (window, window)), np.int16) - gray > 6


def _runs(dark: NDArray[np.bool_]) -> Floats:
    """(n, 3): x, y and module of every 1:1:3:1:1 run along the rows of ``dark``."""
    height, width = dark.shape
    padded = np.zeros((height, width + 2), np.uint8)
    padded[:, 1:-1] = dark
    flat = padded.ravel()
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1  # even ones begin dark, as every row ends light
    if len(edges) < 6:
        return np.empty((0, 3))
    widths = (edges[1:] - edges[:-1]).astype(np.float32)
    count = (len(edges) - 4) // 2
    lengths = [widths[k : k + 2 * count : 2] for k in range(5)]
    at = np.arange(0, 2 * count, 2)
    module = (lengths[0] + lengths[1] + lengths[2] + lengths[3] + lengths[4]) / 7
    slack = 0.55 * module + 0.6
    good = (np.abs(lengths[2] - 3 * module) < 1.3 * slack + 0.2 * module) & (module >= 1.0)
    for k in (0, 1, 3, 4):
        good &= np.abs(lengths[k] - module) < slack
    start, end = edges[at], edges[at + 5]
    good &= start // (width + 2) == (end - 1) // (width + 2)
    start, end = edges[at[good] + 2], edges[at[good] + 3]
    y = start // (width + 2)
    x = (start + end) / 2 - y * (width + 2) - 1
    return np.stack([x, y + 0.5, module[good]], axis=1)


def candidates(dark: NDArray[np.bool_], step: int, most: int = MAX_CANDIDATES) -> list[Candidate]:
    """(x, y, module, strength) where runs along rows and along columns agree, strongest first.

    Runs are counted in cells of 4x4 pixels, so the cost does not grow with the square of their number. A pattern's
    solid middle is three modules high and wide: fewer than 0.8 modules of agreeing lines are chance (1.4 when only
    the best few are asked for).
    """
    rows = _runs(dark[::step])
    columns = _runs(np.ascontiguousarray(dark[:, ::step].T))
    if len(rows) < 1 or len(columns) < 1:
        return []
    rows[:, 1] = rows[:, 1] * step - (step - 1) / 2
    columns = columns[:, [1, 0, 2]]
    columns[:, 0] = columns[:, 0] * step - (step - 1) / 2
    shape = (dark.shape[0] // _CELL + 1, dark.shape[1] // _CELL + 1)
    lines_r, x, module_r = _gathered(rows, 0, shape)
    lines_c, y, module_c = _gathered(columns, 1, shape)
    lines = np.minimum(lines_r, lines_c)
    module = np.maximum(module_r, module_c)
    enough = np.minimum((0.8 if most == MAX_CANDIDATES else 1.4) * module, 1.5 * _CELL) / step
    peak = (lines >= np.maximum(enough, 1)) & (lines >= cv2.dilate(lines, np.ones((5, 5), np.uint8)))
    peak &= np.minimum(module_r, module_c) > 0.4 * module
    at_y, at_x = np.nonzero(peak)
    strength = np.minimum(lines[peak] * step / np.maximum(module[peak], 1.0), 2.5) * np.sqrt(module[peak])
    order = np.argsort(-strength)[: 2 * most]
    found: list[Candidate] = []
    for k in order:
        cell = (at_y[k], at_x[k])
        each = (float(x[cell]), float(y[cell]), float(module[cell]), int(lines[cell]))
        if all(max(abs(each[0] - o[0]), abs(each[1] - o[1])) > 2.5 * o[2] for o in found):
            found.append(each)
            if len(found) == most:
                break
    return found


def _gathered(hits: Floats, axis: int, shape: tuple[int, int]) -> tuple[Field, Field, Field]:
    """For each cell with its eight neighbours: how many runs, their mean place along ``axis``, their mean module."""
    cell = (hits[:, 1] // _CELL).astype(np.intp) * shape[1] + (hits[:, 0] // _CELL).astype(np.intp)
    sums: list[Field] = []
    for weights in (None, hits[:, axis], hits[:, 2]):
        grid = np.bincount(cell, weights, shape[0] * shape[1]).reshape(shape).astype(np.float32)
        summed = cv2.boxFilter(grid, -1, (3, 3), normalize=False, borderType=cv2.BORDER_CONSTANT)
        sums.append(np.asarray(summed, np.float32))
    some = np.maximum(sums[0], np.float32(0.5))
    place, module = (np.asarray(each / some, np.float32) for each in sums[1:])
    return np.asarray(np.round(sums[0]), np.float32), place, module


def measure(gray: Gray, found: list[Candidate]) -> list[Finder]:
    """The candidates that are patterns, as affine squares, from where 32 rays cross their three edges.

    Single rays may be spoilt by dirt: two in five must show the edges at 1.5 : 2.5 : 3.5 modules, and the fit drops
    those that disagree.
    """
    if not found:
        return []
    middles = np.array([each[:2] for each in found])
    reach = 6.5 * np.array([each[2] for each in found])
    radii = reach[:, None, None] * (np.arange(_SAMPLES) / (_SAMPLES - 1))
    px = (middles[:, 0, None, None] + _DIRECTIONS[None, :, :1] * radii - 0.5).astype(np.float32)
    py = (middles[:, 1, None, None] + _DIRECTIONS[None, :, 1:] * radii - 0.5).astype(np.float32)
    flat = (len(found) * _RAYS, _SAMPLES)
    rays = cv2.remap(
        gray, px.reshape(flat), py.reshape(flat), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    ).reshape(len(found), _RAYS, _SAMPLES)
    near = np.sort(rays[:, ::2, : int(_SAMPLES * 0.75) : 2].reshape(len(found), -1), axis=1)
    low = near[:, int(0.15 * near.shape[1])].astype(np.float32)
    high = near[:, int(0.85 * near.shape[1])].astype(np.float32)
    threshold = (low + high) / 2
    dark = rays < threshold[:, None, None]
    change = dark[..., 1:] != dark[..., :-1]
    order = np.cumsum(change, axis=2, dtype=np.int8)
    edges = np.full((len(found), _RAYS, 3), np.nan)
    for k in range(3):
        hit = change & (order == k + 1)
        where = hit.argmax(axis=2)
        a = np.take_along_axis(rays, where[..., None], 2)[..., 0].astype(np.float32)
        b = np.take_along_axis(rays, where[..., None] + 1, 2)[..., 0].astype(np.float32)
        part = np.clip((threshold[:, None] - a) / np.where(a == b, 1.0, b - a), 0, 1)
        edge = (where + part) / (_SAMPLES - 1) * reach[:, None]
        edges[..., k] = np.where(hit.any(axis=2) & dark[..., 0], edge, np.nan)
    # edges: 3x3 to light (1.5 modules out), light to ring (2.5), ring to quiet zone (3.5)
    with np.errstate(invalid="ignore"):
        right = (np.abs(edges[..., 1] / edges[..., 0] - 5 / 3) < 0.45) & (
            np.abs(edges[..., 2] / edges[..., 0] - 7 / 3) < 0.7
        )
    good = (right.sum(axis=1) >= 0.4 * _RAYS) & (high - low >= 8)
    chosen = np.flatnonzero(good & (np.isfinite(edges).sum(axis=(1, 2)) >= 40))
    return [
        Finder(middles[k] + middle, across, down, module_px, found[k][3])
        for k, (middle, across, down, module_px) in _squares(edges[chosen], chosen)
    ]


def _median(values: Floats, valid: NDArray[np.bool_], amount: NDArray[np.intp]) -> Floats:
    """Of the valid values in each row; ``amount`` is how many they are, at least one."""
    ordered = np.sort(np.where(valid, values, np.inf), axis=1)
    rows = np.arange(len(ordered))
    return np.asarray((ordered[rows, (amount - 1) // 2] + ordered[rows, amount // 2]) / 2)


def _squares(edges: Floats, names: NDArray[np.intp]) -> Iterator[tuple[int, tuple[Floats, Floats, Floats, float]]]:
    """Least squares for ``max(|u|, |v|) = out`` with (u, v) affine in the pixel, beginning at the best turn; for all
    candidates (n, rays, 3) at once. Gives name and (middle, one module across, one module down, mean module)."""
    count = len(edges)
    if not count:
        return
    out = np.tile([1.5, 2.5, 3.5], _RAYS)
    valid = np.isfinite(edges).reshape(count, -1)
    points = np.nan_to_num(edges[..., None] * _DIRECTIONS[None, :, None, :]).reshape(count, -1, 2)
    amount = valid.sum(axis=1)
    radius = np.hypot(points[..., 0], points[..., 1]) / out
    size = _median(radius, valid, amount) / 1.12
    expected = np.repeat(_TURNED_SQUARE, 3, axis=1)  # a ray's three edges
    misfit = np.abs((radius / size[:, None])[:, None] - expected) * valid[:, None]
    turn = _TURNS[misfit.sum(axis=2).argmin(axis=1)]
    design = np.concatenate([points, np.ones((*points.shape[:2], 1))], axis=2)
    planes = np.zeros((count, 2, 3))
    planes[:, 0, 0] = planes[:, 1, 1] = np.cos(turn) / size
    planes[:, 0, 1], planes[:, 1, 0] = np.sin(turn) / size, -np.sin(turn) / size
    keep, sound = valid.copy(), np.ones(count, bool)
    residual = np.zeros_like(radius)
    for _ in range(4):
        uv = design @ planes.transpose(0, 2, 1)
        on_u = np.abs(uv[..., 0]) > np.abs(uv[..., 1])
        mine = np.stack([on_u & keep, ~on_u & keep], axis=1).astype(np.float64)  # (n, side, points)
        part = mine[:, :, None] * design.transpose(0, 2, 1)[:, None]
        moments = part @ design[:, None]
        sound &= (mine.sum(axis=2) >= 8).all(axis=1) & (np.abs(np.linalg.det(moments)) > 1e-9).all(axis=1)
        moments[~sound] = np.eye(3)
        wanted = part @ (np.sign(uv).transpose(0, 2, 1) * out)[..., None]
        planes = np.linalg.solve(moments, wanted)[..., 0]
        residual = np.abs(np.abs(design @ planes.transpose(0, 2, 1)).max(axis=2) - out)
        usual = _median(residual, valid, amount)
        keep = valid & (residual < np.maximum(0.25, 2.5 * usual)[:, None])
    sound &= (usual <= 0.28) & (keep.sum(axis=1) >= 0.5 * amount)
    sound &= np.abs(np.linalg.det(planes[:, :, :2])) > 1e-4
    for k in map(int, np.flatnonzero(sound)):
        back = np.asarray(np.linalg.inv(planes[k, :, :2]), np.float64)
        lengths = np.linalg.norm(back, axis=0)
        if lengths.min() >= 0.8 and lengths.max() <= 6 * lengths.min():
            yield int(names[k]), (back @ -planes[k, :, 2], back[:, 0], back[:, 1], float(lengths.mean()))


def spots(gray: Gray, *, thorough: bool = True) -> list[Candidate]:
    """Where finder patterns may be, dark on light; not ``thorough``: every second line, the best few."""
    step = 2 if min(gray.shape) > 600 or not thorough else 1
    return candidates(binary(gray), step, MAX_CANDIDATES if thorough else 12)


def find(gray: Gray, where: list[Candidate] | None = None) -> list[Finder]:
    """The finder patterns in a gray picture, each once; ``where`` are its :func:`spots`, looked for by default."""
    found: list[Finder] = []
    for each in measure(gray, spots(gray) if where is None else where):
        if all(np.abs(each.middle - o.middle).max() > 3 * o.module_px for o in found):
            found.append(each)
    return found


@dataclass(frozen=True, slots=True)
class Triple:
    """The three patterns of one code, their vectors turned to its rows and columns; ``modules`` is its size along
    a side, estimated; ``misfit`` grows with how badly they belong together."""

    top_left: Finder
    top_right: Finder
    bottom_left: Finder
    modules: float
    misfit: float


def _turned(finder: Finder, across: Floats) -> Finder:
    """The pattern with its vectors exchanged and reversed so that ``across`` looks most along the given direction."""
    vectors = (finder.across, finder.down, -finder.across, -finder.down)
    x, y = float(across[0]), float(across[1])
    likeness = [(float(v[0]) * x + float(v[1]) * y) / math.hypot(v[0], v[1]) for v in vectors]
    best = likeness.index(max(likeness))
    u, v = vectors[best], vectors[(best + 1) % 4]
    if u[0] * v[1] - u[1] * v[0] < 0:
        v = -v
    return Finder(finder.middle, u, v, finder.module_px, finder.strength)


def _in_modules(finder: Finder, vector: Floats) -> tuple[float, float]:
    """A way in the picture as modules along the pattern's two sides."""
    (ux, uy), (vx, vy), (x, y) = finder.across.tolist(), finder.down.tolist(), vector.tolist()
    area = ux * vy - uy * vx
    return (x * vy - y * vx) / area, (ux * y - uy * x) / area


def _sides(finders: list[Finder]) -> NDArray[np.bool_]:
    """(n, n): whether the way from one pattern to another runs roughly along a side of both."""
    middles = np.array([finder.middle for finder in finders])
    inverses = np.linalg.inv(np.array([np.column_stack([finder.across, finder.down]) for finder in finders]))
    ways = middles[None, :, :] - middles[:, None, :]
    local = np.sort(np.abs(np.einsum("aij,abj->abi", inverses, ways)), axis=2)
    along = (local[..., 1] > 8) & (local[..., 0] < 0.7 * local[..., 1])
    return np.asarray(along & along.T)


def triples(finders: list[Finder], limit: int = 6) -> list[Triple]:
    """Which patterns may be the corners of one code, the best first."""
    if len(finders) < 3:
        return []
    found: list[Triple] = []
    finders = finders[:MAX_FINDERS]
    side = _sides(finders)
    for a, b, c in permutations(range(len(finders)), 3):
        if not (side[a, b] and side[a, c]):
            continue
        corner, right, below = finders[a], finders[b], finders[c]
        to_right, to_below = right.middle - corner.middle, below.middle - corner.middle
        if to_right[0] * to_below[1] - to_right[1] * to_below[0] <= 0:
            continue  # mirrored: the other order is the code
        sizes = (corner.module_px, right.module_px, below.module_px)
        if max(sizes) > 2.6 * min(sizes):
            continue
        corner = _turned(corner, to_right)
        right, below = _turned(right, to_right), _turned(below, corner.across)
        ends = (
            _in_modules(corner, to_right),
            _in_modules(right, to_right),
            _in_modules(corner, to_below)[::-1],
            _in_modules(below, to_below)[::-1],
        )
        lengths = np.array([end[0] for end in ends])
        if lengths.min() < 8 or lengths.max() > 260:
            continue
        lean = max(abs(float(end[1] / end[0])) for end in ends)
        side_right, side_below = lengths[:2].mean(), lengths[2:].mean()
        unequal = abs(np.log(side_right / side_below))
        if lean > 0.7 or unequal > 0.6:
            continue
        found.append(Triple(corner, right, below, float((side_right + side_below) / 2 + 7), float(lean + unequal)))
    found.sort(key=lambda each: each.misfit)
    return found[:limit]


def pairs(finders: list[Finder], limit: int = 6) -> list[Triple]:
    """Codes of which only two finder patterns were found (a thumb, a lamp's reflex, a torn corner): the third is put
    where the other two would have it. Each pair may be a side, with the code on its right hand or its left and
    either of the far corners missing, or the diagonal."""
    found = []
    for a, b in permutations(range(min(len(finders), 5)), 2):
        first, second = finders[a], finders[b]
        if max(first.module_px, second.module_px) > 1.8 * min(first.module_px, second.module_px):
            continue
        to_second = second.middle - first.middle
        along, across = _in_modules(_turned(first, to_second), to_second)
        mean = Finder(first.middle, *_mean_vectors(first, second, to_second), first.module_px, 0)
        if along > 13 and abs(across) < 0.3 * along:
            length = float(np.linalg.norm(to_second))
            side = mean.down * (length / float(np.linalg.norm(mean.across)))
            # first is the top left and second the top right; or, turned by a quarter, bottom left and top left
            third = Finder(first.middle + side, mean.across, mean.down, first.module_px, 0)
            found.append(_completed(first, second, third, along))
            third = Finder(second.middle + side, mean.across, mean.down, first.module_px, 0)
            found.append(_completed(second, third, first, along))
        elif a < b and along > 10 and abs(abs(across) - along) < 0.35 * along:
            # the diagonal: top right and bottom left, the corner on either hand
            u, v = (along * mean.across, across * mean.down)
            for corner, right, below in ((first.middle + u, second, first), (first.middle + v, first, second)):
                third = Finder(corner, mean.across, mean.down, first.module_px, 0)
                made = _completed(third, right, below, (along + abs(across)) / 2)
                made = made if made is not None else _completed(third, below, right, (along + abs(across)) / 2)
                found.append(made)
    return [each for each in found if each is not None][:limit]


def _mean_vectors(first: Finder, second: Finder, along: Floats) -> tuple[Floats, Floats]:
    one = _turned(first, along)
    other = _turned(second, one.across)  # not by ``along``: on a diagonal the two could choose different sides
    return (one.across + other.across) / 2, (one.down + other.down) / 2


def _completed(corner: Finder, right: Finder, below: Finder, length: float) -> Triple | None:
    to_right, to_below = right.middle - corner.middle, below.middle - corner.middle
    if to_right[0] * to_below[1] - to_right[1] * to_below[0] <= 0:
        return None
    corner = _turned(corner, to_right)
    return Triple(corner, _turned(right, to_right), _turned(below, corner.across), length + 7, 1.0)
