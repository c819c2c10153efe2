"""One card on the desk's reader (``kiosk/card_reading.py``, ``drivers/cards/desk_device.py``): what it is taken for."""

from __future__ import annotations

import pytest

from drivers.cards.desk_device import desk_device
from drivers.cards.ntag424_inspect import CardState, Inspection
from drivers.cards.pcsc import PcscDevice
from drivers.devices import CardHint, CardTap, DeviceEvent, DeviceFault, DeviceReady, Emit, FaultKind
from drivers.errors import DriverError, PortError
from drivers.serial_port import SerialDevice
from kiosk.card_reading import CardReading, NoCardError, _Failed

ATS = bytes.fromhex("067777710280")
GENUINE = Inspection(uid=bytes.fromhex("04a1b2c3d4e5f6"), state=CardState.BLANK)


class Desk:
    """A reader that tells all it has to tell as soon as it is begun."""

    name = "desk"

    def __init__(self, events: tuple[object, ...]) -> None:
        self.events = events
        self.running = False

    def start(self, emit: Emit) -> None:
        self.running = True
        for event in self.events:
            emit(event)

    def stop(self) -> None:
        self.running = False


def reading_of(*events: object) -> CardReading:
    reading = CardReading("/dev/gatepost/desk")
    reading._device = Desk(events)
    return reading


def tap(uid: str, **more: object) -> CardTap:
    return CardTap(uid=bytes.fromhex(uid), at_ns=0, **more)


def test_a_card_that_takes_no_commands_is_known_by_its_number_alone() -> None:
    """A first-generation card: legacy, whatever else is on it."""
    reading = reading_of(DeviceReady(detail="", at_ns=0), tap("63e9ae01"))
    assert reading.read(0.0) == Inspection(uid=bytes.fromhex("63e9ae01"), state=CardState.LEGACY)
    assert not reading._device.running


def test_of_a_card_that_takes_commands_the_answers_count_not_the_number() -> None:
    """The tap comes first, what the card is comes after it."""
    assert reading_of(tap("04a1b2c3d4e5f6", ats=ATS), GENUINE).read(0.0) is GENUINE


@pytest.mark.parametrize(
    ("events", "seen"),
    [
        ((), "no card on the reader"),
        ((tap("63e9ae01", cards_in_field=2),), "two cards"),
        ((tap("08112233", random_uid=True),), "names nobody"),
        ((CardHint(detail="the card left before it had answered", at_ns=0),), "left before"),
        ((DeviceFault(kind=FaultKind.MISSING, detail="no such file", at_ns=0),), "no such file"),
    ],
)
def test_why_no_card_was_read_is_said(events: tuple[DeviceEvent, ...], seen: str) -> None:
    """What was seen last; and the reader is let go."""
    reading = reading_of(*events)
    with pytest.raises(NoCardError, match=seen):
        reading.read(0.0)
    assert not reading._device.running


def test_a_card_out_of_order_is_the_drivers_error() -> None:
    """Not "no card": it lies there and answers what it must not."""
    with pytest.raises(DriverError, match="card"):
        reading_of(_Failed(DriverError("card", seen="6700"))).read(0.0)


def test_only_a_card_that_takes_commands_is_asked_anything() -> None:
    """The ATS says so; a plain number card has nothing to be asked."""
    reading = reading_of()
    assert reading._dialogue(tap("63e9ae01")) is None
    assert reading._dialogue(tap("04a1b2c3d4e5f6", ats=ATS)) is not None


def test_a_reader_is_named_by_its_port_or_as_pcsc_by_its_name() -> None:
    """``pcsc:ACS ACR122U`` is the reader whose name begins so; a port whose name may change is refused."""
    reader = desk_device("pcsc:ACS ACR122U", lambda _tap: None)
    assert isinstance(reader, PcscDevice)
    assert reader._reader == "ACS ACR122U"
    assert isinstance(desk_device("/dev/serial/by-id/usb-PN532", lambda _tap: None), SerialDevice)
    with pytest.raises(PortError, match="by-path"):
        desk_device("/dev/ttyUSB0", lambda _tap: None)
