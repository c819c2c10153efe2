"""Sealed values (``kiosk/sealing.py``): what opens them, and that nothing else does."""

from __future__ import annotations

import pytest

from kiosk.sealing import Seal, SealError, derived_key

KEY = bytes(range(32))


def test_a_sealed_text_opens_only_in_its_own_column_and_row_with_its_own_key() -> None:
    """A name copied to another person's row, to another column or read with another key shows nothing."""
    sealed = Seal(KEY).sealed_text("王小明", "name", "R-0001")
    assert Seal(KEY).opened_text(sealed, "name", "R-0001") == "王小明"
    for seal, column, row in (
        (Seal(KEY), "name", "R-0002"),
        (Seal(KEY), "phone", "R-0001"),
        (Seal(bytes(32)), "name", "R-0001"),
    ):
        with pytest.raises(SealError, match="this key does not open"):
            seal.opened_text(sealed, column, row)


@pytest.mark.parametrize("damaged", [b"", b"short", bytes(12), bytes(40)])
def test_damaged_bytes_are_refused_as_one_kind_of_error(damaged: bytes) -> None:
    """Cut to nothing, shorter than nonce or tag, or overwritten with zeros."""
    with pytest.raises(SealError):
        Seal(KEY).opened(damaged, b"")


def test_the_same_text_is_never_sealed_to_the_same_bytes() -> None:
    """Nobody sees in a stolen file who has the same phone number: the nonce is fresh each time."""
    seal = Seal(KEY)
    assert seal.sealed(b"13800138000", b"") != seal.sealed(b"13800138000", b"")


def test_keys_of_two_uses_are_two_keys_and_stay_the_same_over_restarts() -> None:
    """HKDF-Expand with SHA-256 (RFC 5869, 2.3), one block: HMAC of the use's name and 01."""
    assert derived_key(KEY, b"gatepost roster seal 1").hex() == (
        "6fad61cab9f6fdc9c9c1d6589efeef4904cc8754493448dfea9e0b2fab239c86"
    )
    assert derived_key(KEY, b"gatepost roster card 1") != derived_key(KEY, b"gatepost roster seal 1")


def test_a_key_of_another_length_is_refused() -> None:
    """AES would take 16 bytes, too; a seal here has 32."""
    with pytest.raises(ValueError, match="16 bytes"):
        Seal(bytes(16))
