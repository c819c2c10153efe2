"""Every card vector that ships with the project, each under many cuts of its bytes."""

from __future__ import annotations

import json

import pytest

from tests.bench.vectors_cards import RUNNERS
from tests.conftest import VECTORS


@pytest.mark.parametrize("stem", sorted(RUNNERS))
def test_every_case_passes(stem: str) -> None:
    """The published values, streams and sessions come out as their sources say."""
    contents = json.loads((VECTORS / "cards" / f"{stem}.json").read_text())
    outcomes = list(RUNNERS[stem](contents))
    assert outcomes
    assert {case: failure for case, failure in outcomes if failure} == {}
