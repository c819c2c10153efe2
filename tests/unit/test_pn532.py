"""The PN532: vectors under any cut, command bytes, and a whole conversation with the simulated chip."""

from __future__ import annotations

import contextlib
import itertools
import json
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.cards import pn532_commands, pn532_frames
from drivers.cards.pn532 import Pn532Conversation
from drivers.devices import Broken, CardHint, CardProof, CardTap, DeviceFault, FaultKind, ProofKind, ProofOutcome
from drivers.errors import FrameError
from drivers.simulators.pn532 import Pn532Player, UidCard, uid_card
from tests.conftest import VECTORS
from tests.wire_loop import MS, WireLoop

HSU = json.loads((VECTORS / "cards" / "pn532_hsu.json").read_text())
SEVEN = bytes.fromhex("042D18EC3F937A")
FOUR = bytes.fromhex("5AE2B3DE")


def shown(event: pn532_frames.Frame) -> dict[str, str]:
    """A frame in the words of the vectors."""
    match event:
        case pn532_frames.Ack():
            return {"type": "ack"}
        case pn532_frames.Nack():
            return {"type": "nack"}
        case pn532_frames.ErrorFrame():
            return {"type": "error_frame"}
        case pn532_frames.Message(code=code, data=data):
            return {"type": "response", "code": f"{code:02X}", "data": data.hex().upper()}
        case pn532_frames.BadFrame(defect=defect):
            return {"bad": defect.value}


def played(chunks: list[bytes], gaps_ms: list[int]) -> tuple[list[dict[str, str]], set[str], list[bytes]]:
    decoder = pn532_frames.Decoder()
    frames: list[pn532_frames.Frame] = []
    for chunk, gap_ms in zip(chunks, gaps_ms, strict=True):
        if gap_ms >= 100:
            frames += decoder.silence(0)
        frames += decoder.feed(chunk, 0)
    frames += decoder.silence(0)
    words = [shown(event) for event in frames]
    lists = [event.data for event in frames if isinstance(event, pn532_frames.Message) and event.code == 0x4B]
    return [w for w in words if "type" in w], {w["bad"] for w in words if "bad" in w}, lists


@pytest.mark.parametrize("case", HSU["commands"], ids=lambda case: case["id"])
def test_a_command_is_built_byte_for_byte(case: dict[str, Any]) -> None:
    """Every published command frame comes out of the builder exactly."""
    built = pn532_commands.command(int(case["command"], 16), bytes.fromhex(case["params"]))
    assert built.hex().upper() == case["frame"]


def test_named_commands_are_the_published_ones() -> None:
    """The commands that the conversation uses are the vectors' own."""
    frames = {case["id"]: bytes.fromhex(case["frame"]) for case in HSU["commands"]}
    assert pn532_commands.get_firmware_version() == frames["GetFirmwareVersion"]
    assert pn532_commands.sam_configuration() == frames["SAMConfiguration normal"]
    assert pn532_commands.in_list_passive_target(1) == frames["InListPassiveTarget 1 x 106A"]
    assert pn532_commands.in_data_exchange(1, bytes.fromhex("3004")) == frames["InDataExchange MIFARE read block 4"]
    assert pn532_commands.field_off() == frames["RFConfiguration field off"]


