"""The rack knows every device that the settings can name, and builds each lane's own."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from config.errors import ConfigError
from config.lane import Camera, CameraSource, ReaderDriver, ThermometerDriver
from config.number_form import NumberForm
from config.settings import load_settings
from drivers.camera import FolderSource, V4l2Source, VideoSource
from drivers.camera_pi import PiCameraSource
from drivers.cards.card_numbers import parse
from drivers.cards.keyboard_wedge import WedgeDevice
from drivers.opencv import cv2
from drivers.qr_wedge import QrWedge
from drivers.rack import READERS, THERMOMETERS, Rack, source_of
from drivers.serial_port import SerialDevice
from tests.conftest import ROOT

HEAD = '[site]\nkiosk_id = "a"\n'


def rack_of(tmp_path: Path, text: str) -> Rack:
    path = tmp_path / "gate.toml"
    path.write_text(HEAD + text)
    return Rack(load_settings(path, {}).settings)


def test_every_driver_that_a_setting_can_name_is_built() -> None:
    """A name in the settings without a device in the rack would fail on the gate, at night."""
    assert set(READERS) | {ReaderDriver.KEYBOARD_WEDGE, ReaderDriver.PCSC} == set(ReaderDriver)
    assert set(THERMOMETERS) == set(ThermometerDriver)


def test_every_form_that_a_setting_can_name_is_read() -> None:
    """One without a parser would end the reader at its first card."""
    assert [parse(form, "no number") for form in NumberForm] == [None] * len(NumberForm)


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


def test_a_typing_scanner_is_opened_as_an_input_device_and_a_serial_one_as_a_line(tmp_path: Path) -> None:
    """Both are second sources of the camera's texts, beside it or without it."""
    lane = '[[lane]]\nname = "{}"\n[lane.scanner]\nport = "{}"\n'
    rack = rack_of(
        tmp_path,
        lane.format("a", "/dev/input/by-id/usb-Scanner-event-kbd")
        + 'driver = "keyboard_wedge"\n'
        + lane.format("b", "/dev/gatepost/scanner-b")
        + "baud = 115200\n",
    )
    assert isinstance(rack.lanes["a"].by_role["scanner"], QrWedge)
    assert isinstance(rack.lanes["b"].by_role["scanner"], SerialDevice)


def camera_of(tmp_path: Path, text: str) -> Camera:
    path = tmp_path / "gate.toml"
    path.write_text(f'{HEAD}[[lane]]\nname = "a"\n[lane.camera]\n{text}')
    camera = load_settings(path, {}).settings.lane[0].camera
    assert camera is not None
    return camera


def test_a_camera_is_asked_for_what_the_settings_say(tmp_path: Path) -> None:
    """Size, rate, exposure, gain and focus reach the driver in its own units: V4L2 counts exposure in 0.1 ms."""
    asked: dict[int, float] = {}

    class Capture:
        def isOpened(self) -> bool:  # noqa: N802 - OpenCV's name
            return True

        def set(self, key: int, value: float) -> bool:
            asked[key] = value
            return True

        def get(self, key: int) -> float:
            return asked.get(key, 0.0)

    device = tmp_path / "usb-camera-index0"
    device.touch()
    camera = camera_of(
        tmp_path,
        f'path = "{device}"\nwidth = 1920\nheight = 1080\nfps = 30\nexposure_ms = 8\ngain = 40\nfocus = 120\n',
    )
    source = source_of(camera)
    assert isinstance(source, V4l2Source)
    source._open_capture = lambda path: Capture()
    assert "1920x1080 GREY at 30 fps" in source.open()
    assert asked[cv2.CAP_PROP_EXPOSURE] == 80
    assert (asked[cv2.CAP_PROP_GAIN], asked[cv2.CAP_PROP_FOCUS]) == (40, 120)


def test_every_kind_of_camera_that_a_setting_can_name_is_built(tmp_path: Path) -> None:
    """A Pi's own camera has a number, the others a path; one without the other is refused by name."""
    built = {
        "v4l2": V4l2Source,
        "video": VideoSource,
        "folder": FolderSource,
    }
    for name, kind in built.items():
        assert isinstance(source_of(camera_of(tmp_path, f'source = "{name}"\npath = "/a"\n')), kind)
    assert isinstance(source_of(camera_of(tmp_path, 'source = "picamera2"\nnumber = 1\n')), PiCameraSource)
    assert {*built, "picamera2"} == set(CameraSource)
    for wrong in ('source = "picamera2"\npath = "/dev/video0"\n', 'source = "v4l2"\n'):
        with pytest.raises(ConfigError, match="picamera2 has a number"):
            camera_of(tmp_path, wrong)


def test_a_number_reader_cannot_be_asked_for_a_proof(tmp_path: Path) -> None:
    """strength = ev2 on an RDM6300 would promise what it cannot keep: the settings say so."""
    with pytest.raises(ConfigError, match='set strength = "uid"'):
        rack_of(tmp_path, '[[lane]]\nname = "a"\n[lane.reader]\ndriver = "rdm6300"\nport = "/dev/gatepost/r"\n')


def osdp_lane(key: Path) -> str:
    return (
        '[[lane]]\nname = "a"\n[lane.reader]\ndriver = "osdp"\nstrength = "uid"\nport = "/dev/gatepost/r"\n'
        f'address = 3\nkey = "{key}"\n'
    )


def test_an_osdp_reader_needs_a_key_of_its_own(tmp_path: Path) -> None:
    """With the site's key it is built; without one, with the standard's or with a public file it is refused."""
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


def test_a_device_that_cannot_be_stopped_keeps_no_other_from_it() -> None:
    """The relay is driven off, and after all others, whatever went wrong with a reader; then the trouble is told."""
    rack = Rack(load_settings(ROOT / "config/gate.toml", {}).settings)
    stopped: list[str] = []

    def stop(lane: str, role: str) -> None:
        stopped.append(role)
        if role == "reader":
            raise OSError(f"the reader of {lane} hangs")

    for lane, role, device in list(rack.devices()):
        device.stop = partial(stop, lane, role)  # type: ignore[method-assign]
    with pytest.raises(OSError, match="hangs"):
        rack.stop()
    assert len(stopped) == len(list(rack.devices()))
    assert stopped.index("relay") == len(stopped) - stopped.count("relay")
