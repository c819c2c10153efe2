"""What a kiosk must be able to do, and whom a policy may not forget, before it comes into force."""

from __future__ import annotations

import pytest

from config.errors import ConfigError
from config.policy import Policy, load_policy
from kiosk.policy_fit import check_addressed, check_homes, told, unnamed

CASE = load_policy("case")


def without(name: str) -> Policy:
    """The shipped policy ``case`` that says nothing of one category."""
    return CASE.model_copy(update={"category": tuple(each for each in CASE.category if each.name != name)})


def test_a_policy_for_other_kiosks_is_not_for_this_one() -> None:
    """Names count as they stand; a policy without names is for everybody."""
    check_addressed(CASE, "north-1")
    check_addressed(CASE.model_copy(update={"kiosks": ("south-1", "north-1")}), "north-1")
    with pytest.raises(ConfigError, match="south-1, south-2; expected: north-1"):
        check_addressed(CASE.model_copy(update={"kiosks": ("south-1", "south-2")}), "north-1")


def test_nobody_loses_the_way_home() -> None:
    """A category that lives here may not vanish or stop living here while the roster has people of it."""
    check_homes(CASE, CASE, {"resident": 7000})
    check_homes(without("resident"), CASE, {"courier": 20})
    with pytest.raises(ConfigError, match="7000 people of the roster who would not get home"):
        check_homes(without("resident"), CASE, {"resident": 7000, "courier": 20})
    moved = tuple(each.model_copy(update={"lives_here": False}) for each in CASE.category)
    with pytest.raises(ConfigError, match="category resident"):
        check_homes(CASE.model_copy(update={"category": moved}), CASE, {"resident": 1})


def test_categories_that_a_policy_forgot_are_named() -> None:
    """They are told, not refused: a policy may mean not to let them in."""
    assert unnamed(CASE, {"resident": 1, "courier": 2}) == ()
    assert unnamed(without("courier"), {"courier": 2, "acrobat": 1, "resident": 1}) == ("acrobat", "courier")


def test_many_names_stay_short() -> None:
    """Eight are written out, the rest is counted."""
    assert told(("a", "b")) == "a, b"
    assert told([f"k{number}" for number in range(20)]).endswith("k7 and 12 more")
