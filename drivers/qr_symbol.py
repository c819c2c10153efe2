"""What a QR symbol must show, and a set of modules put right by it.

Finders, timing, alignment and version bits are the same in every symbol of a size (ISO/IEC 18004:2015, 6.3; the
version word 7.10); the format (7.9) is one of 32 words written twice. Everything else is data.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from drivers.qr_finders import Gray


def alignment_centres(version: int) -> list[int]:
    """Rows and columns of alignment patterns' middles (ISO/IEC 18004:2015, Annex E)."""
    if version == 1:
        return []
    count = version // 7 + 2
    last = 4 * version + 10
    step = 26 if version == 32 else (version * 4 + count * 2 + 1) // (count * 2 - 2) * 2
    return [6] + [last - step * k for k in range(count - 2, -1, -1)]


def _bch(value: int, generator: int, bits: int) -> int:
    """``value`` followed by the remainder of its division (BCH codes of Annexes C and D)."""
    rest = value << bits
    for shift in range(rest.bit_length() - 1, bits - 1, -1):
        if rest >> shift & 1:
            rest ^= generator << (shift - bits)
    return value << bits | rest


_FORMAT_MASK = 0x5412
_FORMATS = np.array([_bch(value, 0x537, 10) ^ _FORMAT_MASK for value in range(32)])
VERSION_WORDS = np.array([_bch(version, 0x1F25, 12) for version in range(7, 41)])

# (row, column) of the format's fifteen bits, the most significant first; the second copy counts from the far ends
_FORMAT_FIRST = [(8, c) for c in (0, 1, 2, 3, 4, 5, 7, 8)] + [(r, 8) for r in (7, 5, 4, 3, 2, 1, 0)]
_FORMAT_SECOND = [(-1 - k, 8) for k in range(7)] + [(8, -8 + k) for k in range(8)]


@lru_cache(maxsize=48)
def template(version: int) -> NDArray[np.int8]:
    """1 dark, 0 light where every symbol of this version is so, -1 elsewhere (data, format)."""
    size = 17 + 4 * version
    grid = np.full((size, size), -1, np.int8)
    square = np.zeros((9, 9), np.int8)
    square[1:8, 1:8], square[2:7, 2:7], square[3:6, 3:6] = 1, 0, 1
    grid[:8, :8], grid[:8, -8:], grid[-8:, :8] = square[1:, 1:], square[1:, :-1], square[:-1, 1:]
    grid[6, 8:-8] = grid[8:-8, 6] = (np.arange(8, size - 8) + 1) % 2
    mark = np.zeros((5, 5), np.int8)
    mark[:] = 1
    mark[1:4, 1:4] = 0
    mark[2, 2] = 1
    for row in alignment_centres(version):
        for column in alignment_centres(version):
            if not ((row < 9 and column < 9) or (row < 9 and column > size - 10) or (row > size - 10 and column < 9)):
                grid[row - 2 : row + 3, column - 2 : column + 3] = mark
    grid[size - 8, 8] = 1
    if version >= 7:
        bits = (int(VERSION_WORDS[version - 7]) >> np.arange(18)) & 1
        grid[:6, -11:-8] = bits.reshape(6, 3)
        grid[-11:-8, :6] = bits.reshape(6, 3).T
    return grid


def function_match(dark: NDArray[np.bool_], version: int) -> float:
    """The share of the modules known beforehand that are as they must be."""
    known = template(version)
    mask = known >= 0
    return float((dark[mask] == (known[mask] == 1)).mean())


def _format_of(dark: NDArray[np.bool_]) -> tuple[int, int]:
    """(wrong bits, word) of the nearest valid format in either of its copies."""
    best = (99, 0)
    for places in (_FORMAT_FIRST, _FORMAT_SECOND):
        word = 0
        for row, column in places:
            word = word << 1 | int(dark[row, column])
        distances = [int(each).bit_count() for each in _FORMATS ^ word]
        best = min(best, (min(distances), int(_FORMATS[distances.index(min(distances))])))
    return best


@dataclass(frozen=True, slots=True)
class Layout:
    """A code's modules with everything known beforehand put right, its format without its mask, and which modules
    carry codewords."""

    dark: NDArray[np.bool_]
    format_word: int
    free: NDArray[np.bool_]


def layout_of(dark: NDArray[np.bool_], version: int) -> Layout:
    """The modules with what is known beforehand put right, and the format as its nearest valid word.

    A code seen in a mirror or through a pane has its format only when rows and columns are exchanged: then they are.
    """
    wrong, word = _format_of(dark)
    if wrong:
        mirrored = _format_of(dark.T)
        if mirrored[0] < wrong:
            dark, word = dark.T, mirrored[1]
    known = template(version)
    out = np.where(known >= 0, known == 1, dark)
    free = known < 0
    for places in (_FORMAT_FIRST, _FORMAT_SECOND):
        for k, (row, column) in enumerate(places):
            out[row, column] = bool(word >> (14 - k) & 1)
            free[row, column] = False
    return Layout(np.asarray(out, np.bool_), word ^ _FORMAT_MASK, free)


def picture(dark: NDArray[np.bool_]) -> Gray:
    """The modules drawn as a clean code, three pixels each, with its quiet zone."""
    padded = np.pad(np.where(dark, 0, 255).astype(np.uint8), 4, constant_values=255)
    return np.kron(padded, np.ones((3, 3), np.uint8))
