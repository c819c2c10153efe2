"""A QR scanner on a serial line: the text of each code, then CR, LF or both.

Any hand-held or built-in scanner in "USB virtual COM" or RS-232 mode does this as delivered (Zebra, Honeywell,
Newland, GM65-type modules: "suffix CR" or "CRLF"; 9600 baud 8N1 is the usual rate, USB ignores it). Such a scanner
says nothing until it has read something and has no common query, so its open port under a stable name is all the
proof there can be; set prefix, AIM identifier and key-wedge mode off.

A line may hold any bytes but CR and LF, so a binary payload with these bytes cannot come this way: prefer codes in
the alphanumeric set (HC1, GC1, GP1, shc are). Bounds: :data:`MAX_LINE_BYTES`; a line that stops for
:data:`LINE_SILENCE_S` without its end is thrown away, so two half texts are never joined.
"""

from __future__ import annotations

from drivers.devices import DeviceEvent, DeviceFault, FaultKind, Proven, QrText, Step
from drivers.qr import text_of

MAX_LINE_BYTES = 7089
"""The most that one QR symbol holds (version 40-L, digits)."""

LINE_SILENCE_S = 0.5
"""A scanner sends a line in one go; even at 9600 baud the gap between two bytes is a millisecond."""

_ENDS = frozenset(b"\r\n")
_CONTROL = frozenset(range(0x20)) - {0x09, 0x1C, 0x1D, 0x1E, 0x1F}  # tab and the GS1 separators may occur


class QrScannerDecoder:
    """Lines in, QrText out; ``discarded`` counts bytes that belonged to no acceptable line (not line ends)."""

    def __init__(self) -> None:
        self.discarded = 0
        self._line = bytearray()
        self._too_long = False
        self._offset = 0

    def feed(self, data: bytes, at_ns: int) -> list[DeviceEvent]:
        """See :class:`drivers.devices.Decoder`."""
        events: list[DeviceEvent] = []
        for byte in data:
            self._offset += 1
            if byte in _ENDS:
                events += self._finish(at_ns)
            elif len(self._line) < MAX_LINE_BYTES:
                self._line.append(byte)
            else:
                self._too_long = True
                self.discarded += 1
        return events

    def silence(self, at_ns: int) -> list[DeviceEvent]:
        """The line stopped in the middle: what there is of it is thrown away and reported."""
        if not self._line:
            return []
        return [self._reject("a line stopped in the middle", at_ns)]

    @property
    def in_line(self) -> bool:
        """A line was begun and has not ended."""
        return bool(self._line)

    def _finish(self, at_ns: int) -> list[DeviceEvent]:
        if not self._line:
            return []  # the second of CR LF, or an empty line
        if self._too_long:
            return [self._reject(f"a line of over {MAX_LINE_BYTES} bytes", at_ns)]
        if any(byte in _CONTROL for byte in self._line):
            return [self._reject("a line with control characters: wrong rate, or noise", at_ns)]
        data = bytes(self._line)
        self._line.clear()
        return [QrText(text=text_of(data), data=data, corners=(), engine="scanner", at_ns=at_ns)]

    def _reject(self, why: str, at_ns: int) -> DeviceFault:
        size = len(self._line)
        self.discarded += size
        offset = self._offset - size
        self._line.clear()
        self._too_long = False
        return DeviceFault(
            kind=FaultKind.GARBLED, detail=f"scanner: {why}, thrown away", at_ns=at_ns, offset=offset, transient=True
        )


class QrScannerConversation:
    """A listen-only conversation; one text held under the scanner's eye counts once within ``repeat_s``."""

    def __init__(self, *, baud_rate: int = 9600, repeat_s: float = 3.0) -> None:
        self.baud_rates: tuple[int, ...] = (baud_rate,)
        self.proof_timeout_s = 1.0
        self._repeat_ns = int(repeat_s * 1_000_000_000)
        self._decoder = QrScannerDecoder()
        self._heard_ns = 0
        self._last: tuple[bytes, int] = (b"", 0)

    def begin(self, at_ns: int) -> list[Step]:
        """See :class:`drivers.devices.Conversation`."""
        self._decoder = QrScannerDecoder()
        self._last = (b"", 0)
        return [Proven("port open; a scanner is silent until it has read a code")]

    def receive(self, data: bytes, at_ns: int) -> list[Step]:
        """See :class:`drivers.devices.Conversation`."""
        self._heard_ns = at_ns
        return [event for event in self._decoder.feed(data, at_ns) if self._is_new(event)]

    def _is_new(self, event: DeviceEvent) -> bool:
        if not isinstance(event, QrText):
            return True
        text, told_ns = self._last
        repeated = event.data == text and event.at_ns - told_ns < self._repeat_ns
        self._last = (event.data, event.at_ns)
        return not repeated

    def wake_at_ns(self) -> int | None:
        """See :class:`drivers.devices.Conversation`."""
        return self._heard_ns + int(LINE_SILENCE_S * 1e9) if self._decoder.in_line else None

    def wake(self, at_ns: int) -> list[Step]:
        """See :class:`drivers.devices.Conversation`."""
        due_ns = self.wake_at_ns()
        return [*self._decoder.silence(at_ns)] if due_ns is not None and at_ns >= due_ns else []