@pytest.mark.parametrize("case", HSU["streams"], ids=lambda case: case["id"])
def test_a_stream_gives_its_events_however_it_is_cut(case: dict[str, Any]) -> None:
    """As written, byte by byte and in 20 random cuts, the same frames come out and the same defects are named."""
    chunks = [bytes.fromhex(chunk) for chunk in case["chunks"]]
    gaps = case.get("gap_before_ms", [0] * len(chunks))
    rng = random.Random(case["id"])
    for attempt in range(22):
        cut_chunks, cut_gaps = [], []
        for chunk, gap in zip(chunks, gaps, strict=True):
            probability = (0.0, 1.0)[attempt] if attempt < 2 else rng.random()
            points = [0, *(i for i in range(1, len(chunk)) if rng.random() < probability), len(chunk)]
            pieces = [chunk[a:b] for a, b in itertools.pairwise(points)]
            cut_chunks += pieces
            cut_gaps += [gap] + [0] * (len(pieces) - 1)
        events, defects, lists = played(cut_chunks, cut_gaps)
        assert events == case["expect"]["events"]
        assert defects >= set(case["expect"]["errors_at_least"])
        wanted = case["expect"].get("target")
        if wanted:
            targets = pn532_commands.parse_targets(lists[-1])
            assert len(targets) == wanted["targets"]
            for target in targets:
                assert f"{target.atqa:04X}" == wanted["atqa"]
                assert f"{target.sak:02X}" == wanted["sak"]
                assert target.uid.hex().upper() == wanted["uid"]
                assert target.ats.hex().upper() == wanted["ats"]
                assert target.random_uid == (wanted.get("uid_kind") == "random")


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=12))
def test_random_bytes_never_raise_and_the_next_good_frame_is_read(chunks: list[bytes]) -> None:
    """After any garbage and a silence a good answer is read, and the cut of the garbage does not matter."""
    whole, pieces = pn532_frames.Decoder(), pn532_frames.Decoder()
    first = whole.feed(b"".join(chunks), 0)
    second = [event for chunk in chunks for event in pieces.feed(chunk, 0)]
    assert first == second
    whole.silence(0)
    answer = whole.feed(bytes.fromhex("0000FF03FDD54B00E000"), 0)
    assert [shown(event) for event in answer] == [{"type": "response", "code": "4B", "data": "00"}]


@given(st.binary(min_size=0, max_size=263))
def test_frames_of_every_length_come_back(data: bytes) -> None:
    """Normal and extended frames are read as they were built, start codes inside the data included."""
    decoder = pn532_frames.Decoder()
    (event,) = decoder.feed(pn532_frames.frame(bytes((0xD5, 0x41)) + data), 0)
    assert isinstance(event, pn532_frames.Message)
    assert (event.code, event.data) == (0x41, data)
    assert decoder.discarded == 0


@given(st.binary(max_size=64))
@settings(max_examples=200)
def test_a_list_of_cards_is_read_or_refused(data: bytes) -> None:
    """Whatever stands in an answer, it is at most two targets or a FrameError."""
    with contextlib.suppress(FrameError):
        assert len(pn532_commands.parse_targets(data)) <= 2


@pytest.mark.parametrize("uid", ["", "11", "1122334455", "112233445566", "11" * 11])
def test_a_uid_of_a_length_that_no_card_has_is_refused(uid: str) -> None:
    """ISO/IEC 14443-3 knows 4, 7 and 10 bytes: another length is a list out of order, not a shorter card."""
    number = bytes.fromhex(uid)
    with pytest.raises(FrameError):
        pn532_commands.parse_targets(b"\x01\x01\x00\x04\x08" + bytes((len(number),)) + number)


def test_an_answer_to_select_of_no_length_is_refused() -> None:
    """The first byte of an ATS is its own length, and counts itself."""
    card = b"\x01\x03\x44\x20\x07" + SEVEN
    assert pn532_commands.parse_targets(b"\x01" + card + b"\x01")[0].ats == b"\x01"
    for ats in (b"\x00", b"\x02"):
        with pytest.raises(FrameError):
            pn532_commands.parse_targets(b"\x01" + card + ats)


def reader(*, dialogue: Any = None, **options: Any) -> tuple[WireLoop, Pn532Player]:
    player = Pn532Player()
    loop = WireLoop(Pn532Conversation(dialogue), player, **options).begin()
    return loop, player


def taps(loop: WireLoop) -> list[CardTap]:
    return [event for _, event in loop.events if isinstance(event, CardTap)]


def test_the_reader_proves_itself_and_a_tap_is_told_at_once() -> None:
    """Wake-up, SAMConfiguration, firmware; then a card is reported within 60 ms of entering the field."""
    loop, player = reader()
    loop.run(100)
    assert loop.proven == ["PN532 firmware 1.6"]
    assert loop.sent[0][1] == bytes.fromhex("5555" + "00" * 14 + "0000FF03FDD414011700")
    at_ns = loop.now_ns
    player.put(uid_card(SEVEN), 400 * MS)
    loop.run(1000)
    ((seen_ns, tap),) = loop.events
    assert isinstance(tap, CardTap)
    assert (tap.uid, tap.atqa, tap.sak, tap.ats.hex()) == (SEVEN, 0x0344, 0x20, "067777710280")
    assert seen_ns - at_ns < 60 * MS


