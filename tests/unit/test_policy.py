"""Policies: what they can say, what they refuse to say, and errors an installer can act on."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.errors import ConfigError
from config.policy import (
    BUILT_IN_WAIVERS,
    CHECKS,
    DAYS,
    MAX_POLICY_BYTES,
    REQUIRED,
    Hours,
    load_policy,
    parse_policy,
    shipped_policies,
)
from tests.conftest import ROOT

MINIMAL = """
version = "test-1"
[order]
number = "1"
issuer = "office"
scope = "here"
until = 2027-01-01T00:00:00+08:00
[[waiver]]
name = "not_asked"
text = "Not asked."
[[category]]
name = "resident"
lives_here = true
[category.entry]
pass = "required"
temperature = "required"
health_code = "not_asked"
trip = "not_asked"
register = "required"
[[category]]
name = "visitor"
[category.entry]
pass = "required"
temperature = "required"
health_code = "required"
trip = "not_asked"
register = "required"
[[category.hours]]
days = ["mon", "fri"]
opens = "22:00"
closes = "02:00"
"""


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "site.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_shipped_policies_load() -> None:
    """All five load, and each states all five checks for everybody it lets in."""
    assert shipped_policies() == ("building_door", "case", "clear", "code_check", "spread")
    for name in shipped_policies():
        policy = load_policy(name)
        for category in policy.category:
            assert category.entry is None or set(category.entry) == set(CHECKS)


@pytest.mark.parametrize("name", ["building_door", "clear", "case", "spread"])
def test_residents_are_always_expected(name: str) -> None:
    """In every gate policy residents live here and have no hours; those under observation too."""
    policy = load_policy(name)
    assert policy.lives_here("resident")
    assert policy.lives_here("resident_under_observation")


def test_the_stricter_the_tier_the_more_is_asked() -> None:
    """From building door to spread nobody is asked for less."""
    for category in ("resident", "staff", "courier", "visitor"):
        before: set[str] = set()
        for name in ("building_door", "clear", "case", "spread"):
            found = load_policy(name).category_named(category)
            assert found is not None
            if found.entry is None:
                break
            asked = {check for check, rule in found.entry.items() if rule == REQUIRED}
            assert before <= asked
            before = asked


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("trip = \"not_asked\"\n", ""), ["category[0].entry", "says nothing of trip"]),
        (('health_code = "required"', 'health_code = "not_askd"'), ["visitor.entry.health_code", "'not_asked'"]),
        (('temperature = "required"', 'temprature = "required"'), ["'temprature'", "'temperature'"]),
        (('days = ["mon", "fri"]', 'days = ["mon", "fry"]'), ["'fry'", "'fri'"]),
        (('opens = "22:00"', 'opens = "22.00"'), ["'22.00'", "07:30"]),
        (('opens = "22:00"', 'opens = "02:00"'), ["same minute"]),
        (('version = "test-1"', 'verison = "test-1"'), ["'verison'", "'version'"]),
        (('[order]\nnumber = "1"\nissuer = "office"\nscope = "here"\nuntil = 2027-01-01T00:00:00+08:00', ""),
         ["needs an [order]"]),
        (("until = 2027-01-01T00:00:00+08:00", "until = 2027-01-01T00:00:00"), ["order.until"]),
        (('name = "visitor"', 'name = "resident"'), ["two categories"]),
        (('name = "visitor"', 'name = "guests"'), ["visitor_category"]),
        (('name = "not_asked"', 'name = "order_lapsed"'), ["cannot be redefined"]),
        (('name = "not_asked"', 'name = "province_hubei"'), ["origin"]),
        (('name = "visitor"', 'name = "nation_other"'), ["ethnicity"]),
        (("lives_here = true", "lives_here = true\nplaces = [\"north\"]"), ["come home at any hour"]),
        (("lives_here = true", "lives_here = true\nid_prefix = \"4201\""), ["category[0].id_prefix"]),
    ],
)  # fmt: skip
def test_a_bad_policy_is_refused_by_name(tmp_path: Path, change: tuple[str, str], words: list[str]) -> None:
    """Every refusal names the file, the key and the nearest known word."""
    assert change[0] in MINIMAL
    path = written(tmp_path, MINIMAL.replace(*change, 1))
    with pytest.raises(ConfigError) as caught:
        load_policy(path)
    message = str(caught.value)
    assert str(path) in message
    for word in words:
        assert word in message


def test_a_policy_without_a_file() -> None:
    """A misspelt shipped name gets the nearest one."""
    with pytest.raises(ConfigError, match="did you mean 'spread'"):
        load_policy("spred")
    with pytest.raises(ConfigError, match="no such file"):
        load_policy("nowhere/site.toml")


def test_hours_past_midnight(tmp_path: Path) -> None:
    """22:00 to 02:00 on Monday and Friday: Tuesday and Saturday mornings belong to it, Monday morning does not."""
    visitor = load_policy(written(tmp_path, MINIMAL)).category_named("visitor")
    assert visitor is not None
    assert visitor.open_at(DAYS.index("mon"), 22 * 60)
    assert visitor.open_at(DAYS.index("tue"), 2 * 60 - 1)
    assert not visitor.open_at(DAYS.index("tue"), 2 * 60)
    assert not visitor.open_at(DAYS.index("mon"), 60)
    assert visitor.open_at(DAYS.index("sat"), 0)


@settings(max_examples=25, deadline=None)
@given(opens=st.integers(0, 1439), closes=st.integers(0, 1439), weekday=st.integers(0, 6))
def test_a_window_lasts_as_long_as_it_says(opens: int, closes: int, weekday: int) -> None:
    """Over a week a window of one weekday is open exactly its minutes, midnight or not."""
    if opens == closes:
        return
    window = Hours(days=(DAYS[weekday],), opens=f"{opens // 60:02}:{opens % 60:02}",
                   closes=f"{closes // 60:02}:{closes % 60:02}")  # fmt: skip
    minutes = sum(window.contains(day, minute) for day in range(7) for minute in range(1440))
    assert minutes == (closes - opens) % 1440


def test_an_order_ends(tmp_path: Path) -> None:
    """Until its last microsecond in force, then lapsed."""
    policy = load_policy(written(tmp_path, MINIMAL))
    assert policy.order is not None
    assert not policy.lapsed(policy.order.until_us - 1)
    assert policy.lapsed(policy.order.until_us)


def test_the_policy_of_the_documentation_loads(tmp_path: Path) -> None:
    """The example of docs/policy.md is a policy, and the page names every waiver that the program applies itself."""
    page = (ROOT / "docs" / "policy.md").read_text(encoding="utf-8")
    example = page.split("```toml\n")[1].split("```")[0]
    policy = load_policy(written(tmp_path, example))
    assert policy.lives_here("resident")
    for rule in BUILT_IN_WAIVERS:
        assert f"`{rule}" in page
    for name in shipped_policies():
        assert f"`{name}`" in page


def test_a_text_reads_as_the_file_does(tmp_path: Path) -> None:
    """What the central sends is the very file, and errors name the document instead of a path."""
    assert parse_policy(MINIMAL.encode(), "policy document 7") == load_policy(written(tmp_path, MINIMAL))
    with pytest.raises(ConfigError, match="policy document 7") as caught:
        parse_policy(MINIMAL.replace("lives_here", "livs_here").encode(), "policy document 7")
    assert "did you mean 'lives_here'" in str(caught.value)


@pytest.mark.parametrize(
    "body",
    [
        b"\xff\xfe",
        b"version = ",
        b"x = " + b"[" * 100_000,
        MINIMAL.encode() + b"#" * MAX_POLICY_BYTES,
        MINIMAL.encode() + b'[[category]]\nname = "a"\n' * 101,
        b"",
    ],
    ids=["not text", "cut", "deep", "long", "many", "empty"],
)
def test_a_text_that_is_no_policy_is_refused_whole(body: bytes) -> None:
    """Not UTF-8, cut, nested without end, too long, too many categories, nothing: one error, no traceback."""
    with pytest.raises(ConfigError):
        parse_policy(body, "policy document 7")


@settings(max_examples=150, deadline=None)
@given(st.integers(0, len(MINIMAL) - 1), st.binary(min_size=0, max_size=6))
def test_an_altered_text_is_a_policy_or_an_error(place: int, put: bytes) -> None:
    """Whatever stands in one place of it: nothing but ConfigError comes out."""
    body = MINIMAL.encode()
    with contextlib.suppress(ConfigError):
        parse_policy(body[:place] + put + body[place + 1 :], "policy document 7")


def test_a_policy_may_name_its_kiosks() -> None:
    """None named: every kiosk. A name that no kiosk can have is an error."""
    assert parse_policy(MINIMAL.encode(), "p").kiosks == ()
    assert parse_policy(b'kiosks = ["north-1"]\n' + MINIMAL.encode(), "p").kiosks == ("north-1",)
    with pytest.raises(ConfigError, match="kiosks"):
        parse_policy(b'kiosks = ["North 1"]\n' + MINIMAL.encode(), "p")
