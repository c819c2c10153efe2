"""GY-MCU90615: frames, cuts, the window under accidental good sums, and the conversation's proof and silence."""

from __future__ import annotations

import itertools
import json
import statistics

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from drivers.devices import Broken, DeviceFault, FaultKind, Proven, Send, Step, TemperatureReading
from drivers.thermometers.gy_mcu90615 import (
    CONTINUOUS,
    FACTS_90614,
    FACTS_90615,
    FRAME_BYTES,
    HEADER,
    Decoder,
    GyMcu90615Conversation,
    encode,
)
from tests.conftest import VECTORS

MS = 1_000_000


def test_the_makers_printed_example() -> None:
    """The frame printed in the maker's sheet is 31.92 degC object, 33.53 degC chip."""
    [reading] = Decoder().feed(bytes.fromhex("5a5a45040c780d19a7"), 5)
    assert reading == TemperatureReading(object_c=31.92, ambient_c=33.53, at_ns=5, offset=0)
    assert encode(31.92, 33.53).hex() == "5a5a45040c780d19a7"


def test_the_hotter_sister_has_a_wider_range() -> None:
    """300 degC is a fault of a 90615 and a reading of a 90614."""
    frame = encode(300.0, 25.0)
    [fault] = Decoder().feed(frame, 0)
    assert isinstance(fault, DeviceFault)
    assert fault.kind is FaultKind.OUT_OF_RANGE
    assert fault.transient
    [reading] = Decoder(FACTS_90614).feed(frame, 0)
    assert isinstance(reading, TemperatureReading)
    assert reading.object_c == 300.0


def test_silence_ends_a_frame_that_has_begun() -> None:
    """A frame whose end was lost is not completed with the first byte of another one."""
    decoder = Decoder()
    whole = encode(36.0, 25.0)
    assert decoder.feed(whole[:8], 0) == []
    assert decoder.pending == 8
    assert decoder.silence(1) == []
    assert decoder.discarded == 8
    assert decoder.feed(whole[8:] + whole, 2) == [
        TemperatureReading(object_c=36.0, ambient_c=25.0, at_ns=2, offset=FRAME_BYTES)
    ]


FRAMES = st.builds(
    lambda object_raw, ambient_raw: encode(object_raw / 100, ambient_raw / 100),
    st.integers(-4000, 11500),
    st.integers(-4000, 8500),
)
PIECES = st.lists(st.one_of(FRAMES, st.binary(max_size=12), st.just(HEADER[:3])), max_size=12)


@settings(max_examples=150, deadline=None)
@given(PIECES, st.lists(st.integers(0, 120), max_size=8))
def test_the_result_does_not_depend_on_the_cuts(pieces: list[bytes], cuts: list[int]) -> None:
    """Any stream, cut anywhere, gives the events of the uncut stream, and every byte is accounted for."""
    stream = b"".join(pieces)
    whole, cut = Decoder(), Decoder()
    expected = whole.feed(stream, 0)
    points = sorted({0, len(stream), *(point for point in cuts if point < len(stream))})
    found = [event for a, b in itertools.pairwise(points) for event in cut.feed(stream[a:b], 0)]
    assert found == expected
    assert cut.discarded + cut.pending + FRAME_BYTES * len(found) == len(stream)
    assert cut.pending < FRAME_BYTES


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=60), FRAMES)
def test_the_next_good_frame_is_read_after_any_garbage(garbage: bytes, frame: bytes) -> None:
    """After arbitrary bytes and the silence behind them, a whole frame is read."""
    decoder = Decoder()
    decoder.feed(garbage, 0)
    decoder.silence(0)
    events = decoder.feed(frame, 7)
    assert [event.at_ns for event in events] == [7]


def test_accidental_good_sums_do_not_move_a_robust_window() -> None:
    """The cases tagged "window": the median of the case's readings stays within 0.10 degC of the truth."""
    file = json.loads((VECTORS / "thermometers" / "gy_mcu90615.json").read_text())
    cases = [case for case in file["cases"] if "window" in case["tags"]]
    assert cases
    for case in cases:
        events = Decoder().feed(bytes.fromhex("".join(case["chunks"])), 0)
        readings = [event.object_c for event in events if isinstance(event, TemperatureReading)]
        assert statistics.median(readings) == pytest.approx(case["true_object_median_c"], abs=0.10)


