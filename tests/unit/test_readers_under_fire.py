"""Whole conversations with readers that lie, each stream drawn by its number: nothing raises, nothing is invented, and
the next honest card is read by the same conversation."""

from __future__ import annotations

import os
import random
import re
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import pytest

from config.number_form import NumberForm
from drivers.cards import osdp_frames, pn532_frames
from drivers.cards.keyboard_wedge import TypedCards
from drivers.cards.ntag424 import CardKeys, ev2_dialogue, sun_dialogue
from drivers.cards.osdp import OsdpConversation
from drivers.cards.pn532 import Pn532Conversation
from drivers.cards.pn532_commands import Code
from drivers.cards.pn532_type_b import ID_NUMBER_APDU
from drivers.cards.sdt_idcard import SdtConversation
from drivers.devices import Broken, CardHint, CardTap, IdCardRead, ProofOutcome, Proven, Send
from drivers.simulators.keyboard_wedge import events_of
from drivers.simulators.ntag424_card import ATS, NtagCard, personalised
from drivers.simulators.osdp import OsdpPlayer
from drivers.simulators.sdt_idcard import SdtPlayer, answer
from drivers.typed_input import EVENT
from tests.liars import Liar, altered

MS = 1_000_000
UID = bytes.fromhex("04A1B2C3D4E5F6")
GATE, FILE, META = (bytes([value]) * 16 for value in (0x33, 0x22, 0x11))
KEYS = {UID: CardKeys(gate_key=GATE, file_key=FILE)}
Device = Callable[[bytes], bytes]
"""What a device says to what it was told; silence is b""."""


class Talk:
    """A conversation with one device after another, in simulated time."""

    def __init__(self, conversation: Any) -> None:
        self.conversation = conversation
        self.now_ns = 0
        self.events: list[Any] = []
        self.proven = 0
        self._steps = conversation.begin(0)

    def run(self, device: Device, turns: int, until: Callable[[], bool] = lambda: False) -> bool:
        """So many answers or time-outs; whether ``until`` came true. A port that is given up is opened again."""
        heard: deque[bytes] = deque()
        for _ in range(turns):
            for step in self._steps:
                if isinstance(step, Send):
                    heard.append(device(step.data))
                elif isinstance(step, Proven):
                    self.proven += 1
                elif isinstance(step, Broken):
                    heard.clear()
                    self._steps = self.conversation.begin(self.now_ns)
                    break
                else:
                    self.events.append(step)
            else:
                if until():
                    return True
                self._steps = self._next(heard)
        return until()

    def _next(self, heard: deque[bytes]) -> list[Any]:
        while heard:
            data = heard.popleft()
            if data:
                self.now_ns += 20 * MS
                steps: list[Any] = self.conversation.receive(data, self.now_ns)
                return steps
        self.now_ns = max(self.now_ns + MS, self.conversation.wake_at_ns() or 0)
        waited: list[Any] = self.conversation.wake(self.now_ns)
        return waited


def told(data: bytes) -> list[tuple[int, bytes]]:
    """The commands in what a host sends to a PN532."""
    frames = pn532_frames.Decoder(sender=pn532_frames.HOST_TFI).feed(data, 0)
    return [(frame.code, frame.data) for frame in frames if isinstance(frame, pn532_frames.Message)]


def says(code: int, data: bytes) -> bytes:
    """ACK and answer of the chip."""
    return pn532_frames.ACK + pn532_frames.frame(bytes((pn532_frames.CHIP_TFI, code + 1)) + data)


class Chip:
    """An honest PN532 with ``card`` in its field, or none."""

    def __init__(self, card: Any = None) -> None:
        self.card = card

    def __call__(self, data: bytes) -> bytes:
        out = b""
        for code, params in told(data):
            out += says(self.answers_to(code), self.answer(code, params))
        return out

    def answers_to(self, code: int) -> int:
        """The command that it says it answers."""
        return code

    def answer(self, code: int, params: bytes) -> bytes:
        """The data of the answer to a command."""
        match code:
            case Code.GET_FIRMWARE_VERSION:
                return b"\x32\x01\x06\x07"
            case Code.IN_LIST_PASSIVE_TARGET:
                card = self.card
                return b"\x00" if card is None or len(params) > 2 else b"\x01\x01\x03\x44\x20\x07" + card.uid + card.ats
            case Code.IN_DATA_EXCHANGE | Code.IN_COMMUNICATE_THRU:
                if self.card is None:
                    return b"\x01"
                return b"\x00" + self.card.apdu(params[1:])
            case Code.RF_CONFIGURATION:
                if params[:1] == b"\x01" and self.card is not None:
                    self.card.power_off()
                return b""
            case _:
                return b""


