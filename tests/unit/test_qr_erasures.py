"""Reed-Solomon with erasures (drivers/qr_erasures.py)."""

from __future__ import annotations

import numpy as np
import pytest
import segno
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers import qr_erasures, qr_symbol

LEVELS = "lmqh"


def code(version: int, level: str, mask: int = 2) -> np.ndarray:
    """A code from an independent encoder, True where dark."""
    made = segno.make_qr("GATEPOST", version=version, error=level, mask=mask, boost_error=False)
    return np.array([list(row) for row in made.matrix]) == 1


@pytest.mark.parametrize("level", LEVELS)
def test_every_block_of_every_version_is_a_codeword(level: str) -> None:
    """Tables, placement, masks and interleaving against an independent encoder, all 160 kinds."""
    for version in range(1, 41):
        modules = code(version, level, mask=version % 8)
        layout = qr_symbol.layout_of(modules, version)
        nothing = np.zeros_like(modules)
        filled = qr_erasures.filled(modules, version, layout.format_word, layout.free, nothing)
        assert filled is not None, (version, level)
        assert (filled == modules).all()


@settings(deadline=None)
@given(st.data())
def test_errors_and_erasures_are_corrected_up_to_the_margin(data: st.DataObject) -> None:
    """Twice the errors and the erasures together, three check codewords left over."""
    modules = code(5, "q")
    layout = qr_symbol.layout_of(modules, 5)
    rng = np.random.default_rng(data.draw(st.integers(0, 10_000)))
    checks, size = 18, 33
    block = _block(modules, layout)
    erasures = data.draw(st.integers(0, checks - qr_erasures.MARGIN))
    errors = data.draw(st.integers(0, (checks - qr_erasures.MARGIN - erasures) // 2))
    places = rng.permutation(size)[: erasures + errors]
    wrong = block.copy()
    wrong[places] ^= rng.integers(1, 256, len(places)).astype(np.uint8)
    erased = np.zeros(size, bool)
    erased[places[:erasures]] = True
    found = qr_erasures.corrected(wrong, checks, erased)
    assert found is not None
    assert (found == block).all()


def _block(modules: np.ndarray, layout: qr_symbol.Layout) -> np.ndarray:
    """The first block of a 5-Q code: 15 data and 18 check codewords."""
    rows, columns = qr_erasures._places(5, layout.free.tobytes())
    mask = qr_erasures._mask(layout.format_word >> 10 & 7, 37)
    words = np.packbits((modules ^ mask)[rows[: 134 * 8], columns[: 134 * 8]])
    return words[qr_erasures._interleaved(134, 4, 15, 2, 18)[0]]


@settings(deadline=None)
@given(st.binary(min_size=33, max_size=33), st.integers(0, 15))
def test_noise_is_never_taken_for_a_codeword(noise: bytes, erasures: int) -> None:
    """However much is erased, within the margin."""
    block = np.frombuffer(noise, np.uint8).copy()
    erased = np.arange(33) < erasures
    found = qr_erasures.corrected(block, 18, erased)
    assert found is None or not qr_erasures.syndromes(found, 18).any()
    if len(set(noise)) > 8:
        assert found is None


def test_a_patch_of_glare_is_filled_in_where_errors_alone_would_be_too_many() -> None:
    """A light patch of 12 by 12 modules on a 5-M code."""
    modules = code(5, "m")
    layout = qr_symbol.layout_of(modules, 5)
    glare = modules.copy()
    glare[11:23, 12:24] = False
    nothing = np.zeros_like(modules)
    assert qr_erasures.filled(glare, 5, layout.format_word, layout.free, nothing) is None
    filled = qr_erasures.filled(glare, 5, layout.format_word, layout.free, qr_erasures.spoilt(glare, 4))
    assert filled is not None
    assert (filled == modules).all()


def test_data_has_hardly_a_patch_without_change() -> None:
    """What is erased for nothing stays far below what can be corrected."""
    rng = np.random.default_rng(3)
    assert qr_erasures.spoilt(rng.random((77, 77)) < 0.5, 4).mean() < 0.02