def test_a_card_held_in_the_field_is_one_presentation() -> None:
    """20 seconds in the field give one tap; coming back after it was away gives the second."""
    loop, player = reader()
    player.put(uid_card(FOUR), 20_000 * MS)
    loop.run(21_000)
    assert [tap.uid for tap in taps(loop)] == [FOUR]
    player.put(uid_card(FOUR), 200 * MS)
    loop.run(1000)
    assert [tap.uid for tap in taps(loop)] == [FOUR, FOUR]


def test_a_flicker_shorter_than_300_ms_is_the_same_presentation() -> None:
    """A card that is lost for 150 ms by a bad angle is not tapped twice."""
    loop, player = reader()
    player.put(uid_card(FOUR), 300 * MS)
    loop.run(450)
    player.put(uid_card(FOUR), 300 * MS)
    loop.run(1000)
    assert len(taps(loop)) == 1


def test_the_next_persons_card_is_a_tap_at_once() -> None:
    """Two people in a hurry: another card 50 ms after the first one left is another presentation."""
    loop, player = reader()
    loop.run(100)
    player.put(uid_card(FOUR), 200 * MS)
    loop.run(250)
    player.put(uid_card(SEVEN), 200 * MS)
    loop.run(250)
    assert [tap.uid for tap in taps(loop)] == [FOUR, SEVEN]


def test_two_cards_are_one_hint_and_the_last_one_out_is_no_tap() -> None:
    """A wallet with two cards reports cards_in_field=2 once; the card that leaves last opens nothing."""
    loop, player = reader()
    player.put(uid_card(FOUR), 500 * MS)
    player.put(uid_card(SEVEN), 700 * MS)
    loop.run(1500)
    (tap,) = taps(loop)
    assert tap.cards_in_field == 2
    player.put(uid_card(SEVEN), 200 * MS)
    loop.run(500)
    assert [(tap.uid, tap.cards_in_field) for tap in taps(loop)][1:] == [(SEVEN, 1)]


def test_after_two_cards_a_third_counts_only_when_the_field_was_empty() -> None:
    """A hand that changes cards before the reader: nobody can tell which one was meant, until it starts afresh."""
    third = bytes.fromhex("7B00C1D2")
    loop, player = reader()
    player.put(uid_card(FOUR), 400 * MS)
    player.put(uid_card(SEVEN), 400 * MS)
    loop.run(500)
    player.put(uid_card(third), 600 * MS)
    loop.run(1200)
    assert [tap.cards_in_field for tap in taps(loop)] == [2]
    player.put(uid_card(third), 300 * MS)
    loop.run(500)
    assert [tap.uid for tap in taps(loop)][1:] == [third]


class Phone(UidCard):
    """A phone: another random UID each time that the field returns."""

    def power_off(self) -> None:
        self.uid = bytes((0x08, *random.Random(self.uid).randbytes(3)))


def test_a_phone_with_random_uids_is_one_presentation() -> None:
    """New random UIDs after each field reset do not become new taps, and are marked."""
    loop, player = reader()
    player.put(Phone(bytes.fromhex("08DD0573")), 3000 * MS)
    loop.run(4000)
    (tap,) = taps(loop)
    assert tap.random_uid


def test_a_random_uid_is_asked_nothing() -> None:
    """There is no card to find keys for."""

    def never(tap: CardTap) -> Any:
        raise AssertionError(tap)

    loop, player = reader(dialogue=never)
    player.put(Phone(bytes.fromhex("08DD0573")), 500 * MS)
    loop.run(1000)
    (tap,) = taps(loop)
    assert tap.random_uid
    assert tap.proof is None


def test_a_lost_ack_is_asked_for_again() -> None:
    """The first three frames to the host vanish; the conversation repeats itself and the reader is proven."""
    lost = iter([True, True, True])
    loop, _ = reader(to_host=lambda data: b"" if next(lost, False) else data)
    loop.run(900)
    assert loop.proven


def test_a_damaged_answer_is_asked_for_again_with_nack() -> None:
    """One flipped bit in the list of cards costs a NACK, not the tap."""
    damage = iter([True])

    def flip(data: bytes) -> bytes:
        if data[5:7] == b"\xd5\x4b" and data[7] == 1 and next(damage, False):
            return data[:9] + bytes((data[9] ^ 0x10,)) + data[10:]
        return data

    loop, player = reader(to_host=flip)
    player.put(uid_card(SEVEN), 300 * MS)
    loop.run(600)
    assert [tap.uid for tap in taps(loop)] == [SEVEN]
    assert pn532_frames.NACK in [data for _, data in loop.sent]


