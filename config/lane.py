"""One lane of a gate: which way it leads, and the devices that belong to it. Checked once, no behaviour."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, model_validator

from config.loader import Section
from config.number_form import NumberForm

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$")]
"""Letters, digits and hyphens."""


class LaneDirection(StrEnum):
    """Which way a lane leads."""

    IN = "in"
    OUT = "out"


class Contact(StrEnum):
    """What a contact input of a lane is wired to."""

    DOOR_CONTACT = "door_contact"
    PASSAGE_BEAM = "passage_beam"
    PRESENCE = "presence"
    EXIT_BUTTON = "exit_button"
    FIRE = "fire"
    TAMPER = "tamper"


class ReaderDriver(StrEnum):
    """What is spoken on a card reader's line."""

    PN532 = "pn532"
    RDM6300 = "rdm6300"
    SERIAL_UID = "serial_uid"
    KEYBOARD_WEDGE = "keyboard_wedge"
    OSDP = "osdp"
    PCSC = "pcsc"


class Strength(StrEnum):
    """What a second-generation card must prove; only a PN532 or a PC/SC reader can ask for more than the number."""

    EV2 = "ev2"
    SUN = "sun"
    UID = "uid"


class Reader(Section):
    """The card reader of a lane."""

    driver: ReaderDriver = Field(
        default=ReaderDriver.PN532, description="protocol: pn532, rdm6300, serial_uid, keyboard_wedge, osdp, pcsc"
    )
    port: Path = Field(
        description="stable device name, such as /dev/gatepost/reader-in; pcsc: the beginning of the reader's name"
    )
    strength: Strength = Field(
        default=Strength.EV2, description="what a card must prove: ev2 (challenge), sun (rolling code), uid (nothing)"
    )
    form: NumberForm = Field(
        default=NumberForm.HEX, description="serial_uid and keyboard_wedge: how the reader writes a number"
    )
    key: Path | None = Field(
        default=None, description="osdp: file with the 16 bytes of the reader's own key (never the default one)"
    )
    address: int = Field(default=0, ge=0, le=126, description="osdp: the reader's address on its line")
    id_cards: bool = Field(
        default=False, description="pn532: also read the number of resident ID cards (type B), which proves nothing"
    )

    @model_validator(mode="after")
    def _able(self) -> Self:
        if self.driver not in (ReaderDriver.PN532, ReaderDriver.PCSC) and self.strength is not Strength.UID:
            raise ValueError(f'a {self.driver} reader hears a number and nothing else: set strength = "uid"')
        if self.id_cards and self.driver is not ReaderDriver.PN532:
            raise ValueError("id_cards is for a pn532 reader")
        if (self.driver is ReaderDriver.OSDP) is not (self.key is not None):
            raise ValueError("an osdp reader, and no other, needs a key: its Secure Channel is not left out")
        return self


class IdReader(Section):
    """A module that reads resident ID cards (SDT), for the guard's register: it opens nothing."""

    port: Path = Field(description="stable device name, such as /dev/gatepost/id-reader")


class ThermometerDriver(StrEnum):
    """What a thermometer speaks."""

    GY_MCU90615 = "gy_mcu90615"
    GY_MCU90614 = "gy_mcu90614"
    GY_614V3 = "gy_614v3"
    GY_MCU90640 = "gy_mcu90640"
    AA55_KIOSK = "aa55_kiosk"


class BodyCoding(StrEnum):
    """How an AA 55 06 module writes its figure: two makers, one frame."""

    BCD = "bcd"
    INT_DEC = "int_dec"


class DistanceSensor(Section):
    """A DYP distance sensor (A02YYUW) beside the thermometer: who stands in its range opens the measuring window."""

    port: Path = Field(description="stable device name, such as /dev/gatepost/distance-in")
    from_mm: int = Field(default=300, ge=30, le=4000, description="nearest distance at which a person is measured")
    to_mm: int = Field(default=600, ge=30, le=4500, description="farthest distance at which a person is measured")

    @model_validator(mode="after")
    def _range(self) -> Self:
        if self.from_mm >= self.to_mm:
            raise ValueError("expected from_mm < to_mm")
        return self


class AirSensor(Section):
    """A shaded air-temperature sensor (XY-MD02, Modbus RTU), for the correction of the skin's temperature."""

    port: Path = Field(description="stable device name, such as /dev/gatepost/air-in")


