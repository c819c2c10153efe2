"""People and programs that may look at the central: passphrases, sessions, tokens, roles.

Passphrases are kept as argon2id (RFC 9106) and are 15 characters or more (NIST SP 800-63B-4 for a single factor;
no composition rules). Failed tries make the next one wait, doubling from 1 s to 15 minutes, and the count survives
a restart. Cookies and tokens are 256 random bits, of which only the SHA-256 is stored.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass, field
from enum import StrEnum

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError
from sqlalchemy import Connection, delete, insert, select, update

from sync.central.audit import note
from sync.central.tables import Session, User, table
from sync.errors import SyncError

users, sessions = table(User), table(Session)

MIN_PASSPHRASE_CHARS = 15
MAX_PASSPHRASE_CHARS = 256
SESSION_IDLE_US = 30 * 60 * 1_000_000
SESSION_MAX_US = 12 * 3600 * 1_000_000
TOKEN_MAX_US = 366 * 86_400 * 1_000_000
TOUCH_EVERY_US = 60 * 1_000_000
MAX_WAIT_US = 15 * 60 * 1_000_000
FREE_FAILURES = 4
COMMON = frozenset({"passwordpassword", "123456789012345", "1234567890123456", "qwertyuiopasdfgh", "gatepostgatepost"})

_hasher = PasswordHasher()
# Verified when the name is unknown, so that the time taken does not tell which names exist.
_NOBODY = _hasher.hash(secrets.token_hex(16))


class Role(StrEnum):
    """What somebody may do: auditor looks and exports, operator also closes alerts, admin also admits kiosks."""

    AUDITOR = "auditor"
    OPERATOR = "operator"
    ADMIN = "admin"


_RANK = {Role.AUDITOR: 1, Role.OPERATOR: 2, Role.ADMIN: 3}


@dataclass(frozen=True, slots=True)
class Visitor:
    """Somebody who proved who they are. ``csrf`` goes into every form; empty for a token, which needs none."""

    name: str
    role: Role
    csrf: str

    def may(self, role: Role) -> bool:
        """Whether this role includes what ``role`` may do."""
        return _RANK[self.role] >= _RANK[role]


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8")).digest()


def csrf_of(token: str) -> str:
    """The form token of a session: derived, so nothing more is stored."""
    return hmac.new(token.encode("utf-8"), b"gatepost/csrf/1", "sha256").hexdigest()


def set_user(connection: Connection, now_us: int, name: str, role: Role, passphrase: str) -> None:
    """Make a user, or give one a new role and passphrase; all their sessions end.

    Raises SyncError for a passphrase shorter than 15 characters or one that is on everybody's list.
    """
    if not MIN_PASSPHRASE_CHARS <= len(passphrase) <= MAX_PASSPHRASE_CHARS or passphrase.lower() in COMMON:
        raise SyncError(
            f"passphrase of {name}",
            seen=f"{len(passphrase)} characters",
            expected=f"{MIN_PASSPHRASE_CHARS} or more, not a common one",
            hint="four or five random words",
        )
    connection.execute(delete(users).where(users.c.name == name))
    connection.execute(delete(sessions).where(sessions.c.name == name, sessions.c.kind == "browser"))
    connection.execute(
        insert(users).values(
            name=name,
            role=str(role),
            secret=_hasher.hash(passphrase),
            created_us=now_us,
            failures=0,
            not_before_us=0,
        )
    )


def remove(connection: Connection, name: str) -> tuple[int, int]:
    """End what ``name`` may do here, from the next request on: how many users (0 or 1) and how many log-ins and tokens
    are gone. Raises SyncError for the last admin."""
    admins = connection.execute(select(users.c.name).where(users.c.role == str(Role.ADMIN))).scalars().all()
    if list(admins) == [name]:
        raise SyncError(f"user {name}", seen="the last admin", expected="another admin first")
    gone = connection.execute(delete(users).where(users.c.name == name)).rowcount
    return gone, connection.execute(delete(sessions).where(sessions.c.name == name)).rowcount


@dataclass(frozen=True, slots=True)
class Compared:
    """What came of comparing a passphrase: with which stored hash, and whether it is that one's."""

    secret: str = field(repr=False)
    good: bool


