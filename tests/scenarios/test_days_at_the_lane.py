"""Days of people before a faulty thermometer, bytes and all: no verdict on a stale or another person's reading."""

from __future__ import annotations

import pytest

from tests.wire_gate import FAULTS, Day


def test_a_quarter_of_an_hour_of_people_before_a_faulty_thermometer() -> None:
    """About two faults a minute: whoever is called normal is so by own, fresh readings."""
    day = Day(seed=1)
    day.play(0.2)
    assert day.outcomes["normal"] > 60, day.outcomes
    assert day.unplugs >= 1


def test_without_a_fault_nearly_everybody_is_measured() -> None:
    """The check is not kept by measuring nobody."""
    day = Day(seed=2, faults=("split",))
    day.play(0.15)
    measured = sum(day.outcomes[outcome] for outcome in ("normal", "borderline", "raised"))
    assert measured > 0.8 * day.outcomes.total(), day.outcomes


@pytest.mark.campaign
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("fault", [FAULTS, *((fault,) for fault in FAULTS)], ids="+".join)
def test_a_day_of_people_before_a_faulty_thermometer(fault: tuple[str, ...]) -> None:
    """24 hours with every fault, and 24 with each one alone."""
    day = Day(seed=len("+".join(fault)), faults=fault)
    day.play(24.0)
    assert day.outcomes["normal"] > 4000, day.outcomes