class Thermometer(Section):
    """The infrared thermometer of a lane."""

    driver: ThermometerDriver = Field(
        default=ThermometerDriver.GY_MCU90615,
        description="gy_mcu90615, gy_mcu90614, gy_614v3 (one spot), gy_mcu90640 (array), aa55_kiosk (only a hint)",
    )
    port: Path = Field(description="stable device name, such as /dev/gatepost/thermometer-in")
    air_c: float | None = Field(
        default=None, ge=-40, le=60, description="fixed air temperature in degC where no shaded sensor is fitted"
    )
    rate_hz: float | None = Field(
        default=None, ge=2, le=10, description="readings a second, where a gy_614v3 was set to another rate than 10"
    )
    coding: BodyCoding = Field(default=BodyCoding.BCD, description="aa55_kiosk: bcd or int_dec, by its maker")


class ScannerDriver(StrEnum):
    """How a QR scanner tells what it read."""

    SERIAL = "serial"
    KEYBOARD_WEDGE = "keyboard_wedge"


class Scanner(Section):
    """A QR scanner: a second source of the camera's texts."""

    driver: ScannerDriver = Field(
        default=ScannerDriver.SERIAL, description="serial (a line of text), keyboard_wedge (it types)"
    )
    port: Path = Field(description="stable device name, such as /dev/gatepost/scanner-in")
    baud: int = Field(default=9600, ge=1200, le=921600, description="serial: its baud rate")


class CameraSource(StrEnum):
    """Where frames come from."""

    V4L2 = "v4l2"
    PICAMERA2 = "picamera2"
    VIDEO = "video"
    FOLDER = "folder"


class Camera(Section):
    """The camera of a lane, or pictures that stand in for it."""

    source: CameraSource = Field(
        default=CameraSource.V4L2, description="v4l2 (USB camera), picamera2 (a Pi's own), video file, picture folder"
    )
    path: Path | None = Field(
        default=None, description="stable device name, video file, or folder of pictures; not for picamera2"
    )
    number: int = Field(default=0, ge=0, le=3, description="picamera2: which of the Pi's cameras")
    follow: bool = Field(default=False, description="at its end a folder waits for new pictures, a video begins anew")
    width: int = Field(default=1280, ge=320, le=4096, description="width asked of the camera, in pixels")
    height: int = Field(default=720, ge=240, le=4096, description="height asked of the camera, in pixels")
    fps: float = Field(default=15.0, ge=1, le=120, description="frames a second asked of the camera")
    exposure_ms: float | None = Field(
        default=None, gt=0, le=1000, description="fixed exposure in milliseconds; without it automatic"
    )
    gain: float | None = Field(default=None, ge=0, description="fixed gain in the camera's own unit")
    focus: float | None = Field(
        default=None, ge=0, description="fixed focus: v4l2 in the camera's own unit, picamera2 in dioptres (5 is 20 cm)"
    )

    @model_validator(mode="after")
    def _named(self) -> Self:
        if (self.path is None) is not (self.source is CameraSource.PICAMERA2):
            raise ValueError("v4l2, video and folder need a path; picamera2 has a number instead")
        return self

    @property
    def live(self) -> bool:
        """Whether it is a camera, and no file that stands in for one."""
        return self.source in (CameraSource.V4L2, CameraSource.PICAMERA2)


class Relay(Section):
    """The relay that opens the lane."""

    port: Path = Field(description="stable device name of the USB relay board, such as /dev/gatepost/relay-in")
    channels: int = Field(default=2, ge=1, le=8, description="relays on the board")
    channel: int = Field(default=1, ge=1, le=8, description="the relay wired to this lane's barrier")
    pulse_s: float = Field(default=0.5, gt=0, le=10, description="length of the opening pulse in seconds")


class Contacts(Section):
    """The digital inputs of a lane."""

    port: Path = Field(description="stable device name of the Modbus RTU input board")
    inputs: dict[int, Contact] = Field(default_factory=dict, description="input number (1 to 8) = what it is wired to")
    active_low: tuple[int, ...] = Field(
        default=(), description="inputs that are active without current, so that a cut wire is noticed"
    )

    @model_validator(mode="after")
    def _numbers(self) -> Self:
        if any(not 1 <= number <= 8 for number in (*self.inputs, *self.active_low)):
            raise ValueError("inputs are numbered 1 to 8")
        return self


class Lane(Section):
    """One physical opening with one direction, and the devices that belong to it."""

    name: Name = Field(description="the lane's name, unique on this kiosk")
    direction: LaneDirection = Field(default=LaneDirection.IN, description="in or out")
    reader: Reader | None = Field(default=None)
    id_reader: IdReader | None = Field(default=None)
    thermometer: Thermometer | None = Field(default=None)
    camera: Camera | None = Field(default=None)
    scanner: Scanner | None = Field(default=None)
    air: AirSensor | None = Field(default=None)
    distance: DistanceSensor | None = Field(default=None)
    relay: Relay | None = Field(default=None)
    contacts: Contacts | None = Field(default=None)
