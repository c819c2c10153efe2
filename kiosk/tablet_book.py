"""Which tablets may show the console: one pairing code at a time, and the devices that used one.

Kept in one file of the state folder (mode 0600), shared by the gate and ``gatepost console``: each change is made under
a lock and put in place whole, each look is a stat unless the file changed. Codes and cookies are kept as SHA-256 alone;
a cookie has 256 bits, a code 39 bits, 15 minutes and 20 wrong tries.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from config.errors import ConfigError, GatepostError
from kiosk.clock import Instant
from kiosk.durable_file import owned_file, owned_folder, replace_file

FILE = "tablets.json"
CODE_LIFE_NS = 15 * 60 * 10**9
CODE_LENGTH = 8
#: Without I, L, O, U, 0 and 1: read from a screen, typed on glass.
CODE_LETTERS = "23456789ABCDEFGHJKMNPQRSTVWXYZ"
MAX_WRONG = 20
MAX_TABLETS = 16
MAX_NAME = 40
MAX_FILE_BYTES = 64 * 1024
SEEN_EVERY_US = 3600 * 1_000_000
"""``last_seen_us`` is written at most once an hour: wear of the card."""


class PairingError(GatepostError):
    """A code that pairs nothing; ``key`` names the sentence for the page."""

    def __init__(self, key: str, seen: str) -> None:
        super().__init__("pairing code", seen=seen, expected="the newest code, within 15 minutes", hint="a new code")
        self.key = key


@dataclass(frozen=True, slots=True)
class Tablet:
    """One paired device. ``tablet_id`` names it in lists and records; instants are UTC in microseconds."""

    tablet_id: str
    name: str
    cookie_sha256: str
    paired_at_us: int
    last_seen_us: int


@dataclass(frozen=True, slots=True)
class Code:
    """The code that waits, by its hash: good on ``boot_id`` until the monotonic ``until_ns``."""

    code_sha256: str
    name: str
    boot_id: str
    until_ns: int
    wrong: int = 0


@dataclass(frozen=True, slots=True)
class _Book:
    code: Code | None = None
    tablets: dict[str, Tablet] = field(default_factory=dict)


class TabletBook:
    """The file of paired tablets. Safe to use from several threads and programs; time is an argument."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        self._lock = threading.Lock()
        # The file as it was last read. A look takes no lock: whoever writes slowly does not hold up an emergency.
        self._known: tuple[tuple[int, int, int], _Book] | None = None

    def new_code(self, name: str, *, now: Instant) -> str:
        """A code for one tablet that will be called ``name``; the one before it is void. Raises ConfigError."""
        if not 1 <= len(name) <= MAX_NAME or not name.isprintable():
            raise ConfigError("tablet's name", seen=ascii(name)[:80], expected=f"1 to {MAX_NAME} letters")
        code = "".join(secrets.choice(CODE_LETTERS) for _ in range(CODE_LENGTH))
        with self._changing() as book:
            if len(book.tablets) >= MAX_TABLETS:
                raise ConfigError(
                    "tablets", seen=f"{len(book.tablets)} paired", expected=f"at most {MAX_TABLETS}",
                    hint="gatepost console revoke",
                )  # fmt: skip
            waiting = Code(_sha256(code), name, now.boot_id, now.mono_ns + CODE_LIFE_NS)
            self._put(replace(book, code=waiting))
        return f"{code[:4]}-{code[4:]}"

    def pair(self, typed: str, *, now: Instant) -> tuple[Tablet, str]:
        """Turn a typed code into a paired tablet and its cookie; the code is spent. Raises PairingError."""
        code = "".join(letter for letter in typed.upper() if letter not in " -")[: CODE_LENGTH + 1]
        with self._changing() as book:
            waiting = book.code
            if waiting is None or waiting.boot_id != now.boot_id or now.mono_ns >= waiting.until_ns:
                raise PairingError("no_code", "no code waits, or its time is up")
            if not secrets.compare_digest(_sha256(code), waiting.code_sha256):
                wrong = waiting.wrong + 1
                self._put(replace(book, code=replace(waiting, wrong=wrong) if wrong < MAX_WRONG else None))
                raise PairingError("wrong", "another code")
            cookie = secrets.token_urlsafe(32)
            tablet = Tablet(secrets.token_hex(4), waiting.name, _sha256(cookie), now.at_us, now.at_us)
            self._put(_Book(None, {**book.tablets, tablet.tablet_id: tablet}))
        return tablet, cookie

    def tablet_of(self, cookie: str) -> Tablet | None:
        """The tablet that a cookie belongs to; None when it was never paired, was revoked, or the file is unusable."""
        if not 1 <= len(cookie) <= 64:
            return None
        wanted = _sha256(cookie)
        try:
            book = self._read()
        except ConfigError:
            return None
        return next((tablet for tablet in book.tablets.values() if tablet.cookie_sha256 == wanted), None)

    def seen(self, tablet: Tablet, *, now: Instant) -> None:
        """A paired tablet asked for a page. Raises ConfigError where that cannot be written."""
        if 0 <= now.at_us - tablet.last_seen_us < SEEN_EVERY_US:
            return
        with self._changing() as book:
            if tablet.tablet_id in book.tablets:
                newest = replace(book.tablets[tablet.tablet_id], last_seen_us=now.at_us)
                self._put(replace(book, tablets={**book.tablets, tablet.tablet_id: newest}))

    def listed(self) -> tuple[Tablet, ...]:
        """Every paired tablet, oldest first. Raises ConfigError for a file that cannot be used."""
        return tuple(sorted(self._read().tablets.values(), key=lambda tablet: tablet.paired_at_us))

    def revoke(self, tablet_id: str) -> Tablet | None:
        """End a tablet's pairing at once; None when there is no such one. Raises ConfigError."""
        with self._changing() as book:
            gone = book.tablets.get(tablet_id)
            if gone is not None:
                self._put(replace(book, tablets={i: t for i, t in book.tablets.items() if i != tablet_id}))
        return gone

    @contextmanager
    def _changing(self) -> Iterator[_Book]:
        with self._lock:
            try:
                owned_folder(self._path.parent)
                with os.fdopen(owned_file(self._path.with_suffix(".lock"), os.O_TRUNC), "wb") as guard:
                    fcntl.flock(guard, fcntl.LOCK_EX)
                    yield self._read()
            except OSError as error:
                raise _unusable(self._path, error.strerror or str(error)) from error

    def _read(self) -> _Book:
        try:
            status = self._path.stat()
        except FileNotFoundError:
            return _Book()
        except OSError as error:
            raise _unusable(self._path, error.strerror or str(error)) from error
        stamp = (status.st_mtime_ns, status.st_ino, status.st_size)
        known = self._known
        if known is None or known[0] != stamp:
            known = self._known = (stamp, read_book(self._path))
        return known[1]

    def _put(self, book: _Book) -> None:
        body = {
            "code": None if book.code is None else asdict(book.code),
            "tablets": [asdict(tablet) for tablet in book.tablets.values()],
        }
        replace_file(self._path, json.dumps(body, ensure_ascii=False, indent=1).encode())


