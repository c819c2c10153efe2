"""A grid that slipped by a module is noticed and led back (drivers/qr_regrow.py)."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from drivers import qr_finders, qr_regrow, qr_warp
from drivers.qr_clock import FrameClock
from tests.bench.qr_pictures import Shot, code_texture, sheet_of, take

TEXT = "HC1:6BFOXN%TS3DH0RV8*NCFOXN TS0BI$ZD4:" * 4


@pytest.fixture(scope="module")
def flat() -> tuple[np.ndarray, np.ndarray]:
    """A code seen straight, with its map."""
    rng = np.random.default_rng(1)
    gray = take(sheet_of(code_texture(TEXT, "m"), TEXT, 0.1, rng), Shot(fill=0.85, supersample=1, roll=0.3), rng)
    (triple,) = qr_finders.triples(qr_finders.find(gray), limit=1)
    size = 17 + 4 * qr_warp.versions(gray, triple)[0]
    return gray, qr_warp.refine(gray, qr_warp.first_map(gray, triple, size))


def slipped(grid: np.ndarray) -> np.ndarray:
    """The lower right quarter one module to the left, the way there within three modules."""
    size = grid.shape[0] - 1
    columns, rows = np.meshgrid(np.arange(size + 1, dtype=np.float32), np.arange(size + 1, dtype=np.float32))
    inside = np.clip((np.minimum(columns, rows) - 0.6 * size) / 3, 0, 1).astype(np.float32)
    return qr_warp.moved(grid, columns - inside, rows)


def test_a_good_map_is_sure_nearly_everywhere_and_left_alone(flat: tuple[np.ndarray, np.ndarray]) -> None:
    """Nothing is grown where nothing slipped."""
    gray, grid = flat
    assert qr_regrow.sure(gray, grid)[0].mean() > 0.95
    assert list(qr_regrow.regrown(gray, grid, FrameClock(10.0, {}))) == []


def test_a_slipped_quarter_is_not_trusted_though_it_lies_on_lines(flat: tuple[np.ndarray, np.ndarray]) -> None:
    """Its phase is perfect; but it hangs together with a finder pattern only over a jump."""
    gray, grid = flat
    sure, printed = qr_regrow.sure(gray, slipped(grid))
    size = len(sure)
    assert printed.mean() > 0.9
    assert sure[: size // 2, : size // 2].mean() > 0.9
    assert not sure[int(0.75 * size) :, int(0.75 * size) :].any()


def test_a_slipped_quarter_is_grown_anew_from_what_is_sure(flat: tuple[np.ndarray, np.ndarray]) -> None:
    """Within a fifth of a module of the true map."""
    gray, grid = flat
    *_, last = qr_regrow.regrown(gray, slipped(grid), FrameClock(10.0, {}))
    module_px = float(np.median(np.linalg.norm(np.diff(grid, axis=1), axis=2)))
    away = np.linalg.norm(last - grid, axis=2) / module_px
    assert np.percentile(np.linalg.norm(slipped(grid) - grid, axis=2) / module_px, 95) > 0.9
    assert np.percentile(away, 99) < 0.2


def test_a_spent_budget_ends_the_growth(flat: tuple[np.ndarray, np.ndarray]) -> None:
    """No round is begun that the frame cannot afford."""
    gray, grid = flat
    assert list(qr_regrow.regrown(gray, slipped(grid), FrameClock(0.0, {}))) == []


def test_a_map_is_led_on_in_a_straight_line() -> None:
    """An affine map of which a quarter is known is continued exactly."""
    columns, rows = np.meshgrid(np.arange(40, dtype=np.float32), np.arange(40, dtype=np.float32))
    true = np.dstack([3 * columns + rows + 50, 4 * rows - columns + 20]).astype(np.float32)
    known = np.zeros((40, 40), bool)
    known[:20, :20] = True
    wrong = np.where(known[..., None], true, np.float32(0))
    away = np.linalg.norm(qr_regrow.led_on(wrong, known) - true, axis=2)
    near = [away[: 20 + k, : 20 + k].max() for k in (0, 4, 20)]
    assert near[1] < 0.8  # pixels, of modules of three
    assert all(a <= b for a, b in pairwise(near))
