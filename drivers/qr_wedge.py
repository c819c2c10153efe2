"""A QR scanner that types: USB "keyboard wedge" scanners, read as an input device and kept from typing elsewhere.

As delivered nearly every hand scanner is a keyboard that types the text and Enter (``drivers/typed_input.py``). Keys
are read by the US layout, which is what scanners type unless configured otherwise.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from drivers.devices import DeviceEvent, Emit, QrText
from drivers.qr_scanner import QrScannerDecoder
from drivers.typed_input import ENTER_KEYS, KEY_DOWN, KEY_UP, LOST_KEYS, SHIFT_KEYS, Keys, TypedInput, grab_keys


def _row(first: int, plain: str, shifted: str) -> dict[int, tuple[str, str]]:
    """The keys of a row, whose codes follow each other."""
    return dict(enumerate(zip(plain, shifted, strict=True), first))


_LAYOUT: dict[int, tuple[str, str]] = {
    **_row(2, "1234567890-=", "!@#$%^&*()_+"),
    **_row(16, "qwertyuiop[]", "QWERTYUIOP{}"),
    **_row(30, "asdfghjkl;'`", 'ASDFGHJKL:"~'),
    **_row(43, "\\zxcvbnm,./", "|ZXCVBNM<>?"),
    57: (" ", " "),
    55: ("*", "*"),
    74: ("-", "-"),
    78: ("+", "+"),
}


class QrWedgeDecoder:
    """Key events in, QrText out; lines, bounds and ``discarded`` as in :class:`QrScannerDecoder`."""

    def __init__(self) -> None:
        self._line = QrScannerDecoder()
        self._keys = Keys()
        self._shifts: set[int] = set()

    @property
    def discarded(self) -> int:
        """Characters that belonged to no acceptable line."""
        return self._line.discarded

    def feed(self, data: bytes, at_ns: int) -> list[DeviceEvent]:
        """The next bytes of the device, cut anywhere."""
        events: list[DeviceEvent] = []
        for code, value, _ in self._keys.feed(data):
            if code in SHIFT_KEYS:
                (self._shifts.discard if value == KEY_UP else self._shifts.add)(code)
            elif value == KEY_DOWN:
                if code == LOST_KEYS:
                    self._shifts.clear()
                events += self._line.feed(self._typed(code), at_ns)
        return [self._named(event) for event in events]

    def silence(self, at_ns: int) -> list[DeviceEvent]:
        """The typing stopped in the middle of a line."""
        self._keys.silence()
        return self._line.silence(at_ns)

    def _typed(self, code: int) -> bytes:
        if code in ENTER_KEYS:
            return b"\n"
        pair = _LAYOUT.get(code)
        # what no text has (a function key, keys that the kernel lost) spoils the line, as a control character does
        return pair[bool(self._shifts)].encode("ascii") if pair else b"\x00"

    @staticmethod
    def _named(event: DeviceEvent) -> DeviceEvent:
        if isinstance(event, QrText):
            return QrText(text=event.text, data=event.data, corners=(), engine="wedge", at_ns=event.at_ns)
        return event


class QrWedge(TypedInput):
    """A ``Device``: the typing scanner at ``path``. One text within ``repeat_s`` counts once."""

    def __init__(
        self,
        name: str,
        path: str,
        *,
        repeat_s: float = 3.0,
        clock_ns: Callable[[], int] = time.monotonic_ns,
        grab: Callable[[int], object] = grab_keys,
    ) -> None:
        super().__init__(name, path, QrWedgeDecoder, clock_ns=clock_ns, grab=grab)
        self._repeat_ns = int(repeat_s * 1e9)
        self._last: tuple[bytes, int] = (b"", 0)

    def start(self, emit: Emit) -> None:
        """See :class:`drivers.devices.Device`."""

        def once(event: DeviceEvent) -> None:
            if not isinstance(event, QrText) or self._is_new(event):
                emit(event)

        super().start(once)

    def _is_new(self, code: QrText) -> bool:
        text, told_ns = self._last
        self._last = (code.data, code.at_ns)
        return code.data != text or code.at_ns - told_ns >= self._repeat_ns
