"""The demo's own judge: it must find what it is there to find."""

from __future__ import annotations

from kiosk.demo.summary import percentile, relay_faults
from kiosk.records import Record
from tests.sync_kit import PASSAGE_FACTS, make_record

SECOND_NS = 1_000_000_000


def passage(second: int, *, admit: bool) -> Record:
    return make_record(second, facts={**PASSAGE_FACTS, "admit": admit})


def change(seconds: float, on: bool) -> dict[str, object]:
    return {"channel": 1, "on": on, "at_ns": int(seconds * SECOND_NS)}


def test_a_pulse_after_its_admission_is_in_order() -> None:
    """Committed at 10 s, on at 10.02 s for half a second."""
    assert relay_faults([passage(10, admit=True)], [change(10.02, True), change(10.52, False)]) == []


def test_a_pulse_without_an_admission_is_found() -> None:
    """A refusal opens nothing; nor does an admission that comes later, or has had its pulse."""
    pulse = [change(10.02, True), change(10.52, False)]
    assert "without a committed ADMIT" in relay_faults([passage(10, admit=False)], pulse)[0]
    assert "without a committed ADMIT" in relay_faults([passage(11, admit=True)], pulse)[0]
    twice = [*pulse, change(11.0, True), change(11.5, False)]
    assert len(relay_faults([passage(10, admit=True)], twice)) == 1


def test_a_pulse_that_is_too_long_or_never_ends_is_found() -> None:
    """Half a second was asked for."""
    records = [passage(10, admit=True)]
    assert "on for 0.90 s" in relay_faults(records, [change(10.0, True), change(10.9, False)])[0]
    assert relay_faults(records, [change(10.0, True)]) == ["relay 1 still on"]


def test_percentile_is_a_value_that_was_measured() -> None:
    """Nearest rank: of one to a hundred, the 95th is 96 when counting from the 0.95 share up."""
    assert percentile([float(n) for n in range(1, 101)], 0.95) == 96.0
    assert percentile([], 0.95) == 0.0
