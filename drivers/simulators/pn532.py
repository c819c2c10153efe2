"""A PN532 and the cards before it, on the other side of the wire.

It behaves as the chip does towards a host (UM0701-02): asleep until a 55 comes, an ACK at once, the answer after
the time that the air needs, a host's ACK aborts, a host's NACK gets the last answer again, one command at a time.
A card that was listed is not listed again until the field was off: that is the strictest of the behaviours that
cards show, so a driver that works here works with the kinder ones.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from drivers.cards import pn532_frames
from drivers.cards.pn532_commands import Code
from drivers.cards.pn532_type_b import ID_NUMBER_APDU, ID_NUMBER_BYTES, TYPE_B_106
from drivers.simulators.ntag424_card import personalised
from drivers.simulators.registry import Spec

ACK_DELAY_NS = 600_000
COMMAND_NS = 500_000
ACTIVATION_NS = 5_000_000  # one anticollision try that meets no card
LISTED_NS = 12_000_000  # anticollision and selection of one card with a 7-byte UID
RATS_NS = 5_000_000
AIR_BYTE_NS = 90_000  # 106 kbit/s with parity and framing
CARD_NS = 2_000_000  # a card's own time for a command; NTAG 424 DNA takes longer for cryptography, see docs/cards.md
GONE_STATUS = 0x01
DEFAULT_ATS = bytes.fromhex("067777710280")


class SimulatedCard(Protocol):
    """A card as it answers on the air."""

    uid: bytes
    atqa: int
    sak: int
    ats: bytes

    def power_off(self) -> None:
        """The field is gone: forget every session."""
        ...

    def apdu(self, command: bytes) -> bytes:
        """Answer one ISO/IEC 7816-4 command, status word included; called only for cards with an ATS."""
        ...


@dataclass(slots=True)
class UidCard:
    """A card that knows no command: its UID is all there is. 4-byte UIDs answer as MIFARE Classic 1K."""

    uid: bytes
    atqa: int = 0x0004
    sak: int = 0x08
    ats: bytes = b""

    def power_off(self) -> None:
        """Nothing to forget."""

    def apdu(self, command: bytes) -> bytes:
        """Instruction not supported."""
        return b"\x6d\x00"


def uid_card(uid: bytes) -> UidCard:
    """A card by its UID: 4 bytes as MIFARE Classic, 7 or 10 as a type 4 tag without an application."""
    if len(uid) not in (4, 7, 10):
        raise ValueError(f"a UID has 4, 7 or 10 bytes, this one has {len(uid)}")
    return UidCard(uid) if len(uid) == 4 else UidCard(uid, 0x0344, 0x20, DEFAULT_ATS)


@dataclass(slots=True)
class TypeBCard:
    """A type B card. A resident ID card has a PUPI of zeros and eight bytes of its own; ``uid`` is what it tells."""

    uid: bytes
    pupi: bytes = bytes(4)
    atqa: int = 0
    sak: int = 0
    ats: bytes = b""

    def power_off(self) -> None:
        """Nothing to forget."""

    def apdu(self, command: bytes) -> bytes:
        """The number of an ID card; nothing else."""
        return self.uid + b"\x90\x00" if command == ID_NUMBER_APDU and len(self.uid) == ID_NUMBER_BYTES else b"\x6d\x00"

    @property
    def listed(self) -> bytes:
        """ATQB and the answer to ATTRIB, as in a list of the reader (the ID card's own answer is 08)."""
        return b"\x50" + self.pupi + bytes.fromhex("D103860C008080") + b"\x01\x08"


@dataclass(slots=True)
class _Held:
    card: SimulatedCard
    until_ns: int
    tg: int = 0


class Pn532Player:
    """The device model (:mod:`drivers.simulators.wire` gives it a wire). Times are monotonic nanoseconds.

    A control line's ``card`` (``gate_key``, ``file_key``, ``meta_key`` in hex, ``read_ctr``) makes the card an
    NTAG 424 DNA with those keys; it is remembered by its UID, so that its counter goes on at the next tap. With
    ``copy`` true it is another chip: it tells the same UID, and has no application and no key.
    """

    def __init__(self) -> None:
        self._issued: dict[bytes, SimulatedCard] = {}
        self._host = pn532_frames.Decoder(sender=pn532_frames.HOST_TFI)
        self._awake = False
        self._tries = 0xFF
        self._arrivals: list[tuple[SimulatedCard, int]] = []
        self._field: list[_Held] = []
        self._removed = False
        self._last_answer = b""
        self._queue: list[tuple[int, Callable[[int], bytes | None]]] = []
        self._now_ns = 0

    # The wire's side.

    def received(self, data: bytes, at_ns: int) -> list[bytes]:
        """Bytes of the host."""
        self._tick(at_ns)
        if not self._awake:
            wake = data.find(b"\x55")
            if wake < 0:
                return []
            self._awake, data = True, data[wake:]
        for event in self._host.feed(data, at_ns):
            match event:
                case pn532_frames.Ack():
                    self._queue.clear()
                case pn532_frames.Nack():
                    self._after(ACK_DELAY_NS, self._repeat)
                case pn532_frames.Message(code=code, data=params):
                    self._command(code, params)
                case _:
                    pass  # a frame with a wrong checksum is not acknowledged, that is all
        return []

    def due_ns(self) -> int | None:
        """When the next bytes will be ready."""
        return self._queue[0][0] if self._queue else None

    def due(self, at_ns: int) -> list[bytes]:
        """The bytes that are ready by now."""
        self._tick(at_ns)
        out: list[bytes] = []
        while self._queue and self._queue[0][0] <= at_ns:
            when, make = self._queue.pop(0)
            data = make(max(when, at_ns))
            if data:
                out.append(data)
        return out

    def command(self, line: dict[str, Any]) -> dict[str, Any]:
        """``{"do": "tap", "uid": hex, "hold_ms": 300}`` puts a card in the field; ``"remove"`` takes all away."""
        match line.get("do"):
            case "tap":
                try:
                    uid = bytes.fromhex(str(line["uid"]))
                    card = self._card_of(uid, line)
                    hold_ms = int(line.get("hold_ms", 300))
                except (KeyError, TypeError, ValueError) as error:
                    raise ValueError(f"tap needs a uid of 4, 7 or 10 bytes in hex, and hold_ms: {error!r}") from error
                self.put(card, hold_ms * 1_000_000)
            case "remove":
                self._arrivals.clear()
                self._removed = True
            case "power_on":
                self._power_on()
            case other:
                raise ValueError(f"a PN532 cannot {other!r}; it knows tap, remove and power_on")
        return {}

    def _card_of(self, uid: bytes, line: dict[str, Any]) -> SimulatedCard:
        if line.get("type") == "b":
            return TypeBCard(uid)
        if line.get("copy"):
            return uid_card(uid)
        keyed = line.get("card")
        if keyed is None:
            return self._issued.get(uid) or uid_card(uid)
        gate_key, file_key, meta_key = (bytes.fromhex(keyed[name]) for name in ("gate_key", "file_key", "meta_key"))
        if len(uid) != 7 or not len(gate_key) == len(file_key) == len(meta_key) == 16:
            raise ValueError("an NTAG 424 DNA has a UID of 7 bytes and keys of 16")
        read_ctr = int(keyed.get("read_ctr", 0))
        self._issued[uid] = personalised(
            uid, gate_key=gate_key, file_key=file_key, meta_key=meta_key, read_ctr=read_ctr
        )
        return self._issued[uid]

    def put(self, card: SimulatedCard, hold_ns: int) -> None:
        """Bring a card into the field for a time that starts with the wire's next tick."""
        self._arrivals.append((card, hold_ns))

    # The chip.

    def _power_on(self) -> None:
        self._awake = False
        self._tries = 0xFF
        self._host = pn532_frames.Decoder(sender=pn532_frames.HOST_TFI)
        self._queue.clear()
        self._field_off()

    def _tick(self, at_ns: int) -> None:
        self._now_ns = at_ns
        if self._removed:
            self._field_off()
            self._field.clear()
            self._removed = False
        self._field += [_Held(card, at_ns + hold_ns) for card, hold_ns in self._arrivals]
        self._arrivals.clear()
        for held in self._field:
            if held.until_ns <= at_ns:
                held.card.power_off()
        self._field = [held for held in self._field if held.until_ns > at_ns]

    def _after(self, delay_ns: int, make: Callable[[int], bytes | None]) -> None:
        self._queue.append((self._now_ns + delay_ns, make))
        self._queue.sort(key=lambda entry: entry[0])

    def _repeat(self, at_ns: int) -> bytes | None:
        return self._last_answer or None

    def _command(self, code: int, params: bytes) -> None:
        self._queue.clear()  # a new command replaces the running one
        self._after(ACK_DELAY_NS, lambda _: pn532_frames.ACK)
        match code:
            case Code.GET_FIRMWARE_VERSION:
                self._answer(COMMAND_NS, code, b"\x32\x01\x06\x07")
            case Code.SAM_CONFIGURATION:
                self._answer(COMMAND_NS, code, b"")
            case Code.RF_CONFIGURATION:
                self._configure(params)
                self._answer(COMMAND_NS, code, b"")
            case Code.IN_LIST_PASSIVE_TARGET if len(params) == 3 and params[:2] == bytes((1, TYPE_B_106)):
                self._list(1, 0, type_b=True)
            case Code.IN_LIST_PASSIVE_TARGET if len(params) == 2 and 1 <= params[0] <= 2 and not params[1]:
                self._list(params[0], 0)
            case Code.IN_COMMUNICATE_THRU:
                self._exchange(1, params, Code.IN_COMMUNICATE_THRU)
            case Code.IN_DATA_EXCHANGE if params:
                self._exchange(params[0], params[1:])
            case _:
                self._after(ACK_DELAY_NS + COMMAND_NS, lambda _: pn532_frames.ERROR)

    def _answer(self, delay_ns: int, code: int, data: bytes) -> None:
        def make(_: int) -> bytes:
            self._last_answer = pn532_frames.frame(bytes((pn532_frames.CHIP_TFI, code + 1)) + data)
            return self._last_answer

        self._after(ACK_DELAY_NS + delay_ns, make)

    def _configure(self, params: bytes) -> None:
        if params[:2] == b"\x01\x00":
            self._field_off()
        elif len(params) == 4 and params[0] == 0x05:
            self._tries = params[3]

    def _field_off(self) -> None:
        for held in self._field:
            held.tg = 0
            held.card.power_off()

    def _list(self, most: int, tried: int, *, type_b: bool = False) -> None:
        """One anticollision try; without a card the next follows, FF tries meaning for ever."""

        def look(at_ns: int) -> bytes | None:
            found = [held for held in self._field if not held.tg and isinstance(held.card, TypeBCard) is type_b][:most]
            if found:
                self._listed(found)
            elif self._tries != 0xFF and tried >= self._tries:
                self._answer(0, Code.IN_LIST_PASSIVE_TARGET, b"\x00")
            else:
                self._list(most, tried + 1, type_b=type_b)
            return None

        self._after(ACK_DELAY_NS + ACTIVATION_NS, look)

    def _listed(self, found: list[_Held]) -> None:
        data, delay_ns = bytes((len(found),)), 0
        for held in self._field:
            held.tg = 0
        for number, held in enumerate(found, start=1):
            card, held.tg = held.card, number
            if isinstance(card, TypeBCard):
                data += bytes((number,)) + card.listed
                delay_ns += LISTED_NS
                continue
            data += bytes((number,)) + card.atqa.to_bytes(2) + bytes((card.sak, len(card.uid))) + card.uid + card.ats
            delay_ns += LISTED_NS + (RATS_NS if card.ats else 0)
        self._answer(delay_ns, Code.IN_LIST_PASSIVE_TARGET, data)

    def _exchange(self, tg: int, apdu: bytes, code: int = Code.IN_DATA_EXCHANGE) -> None:
        listed = next((held for held in self._field if held.tg == tg), None)
        if listed is None or not (listed.card.ats or isinstance(listed.card, TypeBCard)):
            self._answer(CARD_NS, code, bytes((GONE_STATUS,)))
            return

        def meet(_: int) -> bytes | None:
            if listed not in self._field or listed.tg != tg:
                self._answer(CARD_NS, code, bytes((GONE_STATUS,)))
                return None
            reply = listed.card.apdu(apdu)
            self._answer(CARD_NS + len(reply) * AIR_BYTE_NS, code, b"\x00" + reply)
            return None

        self._after(ACK_DELAY_NS + len(apdu) * AIR_BYTE_NS, meet)


def player(spec: Spec) -> Pn532Player:
    """A reader without options; its cards come by control lines."""
    return Pn532Player()
