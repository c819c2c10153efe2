"""A small JPEG of a camera's frame with the decoder's boxes drawn into it: for aiming, in memory only. Pure."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from drivers.opencv import cv2

Corners = tuple[tuple[float, float], ...]

PREVIEW_WIDTH_PX = 640
_QUALITY = 70
_READ_BGR, _UNREAD_BGR, _EDGE_BGR = (94, 230, 60), (40, 170, 255), (0, 0, 0)


def preview_jpeg(gray: NDArray[np.uint8], read: Iterable[Corners], unread: Iterable[Corners]) -> bytes:
    """The frame, at most 640 pixels wide; codes that were read get a solid box, others a crossed one.

    Colour and form both tell them apart. ``read`` and ``unread`` are corners in pixels of the frame.
    """
    height, width = gray.shape
    scale = min(1.0, PREVIEW_WIDTH_PX / width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    picture = cv2.cvtColor(cv2.resize(gray, size, interpolation=cv2.INTER_AREA), cv2.COLOR_GRAY2BGR)
    for corners, colour, crossed in [*((c, _READ_BGR, False) for c in read), *((c, _UNREAD_BGR, True) for c in unread)]:
        # Corners of a wild guess may lie anywhere; OpenCV takes 16-bit coordinates in drawing.
        points = np.clip(np.array(corners, np.float64) * scale, -2000, 6000).astype(np.int32)
        lines = [points, points[::2].copy(), points[1::2].copy()] if crossed else [points]
        for ink, thickness in ((_EDGE_BGR, 5), (colour, 2)):
            cv2.polylines(picture, lines, isClosed=True, color=ink, thickness=thickness)
    _, jpeg = cv2.imencode(".jpg", picture, (cv2.IMWRITE_JPEG_QUALITY, _QUALITY))
    return bytes(jpeg)
