"""The Modbus RTU master: framing, and what is never taken for an answer."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from drivers.devices import DeviceFault, FaultKind, TemperatureReading
from drivers.modbus_rtu import (
    READ_DISCRETE_INPUTS,
    READ_HOLDING_REGISTERS,
    Exchange,
    ModbusAnswer,
    ModbusError,
    ModbusFault,
    ReadRequest,
    crc16,
)
from drivers.thermometers import modbus_mi3, modbus_pyrominibus, modbus_pyrousb

REGISTERS = ReadRequest(slave=1, function=READ_HOLDING_REGISTERS, start=0, count=2)
INPUTS = ReadRequest(slave=1, function=READ_DISCRETE_INPUTS, start=0, count=8)


def framed(text: str) -> bytes:
    """Hex with its CRC behind it."""
    body = bytes.fromhex(text)
    return body + crc16(body)


def test_the_crc_is_that_of_the_specification() -> None:
    """CRC-16/MODBUS of "123456789" is 4B37 (published check value), sent low byte first."""
    assert crc16(b"123456789").hex() == "374b"


def test_requests_are_byte_for_byte() -> None:
    """The requests of the pyrometers' maps and of an eight-input board."""
    assert modbus_pyrominibus.request().frame.hex() == "0103000e000425ca"
    assert modbus_pyrousb.request().frame.hex() == "01040012000451cc"
    assert modbus_mi3.request().frame.hex() == "010404380002f136"
    assert modbus_mi3.request(slave=3, head=2).frame.hex()[:12] == "030408200002"
    assert INPUTS.frame.hex() == "01020000000879cc"


@pytest.mark.parametrize(
    ("slave", "function", "start", "count"),
    [(0, 3, 0, 1), (248, 3, 0, 1), (1, 5, 0, 1), (1, 3, 0, 126), (1, 3, 65536, 1), (1, 2, 0, 2001), (1, 3, 0, 0)],
)
def test_impossible_requests_are_refused(slave: int, function: int, start: int, count: int) -> None:
    """Broadcasts, other functions, and more than one answer can carry."""
    with pytest.raises(ValueError, match="Modbus"):
        ReadRequest(slave=slave, function=function, start=start, count=count)


def test_bits_come_lowest_first() -> None:
    """Input 1 is the lowest bit of the first byte."""
    answer = Exchange(INPUTS).feed(framed("01020105"))
    assert isinstance(answer, ModbusAnswer)
    assert answer.bits(8) == (True, False, True, False, False, False, False, False)


def test_echo_and_turn_round_are_skipped_in_any_cut() -> None:
    """The adapter's echo and zero bytes before the answer, byte by byte."""
    exchange = Exchange(REGISTERS)
    stream = REGISTERS.frame + b"\x00\x00" + framed("01030400010002")
    results = [exchange.feed(stream[index : index + 1]) for index in range(len(stream))]
    assert results[:-1] == [None] * (len(stream) - 1)
    assert results[-1] == ModbusAnswer(b"\x00\x01\x00\x02")


def test_an_echo_alone_is_no_answer() -> None:
    """A slave that is off behind an adapter that echoes: a time-out, not a value."""
    exchange = Exchange(REGISTERS)
    assert exchange.feed(REGISTERS.frame) is None
    assert exchange.give_up().fault is ModbusFault.TIMEOUT


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        (framed("02030400010002"), ModbusFault.ADDRESS),
        (framed("010302ffff"), ModbusFault.LENGTH),
        (framed("010306000100020003"), ModbusFault.LENGTH),
        (framed("01040400010002"), ModbusFault.FUNCTION),
        (framed("018302"), ModbusFault.EXCEPTION),
        (framed("028302"), ModbusFault.ADDRESS),
        (framed("018302")[:4] + b"\x00", ModbusFault.CRC),
        (framed("01030400010002")[:-1] + b"\x00", ModbusFault.CRC),
        (b"\xff" * 40, ModbusFault.CRC),
    ],
)
def test_what_is_not_the_answer_is_an_error_of_its_kind(answer: bytes, fault: ModbusFault) -> None:
    """A neighbour's, another function's, another length's and a spoiled answer never become a value."""
    result = Exchange(REGISTERS).feed(answer)
    assert isinstance(result, ModbusError)
    assert result.fault is fault


def test_any_address_takes_whoever_answers() -> None:
    """Slave 255 asks a pyrometer of unknown number."""
    request = ReadRequest(slave=255, function=READ_HOLDING_REGISTERS, start=0, count=1)
    assert Exchange(request).feed(framed("0703020123")) == ModbusAnswer(b"\x01\x23")


@settings(max_examples=300, deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=30), max_size=8))
def test_no_bytes_without_a_good_crc_become_an_answer(portions: list[bytes]) -> None:
    """Whatever comes: an answer is a frame of the slave asked, with the length asked and a good CRC."""
    exchange = Exchange(REGISTERS)
    stream = b"".join(portions)
    for portion in portions:
        result = exchange.feed(portion)
        if isinstance(result, ModbusAnswer):
            assert framed("010304" + result.data.hex()) in stream
            break
        if result is not None:
            break


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ModbusError(ModbusFault.TIMEOUT, "x"), FaultKind.SILENT),
        (ModbusError(ModbusFault.EXCEPTION, "x", 2), FaultKind.REFUSED),
        (ModbusError(ModbusFault.CRC, "x"), FaultKind.GARBLED),
    ],
)
def test_a_failed_exchange_is_a_transient_fault(error: ModbusError, kind: FaultKind) -> None:
    """One failed poll is one bad sample; the conversation that polls decides when the device is out."""
    for event in (modbus_pyrominibus.event(error, 7), modbus_pyrousb.event(error, 7), modbus_mi3.event(error, 7)):
        assert isinstance(event, DeviceFault)
        assert (event.kind, event.transient, event.at_ns) == (kind, True, 7)


def test_swapped_words_are_named_as_such() -> None:
    """36.5 degC with the low word first is a subnormal float: a fault that says what to set."""
    event = modbus_mi3.event(ModbusAnswer(bytes.fromhex("00004212")), 0)
    assert isinstance(event, DeviceFault)
    assert "word order" in event.detail


def test_status_bits_are_a_fault_with_their_names() -> None:
    """A pyrometer that says its value is not to be believed gives no value."""
    event = modbus_pyrominibus.event(ModbusAnswer(bytes.fromhex("015f015f01330009")), 0)
    assert isinstance(event, DeviceFault)
    assert "measurement_error, object_temp_low" in event.detail
    assert isinstance(modbus_pyrominibus.event(ModbusAnswer(bytes.fromhex("015f015f01330000")), 0), TemperatureReading)
