"""QR codes in one frame: ``decode(frame, budget_s) -> list[QrText]``.

Engines, each optional at import (a 32-bit Pi has no zxing-cpp wheel): zxing-cpp first, which gives exact bytes
and costs 1.5 ms a frame here; libzbar, through pyzbar, in a watched child process (:mod:`drivers.qr_child`).

Where bytes are not UTF-8, ``QrText.text`` is zxing-cpp's reading of them by the symbol's own character set (an
ECI, else the Shift-JIS or Latin-1 that a QR reader has to guess); ``QrText.data`` is always exact.
"""

from __future__ import annotations

import threading
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drivers.devices import QrText
from drivers.errors import FrameError
from drivers.opencv import cv2
from drivers.qr_child import WatchedChild


def _zxing() -> Any:
    """The zxing-cpp module, or None where this machine has no wheel of it: then libzbar works alone."""
    try:
        import zxingcpp
    except ImportError:
        return None
    return zxingcpp


Gray = NDArray[np.uint8]
Corners = tuple[tuple[float, float], ...]

DEFAULT_BUDGET_S = 0.04
MAX_PIXELS = 64_000_000
"""A frame larger than this is refused; the largest camera of a Pi gives 12 million."""

_SMALLEST_SIDE = 21  # modules of a version 1 symbol: below that there is less than a pixel a module
_ZBAR_LONG_SIDE = 800  # zbar finds as much at this size as at full size, in a quarter of the time
_ZBAR_LEAST_S = 0.008


def gray_of(frame: NDArray[np.uint8]) -> Gray:
    """The frame as contiguous gray bytes.

    Takes gray (h, w), BGR (h, w, 3) and BGRA (h, w, 4: laid on white, as a browser shows it). Raises
    :class:`FrameError` for anything else and for frames over :data:`MAX_PIXELS`.
    """
    if frame.dtype != np.uint8 or frame.ndim not in (2, 3) or 0 in frame.shape:
        raise FrameError(f"a frame of {frame.dtype} {frame.shape}: expected uint8 gray, BGR or BGRA pixels")
    if frame.shape[0] * frame.shape[1] > MAX_PIXELS:
        raise FrameError(f"a frame of {frame.shape[1]} x {frame.shape[0]} pixels: at most {MAX_PIXELS} are taken")
    if frame.ndim == 2:
        return np.ascontiguousarray(frame)
    channels = frame.shape[2]
    if channels == 1:
        return np.ascontiguousarray(frame[:, :, 0])
    if channels == 3:
        return np.asarray(cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_BGR2GRAY), np.uint8)
    if channels == 4:
        gray = cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_BGRA2GRAY).astype(np.uint16)
        alpha = frame[:, :, 3].astype(np.uint16)
        return ((gray * alpha + 255 * (255 - alpha)) // 255).astype(np.uint8)
    raise FrameError(f"a frame with {channels} channels: expected 1, 3 or 4")


def text_of(data: bytes, guess: str = "") -> str:
    """UTF-8 where the bytes are that, else ``guess``, else Latin-1."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return guess or data.decode("latin-1")


def area_px(corners: Corners) -> float:
    """The area of a symbol in square pixels (shoelace formula); 0.0 without corners."""
    pairs = zip(corners, corners[1:] + corners[:1], strict=True)
    return abs(sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in pairs)) / 2


class QrReader:
    """The engines of one process, shared by all its cameras; :func:`decode` uses :func:`shared_reader`."""

    def __init__(self, *, use_zxing: bool = True, use_zbar: bool = True) -> None:
        self._zxing = _zxing() if use_zxing else None
        self._child = WatchedChild() if use_zbar else None

    @property
    def child(self) -> WatchedChild | None:
        """The process around libzbar, None when it is not used."""
        return self._child

    def close(self) -> None:
        """End the child process."""
        if self._child is not None:
            self._child.close()

    def decode(
        self, frame: NDArray[np.uint8], budget_s: float = DEFAULT_BUDGET_S, at_ns: int | None = None
    ) -> list[QrText]:
        """See :func:`decode`."""
        started_ns = time.monotonic_ns()
        at_ns = started_ns if at_ns is None else at_ns
        gray = gray_of(frame)
        if min(gray.shape) < _SMALLEST_SIDE:
            return []
        found = self._read_zxing(gray, at_ns)
        left_s = budget_s - (time.monotonic_ns() - started_ns) / 1e9
        if not found and self._child is not None and (left_s > _ZBAR_LEAST_S or self._zxing is None):
            found = self._read_zbar(gray, max(left_s, _ZBAR_LEAST_S), at_ns)
        return without_nested(found)

    def _read_zxing(self, gray: Gray, at_ns: int) -> list[QrText]:
        if self._zxing is None:
            return []
        symbols = self._zxing.read_barcodes(
            gray, formats=self._zxing.BarcodeFormat.QRCode, text_mode=self._zxing.TextMode.Plain
        )
        found = []
        for symbol in symbols:
            p = symbol.position
            points = (p.top_left, p.top_right, p.bottom_right, p.bottom_left)
            found.append(
                QrText(
                    text=text_of(symbol.bytes, symbol.text),
                    data=symbol.bytes,
                    corners=tuple((float(point.x), float(point.y)) for point in points),
                    engine="zxing-cpp",
                    at_ns=at_ns,
                )
            )
        return [each for each in found if each.data]

    def _read_zbar(self, gray: Gray, timeout_s: float, at_ns: int) -> list[QrText]:
        if self._child is None:
            return []
        scale = max(1.0, max(gray.shape) / _ZBAR_LONG_SIDE)
        small = gray
        if scale > 1.0:
            size = (round(gray.shape[1] / scale), round(gray.shape[0] / scale))
            small = np.asarray(cv2.resize(gray, size, interpolation=cv2.INTER_AREA), np.uint8)
        return [
            QrText(
                text=text_of(symbol.data),
                data=symbol.data,
                corners=tuple((x * scale, y * scale) for x, y in symbol.corners),
                engine="zbar",
                at_ns=at_ns,
            )
            for symbol in self._child.read(small, timeout_s) or []
            if symbol.data
        ]


def without_nested(found: list[QrText]) -> list[QrText]:
    """Largest first, less those whose middle lies inside a larger one (zxing-cpp issue 1162: bogus symbols)."""
    kept: list[QrText] = []
    for each in sorted(found, key=lambda text: -area_px(text.corners)):
        x = sum(point[0] for point in each.corners) / 4
        y = sum(point[1] for point in each.corners) / 4
        outlines = (np.array(text.corners, np.float32) for text in kept)
        if not any(cv2.pointPolygonTest(outline, (x, y), measureDist=False) >= 0 for outline in outlines):
            kept.append(each)
    return kept


_shared: QrReader | None = None
_shared_lock = threading.Lock()


def shared_reader() -> QrReader:
    """The reader of this process, made at the first call."""
    global _shared  # noqa: PLW0603 - one child process for all cameras of a kiosk, made when first needed
    with _shared_lock:
        if _shared is None:
            _shared = QrReader()
        return _shared


def decode(frame: NDArray[np.uint8], budget_s: float = DEFAULT_BUDGET_S, at_ns: int | None = None) -> list[QrText]:
    """The QR codes in one gray, BGR or BGRA frame, largest first.

    ``budget_s`` bounds the extra looks after the first (which always runs: 1 to 4 ms at 1280x720 here); ``at_ns``
    is when the frame was taken, now by default. Raises :class:`FrameError` for what is not a picture.
    """
    return shared_reader().decode(frame, budget_s, at_ns)
