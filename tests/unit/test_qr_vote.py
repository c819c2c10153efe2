"""Several frames together read what none of them shows (drivers/qr_vote.py, drivers/qr.py)."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from drivers import qr
from drivers.qr_vote import ModuleVote
from tests.bench.qr_pictures import Shot, code_texture, sheet_of, take

TEXT = "HC1:6BFOXN%TS3DH0RV8*NCFOXN TS0BI$ZD4:" * 5
Overlay = Callable[[np.ndarray, np.ndarray, np.random.Generator], np.ndarray]
FRAME_NS = 66_000_000
BUDGET_S = 5.0


def reflex(x: float, y: float, across: float = 0.21) -> Overlay:
    """A lamp's saturated reflex at a place of the sheet."""

    def over(picture: np.ndarray, uv: np.ndarray, _: np.random.Generator) -> np.ndarray:
        away = np.hypot(np.nan_to_num(uv[..., 0], nan=9.0) - x, np.nan_to_num(uv[..., 1], nan=9.0) - y)
        return (picture + 1.4 / (1 + np.exp(np.clip((away - across) * 150, -30, 30)))).astype(np.float32)

    return over


def frame(turn: float, text: str = TEXT) -> np.ndarray:
    """A code that corrects 7 % of its words under a reflex that covers twice as much and wanders with ``turn``."""
    rng = np.random.default_rng(3)
    sheet = sheet_of(code_texture(text, "l"), text, 0.1, rng)
    where = (0.13 * math.cos(turn) + 0.02, 0.13 * math.sin(turn) + 0.02)
    shot = Shot(fill=0.85, supersample=1, roll=0.1, light=0.7, overlays=[reflex(*where)])
    return take(sheet, shot, rng, np.random.default_rng(int(100 * turn)))


def test_a_reflex_that_wanders_hides_no_code() -> None:
    """Each frame alone is beyond error correction; with its stream's memory the second or third is read."""
    reader = qr.QrReader(use_zbar=False)
    frames = [frame(2 * math.pi * k / 3) for k in range(3)]
    assert [reader.decode(gray, BUDGET_S) for gray in frames] == [[], [], []]
    vote = ModuleVote()
    told = [reader.look(gray, BUDGET_S, k * FRAME_NS, None, vote).texts for k, gray in enumerate(frames)]
    assert told[0] == []
    assert [text.text for text in told[1] or told[2]] == [TEXT]


def test_frames_of_two_codes_together_give_a_text_to_nobody() -> None:
    """Two people's codes of one size, each spoilt: the error correction finds no third code in between."""
    reader, vote = qr.QrReader(use_zbar=False), ModuleVote()
    other = TEXT[::-1]
    for k in range(6):
        gray = frame(2 * math.pi * k / 3, (TEXT, other)[k % 2])
        for text in reader.look(gray, BUDGET_S, k * FRAME_NS, None, vote).texts:
            assert text.text in {TEXT, other}


def test_a_vote_counts_for_less_than_a_second_and_for_its_own_size() -> None:
    """Who stood there before has no part in it; nor has a code with other modules."""
    checks = np.where(np.indices((41, 41)).sum(0) % 2, 200, 50).astype(np.float32)
    vote = ModuleVote(keep_s=0.8)
    assert vote.cast(checks, 6, 0) is None
    assert vote.cast(checks[:37, :37], 5, FRAME_NS) is None
    count = vote.cast(checks, 6, 2 * FRAME_NS)
    assert count is not None
    assert count.frames == 2
    assert (count.dark == (checks < 100)).all()
    assert not count.doubtful.any()
    assert vote.cast(checks, 6, 2 * FRAME_NS + 900_000_000) is None
    vote.clear()
    assert vote.cast(checks, 6, 3 * FRAME_NS) is None


def test_what_every_frame_hides_is_in_doubt() -> None:
    """A thumb that stays: its modules are given up, not guessed."""
    values = np.where(np.random.default_rng(4).random((41, 41)) < 0.5, 200, 50).astype(np.float32)
    values[20:30, 20:30] = 250
    vote = ModuleVote()
    vote.cast(values, 6, 0)
    count = vote.cast(values, 6, FRAME_NS)
    assert count is not None
    assert count.doubtful[21:29, 21:29].all()
    assert count.doubtful.mean() < 0.15
