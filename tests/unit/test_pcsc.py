"""PC/SC readers over a fake service that holds simulated cards: the same proofs as at a PN532, without a reader."""

from __future__ import annotations

import queue
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from drivers.cards.ntag424 import CardKeys, ev2_dialogue, sun_dialogue
from drivers.cards.ntag424_issue import Issued, SiteKeys, desk_dialogue
from drivers.cards.pcsc import CardGoneError, PcscDevice, ServiceError, tap_of
from drivers.cards.pcsc_service import PyscardService
from drivers.devices import CardHint, CardTap, DeviceFault, DeviceReady, FaultKind, ProofOutcome
from drivers.simulators.ntag424_card import NtagCard, personalised
from drivers.simulators.pn532 import uid_card
from tests.fakes import FakeClock

UID = bytes.fromhex("04A1B2C3D4E5F6")
KEYS = CardKeys(gate_key=b"\x11" * 16, file_key=b"\x22" * 16)
META = b"\x33" * 16
ACR = "ACS ACR122U PICC Interface 00 00"
# PC/SC part 3, supplement: a MIFARE Classic 1K and a card of ISO/IEC 14443-4.
STORAGE_ATR = bytes.fromhex("3B8F8001804F0CA000000306030001000000006A")
CARD_ATR = bytes.fromhex("3B8180018080")


@dataclass
class FakeService:
    """Readers with a card on them, or none. ``left_after`` takes the card away after so many answers."""

    cards: dict[str, Any] = field(default_factory=lambda: {ACR: None})
    broken: ServiceError | None = None
    left_after: int | None = None

    def readers(self) -> list[str]:
        if self.broken is not None:
            raise self.broken
        return list(self.cards)

    def connect(self, reader: str) -> FakeConnection | None:
        card = self.cards[reader]
        return None if card is None else FakeConnection(self, card)


class FakeConnection:
    """A card in the field: the reader's own command for the UID, everything else to the card itself."""

    def __init__(self, service: FakeService, card: Any) -> None:
        self._service, self._card = service, card
        card.power_off()
        self.atr = CARD_ATR if card.ats else STORAGE_ATR

    def transmit(self, apdu: bytes) -> bytes:
        if apdu == bytes.fromhex("FFCA000000"):
            return bytes(self._card.uid) + b"\x90\x00"
        if self._service.left_after is not None:
            self._service.left_after -= 1
            if self._service.left_after < 0:
                raise CardGoneError("card")
        return bytes(self._card.apdu(apdu))

    def close(self) -> None:
        self._card.power_off()


class Desk:
    """The device without its thread; ``look`` is one poll, a tenth of a second after the last."""

    def __init__(
        self, dialogue: Any = None, service: Callable[[], Any] | None = None, reader: str = "ACS ACR122U"
    ) -> None:
        self.service, self.clock = FakeService(), FakeClock()
        self.device = PcscDevice(
            "in", reader, dialogue, service=service or (lambda: self.service), clock_ns=lambda: self.clock.mono_ns
        )

    def look(self, times: int = 1) -> list[Any]:
        events: list[Any] = []
        for _ in range(times):
            self.clock.advance(0.1)
            events += self.device.look()
        return events

    def lay(self, card: Any) -> None:
        self.service.cards[ACR] = card


def genuine(read_ctr: int = 0) -> NtagCard:
    return personalised(UID, gate_key=KEYS.gate_key, file_key=KEYS.file_key, meta_key=META, read_ctr=read_ctr)


@pytest.mark.parametrize("kind", ["ev2", "sun"])
def test_a_second_generation_card_proves_itself(kind: str) -> None:
    """Challenge and response, and the rolling code, through APDUs that the reader passes on."""
    keys = {UID: KEYS}
    desk = Desk(ev2_dialogue(keys.get) if kind == "ev2" else sun_dialogue(META, keys.get))
    assert [type(event) for event in desk.look()] == [DeviceReady]
    desk.lay(genuine())
    (tap,) = desk.look(10)
    assert (tap.uid, tap.proof.kind, tap.proof.outcome) == (UID, kind, ProofOutcome.GENUINE)
    desk.lay(None)
    assert desk.look(5) == []
    desk.lay(genuine(5))
    (tap,) = desk.look(3)
    assert tap.proof.outcome is ProofOutcome.GENUINE


def test_a_forged_and_a_legacy_card_do_not() -> None:
    """Another key is wrong; a card that takes no APDUs is not asked."""
    desk = Desk(ev2_dialogue({UID: KEYS, bytes.fromhex("11223344"): KEYS}.get))
    desk.look()
    desk.lay(personalised(UID, gate_key=b"\x99" * 16, file_key=KEYS.file_key, meta_key=META, read_ctr=0))
    (tap,) = desk.look(3)
    assert tap.proof.outcome is ProofOutcome.WRONG_KEY
    desk.lay(uid_card(bytes.fromhex("11223344")))
    (tap,) = desk.look(3)
    assert (tap.ats, tap.proof.outcome) == (b"", ProofOutcome.NOT_SUPPORTED)


