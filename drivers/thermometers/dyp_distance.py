"""DYP-A02YYUW ultrasonic distance sensor: how far a person stands, which opens the measuring window.

Source: maker's sheet (UART automatic output); one public tutorial misprints its example as 1697 mm. Line: 8N1, 9600
baud, a frame every 100 to 300 ms::

    FF  Hhi Hlo  SUM      millimetres, big-endian; SUM = low byte of the sum of the three bytes before
    FF  07  A1   A7       1953 mm

0 mm means no echo, or nearer than the blind zone (30 mm): a reading that says "unknown".
"""

from __future__ import annotations

from drivers.devices import DeviceEvent, DistanceReading
from drivers.thermometers.framing import SummedDecoder
from drivers.thermometers.stream import StreamConversation

HEADER = b"\xff"
FRAME_BYTES = 4
MODEL = "DYP distance sensor"
PERIOD_S = 0.1


def encode(distance_mm: int) -> bytes:
    """The frame for a distance of 0 to 65535 mm."""
    body = HEADER + distance_mm.to_bytes(2, "big")
    return body + bytes([sum(body) & 0xFF])


class Decoder(SummedDecoder):
    """Bytes in, :class:`DistanceReading` out."""

    def __init__(self) -> None:
        super().__init__(HEADER, FRAME_BYTES)

    def _event(self, frame: bytes, offset: int, at_ns: int) -> DeviceEvent:
        return DistanceReading(distance_mm=int.from_bytes(frame[1:3], "big"), at_ns=at_ns, offset=offset)


class DypDistanceConversation(StreamConversation):
    """Three frames are the proof; the slowest unit sends every 300 ms."""

    def __init__(self) -> None:
        super().__init__(Decoder, model=MODEL, baud_rates=(9600,), period_s=PERIOD_S, proof_timeout_s=1.3, gap_s=0.04)
