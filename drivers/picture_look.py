"""How bright and how sharp a camera's picture is, in figures that a person can aim, light and focus by. Pure.

What is judged is the part that matters: the code in view, or the middle of the picture where there is none.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drivers.opencv import cv2

Corners = tuple[tuple[float, float], ...]

MIN_CONTRAST = 40.0
"""Below this the steepest edges are the sensor's noise: nothing there could show whether the lens is in focus."""

_SPENT_WHITE = 250
_STEP_SLOPE = 1 / 3  # of the contrast a pixel: a perfect edge after the smoothing below, by central differences
_MAX_SIDE_PX = 480


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureLook:
    """What the judged part of a picture is like.

    ``brightness`` is its mean, 0 to 255; ``white_percent`` how much of it is burnt out (level 250 and more);
    ``contrast`` the span between its darkest and brightest two percent, 0 to 255. ``sharpness_percent`` compares its
    steepest edges with perfect ones: 100 is an edge one pixel wide, a blur of Gaussian radius s pixels (from 2 on)
    gives about 110/s; None where the contrast is too low or the picture too small to tell. ``code_px`` is the side of
    the largest code in view, 0 without one.
    """

    brightness: float
    white_percent: float
    contrast: float
    sharpness_percent: float | None
    code_px: float


def look_at(gray: NDArray[np.uint8], codes: Iterable[Corners] = ()) -> PictureLook:
    """Judge a gray picture; ``codes`` are the corners of the codes in it. A few milliseconds on one core."""
    sizes = [(_side_px(corners), corners) for corners in codes if len(corners) > 2]
    code_px, corners = max(sizes, default=(0.0, None), key=lambda pair: pair[0])
    part = _middle(gray) if corners is None else _around(gray, corners)
    low, high = np.percentile(part, (2, 98))
    contrast = float(high - low)
    return PictureLook(
        brightness=float(part.mean()),
        white_percent=float(100 * np.count_nonzero(part >= _SPENT_WHITE) / part.size),
        contrast=contrast,
        sharpness_percent=_sharpness_percent(part, contrast)
        if contrast >= MIN_CONTRAST and min(part.shape) > 2
        else None,
        code_px=code_px,
    )


def _side_px(corners: Corners) -> float:
    points = np.array(corners, np.float64)
    return float(np.linalg.norm(points - np.roll(points, 1, axis=0), axis=1).mean())


def _middle(gray: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The middle half of each side; at most 640 pixels of it, unscaled, because scaling would sharpen it."""
    rows, columns = (slice(*_span(side // 2, min(side // 2, _MAX_SIDE_PX), side)) for side in gray.shape)
    return gray[rows, columns]


def _around(gray: NDArray[np.uint8], corners: Corners) -> NDArray[np.uint8]:
    """The upright square around a code, inside the picture."""
    points = np.array(corners, np.float64)
    (left, top), (right, bottom) = points.min(axis=0), points.max(axis=0)
    height, width = gray.shape
    rows = _span(int(top + bottom) // 2, min(int(bottom - top), _MAX_SIDE_PX), height)
    columns = _span(int(left + right) // 2, min(int(right - left), _MAX_SIDE_PX), width)
    return gray[slice(*rows), slice(*columns)]


def _span(center: int, length: int, limit: int) -> tuple[int, int]:
    """First and last of ``length`` pixels about ``center``, at least eight and inside 0 to ``limit``."""
    length = min(max(length, 8), limit)
    first = min(max(0, center - length // 2), limit - length)
    return first, first + length


def _sharpness_percent(part: NDArray[np.uint8], contrast: float) -> float:
    """The slope that the steepest half percent of the pixels have, against that of a perfect edge."""
    smooth = cv2.blur(np.ascontiguousarray(part), (3, 3)).astype(np.float32)
    across = np.abs(smooth[:, 2:] - smooth[:, :-2])[1:-1] / 2
    down = np.abs(smooth[2:] - smooth[:-2])[:, 1:-1] / 2
    slope = float(np.percentile(np.maximum(across, down), 99.5))
    return min(100.0, 100.0 * slope / (_STEP_SLOPE * contrast))
