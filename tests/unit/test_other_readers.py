"""125 kHz, serial, OSDP and ID-card readers with their simulators, and every card decoder under fire."""

from __future__ import annotations

import itertools
import os
import random
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.number_form import NumberForm
from drivers.cards import keyboard_wedge, osdp_frames, pn532_frames, rdm6300, sdt_idcard, serial_uid, wiegand
from drivers.cards.osdp import OsdpConversation
from drivers.cards.rdm6300 import Rdm6300Conversation
from drivers.cards.sdt_idcard import SdtConversation
from drivers.cards.serial_uid import SerialUidConversation
from drivers.devices import CardHint, CardTap, FaultKind, IdCardRead
from drivers.errors import FrameError
from drivers.simulators import rdm6300 as rdm6300_simulator
from drivers.simulators import sdt_idcard as sdt_simulator
from drivers.simulators import serial_uid as serial_simulator
from drivers.simulators.osdp import OsdpPlayer
from drivers.simulators.rdm6300 import RepeatingPlayer
from drivers.typed_input import LOST_KEYS
from tests.wire_loop import WireLoop

UID = bytes.fromhex("5AE2B3DE")
KEY = bytes(range(1, 17))


def uids(loop: WireLoop) -> list[bytes]:
    return [event.uid for _, event in loop.events if isinstance(event, CardTap)]


@pytest.mark.parametrize(
    ("conversation", "player"),
    [
        (Rdm6300Conversation(), RepeatingPlayer(rdm6300_simulator.frame, (4,), rdm6300_simulator.PERIOD_NS)),
        (SerialUidConversation(NumberForm.HEX), RepeatingPlayer(serial_simulator.line_of, (4, 7), 200_000_000)),
    ],
    ids=["rdm6300", "serial_uid"],
)
def test_a_reader_that_repeats_itself_is_one_tap_a_presentation(conversation: Any, player: RepeatingPlayer) -> None:
    """Held for two seconds: one tap; away and back: the second."""
    loop = WireLoop(conversation, player, baud=9600).begin()
    assert loop.proven
    for _ in range(2):
        player.command({"do": "tap", "uid": UID.hex(), "hold_ms": 2000})
        loop.run(3000)
    assert uids(loop) == [UID, UID]


def test_a_line_without_an_end_is_taken_after_50_ms() -> None:
    """Readers without a terminator are read by their pause."""
    player = RepeatingPlayer(lambda uid: uid.hex().encode(), (4,), 1_000_000_000)
    loop = WireLoop(SerialUidConversation(NumberForm.HEX), player, baud=9600).begin()
    player.command({"do": "tap", "uid": UID.hex(), "hold_ms": 100})
    loop.run(500)
    assert uids(loop) == [UID]


# --- OSDP -----------------------------------------------------------------------------------------------------


def osdp(player: OsdpPlayer, **options: Any) -> WireLoop:
    return WireLoop(OsdpConversation(KEY), player, baud=9600, **options).begin()


def test_an_osdp_reader_with_the_sites_key_is_proven_and_its_cards_arrive() -> None:
    """Secure Channel with the captured sessions' cryptography; a UID and a 26-bit card."""
    player = OsdpPlayer(KEY)
    loop = osdp(player).run(500)
    assert loop.proven == ["OSDP reader 0, secure channel with the site's key"]
    player.command({"do": "tap", "uid": UID.hex()})
    loop.run(500)
    player.command({"do": "tap", "bits": wiegand.encode(0x63E9AE, 26)})
    loop.run(500)
    assert uids(loop) == [UID, bytes.fromhex("63E9AE")]
    polls = [at for at, _ in loop.sent][-5:]
    assert max(b - a for a, b in itertools.pairwise(polls)) < 100_000_000


@pytest.mark.parametrize(
    ("player", "words"),
    [
        (OsdpPlayer(KEY, claims_encryption=False), "claims no encryption"),
        (OsdpPlayer(None), "refuses"),
        (OsdpPlayer(osdp_frames.DEFAULT_KEY), "does not hold the site's key"),
        (OsdpPlayer(bytes(16)), "does not hold the site's key"),
    ],
)
def test_an_osdp_reader_without_the_sites_key_is_refused(player: OsdpPlayer, words: str) -> None:
    """No encryption, no key, the default key, another key: refused aloud, never used in plain."""
    loop = osdp(player).run(2000)
    assert loop.proven == []
    assert loop.broken is not None
    assert loop.broken.kind is FaultKind.REFUSED
    assert words in loop.broken.detail


