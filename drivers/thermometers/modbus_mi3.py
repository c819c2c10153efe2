"""Raytek / Fluke MI3: an industrial pyrometer with several heads on RS-485, for tests, not for fevers.

Source: Raytek "MI3 operating instructions", Modbus chapter (one maker, four editions). 9600 8N1 by default. Input
registers are decimal and zero-based: head n has its object temperature at n080, a float32 with the high word first.
"""

from __future__ import annotations

import math
import struct

from drivers.devices import DeviceFault, FaultKind, TemperatureReading
from drivers.modbus_rtu import READ_INPUT_REGISTERS, ModbusAnswer, ModbusError, ReadRequest
from drivers.thermometers.modbus_faults import fault_of

MODEL = "Raytek MI3"
RANGE_C = (-40.0, 1800.0)
"""Widest of the family's heads."""

_SMALLEST_NORMAL = 2.0**-126


def request(slave: int = 1, head: int = 1) -> ReadRequest:
    """What to ask: the object temperature of one head (1 to 8)."""
    return ReadRequest(slave=slave, function=READ_INPUT_REGISTERS, start=head * 1000 + 80, count=2)


def event(result: ModbusAnswer | ModbusError, at_ns: int) -> TemperatureReading | DeviceFault:
    """What the exchange means; every failure is a transient fault and never a value.

    A subnormal float is what a temperature looks like when the instrument sends the low word first.
    """
    if isinstance(result, ModbusError):
        return fault_of(MODEL, result, at_ns)
    [object_c] = struct.unpack(">f", result.data)
    subnormal = 0 < abs(object_c) < _SMALLEST_NORMAL
    if not math.isfinite(object_c) or subnormal or not RANGE_C[0] <= object_c <= RANGE_C[1]:
        hint = "; is its word order set to high word first?" if subnormal else ""
        detail = f"{MODEL}: {result.data.hex(' ')} is not finite or outside the device's range{hint}"
        return DeviceFault(kind=FaultKind.OUT_OF_RANGE, detail=detail, at_ns=at_ns, transient=True)
    return TemperatureReading(object_c=object_c, at_ns=at_ns)
