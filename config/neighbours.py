"""Which other gates of the same site this one hears, and how long a credential is remembered. No behaviour."""

from __future__ import annotations

import ipaddress
from typing import Self

from pydantic import Field, model_validator

from config.loader import Section


def address_of(text: str) -> tuple[str, int]:
    """Host and port of ``192.168.1.12:8475`` or ``[fd00::12]:8475``. Raises ValueError; names are not looked up."""
    host, _, port = text.rpartition(":")
    if not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise ValueError(f"{text!r}: expected an IP address and a port, such as 192.168.1.12:8475")
    return str(ipaddress.ip_address(host.strip("[]"))), int(port)


class Neighbours(Section):
    """The other kiosks of this site on the local network, which share the community's key (``sync/peer.py``)."""

    listen: str = Field(
        default="", max_length=60, description="address and UDP port of this kiosk for them, as 192.168.1.11:8475"
    )
    addresses: tuple[str, ...] = Field(
        default=(), max_length=16, description="address and UDP port of each of them, as they listen"
    )
    remember_min: int = Field(
        default=10, ge=1, le=120, description="minutes in which the same credential again is noticed"
    )

    @model_validator(mode="after")
    def _addresses(self) -> Self:
        if bool(self.listen) is not bool(self.addresses):
            raise ValueError("listen and addresses: both or neither")
        known = [address_of(text) for text in (*self.addresses, *([self.listen] if self.listen else []))]
        if len(set(known)) != len(known):
            raise ValueError("addresses: one of them twice, or this kiosk's own")
        return self
