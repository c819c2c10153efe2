"""The reader on the issuing desk: each card that is laid on it becomes the next person's."""

from __future__ import annotations

import queue
from collections.abc import Generator

from drivers.cards.desk_device import desk_device
from drivers.cards.ntag424 import NXP_PUBLIC_KEY
from drivers.cards.ntag424_ev2 import NotSupportedError
from drivers.cards.ntag424_issue import Issued, SiteKeys, desk_dialogue
from drivers.devices import CardHint, CardTap, DeviceEvent, DeviceFault, DeviceReady
from drivers.errors import DriverError
from kiosk.evidence import CardStrength
from kiosk.issuing import Bound, Desk, Refused

News = Bound | Refused | CardHint | DeviceFault | DeviceReady


class DeskReader:
    """A PN532 at ``port``, or ``pcsc:NAME``.

    ``strength`` is what the gates are to ask of the cards made here (``ev2`` or ``sun``; they can do both); ``legacy``
    binds cards that cannot be issued, as they are, as ``uid``.

    ``public_key`` None skips the check of NXP's signature (simulated cards). Raises PortError for an unstable name.
    """

    def __init__(
        self,
        port: str,
        desk: Desk,
        keys: SiteKeys,
        *,
        address: str,
        strength: CardStrength = CardStrength.EV2,
        legacy: bool = False,
        public_key: bytes | None = NXP_PUBLIC_KEY,
    ) -> None:
        self._desk = desk
        self._keys = keys
        self._address = address
        self._strength = strength
        self._legacy = legacy
        self._public_key = public_key
        self._events: queue.Queue[DeviceEvent | tuple[CardTap, Issued | DriverError]] = queue.Queue()
        self._reported: bytes | None = None
        self._device = desk_device(port, self._dialogue)

    def start(self) -> None:
        """Open the reader."""
        self._device.start(self._events.put)

    def stop(self) -> None:
        """Close it."""
        self._device.stop()

    def next(self, timeout_s: float) -> News | None:
        """What happened next; None when nothing did. Raises IssuingError when a card could not be written down."""
        try:
            event = self._events.get(timeout=timeout_s)
        except queue.Empty:
            return None
        match event:
            case (CardTap() as tap, result):
                return self._finished(tap, result)
            case CardTap() as tap:
                return self._bare(tap)
            case CardHint() | DeviceFault() | DeviceReady():
                return event
            case _:
                return None

    def _dialogue(self, tap: CardTap) -> Generator[bytes, bytes, None] | None:
        """In the reader's thread: issue what can be issued and is nobody's yet."""
        if not tap.ats or self._desk.holder_of(tap.uid) is not None or self._desk.next_person is None:
            return None

        def report(result: Issued | DriverError) -> None:
            self._reported = tap.uid
            self._events.put((tap, result))

        return desk_dialogue(self._keys, report, address=self._address, public_key=self._public_key)(tap)

    def _finished(self, tap: CardTap, result: Issued | DriverError) -> Bound | Refused:
        if isinstance(result, Issued):
            return self._desk.bind(tap.uid, self._strength)
        if self._legacy and isinstance(result, NotSupportedError):
            return self._desk.bind(tap.uid, CardStrength.UID)
        return Refused(tap.uid, str(result))

    def _bare(self, tap: CardTap) -> Bound | Refused | None:
        """A tap without an exchange, or the one that ends an exchange already told."""
        if tap.uid == self._reported:
            self._reported = None
            return None
        if tap.random_uid:
            return Refused(tap.uid, "a random number, as phones show: it names nobody")
        if tap.cards_in_field > 1:
            return Refused(tap.uid, "two cards on the reader")
        if self._legacy or self._desk.holder_of(tap.uid) is not None:
            return self._desk.bind(tap.uid, CardStrength.UID)
        return Refused(tap.uid, "a legacy card, whose number can be copied; --legacy binds it all the same")
