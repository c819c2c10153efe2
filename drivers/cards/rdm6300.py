"""RDM6300 and RDM630: readers of 125 kHz EM4100 cards, 9600 baud, 8N1. They send and never listen.

    02 | 10 hex digits: version (1 byte) and number (4 bytes) | 2 hex digits: XOR of the five bytes | 03

repeated every 50 to 65 ms while the card is near. Sources: ESPHome component rdm6300, arduino12/rdm6300, two forum
threads with recorded bytes (tests/vectors/cards/rdm6300.json). The number printed on the card is the four bytes in
decimal (ten digits), or their low three as ggg,nnnnn.

Such a card carries nothing but its number, which is copied in seconds: a "weak" pass.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from drivers.cards.presentation import Presentations
from drivers.devices import CardTap, Proven, Step

STX, ETX = 0x02, 0x03
DIGITS = 12
_HEX = frozenset(b"0123456789ABCDEFabcdef")


class Defect(StrEnum):
    """Why a frame was passed over."""

    CHECKSUM = "checksum"
    TRUNCATED = "truncated"
    CHARSET = "charset"
    LENGTH = "length"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tag:
    """A frame with a right checksum."""

    version: int
    number: bytes
    at_ns: int
    offset: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BadFrame:
    """A frame that began and was none."""

    defect: Defect
    at_ns: int
    offset: int


class Decoder:
    """Bytes of the reader to tags, for any cut of the stream.

    ``additive`` is for clones whose checksum is the sum instead of the XOR of the five bytes.
    """

    def __init__(self, *, additive: bool = False) -> None:
        self.discarded = 0
        self._additive = additive
        self._digits: bytearray | None = None
        self._begin = 0
        self._offset = 0

    def feed(self, data: bytes, at_ns: int) -> list[Tag | BadFrame]:
        """Take the next bytes of the stream."""
        events: list[Tag | BadFrame] = []
        for byte in data:
            event = self._take(byte, at_ns)
            if event is not None:
                events.append(event)
            self._offset += 1
        return events

    def silence(self, at_ns: int) -> list[Tag | BadFrame]:
        """A started frame will not be finished."""
        return [self._reject(Defect.TRUNCATED, at_ns)] if self._digits is not None else []

    def _take(self, byte: int, at_ns: int) -> Tag | BadFrame | None:
        digits = self._digits
        if byte == STX:
            rejected = self._reject(Defect.TRUNCATED, at_ns) if digits is not None else None
            self._digits, self._begin = bytearray(), self._offset
            return rejected
        if digits is None:
            self.discarded += 1
            return None
        if byte == ETX:
            return self._whole(bytes(digits), at_ns)
        digits.append(byte)
        if byte not in _HEX:
            return self._reject(Defect.CHARSET, at_ns)
        return self._reject(Defect.LENGTH, at_ns) if len(digits) > DIGITS else None

    def _whole(self, digits: bytes, at_ns: int) -> Tag | BadFrame:
        if len(digits) < DIGITS:
            return self._reject(Defect.TRUNCATED, at_ns, ending=1)
        raw = bytes.fromhex(digits.decode("ascii"))
        check = 0
        for byte in raw[:5]:
            check = (check + byte) & 0xFF if self._additive else check ^ byte
        if check != raw[5]:
            return self._reject(Defect.CHECKSUM, at_ns, ending=1)
        self._digits = None
        return Tag(version=raw[0], number=raw[1:5], at_ns=at_ns, offset=self._begin)

    def _reject(self, defect: Defect, at_ns: int, ending: int = 0) -> BadFrame:
        self.discarded += 1 + len(self._digits or b"") + ending
        self._digits = None
        return BadFrame(defect=defect, at_ns=at_ns, offset=self._begin)


class Rdm6300Conversation:
    """One :class:`CardTap` a presentation; its UID is the four bytes of the number.

    The reader says nothing without a card and answers nothing, so that the port's opening is all the proof there is.
    """

    baud_rates: tuple[int, ...] = (9600,)
    proof_timeout_s: float = 1.0

    def __init__(self, *, additive: bool = False) -> None:
        self._additive = additive
        self.begin(0)

    def begin(self, at_ns: int) -> list[Step]:
        """The port was opened afresh."""
        self._decoder = Decoder(additive=self._additive)
        self._presentations = Presentations()
        return [Proven("125 kHz reader (it can only be heard when a card is near)")]

    def receive(self, data: bytes, at_ns: int) -> list[Step]:
        """Bytes arrived."""
        return [
            CardTap(uid=event.number, at_ns=at_ns, offset=event.offset)
            for event in self._decoder.feed(data, at_ns)
            if isinstance(event, Tag) and self._presentations.is_new(event.number, at_ns)
        ]

    def wake_at_ns(self) -> int | None:
        """Never: a frame that stops half-way ends at the next one's first byte."""
        return None

    def wake(self, at_ns: int) -> list[Step]:
        """Nothing to do."""
        return []
