"""Frozen and black pictures are faults (drivers/picture_health.py)."""

from __future__ import annotations

import numpy as np

from drivers.devices import FaultKind
from drivers.picture_health import PictureHealth

SECOND = 1_000_000_000


def watch(frames: list[np.ndarray], fps: int = 10) -> list[FaultKind | None]:
    health = PictureHealth(frozen_s=3.0, dark_s=3.0)
    health.begin(0)
    return [health.observe(frame, i * SECOND // fps) for i, frame in enumerate(frames)]


def noisy(level: float, count: int, seed: int = 1) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [np.clip(rng.normal(level, 4, (90, 160)), 0, 255).astype(np.uint8) for _ in range(count)]


def test_a_noisy_scene_is_healthy_by_day_and_by_night() -> None:
    """Noise moves every frame, and a dim scene with some spread is not a covered lens."""
    assert watch(noisy(120, 60)) == [None] * 60
    assert watch(noisy(14, 60)) == [None] * 60


def test_a_picture_that_repeats_to_the_last_bit_is_frozen_after_three_seconds() -> None:
    """A hung driver hands out its last buffer for ever."""
    frame = noisy(120, 1)[0]
    seen = watch([frame] * 40)
    assert seen[:30] == [None] * 30
    assert set(seen[30:]) == {FaultKind.FROZEN}


def test_a_covered_lens_is_dark_whether_black_is_0_or_16() -> None:
    """Full-range and limited-range video both."""
    rng = np.random.default_rng(2)
    for black in (0, 16):
        frames = [np.full((90, 160), black, np.uint8) + rng.integers(0, 2, (90, 160), np.uint8) for _ in range(40)]
        assert watch(frames)[-1] is FaultKind.DARK


def test_light_brings_a_dark_camera_back() -> None:
    """The fault ends with the first frame that shows something."""
    seen = watch([np.zeros((90, 160), np.uint8)] * 40 + noisy(90, 2))
    assert seen[-3] is FaultKind.DARK
    assert seen[-2:] == [None, None]