def read_book(path: Path) -> _Book:
    """The file's content, bounded. Raises ConfigError for one of another form."""
    try:
        with path.open("rb") as file:
            body = file.read(MAX_FILE_BYTES + 1)
        if len(body) > MAX_FILE_BYTES:
            raise _unusable(path, f"more than {MAX_FILE_BYTES} bytes")
        found = json.loads(body)
        code = None if found["code"] is None else Code(**found["code"])
        tablets = [Tablet(**tablet) for tablet in found["tablets"]]
        texts = [value for tablet in tablets for value in (tablet.tablet_id, tablet.name, tablet.cookie_sha256)]
        numbers = [value for tablet in tablets for value in (tablet.paired_at_us, tablet.last_seen_us)]
        if code is not None:
            texts += [code.code_sha256, code.name, code.boot_id]
            numbers += [code.until_ns, code.wrong]
        if not all(type(text) is str for text in texts) or not all(type(number) is int for number in numbers):
            raise _unusable(path, "another form")
    except OSError as error:
        raise _unusable(path, error.strerror or str(error)) from error
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise _unusable(path, f"another form: {type(error).__name__}") from error
    return _Book(code, {tablet.tablet_id: tablet for tablet in tablets})


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _unusable(path: Path, seen: str) -> ConfigError:
    return ConfigError(
        str(path), seen=seen, expected="the file of paired tablets", hint="remove it and pair the tablets anew"
    )
