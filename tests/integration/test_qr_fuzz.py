"""Hostile frames: random and mutated pictures, through every engine. Nothing crashes, nothing grows, nothing hangs."""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
import segno

from drivers import qr
from drivers.camera import Frame
from drivers.opencv import cv2
from drivers.picture_look import look_at
from drivers.picture_preview import preview_jpeg
from drivers.qr_stream import StreamReader

CAMPAIGN_FRAMES = 200_000
CAMPAIGN_PARTS = 8
CAMPAIGN_PARTS = 8
SHARE_S = 30.0
GROWTH_LIMIT_MB = 48


@lru_cache(maxsize=600)
def _modules(version: int, length: int, level: int) -> np.ndarray:
    code = segno.make_qr("A" * length, version=version, error="lmqh"[level])
    return np.array([list(row) for row in code.matrix], np.uint8)


@lru_cache(maxsize=600)
def _modules(version: int, length: int, level: int) -> np.ndarray:
    code = segno.make_qr("A" * length, version=version, error="lmqh"[level])
    return np.array([list(row) for row in code.matrix], np.uint8)


def _code(rng: np.random.Generator) -> np.ndarray:
    """A real code's picture: its version, level and scale by the dice."""
    version, length, level = (int(rng.integers(low, high)) for low, high in ((1, 16), (1, 11), (0, 4)))
    modules = _modules(version, length, level).copy()
    if rng.random() < 0.5:  # wrong modules: headers and lengths that lie, behind a valid checksum or not
        flips = rng.random(modules.shape) < rng.choice([0.003, 0.02, 0.1, 0.5])
        modules ^= flips.astype(np.uint8)
    scale = int(rng.integers(1, 9))
    return np.kron(255 - np.pad(modules, 4) * 255, np.ones((scale, scale), np.uint8))


def hostile(seed: int) -> np.ndarray:
    """One frame by seed."""
    rng = np.random.default_rng(seed)
    kind = int(rng.integers(0, 7))
    height, width = (int(side) for side in rng.integers(1, 420, 2))
    if kind == 0:
        return rng.integers(0, 256, (height, width), np.uint8)
    if kind == 1:  # stripes, rings and checks: finder patterns without end
        y, x = np.mgrid[0:height, 0:width]
        step = int(rng.integers(1, 12))
        ring = (np.maximum(abs(x - width // 2), abs(y - height // 2)) // step % 2, (x // step + y // step) % 2)
        return (ring[int(rng.integers(0, 2))] * 255).astype(np.uint8)
    frame = _code(rng)
    if kind == 2:
        return frame
    if kind == 3:  # anywhere, at any angle, cut off
        move = rng.normal(0, 0.6, (2, 3)).astype(np.float32)
        move[0, 0] += 0.8
        move[1, 1] += 0.8
        move[:, 2] = rng.uniform(-40, 120, 2)
        return cv2.warpAffine(frame, move, (max(width, 30), max(height, 30)), borderValue=float(rng.integers(0, 256)))
    if kind == 4:
        frame = np.tile(frame, (1, 3))[:, : 4 * frame.shape[0]]
    if kind == 5:
        rows = rng.permutation(frame.shape[0])[: frame.shape[0] // 8]
        frame[rows] = frame[rows[::-1]]
    noise = rng.normal(0, rng.choice([2.0, 20.0, 60.0]), frame.shape)
    return np.clip(frame * rng.uniform(0.1, 1.0) + noise, 0, 255).astype(np.uint8)


def _resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / 1e6


def run(frames: Iterator[int]) -> tuple[int, float]:
    """(frames, growth in MB after the first two hundred): every frame through the cascade, and through libzbar.

    Every fourth one also goes through a camera's stream, and through what the page for aiming makes of it.
    """
    reader, zbar = qr.QrReader(), qr.QrReader(use_zxing=False)
    stream = StreamReader(reader, budget_s=0.03)
    assert reader.child is not None
    assert zbar.child is not None
    assert zbar.child.wait_ready(20)
    count, settled_mb = 0, 0.0
    try:
        for seed in frames:
            frame = hostile(seed)
            began = time.thread_time()
            budget_s = 0.04 if count % 4 == 0 else 0.008  # the first engines see every frame, the last every fourth
            for text in reader.decode(frame, budget_s) + zbar.decode(frame, 0.05):
                assert 0 < len(text.data) <= 7089
            count += 1
            if count % 4 == 0:
                stream.take(Frame(frame, count * 66_000_000, count))
                assert preview_jpeg(frame, stream.boxes, stream.unread_boxes)
                look_at(frame, stream.boxes or stream.unread_boxes)
            assert time.thread_time() - began < 2.0, "a frame that takes the thread for seconds"
            if count == 200:
                settled_mb = _resident_mb()
        growth_mb = _resident_mb() - settled_mb if count > 200 else 0.0
        died = [child.restarts for child in (reader.child, zbar.child)]
        assert max(died) <= max(1, count // 1000), f"libzbar died {died} times"
        assert zbar.child.wait_ready(5), "and is there again"
    finally:
        reader.close()
        zbar.close()
    return count, growth_mb


@pytest.mark.slow
def test_a_share_of_the_hostile_frames_does_no_harm() -> None:
    """As many as fit into the time that the suite can spare, other ones each day."""

    def seeds() -> Iterator[int]:
        first = int(time.time() // 86_400) * 1_000_000
        until = time.monotonic() + SHARE_S
        while time.monotonic() < until:
            yield (first := first + 1)

    count, growth_mb = run(seeds())
    assert count > 100
    assert growth_mb < GROWTH_LIMIT_MB


@pytest.mark.campaign
@pytest.mark.parametrize("part", range(CAMPAIGN_PARTS))
def test_200_000_hostile_frames_do_no_harm(part: int) -> None:
    """The whole campaign, a part on each core; memory stays flat."""
    share = CAMPAIGN_FRAMES // CAMPAIGN_PARTS
    count, growth_mb = run(iter(range(part * share, (part + 1) * share)))
    assert count == share
    assert growth_mb < GROWTH_LIMIT_MB
