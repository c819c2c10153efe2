"""Readers that simply write the card's number as a line of text: many USB-serial readers, MFRC522 sketches, and
converters from Wiegand to serial.

A line ends with CR, LF, STX or ETX, or after 50 ms of silence for readers without a terminator. A label before a
colon or equals sign is passed over ("Card UID: 79 42 BD F2"); whatever is then not a number in the reader's form
(:class:`config.number_form.NumberForm`) is no card. A line may have 200 characters; a longer one is dropped whole.
"""

from __future__ import annotations

import re

from config.number_form import NumberForm
from drivers.cards.card_numbers import CardNumber, parse, tap_of
from drivers.cards.presentation import Presentations
from drivers.devices import Proven, Step

SILENCE_NS = 50_000_000
MAX_LINE = 200
_ENDS = re.compile(rb"[\r\n\x02\x03]")
_LABEL = re.compile(r"[:=]")


class Decoder:
    """Bytes to card numbers, for any cut of the stream."""

    def __init__(self, form: NumberForm) -> None:
        self.discarded = 0
        self._form = form
        self._line = bytearray()
        self._too_long = False

    @property
    def pending(self) -> bool:
        """A line has begun."""
        return bool(self._line)

    def feed(self, data: bytes, at_ns: int) -> list[CardNumber]:
        """Take the next bytes of the stream."""
        numbers = []
        *ended, rest = _ENDS.split(data)
        for part in ended:
            self._extend(part)
            numbers += self._end()
        self._extend(rest)
        return numbers

    def silence(self, at_ns: int) -> list[CardNumber]:
        """The reader paused: the line is over."""
        return self._end()

    def _extend(self, part: bytes) -> None:
        room = MAX_LINE - len(self._line)
        if len(part) > room:
            self._too_long = True
            self.discarded += len(part) - room
        self._line += part[:room]

    def _end(self) -> list[CardNumber]:
        line, too_long = bytes(self._line), self._too_long
        self._line.clear()
        self._too_long = False
        number = None
        if line and not too_long:
            text = line.decode("ascii", "replace").strip()
            number = parse(self._form, text) or parse(self._form, _LABEL.split(text, maxsplit=1)[-1])
        if number is None:
            self.discarded += len(line)
            return []
        return [number]


class SerialUidConversation:
    """One :class:`CardTap` a presentation. The reader says nothing without a card: the opening is all the proof.

    A form that does not tell every byte (26 bits) gives a tap with the three bytes that are known; the roster says
    whether they mean one card.
    """

    proof_timeout_s: float = 1.0

    def __init__(self, form: NumberForm, *, baud: int = 9600) -> None:
        self.baud_rates: tuple[int, ...] = (baud,)
        self._form = form
        self.begin(0)

    def begin(self, at_ns: int) -> list[Step]:
        """The port was opened afresh."""
        self._decoder = Decoder(self._form)
        self._presentations = Presentations()
        self._last_byte_ns = 0
        return [Proven(f"serial card reader, numbers as {self._form} (it can only be heard when a card is near)")]

    def receive(self, data: bytes, at_ns: int) -> list[Step]:
        """Bytes arrived."""
        self._last_byte_ns = at_ns
        return self._taps(self._decoder.feed(data, at_ns), at_ns)

    def wake_at_ns(self) -> int | None:
        """The end of a line without a terminator."""
        return self._last_byte_ns + SILENCE_NS if self._decoder.pending else None

    def wake(self, at_ns: int) -> list[Step]:
        """The reader paused."""
        if not self._decoder.pending or at_ns < self._last_byte_ns + SILENCE_NS:
            return []
        return self._taps(self._decoder.silence(at_ns), at_ns)

    def _taps(self, numbers: list[CardNumber], at_ns: int) -> list[Step]:
        return [tap_of(number, at_ns) for number in numbers if self._presentations.is_new(number.known, at_ns)]
