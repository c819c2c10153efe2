"""``gatepost voice`` and ``gatepost console`` by themselves (``kiosk/voice_cli.py``, ``kiosk/console_cli.py``)."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from typer import Typer
from typer.testing import CliRunner

from config.errors import ConfigError
from kiosk import console_cli, voice_cli
from kiosk.clock import SystemClock
from kiosk.screens.spoken import SENTENCES, sentence
from kiosk.screens.texts import Language, texts
from kiosk.tablet_book import TabletBook
from kiosk.tablet_certificate import AUTHORITY, FOLDER, fingerprint
from tests.integration.test_doctor import settings_in
from tests.integration.test_voices import NAME, speaker

TABLET = '[web.tablet]\nhost = "192.168.7.20"\nport = 9000\nnames = ["gate.lan"]\n'


def gate_of(folder: Path, more: str = "") -> Path:
    """A kiosk's settings with ``more`` behind them."""
    settings_in(folder)
    path = folder / "gate.toml"
    path.write_text(path.read_text() + more)
    return path


def said(app: Typer, *arguments: str) -> list[str]:
    """The lines of a command that went well."""
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == 0, result.exception
    return result.output.splitlines()


def refused(app: Typer, *arguments: str) -> ConfigError:
    result = CliRunner().invoke(app, list(arguments))
    assert isinstance(result.exception, ConfigError), result.output
    return result.exception


@pytest.fixture
def speaking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Something stands in espeak-ng's place."""
    speaker(tmp_path)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")


@pytest.mark.usefixtures("speaking")
def test_recordings_are_made_once_for_the_languages_of_the_settings(tmp_path: Path) -> None:
    """Each new one is told with its words; the second time there is nothing to tell but the count."""
    voices = tmp_path / "voices"
    path = gate_of(tmp_path, f'[web.voice]\nfolder = "{voices}"\nlanguages = ["en"]\n')
    *made, total = said(voice_cli.app, "make", "--config", str(path))
    assert len(made) == len(SENTENCES)
    assert made[0] == f"en/next_step.go_in.wav: made: {sentence(texts(Language.EN), SENTENCES[0])}"
    assert total.startswith(f"{voices}: ")
    assert f"{len(SENTENCES)} made" in total
    (again,) = said(voice_cli.app, "make", "--config", str(path))
    assert f"{len(SENTENCES)} kept" in again
    assert sorted(each.name for each in voices.iterdir()) == ["en", "manifest.json"]


@pytest.mark.usefixtures("speaking")
def test_only_the_recordings_that_are_named_are_noted(tmp_path: Path) -> None:
    """Without a name, every one that waits for it."""
    folder = ("--folder", str(tmp_path / "voices"))
    said(voice_cli.app, "make", *folder)
    for language in ("zh-CN", "en"):
        (tmp_path / "voices" / language / "next_step.go_in.ogg").write_bytes(b"OggS" + bytes(30))
    assert said(voice_cli.app, "note", f"{NAME}.ogg", *folder) == [f"{folder[1]}: 1 noted"]
    listed = [line for line in said(voice_cli.app, "list", *folder) if ".ogg" in line]
    assert [line[-27:].split("[")[1] for line in listed] == [".wav good, .ogg good]", ".wav good, .ogg not_noted]"]
    assert said(voice_cli.app, "note", *folder) == [f"{folder[1]}: 1 noted"]
    assert said(voice_cli.app, "note", *folder) == [f"{folder[1]}: 0 noted"]


def test_a_speaker_sees_every_sentence_that_is_still_missing(tmp_path: Path) -> None:
    """With the file's name and the words to read, in both languages."""
    lines = said(voice_cli.app, "list", "--folder", str(tmp_path / "voices"))
    assert len(lines) == 2 * len(SENTENCES)
    assert all(line.endswith("[missing]") for line in lines)
    assert lines[0].split()[0] == "zh-CN/next_step.go_in"


def test_without_a_folder_there_is_no_place_for_recordings(tmp_path: Path) -> None:
    """The settings name one, or the command does."""
    error = refused(voice_cli.app, "list", "--config", str(gate_of(tmp_path)))
    assert (error.thing, error.hint) == ("web.voice.folder", "--folder")


def test_a_certificate_is_told_with_what_to_compare_on_the_tablet(tmp_path: Path) -> None:
    """Names and address, the authority's file and its fingerprint; renewed it says that nothing is to be installed."""
    path = gate_of(tmp_path, TABLET)
    folder = tmp_path / "state" / FOLDER
    made, install, sha = said(console_cli.app, "certificate", "--config", str(path))
    assert made == f"{folder}: certificate for gate.lan, 192.168.7.20"
    assert install == f"install on each tablet: {folder / AUTHORITY}"
    assert sha == f"SHA-256 {fingerprint(folder / AUTHORITY)}"
    assert said(console_cli.app, "certificate", "--config", str(path))[1] == f"installed before: {folder / AUTHORITY}"


def test_a_tablet_is_paired_listed_and_ended_by_its_number(tmp_path: Path) -> None:
    """The list shows the site's clock, not UTC."""
    path = gate_of(tmp_path, TABLET)
    config = ("--config", str(path))
    where, code = said(console_cli.app, "pair", "gatehouse", *config)
    assert where == "on the tablet, within 15 minutes: https://gate.lan:9000"
    book = TabletBook(tmp_path / "state")
    tablet, _ = book.pair(code.removeprefix("code "), now=SystemClock(None).now())
    (line,) = said(console_cli.app, "list", *config)
    paired = datetime.fromtimestamp(tablet.paired_at_us / 1e6, ZoneInfo("Asia/Shanghai"))
    assert line.startswith(f"{tablet.tablet_id}  paired {paired:%Y-%m-%d %H:%M}  used ")
    assert line.endswith("  gatehouse")
    assert said(console_cli.app, "revoke", tablet.tablet_id, *config) == [f"{tablet.tablet_id}: revoked"]
    assert said(console_cli.app, "list", *config) == []
    error = refused(console_cli.app, "revoke", tablet.tablet_id, *config)
    assert (error.seen, error.hint) == ("no such tablet", "gatepost console list")


@pytest.mark.parametrize("command", [("certificate",), ("pair", "gatehouse"), ("list",), ("revoke", "1")])
def test_a_kiosk_without_a_tablets_console_says_which_key_is_missing(tmp_path: Path, command: tuple[str, ...]) -> None:
    """And makes no certificate and no code that nobody could use."""
    error = refused(console_cli.app, *command, "--config", str(gate_of(tmp_path)))
    assert (error.thing, error.seen) == ("web.tablet.host", "nothing")
    assert not (tmp_path / "state").exists()
