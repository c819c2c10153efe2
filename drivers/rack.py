"""Builds the devices of each lane that the settings name: the one place that knows them all.

To add a device: write its protocol file, then add its name to the table here and to the driver names of
``config/lane.py``. Nothing above this floor changes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field

from config.errors import ConfigError
from config.lane import (
    Camera,
    CameraSource,
    Contact,
    Lane,
    Reader,
    ReaderDriver,
    Scanner,
    ScannerDriver,
    Strength,
    Thermometer,
    ThermometerDriver,
)
from config.settings import Settings, secret_file
from drivers.camera import CameraHints, FolderSource, FrameSource, V4l2Source, VideoSource
from drivers.camera_pi import PiCameraSource
from drivers.cards.keyboard_wedge import WedgeDevice
from drivers.cards.osdp import OsdpConversation
from drivers.cards.pcsc import PcscDevice
from drivers.cards.pcsc_service import PyscardService
from drivers.cards.pn532 import Dialogue, Pn532Conversation
from drivers.cards.rdm6300 import Rdm6300Conversation
from drivers.cards.sdt_idcard import SdtConversation
from drivers.cards.serial_uid import SerialUidConversation
from drivers.devices import CardTap, Conversation, Device, DeviceEvent, DeviceReady, InputName, Observed
from drivers.inputs import ContactBoard
from drivers.outputs import RelayBoard
from drivers.qr_scanner import QrScannerConversation
from drivers.qr_stream import QrCamera
from drivers.qr_wedge import QrWedge
from drivers.serial_port import SerialDevice
from drivers.thermometers.aa55_kiosk import Aa55KioskConversation, Encoding
from drivers.thermometers.dyp_distance import DypDistanceConversation
from drivers.thermometers.gy_614v3 import Gy614V3Conversation
from drivers.thermometers.gy_mcu90615 import FACTS_90614, GyMcu90615Conversation
from drivers.thermometers.gy_mcu90640 import GyMcu90640Conversation
from drivers.thermometers.xy_md02_air import XyMd02Conversation

MAX_PULSE_S = 10.0

CardDialogue = Callable[[CardTap], Dialogue | None]
"""What a PN532 asks of a card so that it proves itself; None for a card whose number is all that is asked."""

READERS: dict[ReaderDriver, Callable[[Reader, CardDialogue | None], Conversation]] = {
    ReaderDriver.PN532: lambda reader, dialogue: Pn532Conversation(dialogue, id_cards=reader.id_cards),
    ReaderDriver.RDM6300: lambda _reader, _dialogue: Rdm6300Conversation(),
    ReaderDriver.SERIAL_UID: lambda reader, _: SerialUidConversation(reader.form),
    ReaderDriver.OSDP: lambda reader, _: _osdp(reader),
}
THERMOMETERS: dict[ThermometerDriver, Callable[[Thermometer], Conversation]] = {
    ThermometerDriver.GY_MCU90615: lambda _: GyMcu90615Conversation(),
    ThermometerDriver.GY_MCU90614: lambda _: GyMcu90615Conversation(FACTS_90614),
    ThermometerDriver.GY_614V3: lambda _: Gy614V3Conversation(),
    ThermometerDriver.GY_MCU90640: lambda _: GyMcu90640Conversation(),
    ThermometerDriver.AA55_KIOSK: lambda thermometer: Aa55KioskConversation(Encoding(thermometer.coding)),
}


@dataclass(slots=True)
class LaneDevices:
    """The devices of one lane by role; a lane has only those that it needs."""

    lane: Lane
    by_role: dict[str, Device] = field(default_factory=dict)
    camera: QrCamera | None = None
    relay: RelayBoard | None = None

    @property
    def shows_pictures(self) -> bool:
        """Whether a folder of pictures stands in for the camera: each is a presentation of its own."""
        return self.lane.camera is not None and self.lane.camera.source is CameraSource.FOLDER

    def open_pulse(self) -> bool:
        """Pulse the lane's opening once; False where no relay is wired."""
        if self.relay is None or self.lane.relay is None:
            return False
        self.relay.pulse(self.lane.relay.channel, self.lane.relay.pulse_s)
        return True

    def hold_open(self, on: bool) -> bool:
        """Keep the lane open (emergency) or end it; False where no relay is wired."""
        if self.relay is None or self.lane.relay is None:
            return False
        self.relay.hold(self.lane.relay.channel, on)
        return True


class Rack:
    """All devices of a kiosk, each with its lane's and its own name around its events."""

    def __init__(self, settings: Settings, dialogue: CardDialogue | None = None) -> None:
        """``dialogue`` is what every PN532 of a strength above ``uid`` asks of a card."""
        self.lanes: dict[str, LaneDevices] = {}
        boards: dict[str, RelayBoard] = {}
        for lane in settings.lane:
            self.lanes[lane.name] = _devices_of(lane, boards, dialogue)

    def devices(self) -> Iterable[tuple[str, str, Device]]:
        """Every device once as (lane, role, device); a relay board that lanes share stands with the first."""
        seen: set[int] = set()
        for name, devices in self.lanes.items():
            for role, device in devices.by_role.items():
                if id(device) not in seen:
                    seen.add(id(device))
                    yield name, role, device

    def start(self, emit: Callable[[Observed], None]) -> None:
        """Start every device; their first faults arrive as events."""
        for lane, role, device in self.devices():
            device.start(_tagged(emit, lane, role))

    def stop(self) -> None:
        """Stop every device, whatever comes of another; relays last, so that nothing pulses after they were driven off.

        Raises what a device raised when all have been told.
        """
        with ExitStack() as last_first:
            for _lane, _role, device in sorted(self.devices(), key=lambda item: item[1] != "relay"):
                last_first.callback(device.stop)


