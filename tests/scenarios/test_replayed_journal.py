"""A journal written by the lane's machine over real bytes: every temperature in it can be computed again."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from typer.testing import CliRunner

from kiosk.cli import app
from kiosk.clock import Instant
from kiosk.journal import Journal
from kiosk.passage_events import Draft
from kiosk.reasons import ClockTrust
from tests.fakes import FakeClock
from tests.lane import NORMAL_SKIN_C
from tests.wire_gate import Day

PEOPLE_AN_HOUR = 550


def street_to_fever(draw: random.Random) -> float:
    """Skins from the cold street to a high fever, so that most verdicts are not normal."""
    return draw.gauss(31.5, 0.4) if draw.random() < 0.1 else draw.gauss(NORMAL_SKIN_C + 0.3, 0.9)


def written(folder: Path, passages: int) -> tuple[Path, Day]:
    """A journal of at least so many passages: normal, borderline, raised, cold skin, and what faults make of them."""
    file = folder / "journal.db"
    journal = Journal.open(file, kiosk_id="east-gate", clock=FakeClock())
    count = 0

    def append(draft: Draft) -> None:
        nonlocal count
        count += 1
        at = Instant(
            at_us=draft.at.at_us, clock_trust=ClockTrust.SYNCED, boot_id=draft.at.boot_id, mono_ns=draft.at.mono_ns
        )
        journal.append(draft.stream, draft.kind, at=at, lane=draft.lane, ref=draft.ref, payloads=draft.payloads)

    day = Day(seed=9, skins=street_to_fever, drafts=append)
    try:
        while count < passages:
            day.play(day.link.now / 3.6e12 + passages / PEOPLE_AN_HOUR / 10)
    finally:
        journal.close()
    return file, day


def check(folder: Path, passages: int) -> None:
    """Write, replay, and look that there was something to replay."""
    file, day = written(folder, passages)
    result = CliRunner().invoke(app, ["journal", "replay", str(file)])
    print(result.output, day.outcomes)
    assert result.exit_code == 0, result.output
    assert " 0 differ" in result.output
    assert set(day.outcomes) >= {"normal", "borderline", "raised", "cold_skin"}
    assert day.outcomes.total() - day.outcomes["normal"] > 0.3 * passages


def test_a_hundred_passages_compute_again(tmp_path: Path) -> None:
    """The suite's share: a hundred passages with every fault."""
    check(tmp_path, 100)


@pytest.mark.campaign
@pytest.mark.timeout(3600)
def test_ten_thousand_passages_compute_again(tmp_path: Path) -> None:
    """The whole of it."""
    check(tmp_path, 10_000)
