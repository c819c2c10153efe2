"""Codes that pair a tablet once, and what is kept of them."""

from __future__ import annotations

import json
import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from config.errors import ConfigError
from kiosk.clock import Instant
from kiosk.reasons import ClockTrust
from kiosk.screens.tablet_door import FREE_TRIES, MAX_ADDRESSES, MAX_WAIT_S, PairingTries
from kiosk.tablet_book import CODE_LETTERS, CODE_LIFE_NS, FILE, MAX_TABLETS, MAX_WRONG, PairingError, TabletBook

NOW = Instant(at_us=1_772_000_000_000_000, clock_trust=ClockTrust.SYNCED, boot_id="boot-1", mono_ns=10**12)
S = 10**9


def later(seconds: float, boot_id: str = "boot-1") -> Instant:
    ns = round(seconds * S)
    return replace(NOW, at_us=NOW.at_us + ns // 1000, mono_ns=NOW.mono_ns + ns, boot_id=boot_id)


def test_a_code_pairs_one_tablet_once(tmp_path: Path) -> None:
    """Typed as people type: lower case, without the dash. The second use pairs nothing."""
    book = TabletBook(tmp_path)
    code = book.new_code("岗亭平板", now=NOW)
    tablet, cookie = book.pair(code.lower().replace("-", " "), now=later(899))
    assert book.tablet_of(cookie) == tablet
    assert (tablet.name, book.listed()) == ("岗亭平板", (tablet,))
    with pytest.raises(PairingError):
        book.pair(code, now=later(899))


@pytest.mark.parametrize("at", [later(900), later(10, "boot-2")])
def test_a_code_is_void_after_fifteen_minutes_and_after_a_restart(tmp_path: Path, at: Instant) -> None:
    """By the monotonic clock of this boot: setting the wall clock back gives no code a longer life."""
    book = TabletBook(tmp_path)
    code = book.new_code("tablet", now=NOW)
    with pytest.raises(PairingError, match="time is up"):
        book.pair(code, now=replace(at, at_us=NOW.at_us))
    assert CODE_LIFE_NS == 900 * S


def test_a_new_code_voids_the_one_before(tmp_path: Path) -> None:
    """One code waits at a time."""
    book = TabletBook(tmp_path)
    first, second = (book.new_code("tablet", now=NOW) for _ in range(2))
    with pytest.raises(PairingError):
        book.pair(first, now=NOW)
    book.pair(second, now=NOW)


def test_a_code_is_void_after_twenty_wrong_tries(tmp_path: Path) -> None:
    """39 bits and twenty tries: guessing, from however many addresses, is hopeless."""
    book = TabletBook(tmp_path)
    code = book.new_code("tablet", now=NOW)
    for _ in range(MAX_WRONG):
        with pytest.raises(PairingError):
            book.pair("2222-2222", now=NOW)
    with pytest.raises(PairingError):
        book.pair(code, now=NOW)
    assert len(CODE_LETTERS) ** 8 > 5e11


def test_neither_code_nor_cookie_is_on_the_disk(tmp_path: Path) -> None:
    """The file is its owner's alone and holds hashes: reading it opens no console."""
    book = TabletBook(tmp_path)
    code = book.new_code("tablet", now=NOW)
    waiting = (tmp_path / FILE).read_text()
    assert code.replace("-", "") not in waiting
    _, cookie = book.pair(code, now=NOW)
    assert cookie not in (tmp_path / FILE).read_text()
    assert stat.S_IMODE((tmp_path / FILE).stat().st_mode) == 0o600


def test_a_revoked_tablet_is_unknown_at_once_also_to_another_program(tmp_path: Path) -> None:
    """The command line revokes while the gate runs: each has a book of its own on one file."""
    gate, command = TabletBook(tmp_path), TabletBook(tmp_path)
    tablet, cookie = gate.pair(command.new_code("tablet", now=NOW), now=NOW)
    assert gate.tablet_of(cookie) is not None
    assert command.revoke(tablet.tablet_id) == tablet
    assert gate.tablet_of(cookie) is None
    assert command.revoke(tablet.tablet_id) is None


def test_the_last_use_is_written_once_an_hour(tmp_path: Path) -> None:
    """Known to the hour, without wearing the card out."""
    book = TabletBook(tmp_path)
    tablet, cookie = book.pair(book.new_code("tablet", now=NOW), now=NOW)
    stamp = (tmp_path / FILE).stat().st_mtime_ns
    book.seen(tablet, now=later(3599))
    assert (tmp_path / FILE).stat().st_mtime_ns == stamp
    book.seen(tablet, now=later(3600))
    found = book.tablet_of(cookie)
    assert found is not None
    assert found.last_seen_us == later(3600).at_us


@pytest.mark.parametrize("name", ["", "x" * 41, "a\nb"])
def test_a_name_is_one_short_line(tmp_path: Path, name: str) -> None:
    """It stands in a list on the console and in the terminal."""
    with pytest.raises(ConfigError):
        TabletBook(tmp_path).new_code(name, now=NOW)


def test_sixteen_tablets_are_enough(tmp_path: Path) -> None:
    """Then one must go before another comes."""
    book = TabletBook(tmp_path)
    for _ in range(MAX_TABLETS):
        book.pair(book.new_code("tablet", now=NOW), now=NOW)
    with pytest.raises(ConfigError, match="16 paired"):
        book.new_code("tablet", now=NOW)


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"[" * 60_000, b"x" * 70_000, b'{"code": null, "tablets": [{"tablet_id": 1}]}',
     json.dumps({"code": None, "tablets": [dict.fromkeys(
         ("tablet_id", "name", "cookie_sha256", "paired_at_us", "last_seen_us"), None)]}).encode()],
)  # fmt: skip
def test_a_file_that_cannot_be_used_pairs_nobody(tmp_path: Path, body: bytes) -> None:
    """Closed, not open: no cookie is good, and the list says what to do."""
    book = TabletBook(tmp_path)
    _, cookie = book.pair(book.new_code("tablet", now=NOW), now=NOW)
    (tmp_path / FILE).write_bytes(body)
    assert book.tablet_of(cookie) is None
    with pytest.raises(ConfigError, match="pair the tablets anew"):
        book.listed()


