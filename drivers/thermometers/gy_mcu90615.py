"""GY-MCU90615 and GY-MCU90614: an MLX9061x infrared sensor behind a small controller, on a UART.

Source: maker's sheet "GY-MCU90615 serial infrared temperature module" (protocol chapter), agreed by five public
drivers; its printed example is in the tests. Line: 8N1, 115200 or 9600 by batch (both are probed), 3.3 V levels.

One frame, ten a second in continuous mode::

    5A 5A 45 04  TOhi TOlo  TAhi TAlo  SUM      object and chip, signed 16 bit big-endian, 0.01 degC
                                                SUM = low byte of the sum of the eight bytes before

Commands (A5, command, low byte of the sum): A5 45 EA continuous; A5 15 BA one reading; A5 AE 53 9600 baud; A5 AF 54
115200 baud; A5 51 F6 and A5 52 F7 auto-send at power-up on and off. There is none for the emissivity.

The maker claims +-0.5 degC. TA is the chip's own temperature, not the air's. A newer "body" batch is said to send
longer frames: the length byte (04) is part of the header, so those are refused, not misread.
"""

from __future__ import annotations

import struct

from drivers.devices import DeviceEvent, DeviceFault, FaultKind, TemperatureReading
from drivers.thermometers.facts import SensorFacts
from drivers.thermometers.framing import SummedDecoder
from drivers.thermometers.stream import StreamConversation

HEADER = bytes.fromhex("5a5a4504")
FRAME_BYTES = 9
CONTINUOUS = bytes.fromhex("a545ea")
ONE_READING = bytes.fromhex("a515ba")
AUTO_SEND_ON = bytes.fromhex("a551f6")
AUTO_SEND_OFF = bytes.fromhex("a552f7")

FACTS_90615 = SensorFacts(
    model="GY-MCU90615",
    rate_hz=10.0,
    object_range_c=(-40.0, 115.0),
    ambient_range_c=(-40.0, 85.0),
    accuracy_c=0.5,
    resolution_c=0.02,
)
FACTS_90614 = SensorFacts(
    model="GY-MCU90614",
    rate_hz=10.0,
    object_range_c=(-70.0, 380.0),
    ambient_range_c=(-40.0, 125.0),
    accuracy_c=0.5,
    resolution_c=0.02,
)

_VALUES = struct.Struct(">hh")


def encode(object_c: float, ambient_c: float) -> bytes:
    """The frame that the module sends for these values (degrees Celsius, rounded to 0.01)."""
    body = HEADER + _VALUES.pack(round(object_c * 100), round(ambient_c * 100))
    return body + bytes([sum(body) & 0xFF])


class Decoder(SummedDecoder):
    """Bytes in, :class:`TemperatureReading` out; impossible values become a transient OUT_OF_RANGE fault."""

    def __init__(self, facts: SensorFacts = FACTS_90615) -> None:
        super().__init__(HEADER, FRAME_BYTES)
        self._model = facts.model
        self._object_raw = tuple(round(limit * 100) for limit in facts.object_range_c)
        self._ambient_raw = tuple(round(limit * 100) for limit in facts.ambient_range_c)

    def _event(self, frame: bytes, offset: int, at_ns: int) -> DeviceEvent:
        object_low, object_high = self._object_raw
        ambient_low, ambient_high = self._ambient_raw
        object_raw, ambient_raw = _VALUES.unpack_from(frame, 4)
        if not (object_low <= object_raw <= object_high and ambient_low <= ambient_raw <= ambient_high):
            detail = f"{self._model}: raw object {object_raw}, raw ambient {ambient_raw} (0.01 degC)"
            return DeviceFault(kind=FaultKind.OUT_OF_RANGE, detail=detail, at_ns=at_ns, offset=offset, transient=True)
        return TemperatureReading(
            object_c=object_raw / 100, ambient_c=ambient_raw / 100, at_ns=at_ns, offset=offset, raw=frame
        )


class GyMcu90615Conversation(StreamConversation):
    """Continuous mode at 115200 or 9600 baud, proven by three good frames, broken by a second without one."""

    def __init__(self, facts: SensorFacts = FACTS_90615) -> None:
        super().__init__(
            lambda: Decoder(facts),
            model=facts.model,
            baud_rates=(115200, 9600),
            period_s=1 / facts.rate_hz,
            first_words=CONTINUOUS,
        )
