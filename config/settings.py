"""What this gate is: the settings of the kiosk and of its sync program. Checked once, no behaviour.

``config/gate.toml`` is a commented example of a real gate; ``gatepost config explain`` prints every key with its
value, its source and its meaning; ``docs/settings.md`` lists them and a test keeps the two together.
"""

from __future__ import annotations

import base64
import os
import stat
from datetime import datetime
from pathlib import Path
from typing import Annotated, Self
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AwareDatetime, Field, field_validator, model_validator

from config.errors import ConfigError
from config.lane import Lane, Name
from config.loader import Loaded, Section, load
from config.lookup import Lookup
from config.neighbours import Neighbours
from config.tablet import Tablet, is_loopback
from config.voice import Voice

DOCUMENTS = "documents"
"""Folder below ``state.folder`` for what the central gives down, written by ``gatepost-sync``, read by the gate."""

PASS_CERTIFICATE = "pass-certificate"
"""File below ``state.folder``: the community's word for this kiosk's key, kept fresh by ``gatepost-sync``."""

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