def drive_relays_off(settings: Settings, *, timeout_s: float = 3.0) -> list[str]:
    """Drive every relay of the settings off, once; the ports of the boards that could not be reached.

    A relay supervisor does it by merely starting; this waits until each has said that its board is ready.
    """
    missed: list[str] = []
    for lane in settings.lane:
        if lane.relay is None or str(lane.relay.port) in missed:
            continue
        ready = threading.Event()
        board = RelayBoard("off", str(lane.relay.port), channels=lane.relay.channels, max_pulse_s=MAX_PULSE_S)
        board.start(lambda event, ready=ready: ready.set() if isinstance(event, DeviceReady) else None)  # type: ignore[misc]
        if not ready.wait(timeout_s):
            missed.append(str(lane.relay.port))
        board.stop()
    return missed


def _tagged(emit: Callable[[Observed], None], lane: str, role: str) -> Callable[[DeviceEvent], None]:
    return lambda event: emit(Observed(lane=lane, device=role, event=event))


def _reader(lane: Lane, reader: Reader, dialogue: CardDialogue | None) -> Device:
    name, port = f"{lane.name}/reader", str(reader.port)
    if reader.driver is ReaderDriver.KEYBOARD_WEDGE:
        return WedgeDevice(name, port, reader.form)
    asked = None if reader.strength is Strength.UID else dialogue
    if reader.driver is ReaderDriver.PCSC:
        return PcscDevice(name, port, asked, service=PyscardService)
    return SerialDevice(name, port, READERS[reader.driver](reader, asked))


def _scanner(lane: Lane, scanner: Scanner) -> Device:
    name, port = f"{lane.name}/scanner", str(scanner.port)
    if scanner.driver is ScannerDriver.KEYBOARD_WEDGE:
        return QrWedge(name, port)
    return SerialDevice(name, port, QrScannerConversation(baud_rate=scanner.baud))


def _osdp(reader: Reader) -> OsdpConversation:
    """Raises ConfigError for a key that is missing, public, of another length, or the standard's default."""
    if reader.key is None:
        raise ConfigError("osdp reader", seen="no key", expected="key = the file with the reader's own key")
    try:
        return OsdpConversation(secret_file(reader.key).read_bytes(), address=reader.address)
    except ValueError as error:
        raise ConfigError(f"secret {reader.key}", seen=str(error), expected="16 bytes") from error


def _devices_of(lane: Lane, boards: dict[str, RelayBoard], dialogue: CardDialogue | None = None) -> LaneDevices:
    devices = LaneDevices(lane)
    if lane.reader:
        devices.by_role["reader"] = _reader(lane, lane.reader, dialogue)
    if lane.id_reader:
        devices.by_role["id_reader"] = SerialDevice(
            f"{lane.name}/id_reader", str(lane.id_reader.port), SdtConversation()
        )
    if lane.scanner:
        devices.by_role["scanner"] = _scanner(lane, lane.scanner)
    if lane.thermometer:
        devices.by_role["thermometer"] = SerialDevice(
            f"{lane.name}/thermometer",
            str(lane.thermometer.port),
            THERMOMETERS[lane.thermometer.driver](lane.thermometer),
        )
    if lane.air:
        devices.by_role["air"] = SerialDevice(f"{lane.name}/air", str(lane.air.port), XyMd02Conversation())
    if lane.distance:
        devices.by_role["distance"] = SerialDevice(
            f"{lane.name}/distance", str(lane.distance.port), DypDistanceConversation()
        )
    if lane.contacts:
        devices.by_role["contacts"] = SerialDevice(
            f"{lane.name}/contacts",
            str(lane.contacts.port),
            ContactBoard(_input_names(lane.contacts.inputs), active_low=frozenset(lane.contacts.active_low)),
        )
    if lane.camera:
        devices.camera = QrCamera(f"{lane.name}/camera", source_of(lane.camera))
        devices.by_role["camera"] = devices.camera
    if lane.relay:
        port = str(lane.relay.port)
        if port not in boards:
            boards[port] = RelayBoard(f"{lane.name}/relay", port, channels=lane.relay.channels, max_pulse_s=MAX_PULSE_S)
        devices.relay = boards[port]
        devices.by_role["relay"] = boards[port]
    return devices


def _input_names(inputs: dict[int, Contact]) -> dict[int, InputName]:
    return {number: InputName(contact.value) for number, contact in inputs.items()}


def source_of(camera: Camera) -> FrameSource:
    """Where the frames of a lane's camera come from."""
    path = str(camera.path)
    match camera.source:
        case CameraSource.FOLDER:
            return FolderSource(path, follow=camera.follow)
        case CameraSource.VIDEO:
            return VideoSource(path, loop=camera.follow)
        case CameraSource.V4L2:
            return V4l2Source(path, _hints(camera))
        case CameraSource.PICAMERA2:
            return PiCameraSource(camera.number, _hints(camera))


def _hints(camera: Camera) -> CameraHints:
    return CameraHints(
        width=camera.width,
        height=camera.height,
        fps=camera.fps,
        exposure_ms=camera.exposure_ms,
        gain=camera.gain,
        focus=camera.focus,
    )
