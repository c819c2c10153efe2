"""A polled Modbus sensor, by the example of the air sensor: proof, tries, late answers, impossible values."""

from __future__ import annotations

from drivers.devices import AirReading, Broken, DeviceFault, FaultKind, Proven, Send
from drivers.modbus_rtu import ModbusAnswer, crc16
from drivers.thermometers.xy_md02_air import XyMd02Conversation, event, request

MS = 1_000_000
ANSWER = bytes.fromhex("01040401310222") + bytes.fromhex("2ace")


def test_the_manuals_example() -> None:
    """Request and answer as printed in the maker's manual: 30.5 degC, 54.6 %; -20.5 degC is FF33."""
    assert request().frame.hex() == "010400010002200b"
    talk = XyMd02Conversation()
    assert talk.begin(0) == [Send(request().frame)]
    assert talk.receive(ANSWER, 30 * MS) == [
        AirReading(air_c=30.5, humidity_percent=54.6, at_ns=30 * MS),
        Proven("XY-MD02 air sensor, slave 1"),
    ]
    cold = event(ModbusAnswer(bytes.fromhex("ff330222")), 0)
    assert isinstance(cold, AirReading)
    assert cold.air_c == -20.5


def test_it_is_asked_again_after_its_period() -> None:
    """Half a second after the question, whenever the answer came."""
    talk = XyMd02Conversation()
    talk.begin(0)
    talk.receive(ANSWER, 100 * MS)
    assert talk.wake_at_ns() == 500 * MS
    assert talk.wake(500 * MS) == [Send(request().frame)]


def test_a_late_answer_is_worth_nothing() -> None:
    """What comes after the time-out belongs to the question before, and is not taken for the next one's answer."""
    talk = XyMd02Conversation()
    talk.begin(0)
    assert talk.wake(250 * MS) == []
    assert talk.receive(ANSWER, 300 * MS) == []
    assert talk.wake(350 * MS) == [Send(request().frame)]


def test_two_failures_break_it_and_an_exception_at_once() -> None:
    """Silence twice is SILENT, a spoiled answer twice GARBLED, an exception means another device."""
    silent = XyMd02Conversation()
    silent.begin(0)
    assert silent.wake(250 * MS) == []
    silent.wake(350 * MS)
    [broken] = silent.wake(600 * MS)
    assert isinstance(broken, Broken)
    assert broken.kind is FaultKind.SILENT

    spoiled = XyMd02Conversation()
    spoiled.begin(0)
    assert spoiled.receive(ANSWER[:-1] + b"\x00", 30 * MS) == []
    spoiled.wake(130 * MS)
    [broken] = spoiled.receive(ANSWER[:-1] + b"\x00", 160 * MS)
    assert isinstance(broken, Broken)
    assert broken.kind is FaultKind.GARBLED

    other = XyMd02Conversation()
    other.begin(0)
    refusal = bytes.fromhex("018402")
    [broken] = other.receive(refusal + crc16(refusal), 30 * MS)
    assert isinstance(broken, Broken)
    assert broken.kind is FaultKind.WRONG_DEVICE


def test_an_impossible_value_is_a_fault() -> None:
    """3276.7 degC, or more than 100 % humidity, is no air."""
    for data in ("7fff0222", "01310400"):
        fault = event(ModbusAnswer(bytes.fromhex(data)), 0)
        assert isinstance(fault, DeviceFault)
        assert fault.transient
