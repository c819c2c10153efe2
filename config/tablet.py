"""The guard's console on tablets of the local network: where it listens, by which names, with which certificate."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator

from config.loader import Section

_NAME = re.compile(r"(?=.{1,253}$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*")


def is_address(text: str) -> bool:
    """Whether a text is an IP address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def as_browsers_write(name: str) -> str:
    """A name or address as it stands in a browser's Host header: IPv6 short and in lower case (RFC 5952)."""
    return str(ipaddress.ip_address(name)) if is_address(name) else name


def is_loopback(host: str) -> bool:
    """Whether an address to listen on is this machine's own; ``localhost`` is."""
    return host == "localhost" or (is_address(host) and ipaddress.ip_address(host).is_loopback)


class Tablet(Section):
    """A second listener, by TLS alone, for paired tablets; off without a host."""

    host: str = Field(default="", description="address of this kiosk in the tablets' network; empty: no tablets")
    port: Annotated[int, Field(ge=0, le=65535)] = Field(default=8473, description="TCP port of the tablets' console")
    names: tuple[str, ...] = Field(
        default=(), max_length=8, description="names or addresses that tablets use for it, besides host"
    )
    certificate: Path | None = Field(
        default=None, description="PEM certificate with its chain; without it the one of gatepost console certificate"
    )
    key: Path | None = Field(default=None, description="PEM key of the certificate; no group or other permission")

    @field_validator("host")
    @classmethod
    def _host(cls, value: str) -> str:
        if value and (not is_address(value) or "%" in value):
            raise ValueError("an IP address such as 192.168.7.20, or empty")
        return as_browsers_write(value)

    @field_validator("names")
    @classmethod
    def _names(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        wrong = [name for name in value if not (is_address(name) or _NAME.fullmatch(name))]
        if wrong:
            raise ValueError(f"{wrong[0][:60]!r} is neither a host name in lower case nor an IP address")
        return tuple(map(as_browsers_write, value))

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.certificate is None) is not (self.key is None):
            raise ValueError("certificate and key belong together: both or neither")
        if self.host and not self.known_as:
            raise ValueError("a host of every address needs the names by which tablets ask for it: set names")
        return self

    @property
    def known_as(self) -> tuple[str, ...]:
        """The names and addresses that stand in the certificate and that a tablet may ask for."""
        every = bool(self.host) and ipaddress.ip_address(self.host).is_unspecified
        own = (self.host,) if self.host and not every else ()
        return tuple(dict.fromkeys((*self.names, *own)))
