"""``gatepost roster``: people and cards go in, bad lines are told, a lost card is revoked and found again."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from config.settings import load_settings
from kiosk.cli import app
from kiosk.site_stores import open_roster

GATE = (
    '[site]\nkiosk_id = "a"\n[state]\nfolder = "{0}"\n[keys]\ncommunity = "{0}/community.key"\n[[lane]]\nname = "in"\n'
)
ROSTER = "person_id,category,card_uid,registered\np1,resident,04A1B2C3D4E5F6,yes\np2,resident,04ZZ,yes\n"
UID = "04A1B2C3D4E5F6"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "community.key").write_bytes(bytes(range(32)))
    (tmp_path / "community.key").chmod(0o600)
    (tmp_path / "gate.toml").write_text(GATE.format(tmp_path))
    (tmp_path / "people.csv").write_text(ROSTER)
    return tmp_path / "gate.toml"


def run(config: Path, *arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["roster", *arguments, "--config", str(config)])
    return done.exit_code, done.output


def test_good_lines_are_taken_and_bad_ones_told_with_their_number(config: Path) -> None:
    """One person goes in; line 3 has no card number that a card could have; the exit status says so."""
    status, said = run(config, "import", str(config.with_name("people.csv")))
    assert status == 1
    assert "people.csv:3:" in said
    assert "1 people, 1 cards taken; 1 bad lines" in said
    assert run(config, "count") == (0, "1 people, 1 cards, 0 revocations\n")


def test_a_lost_card_is_revoked_and_a_found_one_reinstated(config: Path) -> None:
    """The gate reads the same file: what the command says is what a tap meets."""
    run(config, "import", str(config.with_name("people.csv")))
    assert run(config, "revoke", UID, "--why", "lost") == (0, "revoked\n")
    with open_roster(load_settings(config, {}).settings) as roster:
        assert roster.find_card(bytes.fromhex(UID)).revoked
    assert run(config, "reinstate", UID) == (0, "reinstated\n")
    assert run(config, "reinstate", UID) == (0, "that card was not revoked\n")


def test_a_number_that_is_no_uid_is_refused(config: Path) -> None:
    """The message shows what a UID looks like."""
    status, said = run(config, "revoke", "123")
    assert status == 2
    assert "04A1B2C3D4E5F6" in said
