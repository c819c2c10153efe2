"""From the desk to the gate, under both strengths, and what is no genuine card of it: each has its own reason.

Desk and gate are the shipped commands and the whole gate over pseudo-terminals; reader, cards and relay board are
simulators in this process. Copies are made as a thief makes them: by reading the card itself.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from config.settings import load_settings
from drivers.simulators.ntag424_card import NtagCard, personalised, recorded
from drivers.simulators.pn532 import uid_card
from drivers.simulators.relay import RelayPlayer
from drivers.simulators.wire import Wire
from kiosk.issuing import load_site_keys
from kiosk.run import build
from tests.scenarios.test_from_desk_to_gate import GATE, Reader, gatepost, issue, reader, to_the_gate, verdict

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("whole-gate"), pytest.mark.timeout(180)]

OWN, LOST, FOREIGN = (bytes.fromhex(f"04A1B2C3D4E5{last:02X}") for last in (1, 2, 3))


@dataclass
class Door:
    """The running gate and its cards; ``tap`` gives the first reason of the verdict."""

    folder: Path
    reader: Reader
    board: Wire
    own: NtagCard
    lost: NtagCard
    seen: int = 0

    def tap(self, card: Any) -> str:
        self.seen, reason = verdict(self.folder, self.reader, card, self.seen)
        if reason == "all_checks_passed":
            time.sleep(2.5)  # for three seconds after an admission the same number is the same presentation
        return reason

    def pulses(self) -> int:
        return sum(change["on"] for change in self.board.command({"do": "log"})["changes"])


@contextmanager
def door(folder: Path, strength: str) -> Iterator[Door]:
    """Two cards issued at the desk for gates of that strength, one of them revoked since; the gate runs."""
    (folder / "community.key").write_bytes(bytes(range(32)))
    (folder / "community.key").chmod(0o600)
    settings = GATE.replace("[keys]", '[keys]\ncard_meta = "{folder}/meta.key"')
    settings = settings.replace('dev/reader"', f'dev/reader"\n  strength = "{strength}"')
    (folder / "gate.toml").write_text(settings.format(folder=folder))
    (folder / "roster.csv").write_text("person_id,category,card_uid,registered\nR-1,resident,,yes\nR-2,resident,,yes\n")
    (folder / "state").mkdir(mode=0o700)
    gatepost("card", "new-keys", folder / "site-keys.json", "--site", "SITE01")
    gatepost("card", "export-meta", folder / "meta.key", "--keys", folder / "site-keys.json")
    own, lost = NtagCard(OWN), NtagCard(LOST)
    for person, card in (("R-1", own), ("R-2", lost)):
        assert f", {strength};" in issue(folder, person, card, "--strength", strength)
    to_the_gate(folder)
    gatepost("card", "revoke", "--to", folder / "issued.csv", "--person", "R-2")
    gatepost("roster", "import", folder / "issued.csv", "--config", folder / "gate.toml")
    with ExitStack() as stack:
        board = Wire(folder / "dev" / "relay", RelayPlayer(2, folder / "relay.log"), baud=9600, seed=2)
        board.start()
        stack.callback(board.stop)
        gate_reader = stack.enter_context(reader(folder / "dev" / "reader"))
        gate = build(load_settings(folder / "gate.toml", {}).settings, stack)
        thread = threading.Thread(target=gate.run)
        thread.start()
        stack.callback(thread.join, 10)
        stack.callback(gate.stop)
        yield Door(folder, gate_reader, board, own, lost)


def other_keys(uid: bytes, meta_key: bytes) -> NtagCard:
    """A card with this number and keys that are not ours."""
    return personalised(uid, gate_key=b"\x77" * 16, file_key=b"\x78" * 16, meta_key=meta_key)


def test_under_challenge_and_response_each_kind_of_wrong_card_has_its_own_reason(tmp_path: Path) -> None:
    """Issued, tapped, admitted; then a copied number, codes played ahead of their use, the lost card, a stranger's, and
    one of other keys: five reasons, and the barrier stays shut."""
    with door(tmp_path, "ev2") as gate:
        assert gate.tap(gate.own) == "all_checks_passed"
        assert gate.pulses() == 1
        found = {
            "copied number": gate.tap(uid_card(OWN)),
            "codes collected ahead": gate.tap(recorded(gate.own)),
            "lost": gate.tap(gate.lost),
            "of another site": gate.tap(other_keys(FOREIGN, b"\x79" * 16)),
            "of other keys": gate.tap(other_keys(OWN, b"\x79" * 16)),
        }
        assert found == {
            "copied number": "card_cloned",
            "codes collected ahead": "card_emulated",
            "lost": "card_revoked",
            "of another site": "card_unknown",
            "of other keys": "card_forged",
        }
        assert gate.pulses() == 1
        assert gate.tap(gate.own) == "all_checks_passed"
        assert gate.pulses() == 2


def test_under_rolling_codes_each_kind_of_wrong_card_has_its_own_reason(tmp_path: Path) -> None:
    """Issued, tapped, admitted; then a copied number, a code that was used, the lost card, a stranger's, and one of
    other keys: five reasons, and the barrier stays shut."""
    with door(tmp_path, "sun") as gate:
        assert gate.tap(gate.own) == "all_checks_passed"
        thief = recorded(gate.own)
        assert gate.tap(gate.own) == "all_checks_passed"
        assert gate.pulses() == 2
        meta_key = load_site_keys(tmp_path / "site-keys.json").meta()
        found = {
            "copied number": gate.tap(uid_card(OWN)),
            "a code again": gate.tap(thief),
            "lost": gate.tap(gate.lost),
            "of another site": gate.tap(other_keys(FOREIGN, b"\x79" * 16)),
            "of other keys": gate.tap(other_keys(OWN, meta_key)),
        }
        assert found == {
            "copied number": "card_cloned",
            "a code again": "card_replayed",
            "lost": "card_revoked",
            "of another site": "card_other_site",
            "of other keys": "card_forged",
        }
        assert gate.pulses() == 2
