"""Rates and advice about a camera (kiosk/camera_report.py): values in, values out."""

from __future__ import annotations

from dataclasses import replace

import pytest

from drivers.devices import FaultKind
from drivers.picture_look import PictureLook
from drivers.qr_stream import CameraStats
from kiosk.camera_report import Advice, CameraMeter, advise

SECOND = 1_000_000_000
BOX = (((0.0, 0.0), (200.0, 0.0), (200.0, 200.0), (0.0, 200.0)),)
WELL = CameraStats(
    live=True,
    in_service=True,
    fault=None,
    detail="camera 1280x720",
    frames=0,
    dropped=0,
    passed=0,
    decodes=0,
    hits=0,
    told=0,
    unread=0,
    errors=0,
    frame_age_ms=40.0,
    decode_ms_mean=2.0,
    child_restarts=0,
    child_overruns=0,
    boxes=(),
    unread_boxes=(),
)
LOOK = PictureLook(brightness=120, white_percent=1, contrast=150, sharpness_percent=80, code_px=0)


def test_rates_are_those_of_the_last_three_seconds() -> None:
    """15 frames a second, then a camera that slows down: old times are forgotten."""
    meter, frames = CameraMeter(), 0
    report = meter.report(WELL, LOOK, (1280, 720), 0)
    assert report.fps is None, "nothing is known of the first instant"
    for tick in range(1, 101):
        frames += 3 if tick <= 50 else 1
        stats = replace(WELL, frames=frames, decodes=frames // 3)
        report = meter.report(stats, LOOK, (1280, 720), tick * SECOND // 5)
        if tick == 50:
            assert (report.fps, report.decodes_per_s) == (pytest.approx(15), pytest.approx(5))
    assert report.fps == pytest.approx(5)
    assert report.advice is Advice.SLOW


def test_a_camera_without_a_fault_and_without_a_code_is_asked_to_be_shown_one() -> None:
    """And nothing is said of the focus: the lane behind the place of the codes may be blurred."""
    blurred = replace(LOOK, sharpness_percent=12.0)
    assert advise(WELL, blurred, 720, 15) is Advice.SHOW_CODE


@pytest.mark.parametrize(
    ("fault", "advice"),
    [
        (FaultKind.MISSING, Advice.MISSING),
        (FaultKind.BUSY, Advice.BUSY),
        (FaultKind.NOT_PERMITTED, Advice.NOT_PERMITTED),
        (FaultKind.FROZEN, Advice.FROZEN),
        (FaultKind.DARK, Advice.COVERED),
        (FaultKind.SILENT, Advice.SILENT),
        (FaultKind.GARBLED, Advice.SILENT),
    ],
)
def test_a_fault_comes_before_everything_else(fault: FaultKind, advice: Advice) -> None:
    """Even while the last good picture still shows a code that was read."""
    assert advise(replace(WELL, fault=fault, boxes=BOX), LOOK, 720, 15) is advice


def test_an_old_picture_is_silence_for_a_camera_and_none_for_a_folder() -> None:
    """A folder holds its picture until it is decided."""
    old = replace(WELL, frame_age_ms=4000.0)
    assert advise(old, LOOK, 720, 0) is Advice.SILENT
    assert advise(replace(old, live=False), LOOK, 720, 0) is Advice.SHOW_CODE
    assert advise(WELL, None, 0, None) is Advice.SILENT


@pytest.mark.parametrize(
    ("changes", "advice"),
    [
        ({"brightness": 30.0}, Advice.TOO_DARK),
        ({"brightness": 240.0}, Advice.TOO_BRIGHT),
        ({"white_percent": 50.0}, Advice.TOO_BRIGHT),
        ({"code_px": 60.0}, Advice.NEARER),
        ({"code_px": 680.0}, Advice.FARTHER),
        ({"code_px": 200.0, "sharpness_percent": 20.0}, Advice.FOCUS),
        ({"code_px": 40.0, "sharpness_percent": 20.0}, Advice.FOCUS),
        ({"code_px": 200.0, "sharpness_percent": None}, Advice.HOLD_STILL),
        ({"code_px": 200.0}, Advice.HOLD_STILL),
    ],
)
def test_a_code_that_is_seen_and_not_read_says_why(changes: dict[str, float | None], advice: Advice) -> None:
    """Light first, then focus, then distance, then the hand."""
    look = replace(LOOK, **changes)
    assert advise(replace(WELL, unread_boxes=BOX), look, 720, 15) is advice


def test_a_code_that_is_read_is_good_even_in_odd_light() -> None:
    """A phone in the night, white paper in the sun: only its size may be worth a word."""
    read = replace(WELL, boxes=BOX)
    assert advise(read, replace(LOOK, brightness=20, code_px=200), 720, 15) is Advice.CODE_READ
    assert advise(read, replace(LOOK, white_percent=60, code_px=200), 720, 15) is Advice.CODE_READ
    assert advise(read, replace(LOOK, code_px=50), 720, 15) is Advice.NEARER
