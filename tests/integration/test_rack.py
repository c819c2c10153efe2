"""The rack knows every device that the settings can name, and builds each lane's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.settings import NumberForm, ReaderDriver, ThermometerDriver, load_settings
from drivers.cards.card_numbers import Form
from drivers.cards.keyboard_wedge import WedgeDevice
from drivers.rack import READERS, THERMOMETERS, Rack
from tests.conftest import ROOT

HEAD = '[site]\nkiosk_id = "a"\n'


def rack_of(tmp_path: Path, text: str) -> Rack:
    path = tmp_path / "gate.toml"
    path.write_text(HEAD + text)
    return Rack(load_settings(path, {}).settings)


def test_every_driver_that_a_setting_can_name_is_built() -> None:
    """A name in the settings without a device in the rack would fail on the gate, at night."""
    assert set(READERS) | {ReaderDriver.KEYBOARD_WEDGE} == set(ReaderDriver)
    assert set(THERMOMETERS) == set(ThermometerDriver)
    assert {str(form) for form in NumberForm} == {str(form) for form in Form}


def test_the_example_of_a_real_gate_has_its_devices() -> None:
    """Two lanes; the way in has reader, thermometer, contacts, camera and relay."""
    rack = Rack(load_settings(ROOT / "config/gate.toml", {}).settings)
    assert set(rack.lanes["north-in"].by_role) == {"reader", "thermometer", "contacts", "camera", "relay"}
    assert set(rack.lanes["north-out"].by_role) == {"reader"}


def test_two_lanes_share_a_relay_board(tmp_path: Path) -> None:
    """A board with two relays on one port is one device, started once."""
    lane = '[[lane]]\nname = "{}"\n[lane.relay]\nport = "/dev/gatepost/relay"\nchannel = {}\n'
    rack = rack_of(tmp_path, lane.format("a", 1) + lane.format("b", 2))
    assert rack.lanes["a"].relay is rack.lanes["b"].relay
    assert len(list(rack.devices())) == 1


def test_a_keyboard_reader_is_opened_as_an_input_device(tmp_path: Path) -> None:
    """It is no serial port: it is grabbed, so that its numbers go nowhere else."""
    rack = rack_of(
        tmp_path,
        '[[lane]]\nname = "a"\n[lane.reader]\ndriver = "keyboard_wedge"\nstrength = "uid"\nform = "dec10"\n'
        'port = "/dev/input/by-id/usb-Reader-event-kbd"\n',
    )
    assert isinstance(rack.lanes["a"].by_role["reader"], WedgeDevice)


def test_a_number_reader_cannot_be_asked_for_a_proof(tmp_path: Path) -> None:
    """strength = ev2 on an RDM6300 would promise what it cannot keep: the settings say so."""
    from config.errors import ConfigError

    with pytest.raises(ConfigError, match='set strength = "uid"'):
        rack_of(tmp_path, '[[lane]]\nname = "a"\n[lane.reader]\ndriver = "rdm6300"\nport = "/dev/gatepost/r"\n')


def osdp_lane(key: Path) -> str:
    return (
        '[[lane]]\nname = "a"\n[lane.reader]\ndriver = "osdp"\nstrength = "uid"\nport = "/dev/gatepost/r"\n'
        f'address = 3\nkey = "{key}"\n'
    )


def test_an_osdp_reader_needs_a_key_of_its_own(tmp_path: Path) -> None:
    """With the site's key it is built; without one, with the standard's or with a public file it is refused."""
    from config.errors import ConfigError
    from drivers.cards.osdp_frames import DEFAULT_KEY

    key = tmp_path / "osdp.key"
    key.write_bytes(bytes(range(16)))
    key.chmod(0o600)
    assert set(rack_of(tmp_path, osdp_lane(key)).lanes["a"].by_role) == {"reader"}
    key.write_bytes(DEFAULT_KEY)
    with pytest.raises(ConfigError, match="default key"):
        rack_of(tmp_path, osdp_lane(key))
    key.write_bytes(bytes(range(16)))
    key.chmod(0o644)
    with pytest.raises(ConfigError, match="0644"):
        rack_of(tmp_path, osdp_lane(key))
    with pytest.raises(ConfigError, match="needs a key"):
        rack_of(tmp_path, osdp_lane(key).replace("key =", "# key ="))
