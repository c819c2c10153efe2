"""Where tablets find the console, as their browsers ask for it."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from config.tablet import Tablet


@pytest.mark.parametrize(
    ("host", "asked_for"),
    [
        ("192.168.7.20", "192.168.7.20"),
        ("2001:DB8:0:0::7", "2001:db8::7"),
        ("fd00:0000:0000:0000:0000:0000:0000:0001", "fd00::1"),
    ],
)
def test_an_address_is_known_as_browsers_write_it(host: str, asked_for: str) -> None:
    """However the installer wrote it: another spelling in the Host header would be refused as a stranger's name."""
    assert Tablet(host=host).known_as == (asked_for,)
    assert Tablet(host="::", names=(host, "gate.lan")).known_as == (asked_for, "gate.lan")


@pytest.mark.parametrize("host", ["gate.lan", "192.168.7", "fe80::1%eth0"])
def test_what_no_browser_can_ask_for_is_refused(host: str) -> None:
    """A name to listen on, half an address, an address that means something on this machine alone."""
    with pytest.raises(ValidationError, match="an IP address"):
        Tablet(host=host)
