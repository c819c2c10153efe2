"""What is read of a journal at the gate's start (``kiosk/movement_recall.py``): enough for certain, and no more."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kiosk import movement_recall
from kiosk.card_watch import CardWatch
from kiosk.movement_recall import recall_movements
from kiosk.reasons import ClockTrust
from kiosk.records import Kind, PayloadClass, Stream
from tests.fakes import FakeClock
from tests.integration.journal_cases import open_journal

HOUR_MIN = 60


class House:
    """A kiosk's journal, people who go in, and what a restart of the gate knows of them."""

    def __init__(self, folder: Path) -> None:
        self.clock = FakeClock(mono_ns=86_400_000_000_000)
        self.folder = folder
        self.journal = open_journal(folder, self.clock)
        self.incarnation = self.journal.incarnation
        self.went = 0

    def goes_in(self, subject: str, *, after_s: float = 1.0, guard: str = "") -> None:
        """Somebody is let in, by the rules or by a guard, and the contact sees it."""
        at, self.went = self.clock.advance(after_s), self.went + 1
        ref, lane = f"in-{self.went}", "in"
        facts = {"admit": True, "direction": "in", "place": "main-gate", "guard": guard, "passage": ref}
        payloads: dict[PayloadClass, dict[str, Any]] = {
            PayloadClass.FACTS: facts,
            PayloadClass.PERSON: {"subject": subject},
        }
        self.journal.append(Stream.PASSAGE, Kind.PASSAGE, at=at, lane=lane, ref=ref, payloads=payloads)
        seen = {PayloadClass.FACTS: {"passage": ref, "passed": "yes"}}
        self.journal.append(Stream.PASSAGE, Kind.PASSED, at=at, lane=lane, ref=ref, payloads=seen)

    def alarm(self, kind: Kind, **facts: Any) -> None:
        at = self.clock.advance(1)
        self.journal.append(Stream.ALARM, kind, at=at, lane="in", payloads={PayloadClass.FACTS: facts})

    def known(self, *, inside_min: int = HOUR_MIN, incarnation: str = "") -> int:
        """Of how many holders a gate that starts now knows."""
        self.journal.close()
        path = self.folder / "journal.db"
        found = recall_movements(
            CardWatch(), path, incarnation or self.incarnation, self.clock.now(), inside_min=inside_min
        )
        self.journal = open_journal(self.folder, self.clock)
        return found


@pytest.fixture
def house(memory_folder: Path) -> Iterator[House]:
    house = House(memory_folder)
    yield house
    house.journal.close()


def test_who_went_in_is_known_again(house: House) -> None:
    """Two workers inside, and nothing else in the journal."""
    assert house.known() == 0
    house.goes_in("a1")
    house.goes_in("b2")
    assert house.known() == 2


def test_what_is_older_than_the_policy_remembers_is_unknown(house: House) -> None:
    """Who went in an hour and a second ago, and who did a minute later."""
    house.goes_in("a1")
    house.goes_in("b2", after_s=60)
    house.clock.advance(3600 - 59)
    assert house.known(inside_min=HOUR_MIN) == 1
    assert house.known(inside_min=2 * HOUR_MIN) == 2


