"""Whether a generated picture can be read at all, by one who knows where every module lies.

The rule of ``data/qr``: what no reader can read even after the code was straightened by hand is not in the set. Here
the sheet's exact coordinates straighten it, and zxing-cpp and pyzbar each get ten looks at the result; Gatepost's own
reader has no part in it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import zxingcpp
from numpy.typing import NDArray
from pyzbar import pyzbar

from drivers.opencv import cv2

Gray = NDArray[np.uint8]
_MARGIN = 0.06  # of the code's side: the quiet zone


def _sharpened(sigma: float, amount: float) -> Callable[[Gray], Gray]:
    return lambda gray: cv2.addWeighted(gray, 1 + amount, cv2.GaussianBlur(gray, (0, 0), sigma), -amount, 0)


def _scaled(factor: float, how: int) -> Callable[[Gray], Gray]:
    return lambda gray: cv2.resize(gray, None, fx=factor, fy=factor, interpolation=how)


def _thresholded(window: int, below: int) -> Callable[[Gray], Gray]:
    return lambda gray: cv2.adaptiveThreshold(gray, 255, cv2.ADAPTIVE_THRESH_MEAN_C, cv2.THRESH_BINARY, window, below)


LOOKS: tuple[Callable[[Gray], Gray], ...] = (
    lambda gray: gray,
    lambda gray: cv2.GaussianBlur(gray, (0, 0), 1.5),
    lambda gray: cv2.createCLAHE(3.0, (8, 8)).apply(gray),
    _sharpened(2.0, 1.5),
    _sharpened(4.0, 3.0),
    _sharpened(6.0, 4.0),
    _thresholded(71, 5),
    _thresholded(31, 3),
    _scaled(0.5, cv2.INTER_AREA),
    _scaled(2.0, cv2.INTER_CUBIC),
)


def straightened(
    gray: Gray, u: NDArray[np.float32], v: NDArray[np.float32], box: tuple[float, float, float, float]
) -> Gray:
    """The code in ``box`` (left, top, right, bottom, 0 to 1 of the sheet) drawn straight; ``u`` and ``v`` (-0.5 to
    0.5) are the sheet's coordinates of the picture's pixels, at its size or a multiple."""
    left, top, right, bottom = box
    fine = cv2.resize(gray, (u.shape[1], u.shape[0]), interpolation=cv2.INTER_CUBIC).astype(np.float32)
    x = ((u + 0.5 - left) / (right - left) + _MARGIN) / (1 + 2 * _MARGIN)
    y = ((v + 0.5 - top) / (bottom - top) + _MARGIN) / (1 + 2 * _MARGIN)
    inside = np.isfinite(x) & np.isfinite(y) & (x >= 0) & (x < 1) & (y >= 0) & (y < 1)
    side = int(np.clip(np.sqrt(inside.sum()), 100, 1000))
    cells = (y[inside] * side).astype(np.intp) * side + (x[inside] * side).astype(np.intp)
    sums = np.bincount(cells, fine[inside], side * side).reshape(side, side)
    counts = np.bincount(cells, minlength=side * side).reshape(side, side).astype(np.float64)
    smooth = (cv2.GaussianBlur(each, (0, 0), 0.7) for each in (sums, counts))
    total, count = smooth
    return np.clip(total / np.maximum(count, 1e-6), 0, 255).astype(np.uint8)


def is_readable(code: Gray, text: str) -> bool:
    """Whether any reader reads this text in the straightened code in any look."""
    for look in LOOKS:
        seen = look(code)
        found = {
            symbol.text
            for symbol in zxingcpp.read_barcodes(
                seen, formats=zxingcpp.BarcodeFormat.QRCode, text_mode=zxingcpp.TextMode.Plain
            )
        }
        found |= {symbol.data.decode("utf-8", "replace") for symbol in pyzbar.decode(seen, [pyzbar.ZBarSymbol.QRCODE])}
        if text in found:
            return True
    return False
