"""What the doctor says of roster and card keys (``kiosk/doctor_cards.py``) where there is no counting them."""

from __future__ import annotations

from pathlib import Path

from config.settings import load_settings
from kiosk.doctor_cards import card_lines
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
