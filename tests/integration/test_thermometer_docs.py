"""docs/thermometers.md: its plan loads, its control lines are known, its lists are whole."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from drivers.devices import FaultKind
from drivers.simulators.control import answer
from drivers.simulators.line import FAULTS
from drivers.simulators.plan import load_plan
from drivers.simulators.registry import KINDS
from drivers.simulators.wire import Wire
from tests.conftest import ROOT

TEXT = (ROOT / "docs" / "thermometers.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    """The first code block of that language."""
    found = re.search(rf"```{language}\n(.*?)```", TEXT, flags=re.DOTALL)
    assert found is not None
    return found[1]


@pytest.fixture
def wires(tmp_path: Path) -> dict[str, Wire]:
    """The devices of the plan in the page, not yet on their lines."""
    plan = tmp_path / "plan.toml"
    plan.write_text(block("toml"))
    specs = load_plan(plan, tmp_path)
    return {
        spec.name: Wire(tmp_path / spec.name, KINDS[spec.kind].player(spec), baud=spec.baud, seed=spec.seed)
        for spec in specs
    }


def test_the_plan_and_the_control_lines_of_the_page_work(wires: dict[str, Wire]) -> None:
    """Every line shown is carried out by the devices shown."""
    lines = block("json").splitlines()
    assert len(lines) >= 8
    try:
        for line in lines:
            assert answer(wires, line.encode())["ok"] is True, line
    finally:
        for wire in wires.values():
            wire.stop()
    assert {json.loads(line)["device"] for line in lines} == set(wires)


def test_every_fault_is_named_in_the_page() -> None:
    """Faults of the line, kinds of DeviceFault that a serial line reports, kinds of simulated thermometers."""
    for name in FAULTS:
        assert f"`{name}`" in TEXT
    cameras_and_cards = {FaultKind.STUCK, FaultKind.FROZEN, FaultKind.DARK, FaultKind.REFUSED, FaultKind.CRASHED}
    for kind in set(FaultKind) - cameras_and_cards:
        assert f"| `{kind.value}` |" in TEXT
    for name, kind in KINDS.items():
        if "room_c" in kind.options:
            assert name in TEXT
