"""Reading single frames (drivers/qr.py) and the child's wire (drivers/qr_child.py), without a child."""

from __future__ import annotations

import io
import zlib

import numpy as np
import pytest
import segno
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers import qr, qr_child, qr_worker
from drivers.errors import FrameError
from drivers.opencv import cv2


@pytest.fixture(scope="module")
def reader() -> qr.QrReader:
    """zxing-cpp alone: no process is started."""
    return qr.QrReader(use_zbar=False)


def picture(data: bytes | str, scale: int = 4, border: int = 4, **options: object) -> np.ndarray:
    """A clean rendered code in gray."""
    out = io.BytesIO()
    segno.make_qr(data, **options).save(out, kind="png", scale=scale, border=border)
    return cv2.imdecode(np.frombuffer(out.getvalue(), np.uint8), cv2.IMREAD_GRAYSCALE)


@pytest.mark.parametrize(
    "data",
    [
        b"HC1:6BFOXN%TS3DH0RV8",
        "绿码 ✓".encode(),
        "Zoë".encode("latin-1"),
        bytes(range(0xB0, 0x100)),
        zlib.compress(b"claims" * 20),
        b"\x00\x1d(01)0950110153",
    ],
)
def test_bytes_come_back_exactly(reader: qr.QrReader, data: bytes) -> None:
    """No character set is guessed into the bytes, and no control character is spelled out."""
    (found,) = reader.decode(picture(data, mode="byte"))
    assert found.data == data
    assert found.engine == "zxing-cpp"


def test_text_is_utf8_where_the_bytes_are(reader: qr.QrReader) -> None:
    """What people read on the guard's console."""
    assert reader.decode(picture("绿码".encode(), mode="byte"))[0].text == "绿码"
    assert qr.text_of(b"Zo\xeb") == "Zoë"


def test_corners_run_clockwise_from_the_top_left(reader: qr.QrReader) -> None:
    """In pixels of the frame handed in, also when the code is turned."""
    code = picture("HC1:CORNERS")
    frame = np.full((400, 600), 255, np.uint8)
    frame[50 : 50 + code.shape[0], 300 : 300 + code.shape[1]] = code
    (found,) = reader.decode(frame, at_ns=42)
    side = code.shape[0] - 32
    expected = [(316, 66), (316 + side, 66), (316 + side, 66 + side), (316, 66 + side)]
    assert np.abs(np.array(found.corners) - expected).max() <= 3
    assert found.at_ns == 42
    (turned,) = reader.decode(np.rot90(frame))
    assert np.abs(np.array(turned.corners[0]) - (66, 600 - 316)).max() <= 3


def test_colours_and_transparency_are_taken(reader: qr.QrReader) -> None:
    """A blue code in a BGR frame, and a code on a transparent ground, are read like on white."""
    gray = picture("GC1:COLOUR")
    blue = np.full((*gray.shape, 3), 255, np.uint8)
    blue[gray < 128] = (160, 40, 20)
    clear = np.zeros((*gray.shape, 4), np.uint8)
    clear[..., 3] = 255 - gray
    for frame in (gray, gray[..., None], blue, clear, gray[:, ::-1][:, ::-1]):
        assert [text.text for text in reader.decode(frame)] == ["GC1:COLOUR"]


def test_light_on_dark_is_read(reader: qr.QrReader) -> None:
    """Phones in dark mode."""
    assert reader.decode(255 - picture("HC1:NIGHT"))[0].text == "HC1:NIGHT"


@pytest.mark.parametrize(
    "frame",
    [
        np.zeros((40, 40), np.float32),
        np.zeros((40,), np.uint8),
        np.zeros((40, 40, 2), np.uint8),
        np.zeros((0, 9), "u1"),
    ],
)
def test_what_is_not_a_picture_is_refused(reader: qr.QrReader, frame: np.ndarray) -> None:
    """With an error that says what was expected."""
    with pytest.raises(FrameError, match=r"expected|channels"):
        reader.decode(frame)


def test_a_frame_of_absurd_size_is_refused_without_being_copied(reader: qr.QrReader) -> None:
    """A 10-gigapixel view that takes one byte of memory."""
    huge = np.broadcast_to(np.zeros((1, 1), np.uint8), (100_000, 100_000))
    with pytest.raises(FrameError, match="at most"):
        reader.decode(huge)


@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (20, 20), (480, 640)])
def test_empty_frames_show_nothing(reader: qr.QrReader, shape: tuple[int, int]) -> None:
    """Also frames smaller than any code."""
    assert reader.decode(np.full(shape, 127, np.uint8)) == []


symbols = st.lists(
    st.tuples(st.lists(st.integers(-4000, 9000), min_size=8, max_size=8), st.binary(max_size=60)), max_size=5
)


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), symbols, st.integers(0, 400))
def test_an_answer_of_the_child_is_read_whole_or_not_yet(
    number: int, found: list[tuple[list[int], bytes]], cut: int
) -> None:
    """Cut anywhere it is incomplete, and whole it gives back what was packed, leaving what follows."""
    wire = qr_worker.ANSWER.pack(number, len(found))
    wire += b"".join(qr_worker.SYMBOL.pack(*corners, len(data)) + data for corners, data in found)
    assert qr_child.parse_answer(wire[: min(cut, len(wire) - 1)]) is None
    answer = qr_child.parse_answer(wire + b"next")
    assert answer is not None
    assert answer[0] == number
    assert [symbol.data for symbol in answer[1]] == [data for _, data in found]
    assert answer[2] == len(wire)


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_no_bytes_of_a_broken_child_do_harm(wire: bytes) -> None:
    """An answer, not yet an answer, or a child that is to be killed: nothing else."""
    try:
        answer = qr_child.parse_answer(wire)
    except qr_child.GarbledError:
        return
    assert answer is None or answer[2] <= len(wire)
