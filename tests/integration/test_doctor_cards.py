"""What the doctor says of roster and card keys (``kiosk/doctor_cards.py``) where there is no counting them."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.settings import load_settings
from drivers.cards.ntag424 import CardKeys
from kiosk.doctor_cards import card_lines
from kiosk.site_stores import open_card_keys, open_roster
from tests.card_gate import card_settings


def test_a_roster_that_cannot_be_opened_is_named_and_nothing_else_is_claimed(tmp_path: Path) -> None:
    """Another key than the one it was imported with, or a file that is no roster: one line, with the file's name."""
    settings = card_settings(tmp_path, "ev2")
    settings.state.folder.mkdir(mode=0o700, parents=True)
    (settings.state.folder / "roster.db").write_bytes(b"no roster at all " * 100)
    ((good, what, detail),) = card_lines(settings)
    assert (good, what) == (False, "roster")
    assert "roster.db" in detail


def test_a_gate_without_readers_needs_no_roster(tmp_path: Path) -> None:
    """Codes alone: nothing is said, and no file is made."""
    config = tmp_path / "gate.toml"
    config.write_text(f'[site]\nkiosk_id = "a"\n[state]\nfolder = "{tmp_path}/state"\n[[lane]]\nname = "in"\n')
    assert list(card_lines(load_settings(config, {}).settings)) == []
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize(
    ("reader", "card", "good", "told"),
    [
        ("ev2", "ev2", True, "for 1 cards"),
        ("ev2", "sun", True, "for 1 cards"),
        ("sun", "sun", True, "for 1 cards"),
        ("sun", "ev2", False, "no reader asks one"),
        ("uid", "sun", False, "no reader asks them to"),
    ],
)
def test_cards_that_no_reader_here_can_let_prove_themselves_are_told(
    tmp_path: Path, reader: str, card: str, good: bool, told: str
) -> None:
    """A card that must answer a challenge is too weak at a gate of rolling codes, each time: better said beforehand."""
    settings = card_settings(tmp_path, reader)
    settings.state.folder.mkdir(mode=0o700, parents=True)
    uid = bytes.fromhex("04a1b2c3d4e501")
    lines = [b"person_id,category,card_uid,card_strength\n", f"R-1,resident,{uid.hex()},{card}\n".encode()]
    with open_roster(settings) as roster:
        assert roster.import_csv(lines, at_us=0).bad_lines == 0
    with open_card_keys(settings) as store:
        store.take([(uid, CardKeys(gate_key=bytes(16), file_key=bytes(16)))])
    *_, (seen, what, detail) = card_lines(settings)
    assert (seen, what) == (good, "card keys")
    assert told in detail
