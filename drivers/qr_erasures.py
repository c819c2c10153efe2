"""Reed-Solomon with erasures: modules known to be spoilt cost half of what unknown errors cost.

A QR reader corrects ``k / 2`` wrong codewords among ``k`` check codewords. Glare, a thumb or a torn corner says where
it is, though: a patch without any change in brightness. Codewords under it are erasures, of which ``k`` could be
filled in; here :data:`MARGIN` check codewords are always left over to prove the result, so that a guess is never
taken for a text. The corrected codewords are put back into the modules, and the ordinary reader reads the code.

ISO/IEC 18004:2015: 7.5 (error correction; table 9), 7.7.3 (placement of codewords), 7.8.2 (masks), Annex A (field).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from drivers.opencv import cv2

MARGIN = 3
"""Check codewords of a block that must remain unused: a wrong word passes with a chance of 256 to the power of -3
for each block at the very most, and the text must then still be well-formed."""

Bits = NDArray[np.bool_]
Words = NDArray[np.uint8]

# Check codewords a block and number of blocks, by level (L, M, Q, H) and version 1 to 40 (table 9)
# fmt: off
_CHECKS = (
    (
        7, 10, 15, 20, 26, 18, 20, 24, 30, 18, 20, 24, 26, 30, 22, 24, 28, 30, 28, 28,
        28, 28, 30, 30, 26, 28, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30,
    ),
    (
        10, 16, 26, 18, 24, 16, 18, 22, 22, 26, 30, 22, 22, 24, 24, 28, 28, 26, 26, 26,
        26, 28, 28, 28, 28, 28, 28, 28, 28, 28, 28, 28, 28, 28, 28, 28, 28, 28, 28, 28,
    ),
    (
        13, 22, 18, 26, 18, 24, 18, 22, 20, 24, 28, 26, 24, 20, 30, 24, 28, 28, 26, 30,
        28, 30, 30, 30, 30, 28, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30,
    ),
    (
        17, 28, 22, 16, 22, 28, 26, 26, 24, 28, 24, 28, 22, 24, 24, 30, 28, 28, 26, 28,
        30, 24, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30,
    ),
)
_BLOCKS = (
    (
        1, 1, 1, 1, 1, 2, 2, 2, 2, 4, 4, 4, 4, 4, 6, 6, 6, 6, 7, 8,
        8, 9, 9, 10, 12, 12, 12, 13, 14, 15, 16, 17, 18, 19, 19, 20, 21, 22, 24, 25,
    ),
    (
        1, 1, 1, 2, 2, 4, 4, 4, 5, 5, 5, 8, 9, 9, 10, 10, 11, 13, 14, 16,
        17, 17, 18, 20, 21, 23, 25, 26, 28, 29, 31, 33, 35, 37, 38, 40, 43, 45, 47, 49,
    ),
    (
        1, 1, 2, 2, 4, 4, 6, 6, 8, 8, 8, 10, 12, 16, 12, 17, 16, 18, 21, 20,
        23, 23, 25, 27, 29, 34, 34, 35, 38, 40, 43, 45, 48, 51, 53, 56, 59, 62, 65, 68,
    ),
    (
        1, 1, 2, 4, 4, 4, 5, 6, 8, 8, 11, 11, 16, 16, 18, 16, 19, 21, 25, 25,
        25, 34, 30, 32, 35, 37, 40, 42, 45, 48, 51, 54, 57, 60, 63, 66, 70, 74, 77, 81,
    ),
)
# fmt: on
_LEVEL_OF_FORMAT = (1, 0, 3, 2)  # the two bits of the format: 00 M, 01 L, 10 H, 11 Q


def _field() -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Powers of the primitive element (three times round) and their logarithms, modulo x^8+x^4+x^3+x^2+1."""
    powers, logs = np.zeros(768, np.intp), np.zeros(256, np.intp)
    value = 1
    for k in range(255):
        powers[k] = powers[k + 255] = powers[k + 510] = value
        logs[value] = k
        value = value << 1 ^ (0x11D if value & 0x80 else 0)
    return powers, logs


_POWERS, _LOGS = _field()


def _times(a: NDArray[np.intp], b: NDArray[np.intp] | int) -> NDArray[np.intp]:
    b = np.asarray(b)
    return np.where((a == 0) | (b == 0), 0, _POWERS[_LOGS[a] + _LOGS[b]])


def _at(polynomial: NDArray[np.intp], logs: NDArray[np.intp]) -> NDArray[np.intp]:
    """The polynomial (lowest power first) at the elements with these logarithms."""
    powers = np.arange(len(polynomial))
    terms = np.where(polynomial == 0, 0, _POWERS[(_LOGS[polynomial] + np.outer(logs, powers)) % 255])
    return np.asarray(np.bitwise_xor.reduce(terms, axis=1))


def syndromes(block: Words, checks: int) -> NDArray[np.intp]:
    """All zero for a codeword."""
    return _at(block[::-1].astype(np.intp), np.arange(checks))


