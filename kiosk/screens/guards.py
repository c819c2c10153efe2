"""Who may use the console: names with argon2id hashes (RFC 9106), and a delay that grows with wrong tries.

The file is TOML, private to its owner::

    [guards.wang]
    name = "王师傅"
    secret = "$argon2id$v=19$m=65536,t=3,p=4$…"

Five tries are free; after that each wrong one doubles the wait, from 2 s up to 15 min. The counts are kept in a
file of their own, so that pulling the plug does not give five new tries. Time is an argument (monotonic).
"""

from __future__ import annotations

import contextlib
import json
import re
import stat
import threading
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from config.errors import ConfigError
from kiosk.durable_file import replace_file
from kiosk.screens.duty import LockOut

FREE_TRIES = 5
FIRST_DELAY_S = 2
MAX_DELAY_S = 900
MIN_SECRET = 8
MAX_SECRET = 128
_LOGIN = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
#: Secrets that are tried first by everybody; compared in lower case.
_COMMON = frozenset({"12345678", "123456789", "1234567890", "password", "gatepost", "88888888", "66666666", "00000000",
                     "11111111", "87654321", "qwertyui", "abcd1234", "admin123", "password1", "a1234567"})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Guard:
    """One guard: ``login`` goes into records, ``name`` is shown."""

    login: str
    name: str
    secret_hash: str


@dataclass(frozen=True, slots=True)
class LoginResult:
    """A guard, or none with the seconds to wait before the next try."""

    guard: Guard | None
    wait_s: int = 0


def hash_secret(secret: str, hasher: PasswordHasher | None = None) -> str:
    """The argon2id hash of a new secret. Raises ConfigError for one too short, too long or too common."""
    if not MIN_SECRET <= len(secret) <= MAX_SECRET:
        raise ConfigError(
            "guard's secret", seen=f"{len(secret)} characters", expected=f"{MIN_SECRET} to {MAX_SECRET} characters"
        )
    if secret.lower() in _COMMON or len(set(secret)) < 4:
        raise ConfigError("guard's secret", seen="one that everybody tries first", hint="take one of your own")
    return (hasher or PasswordHasher()).hash(secret)


def set_guard(path: Path, login: str, name: str, secret: str, *, hasher: PasswordHasher | None = None) -> None:
    """Write a guard into the file at ``path``, or give a known one a new name and secret; the others stay.

    The new file takes the old one's place at once or not at all, with mode 0600. Raises ConfigError for a login,
    name or secret that :meth:`GuardBook.load` would refuse.
    """
    if not name.isprintable():
        raise ConfigError("guard's name", seen=ascii(name)[:80], expected="letters that can be shown")
    guards = read_guards(path) if path.exists() else {}
    entry = {"name": name, "secret": hash_secret(secret, hasher)}
    guards |= _guards_of(path, {"guards": {login: entry}})
    # A JSON string without control characters is a TOML basic string as well.
    body = "".join(
        f"[guards.{guard.login}]\nname = {json.dumps(guard.name, ensure_ascii=False)}\n"
        f"secret = {json.dumps(guard.secret_hash)}\n\n"
        for guard in guards.values()
    )
    try:
        replace_file(path, body.encode())
    except OSError as error:
        raise ConfigError(
            str(path), seen=error.strerror or str(error), expected="a file that can be written"
        ) from error


