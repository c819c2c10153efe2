"""PN532 card reader over its serial port (HSU), 115200 baud, 8N1.

Reference: NXP UM0701-02 "PN532 User Manual", sections 6.2.1 (frames), 7.2.2 (GetFirmwareVersion), 7.2.10
(SAMConfiguration), 7.3.1 (RFConfiguration), 7.3.5 (InListPassiveTarget), 7.3.8 (InDataExchange); the wake-up as
libnfc, nfcpy and Adafruit send it.

    normal     00 | 00 FF | LEN | LCS | TFI PD0 .. PDn | DCS | 00    LEN+LCS = 0, TFI+PD+DCS = 0 (mod 256)
    extended   00 | 00 FF | FF FF | LENM LENL | LCS | TFI PD .. | DCS | 00          LENM+LENL+LCS = 0
    ACK        00 | 00 FF | 00 FF | 00               (sent by the host it aborts the running command)
    NACK       00 | 00 FF | FF 00 | 00               (asks the other side to repeat its last frame)
    error      00 | 00 FF | 01 FF 7F 81 | 00         (the chip could not read the command)

TFI is D4 from the host and D5 from the chip; an answer carries the command's code plus one. Preamble and
postamble are optional here, because adapters lose them. What breaks the rules costs one byte: the search goes
on behind the failed start code, so that a damaged frame never swallows the good one after it.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from enum import IntEnum, StrEnum

from config.errors import GatepostError
from drivers.cards import pn532_type_b as type_b
from drivers.devices import Broken, CardHint, CardProof, CardTap, DeviceFault, FaultKind, Proven, Send, Step
from drivers.errors import FrameError

ACK = bytes.fromhex("0000FF00FF00")
NACK = bytes.fromhex("0000FFFF0000")
ERROR = bytes.fromhex("0000FF01FF7F8100")
WAKE_UP = b"\x55\x55" + bytes(14)
HOST_TFI = 0xD4
CHIP_TFI = 0xD5
MAX_LENGTH = 265  # TFI, code and 263 bytes: the most that InDataExchange carries (UM0701-02, 6.2.1.2)


class Code(IntEnum):
    """Command codes (UM0701-02, section 7); the answer's code is one higher."""

    GET_FIRMWARE_VERSION = 0x02
    SAM_CONFIGURATION = 0x14
    RF_CONFIGURATION = 0x32
    IN_DATA_EXCHANGE = 0x40
    IN_COMMUNICATE_THRU = 0x42
    IN_LIST_PASSIVE_TARGET = 0x4A


# --- frames ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Ack:
    """The other side has read our frame (or, from the host, wants its command aborted)."""

    at_ns: int
    offset: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Nack:
    """The other side could not read our last frame."""

    at_ns: int
    offset: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorFrame:
    """The chip read the frame but not the command in it."""

    at_ns: int
    offset: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A whole frame with good checksums: an answer of the chip (or, in a simulator, a command of the host)."""

    code: int
    data: bytes
    at_ns: int
    offset: int


class Defect(StrEnum):
    """Why bytes were passed over."""

    ECHO = "echo"
    """A good frame of our own direction: half-duplex adapters echo what we send."""
    DATA_CHECKSUM = "data_checksum"
    LENGTH_CHECKSUM = "length_checksum"
    TRUNCATED = "truncated"
    UNKNOWN_SENDER = "unknown_sender"


@dataclass(frozen=True, slots=True, kw_only=True)
class BadFrame:
    """Bytes that began like a frame and were none of ours."""

    defect: Defect
    at_ns: int
    offset: int


Frame = Ack | Nack | ErrorFrame | Message | BadFrame


def frame(payload: bytes) -> bytes:
    """Wrap TFI, code and data. The extended form is used only where the length does not fit in one byte."""
    if not 2 <= len(payload) <= MAX_LENGTH:
        raise FrameError("PN532 frame", seen=f"{len(payload)} bytes", expected=f"2 to {MAX_LENGTH}")
    checksum = -sum(payload) & 0xFF
    if len(payload) <= 255:
        header = bytes((len(payload), -len(payload) & 0xFF))
    else:
        high, low = divmod(len(payload), 256)
        header = bytes((0xFF, 0xFF, high, low, -(high + low) & 0xFF))
    return b"\x00\x00\xff" + header + payload + bytes((checksum, 0))


def command(code: int, params: bytes = b"") -> bytes:
    """A whole command frame from the host."""
    return frame(bytes((HOST_TFI, code)) + params)


def get_firmware_version() -> bytes:
    """Asks for IC, version, revision, support: what proves that a PN532 is there."""
    return command(Code.GET_FIRMWARE_VERSION)


def sam_configuration() -> bytes:
    """Normal mode, no security module: must be the first command after the wake-up."""
    return command(Code.SAM_CONFIGURATION, b"\x01")


def field_off() -> bytes:
    """Switches the field off: every card in it loses power and forgets where it was."""
    return command(Code.RF_CONFIGURATION, b"\x01\x00")


def limit_activation_tries(tries: int) -> bytes:
    """MaxRetries: ATR and PSL as after reset; a poll gives up after ``tries`` + 1 attempts instead of never."""
    return command(Code.RF_CONFIGURATION, bytes((0x05, 0xFF, 0x01, tries)))


def in_list_passive_target(max_targets: int = 2) -> bytes:
    """Looks for up to two ISO/IEC 14443 type A cards at 106 kbit/s, and runs RATS with those that know it."""
    return command(Code.IN_LIST_PASSIVE_TARGET, bytes((max_targets, 0x00)))


def in_list_type_b() -> bytes:
    """Looks for one ISO/IEC 14443 type B card of any family at 106 kbit/s."""
    return command(Code.IN_LIST_PASSIVE_TARGET, bytes((1, type_b.TYPE_B_106, type_b.ALL_FAMILIES)))


def in_communicate_thru(data: bytes) -> bytes:
    """These bytes to the card as they are, with a checksum and without the chip's protocol."""
    return command(Code.IN_COMMUNICATE_THRU, data)


