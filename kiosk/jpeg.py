"""A photograph from outside, bounded and laid bare: a JPEG without its maker's notes, comments and place. Pure.

Reference: ITU-T T.81 (JPEG), annex B: markers FF xx, segments with a length of two bytes; B.2.4.6 application data. A
phone writes where and when a picture was taken into such segments; a roster has no business with either.
"""

from __future__ import annotations

MAX_BYTES = 200_000
MAX_SIDE = 2000

_SOI, _EOI, _SOS, _COM = 0xD8, 0xD9, 0xDA, 0xFE
_APP0, _APP14, _APP15 = 0xE0, 0xEE, 0xEF
_FRAMES = frozenset({0xC0, 0xC1, 0xC2})
"""Baseline, extended and progressive: what browsers draw."""


def bare_jpeg(data: bytes) -> bytes:
    """The picture without application data (but for JFIF's and Adobe's colour tags) and comments.

    Raises ValueError with a sentence for people: too large, no JPEG, cut off, or more than 2000 pixels a side.
    """
    if len(data) > MAX_BYTES:
        raise ValueError(f"{len(data)} bytes, at most {MAX_BYTES}: make the picture smaller")
    if data[:2] != bytes((0xFF, _SOI)) or data[-2:] != bytes((0xFF, _EOI)):
        raise ValueError("no whole JPEG")
    kept = bytearray(data[:2])
    at, sized = 2, False
    while True:
        if len(data) < at + 4 or data[at] != 0xFF:
            raise ValueError("a JPEG out of order")
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4])
        end = at + 2 + length
        if length < 2 or end > len(data):
            raise ValueError("a JPEG out of order")
        if marker in _FRAMES:
            height, width = int.from_bytes(data[at + 5 : at + 7]), int.from_bytes(data[at + 7 : at + 9])
            if length < 8 or not (0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE):
                raise ValueError(f"{width} x {height} pixels, at most {MAX_SIDE} a side")
            sized = True
        if marker == _SOS:
            if not sized:
                raise ValueError("a JPEG without a size")
            return bytes(kept) + data[at:]
        private = (_APP0 < marker <= _APP15 and marker != _APP14) or marker == _COM
        if not private:
            kept += data[at:end]
        at = end
