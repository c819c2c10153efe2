"""Who has the console when: log-ins, locks, hand-overs and lock-outs are told once, with the guard, nothing typed."""

from __future__ import annotations

from typing import Any

import pytest
from argon2 import PasswordHasher

from kiosk.screens.duty import HAND_OVER_S, DutyBook
from kiosk.screens.guards import FREE_TRIES, Guard, GuardBook, hash_secret
from kiosk.screens.sessions import IDLE_S, MAX_SESSIONS, SHIFT_S, Sessions

CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
S = 10**9


class Told(list[dict[str, Any]]):
    """What the book wrote; ``events`` in short."""

    def events(self) -> list[tuple[str, str, int]]:
        return [(facts["event"], facts["guard"], facts["on_duty"]) for facts in self]


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def sessions(told: Told) -> Sessions:
    return Sessions(DutyBook(told.append))


def test_a_log_in_and_its_end_carry_the_same_number(sessions: Sessions, told: Told) -> None:
    """Eight digits that are no part of the cookie, so that whoever reads the journal opens nothing."""
    cookie = sessions.open("wang", now_ns=0)
    sessions.close(cookie, now_ns=90 * S)
    sessions.close(cookie, now_ns=91 * S)
    assert told.events() == [("logged_in", "wang", 1), ("logged_out", "wang", 0)]
    assert told[0]["session"] == told[1]["session"]
    assert len(told[0]["session"]) == 8
    assert told[0]["session"] not in cookie
    assert (told[0]["previous"], told[0]["vacant_s"], told[1]["lasted_s"]) == ("", None, 90)


def test_another_guard_within_the_hour_takes_over_and_later_comes_to_an_empty_post(
    sessions: Sessions, told: Told
) -> None:
    """Wang goes, Li comes ten minutes later; Li goes, Zhao comes after an hour and a second."""
    sessions.close(sessions.open("wang", now_ns=0), now_ns=S)
    sessions.close(sessions.open("li", now_ns=601 * S), now_ns=700 * S)
    sessions.open("zhao", now_ns=(700 + HAND_OVER_S + 1) * S)
    assert [told[i]["event"] for i in (0, 2, 4)] == ["logged_in", "handed_over", "logged_in"]
    assert [(told[i]["previous"], told[i]["vacant_s"]) for i in (2, 4)] == [("wang", 600), ("li", HAND_OVER_S + 1)]


def test_a_log_in_in_the_same_browser_takes_the_consoles_place(sessions: Sessions, told: Told) -> None:
    """Li logs in where Wang forgot to lock: Wang's log-in is over, its cookie opens nothing, nobody was missing."""
    wangs = sessions.open("wang", now_ns=0)
    sessions.open("li", now_ns=10 * S, instead_of=wangs)
    assert told.events() == [("logged_in", "wang", 1), ("replaced", "wang", 0), ("handed_over", "li", 1)]
    assert told[2]["vacant_s"] == 0
    assert sessions.guard_of(wangs, now_ns=11 * S) is None


def test_a_second_console_is_no_hand_over(sessions: Sessions, told: Told) -> None:
    """Wang at the console, Li on a tablet, Wang twice: how many guards are there, not how many browsers."""
    first = sessions.open("wang", now_ns=0)
    second = sessions.open("li", now_ns=S)
    sessions.open("wang", now_ns=2 * S)
    sessions.close(first, now_ns=3 * S)
    sessions.close(second, now_ns=4 * S)
    assert told.events() == [
        ("logged_in", "wang", 1),
        ("logged_in", "li", 2),
        ("logged_in", "wang", 2),
        ("logged_out", "wang", 2),
        ("logged_out", "li", 1),
    ]


def test_an_idle_console_is_locked_without_anybody_asking_and_unlocked_by_the_same_guard(
    sessions: Sessions, told: Told
) -> None:
    """No browser is needed for it: the gate's own round ends what idled out, once."""
    sessions.open("wang", now_ns=0)
    sessions.expire(now_ns=IDLE_S * S)
    assert len(told) == 1
    sessions.expire(now_ns=IDLE_S * S + 1)
    sessions.expire(now_ns=IDLE_S * S + 2)
    sessions.open("wang", now_ns=(IDLE_S + 60) * S)
    assert told.events() == [("logged_in", "wang", 1), ("idle_locked", "wang", 0), ("unlocked", "wang", 1)]


def test_a_browser_that_asks_first_ends_it_as_well_and_no_second_time(sessions: Sessions, told: Told) -> None:
    """Whoever notices first tells it."""
    cookie = sessions.open("wang", now_ns=0)
    assert sessions.guard_of(cookie, now_ns=IDLE_S * S + 1) is None
    sessions.expire(now_ns=IDLE_S * S + 2)
    assert [facts["event"] for facts in told] == ["logged_in", "idle_locked"]


def test_a_shift_ends_after_twelve_hours_however_busy(sessions: Sessions, told: Told) -> None:
    """Touched to the last minute."""
    cookie = sessions.open("wang", now_ns=0)
    sessions.touch(cookie, now_ns=SHIFT_S * S)
    sessions.expire(now_ns=SHIFT_S * S + 1)
    assert told.events()[-1] == ("shift_ended", "wang", 0)
    assert told[-1]["lasted_s"] == SHIFT_S


def test_one_log_in_too_many_and_the_end_of_the_program_are_told(sessions: Sessions, told: Told) -> None:
    """The longest untouched makes room; the others end with the program."""
    for number in range(MAX_SESSIONS + 1):
        sessions.open("wang", now_ns=number)
    sessions.end_all(now_ns=100)
    events = [facts["event"] for facts in told]
    assert events.count("displaced") == 1
    assert events.count("stopped") == MAX_SESSIONS
    assert told[-1]["on_duty"] == 0


def test_a_lock_out_is_told_once_for_each_wait_and_never_what_was_typed(told: Told) -> None:
    """Four wrong tries are nothing, the fifth is one record; tries during the wait are none; the next wait is one."""
    guards = {"wang": Guard("wang", "王师傅", hash_secret("correct horse", CHEAP))}
    book = GuardBook(guards, hasher=CHEAP, on_lock_out=DutyBook(told.append).locked_out)
    for _ in range(FREE_TRIES + 7):
        book.log_in("Wang", "battery staple", now_ns=0)
    assert told == [{"event": "locked_out", "guard": "wang", "wrong": 5, "wait_s": 2, "on_duty": 0}]
    book.log_in("wang", "battery staple", now_ns=2 * S)
    assert told[1] == {"event": "locked_out", "guard": "wang", "wrong": 6, "wait_s": 4, "on_duty": 0}
    for number in range(FREE_TRIES):
        book.log_in(f"battery{number}", "battery staple", now_ns=0)
    assert told[2]["guard"] == ""
    assert "battery" not in repr(told)
