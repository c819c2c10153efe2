"""DYP-A02YYUW ultrasonic distance sensor: how far a person stands, which opens the measuring window.

Source: maker's sheet (UART automatic output); one public tutorial misprints its example as 1697 mm. Line: 8N1, 9600
baud, a frame every 100 to 300 ms::

    FF  Hhi Hlo  SUM      millimetres, big-endian; SUM = low byte of the sum of the three bytes before
    FF  07  A1   A7       1953 mm

0 mm means no echo, or nearer than the blind zone (30 mm): a reading that says "unknown".
"""

from __future__ import annotations

from drivers.devices import DeviceEvent, DistanceReading
from drivers.thermometers.framing import SummedFrames
from drivers.thermometers.stream import StreamConversation

HEADER = b"\xff"
FRAME_BYTES = 4
MODEL = "DYP distance sensor"
PERIOD_S = 0.1


def encode(distance_mm: int) -> bytes:
    """The frame for a distance of 0 to 65535 mm."""
    body = HEADER + distance_mm.to_bytes(2, "big")
    return body + bytes([sum(body) & 0xFF])


class Decoder:
    """Bytes in, :class:`DistanceReading` out."""

    def __init__(self) -> None:
        self._frames = SummedFrames(HEADER, FRAME_BYTES)

    @property
    def discarded(self) -> int:
        """Bytes thrown away so far."""
        return self._frames.discarded

    @property
    def pending(self) -> int:
        """Bytes of a frame that has begun."""
        return self._frames.pending

    def feed(self, data: bytes, at_ns: int) -> list[DeviceEvent]:
        """Take the next bytes of the stream."""
        return [
            DistanceReading(distance_mm=int.from_bytes(frame[1:3], "big"), at_ns=at_ns, offset=offset)
            for offset, frame in self._frames.feed(data)
        ]

    def silence(self, at_ns: int) -> list[DeviceEvent]:
        """A frame that has begun will not be finished."""
        self._frames.silence()
        return []


class DypDistanceConversation(StreamConversation):
    """Three frames are the proof; the slowest unit sends every 300 ms."""

    def __init__(self) -> None:
        super().__init__(Decoder, model=MODEL, baud_rates=(9600,), period_s=PERIOD_S, proof_timeout_s=1.3, gap_s=0.04)