LISTS = (
    b"\x00",
    b"\x01\x01\x03\x44\x20\x07" + UID + ATS,
    b"\x01\x01\x00\x04\x08\x04\x5a\xe2\xb3\xde",
    b"\x01\x01\x00\x04\x08\x04\x08\xe2\xb3\xde",
    b"\x02\x01\x03\x44\x20\x07" + UID + ATS + b"\x02\x00\x04\x08\x04\x5a\xe2\xb3\xde",
    bytes.fromhex("01015000000000D103860C0080800108"),
    bytes.fromhex("0101501A2B3C4DD103860C0080800108"),
)


class HostileChip(Chip):
    """Right frames around anything: cards without keys that lie, lists out of order, chained answers, noise."""

    def __init__(self, rng: random.Random) -> None:
        card = NtagCard(UID) if rng.random() < 0.5 else personalised(UID, gate_key=FILE, file_key=GATE, meta_key=META)
        super().__init__(Liar(card, rng, lies=rng.choice((0.1, 0.5, 1.0))))
        self._rng = rng

    def __call__(self, data: bytes) -> bytes:
        rng = self._rng
        if rng.random() < 0.05:
            return rng.choice((b"", rng.randbytes(rng.randrange(40)), pn532_frames.NACK, pn532_frames.ERROR))
        out = super().__call__(data)
        return altered(out, rng) if rng.random() < 0.03 else out

    def answers_to(self, code: int) -> int:
        """See :meth:`Chip.answers_to`."""
        return code if self._rng.random() < 0.97 else self._rng.choice(list(Code))

    def answer(self, code: int, params: bytes) -> bytes:
        """See :meth:`Chip.answer`."""
        rng = self._rng
        match code:
            case Code.IN_LIST_PASSIVE_TARGET:
                seen = rng.choice(LISTS)
                return altered(seen, rng)[:250] if rng.random() < 0.2 else seen
            case Code.IN_DATA_EXCHANGE if rng.random() < 0.9:
                status = rng.choice((0, 0, 0, 0, 0x40, 0x01, 0x13, rng.randrange(256)))
                return bytes((status,)) + self.card.apdu(params[1:])[:250]
            case Code.IN_COMMUNICATE_THRU if params == ID_NUMBER_APDU and rng.random() < 0.5:
                return altered(b"\x00" + bytes(8) + b"\x90\x00", rng)
            case Code.RF_CONFIGURATION:
                self.card.card.power_off()
                return b""
            case Code.IN_DATA_EXCHANGE | Code.IN_COMMUNICATE_THRU:
                return rng.randbytes(rng.randrange(40))
            case _:
                return super().answer(code, params)


def proofs(events: list[Any]) -> list[ProofOutcome]:
    return [event.proof.outcome for event in events if isinstance(event, CardTap) and event.proof is not None]


def pn532(rng: random.Random) -> None:
    """No proof without the keys, no event of another kind, no exchange without an end; then the genuine card."""
    dialogue = rng.choice((None, ev2_dialogue(KEYS.get), sun_dialogue(META, KEYS.get)))
    talk = Talk(Pn532Conversation(dialogue, id_cards=rng.random() < 0.5))
    talk.run(HostileChip(rng), rng.randrange(10, 60))
    assert {type(event) for event in talk.events} <= {CardTap, CardHint}
    assert ProofOutcome.GENUINE not in proofs(talk.events)
    talk.run(Chip(), 40)
    before = len(talk.events)
    card = personalised(UID, gate_key=GATE, file_key=FILE, meta_key=META)
    assert talk.run(Chip(card), 40, lambda: len(talk.events) > before)
    assert (talk.events[-1].uid, len(talk.events)) == (UID, before + 1)
    assert proofs(talk.events[before:]) == ([] if dialogue is None else [ProofOutcome.GENUINE])


OSDP_KEY = bytes(range(1, 17))


