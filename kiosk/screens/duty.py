"""Who has the console when, as the facts of ``shift`` records: log-ins, locks, hand-overs, lock-outs.

The book is told what happens and hands facts on; it asks nobody's leave and waits for nothing, so a journal that fails
keeps no guard out of the console. A guard is the login, as in overrides; nothing that was typed is in any record.
``docs/formats.md`` lists the fields. Time is an argument (monotonic).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

HAND_OVER_S = 3600
"""Another guard within an hour after the last one left took over from them; later they came to an empty post."""

_NS = 10**9


class Came(StrEnum):
    """How somebody came to have the console."""

    LOGGED_IN = "logged_in"
    UNLOCKED = "unlocked"
    HANDED_OVER = "handed_over"


class Left(StrEnum):
    """How a log-in ended: by the guard, by idling, by the end of a shift, by another log-in in the same browser, by
    one log-in too many, or with the program."""

    LOGGED_OUT = "logged_out"
    IDLE_LOCKED = "idle_locked"
    SHIFT_ENDED = "shift_ended"
    REPLACED = "replaced"
    DISPLACED = "displaced"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class LockOut:
    """Wrong secrets in a row made a login wait: ``guard`` is whose it is, "" for a name that nobody has."""

    guard: str
    wrong: int
    wait_s: int


@dataclass(frozen=True, slots=True)
class _Gone:
    """Who had the console last."""

    guard: str
    why: Left
    at_ns: int


class DutyBook:
    """Safe to call from several threads; ``write`` must not wait."""

    def __init__(self, write: Callable[[dict[str, Any]], None] = lambda facts: None) -> None:
        self._write = write
        self._lock = threading.Lock()
        self._here: dict[str, tuple[str, int]] = {}
        self._gone: _Gone | None = None

    def came(self, session: str, guard: str, *, now_ns: int) -> None:
        """A guard logged in; ``session`` is the number of this log-in."""
        with self._lock:
            how, gone = self._how(guard, now_ns), self._gone
            self._here[session] = (guard, now_ns)
            self._write(
                {
                    "event": str(how),
                    "guard": guard,
                    "session": session,
                    "on_duty": self._on_duty(),
                    "previous": gone.guard if gone is not None else "",
                    "vacant_s": None if gone is None else self._vacant_s(gone, session, now_ns),
                }
            )

    def left(self, session: str, why: Left, *, now_ns: int) -> None:
        """A log-in ended."""
        with self._lock:
            guard, since_ns = self._here.pop(session)
            self._gone = _Gone(guard, why, now_ns)
            self._write(
                {
                    "event": str(why),
                    "guard": guard,
                    "session": session,
                    "on_duty": self._on_duty(),
                    "lasted_s": (now_ns - since_ns) // _NS,
                }
            )

    def locked_out(self, lock_out: LockOut) -> None:
        """A login has to wait after wrong secrets: told once for each wait, never for a try."""
        with self._lock:
            self._write(
                {
                    "event": "locked_out",
                    "guard": lock_out.guard,
                    "wrong": lock_out.wrong,
                    "wait_s": lock_out.wait_s,
                    "on_duty": self._on_duty(),
                }
            )

    def _on_duty(self) -> int:
        return len({guard for guard, _ in self._here.values()})

    def _how(self, guard: str, now_ns: int) -> Came:
        gone = self._gone
        if gone is None or self._here:
            return Came.LOGGED_IN
        if gone.guard == guard:
            return Came.UNLOCKED if gone.why is Left.IDLE_LOCKED else Came.LOGGED_IN
        return Came.HANDED_OVER if now_ns - gone.at_ns <= HAND_OVER_S * _NS else Came.LOGGED_IN

    def _vacant_s(self, gone: _Gone, session: str, now_ns: int) -> int:
        others = [other for other in self._here if other != session]
        return 0 if others else max(0, now_ns - gone.at_ns) // _NS
