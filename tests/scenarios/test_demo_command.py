"""``gatepost demo`` as it is typed: a day that goes as scripted, and one that does not."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("whole-gate"), pytest.mark.timeout(180)]

COPIED = """
name = "copied"
title = "A copied card"
starts = "09:00"
policy = "building_door"
script = ["genuine", "copied", "old"]
[[people]]
key = "resident"
category = "resident"
count = 2
[[people]]
key = "elder"
category = "resident"
strength = "uid"
[[situation]]
key = "genuine"
title = "a resident's own card"
people = "resident"
card = "own"
expect = { admit = true, reason = "all_checks_passed" }
[[situation]]
key = "copied"
title = "a copy of their neighbour's"
people = "resident"
card = "copied"
expect = { admit = false, reason = "card_cloned" }
[[situation]]
key = "old"
title = "an old card, of which the roster asks for its number alone"
people = "elder"
card = "own"
expect = { admit = true, reason = "all_checks_passed" }
"""


def played(scenario: str, tmp_path: Path, passages: int) -> tuple[int, str]:
    """Exit status and output of the demo of this scenario."""
    path = tmp_path / "copied.toml"
    path.write_text(scenario, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "kiosk.cli", "demo", "--scenario", str(path), "--passages", str(passages)],
        capture_output=True, text=True, timeout=150, check=False, cwd=ROOT,
    )  # fmt: skip
    return done.returncode, done.stdout


def test_a_copy_of_a_second_generation_card_is_refused_and_a_good_day_leaves_nothing(tmp_path: Path) -> None:
    """The genuine card proves itself over the wire, its copy cannot; an old card is still read by its number."""
    status, told = played(COPIED, tmp_path, 3)
    assert re.findall(r"(ADMIT|DENY) .*?(all_checks_passed|card_cloned)", told) == [
        ("ADMIT", "all_checks_passed"),
        ("DENY", "card_cloned"),
        ("ADMIT", "all_checks_passed"),
    ], told
    assert status == 0, told
    (folder,) = re.findall(r"logs and files +(\S+)", told)
    assert not Path(folder).exists()


def test_a_day_that_breaks_a_promise_says_so_and_keeps_what_the_programs_wrote(tmp_path: Path) -> None:
    """Expected to open for the copy, which it does not."""
    wrong = COPIED.replace('admit = false, reason = "card_cloned"', 'admit = true, reason = "all_checks_passed"')
    status, told = played(wrong, tmp_path, 2)
    assert status == 1
    assert "expected ADMIT all_checks_passed, got DENY card_cloned" in told
    (folder,) = re.findall(r"Logs and files are kept: (\S+)", told)
    assert (Path(folder) / "log/gatepost.log").stat().st_size > 0
    shutil.rmtree(folder)
