"""What an installer sees when the settings are right, and when they are not."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from config.central import load_central
from config.errors import ConfigError
from config.lane import LaneDirection
from config.loader import known_keys
from config.settings import Settings, load_settings, secret_file
from tests.conftest import ROOT

GATE = """
[site]
kiosk_id = "north-1"

[[lane]]
name = "in"
  [lane.reader]
  port = "/dev/gatepost/reader-in"
"""


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "gate.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_shipped_examples_are_good() -> None:
    """The commented examples of a real gate, of a demo and of a central load as they stand."""
    settings = load_settings(ROOT / "config" / "gate.toml", {}).settings
    assert [lane.name for lane in settings.lane] == ["north-in", "north-out"]
    assert settings.lane[1].direction is LaneDirection.OUT
    assert settings.retention.acknowledged_days == 7
    demo = load_settings(ROOT / "config" / "demo.toml", {}).settings
    assert (demo.simulation.devices, [lane.name for lane in demo.lane]) == (True, ["in"])
    central = load_central(ROOT / "config" / "central.toml", {"GATEPOST_CENTRAL__PORT": "8444"}).settings.central
    assert (central.port, central.behind_proxy) == (8444, True)


def test_environment_overrides_the_file_and_is_named_as_source(tmp_path: Path) -> None:
    """GATEPOST_WEB__PORT wins over [web] port, and explain can say so."""
    loaded = load_settings(write(tmp_path, GATE + "\n[web]\nport = 1\n"), {"GATEPOST_WEB__PORT": "8480"})
    assert loaded.settings.web.port == 8480
    assert loaded.sources["web.port"] == "GATEPOST_WEB__PORT"
    assert loaded.sources["web.host"] == "default"
    assert loaded.sources["site.kiosk_id"].endswith("gate.toml")


def test_unknown_key_in_the_file_names_file_key_and_nearest(tmp_path: Path) -> None:
    """A misspelt key is an error that says where it stands and what was meant."""
    path = write(tmp_path, GATE.replace("  port =", "  prot ="))
    with pytest.raises(ConfigError) as caught:
        load_settings(path, {})
    message = str(caught.value)
    assert str(path) in message
    assert "lane[0].reader.prot" in message
    assert "did you mean 'port'" in message


def test_unknown_variable_names_the_nearest(tmp_path: Path) -> None:
    """A misspelt variable is an error too; the tests' own variable is not."""
    environ = {"GATEPOST_WEB__PROT": "1", "GATEPOST_TEST_DATA": "/data"}
    with pytest.raises(ConfigError, match=r"GATEPOST_WEB__PROT.*did you mean 'GATEPOST_WEB__PORT'"):
        load_settings(write(tmp_path, GATE), environ)
    assert load_settings(write(tmp_path, GATE), {"GATEPOST_TEST_DATA": "/data"}).settings.web.port == 8470


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("\n[web]\nport = 70000\n", "web.port"),
        ('\n[site]\nkiosk_id = "North 1"\n', "site"),
        ("\n[retention]\nhealth_days = 90\n", "retention.health_days"),
        ('\n[simulation]\nstart_at = "2020-04-01T08:00:00"\n', "simulation.start_at"),
    ],
)
def test_value_out_of_range_names_its_key(tmp_path: Path, change: str, named: str) -> None:
    """The message names the dotted key, whatever was wrong with the value."""
    with pytest.raises(ConfigError, match=named):
        load_settings(write(tmp_path, GATE + change), {})


def test_start_time_is_refused_with_a_real_device(tmp_path: Path) -> None:
    """A kiosk with one real reader keeps the real time."""
    at = "\n[simulation]\nstart_at = 2020-04-01T08:00:00+08:00\n"
    with pytest.raises(ConfigError, match="only allowed when every device is simulated"):
        load_settings(write(tmp_path, GATE + at), {})
    simulated = load_settings(write(tmp_path, GATE + at + "devices = true\n"), {}).settings
    assert simulated.start_at == datetime(2020, 4, 1, 0, 0, tzinfo=UTC)


def test_start_time_is_allowed_when_pictures_stand_in_for_the_camera(tmp_path: Path) -> None:
    """A folder of pictures is no device: it may be judged at the time it was made."""
    text = '[site]\nkiosk_id = "a"\n[simulation]\nstart_at = 2022-01-01T00:00:00Z\n[[lane]]\nname = "in"\n'
    camera = '[lane.camera]\nsource = "{}"\npath = "/pictures"\n'
    assert load_settings(write(tmp_path, text + camera.format("folder")), {}).settings.start_at is not None
    with pytest.raises(ConfigError, match="start_at"):
        load_settings(write(tmp_path, text + camera.format("v4l2")), {})


@pytest.mark.parametrize("text", ["[site", "\xff", ""])
def test_a_file_that_is_no_settings_file_says_so(tmp_path: Path, text: str) -> None:
    """Broken TOML, wrong encoding and an empty file each give one clear error."""
    path = tmp_path / "gate.toml"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(ConfigError):
        load_settings(path, {})


def test_secret_with_a_group_bit_is_refused_and_the_fix_named(tmp_path: Path) -> None:
    """A key that others can read is no key."""
    key = tmp_path / "community.key"
    key.write_bytes(bytes(32))
    key.chmod(0o640)
    with pytest.raises(ConfigError, match="chmod 600"):
        secret_file(key, {})
    key.chmod(0o600)
    assert secret_file(Path("community.key"), {"CREDENTIALS_DIRECTORY": str(tmp_path)}) == key


def test_every_setting_says_what_it_is() -> None:
    """`config explain` has a sentence for every key."""
    silent = [key for key, field in known_keys(Settings) if not field.description]
    assert silent == []