def osdp(rng: random.Random) -> None:
    """Whoever has not the site's key says no card, in plain, with MACs of its own or a recorded session's."""
    player = OsdpPlayer(
        rng.choice((None, bytes(16), osdp_frames.DEFAULT_KEY, OSDP_KEY, OSDP_KEY, OSDP_KEY)), seed=rng.randrange(1000)
    )
    honest_turns = rng.randrange(10) if player.key == OSDP_KEY else 0  # turns before somebody takes the cable over
    recorded: list[bytes] = []
    turns = 0

    def hostile(data: bytes) -> bytes:
        nonlocal turns
        turns += 1
        player.received(data, 0)
        heard = b"".join(player.due(1 << 62))
        recorded.append(heard)
        if turns <= honest_turns:
            return heard
        secured = honest_turns > 4 and turns > honest_turns
        sequence = next((packet.sequence for packet in osdp_frames.Decoder().feed(data, 0)), 0)
        packet = osdp_frames.Packet(
            address=0,
            reply=True,
            sequence=sequence,
            code=0x50
            if secured and rng.random() < 0.5
            else rng.choice((0x40, 0x41, 0x45, 0x46, 0x50, 0x53, 0x76, 0x78, rng.randrange(256))),
            scb=rng.choice((b"", b"\x02\x16", b"\x02\x18", b"\x03\x12\x01", b"\x03\x14\x01")[1 if secured else 0 :]),
            data=rng.choice((b"\x00\x01\x20\x00" + UID[:4], b"\x00\x01", rng.randbytes(rng.choice((0, 16, 32, 60))))),
        )
        forged = osdp_frames.encode(packet, rng.randbytes(4) if packet.secured else b"")
        return rng.choice((forged, forged, rng.choice(recorded), altered(heard, rng), rng.randbytes(30), b""))

    talk = Talk(OsdpConversation(OSDP_KEY, random_bytes=rng.randbytes))
    talk.run(hostile, rng.randrange(5, 30))
    assert not [event for event in talk.events if isinstance(event, CardTap)]
    reader = OsdpPlayer(OSDP_KEY)
    proven = talk.proven

    def honest(data: bytes) -> bytes:
        reader.received(data, 0)
        return b"".join(reader.due(1 << 62))

    assert talk.run(honest, 60, lambda: talk.proven > proven)
    reader.command({"do": "tap", "uid": UID[:4].hex()})
    assert talk.run(honest, 20, lambda: bool(talk.events) and isinstance(talk.events[-1], CardTap))
    assert talk.events[-1].uid == UID[:4]


PERSON = {"do": "lay", "name": "样例丙丁", "sex": "2", "nation": "04", "id_number": "110105188503124487"}


def sdt(rng: random.Random) -> None:
    """Right frames around any text: a person's fields as the card has them, or a hint; never a nation or address."""
    player = SdtPlayer()
    player.command(dict(PERSON) | {"address": "样例路78号"})

    def hostile(data: bytes) -> bytes:
        player.received(data, 0)
        heard = b"".join(player.due(1 << 62))
        match rng.randrange(6):
            case 0:
                return rng.randbytes(rng.randrange(60))
            case 1:
                return answer(
                    rng.choice((0x90, 0x9F, 0x80, 0x41, rng.randrange(256))), rng.randbytes(rng.randrange(60))
                )
            case 2 if len(heard) > 1000:
                text = bytearray(heard[14:-1])
                for _ in range(rng.randrange(1, 6)):
                    text[rng.randrange(260)] = rng.randrange(256)
                return answer(0x90, bytes(text) + rng.randbytes(rng.choice((0, 0, 1, 1024))))
            case 3:
                return b""
            case _:
                return heard

    talk = Talk(SdtConversation())
    talk.run(hostile, rng.randrange(5, 40))
    assert {type(event) for event in talk.events} <= {IdCardRead, CardHint}
    assert "样例路78号" not in str(
        [(event.name, event.id_number) for event in talk.events if isinstance(event, IdCardRead)]
    )
    player = SdtPlayer()

    def honest(data: bytes) -> bytes:
        player.received(data, 0)
        return b"".join(player.due(1 << 62))

    talk.run(honest, 20)
    before = len(talk.events)
    player.command(dict(PERSON))
    assert talk.run(honest, 40, lambda: len(talk.events) > before)
    assert (talk.events[-1].name, talk.events[-1].id_number) == ("样例丙丁", "110105188503124487")


