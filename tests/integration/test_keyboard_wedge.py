"""A keyboard reader through a named pipe that carries the kernel's input events (a container has no input devices)."""

from __future__ import annotations

import errno
import os
import queue
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from config.number_form import NumberForm
from drivers.cards import card_numbers, keyboard_wedge
from drivers.cards.keyboard_wedge import WedgeDevice
from drivers.devices import CardTap, DeviceFault, DeviceReady, FaultKind
from drivers.errors import PortError
from drivers.typed_input import EV_KEY, EVENT

CODES = dict(zip("1234567890", range(2, 12), strict=True)) | {"\n": 28}


def typed(text: str, begin_ms: int = 1000) -> bytes:
    """The events of a reader typing at 4 ms a key, synchronisation events included."""
    out = b""
    for number, sign in enumerate(text):
        at_us = (begin_ms + 8 * number) * 1000
        for value in (1, 0):
            out += EVENT.pack(0, at_us, EV_KEY, CODES[sign], value) + EVENT.pack(0, at_us, 0, 0, 0)
    return out


class Reader:
    """The pipe, the device on it, and what the device told."""

    def __init__(self, folder: Path, grab: Any) -> None:
        self.path = folder / "usb-reader-event-kbd"
        os.mkfifo(self.path)
        self.events: queue.Queue[Any] = queue.Queue()
        self.device = WedgeDevice("in", str(self.path), NumberForm.DEC10, grab=grab)
        self.keyboard = os.open(self.path, os.O_RDWR | os.O_NONBLOCK)
        self.device.start(self.events.put)

    def next(self) -> Any:
        return self.events.get(timeout=3)

    def close(self) -> None:
        self.device.stop()
        os.close(self.keyboard)


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    reader = Reader(tmp_path, grab=lambda fd: None)
    yield reader
    reader.close()


def test_a_number_that_is_typed_fast_is_a_tap(reader: Reader) -> None:
    """Ten digits and Enter become the card's four bytes, also when the events come in pieces."""
    assert isinstance(reader.next(), DeviceReady)
    events = typed("0006547886\n")
    os.write(reader.keyboard, events[:100])
    os.write(reader.keyboard, events[100:])
    tap = reader.next()
    assert isinstance(tap, CardTap)
    assert tap.uid.hex() == "0063e9ae"


def test_a_device_that_cannot_be_grabbed_is_a_fault(tmp_path: Path) -> None:
    """Numbers that would reach the browser are not taken at all."""

    def refuse(fd: int) -> None:
        raise OSError(errno.EBUSY, "Device or resource busy")

    reader = Reader(tmp_path, grab=refuse)
    try:
        fault = reader.next()
        assert isinstance(fault, DeviceFault)
        assert fault.kind is FaultKind.BUSY
    finally:
        reader.close()


def test_something_that_is_no_input_device_is_a_fault(tmp_path: Path) -> None:
    """The real ioctl on a pipe: wrong device, told once, and the thread goes on trying."""
    path = tmp_path / "not-a-keyboard"
    path.write_bytes(b"")
    device = WedgeDevice("in", str(path), NumberForm.DEC10)
    events: queue.Queue[Any] = queue.Queue()
    device.start(events.put)
    try:
        assert events.get(timeout=3).kind is FaultKind.WRONG_DEVICE
    finally:
        device.stop()


def test_a_name_that_changes_is_refused() -> None:
    """event3 is another device after the next start."""
    with pytest.raises(PortError, match="by-id"):
        WedgeDevice("in", "/dev/input/event3", NumberForm.DEC10)


def test_a_decoder_that_fails_is_a_fault_and_the_next_card_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fault of ours does not leave a reader that looks well and reads nothing; the gate can still be stopped."""
    real, calls = card_numbers.parse, 0

    def once_broken(form: NumberForm, text: str) -> Any:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise RuntimeError("a fault of ours")
        return real(form, text)

    monkeypatch.setattr(keyboard_wedge, "parse", once_broken)
    reader = Reader(tmp_path, grab=lambda fd: None)
    try:
        assert isinstance(reader.next(), DeviceReady)
        os.write(reader.keyboard, typed("0006547886\n"))
        fault = reader.next()
        assert isinstance(fault, DeviceFault)
        assert (fault.kind, "RuntimeError" in fault.detail) == (FaultKind.GARBLED, True)
        assert isinstance(reader.next(), DeviceReady)
        os.write(reader.keyboard, typed("0006547886\n", begin_ms=3000))
        assert isinstance(reader.next(), CardTap)
    finally:
        reader.close()
