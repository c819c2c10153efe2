"""Errors of the hardware floor: cable, bytes, device."""

from __future__ import annotations

from config.errors import GatepostError


class DriverError(GatepostError):
    """Root of what goes wrong between a wire and an event."""


class PortError(DriverError):
    """The port itself: missing, busy, not permitted, or gone."""


class FrameError(DriverError):
    """Bytes that break the protocol where an answer was demanded (decoders resynchronise instead)."""


class DeviceError(DriverError):
    """The device answered, and reports a fault of its own or refuses a command."""
