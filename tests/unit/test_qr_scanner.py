"""A QR scanner on a serial line (drivers/qr_scanner.py)."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.devices import DeviceFault, Proven, QrText
from drivers.qr_scanner import LINE_SILENCE_S, MAX_LINE_BYTES, QrScannerConversation, QrScannerDecoder

SECOND = 1_000_000_000
PASS = b"GP1:6BFOXN%TS3DH0RV8:NCFOXN*TS0BI$ZD4"


@pytest.mark.parametrize("end", [b"\r", b"\n", b"\r\n"])
def test_a_line_is_a_text_whatever_its_end(end: bytes) -> None:
    """Scanners are delivered with CR, LF or both."""
    events = QrScannerDecoder().feed(PASS + end + b"HC1:X" + end, 7)
    assert [(e.text, e.data, e.engine, e.at_ns) for e in events if isinstance(e, QrText)] == [
        (PASS.decode(), PASS, "scanner", 7),
        ("HC1:X", b"HC1:X", "scanner", 7),
    ]


@settings(deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=40), max_size=6), st.data())
def test_the_events_do_not_depend_on_how_the_bytes_are_cut(lines: list[bytes], data: st.DataObject) -> None:
    """Any bytes, cut anywhere, give the same texts, faults and count of discarded bytes."""
    stream = b"\r\n".join(lines) + b"\r\n"
    whole, cut = QrScannerDecoder(), QrScannerDecoder()
    expected = whole.feed(stream, 0)
    events, at = [], 0
    while at < len(stream):
        step = data.draw(st.integers(1, 17))
        events += cut.feed(stream[at : at + step], 0)
        at += step
    assert events == expected
    assert cut.discarded == whole.discarded


def test_a_line_longer_than_any_symbol_is_thrown_away_and_bounded() -> None:
    """A line that never ends costs no memory, and the next line is read."""
    decoder = QrScannerDecoder()
    assert decoder.feed(b"A" * 50_000, 0) == []
    fault, text = decoder.feed(b"\rHC1:OK\r", 0)
    assert isinstance(fault, DeviceFault)
    assert fault.transient
    assert isinstance(text, QrText)
    assert decoder.discarded == 50_000


def test_a_line_of_exactly_the_largest_symbol_is_read() -> None:
    """7,089 digits are the most a QR code holds."""
    (text,) = QrScannerDecoder().feed(b"7" * MAX_LINE_BYTES + b"\n", 0)
    assert isinstance(text, QrText)


def test_control_characters_mean_a_wrong_rate() -> None:
    """Noise is reported, never taken for a code, and the report does not quote it."""
    (fault,) = QrScannerDecoder().feed(b"HC1:\x00\x9f\x01\r", 0)
    assert isinstance(fault, DeviceFault)
    assert "HC1" not in fault.detail


def test_half_a_line_before_a_pause_is_not_joined_to_the_next() -> None:
    """A scanner unplugged in the middle of a line leaves no text that nobody showed."""
    talk = QrScannerConversation()
    assert isinstance(talk.begin(0)[0], Proven)
    assert talk.wake_at_ns() is None
    assert talk.receive(b"GP1:HALF", 10) == []
    due_ns = talk.wake_at_ns()
    assert due_ns == 10 + int(LINE_SILENCE_S * SECOND)
    assert talk.wake(due_ns - 1) == []
    (fault,) = talk.wake(due_ns)
    assert isinstance(fault, DeviceFault)
    (text,) = talk.receive(PASS + b"\r\n", due_ns + 5)
    assert isinstance(text, QrText)
    assert text.data == PASS


def test_a_code_held_under_the_scanner_counts_once() -> None:
    """Hands-free scanners repeat; another code, or the same one later, is new."""
    talk = QrScannerConversation(repeat_s=3.0)
    talk.begin(0)
    seen = [len(talk.receive(PASS + b"\r\n", t * SECOND)) for t in (1, 2, 3, 5)]
    assert seen == [1, 0, 0, 0]
    assert len(talk.receive(b"HC1:OTHER\r\n", 6 * SECOND)) == 1
    assert len(talk.receive(PASS + b"\r\n", 7 * SECOND)) == 1
