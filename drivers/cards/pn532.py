"""PN532 card reader over its serial port (HSU), 115200 baud, 8N1: the conversation that turns cards into taps.

Frames are in ``drivers/cards/pn532_frames.py``, commands in ``drivers/cards/pn532_commands.py``.
Reference: NXP UM0701-02 "PN532 User Manual", section 7.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import replace
from enum import StrEnum

from config.errors import GatepostError
from drivers.cards import pn532_commands as commands
from drivers.cards import pn532_type_b as type_b
from drivers.cards.pn532_commands import WAKE_UP, Code
from drivers.cards.pn532_frames import ACK, NACK, Ack, BadFrame, Decoder, Defect, ErrorFrame, Frame, Message, Nack
from drivers.devices import Broken, CardHint, CardProof, CardTap, DeviceFault, FaultKind, Proven, Send, Step
from drivers.errors import FrameError

Dialogue = Generator[bytes, bytes, CardProof | None]
"""An exchange with one card: yields command APDUs, is sent the answers, returns what they prove. It may end early
with :class:`config.errors.GatepostError`; the conversation closes it when the card leaves."""

INTER_BYTE_NS = 100_000_000
ACK_TIMEOUT_NS = 100_000_000
ANSWER_TIMEOUT_NS = 300_000_000  # two activation tries and the selection of two cards need about 70 ms
EXCHANGE_TIMEOUT_NS = 1_000_000_000  # a card may ask for more time (frame waiting time extension)
GONE_NS = 300_000_000
HELD_PAUSE_NS = 40_000_000
MAX_FAILURES = 5
MAX_NACKS = 2
MAX_DIALOGUES = 3
MAX_ANSWER_BYTES = 4096
MAX_EXCHANGES = 128
"""Four times what issuing a card takes: a card whose answers never end, or end with nothing, is left alone."""
ACTIVATION_TRIES = 1
RANDOM_KEY = b"random"  # a phone shows another UID after each field reset: it is one presentation all the same


class _Phase(StrEnum):
    CLOSED = "closed"
    SAM = "sam"
    FIRMWARE = "firmware"
    RETRIES = "retries"
    LIST = "list"
    LIST_B = "list_b"
    ID_NUMBER = "id_number"
    EXCHANGE = "exchange"
    FIELD_OFF = "field_off"
    PAUSE = "pause"


_ANSWERS = {
    _Phase.SAM: Code.SAM_CONFIGURATION + 1,
    _Phase.FIRMWARE: Code.GET_FIRMWARE_VERSION + 1,
    _Phase.RETRIES: Code.RF_CONFIGURATION + 1,
    _Phase.LIST: Code.IN_LIST_PASSIVE_TARGET + 1,
    _Phase.LIST_B: Code.IN_LIST_PASSIVE_TARGET + 1,
    _Phase.ID_NUMBER: Code.IN_COMMUNICATE_THRU + 1,
    _Phase.EXCHANGE: Code.IN_DATA_EXCHANGE + 1,
    _Phase.FIELD_OFF: Code.RF_CONFIGURATION + 1,
}


class Pn532Conversation:
    """Wakes the reader, proves it by its firmware version, then polls without a pause: one event a presentation.

    A card held in the field stays one presentation until it was away for 300 ms. Between polls of a held card the
    field is switched off, which wakes the card anew and needs no guess about its state. Two cards give one
    :class:`CardTap` with ``cards_in_field=2``, and nothing more before the field was empty: what is left when a
    wallet is drawn away is not what its holder chose.

    ``dialogue`` makes the exchange that proves a card (:data:`Dialogue`), or None for a card whose UID is all that
    is asked; the tap is then reported with the proof, or as :class:`CardHint` when the card left too early.

    With ``id_cards`` every poll without a card is followed by one for type B: a resident ID card is a tap with its
    number of eight bytes and no proof, any other type B card one that names nobody (``random_uid``).

    Nothing grows with time: after 30 idle days a poll is as quick as the first.
    """

    baud_rates: tuple[int, ...] = (115200,)
    proof_timeout_s: float = 1.0

    def __init__(self, dialogue: Callable[[CardTap], Dialogue | None] | None = None, *, id_cards: bool = False) -> None:
        self._dialogue_for = dialogue
        self._id_cards = id_cards
        self._reset()

    def _reset(self) -> None:
        self._decoder = Decoder()
        self._phase = _Phase.CLOSED
        self._frame = b""
        self._acknowledged = False
        self._disturbed = False  # a bad frame since our command: its ACK may have been in it
        self._nacks = 0
        self._failures = 0
        self._heard = False
        self._proven = False
        self._deadline_ns: int | None = None
        self._last_byte_ns = 0
        self._missed_ns: dict[bytes, int | None] = {}
        """The cards of this presentation; from when on each was not in the answers, None while it is."""
        self._crowded = False
        self._tap: CardTap | None = None
        self._target = 0
        self._dialogue: Dialogue | None = None
        self._answer = b""
        self._exchanges = 0
        self._dialogues = 0

    def begin(self, at_ns: int) -> list[Step]:
        """The port was opened afresh."""
        self._reset()
        return self._initialise(at_ns)

    def receive(self, data: bytes, at_ns: int) -> list[Step]:
        """Bytes arrived."""
        self._last_byte_ns = at_ns
        return self._take(self._decoder.feed(data, at_ns), at_ns)

    def wake_at_ns(self) -> int | None:
        """When the next time-out or poll is due."""
        times = [] if self._deadline_ns is None else [self._deadline_ns]
        if self._decoder.pending:
            times.append(self._last_byte_ns + INTER_BYTE_NS)
        return min(times, default=None)

    def wake(self, at_ns: int) -> list[Step]:
        """A time-out ran out, or the pause between two polls of a held card."""
        steps: list[Step] = []
        if self._decoder.pending and at_ns >= self._last_byte_ns + INTER_BYTE_NS:
            steps += self._take(self._decoder.silence(at_ns), at_ns)
        if self._deadline_ns is not None and at_ns >= self._deadline_ns:
            if self._phase is _Phase.PAUSE:
                steps += self._poll(at_ns)
            elif self._acknowledged:
                # The chip has gone quiet in mid-command, or lost power and forgot its set-up: start over.
                steps += self._fail("no answer", at_ns, start_over=True)
            else:
                steps += self._fail("no ACK", at_ns)
        return steps

    # Commands: one at a time, each kept for its repetition.

    def _say(self, phase: _Phase, data: bytes, at_ns: int) -> list[Step]:
        self._phase, self._frame, self._nacks = phase, data, 0
        return self._send(data, at_ns)

    def _send(self, data: bytes, at_ns: int) -> list[Step]:
        self._acknowledged = self._disturbed = False
        self._deadline_ns = at_ns + ACK_TIMEOUT_NS
        return [Send(data)]

    def _initialise(self, at_ns: int) -> list[Step]:
        return self._say(_Phase.SAM, WAKE_UP + commands.sam_configuration(), at_ns)

    def _poll(self, at_ns: int) -> list[Step]:
        return self._say(_Phase.LIST, commands.in_list_passive_target(2), at_ns)

    def _fail(self, why: str, at_ns: int, *, start_over: bool = False) -> list[Step]:
        self._failures += 1
        if self._failures > MAX_FAILURES:
            kind = FaultKind.GARBLED if self._heard else FaultKind.SILENT
            self._deadline_ns = None
            self._phase = _Phase.CLOSED
            return [
                Broken(kind, f"PN532: {why}, {self._failures} times in a row; check wiring and that HSU is selected")
            ]
        if self._phase is _Phase.EXCHANGE:
            # Repeating an APDU that the card may have seen would break its session: leave the card, then meet it again.
            return [Send(ACK), *self._abandon(why, at_ns)]
        if start_over:
            return [Send(ACK), *self._initialise(at_ns)]
        if self._phase in (_Phase.LIST, _Phase.LIST_B):
            # It may have been carried out: a card that is listed already is found again only after the field was off.
            return [Send(ACK), *self._say(_Phase.FIELD_OFF, WAKE_UP + commands.field_off(), at_ns)]
        return self._send(self._frame if self._phase is _Phase.SAM else WAKE_UP + self._frame, at_ns)

    # Frames.

    def _take(self, frames: list[Frame], at_ns: int) -> list[Step]:
        steps: list[Step] = []
        for event in frames:
            if self._phase in (_Phase.CLOSED, _Phase.PAUSE):
                continue
            match event:
                case Ack():
                    self._heard = True
                    if not self._acknowledged:
                        self._acknowledged = True
                        exchange = self._phase is _Phase.EXCHANGE
                        self._deadline_ns = at_ns + (EXCHANGE_TIMEOUT_NS if exchange else ANSWER_TIMEOUT_NS)
                case Message(code=code, data=data):
                    self._heard = True
                    # Without its ACK an answer may belong to an earlier command, unless noise has eaten the ACK.
                    if code == _ANSWERS[self._phase] and (self._acknowledged or self._disturbed):
                        steps += self._answered(data, at_ns)
                case Nack():
                    steps += self._fail("NACK from the reader", at_ns)
                case ErrorFrame():
                    steps += self._fail("command not understood", at_ns)
                case BadFrame(defect=Defect.ECHO):
                    pass
                case BadFrame():
                    self._disturbed = True
                    if self._acknowledged and self._nacks < MAX_NACKS:
                        self._nacks += 1
                        steps.append(Send(NACK))
        return steps

    def _answered(self, data: bytes, at_ns: int) -> list[Step]:
        self._deadline_ns = None
        phase = self._phase
        if phase is not _Phase.SAM:  # a reader that only ever wakes up is not well
            self._failures = 0
            self._heard = False
        match phase:
            case _Phase.SAM:
                return self._say(_Phase.FIRMWARE, commands.get_firmware_version(), at_ns)
            case _Phase.FIRMWARE:
                return self._firmware(data, at_ns)
            case _Phase.RETRIES:
                return self._release(at_ns)
            case _Phase.LIST:
                return self._listed(data, at_ns)
            case _Phase.LIST_B:
                return self._listed_b(data, at_ns)
            case _Phase.ID_NUMBER:
                return self._id_numbered(data, at_ns)
            case _Phase.EXCHANGE:
                return self._exchanged(data, at_ns)
            case _:
                self._phase = _Phase.PAUSE
                self._deadline_ns = at_ns + HELD_PAUSE_NS
                return []

    def _firmware(self, data: bytes, at_ns: int) -> list[Step]:
        if len(data) != 4 or data[0] != 0x32:
            self._phase = _Phase.CLOSED
            seen = data.hex() or "nothing"
            return [Broken(FaultKind.WRONG_DEVICE, f"not a PN532: firmware answer {seen}, expected 32 and three bytes")]
        steps: list[Step] = []
        if not self._proven:
            self._proven = True
            steps.append(Proven(f"PN532 firmware {data[1]}.{data[2]}"))
        return steps + self._say(_Phase.RETRIES, commands.limit_activation_tries(ACTIVATION_TRIES), at_ns)

    # Presentations.

    def _listed(self, data: bytes, at_ns: int) -> list[Step]:
        try:
            targets = commands.parse_targets(data)
        except FrameError as error:
            hint = CardHint(detail=str(error), at_ns=at_ns)
            return [hint, *self._release(at_ns)]
        steps: list[Step] = []
        keys = {RANDOM_KEY if target.random_uid else target.uid for target in targets}
        fresh = self._note(keys, at_ns)
        if self._tap is not None and all(target.uid != self._tap.uid for target in targets):
            steps.append(CardHint(detail="the card left before it had answered", at_ns=at_ns))
            self._tap = None
        if not targets:
            return steps + (
                self._say(_Phase.LIST_B, commands.in_list_type_b(), at_ns) if self._id_cards else self._poll(at_ns)
            )
        first = targets[0]
        tap = CardTap(
            uid=first.uid,
            at_ns=at_ns,
            atqa=first.atqa,
            sak=first.sak,
            ats=first.ats,
            random_uid=first.random_uid,
            cards_in_field=len(targets),
        )
        if len(targets) > 1:
            self._tap = None
            if not self._crowded:
                self._crowded = True
                steps.append(tap)
        elif self._crowded:
            pass
        elif self._tap is not None:
            return steps + self._prove(tap, first.tg, at_ns)
        elif fresh:
            self._dialogues = 0
            return steps + self._prove(tap, first.tg, at_ns)
        return steps + self._release(at_ns)

    def _listed_b(self, data: bytes, at_ns: int) -> list[Step]:
        try:
            target = type_b.parse_type_b(data)
        except FrameError as error:
            return [CardHint(detail=str(error), at_ns=at_ns), *self._release(at_ns)]
        if target is None:
            return self._poll(at_ns)
        # All cards without a number of their own are one presentation while one of them stays.
        if not self._note({b"type B"}, at_ns):
            return self._release(at_ns)
        if target.may_be_id_card:
            return self._say(_Phase.ID_NUMBER, commands.in_communicate_thru(type_b.ID_NUMBER_APDU), at_ns)
        return [CardTap(uid=target.pupi, at_ns=at_ns, random_uid=True), *self._release(at_ns)]

    def _id_numbered(self, data: bytes, at_ns: int) -> list[Step]:
        number = type_b.parse_id_number(data)
        if number is None:
            self._missed_ns.pop(b"type B", None)  # asked again while the card stays
            return [CardHint(detail="an ID card that did not tell its number", at_ns=at_ns), *self._release(at_ns)]
        return [CardTap(uid=number, at_ns=at_ns), *self._release(at_ns)]

    def _note(self, keys: set[bytes], at_ns: int) -> bool:
        """Note which cards an answer names; true when none of them belongs to the presentation so far.

        Only answers count: while the line fails, or a long exchange runs, nobody knows that a card has left.
        """
        for key, missed_ns in list(self._missed_ns.items()):
            if missed_ns is None:
                self._missed_ns[key] = at_ns
            elif key not in keys and at_ns - missed_ns > GONE_NS:
                del self._missed_ns[key]
        self._crowded = self._crowded and bool(self._missed_ns)
        fresh = not keys & self._missed_ns.keys()
        self._missed_ns |= dict.fromkeys(keys)
        return fresh

    def _release(self, at_ns: int) -> list[Step]:
        return self._say(_Phase.FIELD_OFF, commands.field_off(), at_ns)

    def _prove(self, tap: CardTap, target: int, at_ns: int) -> list[Step]:
        try:
            dialogue = None if tap.random_uid or self._dialogue_for is None else self._dialogue_for(tap)
        except GatepostError as error:  # the keys cannot be read: the tap is told without a proof, and so is the fault
            self._tap = None
            fault = DeviceFault(kind=FaultKind.REFUSED, detail=f"card keys: {error}", at_ns=at_ns, transient=True)
            return [fault, tap, *self._release(at_ns)]
        if dialogue is None:
            self._tap = None
            return [tap, *self._release(at_ns)]
        self._tap, self._target, self._dialogue, self._answer = tap, target, dialogue, b""
        self._exchanges = 0
        self._dialogues += 1
        return self._advance(None, at_ns)

    def _advance(self, answer: bytes | None, at_ns: int) -> list[Step]:
        """Carry the dialogue on by one APDU; its end is the tap."""
        if self._dialogue is None or self._tap is None:
            return self._release(at_ns)
        try:
            apdu = next(self._dialogue) if answer is None else self._dialogue.send(answer)
        except GatepostError as error:
            return self._abandon(str(error), at_ns)
        except StopIteration as end:
            tap = replace(self._tap, proof=end.value, at_ns=at_ns)
            self._tap = self._dialogue = None
            return [tap, *self._release(at_ns)]
        return self._say(_Phase.EXCHANGE, commands.in_data_exchange(self._target, apdu), at_ns)

    def _exchanged(self, data: bytes, at_ns: int) -> list[Step]:
        status = data[0] if data else 0xFF
        if status & 0x3F:  # UM0701-02, 7.1: 01 is a time-out, the card has left or has no power
            return self._abandon(f"status {status:02x}", at_ns)
        self._answer += data[1:]
        self._exchanges += 1
        if len(self._answer) > MAX_ANSWER_BYTES or self._exchanges >= MAX_EXCHANGES:
            return self._abandon("endless answer", at_ns)
        if status & 0x40:  # more information: the chip keeps the rest of a chained answer
            return self._say(_Phase.EXCHANGE, commands.in_data_exchange(self._target, b""), at_ns)
        answer, self._answer = self._answer, b""
        return self._advance(answer, at_ns)

    def _abandon(self, why: str, at_ns: int) -> list[Step]:
        """The exchange broke off. The card is asked again while it stays, then the holder is told."""
        if self._dialogue is not None:
            self._dialogue.close()
            self._dialogue = None
        if self._tap is not None and self._dialogues >= MAX_DIALOGUES:
            self._tap = None
            return [
                CardHint(detail=f"the card broke off {self._dialogues} times ({why})", at_ns=at_ns),
                *self._release(at_ns),
            ]
        return self._release(at_ns)
