"""What this gate is: the settings of the kiosk and of its sync program. Checked once, no behaviour.

``config/gate.toml`` is a commented example of a real gate; ``gatepost config explain`` prints every key with its
value, its source and its meaning; ``docs/settings.md`` lists them and a test keeps the two together.
"""

from __future__ import annotations

import base64
import os
import stat
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Self
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AwareDatetime, Field, field_validator, model_validator

from config.errors import ConfigError
from config.loader import Loaded, Section, load
from config.lookup import Lookup
from config.neighbours import Neighbours
from config.tablet import Tablet, is_loopback
from config.voice import Voice

DOCUMENTS = "documents"
"""Folder below ``state.folder`` for what the central gives down, written by ``gatepost-sync``, read by the gate."""

PASS_CERTIFICATE = "pass-certificate"
"""File below ``state.folder``: the community's word for this kiosk's key, kept fresh by ``gatepost-sync``."""

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$")]
Port = Annotated[int, Field(ge=0, le=65535)]


def root_bytes(text: str) -> bytes:
    """The 32 bytes of a root public key in base64; ValueError for anything else."""
    try:
        raw = base64.b64decode(text, validate=True)
    except ValueError:
        raw = b""
    if len(raw) != 32:
        raise ValueError(f"{text[:60]!r} is not the base64 of 32 bytes")
    return raw


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


class Site(Section):
    """Which gate of which community this is."""

    name: str = Field(default="Gatepost", max_length=60, description="the community's name, shown on the screens")
    kiosk_id: Name = Field(description="this kiosk's name at the central; letters, digits and hyphens")
    place: Name = Field(default="main-gate", description="the gate's name in passes and policies")
    time_zone: str = Field(default="Asia/Shanghai", description="IANA zone in which hours of the policy are read")
    duty_number: str = Field(default="", max_length=40, description="telephone shown when nobody is on duty")
    place_code: str = Field(
        default="", max_length=1000, description="text of the site's own place code, for phones that scan the gate"
    )

    @field_validator("time_zone")
    @classmethod
    def _zone(cls, value: str) -> str:
        if value not in available_timezones():
            raise ValueError("not an IANA time zone, such as Asia/Shanghai")
        return value

    @property
    def zone(self) -> ZoneInfo:
        """The zone as an object."""
        return ZoneInfo(self.time_zone)


class State(Section):
    """Where the kiosk keeps what it must not lose."""

    folder: Path = Field(default=Path("/var/lib/gatepost"), description="folder of journal and roster, mode 0700")


class PolicyChoice(Section):
    """The rules in force."""

    file: str = Field(
        default="clear",
        description="a shipped policy's name or a policy file's path, in force until the central sends one",
    )


