"""The reader on the issuing desk: a PN532 on a serial port, or a PC/SC reader by its name."""

from __future__ import annotations

from collections.abc import Callable

from drivers.cards.pcsc import PcscDevice
from drivers.cards.pcsc_service import PyscardService
from drivers.cards.pn532 import Dialogue, Pn532Conversation
from drivers.devices import CardTap, Device
from drivers.serial_port import SerialDevice

PCSC_PREFIX = "pcsc:"


def desk_device(reader: str, dialogue: Callable[[CardTap], Dialogue | None]) -> Device:
    """``reader`` is a stable device name, or ``pcsc:`` and the beginning of a PC/SC reader's name.

    Raises PortError for a device name that is not stable.
    """
    if reader.startswith(PCSC_PREFIX):
        return PcscDevice("desk", reader.removeprefix(PCSC_PREFIX), dialogue, service=PyscardService)
    return SerialDevice("desk", reader, Pn532Conversation(dialogue))
