"""What all sensor decoders promise, whatever the bytes; and the makers' printed frames."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from drivers.devices import BodyHint, DeviceFault, DistanceReading, FaultKind, TemperatureReading, ThermalFrame
from drivers.thermometers import aa55_kiosk, dyp_distance, gy_614v3, gy_mcu90615, gy_mcu90640
from drivers.thermometers.aa55_kiosk import Encoding

PIXELS = tuple(2200 + index % 40 for index in range(gy_mcu90640.PIXELS))


@dataclass(frozen=True)
class Protocol:
    """A decoder, one good frame of it, and its beginning."""

    decoder: Callable[[], Any]
    frame: bytes
    header: bytes


PROTOCOLS = {
    "gy_mcu90615": Protocol(gy_mcu90615.Decoder, gy_mcu90615.encode(36.5, 25.1), gy_mcu90615.HEADER),
    "gy_614v3": Protocol(gy_614v3.Decoder, gy_614v3.encode(36.5, 25.1, 37.0), gy_614v3.HEADER),
    "aa55 bcd": Protocol(
        lambda: aa55_kiosk.Decoder(Encoding.BCD), aa55_kiosk.encode(36.5, Encoding.BCD), aa55_kiosk.HEADER
    ),
    "aa55 int_dec": Protocol(
        lambda: aa55_kiosk.Decoder(Encoding.INT_DEC), aa55_kiosk.encode(36.5, Encoding.INT_DEC), aa55_kiosk.HEADER
    ),
    "dyp_distance": Protocol(dyp_distance.Decoder, dyp_distance.encode(650), dyp_distance.HEADER),
    "gy_mcu90640": Protocol(gy_mcu90640.Decoder, gy_mcu90640.encode(PIXELS, 25.1), gy_mcu90640.HEADER),
}


def mutated(protocol: Protocol, draw: random.Random) -> bytes:
    """A stream of frames, torn, doubled, flipped, with garbage and headers between them."""
    pieces = []
    for _ in range(draw.randrange(1, 6)):
        frame = bytearray(protocol.frame)
        match draw.randrange(6):
            case 0:
                frame[draw.randrange(len(frame))] ^= 1 << draw.randrange(8)
            case 1:
                del frame[draw.randrange(len(frame)) :]
            case 2:
                del frame[draw.randrange(len(frame))]
            case 3:
                frame[0:0] = protocol.header[: draw.randrange(len(protocol.header) + 1)]
            case 4:
                frame = bytearray(draw.randbytes(draw.randrange(20)))
            case _:
                pass
        pieces.append(bytes(frame))
    return b"".join(pieces)


def check_stream(protocol: Protocol, stream: bytes, cuts: list[int]) -> None:
    """The promises: independent of the cuts, every byte accounted for, the next good frame read after silence."""
    whole, cut = protocol.decoder(), protocol.decoder()
    read = getattr(whole, "parse", whole.feed)
    expected = read(stream, 0)
    read = getattr(cut, "parse", cut.feed)
    points = [0, *sorted(cuts), len(stream)]
    found = [event for a, b in itertools.pairwise(points) for event in read(stream[a:b], 0)]
    assert found == expected
    assert (cut.discarded, cut.pending) == (whole.discarded, whole.pending)
    assert cut.pending < len(protocol.frame)
    taken = sum(4 if isinstance(event, gy_mcu90640.EmissivityReply) else len(protocol.frame) for event in found)
    assert cut.discarded + cut.pending + taken == len(stream)
    cut.silence(1)
    assert cut.pending == 0
    assert [event.at_ns for event in cut.feed(protocol.frame, 2)] == [2]


@pytest.mark.parametrize("name", PROTOCOLS)
def test_mutated_streams_keep_every_promise(name: str) -> None:
    """Torn, flipped, doubled and garbage-laden streams, by seed."""
    protocol, draw = PROTOCOLS[name], random.Random(20)
    for _ in range(1000):
        stream = mutated(protocol, draw)
        check_stream(protocol, stream, [draw.randrange(len(stream) + 1) for _ in range(draw.randrange(6))])


@pytest.mark.campaign
@pytest.mark.parametrize("name", PROTOCOLS)
def test_a_million_streams_keep_every_promise(name: str) -> None:
    """The same at full length."""
    protocol, draw = PROTOCOLS[name], random.Random(21)
    for number in range(1_000_000):
        stream = mutated(protocol, draw) if number % 2 else draw.randbytes(draw.randrange(64))
        check_stream(protocol, stream, [draw.randrange(len(stream) + 1) for _ in range(draw.randrange(6))])


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(sorted(PROTOCOLS)), st.binary(max_size=80), st.lists(st.integers(0, 80), max_size=4))
def test_arbitrary_bytes_keep_every_promise(name: str, stream: bytes, cuts: list[int]) -> None:
    """Whatever the bytes and the cuts."""
    check_stream(PROTOCOLS[name], stream, [min(cut, len(stream)) for cut in cuts])


def test_printed_frames() -> None:
    """Frames as the makers print them: kiosk modules 36.7 and 37.0, distance 1953 mm."""
    int_dec, bcd = aa55_kiosk.Decoder(Encoding.INT_DEC), aa55_kiosk.Decoder(Encoding.BCD)
    assert int_dec.feed(bytes.fromhex("aa5506240730"), 0) == [BodyHint(body_c=36.7, at_ns=0)]
    assert bcd.feed(bytes.fromhex("aa5506037078"), 0) == [BodyHint(body_c=37.0, at_ns=0)]
    assert dyp_distance.Decoder().feed(bytes.fromhex("ff07a1a7"), 0) == [DistanceReading(distance_mm=1953, at_ns=0)]


def test_the_wrong_coding_gives_nothing_that_looks_like_skin() -> None:
    """Every value of 30.0 to 43.0 of either coding, read with the other: a fault or an impossible figure."""
    for tenths in range(300, 431):
        for sent, read in itertools.permutations(Encoding):
            [event] = aa55_kiosk.Decoder(read).feed(aa55_kiosk.encode(tenths / 10, sent), 0)
            if isinstance(event, DeviceFault):
                assert event.kind is FaultKind.OUT_OF_RANGE
                assert event.transient
            else:
                assert isinstance(event, BodyHint)
                assert not event.plausible_skin


def test_a_modules_own_figures_stand_beside_the_raw_one() -> None:
    """GY-614V3 tells emissivity and "body"; the object temperature stays raw."""
    [reading] = gy_614v3.Decoder().feed(gy_614v3.encode(34.2, -3.5, 36.6, 0.98), 9)
    assert reading == TemperatureReading(object_c=34.2, ambient_c=-3.5, body_c=36.6, emissivity=0.98, at_ns=9)


def test_a_picture_keeps_its_order_and_its_words() -> None:
    """768 pixels row by row, below zero included; the emissivity reply between two pictures is kept aside."""
    pixels = (-27315, *PIXELS[1:])
    decoder = gy_mcu90640.Decoder()
    stream = gy_mcu90640.encode(pixels, -4.25) + bytes.fromhex("5a5a5f13") + gy_mcu90640.encode(PIXELS, 25.0)
    first, second = decoder.feed(stream, 3)
    assert isinstance(first, ThermalFrame)
    assert first.pixels_centi_c == pixels
    assert (first.rows, first.columns, first.ambient_c, first.offset) == (24, 32, -4.25, 0)
    assert isinstance(second, ThermalFrame)
    assert second.offset == 1548
    assert decoder.emissivity == 0.95


def test_an_emissivity_reply_behind_a_torn_picture_is_found() -> None:
    """A torn picture waits for its rest; silence ends it and what stands behind it is read."""
    decoder = gy_mcu90640.Decoder()
    assert decoder.feed(gy_mcu90640.encode(PIXELS, 25.0)[:900] + bytes.fromhex("5a5a6216"), 0) == []
    assert decoder.silence(1) == []
    assert decoder.emissivity == 0.98
    assert decoder.discarded == 900
