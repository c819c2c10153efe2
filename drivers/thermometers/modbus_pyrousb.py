"""Calex PyroUSB and PUA: the PyroMiniBus's registers at another address, read as input registers.

Source: Calex "PyroUSB operator's guide", Modbus chapter (one maker only). 9600 8N1, slave 1, answers after 20 ms.
Input registers from 12 (hexadecimal, as in the manual): see ``calex_registers.py``.
"""

from __future__ import annotations

from drivers.devices import DeviceFault, TemperatureReading
from drivers.modbus_rtu import READ_INPUT_REGISTERS, ModbusAnswer, ModbusError, ReadRequest
from drivers.thermometers.calex_registers import REGISTERS, event_of

MODEL = "Calex PyroUSB"


def request(slave: int = 1) -> ReadRequest:
    """What to ask: filtered, unfiltered, sensor, status."""
    return ReadRequest(slave=slave, function=READ_INPUT_REGISTERS, start=0x12, count=REGISTERS)


def event(result: ModbusAnswer | ModbusError, at_ns: int) -> TemperatureReading | DeviceFault:
    """What the exchange means; every failure is a transient fault and never a value."""
    return event_of(MODEL, result, at_ns)
