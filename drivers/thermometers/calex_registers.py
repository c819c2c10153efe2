"""The measuring registers that Calex pyrometers share: values and status bits, whatever their address.

Sources: Calex PyroMiniBus and PyroUSB manuals (the former also sold as Omega OS-MINI). Four registers in a row:
filtered object, unfiltered object, sensor temperature (signed tenths of a degree Celsius), status bits.
"""

from __future__ import annotations

from drivers.devices import DeviceFault, FaultKind, TemperatureReading
from drivers.modbus_rtu import ModbusAnswer, ModbusError
from drivers.thermometers.modbus_faults import fault_of

REGISTERS = 4
STATUS_FLAGS = (
    "measurement_error",
    "sensor_temp_low",
    "sensor_temp_high",
    "object_temp_low",
    "object_temp_high",
)
"""Bit 0 first. While one is set the values are not to be believed."""


def status_flags(status: int) -> list[str]:
    """The names of the status bits that are set; an unknown bit is named by its number."""
    names = dict(enumerate(STATUS_FLAGS))
    return [names.get(bit, f"bit_{bit}") for bit in range(16) if status >> bit & 1]


def unfiltered_c(answer: ModbusAnswer) -> float:
    """The object temperature without the sensor's own averaging: for calibration, not for the gate."""
    return answer.signed_registers()[1] / 10


def event_of(model: str, result: ModbusAnswer | ModbusError, at_ns: int) -> TemperatureReading | DeviceFault:
    """What an exchange means; a fault of one exchange is transient."""
    if isinstance(result, ModbusError):
        return fault_of(model, result, at_ns)
    filtered, _, sensor, status = result.signed_registers()
    flags = status_flags(status & 0xFFFF)
    if flags:
        detail = f"{model}: status {', '.join(flags)}"
        return DeviceFault(kind=FaultKind.OUT_OF_RANGE, detail=detail, at_ns=at_ns, transient=True)
    return TemperatureReading(object_c=filtered / 10, ambient_c=sensor / 10, at_ns=at_ns)