@pytest.mark.parametrize("scb", [b"\x02\x16", b"\x02\x18"], ids=["in plain", "encrypted"])
def test_a_card_with_a_mac_of_somebody_elses_is_refused(scb: bytes) -> None:
    """On a standing channel, with the right sequence number: no tap, and the channel is begun anew."""
    player = OsdpPlayer(KEY)
    loop = osdp(player).run(500)
    assert loop.proven

    def forged(data: bytes) -> bytes:
        (packet,) = osdp_frames.Decoder().feed(data, 0)
        card = b"\x00\x01\x20\x00" + UID if scb == b"\x02\x16" else bytes(16)
        told = _fields(packet) | {"code": osdp_frames.Code.RAW, "scb": scb, "data": card}
        return osdp_frames.encode(osdp_frames.Packet(**told), b"\x00\x00\x00\x01")

    loop.to_host = forged
    loop.run(300)
    assert uids(loop) == []
    assert loop.broken is not None
    assert "MAC" in loop.broken.detail


def test_encrypted_data_that_are_no_whole_blocks_are_refused() -> None:
    """Even under a right MAC, as only the reader itself could make it."""
    gate, reader = (osdp_frames.SecureChannel(KEY, bytes(8), bytes(8)) for _ in range(2))
    for data in (b"", bytes(5)):
        packet = osdp_frames.Packet(address=0, reply=True, sequence=1, code=0x50, scb=b"\x02\x18", data=data)
        frame = osdp_frames.encode(packet, reader._mac(osdp_frames.head_of(packet), reply=True)[:4])
        (heard,) = osdp_frames.Decoder().feed(frame, 0)
        with pytest.raises(FrameError, match="whole blocks"):
            gate.open(heard)


def test_an_answer_that_comes_a_second_time_is_not_taken_for_the_next_one() -> None:
    """Each reply twice, the second time before the answer to the next question: sequence numbers tell them apart."""
    heard = [b""]

    def late(data: bytes) -> bytes:
        heard.append(data)
        return heard[-2] + data

    player = OsdpPlayer(KEY)
    loop = osdp(player, to_host=late).run(1000)
    assert loop.broken is None
    assert loop.proven
    player.command({"do": "tap", "uid": UID.hex()})
    assert uids(loop.run(500)) == [UID]


def test_a_first_mac_that_is_not_the_readers_is_refused() -> None:
    """Somebody in between answers the server's cryptogram: the channel never stands."""

    def forged(data: bytes) -> bytes:
        packets = osdp_frames.Decoder().feed(data, 0)
        if [packet.code for packet in packets] != [osdp_frames.Code.RMAC_I]:
            return data
        told = _fields(packets[0]) | {"scb": packets[0].scb, "data": bytes(16)}
        return osdp_frames.encode(osdp_frames.Packet(**told))

    loop = osdp(OsdpPlayer(KEY), to_host=forged).run(2000)
    assert loop.proven == []
    assert loop.broken is not None
    assert "did not accept the secure channel" in loop.broken.detail


def test_the_default_osdp_key_cannot_even_be_configured() -> None:
    """SCBK-D is printed in the standard."""
    with pytest.raises(ValueError, match="of its own"):
        OsdpConversation(osdp_frames.DEFAULT_KEY)


def test_a_plain_answer_on_a_secured_osdp_line_is_refused() -> None:
    """A box put between reader and gate cannot speak in the reader's place."""
    player = OsdpPlayer(KEY)
    loop = osdp(player).run(500)
    packet = osdp_frames.Packet(address=0, reply=True, sequence=0, code=0x50, data=b"\x00\x01\x20\x00" + UID)
    loop.to_host = lambda data: b"".join(
        osdp_frames.encode(osdp_frames.Packet(**{**_fields(packet), "sequence": number})) for number in (1, 2, 3)
    )
    loop.run(300)
    assert uids(loop) == []
    assert loop.broken is not None
    assert "in plain" in loop.broken.detail


