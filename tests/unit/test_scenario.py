"""A scripted day is the same day every time, and a slip in its file is named."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from config.errors import ConfigError
from kiosk.scenario import CardShown, inhabitants, load_scenario, passages
from tests.conftest import ROOT


def documented(tmp_path: Path) -> Path:
    """The example of docs/formats-scenario.md as a file."""
    text = (ROOT / "docs/formats-scenario.md").read_text(encoding="utf-8")
    found = re.search(r"```toml\n(.*?)```", text, flags=re.DOTALL)
    assert found
    path = tmp_path / "small.toml"
    path.write_text(found.group(1), encoding="utf-8")
    return path


def test_the_documented_example_is_a_scenario(tmp_path: Path) -> None:
    """Script first, then what the shares draw; people take turns."""
    day = passages(load_scenario(str(documented(tmp_path))), 5)
    assert [p.situation.key for p in day] == ["well", "stranger", "well", "well", "well"]
    assert [p.person.number for p in day] == [1, 4, 2, 3, 1]
    assert day[1].situation.card is CardShown.UNKNOWN
    assert all(34.6 <= (p.skin_c or 0) <= 35.2 for p in day)


def test_the_shipped_day_plays_every_situation_within_60_passages() -> None:
    """`make demo PASSAGES=60` shows all that the day has."""
    scenario = load_scenario("day")
    day = passages(scenario, 60)
    assert {p.situation.key for p in day} == {s.key for s in scenario.situation}


def test_the_same_seed_gives_the_same_day_and_another_gives_another() -> None:
    """A failure can be played again."""
    scenario = load_scenario("day")
    assert passages(scenario, 200) == passages(scenario, 200)
    assert passages(scenario, 200) != passages(scenario, 200, seed=8)


def test_everybody_has_a_number_and_a_card_of_their_own() -> None:
    """No two people share a UID, and no UID is a random one (08…)."""
    everybody = [person for group in inhabitants(load_scenario("day")).values() for person in group]
    uids = {person.uid for person in everybody}
    assert len(uids) == len(everybody)
    assert {uid[0] for uid in uids} == {0x04}
    assert {len(uid) for uid in uids} == {7}


@pytest.mark.parametrize(
    ("was", "becomes", "named"),
    [
        ('script = ["well"', 'script = ["wel"', "did you mean 'well'"),
        ('people = "stranger"', 'people = "strager"', "did you mean 'stranger'"),
        ('starts = "09:00"', 'starts = "25:00"', "starts"),
        ("card_unknown", "card_unknwon", "expect.reason"),
        ("share = 1", "shar = 1", "did you mean 'share'"),
    ],
)
def test_a_slip_is_named(tmp_path: Path, was: str, becomes: str, named: str) -> None:
    """The error says which key and what was probably meant."""
    path = documented(tmp_path)
    path.write_text(path.read_text().replace(was, becomes))
    with pytest.raises(ConfigError, match=re.escape(named)):
        load_scenario(str(path))
