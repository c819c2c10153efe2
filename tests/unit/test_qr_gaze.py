"""Where to look in the next frame of a stream (drivers/qr_gaze.py)."""

from __future__ import annotations

from functools import cache

import numpy as np

from drivers.qr_gaze import Gaze

SECOND = 1_000_000_000
SIZE = (480, 640)


@cache
def _noisy(seed: int) -> np.ndarray:
    scene = np.random.default_rng(0).integers(60, 180, (30, 40)).astype(np.float32)
    scene = np.kron(scene, np.ones((16, 16), np.float32))
    return np.clip(scene + np.random.default_rng(seed + 1).normal(0, 6, SIZE), 0, 255).astype(np.uint8)


def lane(i: int) -> np.ndarray:
    """An empty lane, with the noise of one frame."""
    return _noisy(i % 7).copy()


def test_an_empty_lane_is_looked_at_two_or_three_times_a_second() -> None:
    """15 frames a second for ten seconds; a sensor's noise is no movement."""
    gaze = Gaze()
    looks = [gaze.next(lane(i), i * SECOND // 15) for i in range(150)]
    assert 20 <= sum(look is not None for look in looks) <= 30


def test_movement_is_looked_at_at_once() -> None:
    """The first frame in which something small comes in."""
    gaze = Gaze()
    gaze.next(lane(0), 0)
    frame = lane(1)
    assert gaze.next(frame, SECOND // 15) is None
    frame = lane(2)
    frame[200:240, 300:340] = 255
    look = gaze.next(frame, 2 * SECOND // 15)
    assert look is not None
    assert look.box is None
    assert look.eager


def test_after_a_sighting_its_surroundings_are_looked_at_and_every_third_frame_the_whole() -> None:
    """A quarter of the cost, and a second phone is not overlooked."""
    gaze = Gaze()
    corners = ((200.0, 100.0), (300.0, 100.0), (300.0, 200.0), (200.0, 200.0))
    boxes = []
    for i in range(9):
        frame = lane(i)
        frame[100:200, 200 + i : 300 + i] = np.random.default_rng(i).integers(0, 2, (100, 100)) * 255
        look = gaze.next(frame, i * SECOND // 15)
        assert look is not None
        boxes.append(look.box)
        gaze.saw([corners], SIZE, i * SECOND // 15)
    assert boxes.count(None) == 3 + 1
    left, top, right, bottom = next(box for box in boxes if box)
    assert (0 <= left < 200, 300 < right <= 640, 0 <= top < 100, 200 < bottom <= 480) == (True,) * 4


def test_after_a_movement_every_frame_is_worth_a_look_until_one_is_read() -> None:
    """A phone held still is sharp between two tremors; but a poster that nobody can read costs no core for ever."""
    gaze = Gaze(eager_s=2.0)
    looked = []
    for i in range(90):
        frame = lane(i)
        frame[200:300, 300:400] = 255 * (i > 0)
        looked.append(gaze.next(frame, i * SECOND // 15) is not None)
        if looked[-1]:
            gaze.saw([], SIZE, i * SECOND // 15)
    assert all(looked[:30])
    assert sum(looked[45:]) <= 10


def test_once_read_a_code_held_still_is_looked_at_like_an_empty_lane() -> None:
    """To see that it is still there."""
    gaze = Gaze()
    read = [((10.0, 10.0), (200.0, 10.0), (200.0, 200.0), (10.0, 200.0))]
    looks = 0
    for i in range(45):
        if gaze.next(lane(i), i * SECOND // 15) is not None:
            looks += 1
            gaze.saw(read, SIZE, i * SECOND // 15)
    assert looks <= 9


def test_the_place_of_a_sighting_is_kept_for_a_second_only() -> None:
    """Then the whole frame again."""
    gaze = Gaze(follow_s=1.0)
    gaze.next(lane(0), 0)
    gaze.saw([((10.0, 10.0), (90.0, 10.0), (90.0, 90.0), (10.0, 90.0))], SIZE, 0)
    for i in range(1, 6):
        look = gaze.next(lane(i), SECOND + i * SECOND)
        assert look is not None
        assert look.box is None


def test_another_camera_resolution_counts_as_movement() -> None:
    """After replugging the camera may answer with another size."""
    gaze = Gaze()
    gaze.next(lane(0), 0)
    assert gaze.next(lane(1)[:240], SECOND // 15) is not None


def test_a_place_in_a_larger_picture_is_forgotten_with_it() -> None:
    """It may lie outside the new one, or mean another place there."""
    gaze = Gaze()
    gaze.next(lane(0), 0)
    gaze.saw([((500.0, 300.0), (600.0, 300.0), (600.0, 400.0), (500.0, 400.0))], SIZE, 0)
    for i in (1, 10):
        look = gaze.next(lane(i)[:240, :320], i * SECOND // 15)
        assert look is not None
        assert look.box is None
