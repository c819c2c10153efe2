"""Kill -9 of each program at random moments: nothing lost, nothing twice, no opening without a committed ADMIT."""

from __future__ import annotations

import random
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from kiosk.demo.console import Console
from kiosk.demo.day import DayHouse
from kiosk.demo.house import GUARD_LOGIN
from kiosk.demo.player import Player
from kiosk.demo.summary import Summary, summarise
from kiosk.demo.sync_state import backlog
from kiosk.scenario import load_scenario, passages

PROGRAMS = ("gatepost", "gatepost-sync", "gatepost-central")
SCENARIO = Path(__file__).with_name("kills.toml")


class Killer(threading.Thread):
    """Kills a random program after a random while, starts it again as systemd would, and so on."""

    def __init__(self, house: DayHouse, seed: int, longest_s: float) -> None:
        super().__init__(daemon=True)
        self._house = house
        self._random = random.Random(seed)
        self._longest_s = longest_s
        self._stop_asked = threading.Event()
        self.kills: dict[str, int] = dict.fromkeys(PROGRAMS, 0)

    def run(self) -> None:
        while not self._stop_asked.wait(self._random.uniform(0.05, self._longest_s)):
            name = self._random.choice(PROGRAMS)
            program = self._house.programs[name]
            program.kill()
            self.kills[name] += 1
            time.sleep(self._random.uniform(0.0, 0.5))
            program.start()

    def stop(self) -> None:
        self._stop_asked.set()
        self.join(10)


def play_under_kills(folder: Path, *, count: int, kills: int, seed: int, longest_s: float) -> tuple[Summary, Killer]:
    """Play at least ``count`` passages, and on until ``kills`` programs were killed; then let sync catch up."""
    scenario = load_scenario(str(SCENARIO))
    house = DayHouse(folder, scenario, now=datetime.now(UTC))
    try:
        house.prepare()
        house.start()
        console = Console(house.addresses.gate, GUARD_LOGIN, house.guard_secret)
        player = Player(house, console, patience_s=5.0)
        killer = Killer(house, seed, longest_s)
        killer.start()
        outcomes, began_s = [], time.monotonic()
        for passage in passages(scenario, 100 * count, seed):
            outcomes.append(player.play(passage))
            if len(outcomes) >= count and sum(killer.kills.values()) >= kills:
                break
        killer.stop()
        elapsed_s = time.monotonic() - began_s
        deadline = time.monotonic() + 60
        while backlog(house) and time.monotonic() < deadline:
            time.sleep(0.1)
        return summarise(house, outcomes, elapsed_s), killer
    finally:
        house.stop()


def check(summary: Summary, killer: Killer) -> None:
    assert min(killer.kills.values()) >= 1, killer.kills
    assert summary.journaled >= 1
    assert (summary.lost, summary.duplicates) == (0, 0)
    assert summary.stored == summary.sent == summary.journaled
    assert summary.chain_ok
    assert summary.relay == ()


@pytest.mark.slow
@pytest.mark.xdist_group("whole-gate")
@pytest.mark.timeout(240)
def test_a_dozen_passages_while_programs_are_killed(tmp_path: Path) -> None:
    """Twelve passages, a dozen kills: the promises hold."""
    summary, killer = play_under_kills(tmp_path, count=12, kills=12, seed=3, longest_s=4.0)
    check(summary, killer)


@pytest.mark.campaign
@pytest.mark.xdist_group("whole-gate")
@pytest.mark.timeout(7200)
def test_two_hundred_passages_and_two_hundred_kills(tmp_path: Path) -> None:
    """The same at length."""
    summary, killer = play_under_kills(tmp_path, count=200, kills=200, seed=200, longest_s=6.0)
    print(summary, killer.kills)
    check(summary, killer)
