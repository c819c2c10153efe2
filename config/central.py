"""What a central is: where it listens, where it stores. ``config/central.toml`` is a commented example."""

from __future__ import annotations

import ipaddress
import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, model_validator

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


class SmtpSecurity(StrEnum):
    """How the way to the mail server is kept private."""

    TLS = "tls"
    """TLS from the first byte (port 465)."""
    STARTTLS = "starttls"
    """TLS after STARTTLS (port 587); without it nothing is sent."""
    NONE = "none"
    """For a mail server on this machine alone."""


Address = Annotated[str, Field(pattern=r"^[\x21-\x7e]+@[\x21-\x7e]+$", max_length=254)]


class Alerts(Section):
    """How alerts reach people who are not looking at the pages; without it they stand on the pages alone."""

    language: Literal["zh-CN", "en"] = Field(default="zh-CN", description="of the messages")
    link: str = Field(
        default="",
        max_length=200,
        description="address of the kiosks page, put into the messages (https://…/admin/kiosks)",
    )
    email_to: tuple[Address, ...] = Field(default=(), max_length=50, description="who is told by mail")
    email_from: str = Field(default="", max_length=254, description="sender of the mails, with email_to")
    smtp_host: str = Field(default="", max_length=253, description="mail server, with email_to")
    smtp_port: int = Field(default=465, ge=1, le=65535, description="its TCP port")
    smtp_security: SmtpSecurity = Field(
        default=SmtpSecurity.TLS, description="tls, starttls, or none (a server on this machine alone)"
    )
    smtp_user: str = Field(default="", max_length=254, description="login at the mail server, if it wants one")
    smtp_password_file: Path | None = Field(default=None, description="file with its password, mode 0600")
    webhook: str = Field(default="", max_length=500, description="https address that alerts are posted to as JSON")
    webhook_secret_file: Path | None = Field(
        default=None, description="file with the secret that signs what is posted, mode 0600, with webhook"
    )
    ca_file: Path | None = Field(
        default=None, description="authority of the mail server's and webhook's certificates, PEM; else the system's"
    )

    @model_validator(mode="after")
    def _whole(self) -> Alerts:
        if self.email_to and not (self.smtp_host and "@" in self.email_from):
            raise ValueError("email_to needs smtp_host and email_from, an address")
        if self.smtp_user and self.smtp_password_file is None:
            raise ValueError("smtp_user needs smtp_password_file")
        if self.smtp_security is SmtpSecurity.NONE and self.smtp_host and not is_loopback(self.smtp_host):
            raise ValueError("smtp_security none is for a mail server on this machine; use tls or starttls")
        if self.webhook:
            address = urlsplit(self.webhook)
            safe = address.scheme == "https" or (address.scheme == "http" and is_loopback(address.hostname or ""))
            if not safe or not address.hostname:
                raise ValueError("webhook must be an https address (http on this machine)")
            if self.webhook_secret_file is None:
                raise ValueError("webhook needs webhook_secret_file")
        return self


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine itself."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class CentralSettings(Section):
    """All settings of a central."""

    central: Central
    codes: Codes = Field(default_factory=Codes)
    alerts: Alerts = Field(default_factory=Alerts)


def load_central(path: Path, environ: dict[str, str] | None = None) -> Loaded[CentralSettings]:
    """A central's settings from a TOML file and the environment; raises ConfigError naming every bad key."""
    return load(CentralSettings, path, dict(os.environ) if environ is None else environ)