def test_a_reader_that_lost_its_power_is_set_up_again_without_a_word() -> None:
    """After a brown-out the chip sleeps and has forgotten its retries: it is woken and polled as before."""
    loop, player = reader()
    loop.run(200)
    player.command({"do": "power_on"})
    loop.run(3000)
    assert loop.broken is None
    player.put(uid_card(SEVEN), 300 * MS)
    loop.run(500)
    assert [tap.uid for tap in taps(loop)] == [SEVEN]
    polls = [at for at, data in loop.sent if b"\xd4\x4a" in data]
    assert polls[-1] - polls[-2] < 100 * MS


def test_a_hanging_command_is_aborted_by_an_ack() -> None:
    """When the chip acknowledges and never answers, the host aborts with an ACK and starts over."""
    stuck = iter([True])

    def hang(data: bytes) -> bytes:
        return b"" if data[5:7] == b"\xd5\x4b" and next(stuck, False) else data

    loop, _ = reader(to_host=hang)
    loop.run(2500)
    sent = [data for _, data in loop.sent]
    assert sent[sent.index(pn532_frames.ACK) + 1].startswith(b"\x55\x55")
    assert loop.broken is None


def test_silence_is_reported_within_a_second_and_garbage_as_garbage() -> None:
    """A dead reader is SILENT, one that answers only NACK is GARBLED, another chip is WRONG_DEVICE."""
    silent, _ = reader(to_host=lambda data: b"")
    silent.run(1000)
    assert silent.broken is not None
    assert silent.broken.kind is FaultKind.SILENT
    garbled, _ = reader(to_host=lambda data: data[:6].replace(pn532_frames.ACK, pn532_frames.ERROR))
    garbled.run(5000)
    assert garbled.broken is not None
    other, _ = reader(
        to_host=lambda data: data.replace(b"\xd5\x03\x32", b"\xd5\x03\x33").replace(b"\xe8\x00", b"\xe7\x00")
    )
    other.run(1000)
    assert other.broken is not None
    assert other.broken.kind is FaultKind.WRONG_DEVICE


def test_a_late_answer_to_an_earlier_command_is_not_taken_for_this_one() -> None:
    """An answer counts only behind the ACK of its own command."""
    conversation = Pn532Conversation()
    conversation.begin(0)
    for answer in ("0000FF02FED5151600", "0000FF06FAD50332010607E800", "0000FF02FED533F800"):
        conversation.receive(pn532_frames.ACK + bytes.fromhex(answer), 0)
    conversation.receive(pn532_frames.ACK + bytes.fromhex("0000FF02FED533F800"), 0)
    conversation.wake(conversation.wake_at_ns())
    card = bytes.fromhex("0000FF0CF4D54B0101000408045AE2B3DE0100")
    assert conversation.receive(card, 0) == []
    exchanged = pn532_frames.frame(b"\xd5\x41" + bytes.fromhex("0101000408045AE2B3DE"))
    assert conversation.receive(pn532_frames.ACK + exchanged, 0) == [], "an answer to another command"
    assert isinstance(conversation.receive(card, 0)[0], CardTap)


def test_a_nack_or_error_frame_of_the_reader_is_answered_by_the_command_again() -> None:
    """What the chip could not read is said again, behind a wake-up; six times in a row is a fault."""
    conversation = Pn532Conversation()
    conversation.begin(0)
    conversation.receive(pn532_frames.ACK + bytes.fromhex("0000FF02FED5151600"), 0)
    for refusal in (pn532_frames.NACK, pn532_frames.ERROR):
        (step,) = conversation.receive(refusal, 0)
        assert step.data == pn532_commands.WAKE_UP + pn532_commands.get_firmware_version()
    for _ in range(4):
        (step,) = conversation.receive(pn532_frames.NACK, 0)
    assert isinstance(step, Broken)
    assert step.kind is FaultKind.GARBLED


def test_a_line_that_fails_for_a_while_is_no_absence_of_the_card() -> None:
    """Answers lost for 450 ms while a card is held: still one presentation."""
    loop, player = reader()
    player.put(uid_card(FOUR), 4000 * MS)
    loop.run(500)
    loop.to_host = lambda data: b""
    loop.run(450)
    loop.to_host = lambda data: data
    loop.run(1000)
    assert loop.broken is None
    assert len(taps(loop)) == 1


