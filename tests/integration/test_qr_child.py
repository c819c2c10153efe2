"""The watched child around libzbar (drivers/qr_child.py): dies, hangs, lies; the kiosk goes on."""

from __future__ import annotations

import io
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import segno

from drivers import qr
from drivers.opencv import cv2
from drivers.qr_child import WatchedChild

HANGS = "import os,time; os.write(1, b'RDY1'); os.read(0, 12); time.sleep(60)"
LIES = "import os; os.write(1, b'RDY1'); os.read(0, 12); os.write(1, b'\\xff' * 600); os.read(0, 12)"
DIES = "import os; os.write(1, b'RDY1'); os.read(0, 12); os.abort()"
NOT_INSTALLED = "import os; os.write(1, b'NONE')"
FRAME = np.full((120, 160), 200, np.uint8)


def wait_until(condition: Callable[[], bool], timeout_s: float = 5.0) -> float:
    """Seconds until the condition held; fails when it never does."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < timeout_s, "did not happen"
        time.sleep(0.005)
    return time.monotonic() - began


def code(data: bytes, **options: object) -> np.ndarray:
    out = io.BytesIO()
    segno.make_qr(data, **options).save(out, kind="png", scale=4)
    return cv2.imdecode(np.frombuffer(out.getvalue(), np.uint8), cv2.IMREAD_GRAYSCALE)


@pytest.fixture
def child_of() -> Iterator[Callable[[str], WatchedChild]]:
    """Makes children that run the given Python, ready to be asked, and ends them."""
    made: list[WatchedChild] = []

    def make(script: str) -> WatchedChild:
        made.append(WatchedChild(overrun_s=0.2, command=(sys.executable, "-S", "-c", script)))
        return made[-1]

    yield make
    for child in made:
        child.close()


@pytest.fixture(scope="module")
def zbar() -> Iterator[qr.QrReader]:
    """A reader on a machine without zxing-cpp."""
    reader = qr.QrReader(use_zxing=False)
    assert reader.child is not None
    assert reader.child.wait_ready(10)
    yield reader
    reader.close()


@pytest.mark.parametrize("data", [b"HC1:6BFOXN", "é绿".encode(), bytes(range(256)), b"Zo\xeb"])
def test_libzbar_alone_gives_exact_bytes(zbar: qr.QrReader, data: bytes) -> None:
    """zbar guesses character sets unless it is told not to; corners and light-on-dark codes come out too."""
    picture = code(data, mode="byte")
    (found,) = zbar.decode(picture, 0.5)
    assert found.data == data
    assert found.engine == "zbar"
    assert np.abs(np.array(found.corners[2]) - (picture.shape[1] - 16)).max() <= 4
    assert zbar.decode(255 - picture, 0.5)[0].data == data


def test_a_large_frame_is_shrunk_and_its_corners_are_not(zbar: qr.QrReader) -> None:
    """Corners are in pixels of the frame handed in."""
    frame = np.full((1440, 2560), 255, np.uint8)
    picture = cv2.resize(code(b"GC1:BIG"), None, fx=5, fy=5, interpolation=cv2.INTER_NEAREST)
    frame[200 : 200 + picture.shape[0], 900 : 900 + picture.shape[1]] = picture
    (found,) = zbar.decode(frame, 0.5)
    assert np.abs(np.array(found.corners[0]) - (980, 280)).max() <= 16


def test_a_killed_child_is_back_within_a_second_and_counted() -> None:
    """As after a crash in libzbar: the next frames are read again."""
    reader = qr.QrReader(use_zxing=False)
    child = reader.child
    assert child is not None
    start_s = wait_until(lambda: child.wait_ready(0.01), 20)  # what a start costs on this machine now
    for died in (1, 2):
        pid = child.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda count=died: child.restarts == count)
        assert wait_until(lambda: child.wait_ready(0.01), 20) < max(1.0, 5 * start_s)
    assert [text.data for text in reader.decode(code(b"AGAIN"), 0.5)] == [b"AGAIN"]
    reader.close()


def test_a_child_that_dies_over_a_frame_costs_that_frame_only(child_of: Callable[[str], WatchedChild]) -> None:
    """The question comes back empty at once, not at its deadline."""
    child = child_of(DIES)
    assert child.wait_ready(5)
    began = time.monotonic()
    assert child.read(FRAME, 5.0) is None
    assert time.monotonic() - began < 2.0
    wait_until(lambda: child.restarts == 1 and child.wait_ready(0.01))


def test_a_child_that_hangs_is_left_at_the_deadline_and_killed(child_of: Callable[[str], WatchedChild]) -> None:
    """The caller gets its time back; the child is killed after its own limit, and another one serves."""
    child = child_of(HANGS)
    assert child.wait_ready(5)
    pid = child.pid
    assert child.read(FRAME, 0.02) is None
    assert child.read(FRAME, 0.02) is None, "busy: not asked again"
    wait_until(lambda: child.overruns == 1 and child.wait_ready(0.01))
    assert child.pid != pid


def test_a_child_that_writes_nonsense_is_killed(child_of: Callable[[str], WatchedChild]) -> None:
    """Its memory cannot be trusted any longer."""
    child = child_of(LIES)
    assert child.wait_ready(5)
    assert child.read(FRAME, 1.0) is None
    wait_until(lambda: child.restarts == 1)


def test_without_pyzbar_the_reader_gives_up_quietly(child_of: Callable[[str], WatchedChild]) -> None:
    """A soft import: not restarted for ever."""
    child = child_of(NOT_INSTALLED)
    wait_until(lambda: not child.available)
    assert not child.wait_ready(0.01)
    assert child.read(FRAME, 0.01) is None
    assert child.restarts == 0


def test_the_child_may_write_no_file_and_leave_no_core(zbar: qr.QrReader) -> None:
    """A crash must not leave the frame on the disk."""
    assert zbar.child is not None
    limits = Path(f"/proc/{zbar.child.pid}/limits").read_text(encoding="ascii").splitlines()
    for name in ("Max core file size", "Max file size"):
        (line,) = [each for each in limits if each.startswith(name)]
        assert line.split()[-3:-1] == ["0", "0"]


def test_closing_ends_the_child() -> None:
    """No process is left behind."""
    reader = qr.QrReader(use_zxing=False)
    assert reader.child is not None
    assert reader.child.wait_ready(10)
    pid = reader.child.pid
    reader.close()
    reader.close()
    assert not Path(f"/proc/{pid}").exists()