@pytest.mark.parametrize("left_after", range(4))
def test_a_card_that_leaves_in_between_is_a_hint_and_counts_at_the_next_try(left_after: int) -> None:
    """Pulled away after any answer of the exchange; held longer, the same card is a tap."""
    desk = Desk(ev2_dialogue({UID: KEYS}.get))
    desk.look()
    desk.service.left_after = left_after
    desk.lay(genuine())
    first = desk.look()
    if desk.service.left_after < 0:
        assert [type(event) for event in first] == [CardHint]
        desk.service.left_after = None
        first = desk.look()
    (tap,) = first
    assert tap.proof.outcome is ProofOutcome.GENUINE


def test_a_held_card_is_one_presentation_and_a_random_number_names_nobody() -> None:
    """Ten seconds on the reader are one tap; a phone is told as such."""
    desk = Desk()
    desk.look()
    desk.lay(uid_card(bytes.fromhex("5AE2B3DE")))
    assert len(desk.look(100)) == 1
    desk.lay(uid_card(bytes.fromhex("08E2B3DE")))
    (tap,) = desk.look(2)
    assert tap.random_uid


def test_a_random_number_is_asked_nothing_and_an_endless_exchange_is_left() -> None:
    """No keys are looked for under a number of chance; 64 commands are more than issuing a card takes."""
    asked: list[bytes] = []

    def endless(tap: CardTap) -> Any:
        asked.append(tap.uid)
        while True:
            yield b"\x00\x00\x00\x00"

    desk = Desk(endless)
    desk.look()
    desk.lay(uid_card(bytes.fromhex("08E2B3DE")))
    assert [type(event) for event in desk.look()] == [CardTap]
    assert asked == []
    desk.lay(genuine())
    (hint,) = desk.look()
    assert isinstance(hint, CardHint)
    assert "endless" in hint.detail
    assert asked == [UID]


def test_unplugging_is_told_once_and_the_reader_comes_back_under_another_number() -> None:
    """The last digits of its name change with every plugging in; the beginning stays."""
    desk = Desk()
    desk.look()
    del desk.service.cards[ACR]
    faults = desk.look(5)
    assert [event.kind for event in faults] == [FaultKind.MISSING]
    desk.service.cards["ACS ACR122U PICC Interface 01 00"] = uid_card(UID)
    ready, tap = desk.look(2)
    assert isinstance(ready, DeviceReady)
    assert isinstance(tap, CardTap)


def test_two_readers_of_one_name_serve_nobody() -> None:
    """They could swap roles; more of the name, or one of a kind, is asked for."""
    desk = Desk()
    desk.service.cards["ACS ACR122U PICC Interface 01 00"] = None
    (fault,) = desk.look(3)
    assert isinstance(fault, DeviceFault)
    assert fault.kind is FaultKind.WRONG_DEVICE
    assert "2 readers" in fault.detail


def test_without_pyscard_or_its_service_the_fault_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """The extra is optional: a gate that names a PC/SC reader without it starts, and says why it is dark."""
    monkeypatch.setitem(sys.modules, "smartcard", None)
    (fault,) = Desk(service=PyscardService).look(3)
    assert (fault.kind, "gatepost[pcsc]" in fault.detail) == (FaultKind.MISSING, True)
    desk = Desk()
    desk.service.broken = ServiceError(FaultKind.SILENT, "is pcscd running?")
    (fault,) = desk.look(3)
    assert fault.kind is FaultKind.SILENT


def test_keys_that_cannot_be_read_are_a_fault_and_the_tap_is_told_without_a_proof() -> None:
    """As at a PN532: the verdict then says why."""

    def unreadable(_tap: CardTap) -> None:
        raise CardGoneError("keys")

    desk = Desk(unreadable)
    desk.look()
    desk.lay(genuine())
    fault, tap = desk.look()
    assert (fault.kind, fault.transient, tap.proof) == (FaultKind.REFUSED, True, None)


def test_a_storage_card_is_told_by_its_answer_to_reset() -> None:
    """The published ATR of a MIFARE Classic carries the workgroup's RID; a card with a chip has historical bytes."""
    assert tap_of(UID, STORAGE_ATR, 0).ats == b""
    assert tap_of(UID, CARD_ATR, 0).ats == CARD_ATR


def test_a_card_is_issued_on_a_pc_sc_reader_as_on_a_pn532() -> None:
    """The desk's whole dialogue; the card then opens under challenge and response."""
    site = SiteKeys("SITE01", card_master=bytes(range(16)), site_master=bytes(range(16, 32)))
    reports: list[Any] = []
    desk = Desk(desk_dialogue(site, reports.append, address="https://gate.example/p", public_key=None))
    card = NtagCard(UID)
    desk.look()
    desk.lay(card)
    desk.look(3)
    assert reports == [Issued(UID, 1, changed=True)]
    assert card.keys == site.all_of(UID)


def test_the_thread_starts_reports_and_stops() -> None:
    """The device as the rack uses it."""
    service, events = FakeService(), queue.Queue[Any]()
    service.cards[ACR] = uid_card(UID)
    device = PcscDevice("in", "ACS", service=lambda: service)
    device.start(events.put)
    try:
        assert isinstance(events.get(timeout=3), DeviceReady)
        assert events.get(timeout=3).uid == UID
    finally:
        device.stop()
    assert not any("pcsc-in" in thread.name for thread in threading.enumerate())
