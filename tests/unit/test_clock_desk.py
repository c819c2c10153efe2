"""Two people tell a kiosk the time: one says it, another agrees, within five minutes, and it is written down."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kiosk.clock import ClockError, SystemClock
from kiosk.clock_desk import WAITS_S, ClockDesk, ClockDeskError
from kiosk.journal_types import JournalError
from kiosk.reasons import ClockTrust
from tests.fakes import MORNING_US

DAY_US = 86_400_000_000
S = 1_000_000_000


class Kiosk:
    """A kiosk without network and battery clock, released a day ago."""

    def __init__(self, floor: Path | None = None) -> None:
        self.mono_ns = 5 * S
        self.synced = False
        self.written: list[dict[str, Any]] = []
        self.broken = False
        self.while_writing: Callable[[], object] = lambda: None
        self.clock = SystemClock(
            floor,
            built_at_us=MORNING_US - DAY_US,
            wall_us=lambda: MORNING_US if self.synced else 0,
            monotonic_ns=lambda: self.mono_ns,
            synced=lambda: self.synced,
            rtc_present=lambda: False,
            boot_id="boot-a",
        )
        self.desk = ClockDesk(self.clock, self._write)

    def _write(self, facts: dict[str, Any]) -> None:
        self.while_writing()
        if self.broken:
            raise JournalError("journal", seen="disk full", expected="a durable record")
        self.written.append(facts)

    def key_of(self, act: Any, *arguments: Any) -> str:
        with pytest.raises(ClockDeskError) as caught:
            act(*arguments)
        return caught.value.key


def test_a_time_said_and_agreed_to_counts_and_is_written_down() -> None:
    """The second word comes half a minute later: the time has gone on by then."""
    kiosk = Kiosk()
    assert kiosk.clock.now().clock_trust is ClockTrust.NONE
    kiosk.desk.say(MORNING_US, "wang")
    assert kiosk.clock.now().clock_trust is ClockTrust.NONE
    kiosk.mono_ns += 30 * S
    assert kiosk.desk.status().waiting_us == MORNING_US + 30_000_000
    now = kiosk.desk.agree("li")
    assert (now.at_us, now.clock_trust) == (MORNING_US + 30_000_000, ClockTrust.ASSERTED)
    assert kiosk.written == [{"event": "asserted", "people": ["wang", "li"], "floor_us": MORNING_US - DAY_US}]
    assert kiosk.desk.status().waiting_us is None


def test_one_person_twice_sets_nothing() -> None:
    """Whoever said the time cannot agree to it; somebody else still can."""
    kiosk = Kiosk()
    kiosk.desk.say(MORNING_US, "wang")
    assert kiosk.key_of(kiosk.desk.agree, "wang") == "clock_same_person"
    assert kiosk.written == []
    assert kiosk.desk.agree("li").clock_trust is ClockTrust.ASSERTED


def test_the_first_word_waits_five_minutes() -> None:
    """After that the time is said again: nobody knows any more what was meant."""
    kiosk = Kiosk()
    kiosk.desk.say(MORNING_US, "wang")
    kiosk.mono_ns += WAITS_S * S + 1
    assert kiosk.desk.status().waiting_us is None
    assert kiosk.key_of(kiosk.desk.agree, "li") == "clock_nothing_waits"


@pytest.mark.parametrize("off_us", [-2 * DAY_US, 10 * 365 * DAY_US])
def test_a_time_that_cannot_be_is_refused_at_the_first_word(off_us: int) -> None:
    """Before the release, or in 2036: a misread year."""
    kiosk = Kiosk()
    assert kiosk.key_of(kiosk.desk.say, MORNING_US + off_us, "wang") == "clock_cannot_be"


def test_a_synced_clock_is_nobodys_to_set() -> None:
    """The network knows better; a word said before it came is gone."""
    kiosk = Kiosk()
    kiosk.desk.say(MORNING_US, "wang")
    kiosk.synced = True
    kiosk.mono_ns += 2 * S
    assert kiosk.key_of(kiosk.desk.agree, "li") == "clock_nothing_waits"
    assert kiosk.key_of(kiosk.desk.say, MORNING_US, "wang") == "clock_synced"


def test_a_time_that_cannot_be_written_down_does_not_count() -> None:
    """No record, no time; the word still waits for another try."""
    kiosk = Kiosk()
    kiosk.desk.say(MORNING_US, "wang")
    kiosk.broken = True
    with pytest.raises(JournalError):
        kiosk.desk.agree("li")
    assert kiosk.clock.now().clock_trust is ClockTrust.NONE
    kiosk.broken = False
    assert kiosk.desk.agree("li").clock_trust is ClockTrust.ASSERTED


def test_the_page_can_be_drawn_while_the_word_is_written() -> None:
    """A journal that takes its time holds up nobody who looks: the web server has one thread for all its pages, the
    emergency's among them."""
    kiosk = Kiosk()
    kiosk.desk.say(MORNING_US, "wang")
    seen: list[int | None] = []

    def look() -> None:
        looker = threading.Thread(target=lambda: seen.append(kiosk.desk.status().waiting_us), daemon=True)
        looker.start()
        looker.join(5)

    kiosk.while_writing = look
    kiosk.desk.agree("li")
    assert seen == [None]


def test_two_who_agree_at_once_write_it_once() -> None:
    """The word that is being written is nobody else's to agree to."""
    kiosk = Kiosk()
    kiosk.desk.say(MORNING_US, "wang")
    others: list[str] = []
    kiosk.while_writing = lambda: others.append(kiosk.key_of(kiosk.desk.agree, "zhao"))
    kiosk.desk.agree("li")
    assert (others, len(kiosk.written)) == (["clock_nothing_waits"], 1)


def test_a_word_that_could_not_be_kept_is_taken_back_in_the_journal(tmp_path: Path) -> None:
    """The record stands before the time counts; where the disk then refuses the time, a second record says so."""
    kiosk = Kiosk(tmp_path / "gone" / "clock.floor")
    kiosk.desk.say(MORNING_US, "wang")
    with pytest.raises(ClockError):
        kiosk.desk.agree("li")
    assert [(facts["event"], facts["people"]) for facts in kiosk.written] == [
        ("asserted", ["wang", "li"]),
        ("not_asserted", ["wang", "li"]),
    ]
    assert kiosk.clock.now().clock_trust is ClockTrust.NONE
