"""A map that slipped, grown anew from where it is sure.

:func:`drivers.qr_warp.refine` knows the phase of the grid, not which of its lines is which. On a sheet that is
crumpled or bent out of sight of the finder patterns, a patch may sit one module off, or lie on nothing at all. Here
only what hangs together with a finder pattern without a jump is trusted; from its rim the map is led on in a straight
line for a few modules (moving least squares, degree 1), measured there, and the rim moves outwards. What cannot be
measured (a patch without edges, a spot of glare) is passed around.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from drivers.opencv import cv2
from drivers.qr_clock import FrameClock
from drivers.qr_finders import Gray
from drivers.qr_warp import PX, Map, moved, phase, refine, straighten

Cells = NDArray[np.bool_]
Field = NDArray[np.float32]

ROUNDS = 12
_COHERENT = 0.34
"""Of 1: edges on the lines of the grid give 0.4 to 0.65, whatever the sheet; where the map is off, under 0.3."""
_STEADY = 0.12  # of a module: by more two neighbouring modules do not differ in width, short of a slip
_RIM = 6  # modules
_REACH = 4  # modules that the map is led on in a round
_PER_LOOK = 3  # rounds between two attempts to read
_DOUBTS = 0.03  # of the modules: below that nothing was wrong


def led_on(grid: Map, trusted: Cells) -> Map:
    """The map as a straight line fitted to the ``trusted`` ones (n, n) of its corners, around each corner.

    A wide, weak window stands behind the narrow one, so that there is a line far from all that is trusted too.
    """
    n = grid.shape[0]
    line = ((np.arange(n) - (n - 1) / 2) / n).astype(np.float32)
    x, y = np.broadcast_to(line, (n, n)), np.broadcast_to(line[:, None], (n, n))
    weight = trusted.astype(np.float32)
    powers = (weight, weight * x, weight * y)
    moments = [*powers, powers[1] * x, powers[1] * y, powers[2] * y]
    moments += [power * grid[..., axis] for axis in (0, 1) for power in powers]
    sums: list[NDArray[np.float64]] = []
    for k in range(0, len(moments), 4):
        part = np.dstack(moments[k : k + 4])
        wide = cv2.blur(
            cv2.blur(part, (15, 15), borderType=cv2.BORDER_CONSTANT), (15, 15), borderType=cv2.BORDER_CONSTANT
        )
        near = cv2.GaussianBlur(part, (0, 0), 2.0, borderType=cv2.BORDER_CONSTANT)
        all_over = 1e-6 * part.mean(axis=(0, 1))
        sums += list(np.moveaxis((near + 0.003 * wide + all_over).astype(np.float64), 2, 0))
    w, wx, wy, wxx, wxy, wyy = sums[:6]
    mx, my = wx / w, wy / w
    ridge = (0.05 / n) ** 2  # of a twentieth of a module: only a single corner has no slope
    xx, xy, yy = wxx / w - mx * mx + ridge, wxy / w - mx * my, wyy / w - my * my + ridge
    determinant = xx * yy - xy * xy
    planes = []
    for value, value_x, value_y in (sums[6:9], sums[9:12]):
        mean = value / w
        slope_x, slope_y = value_x / w - mx * mean, value_y / w - my * mean
        along_x = (yy * slope_x - xy * slope_y) / determinant
        along_y = (xx * slope_y - xy * slope_x) / determinant
        planes.append(mean + along_x * (x - mx) + along_y * (y - my))
    return np.dstack(planes).astype(np.float32)


def _measured(gray: Gray, grid: Map) -> tuple[list[Field], Field, Field]:
    """For each module: how far the map is off along rows and along columns (-0.5 to 0.5 modules), how well the edges
    agree on that (0 to 1), and how strong they are."""
    size = grid.shape[0] - 1
    drawn = straighten(gray, grid)
    offsets, agreement, strength = [], np.ones((size, size), np.float32), np.full((size, size), np.inf, np.float32)
    for axis in (0, 1):
        real, imaginary, total = phase(drawn, size, axis, 1.0)
        offsets.append((np.arctan2(imaginary, real) / np.float32(2 * np.pi)).astype(np.float32))
        agreement = np.minimum(agreement, np.hypot(real, imaginary) / np.maximum(total, 1e-3))
        strength = np.minimum(strength, total)
    return offsets, agreement, strength


def _finders(size: int) -> Cells:
    cells = np.zeros((size, size), np.bool_)
    cells[:8, :8] = cells[:8, -8:] = cells[-8:, :8] = True
    return cells


def _jumps(grid: Map) -> Field:
    """For each module: by how much its width or height, in modules, differs from its neighbours'."""
    size = grid.shape[0] - 1
    usual = float(np.median(np.linalg.norm(np.diff(grid, axis=1), axis=2)))
    out = np.zeros((size, size), np.float32)
    for along in (0, 1):
        for across in (0, 1):
            steps = np.diff(grid, axis=along)
            jump = np.linalg.norm(np.diff(steps, axis=across), axis=2) / max(usual, 1e-6)
            jump = jump[:size, :size]
            rows, columns = jump.shape
            out[size - rows :, size - columns :] = np.maximum(out[size - rows :, size - columns :], jump)
            out[:rows, :columns] = np.maximum(out[:rows, :columns], jump)
    return out