def in_data_exchange(target: int, apdu: bytes) -> bytes:
    """One APDU to a listed card. Raises FrameError over 262 bytes (no card of ours needs more)."""
    return command(Code.IN_DATA_EXCHANGE, bytes((target,)) + apdu)


class Decoder:
    """Bytes of a PN532 to frames, for any cut of the stream.

    ``sender`` is the TFI of the side listened to: the chip for the kiosk, the host for the simulator. Zero bytes
    between frames are preambles and postambles and do not count as discarded.
    """

    def __init__(self, sender: int = CHIP_TFI) -> None:
        self.discarded = 0
        self._sender = sender
        self._buffer = bytearray()
        self._offset = 0  # of the buffer's first byte in the stream

    @property
    def pending(self) -> bool:
        """A frame has begun; :meth:`silence` would drop it."""
        return len(self._buffer) > 1

    def feed(self, data: bytes, at_ns: int) -> list[Frame]:
        """Take the next bytes of the stream."""
        self._buffer += data
        return self._scan(at_ns, at_end=False)

    def silence(self, at_ns: int) -> list[Frame]:
        """No byte came for the inter-byte time-out: a started frame will not be finished; look again inside it."""
        frames = self._scan(at_ns, at_end=True)
        self._drop(len(self._buffer))
        return frames

    def _scan(self, at_ns: int, *, at_end: bool) -> list[Frame]:
        frames: list[Frame] = []
        while True:
            start = self._buffer.find(b"\x00\xff")
            if start < 0:
                self._drop(len(self._buffer) - self._buffer.endswith(b"\x00"))
                return frames
            self._drop(start)
            found = self._parse(at_ns)
            if found is None:
                if not at_end:
                    return frames
                found = (BadFrame(defect=Defect.TRUNCATED, at_ns=at_ns, offset=self._offset), 0)
            event, length = found
            frames.append(event)
            if length:
                self._consume(length)
            else:
                self._drop(1)

    def _parse(self, at_ns: int) -> tuple[Frame, int] | None:
        """The frame at the buffer's start code and its length; length 0 for a broken one, None for more bytes."""
        buffer, offset = self._buffer, self._offset
        bad_length = BadFrame(defect=Defect.LENGTH_CHECKSUM, at_ns=at_ns, offset=offset), 0
        if len(buffer) < 4:
            return None
        length, check = buffer[2], buffer[3]
        if (length, check) == (0x00, 0xFF):
            return Ack(at_ns=at_ns, offset=offset), 4
        if (length, check) == (0xFF, 0x00):
            return Nack(at_ns=at_ns, offset=offset), 4
        body = 4
        if (length, check) == (0xFF, 0xFF):
            if len(buffer) < 7:
                return None
            length, check, body = buffer[4] * 256 + buffer[5], buffer[6], 7
            if (buffer[4] + buffer[5] + check) & 0xFF or length > MAX_LENGTH:
                return bad_length
        elif (length + check) & 0xFF:
            return bad_length
        if not length:
            return bad_length
        end = body + length + 1
        if len(buffer) < end:
            return None
        if sum(buffer[body:end]) & 0xFF:
            return BadFrame(defect=Defect.DATA_CHECKSUM, at_ns=at_ns, offset=offset), 0
        payload = bytes(buffer[body : end - 1])
        if payload == b"\x7f":
            return ErrorFrame(at_ns=at_ns, offset=offset), end
        if payload[0] == self._sender and len(payload) >= 2:
            return Message(code=payload[1], data=payload[2:], at_ns=at_ns, offset=offset), end
        ours = payload[0] in (HOST_TFI, CHIP_TFI)
        return BadFrame(defect=Defect.ECHO if ours else Defect.UNKNOWN_SENDER, at_ns=at_ns, offset=offset), end

    def _consume(self, count: int) -> None:
        del self._buffer[:count]
        self._offset += count

    def _drop(self, count: int) -> None:
        self.discarded += count - self._buffer.count(0, 0, count)
        self._consume(count)


