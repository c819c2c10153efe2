"""Guards' logins: delays that grow, sessions that end, tokens that bind. Time is an argument."""

from __future__ import annotations

import pytest
from argon2 import PasswordHasher

from config.errors import ConfigError
from kiosk.screens.guards import FREE_TRIES, MAX_DELAY_S, Guard, GuardBook, hash_secret
from kiosk.screens.sessions import IDLE_S, MAX_SESSIONS, SHIFT_S, Sessions

# The cheapest parameters: these tests are about counting, not about the cost of a guess.
CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
SECRET = "correct horse"
S = 10**9


@pytest.fixture
def book() -> GuardBook:
    return GuardBook({"wang": Guard("wang", "王师傅", hash_secret(SECRET, CHEAP))}, hasher=CHEAP)


def test_the_right_secret_logs_in(book: GuardBook) -> None:
    """Name in any case, secret exactly."""
    result = book.log_in(" Wang", SECRET, now_ns=0)
    assert result.guard is not None
    assert result.guard.name == "王师傅"
    assert book.log_in("wang", SECRET.upper(), now_ns=0).guard is None
    assert book.log_in("wang", "x" * 5000, now_ns=0).guard is None


def test_wrong_tries_are_free_five_times_and_then_cost_growing_time(book: GuardBook) -> None:
    """From the fifth on each doubles the wait, up to a quarter of an hour; meanwhile the right one is refused too."""
    now_ns, waits = 0, []
    for _ in range(20):
        wait_s = book.log_in("wang", "wrong", now_ns=now_ns).wait_s
        waits.append(wait_s)
        if wait_s:
            assert book.log_in("wang", SECRET, now_ns=now_ns).guard is None
        now_ns += wait_s * S
    assert waits[: FREE_TRIES - 1] == [0] * (FREE_TRIES - 1)
    assert waits[FREE_TRIES - 1 : FREE_TRIES + 2] == [2, 4, 8]
    assert waits[-1] == MAX_DELAY_S
    assert book.log_in("wang", SECRET, now_ns=now_ns).guard is not None
    assert book.log_in("wang", "wrong", now_ns=now_ns).wait_s == 0


def test_unknown_names_share_one_count(book: GuardBook) -> None:
    """Trying many names is as slow as trying one, and fills no memory."""
    for number in range(FREE_TRIES):
        result = book.log_in(f"guess{number}", SECRET, now_ns=0)
    assert result.wait_s == 2
    assert book.log_in("guess99", SECRET, now_ns=0).wait_s == 2
    assert book.log_in("wang", SECRET, now_ns=0).guard is not None


@pytest.mark.parametrize("secret", ["short", "12345678", "Password", "aaaaaaaaaa", "x" * 129])
def test_bad_secrets_are_refused_when_they_are_set(secret: str) -> None:
    """Too short, too long, or tried first by everybody."""
    with pytest.raises(ConfigError, match="guard's secret"):
        hash_secret(secret, CHEAP)


def test_a_session_ends_after_idling_and_after_a_shift() -> None:
    """Thirty minutes without a touch, or twelve hours in any case."""
    sessions = Sessions()
    idle = sessions.open("wang", now_ns=0)
    assert sessions.guard_of(idle, now_ns=IDLE_S * S) == "wang"
    assert sessions.guard_of(idle, now_ns=IDLE_S * S + 1) is None
    busy = sessions.open("wang", now_ns=0)
    for minute in range(0, SHIFT_S // 60 + 1, 10):
        assert sessions.guard_of(busy, now_ns=minute * 60 * S) == "wang"
        sessions.touch(busy, now_ns=minute * 60 * S)
    assert sessions.guard_of(busy, now_ns=SHIFT_S * S + 1) is None


def test_locking_ends_the_session_and_unknown_ids_are_nobody() -> None:
    """A closed session stays closed."""
    sessions = Sessions()
    session = sessions.open("wang", now_ns=0)
    sessions.close(session, now_ns=1)
    assert sessions.guard_of(session, now_ns=1) is None
    assert sessions.guard_of("made-up", now_ns=1) is None


def test_sessions_are_bounded() -> None:
    """The longest untouched one makes room."""
    sessions = Sessions()
    first = sessions.open("wang", now_ns=0)
    for number in range(MAX_SESSIONS):
        sessions.open("wang", now_ns=number + 1)
    assert sessions.guard_of(first, now_ns=1) is None


def test_a_token_belongs_to_one_session_of_one_start() -> None:
    """Neither another session's token nor the one of the last start opens anything."""
    sessions = Sessions()
    assert sessions.token_ok(sessions.token("a"), "a")
    assert not sessions.token_ok(sessions.token("a"), "b")
    assert not sessions.token_ok(sessions.token(""), "a")
    assert not Sessions().token_ok(sessions.token("a"), "a")
    assert not sessions.token_ok("", "a")
