"""Every case of the thermometer vectors, under every cut of its stream."""

from __future__ import annotations

import json

import pytest

from tests.bench.vectors_thermometers import RUNNERS
from tests.conftest import VECTORS


@pytest.mark.parametrize("stem", sorted(RUNNERS))
def test_every_case_comes_out_exactly_as_published(stem: str) -> None:
    """Readings, range errors, offsets and discarded bytes are those of the file, however the stream is cut."""
    path = VECTORS / "thermometers" / f"{stem}.json"
    if not path.exists():
        assert stem == "modbus_pyrousb"  # the maker's map is given in the README, its cases are not
        return
    file = json.loads(path.read_text())
    outcomes = list(RUNNERS[stem](file))
    assert len(outcomes) == len(file["cases"]) > 0
    assert {case: failure for case, failure in outcomes if failure is not None} == {}
