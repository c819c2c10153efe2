"""Opaque codes at the whole gate: picture, camera path, real gate and sync programs, a server's good and bad days."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import segno

from kiosk.demo.programs import Programs
from kiosk.journal import JournalReader
from kiosk.records import Kind, PayloadClass, Record, Stream
from tests.code_server import GREEN, RED, SECRET, CodeServer, settings_of

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("whole-gate"), pytest.mark.timeout(120)]

GATE = """
[site]
kiosk_id = "lookup-1"
[state]
folder = "{folder}/state"
[policy]
file = "code_check"
[keys]
community = "{folder}/community.key"
[web]
port = 0
[simulation]
start_at = {now}
[[lane]]
name = "in"
  [lane.camera]
  source = "folder"
  path = "{folder}/pictures"
  follow = true
"""


def body(record: Record, kind: PayloadClass = PayloadClass.FACTS) -> dict[str, Any]:
    """One payload of a record."""
    found = record.payloads[kind].body
    assert found is not None
    return found


@dataclass
class LookupGate:
    """One lane with a camera. ``show`` puts a code before it and gives the record of what came of it."""

    folder: Path
    programs: Programs
    seen: int = 0
    shown: int = 0

    def show(self, text: str) -> Record:
        self.shown += 1
        new = self.folder / "fresh.png"
        segno.make(text, error="m").save(str(new), scale=6, border=4)
        new.rename(self.folder / "pictures" / f"{self.shown:03d}.png")
        reader = JournalReader(self.folder / "state/journal.db")
        deadline = time.monotonic() + 30
        try:
            while time.monotonic() < deadline:
                incarnation = next(iter(reader.positions()))[0]
                for record in reader.slice(incarnation, Stream.PASSAGE, self.seen).records:
                    self.seen = record.seq
                    if record.kind is Kind.PASSAGE:
                        return record
                time.sleep(0.02)
        finally:
            reader.close()
        raise AssertionError("no verdict within 30 s")

    def reason(self, text: str) -> str:
        return str(body(self.show(text))["reasons"][0])

    def wait_for_line(self, times: int) -> None:
        """Until the gate has got hold of sync for the so-manieth time."""
        log = self.folder / "log" / "gate.log"
        self.programs.wait_for(
            "its line to sync", lambda: log.read_bytes().count(b'"line_up"') >= times, program="gate"
        )

    def alarms(self) -> list[str]:
        reader = JournalReader(self.folder / "state/journal.db")
        try:
            incarnation = next(iter(reader.positions()))[0]
            records = reader.slice(incarnation, Stream.ALARM, 0).records
            return [str(body(record).get("code")) for record in records]
        finally:
            reader.close()


@pytest.fixture(scope="module")
def server() -> Iterator[CodeServer]:
    running = CodeServer(slow_s=4.0).start()
    yield running
    running.stop()


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory, server: CodeServer) -> Iterator[LookupGate]:
    tmp_path = tmp_path_factory.mktemp("lookup")
    (tmp_path / "pictures").mkdir()
    (tmp_path / "community.key").write_bytes(bytes(range(32)))
    (tmp_path / "lookup.secret").write_text(SECRET)
    for name in ("community.key", "lookup.secret"):
        (tmp_path / name).chmod(0o600)
    config = tmp_path / "gate.toml"
    table = settings_of(server.url, str(tmp_path / "lookup.secret"))
    config.write_text(
        GATE.format(folder=tmp_path, now=datetime.now(UTC).isoformat()).replace("[[lane]]", table + "[[lane]]", 1)
    )
    programs = Programs(tmp_path / "log")
    with ExitStack() as stack:
        stack.callback(programs.stop)
        programs.start("gate", "kiosk.cli", "run", "--config", str(config))
        programs.wait_for("its journal", (tmp_path / "state/journal.db").exists, program="gate")
        programs.start("sync", "sync.cli", "run", "--config", str(config))
        running = LookupGate(tmp_path, programs)
        running.wait_for_line(1)
        yield running


def test_a_code_is_looked_up_and_judged_by_its_servers_word(gate: LookupGate, server: CodeServer) -> None:
    """Green goes in, red does not, an unknown token neither; green again within its validity asks nobody."""
    green, red = server.make_code(GREEN), server.make_code(RED)
    record = gate.show(green)
    assert body(record)["reasons"] == ["all_checks_passed"]
    code = body(record, PayloadClass.HEALTH)["code"]
    assert (code["kind"], code["status"], code["issuer"]) == ("online", "green", "province")
    assert gate.reason(red) == "code_red"
    assert gate.reason(green[:-6] + "forged") == "code_unknown_issuer"
    assert gate.reason(green) == "all_checks_passed"
    assert server.asked.count(green) == 1
    state = b"".join(path.read_bytes() for path in (gate.folder / "state").iterdir() if path.is_file())
    logs = b"".join(path.read_bytes() for path in (gate.folder / "log").iterdir())
    for token in (green, red):
        assert token.encode() not in state + logs, "a code's text was kept"


def test_without_an_answer_it_is_the_guards_business(gate: LookupGate, server: CodeServer) -> None:
    """Slow: decided at the limit, before the answer. Tampered: an alarm. Sync hung, killed, back; server down."""
    green, red = server.make_code(GREEN), server.make_code(RED)
    server.behave("slow")
    record = gate.show(green)
    facts = body(record)
    assert facts["reasons"] == ["code_needs_online"]
    assert facts["next_step"] == "show_code_to_guard"
    assert 1400 <= facts["credential_to_verdict_ms"] < server.slow_s * 1000
    server.behave("wrong_signature")
    assert gate.reason(red) == "code_needs_online"
    assert gate.alarms().count("lookup_answer_refused") == 1
    server.behave("well")
    assert gate.reason(green) == "all_checks_passed"
    sync = gate.programs["sync"].process
    assert sync is not None
    sync.send_signal(signal.SIGSTOP)  # it hangs: the line is up, and nobody answers
    hung = body(gate.show(red))
    sync.send_signal(signal.SIGCONT)
    assert hung["reasons"] == ["code_needs_online"]
    assert hung["credential_to_verdict_ms"] >= 1400
    gate.programs["sync"].kill()
    assert gate.reason(red) == "code_needs_online"
    gate.programs["sync"].start()
    gate.wait_for_line(2)
    assert gate.reason(red) == "code_red"
    server.stop()
    assert gate.reason(server.make_code(GREEN)) == "code_needs_online", "the last test: its server is gone"
