"""A restart does not forget where the cards are: the real gate, stopped or killed, judges the next tap as before."""

from __future__ import annotations

import random
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from drivers.devices import DeviceReady, InputChange, InputName
from kiosk.board import Override
from kiosk.capture import Gate
from kiosk.credentials.movements import Movement
from kiosk.demo.control import Control
from kiosk.demo.programs import Programs
from kiosk.reasons import ClockTrust
from kiosk.records import Kind, Record
from kiosk.run import build
from kiosk.site_stores import open_roster
from tests.fakes import FakeClock
from tests.integration.test_lending import COURIER, LENT, RESIDENT, ROSTER, Door, body, settings_of


@dataclass
class House:
    """A gate with hard anti-passback for couriers, that can be started again."""

    folder: Path
    clock: FakeClock = field(default_factory=FakeClock)
    stack: ExitStack = field(default_factory=ExitStack)

    def __post_init__(self) -> None:
        self.settings = settings_of(self.folder)
        self.settings.state.folder.mkdir()
        import_roster(self.settings, self.clock.at_us)
        self.door = self.start()

    def start(self) -> Door:
        door = Door(build(self.settings, self.stack, clock=self.clock), self.clock, self.folder)
        for lane in ("in", "out"):
            for device in ("reader", "contacts"):
                door.observe(lane, device, DeviceReady(detail="", at_ns=self.clock.mono_ns))
        return door

    def restart(self, spoil: Callable[[], object] = lambda: None) -> Door:
        """Stop, ``spoil`` what lies in the folder, start; the lane's own memory (``lanes.json``) has nothing to do."""
        self.stack.close()
        spoil()
        self.clock.advance(60)
        self.door = self.start()
        return self.door

    def reboot(self, trust: ClockTrust = ClockTrust.SYNCED) -> Door:
        """The machine as well: another boot, and a monotonic clock that begins anew."""
        self.stack.close()
        self.clock.advance(60)
        self.clock.reboot()
        self.clock.trust = trust
        self.door = self.start()
        return self.door

    def fire(self) -> None:
        for active in (True, False):
            change = InputChange(name=InputName.FIRE, active=active, at_ns=self.clock.mono_ns)
            self.door.observe("in", "contacts", change)


def import_roster(settings: object, at_us: int) -> None:
    with open_roster(settings) as roster:  # type: ignore[arg-type]
        assert roster.import_csv([line.encode() + b"\n" for line in ROSTER.splitlines()], at_us=at_us).bad == []


def places(gate: Gate) -> dict[str, Movement]:
    return dict(gate._card_watch._movements._last)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path)
    with house.stack:
        yield house


def first_reason(record: Record) -> str:
    return str(body(record)["reasons"][0])


def test_a_courier_inside_is_refused_after_a_restart_and_after_a_reboot(house: House) -> None:
    """In, restart, in again: passed back. Reboot: passed back. Out, restart: admitted."""
    assert body(house.door.tap(COURIER))["admit"]
    assert first_reason(house.restart().tap(COURIER)) == "passed_back"
    assert first_reason(house.reboot().tap(COURIER)) == "passed_back"
    assert body(house.door.tap(COURIER, "out"))["admit"]
    assert body(house.restart().tap(COURIER))["admit"]


def test_a_resident_is_remarked_and_let_in_after_a_restart(house: House) -> None:
    """Soft stays soft."""
    house.door.tap(RESIDENT, read_ctr=1)
    again = body(house.restart().tap(RESIDENT, read_ctr=2))
    assert (again["admit"], again["remarks"]) == (True, ["passed_back"])


def test_the_guards_reset_and_an_emergency_survive_a_restart(house: House) -> None:
    """A courier let in by the guard may tap again; after the fire contact everybody may."""
    house.door.tap(COURIER)
    refused = house.door.tap(COURIER)
    assert first_reason(refused) == "passed_back"
    done = Override(lane="in", passage=body(refused)["passage"], admit=True, guard="wang", reason="known", note="")
    house.door.gate._commanded(done, Future())
    assert body(house.door.records(Kind.PASSAGE)[-1])["admit"]
    assert body(house.restart().tap(COURIER))["admit"]
    house.fire()
    assert body(house.restart().tap(COURIER))["admit"]
    assert first_reason(house.restart().tap(COURIER)) == "passed_back"


def test_a_clock_that_nobody_trusts_after_a_reboot_makes_everybodys_place_unknown(house: House) -> None:
    """Nobody knows how long ago it was. (A courier's hours cannot be judged then; a resident's card needs no time.)"""
    for uid in (COURIER, RESIDENT):
        house.door.tap(uid, read_ctr=1 if uid == RESIDENT else None)
    door = house.reboot(ClockTrust.NONE)
    assert body(door.tap(COURIER))["reasons"] == ["clock_untrusted"]
    home = body(door.tap(RESIDENT, read_ctr=2))
    assert (home["admit"], home.get("remarks")) == (True, None)


