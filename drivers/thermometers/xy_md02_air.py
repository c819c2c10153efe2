"""XY-MD02: the air about the gate (SHT20 or SHT40 behind a Modbus controller on RS-485), to be mounted in the shade.

Source: maker's manual "XY-MD02 Modbus RTU temperature and humidity transmitter" (several shop copies) and two public
drivers. 9600 8N1, slave 1. Input registers 1 (temperature, signed tenths of a degree Celsius) and 2 (relative
humidity, tenths of a percent). The manual's example: ``01 04 04 01 31 02 22 2A CE`` is 30.5 degC and 54.6 %.
The maker claims +-0.5 degC and +-3 %, -40 to 60 degC.
"""

from __future__ import annotations

from drivers.devices import AirReading, DeviceFault, FaultKind
from drivers.modbus_poll import PollConversation
from drivers.modbus_rtu import READ_INPUT_REGISTERS, ModbusAnswer, ReadRequest

MODEL = "XY-MD02 air sensor"
RANGE_C = (-40.0, 60.0)
FIRST_REGISTER = 1
REGISTERS = 2


def request(slave: int = 1) -> ReadRequest:
    """What to ask: temperature and humidity."""
    return ReadRequest(slave=slave, function=READ_INPUT_REGISTERS, start=FIRST_REGISTER, count=REGISTERS)


def event(answer: ModbusAnswer, at_ns: int) -> AirReading | DeviceFault:
    """What an answer means; a value outside the sensor's range is a transient fault."""
    temperature, humidity = answer.signed_registers()
    air_c, humidity_percent = temperature / 10, humidity / 10
    if not (RANGE_C[0] <= air_c <= RANGE_C[1] and 0.0 <= humidity_percent <= 100.0):
        detail = f"{MODEL}: {air_c} degC, {humidity_percent} %: outside the sensor's own range"
        return DeviceFault(kind=FaultKind.OUT_OF_RANGE, detail=detail, at_ns=at_ns, transient=True)
    return AirReading(air_c=air_c, humidity_percent=humidity_percent, at_ns=at_ns)


class XyMd02Conversation(PollConversation):
    """Asked every half second."""

    def __init__(self, slave: int = 1) -> None:
        super().__init__(request(slave), event, model=MODEL)