def _fields(packet: osdp_frames.Packet) -> dict[str, Any]:
    return {name: getattr(packet, name) for name in ("address", "reply", "sequence", "code", "data")}


def test_lost_osdp_answers_are_asked_for_again_and_a_dead_reader_is_silent() -> None:
    """One lost answer costs 200 ms; three in a row are silence within a second."""
    lost = iter([True])
    player = OsdpPlayer(KEY)
    loop = osdp(player).run(500)
    loop.to_host = lambda data: b"" if next(lost, False) else data
    player.command({"do": "tap", "uid": UID.hex()})
    loop.run(1000)
    assert uids(loop) == [UID]
    loop.to_host = lambda data: b""
    loop.run(1000)
    assert loop.broken is not None
    assert loop.broken.kind is FaultKind.SILENT


# --- ID cards -------------------------------------------------------------------------------------------------

PERSON = {
    "do": "lay", "name": "样例丙丁", "sex": "2", "nation": "04", "birth": "18850312", "address": "样例路78号",
    "id_number": "110105188503124487", "issuer": "示范分局", "valid_from": "20150808", "valid_to": "长期",
}  # fmt: skip


def test_an_id_card_is_read_once_and_only_what_registering_needs_comes_out() -> None:
    """Find, select, read: one event; nothing personal in its repr; the next card after this one has left."""
    player = sdt_simulator.SdtPlayer()
    loop = WireLoop(SdtConversation(), player).begin().run(1000)
    assert loop.proven
    player.command(dict(PERSON))
    loop.run(4000)
    ((_, event),) = loop.events
    assert isinstance(event, IdCardRead)
    assert (event.name, event.id_number, event.valid_to) == ("样例丙丁", "110105188503124487", "长期")
    assert "110105" not in repr(event)
    assert "样例" not in repr(event)
    assert not hasattr(event, "address")
    player.command({"do": "lift"})
    loop.run(500)
    player.command(dict(PERSON) | {"name": "样例戊"})
    loop.run(2000)
    assert [event.name for _, event in loop.events] == ["样例丙丁", "样例戊"]


def test_a_damaged_id_card_answer_is_asked_for_again() -> None:
    """One flipped byte in 1295: read anew, never shown half-right."""
    damage = iter([True])

    def flip(data: bytes) -> bytes:
        return data[:40] + b"\x00" + data[41:] if len(data) > 1000 and next(damage, False) else data

    player = sdt_simulator.SdtPlayer()
    loop = WireLoop(SdtConversation(), player, to_host=flip).begin().run(1000)
    player.command(dict(PERSON))
    loop.run(4000)
    assert [event.name for _, event in loop.events if isinstance(event, IdCardRead)] == ["样例丙丁"]


def test_an_answer_whose_lengths_do_not_add_up_is_nobodys_card() -> None:
    """The text alone, with a photograph, with a fingerprint besides: and each of them with a byte less or more."""
    text = sdt_simulator.text_of({name: value for name, value in PERSON.items() if name != "do"})
    for lengths in ((256, 0), (256, 1024), (256, 1024, 1024)):
        data = b"".join(length.to_bytes(2) for length in lengths) + text + bytes(sum(lengths) - 256)
        kept = sdt_idcard.parse_identity(data)
        assert (kept["name"], kept["id_number"]) == ("样例丙丁", "110105188503124487")
        assert {"nation", "nation_name", "address"} & set(kept) == set()
        for wrong in (data[:-1], data + b"\x00"):
            with pytest.raises(FrameError):
                sdt_idcard.parse_identity(wrong)


def test_an_id_card_lifted_while_read_is_a_hint() -> None:
    """The person is asked to leave it there longer."""
    player = sdt_simulator.SdtPlayer()
    loop = WireLoop(SdtConversation(), player).begin().run(1000)
    player.command(dict(PERSON))
    while not any(data == sdt_idcard.SELECT for _, data in loop.sent):
        loop.run(5)
    player.command({"do": "lift"})
    loop.run(2000)
    assert [type(event) for _, event in loop.events] == [CardHint]