class Trust(Section):
    """Keys that health codes may be signed by."""

    folder: Path | None = Field(
        default=None, description="folder of trust anchors, unsigned; without it and without roots no code is trusted"
    )
    roots: tuple[str, ...] = Field(
        default=(),
        max_length=4,
        description="base64 root keys (gatepost-central trust new-root): signed bundles then come by network or stick",
    )
    stick: Path | None = Field(
        default=None, description="folder where a USB stick is mounted: a newer *.trust file in it is taken"
    )
    red_after_days: int = Field(
        default=7, ge=1, le=366, description="days after the announced next update until the age light turns red"
    )
    rule_set: str = Field(
        default="", max_length=40, description="the set of rules in the trust store that codes must meet; empty: none"
    )

    @field_validator("roots")
    @classmethod
    def _keys(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for root in value:
            root_bytes(root)
        return value

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.folder is not None and self.roots:
            raise ValueError("either folder (unsigned) or roots (signed bundles), not both")
        if self.stick is not None and not self.roots:
            raise ValueError("a stick's bundles are believed by their roots: set roots")
        return self


class Web(Section):
    """The screens' web server on loopback; beside it, the console for paired tablets."""

    host: str = Field(default="127.0.0.1", description="address of this machine alone to listen on")
    port: Port = Field(default=8470, description="TCP port; 0 takes a free one and prints it")
    names: tuple[str, ...] = Field(
        default=(), description="further host names under which the pages are asked for, besides those of loopback"
    )
    voice: Voice = Field(default_factory=Voice)
    tablet: Tablet = Field(default_factory=Tablet)

    @field_validator("host")
    @classmethod
    def _loopback(cls, value: str) -> str:
        if not is_loopback(value):
            raise ValueError("plain HTTP is for loopback alone (127.0.0.1); a network is for web.tablet, by TLS")
        return value


class Keys(Section):
    """Secrets, by file. A relative name is looked for in the systemd credentials directory first."""

    community: Path = Field(
        default=Path("community.key"), description="32 random bytes: pseudonyms, card look-up, encrypted columns"
    )
    kiosk: Path = Field(default=Path("kiosk.pem"), description="this kiosk's Ed25519 key, PKCS#8 PEM")
    pass_certificate: Path | None = Field(
        default=None,
        description="the community's certificate of this kiosk's key, with which the guard issues temporary passes; "
        "pass-certificate in state.folder unless set",
    )
    card_meta: Path | None = Field(
        default=None, description="16 bytes: the site's key that opens a rolling code's number; for strength sun"
    )
    guards: Path | None = Field(default=None, description="the guards' names with argon2id hashes of their secrets")


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


class NumberForm(StrEnum):
    """How a reader writes a card's number (``docs/cards.md``)."""

    HEX = "hex"
    HEX_REVERSED = "hex_reversed"
    DEC10 = "dec10"
    DEC10_REVERSED = "dec10_reversed"
    WG26 = "wg26"
    WG26_REVERSED = "wg26_reversed"
    WG26_BITS = "wg26_bits"
    WG34_BITS = "wg34_bits"
    WG34_BITS_REVERSED = "wg34_bits_reversed"
    WG37_BITS = "wg37_bits"


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


class Sync(Section):
    """How the journal travels to the central; read by ``gatepost-sync``."""

    central_url: str = Field(default="", description="the central's address; without it nothing is sent")
    ca_file: Path | None = Field(default=None, description="PEM of the only authority trusted for the central's TLS")
    authority: Path | None = Field(
        default=None,
        description="public key (PEM) that signs roster, policy and trust: they come to documents in state.folder",
    )
    interval_s: float = Field(default=30.0, gt=0, le=3600, description="longest wait before ordinary records are sent")
    heartbeat_s: float = Field(default=60.0, gt=0, le=3600, description="an idle kiosk says that it lives this often")


class Retention(Section):
    """How long the kiosk keeps what the central has acknowledged, counted from the acknowledgement."""

    acknowledged_days: int = Field(default=7, ge=1, le=30, description="days a passage is kept after its ack")
    health_days: int = Field(default=3, ge=1, le=14, description="days a measured value or code detail is kept")
    visit_days: int = Field(default=7, ge=1, le=30, description="days a visitor's name stands in the register")


class Simulation(Section):
    """For runs without hardware only: refused as soon as one device is real."""

    devices: bool = Field(default=False, description="every serial device named here is a simulator")
    start_at: AwareDatetime | None = Field(
        default=None, description="the instant at which the run's clock starts; only when every device is simulated"
    )


class Settings(Section):
    """All settings of one kiosk."""

    site: Site
    state: State = Field(default_factory=State)
    policy: PolicyChoice = Field(default_factory=PolicyChoice)
    trust: Trust = Field(default_factory=Trust)
    web: Web = Field(default_factory=Web)
    keys: Keys = Field(default_factory=Keys)
    sync: Sync = Field(default_factory=Sync)
    lookup: Lookup = Field(default_factory=Lookup)
    neighbours: Neighbours = Field(default_factory=Neighbours)
    retention: Retention = Field(default_factory=Retention)
    simulation: Simulation = Field(default_factory=Simulation)
    lane: tuple[Lane, ...] = Field(min_length=1, max_length=4)

    @model_validator(mode="after")
    def _whole(self) -> Self:
        names = [lane.name for lane in self.lane]
        if len(set(names)) != len(names):
            raise ValueError(f"two lanes have the same name: {', '.join(names)}")
        ports = [
            str(device.port)
            for lane in self.lane
            for device in (
                lane.reader,
                lane.id_reader,
                lane.thermometer,
                lane.scanner,
                lane.contacts,
                lane.air,
                lane.distance,
            )
            if device
        ]
        if len(set(ports)) != len(ports):
            raise ValueError("two serial devices have the same port")
        if self.simulation.start_at is not None:
            live = [lane.name for lane in self.lane if lane.camera and lane.camera.live]
            serial = any(
                lane.reader
                or lane.id_reader
                or lane.thermometer
                or lane.relay
                or lane.contacts
                or lane.scanner
                or lane.air
                or lane.distance
                for lane in self.lane
            )
            if live or (serial and not self.simulation.devices):
                raise ValueError(
                    "simulation.start_at is only allowed when every device is simulated or a file: "
                    "take it out, or set simulation.devices and a camera from a file"
                )
        return self

    @property
    def start_at(self) -> datetime | None:
        """The simulated start, or None for the system's clock."""
        return self.simulation.start_at


def load_settings(path: Path | None, environ: dict[str, str] | None = None) -> Loaded[Settings]:
    """The kiosk's settings from a TOML file and the environment; raises ConfigError naming every bad key."""
    return load(Settings, path, dict(os.environ) if environ is None else environ)


def secret_file(path: Path, environ: dict[str, str] | None = None) -> Path:
    """Where a secret lies: an absolute path as it is, else below ``$CREDENTIALS_DIRECTORY``, else as given.

    Raises ConfigError when it is missing, or when its group or others have any permission on it.
    """
    directory = (os.environ if environ is None else environ).get("CREDENTIALS_DIRECTORY")
    if directory and not path.is_absolute() and (Path(directory) / path).exists():
        path = Path(directory) / path
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError as error:
        raise ConfigError(
            f"secret {path}", seen=error.strerror or str(error), expected="a file", hint="gatepost config keys DIR"
        ) from error
    if mode & 0o077:
        raise ConfigError(
            f"secret {path}", seen=f"mode {mode:04o}", expected="no group or other bit", hint=f"chmod 600 {path}"
        )
    return path
