"""One running demo gate for the tests that only watch it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from kiosk.demo.console import Console
from kiosk.demo.day import DayHouse
from kiosk.demo.house import GUARD_LOGIN
from kiosk.demo.player import Outcome, Player
from kiosk.scenario import Passage, Situation, inhabitants, load_scenario


@dataclass
class RunningGate:
    """The demo's gate with its real programs; ``play`` sends one person of the shipped day through it."""

    house: DayHouse
    player: Player
    played: int = 0

    def play(self, key: str, **changes: object) -> Outcome:
        """The situation of that key, without the acts before and after it unless they are asked for."""
        found = next(s for s in self.house.scenario.situation if s.key == key)
        situation: Situation = found.model_copy(update={"before": (), "after": (), **changes})
        people = inhabitants(self.house.scenario)[situation.people]
        self.played += 1
        skin_c = None if situation.skin_c is None else sum(situation.skin_c) / 2
        return self.player.play(Passage(self.played, situation, people[self.played % len(people)], skin_c))

    def start(self, key: str) -> Future[Outcome]:
        """The same in the background, for a test that watches meanwhile."""
        outcome: Future[Outcome] = Future()

        def run() -> None:
            try:
                outcome.set_result(self.play(key))
            except BaseException as error:  # noqa: BLE001 - whatever it is belongs to the test that waits
                outcome.set_exception(error)

        threading.Thread(target=run, daemon=True).start()
        return outcome


@pytest.fixture(scope="package")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGate]:
    """Simulators, central, gate and sync, each a process of its own."""
    folder: Path = tmp_path_factory.mktemp("gate")
    house = DayHouse(folder, load_scenario("day"), now=datetime.now(UTC))
    try:
        house.prepare()
        house.start()
        console = Console(house.addresses.gate, GUARD_LOGIN, house.guard_secret)
        yield RunningGate(house, Player(house, console))
        console.close()
    finally:
        house.stop()