def test_wrong_codes_of_one_address_wait_longer_and_longer() -> None:
    """Five are free; then 2 s, doubling up to 15 minutes; another address is not held up."""
    tries, waits = PairingTries(), []
    for _ in range(FREE_TRIES + 12):
        tries.wrong("192.168.7.31", now_ns=0)
        waits.append(tries.wait_s("192.168.7.31", now_ns=0))
    assert waits[:FREE_TRIES] == [0, 0, 0, 0, 2]
    assert waits[FREE_TRIES : FREE_TRIES + 3] == [4, 8, 16]
    assert waits[-1] == MAX_WAIT_S
    assert tries.wait_s("192.168.7.31", now_ns=(MAX_WAIT_S - 1) * S) == 1
    assert tries.wait_s("192.168.7.31", now_ns=MAX_WAIT_S * S) == 0
    assert tries.wait_s("192.168.7.32", now_ns=0) == 0
    tries.right("192.168.7.31")
    assert tries.wait_s("192.168.7.31", now_ns=0) == 0


def test_the_memory_of_wrong_addresses_is_bounded() -> None:
    """Somebody with many addresses fills no memory."""
    tries = PairingTries()
    for number in range(2 * MAX_ADDRESSES):
        tries.wrong(f"fe80::{number:x}", now_ns=0)
    assert len(tries._wrong) == MAX_ADDRESSES


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make files for somebody else")
def test_a_code_made_by_root_is_read_by_the_gate(tmp_path: Path) -> None:
    """`sudo gatepost console pair`: the file belongs to the state folder's owner, as the gate does."""
    os.chown(tmp_path, 12345, 12346)
    TabletBook(tmp_path).new_code("tablet", now=NOW)
    for path in tmp_path.iterdir():
        assert (path.stat().st_uid, path.stat().st_gid, stat.S_IMODE(path.stat().st_mode)) == (12345, 12346, 0o600)
