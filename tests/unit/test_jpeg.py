"""A photograph laid bare: pictures stay pictures, notes go, everything else is refused."""

from __future__ import annotations

import contextlib

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kiosk.jpeg import MAX_BYTES, bare_jpeg

NOTE = b"Exif\x00\x00taken at 39.9042 N 116.4074 E"


def picture(width: int = 60, height: int = 80, *, progressive: bool = False) -> bytes:
    """A JPEG as OpenCV writes it."""
    pixels = np.arange(width * height * 3, dtype=np.uint32).astype(np.uint8).reshape(height, width, 3)
    flags = [cv2.IMWRITE_JPEG_PROGRESSIVE, int(progressive)]
    return bytes(cv2.imencode(".jpg", pixels, flags)[1])


def with_note(jpeg: bytes, marker: int = 0xE1) -> bytes:
    """The picture with a segment of that kind behind its beginning."""
    return jpeg[:2] + bytes((0xFF, marker)) + (len(NOTE) + 2).to_bytes(2) + NOTE + jpeg[2:]


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("marker", [0xE1, 0xE2, 0xED, 0xEF, 0xFE])
def test_notes_go_and_the_picture_stays(marker: int, progressive: bool) -> None:
    """Exif, profiles, captions, comments: gone; the pixels are the same as before."""
    jpeg = picture(progressive=progressive)
    bare = bare_jpeg(with_note(jpeg, marker))
    assert NOTE not in bare
    before, after = (cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) for data in (jpeg, bare))
    assert np.array_equal(before, after)
    assert bare_jpeg(bare) == bare


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "no whole JPEG"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "no whole JPEG"),
        (picture()[:-1], "no whole JPEG"),
        (bytes(MAX_BYTES + 1), "at most"),
        (picture(2001, 8), "2001 x 8 pixels"),
        (b"\xff\xd8\xff\xd9", "out of order"),
        (b"\xff\xd8\xff\xe1\x00\x01\xff\xd9", "out of order"),
        (b"\xff\xd8\xff\xda\x00\x02\xff\xd9", "without a size"),
    ],
)
def test_what_is_no_picture_says_why(data: bytes, why: str) -> None:
    """Wrong kind, cut off, too large, of no order."""
    with pytest.raises(ValueError, match=why):
        bare_jpeg(data)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300), st.integers(0, 600))
def test_any_bytes_are_a_picture_or_a_reason(noise: bytes, at: int) -> None:
    """Noise by itself, and a good picture with noise in it."""
    jpeg = picture()
    for data in (b"\xff\xd8" + noise + b"\xff\xd9", jpeg[:at] + noise + jpeg[at:]):
        with contextlib.suppress(ValueError):
            assert bare_jpeg(data)[:2] == b"\xff\xd8"
