"""Who was on duty is in the journal: the real gate's console, worked over HTTP, in simulated time."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from argon2 import PasswordHasher
from typer.testing import CliRunner

from config.settings import load_settings
from kiosk.capture import Gate
from kiosk.gate_inbox import Note
from kiosk.journal import JournalReader
from kiosk.journal_cli import app as journal_cli
from kiosk.journal_types import JournalError
from kiosk.line_wire import Silent
from kiosk.passage_record import facts_only
from kiosk.records import Kind, PayloadClass, Record, Stream
from kiosk.run import build
from kiosk.screens.guards import FREE_TRIES, hash_secret
from kiosk.screens.sessions import IDLE_S, SHIFT_S
from kiosk.unwritten import RETRY_EVERY_NS
from tests.fakes import FakeClock
from tests.gate_settings import SIMULATED, lane_text, write_gate
from tests.integration.central_process import free_port

SECRET, WRONG = "correct horse", "battery staple"
CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


@dataclass
class Browser:
    """One browser at the console, without a script."""

    client: httpx.Client

    def log_in(self, login: str, secret: str = SECRET) -> int:
        page = self.client.get("/guard/login").text
        return self.client.post("/guard/login", data={**_token(page), "login": login, "secret": secret}).status_code

    def log_out(self) -> int:
        return self.client.post("/guard/logout", data=_token(self.client.get("/guard").text)).status_code


def _token(page: str) -> dict[str, str]:
    found = re.search(r'name="token" value="([0-9a-f]{64})"', page)
    assert found, page[:500]
    return {"token": found[1]}


@dataclass
class Post:
    """A gate with two guards, its clock, and what its journal says of them."""

    folder: Path
    clock: FakeClock
    stack: ExitStack
    port: int = field(default_factory=free_port)

    def __post_init__(self) -> None:
        web = SIMULATED.replace("port = 0", f"port = {self.port}")
        guards = 'guards = "{folder}/guards.toml"\n'
        path = write_gate(self.folder, web + lane_text("in", "reader"), kiosk_id="duty-1", keys=guards)
        (self.folder / "guards.toml").write_bytes(b"".join(map(guard_line, ("wang", "li"))))
        (self.folder / "guards.toml").chmod(0o600)
        self.gate: Gate = build(load_settings(path, {}).settings, self.stack, clock=self.clock)
        self.gate._round()

    def browser(self) -> Browser:
        client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", trust_env=False)
        self.stack.callback(client.close)
        return Browser(client)

    def later(self, seconds: float) -> None:
        self._settle()
        self.clock.advance(seconds)
        self._settle()

    def _settle(self) -> None:
        self.gate.hear(Silent(neighbours=0))  # so that no round waits for something to do
        while not self.gate._inbox.empty():  # the end of a log-in is noticed in one round and written in the next
            self.gate._round()

    def records(self) -> list[Record]:
        reader = JournalReader(self.folder / "state/journal.db")
        try:
            found = [r for i, s in reader.positions() if s is Stream.PASSAGE for r in reader.slice(i, s, 0).records]
        finally:
            reader.close()
        return [record for record in found if record.kind is Kind.SHIFT]

    def told(self) -> list[dict[str, Any]]:
        bodies = [record.payloads[PayloadClass.FACTS].body for record in self.records()]
        return [body for body in bodies if body is not None]

    def events(self) -> list[tuple[str, str]]:
        return [(facts["event"], facts["guard"]) for facts in self.told()]


def guard_line(login: str) -> bytes:
    return f'[guards.{login}]\nname = "{login}"\nsecret = "{hash_secret(SECRET, CHEAP)}"\n'.encode()


@pytest.fixture
def post(tmp_path: Path) -> Iterator[Post]:
    with ExitStack() as stack:
        yield Post(tmp_path, FakeClock(), stack)


def test_a_day_at_the_console_stands_in_the_journal_in_its_order(post: Post) -> None:
    """Log-in, idle lock, unlock, hand-over in the same browser, lock by hand, end of a shift, each a durable record."""
    console = post.browser()
    assert console.log_in("wang") == 303
    post.later(IDLE_S + 1)
    assert console.log_in("wang") == 303
    post.later(60)
    assert console.log_in("li") == 303
    post.later(60)
    assert console.log_out() == 303
    post.later(60)
    assert console.log_in("wang") == 303
    for _ in range(SHIFT_S // 1200):
        post.later(1200)
        assert console.client.get("/guard").status_code == 200
    post.later(1)
    assert console.client.get("/guard").status_code == 303
    assert post.events() == [
        ("logged_in", "wang"),
        ("idle_locked", "wang"),
        ("unlocked", "wang"),
        ("replaced", "wang"),
        ("handed_over", "li"),
        ("logged_out", "li"),
        ("handed_over", "wang"),
        ("shift_ended", "wang"),
    ]
    assert post.told()[6]["vacant_s"] == 60
    idle = post.records()[1]
    assert idle.at_us - post.records()[0].at_us == (IDLE_S + 1) * 1_000_000
    assert {record.lane for record in post.records()} == {""}
    shown = CliRunner().invoke(journal_cli, ["tail", str(post.folder / "state/journal.db"), "--stream", "passage"])
    assert '"event":"handed_over","guard":"li","on_duty":1,"previous":"wang"' in shown.output


def test_wrong_secrets_leave_one_record_a_wait_and_nothing_of_what_was_typed(post: Post) -> None:
    """Eight tries in a row: one lock-out. The journal's file holds neither the secret nor the name that was tried."""
    console = post.browser()
    for _ in range(FREE_TRIES + 3):
        assert console.log_in("wang", WRONG) in (403, 429)
    for _ in range(FREE_TRIES):
        console.log_in("hacker77", WRONG)
    post.later(1)
    assert post.events() == [("locked_out", "wang"), ("locked_out", "")]
    files = b"".join(path.read_bytes() for path in (post.folder / "state").glob("journal.db*"))
    assert b"locked_out" in files
    assert WRONG.encode() not in files
    assert b"hacker77" not in files