def test_a_stuck_sensor_can_be_told_by_its_readings() -> None:
    """The cases tagged "stuck" give at least the number of identical readings in a row that screening looks for."""
    file = json.loads((VECTORS / "thermometers" / "gy_mcu90615.json").read_text())
    for case in file["cases"]:
        if "stuck" in case["tags"]:
            events = Decoder().feed(bytes.fromhex("".join(case["chunks"])), 0)
            values = {(event.object_c, event.ambient_c) for event in events if isinstance(event, TemperatureReading)}
            assert len(events) >= FACTS_90615.stuck_after_frames
            assert len(values) == 1


def kinds(steps: list[Step]) -> list[str]:
    """What a list of steps consists of."""
    return [type(step).__name__ for step in steps]


def test_three_good_frames_are_the_proof() -> None:
    """The conversation asks for continuous mode, and is proven behind the third frame, garbage or not."""
    talk = GyMcu90615Conversation()
    assert talk.begin(0) == [Send(CONTINUOUS)]
    assert kinds(talk.receive(b"\x00\xff" + encode(23.0, 25.0), 100 * MS)) == ["TemperatureReading"]
    assert kinds(talk.receive(encode(23.1, 25.0), 200 * MS)) == ["TemperatureReading"]
    assert kinds(talk.receive(encode(23.0, 25.0), 300 * MS)) == ["TemperatureReading", "Proven"]
    assert kinds(talk.receive(encode(23.1, 25.0), 400 * MS)) == ["TemperatureReading"]


def test_the_first_words_are_repeated_until_the_proof() -> None:
    """A module that was still starting when the port was opened is asked again, a proven one is left alone."""
    talk = GyMcu90615Conversation()
    talk.begin(0)
    assert talk.wake_at_ns() == 250 * MS
    assert talk.wake(250 * MS) == [Send(CONTINUOUS)]
    for number in range(3):
        talk.receive(encode(23.0, 25.0), (300 + 100 * number) * MS)
    talk.wake(560 * MS)
    assert talk.wake_at_ns() == 1500 * MS


@pytest.mark.parametrize(
    ("heard", "kind"),
    [
        (b"", FaultKind.SILENT),
        (b"\x5a\x5a\x45\x04garbage", FaultKind.GARBLED),
        (encode(327.67, 25.0), FaultKind.OUT_OF_RANGE),
    ],
)
def test_a_second_without_a_reading_breaks_the_conversation(heard: bytes, kind: FaultKind) -> None:
    """Silence, garbage and a sensor that sends only impossible values are told apart."""
    talk = GyMcu90615Conversation()
    talk.begin(0)
    for number in range(3):
        steps = talk.receive(encode(23.0, 25.0), number * 100 * MS)
    assert isinstance(steps[-1], Proven)
    if heard:
        talk.receive(heard, 300 * MS)
    assert kinds(talk.wake(1199 * MS)) == []
    [broken] = [step for step in talk.wake(1200 * MS) if isinstance(step, Broken)]
    assert broken.kind is kind


def test_frames_that_waited_are_dated_back() -> None:
    """Three frames in one read were not spoken at once: a period of 100 ms lies between them."""
    talk = GyMcu90615Conversation()
    talk.begin(0)
    steps = talk.receive(encode(23.0, 25.0) * 3, 900 * MS)
    assert [step.at_ns for step in steps if isinstance(step, TemperatureReading)] == [700 * MS, 800 * MS, 900 * MS]


def test_a_pause_inside_a_frame_discards_it() -> None:
    """60 ms without a byte end a frame that has begun, so that no reading mixes two frames."""
    talk = GyMcu90615Conversation()
    talk.begin(0)
    talk.receive(encode(23.0, 25.0)[:8], 0)
    talk.wake(60 * MS)
    assert talk.discarded == 8
    assert talk.receive(encode(23.0, 25.0)[8:], 61 * MS) == []