# --- every decoder under fire ---------------------------------------------------------------------------------

GOOD_OSDP = bytes.fromhex("FF5303090004610020A8")
GOOD_SDT = bytes.fromhex("AAAAAA9669000800009F0000000097")
GOOD_PN532 = bytes.fromhex("0000FF0CF4D54B0101000408045AE2B3DE0100")
GOOD_RDM6300 = bytes.fromhex("0230313030363345394145323503")
DECODERS: dict[str, tuple[Callable[[], Any], bytes]] = {
    "osdp": (osdp_frames.Decoder, GOOD_OSDP),
    "pn532": (pn532_frames.Decoder, GOOD_PN532),
    "rdm6300": (rdm6300.Decoder, GOOD_RDM6300),
    "sdt_idcard": (sdt_idcard.Decoder, GOOD_SDT),
    "serial_uid": (lambda: serial_uid.Decoder(NumberForm.HEX), b"7942BDF2\r\n"),
    "wiegand_26": (lambda: serial_uid.Decoder(NumberForm.WG26_BITS), wiegand.encode(0x63E9AE, 26).encode() + b"\r\n"),
    "wiegand_34": (lambda: serial_uid.Decoder(NumberForm.WG34_BITS), wiegand.encode(0x5AE2B3DE, 34).encode() + b"\r\n"),
    "wiegand_37": (
        lambda: serial_uid.Decoder(NumberForm.WG37_BITS),
        wiegand.encode(0x1_5AE2_B3DE, 37).encode() + b"\r\n",
    ),
}


def good_ones(events: list[Any]) -> list[Any]:
    """Events that are no defect."""
    return [event for event in events if not hasattr(event, "defect")]


def content(event: Any) -> tuple[Any, ...]:
    """What an event says, wherever and whenever it stood in the stream."""
    if isinstance(event, pn532_frames.Ack | pn532_frames.Nack | pn532_frames.ErrorFrame):
        return ()  # no tap can come of these
    told = ("code", "address", "sequence", "status", "data", "number", "version", "known")
    return tuple((name, getattr(event, name)) for name in told if hasattr(event, name))


def mutated(good: bytes, rng: random.Random) -> bytes:
    """One change to a good frame that no checksum of it survives, or plain noise."""
    match rng.randrange(5):
        case 0:
            return rng.randbytes(rng.randrange(1, 40))
        case 1:
            return good[: rng.randrange(1, len(good) - 1)]
        case 2:
            return good[rng.randrange(1, len(good)) :]
        case 3:
            return good[:3] + rng.randbytes(rng.randrange(1, 9)) + good[3:]
        case _:
            at = rng.randrange(len(good))
            return good[:at] + bytes((good[at] ^ rng.randrange(1, 256),)) + good[at + 1 :]


def under_fire(name: str, streams: int, seed: int) -> None:
    """``streams`` mutated streams: no exception, one change invents nothing, and the next good frame is read."""
    make, good = DECODERS[name]
    (wanted,) = good_ones(make().feed(good, 0))
    rng = random.Random(seed)
    for _ in range(streams):
        decoder, events = make(), []
        changes = rng.randrange(1, 4)
        for _ in range(changes):
            events += decoder.feed(mutated(good, rng), 0)
        events += decoder.silence(0)
        # Several changes can cancel out in a checksum of eight bits, and a line of digits has none at all.
        if changes == 1 and name != "serial_uid":
            assert {content(event) for event in good_ones(events)} <= {content(wanted), ()}
        (event,) = good_ones(decoder.feed(good, 0))
        assert content(event) == content(wanted)


@pytest.mark.parametrize("name", sorted(DECODERS))
def test_after_any_garbage_the_next_good_frame_is_read(name: str) -> None:
    """3,000 mutated streams a decoder."""
    under_fire(name, 3000, seed=1)


@pytest.mark.campaign
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", sorted(DECODERS))
def test_a_million_mutated_streams(name: str) -> None:
    """1,000,000 mutated streams a decoder, by a seed that is printed."""
    seed = int(os.environ.get("GATEPOST_FUZZ_SEED", time.time_ns() % 1_000_000))
    print(f"{name}: seed {seed}")
    under_fire(name, 1_000_000, seed)