@pytest.mark.parametrize("lost", ["ack", "answer"])
def test_a_card_whose_listing_was_lost_is_found_again(lost: str) -> None:
    """The chip has listed the card, the host never heard of it: the field is switched off, the card is told."""
    once = iter([True])

    def lose(data: bytes) -> bytes:
        listing = data[5:7] == b"\xd5\x4b" and data[7] == 1
        here = listing if lost == "answer" else data == pn532_frames.ACK and b"\xd4\x4a" in loop.sent[-1][1]
        return b"" if here and next(once, False) else data

    loop, player = reader()
    loop.run(200)
    player.put(uid_card(SEVEN), 1500 * MS)
    loop.to_host = lose
    loop.run(1500)
    assert [tap.uid for tap in taps(loop)] == [SEVEN]


def test_an_echoing_adapter_changes_nothing() -> None:
    """Own commands that come back first are passed over."""
    player = Pn532Player()
    loop = WireLoop(Pn532Conversation(), player)
    loop.to_host = lambda data: loop.sent[-1][1] + data if data == pn532_frames.ACK else data
    loop.begin()
    player.put(uid_card(FOUR), 200 * MS)
    loop.run(1000)
    assert [tap.uid for tap in taps(loop)] == [FOUR]


@pytest.mark.parametrize("seed", range(2))
def test_noise_on_the_wire_costs_time_but_no_wrong_uid(seed: int) -> None:
    """1 % flipped bytes both ways over 20 taps: every tap told is a real one, and nearly all are told."""
    rng = random.Random(seed)

    def noisy(data: bytes) -> bytes:
        return bytes(byte ^ (rng.randrange(1, 256) if rng.random() < 0.01 else 0) for byte in data)

    loop, player = reader(to_host=noisy, to_device=noisy)
    cards = [rng.randbytes(4).replace(b"\x08", b"\x09") for _ in range(20)]
    for card in cards:
        player.put(uid_card(card), 500 * MS)
        loop.run(900)
        if loop.broken:
            loop.begin()
    told = [tap.uid for tap in taps(loop)]
    assert set(told) <= set(cards)
    assert len(set(told)) > 16


def test_thirty_idle_days_do_not_slow_the_poll() -> None:
    """The poll interval, the buffers and the first tap after 30 days on the clock are those of the first second."""
    loop, player = reader()
    loop.run(1000)
    early = [at for at, data in loop.sent if b"\xd4\x4a" in data][-20:]
    for day in range(30):
        loop.now_ns = (day + 1) * 86_400 * 1_000_000_000
        loop.begin() if day == 14 else None
        loop.run(2000)
        loop.sent = loop.sent[-60:]
    late = [at for at, data in loop.sent if b"\xd4\x4a" in data][-20:]
    assert late[-1] - late[0] == pytest.approx(early[-1] - early[0], rel=0.01)
    at_ns = loop.now_ns
    player.put(uid_card(SEVEN), 300 * MS)
    loop.run(400)
    assert loop.events[-1][0] - at_ns < 60 * MS
    assert not loop.conversation._missed_ns.keys() - {SEVEN}


@pytest.mark.campaign
def test_thirty_days_of_polls_one_by_one() -> None:
    """Every poll of 30 idle days, with a reader that answers after 0.9 s: the last is as quick as the first."""
    conversation = Pn532Conversation()
    conversation.begin(0)
    now_ns, answers = 0, {0x14: "0000FF02FED5151600", 0x02: "0000FF06FAD50332010607E800", 0x32: "0000FF02FED533F800"}
    conversation.receive(pn532_frames.ACK + bytes.fromhex(answers[0x14]), now_ns)
    conversation.receive(pn532_frames.ACK + bytes.fromhex(answers[0x02]), now_ns)
    conversation.receive(pn532_frames.ACK + bytes.fromhex(answers[0x32]), now_ns)
    conversation.receive(pn532_frames.ACK + bytes.fromhex(answers[0x32]), now_ns)
    conversation.wake(now_ns := conversation.wake_at_ns())
    no_card = pn532_frames.ACK + bytes.fromhex("0000FF03FDD54B00E000")
    poll = pn532_commands.in_list_passive_target(2)
    while now_ns < 30 * 86_400 * 1_000_000_000:
        now_ns += 900 * MS
        (step,) = conversation.receive(no_card, now_ns)
        assert step.data == poll


class Talker(UidCard):
    """A type 4 card that answers each APDU with its own bytes reversed."""

    def apdu(self, command: bytes) -> bytes:
        return command[::-1] + b"\x90\x00"


