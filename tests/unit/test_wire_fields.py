"""Checks of single fields from outside: what is taken, and what a refusal names."""

from __future__ import annotations

import re
from typing import Any

import pytest

from kiosk.records import Stream
from sync.errors import WireError
from sync.wire_fields import MAX_ID_CHARS, hash_of, short, stream_of, take

FIELDS: dict[str, tuple[type, ...]] = {"seq": (int,), "note": (str, type(None))}


def test_an_object_of_exactly_the_fields_is_taken_as_it_is() -> None:
    """Each field is there, of one of its types, and nothing else is."""
    wire = {"seq": 1, "note": None}
    assert take(wire, "thing", FIELDS) is wire


@pytest.mark.parametrize(
    ("wire", "named"),
    [
        ([], "list"),
        ({"seq": 1}, "note"),
        ({"seq": 1, "note": "", "more": 2}, "more"),
        ({"seq": True, "note": ""}, "thing seq"),
        ({"seq": 1.0, "note": ""}, "thing seq"),
        ({"seq": 1, "note": 2}, "thing note"),
    ],
)
def test_what_is_missing_unknown_or_of_another_type_is_named(wire: Any, named: str) -> None:
    """A truth value is no number here, as in JSON."""
    with pytest.raises(WireError, match=named):
        take(wire, "thing", FIELDS)


@pytest.mark.parametrize("text", ["a", "gate-east", "东门", "x" * MAX_ID_CHARS])
def test_short_texts_are_taken(text: str) -> None:
    """1 to 64 printable characters of any script."""
    assert short(text, "kiosk_id") == text


@pytest.mark.parametrize("text", ["", "x" * (MAX_ID_CHARS + 1), "a\nb", "a\x00", "\u202ea"])
def test_empty_long_and_unprintable_texts_are_refused(text: str) -> None:
    """A line break or a writing direction inside a name would forge what people read in a log."""
    with pytest.raises(WireError, match="kiosk_id"):
        short(text, "kiosk_id")


def test_a_hash_is_64_small_hexadecimal_digits() -> None:
    """One spelling only, since what is spelt is signed."""
    assert hash_of("ab" * 32, "head") == b"\xab" * 32
    for text in ("AB" * 32, "ab" * 31, "ab" * 33, "ab " * 32, "zz" * 32, ""):
        with pytest.raises(WireError, match="head"):
            hash_of(text, "head")


def test_a_stream_is_one_of_the_three() -> None:
    """The refusal lists them."""
    assert stream_of("alarm") is Stream.ALARM
    with pytest.raises(WireError, match=re.escape(", ".join(Stream))):
        stream_of("Alarm")
