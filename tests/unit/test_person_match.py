"""A name's letters, whatever the way to them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kiosk.credentials.person_match import normal_name


@given(st.text(alphabet=st.characters(max_codepoint=127), max_size=40))
def test_plain_letters_come_out_the_same_by_the_short_way_as_by_the_long_one(name: str) -> None:
    """An accent behind the name sends it through the general rule, which takes the accent away again."""
    assert normal_name(name) == normal_name(name + "\u0301")
