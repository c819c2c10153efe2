"""docs/formats.md is true: its examples are read and computed again."""

from __future__ import annotations

import json
import re
from datetime import UTC

import pytest

from kiosk.records import ZERO_HASH, Kind, PayloadClass, Record, Stream, canonical
from kiosk.roster_csv import OPTIONAL, REQUIRED, ImportReport, read_lines
from kiosk.screens.texts import Language, texts
from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "formats.md").read_text(encoding="utf-8")


def example(name: str) -> str:
    """The fenced block behind the comment ``<!-- example: name -->``."""
    found = re.search(rf"<!-- example: {re.escape(name)} -->\n```\w*\n(.*?)\n```", PAGE, re.DOTALL)
    assert found is not None, f"docs/formats.md has no example {name!r}"
    return found[1]


def record(name: str) -> Record:
    """An example record, through the strict wire reader."""
    return Record.from_wire(json.loads(example(name)))


def test_the_first_example_hashes_from_zero() -> None:
    """Canonical header and hash of the genesis record are the page's, byte for byte."""
    first = record("record 1")
    assert canonical(first.header()).decode("utf-8") == example("canonical header 1")
    assert first.hash(ZERO_HASH).hex() == example("hash 1")


def test_the_second_example_follows_the_first() -> None:
    """The passage's hash rests on the hash before it."""
    second = record("record 2")
    assert second.hash(bytes.fromhex(example("hash 1"))).hex() == example("hash 2")


def test_the_erased_example_keeps_its_hash() -> None:
    """Without its health payload the record has the same digest and the same hash."""
    erased = record("record 2 erased")
    assert erased.payloads[PayloadClass.HEALTH].erased
    assert erased.hash(bytes.fromhex(example("hash 1"))).hex() == example("hash 2")


def test_the_roster_example_is_taken_whole() -> None:
    """Every line of the CSV example is good."""
    report = ImportReport()
    lines = list(read_lines(example("roster").encode("utf-8").splitlines(), report, zone=UTC))
    assert report.bad == []
    assert [line.person_id for line in lines] == ["R-0001", "R-0001", "C-0007"]


@pytest.mark.parametrize("word", [*map(str, Kind), *map(str, Stream), *map(str, PayloadClass), *REQUIRED, *OPTIONAL])
def test_every_kind_stream_class_and_column_is_named(word: str) -> None:
    """The page names all members of the closed lists."""
    assert f"`{word}`" in PAGE


def test_every_linked_page_exists() -> None:
    """The page's links lead somewhere."""
    linked = set(re.findall(r"\]\(([a-z-]+\.md)\)", PAGE))
    assert {"formats-sync.md", "formats-codes.md", "formats-scenario.md", "policy.md", "data-map.md"} <= linked
    assert [name for name in sorted(linked) if not (ROOT / "docs" / name).is_file()] == []


def test_every_alarm_is_on_the_page() -> None:
    """Whatever the console can name as an alarm, the page names as well."""
    alarms = texts(Language.EN).keys("alarm")
    assert len(alarms) > 20
    assert [alarm for alarm in alarms if f"`{alarm}`" not in PAGE] == []
