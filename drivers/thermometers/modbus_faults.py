"""A failed Modbus exchange in the words of the floors above."""

from __future__ import annotations

from drivers.devices import DeviceFault, FaultKind
from drivers.modbus_rtu import ModbusError, ModbusFault


def fault_of(model: str, error: ModbusError, at_ns: int) -> DeviceFault:
    """A failed exchange as a transient fault."""
    kind = {ModbusFault.TIMEOUT: FaultKind.SILENT, ModbusFault.EXCEPTION: FaultKind.REFUSED}.get(
        error.fault, FaultKind.GARBLED
    )
    return DeviceFault(kind=kind, detail=f"{model}: {error.detail}", at_ns=at_ns, transient=True)
