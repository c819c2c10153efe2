"""The guards' sessions and the tokens in every form.

A session is a random 256-bit id in a cookie (HttpOnly, SameSite=Strict) and an entry in memory: a restart of the
kiosk ends them all. It ends after 30 min without a guard's touch and after 12 h in any case (one shift).

Every POST carries a token. Forms of a logged-in guard are bound to the session; those that need no login
(emergency, login, the page's own heartbeat) to the kiosk's key alone, and are protected besides by the check of
``Origin`` in ``security.py``: they must work on a page that was drawn before anybody logged in.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
from dataclasses import dataclass

COOKIE = "gatepost_guard"
IDLE_S = 30 * 60
SHIFT_S = 12 * 3600
MAX_SESSIONS = 16


@dataclass(slots=True)
class Session:
    """One logged-in guard; instants are monotonic nanoseconds."""

    guard: str
    since_ns: int
    touched_ns: int


class Sessions:
    """All sessions of the kiosk; at most 16, the oldest makes room."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)
        self._lock = threading.Lock()
        self._sessions: dict[str, Session] = {}

    def open(self, guard: str, *, now_ns: int) -> str:
        """A new session's id."""
        session_id = secrets.token_urlsafe(32)
        with self._lock:
            while len(self._sessions) >= MAX_SESSIONS:
                self._sessions.pop(min(self._sessions, key=lambda i: self._sessions[i].touched_ns))
            self._sessions[session_id] = Session(guard, now_ns, now_ns)
        return session_id

    def guard_of(self, session_id: str, *, now_ns: int) -> str | None:
        """Who is logged in, or None; an expired session is forgotten."""
        with self._lock:
            session = self._sessions.get(session_id)
            if session is None:
                return None
            if now_ns - session.touched_ns > IDLE_S * 10**9 or now_ns - session.since_ns > SHIFT_S * 10**9:
                del self._sessions[session_id]
                return None
            return session.guard

    def touch(self, session_id: str, *, now_ns: int) -> None:
        """The guard did something: the idle time begins anew."""
        with self._lock:
            if session_id in self._sessions:
                self._sessions[session_id].touched_ns = now_ns

    def close(self, session_id: str) -> None:
        """Lock the console."""
        with self._lock:
            self._sessions.pop(session_id, None)

    def token(self, session_id: str = "") -> str:
        """The token of a form, bound to a session, or to the kiosk's key alone without one."""
        return hmac.new(self._key, b"form " + session_id.encode(), hashlib.sha256).hexdigest()

    def token_ok(self, token: str, session_id: str = "") -> bool:
        """Whether a form's token is the one given out."""
        return hmac.compare_digest(token.encode(), self.token(session_id).encode())
