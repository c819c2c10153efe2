"""How deep a JSON text nests."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiosk.nesting import deeper_than

JSON = st.recursive(
    st.none() | st.integers() | st.text(alphabet='[]{}",:a'),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(alphabet="[]{}a", max_size=3), inner, max_size=4)
    ),
    max_leaves=20,
)


def depth_of(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(depth_of, inner), default=0)


@given(JSON, st.integers(0, 8))
def test_brackets_count_outside_strings_alone(value: Any, limit: int) -> None:
    """Against a plain recursive count, with strings and keys full of brackets."""
    assert deeper_than(limit, json.dumps(value).encode(), value) is (depth_of(value) > limit)


@pytest.mark.parametrize(
    ("text", "deep"), [("[[1]]", False), ("[[[]]]", True), ('{"a":{"b":[]}}', True), ('"[[["', False)]
)
def test_two_levels(text: str, deep: bool) -> None:
    """Empty lists count as a level; brackets in a string do not."""
    assert deeper_than(2, text.encode(), json.loads(text)) is deep
