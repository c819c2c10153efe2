"""``gatepost journal``: what an operator sees of a sound, a changed and an exported journal."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from config.errors import ConfigError
from kiosk.journal import JournalError, JournalReader
from kiosk.journal_cli import app
from kiosk.journal_export import export_lines, verify_export
from kiosk.journal_tables import row_key
from kiosk.records import Kind, PayloadClass, Stream
from sync.ackstore import AckPoint, AckStore
from tests.fakes import FakeClock
from tests.integration.journal_cases import FACTS, acknowledged, open_journal, write_passage


@pytest.fixture
def path(memory_folder: Path) -> Path:
    """A journal of 12 passages and an alarm, the first four purged."""
    clock = FakeClock()
    with open_journal(memory_folder, clock) as journal:
        for number in range(12):
            write_passage(journal, clock, number)
        alarm = {PayloadClass.FACTS: {"code": "door_forced"}}
        journal.append(Stream.ALARM, Kind.ALARM, at=clock.advance(1), lane="in-1", payloads=alarm)
        mark = acknowledged(journal, Stream.PASSAGE, 4, clock.at_us)
        journal.purge([mark], now=clock.now(), retention_us=0)
        return journal.path


def run(*arguments: object) -> Result:
    """The command's result; exceptions show."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)


def test_verify_tells_every_chain_and_its_extent(path: Path) -> None:
    """Exit status 0 and one line a chain."""
    result = run("verify", path)
    assert result.exit_code == 0
    assert "passage    5..13" in result.stdout
    assert "all chains hold" in result.stdout


def test_verify_of_a_changed_journal_names_the_record(path: Path) -> None:
    """Exit status 1, and the same in JSON."""
    raw = sqlite3.connect(path)
    raw.execute("UPDATE journal_facts SET salt = zeroblob(16) WHERE id = ?", (row_key(1, Stream.PASSAGE, 9),))
    raw.commit()
    raw.close()
    result = run("verify", path)
    assert result.exit_code == 1
    assert "passage record 9: its facts payload does not match its digest" in result.stdout
    told = json.loads(run("verify", path, "--json").stdout)
    assert (told["ok"], told["bad"][0]["seq"]) == (False, 9)


def test_verify_holds_the_journal_against_what_the_central_acknowledged(path: Path) -> None:
    """A rolled-back file is sound in itself; the acknowledgement beside it gives it away."""
    reader = JournalReader(path)
    incarnation = next(iter(reader.positions()))[0]
    store = AckStore(path.with_name("sync.db"))
    store.advance(incarnation, Stream.PASSAGE, AckPoint(40, b"\x01" * 32, 1, 1))
    store.close()
    result = run("verify", path)
    assert result.exit_code == 1
    assert "went back" in result.stdout


def test_a_missing_journal_is_named(memory_folder: Path) -> None:
    """Not a stack trace, and nothing is made at a mistyped path."""
    for command in ("verify", "tail", "export", "replay"):
        with pytest.raises(JournalError, match=r"gone\.db"):
            run(command, memory_folder / "gone.db")
    with pytest.raises(ConfigError, match="gone"):
        run("verify", memory_folder / "gone.ndjson")
    assert list(memory_folder.iterdir()) == []


def test_tail_shows_the_newest_records_in_the_order_in_which_they_were_made(path: Path) -> None:
    """Verdict and reasons of a passage, the facts of anything else."""
    shown = run("tail", path, "-n", 2).stdout.splitlines()
    kinds = [line.split()[4] for line in shown]
    assert (len(kinds), kinds[-3:]) == (6, ["passage", "passage", "alarm"])
    assert "ADMIT all_checks_passed" in shown[-2]
    assert "door_forced" in shown[-1]
    assert run("tail", path, "--stream", "alarm").stdout.count("\n") == 2


def test_an_export_verifies_by_itself(path: Path) -> None:
    """Written private and new, walked again from the text alone, and a second export does not overwrite it."""
    out = path.with_name("export.ndjson")
    assert run("export", path, "--out", out).exit_code == 0
    assert out.stat().st_mode & 0o777 == 0o600
    result = run("verify", out)
    assert (result.exit_code, "passage    5..13" in result.stdout) == (0, True)
    with pytest.raises(Exception, match="a new file"):
        run("export", path, "--out", out)


def test_an_export_of_facts_holds_nobody(path: Path) -> None:
    """No pseudonym and no temperature, and the chains hold all the same."""
    text = run("export", path, "--facts-only").stdout
    assert "object_centi_c" not in text
    assert "subject" not in text
    assert "all_checks_passed" in text
    report = verify_export(text.splitlines())
    assert report.ok
    assert sum(chain.erased for chain in report.chains) == 18


def lines_of(path: Path) -> list[str]:
    """The export's lines."""
    return list(export_lines(JournalReader(path)))


@pytest.mark.parametrize(
    ("what", "change"),
    [
        ("a line left out", lambda lines: lines[:8] + lines[9:]),
        ("two lines exchanged", lambda lines: [*lines[:8], lines[9], lines[8], *lines[10:]]),
        ("a value changed", lambda lines: [line.replace("in-1", "in-2", 1) for line in lines]),
        ("no chain opened", lambda lines: lines[1:]),
        ("not JSON", lambda lines: [*lines[:8], "{", *lines[9:]]),
        ("a number", lambda lines: [*lines[:8], "7", *lines[9:]]),
        ("nested too deep", lambda lines: [*lines[:8], "[" * 100_000, *lines[9:]]),
        ("nothing", lambda _: []),
    ],
)
def test_a_changed_export_is_found(path: Path, what: str, change: object) -> None:
    """From the text alone; and no text makes the walk raise."""
    assert not verify_export(change(lines_of(path))).ok, what  # type: ignore[operator]


def test_a_hole_left_by_damage_is_a_gap_in_the_export(path: Path) -> None:
    """The chain goes on behind it and still verifies."""
    raw = sqlite3.connect(path)
    raw.execute("UPDATE journal_record SET header = zeroblob(9) WHERE id = ?", (row_key(1, Stream.PASSAGE, 9),))
    raw.commit()
    raw.close()
    open_journal(path.parent).close()
    lines = lines_of(path)
    assert sum('"gap":{' in line for line in lines) == 1
    report = verify_export(lines)
    assert report.ok
    assert sum(chain.lost for chain in report.chains) == 1


def test_replay_counts_and_tells_an_admission_against_its_checks(memory_folder: Path) -> None:
    """A verdict that its own checks do not carry is named."""
    clock = FakeClock()
    found = {"outcome": "normal", "why_not": "", "rule": "forehead-2/unit-7", "by_guard": False}
    normal = {"temperature": {**found, "band_centi_c": [3500, 3650]}}
    wrong = {**FACTS, "checks": [{"by": "", "name": "pass", "reason": "", "state": "unknown"}]}
    with open_journal(memory_folder, clock) as journal:
        for facts in (FACTS, wrong):
            payloads = {PayloadClass.FACTS: facts, PayloadClass.HEALTH: normal}
            journal.append(Stream.PASSAGE, Kind.PASSAGE, at=clock.advance(1), ref="p-1", payloads=payloads)
    result = run("replay", memory_folder / "journal.db")
    assert result.exit_code == 1
    assert "admitted although pass did not pass" in result.stdout
    assert "2 passages, 2 temperatures computed again, 0 erased, 1 differ" in result.stdout