@pytest.mark.parametrize("name", sorted(DECODERS))
@given(data=st.binary(max_size=200), cuts=st.lists(st.integers(0, 200), max_size=8))
def test_the_cut_of_the_bytes_changes_nothing(name: str, data: bytes, cuts: list[int]) -> None:
    """Any bytes, anyhow cut, give the same events."""
    make, good = DECODERS[name]
    data = good[: len(good) // 2] + data + good
    points = [0, *sorted(cut for cut in cuts if cut < len(data)), len(data)]
    whole, pieces = make(), make()
    first = whole.feed(data, 0) + whole.silence(0)
    second = [event for a, b in itertools.pairwise(points) for event in pieces.feed(data[a:b], 0)]
    assert first == second + pieces.silence(0)
    assert whole.discarded == pieces.discarded


@given(st.lists(st.tuples(st.integers(0, 700), st.integers(0, 3), st.integers(0, 100)), max_size=60))
def test_any_keys_are_typed_without_an_exception(keys: list[tuple[int, int, int]]) -> None:
    """Whatever keys come, a text is four to forty characters."""
    decoder, at_ns = keyboard_wedge.Decoder(), 0
    for code, value, pause_ms in keys:
        at_ns += pause_ms * 1_000_000
        text = decoder.key(code, value, at_ns)
        assert text is None or 4 <= len(text) <= 40


def typed(*keys: tuple[int, int, int]) -> list[str]:
    """The texts of keys pressed: code, value, microseconds."""
    decoder = keyboard_wedge.Decoder()
    texts = [decoder.key(code, value, at_us * 1000) for code, value, at_us in keys]
    return [text for text in texts if text is not None]


def test_the_rest_of_a_number_is_no_number() -> None:
    """Keys that the kernel dropped, or a clock set back in mid-number: nothing, and the next number is read."""
    digits = [(2 + number % 9, 1, 1_000_000 + 4000 * number) for number in range(14)]
    end = (28, 1, 1_000_000 + 4000 * 14)
    whole = "12345678912345"
    assert typed(*digits, end) == [whole]
    lost = (LOST_KEYS, 1, digits[4][2])
    assert typed(*digits[:4], lost, *digits[6:], end) == ["?" + whole[6:]]
    back = [(code, value, at_us - 900_000) for code, value, at_us in (*digits[4:], end)]
    assert typed(*digits[:4], *back) == ["?" + whole[5:]]
    assert typed((28, 1, 2_000_000), *digits, end) == [whole]
    later = [(code, value, at_us + 10_000_000) for code, value, at_us in (*digits, end)]
    assert typed(*digits[:4], lost, *later) == [whole]


def test_keys_without_an_end_are_not_kept() -> None:
    """Something that lies on the keyboard: forty signs are more than any number has."""
    keys = [(2, 1, 1_000_000 + 4000 * number) for number in range(500)]
    assert typed(*keys, (28, 1, 1_000_000 + 4000 * 500)) == ["1" * 40]


@pytest.mark.parametrize("bits", [26, 34, 37])
@given(value=st.integers(0, 2**24 - 1), at=st.integers(0, 36), change=st.sampled_from(["turned", "lost", "twice"]))
def test_a_bit_that_was_changed_lost_or_added_is_no_card(bits: int, value: int, at: int, change: str) -> None:
    """The parities find the one, the length the others."""
    good, at = wiegand.encode(value, bits), at % bits
    instead = {"turned": "10"[int(good[at])], "lost": "", "twice": good[at] * 2}[change]
    assert not isinstance(wiegand.decode(good[:at] + instead + good[at + 1 :]), wiegand.WiegandCard)


@given(st.text(alphabet="01x", max_size=40))
def test_wiegand_bits_survive_or_are_refused(stream: str) -> None:
    """What is decoded as a card encodes to the same bits."""
    card = wiegand.decode(stream)
    if isinstance(card, wiegand.WiegandCard):
        assert wiegand.encode(card.value, card.bits) == stream