# --- targets --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One card of an InListPassiveTarget answer, the UID MSB first; ``tg`` is its number in later commands."""

    tg: int
    atqa: int
    sak: int
    uid: bytes
    ats: bytes = b""

    @property
    def random_uid(self) -> bool:
        """Four bytes beginning 08 are drawn afresh at each power-up (ISO/IEC 14443-3, 6.5.4)."""
        return len(self.uid) == 4 and self.uid[0] == 0x08


def parse_targets(data: bytes) -> tuple[Target, ...]:
    """The cards of an InListPassiveTarget answer (its data without the code 4B). Raises FrameError."""
    wrong = FrameError("PN532 list of cards", seen=data.hex(), expected="NbTg, then Tg ATQA SAK length UID ATS")
    if not data or data[0] > 2:
        raise wrong
    targets = []
    at = 1
    for _ in range(data[0]):
        if len(data) < at + 5:
            raise wrong
        tg, atqa, sak, uid_length = data[at], data[at + 1] * 256 + data[at + 2], data[at + 3], data[at + 4]
        uid = data[at + 5 : at + 5 + uid_length]
        at += 5 + uid_length
        if uid_length not in (4, 7, 10) or len(uid) != uid_length:
            raise wrong
        ats = b""
        if sak & 0x20 and at < len(
            data
        ):  # ISO/IEC 14443-4: the chip has asked for the ATS; its first byte is its length
            ats = data[at : at + data[at]]
            if not data[at] or len(ats) != data[at]:
                raise wrong
            at += data[at]
        targets.append(Target(tg=tg, atqa=atqa, sak=sak, uid=uid, ats=ats))
    return tuple(targets)


# --- conversation ---------------------------------------------------------------------------------------------

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
        return self._say(_Phase.SAM, WAKE_UP + sam_configuration(), at_ns)

    def _poll(self, at_ns: int) -> list[Step]:
        return self._say(_Phase.LIST, in_list_passive_target(2), at_ns)

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
            return [Send(ACK), *self._say(_Phase.FIELD_OFF, WAKE_UP + field_off(), at_ns)]
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
                return self._say(_Phase.FIRMWARE, get_firmware_version(), at_ns)
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
        return steps + self._say(_Phase.RETRIES, limit_activation_tries(ACTIVATION_TRIES), at_ns)

    # Presentations.

    def _listed(self, data: bytes, at_ns: int) -> list[Step]:
        try:
            targets = parse_targets(data)
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
            return steps + (self._say(_Phase.LIST_B, in_list_type_b(), at_ns) if self._id_cards else self._poll(at_ns))
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
            return self._say(_Phase.ID_NUMBER, in_communicate_thru(type_b.ID_NUMBER_APDU), at_ns)
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
        return self._say(_Phase.FIELD_OFF, field_off(), at_ns)

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
        return self._say(_Phase.EXCHANGE, in_data_exchange(self._target, apdu), at_ns)

    def _exchanged(self, data: bytes, at_ns: int) -> list[Step]:
        status = data[0] if data else 0xFF
        if status & 0x3F:  # UM0701-02, 7.1: 01 is a time-out, the card has left or has no power
            return self._abandon(f"status {status:02x}", at_ns)
        self._answer += data[1:]
        if len(self._answer) > MAX_ANSWER_BYTES:
            return self._abandon("endless answer", at_ns)
        if status & 0x40:  # more information: the chip keeps the rest of a chained answer
            return self._say(_Phase.EXCHANGE, in_data_exchange(self._target, b""), at_ns)
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
