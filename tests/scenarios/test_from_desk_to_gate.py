"""One card's life over pseudo-terminals: blank, issued at the desk, its keys brought to the gate, tapped, revoked.

Desk and gate are the shipped commands and the whole gate; reader, card and relay board are simulators in this process.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from config.settings import load_settings
from drivers.simulators.ntag424_card import NtagCard
from drivers.simulators.pn532 import Pn532Player, uid_card
from drivers.simulators.relay import RelayPlayer
from drivers.simulators.wire import Wire
from kiosk.cli import app
from kiosk.journal import JournalReader
from kiosk.records import Kind, PayloadClass, Stream
from kiosk.run import build

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("whole-gate"), pytest.mark.timeout(120)]

UID = bytes.fromhex("04A1B2C3D4E5F6")
LEGACY = uid_card(bytes.fromhex("11223344"))
MS = 1_000_000
GATE = """
[site]
kiosk_id = "life-1"
[state]
folder = "{folder}/state"
[policy]
file = "building_door"
[keys]
community = "{folder}/community.key"
[web]
port = 0
[simulation]
devices = true
[[lane]]
name = "in"
  [lane.reader]
  port = "{folder}/dev/reader"
  [lane.relay]
  port = "{folder}/dev/relay"
"""


class Reader:
    """The PN532 of desk or gate; a card stays on it until it is taken away."""

    def __init__(self, link: Path) -> None:
        self.player = Pn532Player()
        self.wire = Wire(link, self.player, baud=115200, seed=1)

    @contextmanager
    def lying(self, card: Any) -> Iterator[None]:
        self.player.put(card, 60_000 * MS)
        self.wire.command({"do": "status"})
        yield
        self.wire.command({"do": "remove"})


@contextmanager
def reader(link: Path) -> Iterator[Reader]:
    found = Reader(link)
    found.wire.start()
    try:
        yield found
    finally:
        found.wire.stop()


def gatepost(*arguments: object) -> str:
    """A command of the program; its exit status must be 0."""
    result = CliRunner().invoke(app, [str(each) for each in arguments])
    assert result.exit_code == 0, result.output
    return result.output


def issue(folder: Path, person: str, card: Any, *options: str) -> str:
    """One card at the desk."""
    with reader(folder / "dev" / "desk") as desk, desk.lying(card):
        return gatepost(
            *("card", "issue", "--from", folder / "roster.csv", "--to", folder / "issued.csv"),
            *("--keys", folder / "site-keys.json", "--reader", desk.wire.link, "--address", "https://gate.example/p"),
            *("--person", person, "--unsigned", *options),
        )


def to_the_gate(folder: Path) -> None:
    """What somebody brings from the desk to the kiosk: people and cards, and the cards' keys."""
    config = ("--config", folder / "gate.toml")
    gatepost("roster", "import", folder / "issued.csv", *config)
    gatepost("card", "export-keys", folder / "issued.csv", folder / "keys.csv", "--keys", folder / "site-keys.json")
    gatepost("card", "take-keys", folder / "keys.csv", *config)


def verdict(folder: Path, gate: Reader, card: Any, seen: int) -> tuple[int, str]:
    """The next verdict after record ``seen``: its number and its first reason. The card is away for a second after."""
    journal = JournalReader(folder / "state" / "journal.db")
    try:
        with gate.lying(card):
            deadline = time.monotonic() + 20
            while time.monotonic() < deadline:
                for incarnation, stream in journal.positions():
                    found = journal.slice(incarnation, stream, seen).records if stream is Stream.PASSAGE else ()
                    for record in found:
                        if record.kind is Kind.PASSAGE:
                            body = record.payloads[PayloadClass.FACTS].body
                            assert body is not None
                            return record.seq, str(body["reasons"][0])
                time.sleep(0.02)
    finally:
        journal.close()
        time.sleep(1.2)
    raise AssertionError("no verdict within 20 s")


def test_a_card_from_the_desk_opens_until_it_is_revoked(tmp_path: Path) -> None:
    """Issued, tapped, admitted; its copied number is not; revoked at the desk and imported, it is not either."""
    (tmp_path / "community.key").write_bytes(bytes(range(32)))
    (tmp_path / "community.key").chmod(0o600)
    (tmp_path / "gate.toml").write_text(GATE.format(folder=tmp_path))
    (tmp_path / "roster.csv").write_text(
        "person_id,category,card_uid,registered\nR-1,resident,,yes\nR-2,resident,,yes\n"
    )
    (tmp_path / "state").mkdir(mode=0o700)
    gatepost("card", "new-keys", tmp_path / "site-keys.json", "--site", "SITE01")
    card = NtagCard(UID)
    assert "R-1: card ..e5f6, ev2" in issue(tmp_path, "R-1", card)
    assert "R-2: card ..3344, uid" in issue(tmp_path, "R-2", LEGACY, "--legacy")
    to_the_gate(tmp_path)

    relay = RelayPlayer(2, tmp_path / "relay.log")
    with ExitStack() as stack:
        board = Wire(tmp_path / "dev" / "relay", relay, baud=9600, seed=2)
        board.start()
        stack.callback(board.stop)
        gate_reader = stack.enter_context(reader(tmp_path / "dev" / "reader"))
        gate = build(load_settings(tmp_path / "gate.toml", {}).settings, stack)
        thread = threading.Thread(target=gate.run)
        thread.start()
        stack.callback(thread.join, 10)
        stack.callback(gate.stop)

        seen, reason = verdict(tmp_path, gate_reader, card, 0)
        assert reason == "all_checks_passed"
        seen, reason = verdict(tmp_path, gate_reader, LEGACY, seen)
        assert reason == "all_checks_passed"
        seen, reason = verdict(tmp_path, gate_reader, uid_card(UID), seen)
        assert reason == "card_cloned"
        pulses = board.command({"do": "log"})["changes"]
        assert sum(change["on"] for change in pulses) == 2

        gatepost("card", "revoke", "--to", tmp_path / "issued.csv", "--person", "R-1")
        to_the_gate(tmp_path)
        seen, reason = verdict(tmp_path, gate_reader, card, seen)
        assert reason == "card_revoked"
        assert board.command({"do": "log"})["changes"] == pulses
