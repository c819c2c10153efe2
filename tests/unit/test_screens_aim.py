"""The page for aiming (kiosk/screens/aim.py): a picture only when asked for, and not more often than it may be."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from drivers.camera import Frame
from drivers.opencv import cv2
from drivers.qr_stream import CameraStats
from kiosk.camera_report import Advice
from kiosk.screens.aim import PICTURES_PER_S, Aim
from tests.unit.test_camera_report import BOX, WELL

SECOND = 1_000_000_000


@dataclass
class Camera:
    """A camera whose frames and counters the test sets."""

    frame: Frame | None = None
    now: CameraStats = WELL
    asked: list[str] = field(default_factory=list)

    def latest_frame(self) -> Frame | None:
        self.asked.append("frame")
        return self.frame

    def stats(self) -> CameraStats:
        return self.now


@pytest.fixture
def camera() -> Camera:
    return Camera(Frame(np.random.default_rng(1).integers(40, 200, (480, 640), np.uint8), 0, 1))


@pytest.fixture
def now() -> list[int]:
    """The clock, moved by the test."""
    return [0]


def test_nothing_is_made_until_a_page_asks(camera: Camera, now: list[int]) -> None:
    """A gate whose guard looks elsewhere pays nothing."""
    Aim({"in": camera}, clock_ns=lambda: now[0])
    assert camera.asked == []


def test_ten_pages_that_ask_all_the_time_get_five_pictures_a_second(camera: Camera, now: list[int]) -> None:
    """However many look, the gate's work is bounded; each gets the newest that was made."""
    aim = Aim({"in": camera}, clock_ns=lambda: now[0])
    pictures = set()
    for i in range(1000):
        now[0] = i * SECOND // 1000
        camera.frame = Frame(np.full((480, 640), i // 5, np.uint8), now[0], i)
        pictures |= {aim.picture("in") for _ in range(10)}
    assert len(camera.asked) == PICTURES_PER_S
    assert len(pictures) == PICTURES_PER_S


def test_the_figures_are_bounded_too(camera: Camera, now: list[int]) -> None:
    """Sharpness is the dearest of them."""
    aim = Aim({"in": camera}, clock_ns=lambda: now[0])
    for i in range(1000):
        now[0] = i * SECOND // 1000
        aim.report("in")
    assert len(camera.asked) == 3


def test_the_picture_shows_the_boxes_and_the_report_its_advice(camera: Camera, now: list[int]) -> None:
    """What the decoder read, where it read it."""
    camera.now = replace(WELL, boxes=BOX)
    aim = Aim({"in": camera}, clock_ns=lambda: now[0])
    jpeg = aim.picture("in")
    assert jpeg is not None
    picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    green = (picture[:, :, 1].astype(int) - picture[:, :, 2]) > 80
    assert 400 < green.sum() < 3000
    assert aim.report("in").advice is Advice.CODE_READ


def test_before_the_first_frame_there_is_no_picture_and_an_advice(now: list[int]) -> None:
    """A camera that was never plugged in."""
    aim = Aim({"in": Camera()}, clock_ns=lambda: now[0])
    assert aim.picture("in") is None
    assert aim.report("in").advice is Advice.SILENT


def test_a_lane_without_a_camera_is_none_of_its() -> None:
    """The routes ask first."""
    with pytest.raises(KeyError):
        Aim({}).picture("out")
