"""Cutting fixed-length frames, ended by the low byte of their sum, out of a dirty byte stream.

Four of the point sensors differ only in header and length. The rules, the same for all of them:

* a candidate begins at the first whole header; what comes before it is discarded;
* a candidate whose sum is wrong loses ONE byte and the search goes on behind it, because the next good frame may
  begin inside it (a byte lost, a frame cut short, a stray header byte glued before the header);
* at most one incomplete candidate waits, so that the memory is bounded by one frame;
* silence on the line ends a waiting candidate: its missing bytes would come from another frame.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from drivers.devices import DeviceEvent


class SummedFrames:
    """``feed`` returns ``(offset in the stream, whole frame)`` pairs; their cut in time does not matter."""

    def __init__(self, header: bytes, size: int) -> None:
        self._header = header
        self._size = size
        self._pending = b""
        self._offset = 0
        self.discarded = 0
        """Bytes thrown away so far."""

    @property
    def pending(self) -> int:
        """Bytes of a frame that has begun and may still be completed."""
        return len(self._pending)

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """Take the next bytes; returns the good frames that they complete."""
        header, size = self._header, self._size
        stream = self._pending + data
        length, base = len(stream), self._offset
        frames = []
        position = discarded = 0
        while True:
            start = stream.find(header, position)
            if start < 0:
                start = length - _begun_header(stream[position:], header)
                discarded += start - position
                position = start
                break
            discarded += start - position
            position = start + size
            if position > length:
                position = start
                break
            frame = stream[start:position]
            if (sum(frame) - frame[-1]) & 0xFF == frame[-1]:
                frames.append((base + start, frame))
            else:
                discarded += 1
                position = start + 1
        self._pending = stream[position:]
        self._offset = base + position
        self.discarded += discarded
        return frames

    def silence(self) -> None:
        """What waits will not be completed: discard it. (It is shorter than a frame, so no frame hides in it.)"""
        self.discarded += len(self._pending)
        self._offset += len(self._pending)
        self._pending = b""


class SummedDecoder(ABC):
    """A decoder (:class:`drivers.devices.Decoder`) of such frames, each of which is one event."""

    def __init__(self, header: bytes, size: int) -> None:
        self._frames = SummedFrames(header, size)

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
        return [self._event(frame, offset, at_ns) for offset, frame in self._frames.feed(data)]

    def silence(self, at_ns: int) -> list[DeviceEvent]:
        """A frame that has begun will not be finished."""
        self._frames.silence()
        return []

    @abstractmethod
    def _event(self, frame: bytes, offset: int, at_ns: int) -> DeviceEvent:
        """What a whole frame with a right sum says."""


def _begun_header(tail: bytes, header: bytes) -> int:
    """How many bytes at the end of ``tail`` may be the beginning of ``header``."""
    for length in range(min(len(header) - 1, len(tail)), 0, -1):
        if tail.endswith(header[:length]):
            return length
    return 0