TYPED = re.compile(r"(?<![0-9?])([0-9]{10})\n")


KEYPAD = (79, 80, 81, 75, 76, 77, 71, 72, 73, 82)
SIGNS = {**dict(zip((*range(2, 12), *KEYPAD), "1234567890" * 2, strict=True)), 28: "\n", 96: "\n"}


def shown(events: bytes) -> str:
    """What the pressed keys write: a bar for a pause of over 60 ms, ? for what no number has and for time gone back."""
    text, last_us = "", 0
    for seconds, micros, kind, code, value in EVENT.iter_unpack(events):
        lost = (kind, code) == (0, 3)
        if not lost and (kind != 1 or value != 1 or code in (42, 54)):
            continue
        at_us = seconds * 1_000_000 + micros
        text += "|" if at_us - last_us > 60_000 else ""
        back = at_us < last_us and text[-1:] not in ("", "|", "\n")
        text += "?" if lost or back else SIGNS.get(code, "?")
        last_us = at_us
    return text


def wedge(rng: random.Random) -> None:
    """Keys of noise, of people and of a reader, some lost, twice or late: each tap was typed; the next card is read."""
    keys, at_us = b"", 5_000_000
    for _ in range(rng.randrange(1, 5)):
        number = f"{rng.randrange(1 << 32):0{rng.choice((10, 10, 10, 4, 12))}}" + rng.choice(("\n", "\n", ""))
        typed = [bytes(each) for each in _records(events_of(number, at_us))]
        for _ in range(rng.randrange(4)):
            at = rng.randrange(len(typed))
            match rng.randrange(5):
                case 0:
                    del typed[at:]
                    typed = typed or [EVENT.pack(0, 0, 0, 0, 0)]
                case 1:
                    typed.insert(at, typed[at])
                case 2:
                    typed[at] = EVENT.pack(*(rng.randrange(1 << 16) for _ in range(4)), rng.randrange(3))
                case 3:
                    typed[at] = EVENT.pack(at_us // 1_000_000, 0, 0, 3, 0)  # SYN_DROPPED: the kernel lost some
                case _:
                    typed[at] = EVENT.pack(at_us // 1_000_000, 0, 1, rng.randrange(256), 1)
        keys += b"".join(typed)
        at_us += rng.choice((20_000, 500_000, -3_600_000_000))
    decoder = TypedCards(NumberForm.DEC10)
    taps = []
    at = 0
    while at < len(keys):
        size = rng.randrange(1, 100)
        taps += decoder.feed(keys[at : at + size], at_us * 1000)
        at += size
    assert {int.from_bytes(tap.uid) for tap in taps} <= {int(number) for number in TYPED.findall(shown(keys))}
    decoder.feed(rng.randbytes(rng.randrange(1, EVENT.size)), 0)  # a torn event, as no kernel sends
    assert decoder.silence(0) == []
    (tap,) = decoder.feed(events_of("0123456789\n", 10_000_000_000_000), 10**18)
    assert int.from_bytes(tap.uid) == 123456789


def _records(events: bytes) -> list[bytes]:
    return [events[at : at + EVENT.size] for at in range(0, len(events), EVENT.size)]


STREAMS = {"osdp": osdp, "pn532": pn532, "sdt_idcard": sdt, "keyboard_wedge": wedge}


@pytest.mark.parametrize("name", sorted(STREAMS))
def test_no_reader_talks_the_gate_into_anything(name: str) -> None:
    """1,500 streams each; of the keyboard, which is soon done, twice as many."""
    for number in range(3000 if name == "keyboard_wedge" else 1500):
        STREAMS[name](random.Random(number))


@pytest.mark.campaign
@pytest.mark.timeout(43200)
@pytest.mark.parametrize("name", sorted(STREAMS))
def test_no_reader_of_a_million_does(name: str) -> None:
    """1,000,000 streams each; the first number is printed, and each stream can be played again by its own."""
    first = int(os.environ.get("GATEPOST_FUZZ_SEED", time.time_ns() % 1_000_000)) * 1_000_000
    print(f"{name}: streams {first} and on")
    for number in range(first, first + 1_000_000):
        STREAMS[name](random.Random(number))
