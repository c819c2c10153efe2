"""``gatepost card osdp-key`` (``kiosk/osdp_key_cli.py``) where it cannot do its work: nothing is lost by trying."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from config.errors import ConfigError
from kiosk import osdp_key_cli
from kiosk.card_cli import app
from kiosk.issuing import IssuingError


def run(folder: Path, *more: str) -> tuple[BaseException | None, str]:
    reader = str(folder / "dev" / "rs485")
    result = CliRunner().invoke(app, ["osdp-key", "--reader", reader, "--key", str(folder / "osdp.key"), *more])
    return result.exception, result.stderr


@pytest.mark.parametrize("length", [0, 15, 17])
def test_a_key_of_another_length_is_refused_before_the_reader_is_touched(tmp_path: Path, length: int) -> None:
    """An OSDP key has 16 bytes; the message names the file and no byte of it."""
    key = tmp_path / "osdp.key"
    key.write_bytes(bytes(length))
    key.chmod(0o600)
    error, told = run(tmp_path)
    assert isinstance(error, ConfigError)
    assert "16 bytes" in str(error)
    assert told == ""


def test_a_key_is_drawn_once_and_never_over_an_old_one(tmp_path: Path) -> None:
    """Readers that hold the old one would be lost."""
    key = tmp_path / "osdp.key"
    key.write_bytes(b"0123456789abcdef")
    key.chmod(0o600)
    error, _ = run(tmp_path, "--draw")
    assert isinstance(error, IssuingError)
    assert key.read_bytes() == b"0123456789abcdef"


def test_a_reader_that_is_not_there_is_told_and_waited_for_until_the_window_closes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Install mode ends by itself, after ten minutes (here 0.3 s), without a reader that was given anything."""
    monkeypatch.setattr(osdp_key_cli, "WINDOW_NS", 300_000_000)
    (tmp_path / "dev").mkdir()
    error, told = run(tmp_path, "--draw")
    assert isinstance(error, IssuingError)
    assert "no reader that took the key" in str(error)
    assert "rs485" in told
    assert "trying on" in told
