"""Figures to aim, light and focus a camera by (drivers/picture_look.py), and the small picture with its boxes."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from drivers.opencv import cv2
from drivers.picture_look import look_at
from drivers.picture_preview import PREVIEW_WIDTH_PX, preview_jpeg

BOX = ((400.0, 200.0), (640.0, 200.0), (640.0, 440.0), (400.0, 440.0))


def scene(blur_px: float = 0.0, noise: float = 3.0, low: int = 60, high: int = 180) -> np.ndarray:
    """Modules of 8 pixels all over 1280x720, blurred as by a lens out of focus, with a sensor's noise."""
    rng = np.random.default_rng(5)
    modules = np.kron(rng.integers(0, 2, (90, 160)), np.ones((8, 8))).astype(np.float32) * (high - low) + low
    lens = cv2.GaussianBlur(modules, (0, 0), blur_px) if blur_px else modules
    return np.clip(lens + rng.normal(0, noise, lens.shape), 0, 255).astype(np.uint8)


def sharpness(gray: np.ndarray) -> float:
    percent = look_at(gray).sharpness_percent
    assert percent is not None
    return percent


def test_turning_the_lens_towards_focus_raises_the_sharpness_all_the_way() -> None:
    """Otherwise an installer would stop too early; noise does not look like sharpness."""
    percents = [sharpness(scene(blur_px)) for blur_px in (6.0, 4.0, 3.0, 2.0, 1.0, 0.0)]
    assert all(nearer > before + 5 for before, nearer in pairwise(percents))
    assert percents[0] < 30
    assert percents[-1] > 85


@pytest.mark.parametrize(("low", "high"), [(20, 80), (60, 180), (5, 250)])
def test_the_sharpness_is_the_same_in_weak_and_strong_light(low: int, high: int) -> None:
    """More light is not more focus."""
    assert abs(sharpness(scene(2.0, low=low, high=high)) - 55) < 8


def test_a_wall_without_edges_has_no_sharpness() -> None:
    """Its steepest edges are noise: rather nothing than a figure that means nothing."""
    wall = np.clip(np.random.default_rng(1).normal(120, 6, (720, 1280)), 0, 255).astype(np.uint8)
    assert look_at(wall).sharpness_percent is None


def test_the_code_is_judged_where_there_is_one() -> None:
    """A sharp code before a blurred lane; a burnt-out lamp beside it does not count."""
    gray = scene(6.0)
    sharp = scene(0.0)
    gray[200:440, 400:640] = sharp[200:440, 400:640]
    gray[:150] = 255
    look = look_at(gray, [((0.0, 0.0), (40.0, 0.0), (40.0, 40.0), (0.0, 40.0)), BOX])
    assert look.sharpness_percent is not None
    assert look.sharpness_percent > 85
    assert look.white_percent < 1
    assert look.code_px == pytest.approx(240)


def test_brightness_and_burnt_out_share_are_those_of_the_middle() -> None:
    """Dark, and half burnt out."""
    dark = look_at(scene(low=5, high=30))
    assert dark.brightness < 30
    bright = scene()
    bright[:, 640:] = 255
    assert look_at(bright).white_percent == pytest.approx(50, abs=2)


@pytest.mark.parametrize("corners", [(), ((-900.0, -900.0), (9000.0, -900.0), (9000.0, 9000.0), (-900.0, 9000.0))])
@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (400, 2), (2, 300), (40, 2000), (480, 640)])
def test_no_size_and_no_wild_corners_break_it(shape: tuple[int, int], corners: tuple[tuple[float, float], ...]) -> None:
    """What could not be read is sometimes seen half outside the frame."""
    gray = np.random.default_rng(2).integers(0, 256, shape, np.uint8)
    look_at(gray, [corners])
    assert preview_jpeg(gray, [corners] if corners else [], [corners] if corners else []).startswith(b"\xff\xd8\xff")


def test_the_small_picture_shows_read_and_unread_codes_apart() -> None:
    """By colour and by form: the box of an unread code is crossed, that of a read one is empty."""
    gray = np.full((720, 1280), 90, np.uint8)
    other = tuple((x + 500, y) for x, y in BOX)
    jpeg = preview_jpeg(gray, [BOX], [other])
    picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    assert picture.shape == (360, PREVIEW_WIDTH_PX, 3)
    colours = {"read": picture[160, 200].astype(int), "inside": picture[160, 260].astype(int)}
    assert colours["read"][1] > 150 > colours["read"][2]
    assert abs(colours["inside"] - 90).max() < 12, "nothing inside a read box"
    crossing = picture[160, 510].astype(int)
    assert crossing[2] > 180 > crossing[0]
    assert len(jpeg) < 40_000
