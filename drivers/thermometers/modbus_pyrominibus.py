"""Calex PyroMiniBus (Omega OS-MINI): an industrial pyrometer on RS-485, for tests, not for fevers (+-1 degC or 1 %).

Source: Calex "PyroMiniBus operator's guide", Modbus chapter; Omega's copy; two public drivers. 9600 8N1, slave 1 by
default. Holding registers from 0E (hexadecimal, as in the manual): see ``calex_registers.py``.
"""

from __future__ import annotations

from drivers.devices import DeviceFault, TemperatureReading
from drivers.modbus_rtu import READ_HOLDING_REGISTERS, ModbusAnswer, ModbusError, ReadRequest
from drivers.thermometers.calex_registers import REGISTERS, event_of

MODEL = "Calex PyroMiniBus"


def request(slave: int = 1) -> ReadRequest:
    """What to ask: filtered, unfiltered, sensor, status."""
    return ReadRequest(slave=slave, function=READ_HOLDING_REGISTERS, start=0x0E, count=REGISTERS)


def event(result: ModbusAnswer | ModbusError, at_ns: int) -> TemperatureReading | DeviceFault:
    """What the exchange means; every failure is a transient fault and never a value."""
    return event_of(MODEL, result, at_ns)