def talk(tap: CardTap) -> Any:
    """Two APDUs, then genuine if both answers were right."""
    good = (yield b"\x01\x02") == b"\x02\x01\x90\x00"
    good = (yield bytes(range(200))) == bytes(range(199, -1, -1)) + b"\x90\x00" and good
    return CardProof(kind=ProofKind.EV2, outcome=ProofOutcome.GENUINE if good else ProofOutcome.WRONG_KEY)


def test_a_dialogue_runs_over_apdus_and_its_proof_is_in_the_tap() -> None:
    """The exchange is carried by InDataExchange; one tap carries the proof."""
    loop, player = reader(dialogue=talk)
    player.put(Talker(SEVEN, 0x0344, 0x20, bytes.fromhex("067777710280")), 1000 * MS)
    loop.run(2000)
    (tap,) = taps(loop)
    assert tap.proof is not None
    assert tap.proof.outcome is ProofOutcome.GENUINE


def test_keys_that_cannot_be_read_are_a_fault_and_a_tap_without_proof() -> None:
    """A damaged key file does not take the reader out of service."""

    def unreadable(tap: CardTap) -> Any:
        raise FrameError("card keys", seen="a damaged file")

    loop, player = reader(dialogue=unreadable)
    player.put(uid_card(SEVEN), 1000 * MS)
    loop.run(2000)
    fault, tap = (event for _, event in loop.events)
    assert isinstance(fault, DeviceFault)
    assert fault.transient
    assert (tap.uid, tap.proof) == (SEVEN, None)


def long_talk(tap: CardTap) -> Any:
    """Ninety APDUs, which take over 300 ms."""
    for number in range(90):
        yield bytes((number,))
    return CardProof(kind=ProofKind.EV2, outcome=ProofOutcome.GENUINE)


def test_a_long_exchange_is_no_absence() -> None:
    """A card that talks for longer than the debounce time is still one presentation."""
    loop, player = reader(dialogue=long_talk)
    player.put(Talker(SEVEN, 0x0344, 0x20, bytes.fromhex("067777710280")), 2500 * MS)
    loop.run(4000)
    assert loop.events[0][0] > 400 * MS
    assert len(taps(loop)) == 1


def test_a_card_pulled_away_in_the_exchange_is_a_hint_and_no_tap() -> None:
    """A torn tap says to hold the card longer."""
    loop, player = reader(dialogue=talk)
    loop.run(100)
    player.put(Talker(SEVEN, 0x0344, 0x20, bytes.fromhex("067777710280")), 40 * MS)
    loop.run(1000)
    assert taps(loop) == []
    assert [type(event) for _, event in loop.events] == [CardHint]


def test_a_card_that_keeps_breaking_off_is_one_hint() -> None:
    """Three broken exchanges with a card that stays give one hint, and no more while it is held."""

    class Stubborn(Talker):
        def apdu(self, command: bytes) -> bytes:
            return b"" if len(command) < 5 else b"\x00"

    def stubborn(tap: CardTap) -> Any:
        yield b"\x01"
        raise FrameError("card", seen="", expected="an answer")

    loop, player = reader(dialogue=stubborn)
    player.put(Stubborn(SEVEN, 0x0344, 0x20, bytes.fromhex("067777710280")), 3000 * MS)
    loop.run(4000)
    assert taps(loop) == []
    assert len(loop.events) == 1


@pytest.mark.parametrize("more", [b"\x40", b"\x40\x00"], ids=["nothing", "a byte"])
def test_an_answer_without_an_end_is_left_and_the_next_card_is_read(more: bytes) -> None:
    """A card that says "more follows" for ever, with nothing or with a byte each time: a hint within four seconds."""
    loop, player = reader(dialogue=talk)
    endless = pn532_frames.frame(b"\xd5\x41" + more)
    loop.to_host = lambda data: endless if data[5:7] == b"\xd5\x41" and loop.now_ns < 5000 * MS else data
    loop.run(100)
    card = Talker(SEVEN, 0x0344, 0x20, bytes.fromhex("067777710280"))
    player.put(card, 4000 * MS)
    loop.run(4500)
    assert [type(event) for _, event in loop.events] == [CardHint]
    loop.run(1000)
    player.put(card, 500 * MS)
    loop.run(700)
    assert [tap.uid for tap in taps(loop)] == [SEVEN]