def test_a_journal_that_fails_keeps_no_guard_out_and_has_it_all_when_it_is_well(
    post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log-in answers at once; two records wait in memory and are written in their order, with their own times."""
    writer = post.gate._unwritten._journal

    def full(*_: object, **__: object) -> Record:
        raise JournalError("journal.db", seen="no space left")

    with monkeypatch.context() as broken:
        broken.setattr(writer, "append", full)
        console = post.browser()
        assert console.log_in("wang") == 303
        post.later(60)
        assert console.log_out() == 303
        post.later(60)
        assert post.events() == []
        assert post.gate._unwritten.count >= 2
    post.later(RETRY_EVERY_NS / 1e9)
    assert post.events() == [("logged_in", "wang"), ("logged_out", "wang")]
    first, second = post.records()
    assert second.at_us - first.at_us == 60_000_000


def test_a_gate_that_is_stopped_writes_the_end_of_the_log_in_and_what_was_still_waiting(post: Post) -> None:
    """SIGTERM at night: the guard's log-in is ended in the journal before it is closed."""
    thread = threading.Thread(target=post.gate.run)
    assert post.browser().log_in("wang") == 303
    thread.start()
    post.gate.stop()
    thread.join(20)
    assert post.events() == [("logged_in", "wang"), ("stopped", "wang")]


def test_the_wait_of_a_locked_login_begins_anew_with_the_gate(post: Post, tmp_path: Path) -> None:
    """Pulling the plug is no way around the wait: the count is kept, and the clock of the wait is the gate's own."""
    console = post.browser()
    for _ in range(FREE_TRIES):
        console.log_in("wang", WRONG)
    post.stack.close()
    post.clock.reboot()
    post.clock.mono_ns = 3_600 * 10**9
    again = Post(tmp_path, post.clock, post.stack)
    assert again.browser().log_in("wang") == 429
    again.later(2)
    assert again.browser().log_in("wang") == 303


def test_a_note_that_cannot_be_a_record_does_not_stop_the_gate(post: Post) -> None:
    """A thread that brings text which no record may hold (half a character) loses that record, and nobody the lanes."""
    post.gate.note(Note(Stream.PASSAGE, Kind.SHIFT, facts_only(event="\ud800")))
    post.gate.note(Note(Stream.PASSAGE, Kind.SHIFT, facts_only(event="whole")))
    post.later(1)
    assert [facts["event"] for facts in post.told()] == ["whole"]
