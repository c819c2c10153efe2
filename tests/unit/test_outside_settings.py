"""Settings of what lies outside the kiosk: neighbours by address, each once, never this kiosk itself."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from config.neighbours import Neighbours, address_of


def test_an_address_is_numbers_and_a_port() -> None:
    """IPv4 and IPv6; names are not looked up, ports are real ones."""
    assert address_of("192.168.1.11:8475") == ("192.168.1.11", 8475)
    assert address_of("[fd00::0011]:8475") == ("fd00::11", 8475)
    for wrong in ("gate.local:8475", "192.168.1.11", "192.168.1.11:0", "192.168.1.11:65536", "192.168.1.11:\u0661", ""):
        with pytest.raises(ValueError, match=r"address|port|IPv"):
            address_of(wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        {"listen": "10.0.0.1:8475"},
        {"addresses": ("10.0.0.2:8475",)},
        {"listen": "10.0.0.1:8475", "addresses": ("10.0.0.1:8475",)},
        {"listen": "10.0.0.1:8475", "addresses": ("10.0.0.2:8475", "10.0.0.2:8475")},
        {"listen": "10.0.0.1:8475", "addresses": ("gate:8475",)},
        {"remember_min": 0},
    ],
)
def test_neighbours_are_told_apart(wrong: dict[str, object]) -> None:
    """One side without the other, this kiosk among its neighbours, one of them twice, a name, no time at all."""
    with pytest.raises(ValidationError):
        Neighbours.model_validate(wrong)


def test_a_site_of_three_gates() -> None:
    """As in docs/sync.md."""
    found = Neighbours(listen="192.168.1.11:8475", addresses=("192.168.1.12:8475", "192.168.1.13:8475"))
    assert found.remember_min == 10