def corrected(block: Words, checks: int, erased: Bits) -> Words | None:
    """The codeword nearest to ``block`` given what is erased; None when it is not proved by :data:`MARGIN`."""
    found = syndromes(block, checks)
    if not found.any():
        return block
    size = len(block)
    places = size - 1 - np.flatnonzero(erased)
    count = len(places)
    if count > checks - MARGIN:
        return None
    locator = np.zeros(checks + 1, np.intp)
    locator[0] = 1
    for place in places:
        locator[1:] ^= _times(locator[:-1], int(_POWERS[place]))
    # Berlekamp and Massey, beginning with the erasures (Blahut)
    other, length = locator.copy(), count
    for step in range(count, checks):
        window = found[step::-1] if step < checks else found[::-1]
        discrepancy = int(np.bitwise_xor.reduce(_times(locator[: step + 1], window)))
        other = np.concatenate([[0], other[:-1]])
        if discrepancy:
            updated = locator ^ _times(other, discrepancy)
            if 2 * length <= step + count:
                length = step + 1 + count - length
                other = _times(locator, int(_POWERS[255 - _LOGS[discrepancy]]))
            locator = updated
    errors = length - count
    if errors < 0 or 2 * errors + count > checks - MARGIN:
        return None
    wrong = np.flatnonzero(_at(locator[: length + 1], (255 - np.arange(size)) % 255) == 0)
    if len(wrong) != length:
        return None
    evaluator = np.zeros(checks, np.intp)
    for k in range(length + 1):
        evaluator[k:] ^= _times(found[: checks - k], int(locator[k]))
    slope = np.where(np.arange(length + 1) % 2 == 1, locator[: length + 1], 0)[1:]
    inverse = (255 - wrong) % 255
    above, below = _at(evaluator, inverse), _at(slope, inverse)
    if not below.all():
        return None
    out = block.copy()
    magnitude = np.where(above == 0, 0, _POWERS[(_LOGS[above] - _LOGS[below] + 255 + wrong) % 255])
    out[size - 1 - wrong] ^= magnitude.astype(np.uint8)
    return None if syndromes(out, checks).any() else out


@lru_cache(maxsize=48)
def _places(version: int, free: bytes) -> NDArray[np.intp]:
    """Row and column of each data bit in their order: two columns at a time from the right, up and down."""
    size = 17 + 4 * version
    data = np.frombuffer(free, np.bool_).reshape(size, size)
    order: list[tuple[int, int]] = []
    right, upward = size - 1, True
    while right > 0:
        if right == 6:
            right = 5
        rows = range(size - 1, -1, -1) if upward else range(size)
        order += [(row, column) for row in rows for column in (right, right - 1) if data[row, column]]
        right, upward = right - 2, not upward
    return np.array(order, np.intp).T


def _mask(number: int, size: int) -> Bits:
    r, c = np.indices((size, size))
    rules = (
        (r + c) % 2,
        r % 2,
        c % 3,
        (r + c) % 3,
        (r // 2 + c // 3) % 2,
        r * c % 2 + r * c % 3,
        (r * c % 2 + r * c % 3) % 2,
        ((r + c) % 2 + r * c % 3) % 2,
    )
    return np.asarray(rules[number] == 0)


def spoilt(dark: Bits, reach: int) -> Bits:
    """Modules in patches without change, ``reach`` modules wide and high: data has none but by rare chance."""
    kernel = np.ones((reach, reach), np.uint8)
    shades = (dark.astype(np.uint8), (~dark).astype(np.uint8))
    opened = [cv2.morphologyEx(shade, cv2.MORPH_OPEN, kernel, borderValue=0) for shade in shades]
    return np.asarray(np.add(opened[0], opened[1]) > 0)


def filled(dark: Bits, version: int, format_word: int, free: Bits, erased: Bits) -> Bits | None:
    """The modules with their codewords corrected, None where a block cannot be.

    ``free`` are the modules that carry codewords, ``erased`` those not to be trusted, ``format_word`` the 15 bits of
    the format with its mask taken off.
    """
    level, number = _LEVEL_OF_FORMAT[format_word >> 13], format_word >> 10 & 7
    size = 17 + 4 * version
    rows, columns = _places(version, free.tobytes())
    total = len(rows) // 8
    rows, columns = rows[: total * 8], columns[: total * 8]
    mask = _mask(number, size)[rows, columns]
    words = np.packbits(dark[rows, columns] ^ mask)
    lost = erased[rows, columns].reshape(total, 8).any(axis=1)
    checks, blocks = _CHECKS[level][version - 1], _BLOCKS[level][version - 1]
    short, longer = total // blocks - checks, total % blocks
    for index in _interleaved(total, blocks, short, longer, checks):
        block = corrected(words[index], checks, lost[index])
        if block is None:
            return None
        words[index] = block
    out = dark.copy()
    out[rows, columns] = np.unpackbits(words).astype(np.bool_) ^ mask
    return out


@lru_cache(maxsize=32)
def _interleaved(total: int, blocks: int, short: int, longer: int, checks: int) -> tuple[NDArray[np.intp], ...]:
    """Where each block's codewords lie in the stream; the last ``longer`` blocks have one data codeword more."""
    parts: list[list[int]] = [[] for _ in range(blocks)]
    at = 0
    for column in range(short + 1):
        for block in range(blocks):
            if column < short or block >= blocks - longer:
                parts[block].append(at)
                at += 1
    for _ in range(checks):
        for block in range(blocks):
            parts[block].append(at)
            at += 1
    assert at == total  # noqa: S101 - the tables are consistent, and a test walks through all of them
    return tuple(np.array(part, np.intp) for part in parts)
