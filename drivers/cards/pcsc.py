"""Contactless cards on a PC/SC reader (ACR122U and the like): what is said to a card, and the device around it.

Reference: PC/SC part 3, 3.2.2.1.3 (FF CA 00 00 00: the UID) and its supplement (storage cards: an ATR with the RID
A0 00 00 03 06). APDUs go through to the card, so a PC/SC reader can ask a second-generation card for its proof as a
PN532 does. What talks to the system's service is :class:`Service`: ``pyscard`` at the gate
(``drivers/cards/pcsc_service.py``), a table of simulated cards in a test.

A PC/SC reader is named by its name, not by a path: "ACS ACR122U" finds "ACS ACR122U PICC Interface 00 00", whose last
digits change with every plugging in. A name that two readers bear is nobody's: readers must never swap roles.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from config.errors import GatepostError
from drivers.cards.pn532 import Dialogue
from drivers.cards.presentation import Presentations
from drivers.devices import CardHint, CardTap, DeviceEvent, DeviceFault, DeviceReady, Emit, FaultKind
from drivers.errors import DriverError

GET_UID = bytes.fromhex("FFCA000000")
STORAGE_CARD_RID = bytes.fromhex("A000000306")
POLL_S = 0.1
REOPEN_S = 0.5
MAX_APDUS = 64
"""More than issuing a card takes; a dialogue that goes on for longer is broken."""


class CardGoneError(DriverError):
    """The card left, or stopped answering, in mid-exchange."""


class ServiceError(DriverError):
    """The PC/SC service cannot be used; ``kind`` is the fault that people are told."""

    def __init__(self, kind: FaultKind, detail: str) -> None:
        super().__init__("PC/SC service", seen=detail)
        self.kind = kind


class Connection(Protocol):
    """A card that is being spoken to."""

    @property
    def atr(self) -> bytes:
        """The answer to reset that the reader makes up for a contactless card."""
        ...

    def transmit(self, apdu: bytes) -> bytes:
        """The card's answer, status word included. Raises CardGoneError."""
        ...

    def close(self) -> None:
        """Let go of the card; it stays powered."""
        ...


class Service(Protocol):
    """The system's smart-card service. Its methods raise ServiceError."""

    def readers(self) -> list[str]:
        """The names of all readers that are plugged in."""
        ...

    def connect(self, reader: str) -> Connection | None:
        """The card on this reader; None where there is none."""
        ...


# --- one card -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ReadCard:
    """What one reading told: the tap, or a hint; besides, a fault of the keys."""

    event: CardTap | CardHint
    fault: DeviceFault | None = None


def uid_of(connection: Connection) -> bytes:
    """The card's UID. Raises CardGoneError where the reader tells none."""
    answer = connection.transmit(GET_UID)
    uid = answer[:-2]
    if answer[-2:] != b"\x90\x00" or len(uid) not in (4, 7, 8, 10):
        raise CardGoneError("card on a PC/SC reader", seen=f"{answer[-2:].hex()}, {len(uid)} bytes", expected="a UID")
    return uid


def prove(connection: Connection, tap: CardTap, dialogue_for: Callable[[CardTap], Dialogue | None] | None) -> ReadCard:
    """Carry the dialogue of this tap to its card. Never raises: what goes wrong is a hint, or a tap without proof."""
    try:
        dialogue = None if dialogue_for is None or tap.random_uid else dialogue_for(tap)
    except GatepostError as error:  # the keys cannot be read: the tap is told without a proof, and so is the fault
        detail = f"card keys: {error}"
        return ReadCard(tap, DeviceFault(kind=FaultKind.REFUSED, detail=detail, at_ns=tap.at_ns, transient=True))
    if dialogue is None:
        return ReadCard(tap)
    answer: bytes | None = None
    try:
        for _ in range(MAX_APDUS):
            answer = connection.transmit(next(dialogue) if answer is None else dialogue.send(answer))
    except StopIteration as end:
        return ReadCard(replace(tap, proof=end.value))
    except GatepostError as error:
        return ReadCard(CardHint(detail=f"the card left before it had answered ({error})", at_ns=tap.at_ns))
    finally:
        dialogue.close()
    return ReadCard(CardHint(detail="an endless exchange", at_ns=tap.at_ns))