class GuardBook:
    """The guards of a kiosk. Safe to call from several threads; one hash is computed at a time (64 MiB each).

    ``on_lock_out`` hears of each wait once, when it begins; it must not wait itself.
    """

    def __init__(
        self,
        guards: Mapping[str, Guard] | None = None,
        *,
        tries_file: Path | None = None,
        hasher: PasswordHasher | None = None,
        now_ns: int = 0,
        on_lock_out: Callable[[LockOut], None] = lambda lock_out: None,
    ) -> None:
        self._on_lock_out = on_lock_out
        self._guards = dict(guards or {})
        self._hasher = hasher or PasswordHasher()
        self._tries_file = tries_file
        self._lock = threading.Lock()
        self._wrong: dict[str, int] = self._read_tries()
        # After a restart the whole wait begins anew: monotonic time of the last run means nothing in this one.
        self._wait_until_ns = {login: now_ns + _delay_s(count) * 10**9 for login, count in self._wrong.items()}
        # An unknown name costs as much time as a known one, and shares one count with all other unknown names.
        self._nobody_hash = self._hasher.hash("nobody has this secret")

    @classmethod
    def load(
        cls,
        path: Path,
        *,
        tries_file: Path | None = None,
        now_ns: int = 0,
        on_lock_out: Callable[[LockOut], None] = lambda lock_out: None,
    ) -> GuardBook:
        """The guards of a file. Raises ConfigError for a readable-by-others, malformed or unhashed file."""
        return cls(read_guards(path), tries_file=tries_file, now_ns=now_ns, on_lock_out=on_lock_out)

    def __len__(self) -> int:
        return len(self._guards)

    def name_of(self, login: str) -> str:
        """The name shown for a login."""
        guard = self._guards.get(login)
        return guard.name if guard else login

    def log_in(self, login: str, secret: str, *, now_ns: int) -> LoginResult:
        """Check a name and secret at monotonic ``now_ns``. While a wait runs, even the right secret is refused."""
        login = login.strip().lower()
        guard = self._guards.get(login)
        key = login if guard else ""
        with self._lock:
            wait_ns = self._wait_until_ns.get(key, 0) - now_ns
            if wait_ns > 0:
                return LoginResult(None, -(-wait_ns // 10**9))
            if self._matches(guard, secret) and guard is not None:
                if self._wrong.pop(key, 0):
                    self._write_tries()
                return LoginResult(guard)
            count = self._wrong.get(key, 0) + 1
            self._wrong[key] = count
            wait_s = _delay_s(count)
            self._wait_until_ns[key] = now_ns + wait_s * 10**9
            self._write_tries()
            if wait_s:
                self._on_lock_out(LockOut(key, count, wait_s))
            return LoginResult(None, wait_s)

    def _matches(self, guard: Guard | None, secret: str) -> bool:
        if len(secret) > MAX_SECRET:
            return False
        try:
            return self._hasher.verify(guard.secret_hash if guard else self._nobody_hash, secret)
        except (VerificationError, InvalidHashError):
            return False

    def _read_tries(self) -> dict[str, int]:
        if self._tries_file is None or not self._tries_file.exists():
            return {}
        try:
            table = json.loads(self._tries_file.read_text(encoding="utf-8"))
            return {str(login): int(count) for login, count in table.items()}
        except (OSError, ValueError, AttributeError, TypeError):
            # An unreadable count is treated as spent tries, never as new ones.
            return dict.fromkeys([*self._guards, ""], FREE_TRIES + 1)

    def _write_tries(self) -> None:
        if self._tries_file is None:
            return
        # A full disk must not lock the guards out: the counts in memory still hold.
        with contextlib.suppress(OSError):
            replace_file(self._tries_file, json.dumps(self._wrong).encode())


def _delay_s(wrong: int) -> int:
    return 0 if wrong < FREE_TRIES else min(MAX_DELAY_S, FIRST_DELAY_S << min(wrong - FREE_TRIES, 16))


def read_guards(path: Path) -> dict[str, Guard]:
    """The guards of a file by login. Raises ConfigError for a file that others may read, or of another form."""
    try:
        mode = path.stat().st_mode
        body = path.read_bytes()
    except OSError as error:
        raise ConfigError(str(path), seen=error.strerror or "unreadable", expected="the guards' file") from error
    if stat.S_IMODE(mode) & 0o077:
        raise ConfigError(str(path), seen=f"mode {stat.S_IMODE(mode):04o}", expected="0600", hint=f"chmod 600 {path}")
    if len(body) > 256 * 1024:
        raise ConfigError(str(path), seen=f"{len(body)} bytes", expected="at most 262144 bytes")
    try:
        table = tomllib.loads(body.decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(str(path), seen=str(error), expected="TOML") from error
    return _guards_of(path, table)


def _guards_of(path: Path, table: Mapping[str, object]) -> dict[str, Guard]:
    entries = table.get("guards")
    if not isinstance(entries, dict) or set(table) != {"guards"}:
        raise ConfigError(str(path), seen=", ".join(table) or "nothing", expected="[guards.LOGIN] tables only")
    guards: dict[str, Guard] = {}
    for login, entry in entries.items():
        where = f"{path}: guards.{login}"
        if not _LOGIN.fullmatch(login):
            raise ConfigError(where, seen=repr(login), expected="a-z, 0-9, - and _, at most 32")
        if not isinstance(entry, dict) or set(entry) != {"name", "secret"}:
            raise ConfigError(where, seen=str(sorted(entry) if isinstance(entry, dict) else entry)[:80],
                              expected="name and secret")  # fmt: skip
        name, secret = entry["name"], entry["secret"]
        if not isinstance(secret, str) or not secret.startswith("$argon2id$"):
            raise ConfigError(f"{where}.secret", expected="an argon2id hash, never the secret itself")
        if not isinstance(name, str) or not 1 <= len(name) <= 40:
            raise ConfigError(f"{where}.name", expected="1 to 40 characters")
        guards[login] = Guard(login, name, secret)
    return guards
