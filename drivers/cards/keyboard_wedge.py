"""USB readers that pretend to be a keyboard and type the card's number, ended by Enter (``drivers/typed_input.py``).

A reader types faster than 60 ms a key, a person does not; what stops for longer is dropped.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from config.number_form import NumberForm
from drivers.cards.card_numbers import parse, tap_of
from drivers.cards.presentation import Presentations
from drivers.devices import DeviceEvent
from drivers.typed_input import ENTER_KEYS, KEY_DOWN, KEY_UP, LOST_KEYS, SHIFT_KEYS, Keys, TypedInput, grab_keys

KEY_GAP_NS = 60_000_000
MIN_LENGTH = 4
MAX_LENGTH = 40

_KEYS = dict(zip((2, 3, 4, 5, 6, 7, 8, 9, 10, 11), "1234567890", strict=True))
_KEYS |= dict(zip((79, 80, 81, 75, 76, 77, 71, 72, 73, 82), "1234567890", strict=True))
_KEYS |= dict(zip((30, 48, 46, 32, 18, 33), "abcdef", strict=True))
_KEYS |= {51: ",", 12: "-", 39: ";"}
_SHIFTED = {39: ":"}
_SPOILT = "?"
"""A sign that no number has."""


class Decoder:
    """Key events of one device to the texts that were typed by a reader; one decoder a device."""

    def __init__(self) -> None:
        self.discarded = 0
        self._text = ""
        self._shift = False
        self._last_ns = 0

    def key(self, code: int, value: int, at_ns: int) -> str | None:
        """Take one EV_KEY event; the text when Enter ends it."""
        if code in SHIFT_KEYS:
            self._shift = value != KEY_UP
            return None
        if value != KEY_DOWN:
            return None
        if at_ns - self._last_ns > KEY_GAP_NS:
            self._drop()
        elif at_ns < self._last_ns and self._text:
            code = LOST_KEYS  # nobody knows how long ago the keys before it were
        self._last_ns = at_ns
        if code in ENTER_KEYS:
            text, self._text = self._text, ""
            if len(text) >= MIN_LENGTH:
                return text
            self.discarded += len(text)
            return None
        if code == LOST_KEYS:  # the rest of a number is another number
            self._drop()
            self._text, self._shift = _SPOILT, False
            return None
        typed = _SHIFTED.get(code, _KEYS.get(code, _SPOILT).upper()) if self._shift else _KEYS.get(code, _SPOILT)
        if len(self._text) < MAX_LENGTH:
            self._text += typed
        return None

    def _drop(self) -> None:
        self.discarded += len(self._text)
        self._text = ""


class TypedCards:
    """The bytes of one opening of such a reader to taps: one a presentation. ``form`` says how it writes a number."""

    def __init__(self, form: NumberForm) -> None:
        self._form = form
        self._keys = Keys()
        self._decoder = Decoder()
        self._presentations = Presentations()

    def feed(self, data: bytes, at_ns: int) -> list[DeviceEvent]:
        """See :class:`drivers.typed_input.TypedDecoder`."""
        events: list[DeviceEvent] = []
        for code, value, key_ns in self._keys.feed(data):
            # The kernel's time stamps the key; a late thread must not make a reader look like a person.
            text = self._decoder.key(code, value, key_ns)
            number = parse(self._form, text) if text else None
            if number is not None and self._presentations.is_new(number.known, at_ns):
                events.append(tap_of(number, at_ns))
        return events

    def silence(self, at_ns: int) -> list[DeviceEvent]:
        """See :class:`drivers.typed_input.TypedDecoder`."""
        self._keys.silence()
        return []


class WedgeDevice(TypedInput):
    """A :class:`drivers.devices.Device`: a reader that types its cards' numbers in ``form``."""

    def __init__(
        self,
        name: str,
        path: str,
        form: NumberForm,
        *,
        clock_ns: Callable[[], int] = time.monotonic_ns,
        grab: Callable[[int], object] = grab_keys,
    ) -> None:
        super().__init__(name, path, lambda: TypedCards(form), clock_ns=clock_ns, grab=grab)
