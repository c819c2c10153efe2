"""The guards' sessions and the tokens in every form.

A session is a random 256-bit id in a cookie (HttpOnly, SameSite=Strict) and an entry in memory: a restart of the
kiosk ends them all. It ends after 30 min without a guard's touch and after 12 h in any case (one shift). Each beginning
and end is told to the duty book (``kiosk/screens/duty.py``) in the order in which they happen.

Every POST carries a token. Forms of a logged-in guard are bound to the session; those that need no login
(emergency, login, the page's own heartbeat) to the kiosk's key alone, and are protected besides by the check of
``Origin`` in ``security.py``: they must work on a page that was drawn before anybody logged in.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
from dataclasses import dataclass, field

from kiosk.screens.duty import DutyBook, Left

COOKIE = "gatepost_guard"
IDLE_S = 30 * 60
SHIFT_S = 12 * 3600
MAX_SESSIONS = 16


@dataclass(slots=True)
class Session:
    """One logged-in guard; instants are monotonic nanoseconds.

    ``number`` names it in records: 8 hexadecimal digits that have nothing to do with the cookie.
    """

    guard: str
    since_ns: int
    touched_ns: int
    number: str = field(default_factory=lambda: secrets.token_hex(4))

    def over(self, now_ns: int) -> Left | None:
        """Why it has ended by itself, or None."""
        if now_ns - self.since_ns > SHIFT_S * 10**9:
            return Left.SHIFT_ENDED
        return Left.IDLE_LOCKED if now_ns - self.touched_ns > IDLE_S * 10**9 else None


class Sessions:
    """All sessions of the kiosk; at most 16, the oldest makes room. Safe to call from several threads."""

    def __init__(self, duty: DutyBook | None = None) -> None:
        self.duty = duty or DutyBook()
        self._key = secrets.token_bytes(32)
        self._lock = threading.Lock()
        self._sessions: dict[str, Session] = {}

    def open(self, guard: str, *, now_ns: int, instead_of: str = "") -> str:
        """A new session's id. The browser's session of before, ``instead_of``, ends with it."""
        session_id = secrets.token_urlsafe(32)
        with self._lock:
            self._end(instead_of, Left.REPLACED, now_ns)
            while len(self._sessions) >= MAX_SESSIONS:
                self._end(min(self._sessions, key=lambda i: self._sessions[i].touched_ns), Left.DISPLACED, now_ns)
            session = self._sessions[session_id] = Session(guard, now_ns, now_ns)
            self.duty.came(session.number, guard, now_ns=now_ns)
        return session_id

    def guard_of(self, session_id: str, *, now_ns: int) -> str | None:
        """Who is logged in, or None; an expired session is forgotten."""
        with self._lock:
            session = self._sessions.get(session_id)
            if session is None:
                return None
            why = session.over(now_ns)
            if why is not None:
                self._end(session_id, why, now_ns)
                return None
            return session.guard

    def touch(self, session_id: str, *, now_ns: int) -> None:
        """The guard did something: the idle time begins anew."""
        with self._lock:
            if session_id in self._sessions:
                self._sessions[session_id].touched_ns = now_ns

    def close(self, session_id: str, *, now_ns: int) -> None:
        """Lock the console."""
        with self._lock:
            self._end(session_id, Left.LOGGED_OUT, now_ns)

    def expire(self, *, now_ns: int) -> None:
        """End what idled out or lasted a shift, also where no browser asks any more."""
        with self._lock:
            ended = [(session_id, session.over(now_ns)) for session_id, session in self._sessions.items()]
            for session_id, why in ended:
                if why is not None:
                    self._end(session_id, why, now_ns)

    def end_all(self, *, now_ns: int) -> None:
        """The program stops."""
        with self._lock:
            for session_id in list(self._sessions):
                self._end(session_id, Left.STOPPED, now_ns)

    def token(self, session_id: str = "") -> str:
        """The token of a form, bound to a session, or to the kiosk's key alone without one."""
        return hmac.new(self._key, b"form " + session_id.encode(), hashlib.sha256).hexdigest()

    def token_ok(self, token: str, session_id: str = "") -> bool:
        """Whether a form's token is the one given out."""
        return hmac.compare_digest(token.encode(), self.token(session_id).encode())

    def _end(self, session_id: str, why: Left, now_ns: int) -> None:
        session = self._sessions.pop(session_id, None)
        if session is not None:
            self.duty.left(session.number, why, now_ns=now_ns)
