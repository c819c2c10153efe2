"""GY-614V3: an MLX90614 behind a controller with registers, on a UART.

Source: maker's register sheet (two shop copies) and two public driver headers of one team; the four header bytes of
the continuous frame follow from the register map (read from 07, seven bytes). Line: 8N1, 9600 or 115200 as set.

One frame in continuous mode, twelve bytes::

    A4 03 07 07  E  TOhi TOlo  TAhi TAlo  BOhi BOlo  SUM
                 |  object     chip       "body"     low byte of the sum of the eleven before
                 emissivity in hundredths; temperatures signed big-endian, 0.01 degC

Write a register: A4 06 register value SUM. Register 03 is the mode: 0 continuous, 1 query.

``body_c`` is the module's own figure, bent towards normal; no decision rests on it.
"""

from __future__ import annotations

import struct

from drivers.devices import DeviceEvent, DeviceFault, FaultKind, TemperatureReading
from drivers.thermometers.facts import SensorFacts
from drivers.thermometers.framing import SummedDecoder
from drivers.thermometers.stream import StreamConversation

HEADER = bytes.fromhex("a4030707")
FRAME_BYTES = 12
CONTINUOUS = bytes.fromhex("a4060300ad")

FACTS = SensorFacts(
    model="GY-614V3",
    rate_hz=10.0,
    object_range_c=(-70.0, 380.0),
    ambient_range_c=(-40.0, 125.0),
    accuracy_c=0.5,
    resolution_c=0.02,
)

_VALUES = struct.Struct(">Bhhh")
_OBJECT_RAW = tuple(round(limit * 100) for limit in FACTS.object_range_c)
_AMBIENT_RAW = tuple(round(limit * 100) for limit in FACTS.ambient_range_c)


def encode(object_c: float, ambient_c: float, body_c: float, emissivity: float = 0.97) -> bytes:
    """The continuous frame for these values (degrees Celsius, rounded to 0.01)."""
    values = (round(value * 100) for value in (emissivity, object_c, ambient_c, body_c))
    body = HEADER + _VALUES.pack(*values)
    return body + bytes([sum(body) & 0xFF])


class Decoder(SummedDecoder):
    """Bytes in, :class:`TemperatureReading` out; impossible values become a transient OUT_OF_RANGE fault."""

    def __init__(self) -> None:
        super().__init__(HEADER, FRAME_BYTES)

    def _event(self, frame: bytes, offset: int, at_ns: int) -> DeviceEvent:
        emissivity_raw, object_raw, ambient_raw, body_raw = _VALUES.unpack_from(frame, len(HEADER))
        if not (_OBJECT_RAW[0] <= object_raw <= _OBJECT_RAW[1] and _AMBIENT_RAW[0] <= ambient_raw <= _AMBIENT_RAW[1]):
            detail = f"{FACTS.model}: raw object {object_raw}, raw ambient {ambient_raw} (0.01 degC)"
            return DeviceFault(kind=FaultKind.OUT_OF_RANGE, detail=detail, at_ns=at_ns, offset=offset, transient=True)
        return TemperatureReading(
            object_c=object_raw / 100,
            ambient_c=ambient_raw / 100,
            body_c=body_raw / 100,
            emissivity=emissivity_raw / 100,
            at_ns=at_ns,
            offset=offset,
            raw=frame,
        )


class Gy614V3Conversation(StreamConversation):
    """Continuous mode at 9600 or 115200 baud; the module must be set to 2 Hz or more (register 02)."""

    def __init__(self) -> None:
        super().__init__(
            Decoder,
            model=FACTS.model,
            baud_rates=(9600, 115200),
            period_s=1 / FACTS.rate_hz,
            first_words=CONTINUOUS,
            proof_frames=2,
            proof_timeout_s=1.3,
            silent_after_s=1.2,
        )
