"""A scanner that types (drivers/qr_wedge.py), played through a named pipe."""

from __future__ import annotations

import os
import queue
import tty
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.devices import DeviceEvent, DeviceFault, DeviceReady, FaultKind, QrText
from drivers.qr_wedge import _LAYOUT, QrWedge, QrWedgeDecoder
from drivers.typed_input import EVENT

BASE45 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:"
KEYS = {
    character: (code, shifted) for code, pair in reversed(_LAYOUT.items()) for shifted, character in enumerate(pair)
}


def typed(text: str, end: int = 28) -> bytes:
    """The input events of a scanner that types a text and Enter."""
    out = b""
    for character in text:
        code, shifted = KEYS[character]
        for key, value in ((42, 1),) * shifted + ((code, 1), (code, 0)) + ((42, 0),) * shifted:
            out += EVENT.pack(0, 0, 4, 4, 458756) + EVENT.pack(0, 0, 1, key, value) + EVENT.pack(0, 0, 0, 0, 0)
    return out + EVENT.pack(0, 0, 1, end, 1) + EVENT.pack(0, 0, 1, end, 0)


@settings(deadline=None)
@given(st.text(alphabet=BASE45 + "abcxyz_?=&", min_size=1, max_size=40), st.data())
def test_every_text_comes_back_however_the_events_are_cut(text: str, data: st.DataObject) -> None:
    """The whole set of certificates and passes, in pieces of any size."""
    stream, decoder, events, at = typed(text), QrWedgeDecoder(), [], 0
    while at < len(stream):
        step = data.draw(st.integers(1, 500))
        events += decoder.feed(stream[at : at + step], 5)
        at += step
    assert [(e.text, e.engine, e.at_ns) for e in events if isinstance(e, QrText)] == [(text, "wedge", 5)]


def test_held_keys_do_not_repeat_and_function_keys_spoil_the_line() -> None:
    """Value 2 is the keyboard's own repetition; F1 belongs to no text."""
    held = EVENT.pack(0, 0, 1, 30, 1) + EVENT.pack(0, 0, 1, 30, 2) * 5 + EVENT.pack(0, 0, 1, 30, 0)
    (text,) = QrWedgeDecoder().feed(held + typed("b"), 0)
    assert isinstance(text, QrText)
    assert text.text == "ab"
    (fault,) = QrWedgeDecoder().feed(EVENT.pack(0, 0, 1, 59, 1) + typed("b"), 0)
    assert isinstance(fault, DeviceFault)
    assert fault.transient


def test_keys_that_the_kernel_lost_spoil_the_line_and_the_next_is_read() -> None:
    """SYN_DROPPED in the middle, with a shift key whose release was among the lost: half a code is no code."""
    dropped = EVENT.pack(0, 0, 0, 3, 0)
    decoder = QrWedgeDecoder()
    events = decoder.feed(EVENT.pack(0, 0, 1, 42, 1) + dropped + typed("b"), 0) + decoder.feed(typed("c"), 0)
    assert [type(event) for event in events] == [DeviceFault, QrText]
    assert isinstance(events[1], QrText)
    assert events[1].text == "c"


@pytest.fixture
def keyboard(tmp_path: Path) -> Path:
    path = tmp_path / "usb-scanner-event-kbd"
    os.mkfifo(path)
    return path


@pytest.fixture
def plugged(keyboard: Path) -> Iterator[tuple[queue.Queue[DeviceEvent], QrWedge, Path, list[int]]]:
    """A running scanner; its grabbed descriptors are noted."""
    events: queue.Queue[DeviceEvent] = queue.Queue()
    grabbed: list[int] = []
    # A pipe without a writer is at its end at once: one is held open from the start.
    keep = os.open(keyboard, os.O_RDWR)
    wedge = QrWedge("scanner", str(keyboard), grab=grabbed.append)
    wedge.start(events.put)
    yield events, wedge, keyboard, grabbed
    wedge.stop()
    os.close(keep)


def test_a_typed_code_is_one_event_and_nobody_else_gets_the_keys(plugged: Any) -> None:
    """Grabbed before it is ready; the same text again at once is the same presentation."""
    events, _, path, grabbed = plugged
    assert isinstance(events.get(timeout=5), DeviceReady)
    assert len(grabbed) == 1
    with path.open("wb", buffering=0) as writer:
        for text in ("HC1:NCFOX", "HC1:NCFOX", "GP1:B"):
            writer.write(typed(text))
    assert [events.get(timeout=5).text for _ in range(2)] == ["HC1:NCFOX", "GP1:B"]


def test_typing_that_stops_in_the_middle_is_thrown_away(plugged: Any) -> None:
    """Half a code is not joined to the next person's."""
    events, _, path, _ = plugged
    assert isinstance(events.get(timeout=5), DeviceReady)
    with path.open("wb", buffering=0) as writer:
        writer.write(typed("HC1:HALF")[: -2 * EVENT.size])
        fault = events.get(timeout=5)
        assert isinstance(fault, DeviceFault)
        assert "HALF" not in fault.detail
        writer.write(typed("GP1:NEXT"))
    assert events.get(timeout=5).text == "GP1:NEXT"


def test_a_missing_scanner_is_a_fault_until_it_is_plugged_in(tmp_path: Path) -> None:
    """Told once, with the command that lists what there is."""
    events: queue.Queue[DeviceEvent] = queue.Queue()
    path = tmp_path / "later"
    wedge = QrWedge("scanner", str(path), grab=lambda fd: None)
    wedge.start(events.put)
    try:
        fault = events.get(timeout=5)
        assert isinstance(fault, DeviceFault)
        assert fault.kind is FaultKind.MISSING
        assert "/dev/input/by-id" in fault.detail
        os.mkfifo(path)
        keep = os.open(path, os.O_RDWR)
        assert isinstance(events.get(timeout=5), DeviceReady)
        os.close(keep)
    finally:
        wedge.stop()


def test_a_scanner_is_followed_by_its_name(tmp_path: Path) -> None:
    """Moved to another lane's socket it goes on sending under its old number: the gate listens to the name."""
    ends = [os.openpty() for _ in range(2)]
    for _, slave in ends:
        tty.setraw(slave)
    name = tmp_path / "usb-scanner-event-kbd"
    name.symlink_to(os.ttyname(ends[0][1]))
    events: queue.Queue[DeviceEvent] = queue.Queue()
    wedge = QrWedge("scanner", str(name), grab=lambda fd: None)
    wedge.start(events.put)
    try:
        assert isinstance(events.get(timeout=5), DeviceReady)
        name.unlink()
        name.symlink_to(os.ttyname(ends[1][1]))
        assert isinstance(fault := events.get(timeout=5), DeviceFault)
        assert "leads elsewhere" in fault.detail
        assert isinstance(events.get(timeout=5), DeviceReady)
        os.write(ends[0][0], typed("GP1:OTHER-LANE"))
        os.write(ends[1][0], typed("GP1:THIS-LANE"))
        assert events.get(timeout=5).text == "GP1:THIS-LANE"
    finally:
        wedge.stop()
        for end in ends:
            for fd in end:
                os.close(fd)