@pytest.mark.parametrize("damage", ["gone", "overwritten"])
def test_a_journal_that_is_damaged_or_gone_keeps_nobody_out(house: House, damage: str) -> None:
    """The gate sets it aside, begins anew, and lets the courier in."""

    def spoil() -> None:
        journal = house.folder / "state/journal.db"
        for beside in journal.parent.glob("journal.db-*"):
            beside.unlink()
        if damage == "gone":
            journal.unlink()
        else:
            with sqlite3.connect(journal) as connection:
                connection.execute("UPDATE journal_record SET hash = zeroblob(32) WHERE id > 0")
            connection.close()

    house.door.tap(COURIER)
    assert body(house.restart(spoil).tap(COURIER))["admit"]


@pytest.mark.parametrize("seed", range(2))
def test_what_is_known_after_a_restart_is_what_was_known_before(house: House, seed: int) -> None:
    """Sixty taps of three people by both lanes, some turning back, with fires and guards: the same places, exactly."""
    draw = random.Random(seed)
    counter = 0
    for _ in range(60):
        way = draw.random()
        if way < 0.04:
            house.fire()
            continue
        counter += 1
        uid = draw.choice((RESIDENT, COURIER, LENT))
        found = house.door.tap(
            uid,
            draw.choice(("in", "out")),
            read_ctr=counter if uid == RESIDENT else None,
            passes=draw.random() < 0.8,
        )
        if not body(found)["admit"] and draw.random() < 0.5:
            override = Override(
                lane="in", passage=body(found)["passage"], admit=True, guard="wang", reason="known", note=""
            )
            house.door.gate._commanded(override, Future())
    house.clock.advance(60)
    before = places(house.door.gate)
    assert places(house.restart().gate) == before


KILLED = """start_at = 2026-11-21T16:00:00+08:00
[[lane]]
name = "in"
direction = "in"
  [lane.reader]
  port = "{folder}/dev/reader-in"
  strength = "uid"
  [lane.contacts]
  port = "{folder}/dev/contacts-in"
  inputs = {{ 1 = "passage_beam" }}
[[lane]]
name = "out"
direction = "out"
  [lane.reader]
  port = "{folder}/dev/reader-out"
  strength = "uid"
  [lane.contacts]
  port = "{folder}/dev/contacts-out"
  inputs = {{ 1 = "passage_beam" }}
"""
PLAN = "".join(
    f'[[device]]\nname = "{kind}-{lane}"\nkind = "{driver}"\n'
    for lane in ("in", "out")
    for kind, driver in (("reader", "pn532"), ("contacts", "contacts"))
)


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_killed_without_warning_the_gate_still_knows_who_is_inside(tmp_path: Path) -> None:
    """Simulated readers and beams over pseudo-terminals: in, seen by the beam, kill -9, in again: passed back."""
    settings = settings_of(tmp_path, KILLED.format(folder=tmp_path))
    settings.state.folder.mkdir(mode=0o700)
    import_roster(settings, 0)
    (tmp_path / "plan.toml").write_text(PLAN)
    programs = Programs(tmp_path / "log")
    try:
        programs.start(
            "simulators", "drivers.simulators", "--dir", str(tmp_path), "--plan", str(tmp_path / "plan.toml")
        )
        control = Control(tmp_path / "control.sock")
        programs.wait_for("its control socket", control.ready, program="simulators")
        seen = Journal(tmp_path)
        gate = programs.start("gate", "kiosk.cli", "run", "--config", str(tmp_path / "gate.toml"))
        seen.ready(4)
        control("reader-in", "tap", uid=COURIER.upper(), hold_ms=500)
        assert seen.next(Kind.PASSAGE) == ["all_checks_passed"]
        control("contacts-in", "set", input=1, active=True)
        seen.next(Kind.PASSED)
        gate.kill()
        gate.start()
        seen.ready(4)
        control("contacts-in", "set", input=1, active=False)
        control("reader-in", "tap", uid=COURIER.upper(), hold_ms=500)
        assert seen.next(Kind.PASSAGE) == ["passed_back"]
    finally:
        programs.stop()


class Journal:
    """The records as they come, over the gate's restarts."""

    def __init__(self, folder: Path) -> None:
        self._door = Door(None, FakeClock(), folder)  # type: ignore[arg-type]
        self._seen: dict[Kind, int] = {}

    def next(self, kind: Kind) -> list[str]:
        """Wait for the next record of a kind; the reasons of a passage."""
        self._seen[kind] = self._seen.get(kind, 0) + 1
        found = self._wait(kind, self._seen[kind], lambda record: True)
        return list(body(found[self._seen[kind] - 1]).get("reasons", []))

    def ready(self, devices: int) -> None:
        """Wait until so many devices have proved themselves since the last time."""
        self._seen[Kind.DEVICE] = self._seen.get(Kind.DEVICE, 0) + devices
        self._wait(Kind.DEVICE, self._seen[Kind.DEVICE], lambda record: bool(body(record)["up"]))

    def _wait(self, kind: Kind, count: int, counts: Callable[[Record], bool]) -> list[Record]:
        deadline = time.monotonic() + 30
        found: list[Record] = []
        while time.monotonic() < deadline:
            if (self._door.folder / "state/journal.db").exists():
                found = [record for record in self._door.records(kind) if counts(record)]
            if len(found) >= count:
                return found
            time.sleep(0.05)
        raise AssertionError(f"{len(found)} of {count} {kind} records within 30 s")
