"""GY-MCU90640: an MLX90640 thermal array, 32 x 24 pixels, behind a controller on a UART.

Source: maker's manual (English copy), two public Python drivers and one Node driver. Line: 8N1, 115200 baud (one
frame takes 134 ms) or 460800 (34 ms; needed for 8 Hz).

A frame, 1544 bytes, all words little-endian::

    5A 5A 02 06   768 x int16, 0.01 degC, row 1 column 1..32 ... row 24   TA int16   SUM uint16
                  SUM = 16-bit sum of the 771 words before it, header words included

An emissivity reply, four bytes, begins like a frame: 5A 5A E SUM (SUM = low byte of the sum of the three before).

Commands (A5 ... low byte of the sum): A5 25 0n rate 0.5, 1, 2, 4, 8 Hz; A5 35 01 DB query; A5 35 02 DC continuous;
A5 45 E SUM set emissivity; A5 55 01 FB ask for it; A5 65 01 0B save; A5 15 01..03 9600, 115200, 460800 baud.

The maker claims +-2 degC. A dead pixel is sent as -273.15 (or another constant); masking it is screening's business.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from drivers.devices import DeviceEvent, ThermalFrame
from drivers.thermometers.stream import StreamConversation

HEADER = b"\x5a\x5a"
LENGTH_FIELD = bytes.fromhex("0206")
COLUMNS, ROWS = 32, 24
PIXELS = COLUMNS * ROWS
FRAME_BYTES = 1544
REPLY_BYTES = 4
MODEL = "GY-MCU90640"
PERIOD_S = 0.25
"""At the rate that the conversation asks for."""

RATE_4_HZ = bytes.fromhex("a52503cd")
CONTINUOUS = bytes.fromhex("a53502dc")
QUERY = bytes.fromhex("a53501db")

_WORDS = struct.Struct(f"<{FRAME_BYTES // 2}H")
_VALUES = struct.Struct(f"<{PIXELS + 1}h")


@dataclass(frozen=True, slots=True, kw_only=True)
class EmissivityReply:
    """What the module reckons with, 0.01 to 1.00."""

    emissivity: float
    at_ns: int
    offset: int


def encode(pixels_centi_c: tuple[int, ...], ambient_c: float) -> bytes:
    """The frame for 768 pixels in hundredths of a degree Celsius."""
    body = HEADER + LENGTH_FIELD + _VALUES.pack(*pixels_centi_c, round(ambient_c * 100))
    total = sum(struct.unpack(f"<{len(body) // 2}H", body)) & 0xFFFF
    return bytes(body + total.to_bytes(2, "little"))


class Decoder:
    """Bytes in, :class:`ThermalFrame` out; the emissivity replies among them are kept aside."""

    def __init__(self) -> None:
        self._pending = b""
        self._offset = 0
        self.discarded = 0
        """Bytes thrown away so far."""
        self.emissivity: float | None = None
        """The last one that the module told."""

    @property
    def pending(self) -> int:
        """Bytes of a frame that has begun."""
        return len(self._pending)

    def feed(self, data: bytes, at_ns: int) -> list[DeviceEvent]:
        """Take the next bytes of the stream."""
        return self._events(self.parse(data, at_ns))

    def silence(self, at_ns: int) -> list[DeviceEvent]:
        """A frame that has begun will not be finished. (A reply may stand behind its torn beginning.)"""
        found: list[ThermalFrame | EmissivityReply] = []
        while self._pending:
            self._forget(1)
            self.discarded += 1
            found += self.parse(b"", at_ns)
        return self._events(found)

    def parse(self, data: bytes, at_ns: int) -> list[ThermalFrame | EmissivityReply]:
        """Like :meth:`feed`, with the emissivity replies in their place."""
        self._pending += data
        stream = self._pending
        found: list[ThermalFrame | EmissivityReply] = []
        position = 0
        while True:
            start = stream.find(HEADER, position)
            if start < 0:
                # The last byte may be the first of a header.
                start = max(position, len(stream) - stream.endswith(HEADER[:1]))
            self.discarded += start - position
            position = start
            size = self._size(stream, position)
            if size is None:
                break
            if size == 0:
                self.discarded += 1
                position += 1
                continue
            found.append(self._message(stream, position, size, at_ns))
            position += size
        self._forget(position)
        return found

    @staticmethod
    def _size(stream: bytes, at: int) -> int | None:
        """The length of the good message at ``at``: None while it is incomplete, 0 where there is none."""
        if len(stream) - at < REPLY_BYTES:
            return None
        if stream[at + 2 : at + 4] == LENGTH_FIELD:
            if len(stream) - at < FRAME_BYTES:
                return None
            words = _WORDS.unpack_from(stream, at)
            return FRAME_BYTES if sum(words[:-1]) & 0xFFFF == words[-1] else 0
        good = 1 <= stream[at + 2] <= 100 and sum(stream[at : at + 3]) & 0xFF == stream[at + 3]
        return REPLY_BYTES if good else 0

    def _message(self, stream: bytes, at: int, size: int, at_ns: int) -> ThermalFrame | EmissivityReply:
        offset = self._offset + at
        if size == REPLY_BYTES:
            return EmissivityReply(emissivity=stream[at + 2] / 100, at_ns=at_ns, offset=offset)
        *pixels, ambient_raw = _VALUES.unpack_from(stream, at + 4)
        return ThermalFrame(
            pixels_centi_c=tuple(pixels),
            columns=COLUMNS,
            ambient_c=ambient_raw / 100,
            at_ns=at_ns,
            offset=offset,
            raw=stream[at : at + size],
        )

    def _forget(self, count: int) -> None:
        self._pending = self._pending[count:]
        self._offset += count

    def _events(self, found: list[ThermalFrame | EmissivityReply]) -> list[DeviceEvent]:
        events: list[DeviceEvent] = []
        for item in found:
            if isinstance(item, EmissivityReply):
                self.emissivity = item.emissivity
            else:
                events.append(item)
        return events


class GyMcu90640Conversation(StreamConversation):
    """Four frames a second at 115200 or 460800 baud; two frames are the proof, a second without one is silence."""

    def __init__(self) -> None:
        super().__init__(
            Decoder,
            model=MODEL,
            baud_rates=(115200, 460800),
            period_s=PERIOD_S,
            first_words=RATE_4_HZ + CONTINUOUS,
            proof_frames=2,
            proof_timeout_s=1.2,
            silent_after_s=1.0,
        )
