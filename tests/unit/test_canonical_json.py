"""JSON from outside: one value has one form, and everything is bounded."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kiosk.records import canonical
from sync.canonical_json import MAX_NESTING, loads_canonical
from sync.errors import WireError

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
bodies = st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=8), values, max_size=4)


@settings(max_examples=40, deadline=None)
@given(bodies)
def test_the_fast_canonical_form_is_the_slow_one(body: dict[str, Any]) -> None:
    """What the contract's canonical form writes, the reader takes, keys above U+FFFF included."""
    assert loads_canonical(canonical(body)) == body


@pytest.mark.parametrize(
    "text",
    [
        '{"a": 1}',
        '{"b":1,"a":2}',
        '{"a":1,"a":1}',
        '{"a":1.0}',
        '{"a":1e3}',
        '{"a":NaN}',
        '{"a":9007199254740993}',
        '{"a":' + "9" * 5000 + "}",
        '"\\ud800"',
        '"\\u0041"',
        "[" * 100_000,
        '{"a":' * 5000 + "1" + "}" * 5000,
        "",
        "nonsense",
    ],
    ids=lambda text: str(text)[:20],
)
def test_json_that_is_not_canonical_is_refused(text: str) -> None:
    """One value has one form: anything else has no business under a signature."""
    with pytest.raises(WireError):
        loads_canonical(text.encode("utf-8", "surrogatepass"))


def test_nesting_and_size_are_bounded() -> None:
    """At most 24 levels, and at most the bytes that the caller allows (413)."""
    deepest = "[" * MAX_NESTING + "]" * MAX_NESTING
    assert loads_canonical(deepest.encode())
    with pytest.raises(WireError, match="deeper nesting"):
        loads_canonical(f"[{deepest}]".encode())
    with pytest.raises(WireError) as caught:
        loads_canonical(b"[1,2]", max_bytes=4)
    assert caught.value.status == 413


def test_only_the_order_of_rfc_8785_is_taken() -> None:
    """A key above U+FFFF sorts otherwise in UTF-16 units than by code points: one value has one form there, too."""
    assert loads_canonical('{"\U00010000":1,"\uffff":[{"\U00010000":2,"\ufffe":3}]}'.encode())
    for other in ('{"\uffff":2,"\U00010000":1}', '{"\U00010000":1,"\uffff":[{"\ufffe":3,"\U00010000":2}]}'):
        with pytest.raises(WireError, match="another form"):
            loads_canonical(other.encode())
