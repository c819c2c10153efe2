"""Second-generation cards at the whole gate, over a pseudo-terminal: the genuine one opens, every other kind does not.

Every card is a simulated NTAG 424 DNA that does the cryptography, or a plain number where that is the attack.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from config.settings import Settings
from drivers.cards.ntag424 import CardKeys
from kiosk.demo.control import Control
from kiosk.journal import JournalReader
from kiosk.records import Kind, PayloadClass, Stream
from kiosk.site_stores import open_card_keys, open_roster
from tests.card_gate import card_settings, chip, running_card_gate

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("whole-gate"), pytest.mark.timeout(180)]

RESIDENT, LOST, STRANGER = "04A1B2C3D4E501", "04A1B2C3D4E502", "04A1B2C3D4E5FF"
KEYS = {
    uid: CardKeys(gate_key=bytes([number]) * 16, file_key=bytes([number + 100]) * 16)
    for number, uid in enumerate((RESIDENT, LOST), start=1)
}
OTHER_KEYS = CardKeys(gate_key=b"\x77" * 16, file_key=b"\x78" * 16)


@dataclass
class CardGate:
    """One lane with a reader and a relay; ``tap`` gives the first reason of the verdict."""

    folder: Path
    control: Control
    seen: int = 0

    def tap(self, uid: str, card: dict[str, Any] | None = None) -> str:
        options = {"card": card} if card else {}
        self.control("reader-in", "tap", uid=uid, hold_ms=500, **options)
        reader = JournalReader(self.folder / "state/journal.db")
        deadline = time.monotonic() + 30
        try:
            while time.monotonic() < deadline:
                incarnation = next(iter(reader.positions()))[0]
                for record in reader.slice(incarnation, Stream.PASSAGE, self.seen).records:
                    self.seen = record.seq
                    if record.kind is Kind.PASSAGE:
                        facts = record.payloads[PayloadClass.FACTS].body
                        assert facts is not None
                        # The card leaves the field; after an admission the same card counts again only after 3 s.
                        time.sleep(3.5 if facts["admit"] else 1.2)
                        return str(facts["reasons"][0])
                time.sleep(0.02)
        finally:
            reader.close()
        raise AssertionError(f"no verdict for {uid} within 30 s")

    def pulses(self) -> int:
        log = self.folder / "relay-relay-in.log"
        return log.read_text().count('"on": true') if log.exists() else 0


@contextmanager
def card_gate(folder: Path, strength: str) -> Iterator[CardGate]:
    settings = card_settings(folder, strength)
    _issue(settings, strength)
    with running_card_gate(folder, settings) as (control, _):
        yield CardGate(folder, control)


def _issue(settings: Settings, strength: str) -> None:
    settings.state.folder.mkdir(mode=0o700)
    lines = ["person_id,category,card_uid,card_strength,registered,revoked"]
    lines += [f"p-{RESIDENT},resident,{RESIDENT},{strength},yes,no", f"p-{LOST},resident,{LOST},{strength},yes,yes"]
    with open_roster(settings) as roster:
        report = roster.import_csv([line.encode() + b"\n" for line in lines], at_us=0)
        assert report.bad_lines == 0
    with open_card_keys(settings) as store:
        store.take((bytes.fromhex(uid), keys) for uid, keys in KEYS.items())


def test_under_challenge_and_response_only_the_genuine_card_opens(tmp_path: Path) -> None:
    """Copied number, half the right keys, lost card, stranger's: each has its reason, and the barrier stays shut."""
    half = CardKeys(gate_key=OTHER_KEYS.gate_key, file_key=KEYS[RESIDENT].file_key)
    with card_gate(tmp_path, "ev2") as gate:
        found = {
            "a copied number": gate.tap(RESIDENT),
            "a card of this file key and another gate key": gate.tap(RESIDENT, chip(half, read_ctr=500)),
            "a card of other keys": gate.tap(RESIDENT, chip(OTHER_KEYS)),
            "a card reported lost": gate.tap(LOST, chip(KEYS[LOST])),
            "a card of another site": gate.tap(STRANGER, chip(OTHER_KEYS)),
        }
        assert found == {
            "a copied number": "card_cloned",
            "a card of this file key and another gate key": "card_forged",
            "a card of other keys": "card_forged",
            "a card reported lost": "card_revoked",
            "a card of another site": "card_unknown",
        }
        assert gate.pulses() == 0
        assert gate.tap(RESIDENT, chip(KEYS[RESIDENT])) == "all_checks_passed"
        assert gate.pulses() == 1


def test_a_rolling_code_opens_once(tmp_path: Path) -> None:
    """The same code again is a replay; a code of another site's key says so; the next code opens again."""
    with card_gate(tmp_path, "sun") as gate:
        assert gate.tap(RESIDENT, chip(KEYS[RESIDENT], read_ctr=5)) == "all_checks_passed"
        assert gate.tap(RESIDENT, chip(KEYS[RESIDENT], read_ctr=5)) == "card_replayed"
        foreign = {**chip(KEYS[RESIDENT], read_ctr=9), "meta_key": "55" * 16}
        assert gate.tap(RESIDENT, foreign) == "card_other_site"
        assert gate.pulses() == 1
        assert gate.tap(RESIDENT, chip(KEYS[RESIDENT], read_ctr=6)) == "all_checks_passed"
        assert gate.pulses() == 2
