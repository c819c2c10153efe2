"""Modules of successive frames together, before error correction.

A lamp's reflex wanders over the screen, a hand trembles, the sensor's noise is another in each frame: what one frame
does not show of a code another does. Each frame whose grid was found but whose code could not be read casts a vote on
every module; patches without any change (glare, cover: :func:`drivers.qr_erasures.spoilt`) abstain. Two different codes
voted on together give a text to nobody: the error correction is the judge, as always.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drivers import qr_erasures
from drivers.opencv import cv2

_NS = 1_000_000_000
_REACH = 3  # modules: the neighbourhood that says what is dark and what is light
_DOUBTFUL = 0.25  # of 1: nearer to undecided than this, a module is given up where erasures can be filled

Values = NDArray[np.float32]
Bits = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Count:
    """What the frames together say: True where dark, and which modules are in doubt."""

    dark: Bits
    doubtful: Bits
    frames: int


@dataclass(frozen=True, slots=True)
class _Vote:
    at_ns: int
    version: int
    signs: Values
    weights: Values


def _vote(values: Values) -> tuple[Values, Values]:
    """For (n, n) brightnesses: -1 (light) to 1 (dark), and how much that counts."""
    kernel = np.ones((2 * _REACH + 1, 2 * _REACH + 1), np.uint8)
    low, high = cv2.erode(values, kernel), cv2.dilate(values, kernel)
    middle = cv2.GaussianBlur((low + high) / 2, (0, 0), _REACH * 0.7)
    contrast = cv2.GaussianBlur((high - low) / 2, (0, 0), _REACH * 0.7)
    signs = np.clip((middle - values) / np.maximum(contrast, 4.0), -1, 1).astype(np.float32)
    flat = qr_erasures.spoilt(signs > 0, 4)
    return signs, np.where(flat, np.float32(0), np.float32(1))


class ModuleVote:
    """The votes of one stream. ``keep_s``: a frame's vote counts for so long; ``most``: so many frames at once."""

    def __init__(self, *, keep_s: float = 0.8, most: int = 6) -> None:
        self._keep_ns = int(keep_s * _NS)
        self._most = most
        self._votes: list[_Vote] = []

    def clear(self) -> None:
        """A code was read: what follows is another matter."""
        self._votes.clear()

    def cast(self, values: Values, version: int, at_ns: int) -> Count | None:
        """One frame's (n, n) module brightnesses of a code of this version; the count where it is not the first."""
        recent = [vote for vote in self._votes if 0 <= at_ns - vote.at_ns <= self._keep_ns]
        self._votes = [*recent, _Vote(at_ns, version, *_vote(values))][-self._most :]
        same = [vote for vote in self._votes if vote.version == version]
        if len(same) < 2:
            return None
        weight = sum(vote.weights for vote in same)
        signs = sum(vote.signs * vote.weights for vote in same) / np.maximum(weight, np.float32(1))
        return Count(signs > 0, (np.abs(signs) < _DOUBTFUL) | (weight == 0), len(same))