def sure(gray: Gray, grid: Map) -> tuple[Cells, Cells]:
    """Modules that lie on the grid's lines and hang together with a finder pattern without a jump; and modules where
    there is print, right or not (none under glare or a thumb)."""
    seeds = _finders(grid.shape[0] - 1)
    offsets, agreement, strength = _measured(gray, grid)
    good = (agreement > _COHERENT) & (_jumps(grid) < _STEADY)
    good &= (np.abs(offsets[0]) < 0.2) & (np.abs(offsets[1]) < 0.2)
    closed = cv2.morphologyEx(good.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((2, 2), np.uint8))
    good = cv2.erode(closed, np.ones((2, 2), np.uint8)).astype(np.bool_) | seeds
    _, label = cv2.connectedComponents(good.astype(np.uint8), connectivity=4)
    return np.asarray(np.isin(label, np.unique(label[seeds]))), _printed(strength)


def _printed(strength: Field) -> Cells:
    quarter = strength.size // 4
    return np.asarray(strength > 0.15 * np.partition(strength, -quarter, axis=None)[-quarter])


def _at_corners(cells: NDArray[np.generic]) -> Field:
    """What is known of the modules, at their corners."""
    n = cells.shape[0]
    line = np.clip(np.arange(n + 1) - 0.5, 0, n - 1).astype(np.float32)
    places = np.tile(line, (n + 1, 1)), np.tile(line[:, None], (1, n + 1))
    return np.asarray(cv2.remap(cells.astype(np.float32), *places, cv2.INTER_LINEAR), np.float32)


def _doubtful(doubts: Cells) -> tuple[slice, slice] | None:
    """The square of modules around all patches in doubt, with a rim to lead on from; None without any."""
    size = doubts.shape[0]
    patches = cv2.morphologyEx(doubts.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    left, top, width, height = cv2.boundingRect(patches)
    if not width:
        return None
    side = min(size, max(width, height) + 2 * _RIM)
    top, left = (min(max(0, middle - side // 2), size - side) for middle in (top + height // 2, left + width // 2))
    return slice(top, top + side), slice(left, left + side)


def regrown(gray: Gray, grid: Map, clock: FrameClock) -> Iterator[Map]:
    """Better and better maps, until all is sure, nothing more is won or the budget is spent; none where nothing was
    wrong."""
    trusted, printed = sure(gray, grid)
    doubts = printed & ~trusted
    square = _doubtful(doubts)
    if square is None or doubts.mean() < _DOUBTS:
        return
    corners = tuple(slice(each.start, each.stop + 1) for each in square)
    whole = grid.copy()
    rounds = _part_regrown(gray, grid[corners], trusted[square])
    pixels = trusted[square].size * PX**2
    while clock.affords("regrow", pixels):
        with clock.spend("regrow", pixels):
            part = next(rounds, None)
        if part is None:
            break
        whole[corners] = part
        yield whole
    pixels = trusted.size * PX**2
    if clock.affords("refine", pixels):
        with clock.spend("refine", pixels):
            whole = refine(gray, whole)
        yield whole


def _part_regrown(gray: Gray, grid: Map, trusted: Cells) -> Iterator[Map]:
    """A square part of the map after every few rounds."""
    size = grid.shape[0] - 1
    reach = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * _REACH + 1, 2 * _REACH + 1))
    columns, rows = np.meshgrid(np.arange(size + 1, dtype=np.float32), np.arange(size + 1, dtype=np.float32))
    shares = [float(trusted.mean())]
    for turn in range(1, ROUNDS + 1):
        known = _at_corners(trusted) > 0.6
        if not known.any():
            return  # nothing to lead on from
        grid = led_on(grid, known)
        offsets, agreement, strength = _measured(gray, grid)
        fits = cv2.dilate(trusted.astype(np.uint8), reach).astype(np.bool_) & (agreement > _COHERENT)
        fits &= _printed(strength)
        fits &= (np.abs(offsets[0]) < 0.33) & (np.abs(offsets[1]) < 0.33)
        if not fits.any():
            return
        share = cv2.GaussianBlur(fits.astype(np.float32), (0, 0), 0.7)
        steps = [
            cv2.GaussianBlur(offset * fits, (0, 0), 0.7) / np.maximum(share, 1e-3) * (share > 0.1) for offset in offsets
        ]
        grid = moved(grid, columns + _at_corners(steps[0]), rows + _at_corners(steps[1]))
        trusted = fits
        shares.append(float(trusted.mean()))
        stuck = turn > 1 and shares[-1] < shares[-3] + 0.004
        if turn % _PER_LOOK == 0 or stuck:
            known = _at_corners(trusted) > 0.6
            yield led_on(grid, known) if known.any() else grid
        if stuck:
            return
