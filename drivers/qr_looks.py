"""Other ways to look at a frame that could not be read at once: each makes another picture for the same engine.

Measured on pictures that zxing-cpp alone misses (``python -m tests.bench.qr``): local contrast brings back dim and
glaring ones, a threshold over a wide window uneven light, sharpening blur, halving noise and moire.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from drivers.opencv import cv2
from drivers.qr_finders import Gray


@dataclass(frozen=True, slots=True)
class Look:
    """``make`` turns a gray picture into another of ``scale`` times its size; ``cost_ms`` is what the look with
    one reading took for a million pixels here, to begin with (the reader then measures its own)."""

    name: str
    make: Callable[[Gray], Gray]
    scale: float
    cost_ms: float


def stretched(gray: Gray) -> Gray:
    """Contrast to the full range, noise smoothed a little: for frames that use a small part of it."""
    sample = np.sort(gray[::8, ::8], axis=None)
    low, high = int(sample[len(sample) // 100]), int(sample[-1 - len(sample) // 200])
    table = np.clip((np.arange(256) - low) * (255.0 / max(8, high - low)), 0, 255).astype(np.uint8)
    return np.asarray(cv2.LUT(cv2.GaussianBlur(gray, (3, 3), 0), table), np.uint8)


def is_dim(gray: Gray) -> bool:
    """The frame uses less than a quarter of its range, but is not empty."""
    sample = np.sort(gray[::16, ::16], axis=None)
    spread = int(sample[-1 - len(sample) // 200]) - int(sample[len(sample) // 100])
    return 6 <= spread < 60


def _local_contrast(gray: Gray) -> Gray:
    return np.asarray(cv2.createCLAHE(3.0, (8, 8)).apply(gray), np.uint8)


def _wide_threshold(gray: Gray) -> Gray:
    return np.asarray(cv2.adaptiveThreshold(gray, 255, cv2.ADAPTIVE_THRESH_MEAN_C, cv2.THRESH_BINARY, 71, 5), np.uint8)


def _narrow_threshold(gray: Gray) -> Gray:
    return np.asarray(cv2.adaptiveThreshold(gray, 255, cv2.ADAPTIVE_THRESH_MEAN_C, cv2.THRESH_BINARY, 31, 5), np.uint8)


def _sharpened(gray: Gray) -> Gray:
    return np.asarray(cv2.addWeighted(gray, 2.5, cv2.GaussianBlur(gray, (0, 0), 2.0), -1.5, 0), np.uint8)


def _much_sharpened(gray: Gray) -> Gray:
    return np.asarray(cv2.addWeighted(gray, 3.5, cv2.blur(gray, (9, 9)), -2.5, 0), np.uint8)


def widely_sharpened(gray: Gray) -> Gray:
    """For finding patterns in a picture blurred by about a module: their rings come out again."""
    return np.asarray(cv2.addWeighted(gray, 4.0, cv2.blur(gray, (17, 17)), -3.0, 0), np.uint8)


def _median(gray: Gray) -> Gray:
    return np.asarray(cv2.medianBlur(gray, 3), np.uint8)


def _scaled(factor: float, interpolation: int) -> Callable[[Gray], Gray]:
    return lambda gray: np.asarray(cv2.resize(gray, None, fx=factor, fy=factor, interpolation=interpolation), np.uint8)


HALF = Look("half", _scaled(0.5, cv2.INTER_AREA), 0.5, 1.0)
STRETCH = Look("stretch", stretched, 1.0, 3.0)
RESCUES: tuple[Look, ...] = (
    Look("three-quarters", _scaled(0.75, cv2.INTER_AREA), 0.75, 4.0),
    Look("wide threshold", _wide_threshold, 1.0, 6.0),
    Look("local contrast", _local_contrast, 1.0, 8.0),
    Look("sharpened", _sharpened, 1.0, 8.0),
    Look("median", _median, 1.0, 3.0),
    Look("double", _scaled(2.0, cv2.INTER_CUBIC), 2.0, 12.0),
    Look("much sharpened", _much_sharpened, 1.0, 6.0),
    Look("narrow threshold", _narrow_threshold, 1.0, 6.0),
)
"""In the order in which they are tried where there is a code that could not be read."""