@pytest.mark.parametrize("step", [1, 2, 3, 100])
def test_however_much_is_read_at_a_time_the_same_is_known(
    house: House, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """From the end in pieces, told in the order in which they happened: a1 turned up last at another place."""
    monkeypatch.setattr(movement_recall, "TOLD_STEP", step)
    for subject in ("a1", "b2", "c3", "a1"):
        house.goes_in(subject)
    house.alarm(Kind.ALARM, code="tamper", detail="in")
    assert house.known() == 3


def test_what_happened_last_counts_last(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """The guard let them in the second time: nothing is known of them any more, in however many pieces it is read."""
    monkeypatch.setattr(movement_recall, "TOLD_STEP", 2)
    house.goes_in("a1")
    house.goes_in("a1", guard="wang")
    assert house.known() == 0


def test_a_boot_without_a_clock_hides_nobody_who_went_in_before_it(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own moments cannot be placed; those before it can, by wall time."""
    monkeypatch.setattr(movement_recall, "TOLD_STEP", 2)
    house.goes_in("a1")
    house.clock.reboot("boot-2")
    house.clock.trust = ClockTrust.NONE
    house.goes_in("b2")
    house.clock.reboot("boot-3")
    house.clock.trust = ClockTrust.SYNCED
    assert house.known() == 1


def test_an_emergency_between_them_leaves_only_who_came_after_it(house: House) -> None:
    """Nobody knows who is inside once the gate stood open."""
    house.goes_in("a1")
    house.alarm(Kind.EMERGENCY, open=True, guard="", why="button")
    house.goes_in("b2")
    assert house.known() == 1


def test_only_so_many_passages_are_read(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each passage is two records; what lies further back is unknown."""
    for subject in ("a1", "b2", "c3"):
        house.goes_in(subject)
    monkeypatch.setattr(movement_recall, "MAX_RECORDS", 4)
    assert house.known() == 2


@pytest.mark.parametrize(("alarms", "known"), [(3, 1), (4, 0)])
def test_more_alarms_than_are_read_leave_everybody_unknown(
    house: House, monkeypatch: pytest.MonkeyPatch, alarms: int, known: int
) -> None:
    """Among those not read there may be an emergency; the stream's genesis counts as one of four."""
    house.goes_in("a1")
    for _ in range(alarms):
        house.alarm(Kind.ALARM, code="tamper", detail="in")
    monkeypatch.setattr(movement_recall, "MAX_RECORDS", 4)
    assert house.known() == known


def test_alarms_further_back_than_the_policy_remembers_need_not_be_read(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many old ones, one of them read and seen to be old: all that matters was read."""
    for _ in range(6):
        house.alarm(Kind.ALARM, code="tamper", detail="in")
    house.clock.advance(7200)
    house.goes_in("a1")
    monkeypatch.setattr(movement_recall, "MAX_RECORDS", 4)
    monkeypatch.setattr(movement_recall, "TOLD_STEP", 2)
    assert house.known() == 1


@pytest.mark.parametrize(("trust", "known"), [(ClockTrust.SYNCED, 1), (ClockTrust.NONE, 0)])
def test_after_a_reboot_only_a_trusted_clock_places_what_was_before(
    house: House, trust: ClockTrust, known: int
) -> None:
    """By wall time; a doubtful clock says of nobody when they went in."""
    house.goes_in("a1")
    house.clock.reboot()
    house.clock.advance(60)
    house.clock.trust = trust
    assert house.known() == known


def test_under_a_doubtful_clock_no_further_back_than_this_boot_is_read(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An emergency of the boot before is passed over, and not taken for one that may be among the unread."""
    for _ in range(6):
        house.alarm(Kind.ALARM, code="tamper", detail="in")
    house.clock.reboot()
    house.clock.trust = ClockTrust.NONE
    house.goes_in("a1")
    monkeypatch.setattr(movement_recall, "MAX_RECORDS", 4)
    monkeypatch.setattr(movement_recall, "TOLD_STEP", 2)
    assert house.known() == 1


def test_another_life_of_the_journal_tells_nothing(house: House) -> None:
    """One that was set aside as damaged, or went back, may have lost who left."""
    house.goes_in("a1")
    assert house.known(incarnation="f" * 32) == 0


def test_a_record_that_no_gate_wrote_keeps_nobody_out(house: House) -> None:
    """Something else in the journal's place of a direction: nothing is known, and the gate starts."""
    house.goes_in("a1")
    strange = {"admit": True, "direction": "in", "place": "main-gate", "guard": [], "passage": "in-2"}
    payloads: dict[PayloadClass, dict[str, Any]] = {
        PayloadClass.FACTS: {**strange, "direction": ["in"]},
        PayloadClass.PERSON: {"subject": "b2"},
    }
    house.journal.append(Stream.PASSAGE, Kind.PASSAGE, at=house.clock.advance(1), ref="in-2", payloads=payloads)
    assert house.known() == 0


def spoil(house: House) -> None:
    (house.folder / "journal.db").write_bytes(b"no database" * 1000)


def remove(house: House) -> None:
    (house.folder / "journal.db").unlink()


@pytest.mark.parametrize("harm", [spoil, remove])
def test_a_journal_that_cannot_be_read_keeps_nobody_out(house: House, harm: Callable[[House], None]) -> None:
    """The gate starts; everybody's place is unknown."""
    house.goes_in("a1")
    house.journal.close()
    harm(house)
    path = house.folder / "journal.db"
    found = recall_movements(CardWatch(), path, house.incarnation, house.clock.now(), inside_min=HOUR_MIN)
    assert found == 0
