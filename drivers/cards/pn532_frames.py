"""Frames of a PN532 on its serial line (HSU): what is sent, and what a stream of bytes holds.

Reference: NXP UM0701-02 "PN532 User Manual", section 6.2.1.

    normal     00 | 00 FF | LEN | LCS | TFI PD0 .. PDn | DCS | 00    LEN+LCS = 0, TFI+PD+DCS = 0 (mod 256)
    extended   00 | 00 FF | FF FF | LENM LENL | LCS | TFI PD .. | DCS | 00          LENM+LENL+LCS = 0
    ACK        00 | 00 FF | 00 FF | 00               (sent by the host it aborts the running command)
    NACK       00 | 00 FF | FF 00 | 00               (asks the other side to repeat its last frame)
    error      00 | 00 FF | 01 FF 7F 81 | 00         (the chip could not read the command)

TFI is D4 from the host and D5 from the chip; an answer carries the command's code plus one. Preamble and
postamble are optional here, because adapters lose them. What breaks the rules costs one byte: the search goes
on behind the failed start code, so that a damaged frame never swallows the good one after it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from drivers.errors import FrameError

ACK = bytes.fromhex("0000FF00FF00")
NACK = bytes.fromhex("0000FFFF0000")
ERROR = bytes.fromhex("0000FF01FF7F8100")
HOST_TFI = 0xD4
CHIP_TFI = 0xD5
MAX_LENGTH = 265  # TFI, code and 263 bytes: the most that InDataExchange carries (UM0701-02, 6.2.1.2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ack:
    """The other side has read our frame (or, from the host, wants its command aborted)."""

    at_ns: int
    offset: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Nack:
    """The other side could not read our last frame."""

    at_ns: int
    offset: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorFrame:
    """The chip read the frame but not the command in it."""

    at_ns: int
    offset: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A whole frame with good checksums: an answer of the chip (or, in a simulator, a command of the host)."""

    code: int
    data: bytes
    at_ns: int
    offset: int


class Defect(StrEnum):
    """Why bytes were passed over."""

    ECHO = "echo"
    """A good frame of our own direction: half-duplex adapters echo what we send."""
    DATA_CHECKSUM = "data_checksum"
    LENGTH_CHECKSUM = "length_checksum"
    TRUNCATED = "truncated"
    UNKNOWN_SENDER = "unknown_sender"


@dataclass(frozen=True, slots=True, kw_only=True)
class BadFrame:
    """Bytes that began like a frame and were none of ours."""

    defect: Defect
    at_ns: int
    offset: int


Frame = Ack | Nack | ErrorFrame | Message | BadFrame


def frame(payload: bytes) -> bytes:
    """Wrap TFI, code and data. The extended form is used only where the length does not fit in one byte."""
    if not 2 <= len(payload) <= MAX_LENGTH:
        raise FrameError("PN532 frame", seen=f"{len(payload)} bytes", expected=f"2 to {MAX_LENGTH}")
    checksum = -sum(payload) & 0xFF
    if len(payload) <= 255:
        header = bytes((len(payload), -len(payload) & 0xFF))
    else:
        high, low = divmod(len(payload), 256)
        header = bytes((0xFF, 0xFF, high, low, -(high + low) & 0xFF))
    return b"\x00\x00\xff" + header + payload + bytes((checksum, 0))


class Decoder:
    """Bytes of a PN532 to frames, for any cut of the stream.

    ``sender`` is the TFI of the side listened to: the chip for the kiosk, the host for the simulator. Zero bytes
    between frames are preambles and postambles and do not count as discarded.
    """

    def __init__(self, sender: int = CHIP_TFI) -> None:
        self.discarded = 0
        self._sender = sender
        self._buffer = bytearray()
        self._offset = 0  # of the buffer's first byte in the stream

    @property
    def pending(self) -> bool:
        """A frame has begun; :meth:`silence` would drop it."""
        return len(self._buffer) > 1

    def feed(self, data: bytes, at_ns: int) -> list[Frame]:
        """Take the next bytes of the stream."""
        self._buffer += data
        return self._scan(at_ns, at_end=False)

    def silence(self, at_ns: int) -> list[Frame]:
        """No byte came for the inter-byte time-out: a started frame will not be finished; look again inside it."""
        frames = self._scan(at_ns, at_end=True)
        self._drop(len(self._buffer))
        return frames

    def _scan(self, at_ns: int, *, at_end: bool) -> list[Frame]:
        frames: list[Frame] = []
        while True:
            start = self._buffer.find(b"\x00\xff")
            if start < 0:
                self._drop(len(self._buffer) - self._buffer.endswith(b"\x00"))
                return frames
            self._drop(start)
            found = self._parse(at_ns)
            if found is None:
                if not at_end:
                    return frames
                found = (BadFrame(defect=Defect.TRUNCATED, at_ns=at_ns, offset=self._offset), 0)
            event, length = found
            frames.append(event)
            if length:
                self._consume(length)
            else:
                self._drop(1)

    def _parse(self, at_ns: int) -> tuple[Frame, int] | None:
        """The frame at the buffer's start code and its length; length 0 for a broken one, None for more bytes."""
        buffer, offset = self._buffer, self._offset
        bad_length = BadFrame(defect=Defect.LENGTH_CHECKSUM, at_ns=at_ns, offset=offset), 0
        if len(buffer) < 4:
            return None
        length, check = buffer[2], buffer[3]
        if (length, check) == (0x00, 0xFF):
            return Ack(at_ns=at_ns, offset=offset), 4
        if (length, check) == (0xFF, 0x00):
            return Nack(at_ns=at_ns, offset=offset), 4
        body = 4
        if (length, check) == (0xFF, 0xFF):
            if len(buffer) < 7:
                return None
            length, check, body = buffer[4] * 256 + buffer[5], buffer[6], 7
            if (buffer[4] + buffer[5] + check) & 0xFF or length > MAX_LENGTH:
                return bad_length
        elif (length + check) & 0xFF:
            return bad_length
        if not length:
            return bad_length
        end = body + length + 1
        if len(buffer) < end:
            return None
        if sum(buffer[body:end]) & 0xFF:
            return BadFrame(defect=Defect.DATA_CHECKSUM, at_ns=at_ns, offset=offset), 0
        payload = bytes(buffer[body : end - 1])
        if payload == b"\x7f":
            return ErrorFrame(at_ns=at_ns, offset=offset), end
        if payload[0] == self._sender and len(payload) >= 2:
            return Message(code=payload[1], data=payload[2:], at_ns=at_ns, offset=offset), end
        ours = payload[0] in (HOST_TFI, CHIP_TFI)
        return BadFrame(defect=Defect.ECHO if ours else Defect.UNKNOWN_SENDER, at_ns=at_ns, offset=offset), end

    def _consume(self, count: int) -> None:
        del self._buffer[:count]
        self._offset += count

    def _drop(self, count: int) -> None:
        self.discarded += count - self._buffer.count(0, 0, count)
        self._consume(count)