def tap_of(uid: bytes, atr: bytes, at_ns: int) -> CardTap:
    """The tap of a card. The ATR stands for the ATS of a card that takes APDUs; a storage card has none."""
    return CardTap(
        uid=uid,
        at_ns=at_ns,
        ats=b"" if STORAGE_CARD_RID in atr else atr,
        random_uid=len(uid) == 4 and uid[0] == 0x08,
    )


# --- the device -----------------------------------------------------------------------------------------------


class PcscDevice:
    """A :class:`drivers.devices.Device` on the reader whose name begins with ``reader``: one event a presentation."""

    def __init__(
        self,
        name: str,
        reader: str,
        dialogue: Callable[[CardTap], Dialogue | None] | None = None,
        *,
        service: Callable[[], Service],
        clock_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self.name = name
        self._reader = reader
        self._dialogue_for = dialogue
        self._make_service = service
        self._service: Service | None = None
        self._clock_ns = clock_ns
        self._emit: Emit = lambda _event: None
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()
        self._fault: FaultKind | None = None
        self._ready = ""
        self._presentations = Presentations()

    def start(self, emit: Emit) -> None:
        """Begin; faults arrive as events."""
        self._emit, self._fault, self._ready = emit, None, ""
        self._stopping.clear()
        self._thread = threading.Thread(target=self._run, name=f"pcsc-{self.name}", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread within a second."""
        thread, self._thread = self._thread, None
        self._stopping.set()
        if thread is not None:
            thread.join(1.0)

    def _run(self) -> None:
        while not self._stopping.is_set():
            for event in self.look():
                self._emit(event)
            self._stopping.wait(POLL_S if self._fault is None else REOPEN_S)

    def look(self) -> list[DeviceEvent]:
        """One look at the reader: what there is to tell."""
        try:
            if self._service is None:
                self._service = self._make_service()
            reader, events = self._found(self._service.readers())
            connection = self._service.connect(reader)
        except ServiceError as error:
            self._service = None
            return self._lost(error.kind, str(error))
        if connection is None:
            return events
        with contextlib.closing(connection):
            return events + self._read(connection)

    def _found(self, names: list[str]) -> tuple[str, list[DeviceEvent]]:
        """The reader's full name, and its readiness where that is news. Raises ServiceError."""
        mine = [name for name in names if name.startswith(self._reader)]
        if not mine:
            raise ServiceError(FaultKind.MISSING, f"no reader {self._reader!r}; plug it in, or see `pcsc_scan`")
        if len(mine) > 1:
            detail = f"{len(mine)} readers are called {self._reader!r}: give more of the name, or use one of a kind"
            raise ServiceError(FaultKind.WRONG_DEVICE, detail)
        if self._fault is None and self._ready == mine[0]:
            return mine[0], []
        self._fault, self._ready = None, mine[0]
        self._presentations = Presentations()
        return mine[0], [DeviceReady(detail=f"PC/SC reader {mine[0]}", at_ns=self._clock_ns())]

    def _read(self, connection: Connection) -> list[DeviceEvent]:
        try:
            uid, atr = uid_of(connection), connection.atr
        except CardGoneError:
            return []  # it left between two polls: nobody's presentation
        now_ns = self._clock_ns()
        if not self._presentations.is_new(uid, now_ns):
            return []
        read = prove(connection, tap_of(uid, atr, now_ns), self._dialogue_for)
        if isinstance(read.event, CardHint):
            self._presentations = Presentations()  # asked again while it stays
        else:
            self._presentations.is_new(uid, self._clock_ns())  # the exchange took its time; the card is still there
        return [*([read.fault] if read.fault else []), read.event]

    def _lost(self, kind: FaultKind, detail: str) -> list[DeviceEvent]:
        if self._fault is kind:
            return []
        self._fault, self._ready = kind, ""
        return [DeviceFault(kind=kind, detail=detail, at_ns=self._clock_ns())]