def secret_of(connection: Connection, name: str) -> str:
    """The hash to compare ``name``'s passphrase with; for an unknown name one that nothing fits."""
    secret = connection.execute(select(users.c.secret).where(users.c.name == name)).scalar_one_or_none()
    return _NOBODY if secret is None else str(secret)


def compare(secret: str, passphrase: str) -> Compared:
    """Slow on purpose: not inside a transaction that writes."""
    return Compared(secret, _verifies(secret, passphrase[:MAX_PASSPHRASE_CHARS]))


def log_in(connection: Connection, now_us: int, name: str, compared: Compared) -> str | None:
    """A new session's cookie, or None for a wrong name or passphrase, or one tried too soon after failures.

    Tries that were compared at the same time are counted here one after the other, so many at once are no way round
    the waits; one that was compared with a passphrase of before is nobody's.
    """
    user = connection.execute(select(users).where(users.c.name == name)).one_or_none()
    if user is None or now_us < user.not_before_us or user.secret != compared.secret:
        return None
    if not compared.good:
        failures = user.failures + 1
        over = failures - FREE_FAILURES
        wait_us = min(MAX_WAIT_US, 1_000_000 * 2 ** min(over, 20)) if over > 0 else 0
        connection.execute(
            update(users).where(users.c.name == name).values(failures=failures, not_before_us=now_us + wait_us)
        )
        note(connection, now_us, name, "log_in_refused", f"{failures} in a row")
        return None
    connection.execute(update(users).where(users.c.name == name).values(failures=0, not_before_us=0))
    note(connection, now_us, name, "log_in", user.role)
    return _new_session(connection, now_us, "browser", Visitor(name, Role(user.role), ""))


def _verifies(secret: str, passphrase: str) -> bool:
    try:
        return _hasher.verify(secret, passphrase)
    except (Argon2Error, InvalidHashError):
        return False


def make_token(connection: Connection, now_us: int, name: str, role: Role) -> str:
    """A bearer token for a program; shown once."""
    return _new_session(connection, now_us, "token", Visitor(name, role, ""))


def _new_session(connection: Connection, now_us: int, kind: str, visitor: Visitor) -> str:
    valid_us = TOKEN_MAX_US if kind == "token" else SESSION_MAX_US
    token = secrets.token_urlsafe(32)
    connection.execute(delete(sessions).where(sessions.c.expires_us < now_us))
    connection.execute(
        insert(sessions).values(
            token_hash=_digest(token),
            kind=kind,
            name=visitor.name,
            role=str(visitor.role),
            created_us=now_us,
            last_used_us=now_us,
            expires_us=now_us + valid_us,
        )
    )
    return token


def visitor_of(connection: Connection, now_us: int, token: str, kind: str) -> Visitor | None:
    """Who holds ``token``, or None when it is unknown, expired, idle too long or of another kind."""
    row = connection.execute(select(sessions).where(sessions.c.token_hash == _digest(token))).one_or_none()
    if row is None or row.kind != kind or now_us > row.expires_us:
        return None
    if kind == "browser" and now_us - row.last_used_us > SESSION_IDLE_US:
        return None
    return Visitor(row.name, Role(row.role), csrf_of(token) if kind == "browser" else "")


def touch(connection: Connection, now_us: int, token: str) -> None:
    """Note that a session is in use, at most once a minute."""
    connection.execute(
        update(sessions)
        .where(sessions.c.token_hash == _digest(token), sessions.c.last_used_us < now_us - TOUCH_EVERY_US)
        .values(last_used_us=now_us)
    )


def log_out(connection: Connection, token: str) -> None:
    """End a session."""
    connection.execute(delete(sessions).where(sessions.c.token_hash == _digest(token)))
