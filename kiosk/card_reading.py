"""One card on the desk's reader: what it is, or only its number. Nothing on it is changed."""

from __future__ import annotations

import queue
import time
from collections.abc import Generator
from dataclasses import dataclass

from config.errors import GatepostError
from drivers.cards.desk_device import desk_device
from drivers.cards.ntag424 import NXP_PUBLIC_KEY
from drivers.cards.ntag424_inspect import CardState, Inspection, inspect
from drivers.cards.ntag424_issue import SiteKeys
from drivers.devices import CardHint, CardTap, DeviceEvent, DeviceFault
from drivers.errors import DriverError


class NoCardError(GatepostError):
    """No card was read in time, or what was read names nobody."""


@dataclass(frozen=True, slots=True)
class _Failed:
    """The exchange ended with an error."""

    error: DriverError


class CardReading:
    """A PN532 at ``port``, or ``pcsc:NAME``, asked for one card. ``keys`` and ``public_key`` as in :func:`inspect`."""

    def __init__(self, port: str, *, keys: SiteKeys | None = None, public_key: bytes | None = NXP_PUBLIC_KEY) -> None:
        self._keys = keys
        self._public_key = public_key
        self._events: queue.Queue[DeviceEvent | Inspection | _Failed] = queue.Queue()
        self._device = desk_device(port, self._dialogue)

    def read(self, timeout_s: float) -> Inspection:
        """Wait for a card. Raises NoCardError, and DriverError for a reader that fails or a card out of order."""
        self._device.start(self._events.put)
        try:
            return self._wait(time.monotonic() + timeout_s)
        finally:
            self._device.stop()

    def _wait(self, until_s: float) -> Inspection:
        seen = "no card on the reader"
        while True:
            try:
                event = self._events.get(timeout=max(0.0, until_s - time.monotonic()))
            except queue.Empty:
                raise NoCardError("reading a card", seen=seen, expected="a card laid on the reader") from None
            match event:
                case Inspection():
                    return event
                case _Failed(error=error):
                    raise error
                case CardTap(cards_in_field=count) if count > 1:
                    seen = "two cards on the reader"
                case CardTap(random_uid=True):
                    seen = "a random number, as phones show: it names nobody"
                case CardTap() if not event.ats:
                    return Inspection(uid=event.uid, state=CardState.LEGACY)
                case CardHint(detail=detail) | DeviceFault(detail=detail):
                    seen = detail
                case _:
                    pass

    def _dialogue(self, tap: CardTap) -> Generator[bytes, bytes, None] | None:
        """In the reader's thread; a card without ISO/IEC 14443-4 has nothing to be asked."""
        if not tap.ats:
            return None
        return self._asked(tap)

    def _asked(self, tap: CardTap) -> Generator[bytes, bytes, None]:
        try:
            found = yield from inspect(tap, self._keys, public_key=self._public_key)
        except DriverError as error:
            self._events.put(_Failed(error))
        else:
            self._events.put(found)
