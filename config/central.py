"""What a central is: where it listens, where it stores. ``config/central.toml`` is a commented example."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import Field

from config.loader import Loaded, Section, load


class Central(Section):
    """The server that kiosks send to."""

    database: str = Field(description="path of a SQLite file, or an SQLAlchemy URL")
    host: str = Field(default="127.0.0.1", description="address to listen on")
    port: int = Field(default=8443, ge=0, le=65535, description="TCP port")
    tls_cert: Path | None = Field(default=None, description="certificate chain, PEM")
    tls_key: Path | None = Field(default=None, description="its key, PEM, mode 0600")
    behind_proxy: bool = Field(default=False, description="a TLS proxy stands before this address")
    site_name: str = Field(default="Gatepost", max_length=60, description="shown on every page")
    time_zone: str = Field(default="UTC", description="IANA zone of the times on pages")


class Codes(Section):
    """What the central needs to issue health codes to phones; without it, it issues none."""

    key: Path | None = Field(
        default=None, description="Ed25519 key of use code, PKCS#8 PEM, mode 0600 (gatepost code new-key --use code)"
    )
    subject_key: Path | None = Field(
        default=None, description="32 bytes that make pseudonyms, mode 0600 (gatepost code subject-key)"
    )
    kiosk_key: Path | None = Field(
        default=None,
        description="Ed25519 key of use kiosk, mode 0600: certifies kiosks, so that guards issue passes offline",
    )
    kiosk_days: int = Field(default=28, ge=1, le=92, description="how long such a certificate is good for")
    hours: int = Field(default=12, ge=1, le=24, description="how long a code is good for; the phone renews it by half")


class CentralSettings(Section):
    """All settings of a central."""

    central: Central
    codes: Codes = Field(default_factory=Codes)


def load_central(path: Path, environ: dict[str, str] | None = None) -> Loaded[CentralSettings]:
    """A central's settings from a TOML file and the environment; raises ConfigError naming every bad key."""
    return load(CentralSettings, path, dict(os.environ) if environ is None else environ)
