"""Which phone is meant: streams of whole pictures with one, two and many codes, through the real engines.

Frames of 640x480 come fifteen a second by a clock of their own. What the gate would do, decide, is done by the test.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest
import segno

from drivers.camera import Frame
from drivers.opencv import cv2
from drivers.qr import QrReader
from drivers.qr_stream import StreamReader

FPS = 15
SECOND = 1_000_000_000


@dataclass(frozen=True)
class Phone:
    """A phone with a code of ``side`` pixels, its middle at (x, y), held with a tremor of ``sway`` pixels."""

    text: str
    x: float
    y: float = 240.0
    side: float = 160.0
    sway: float = 1.5


@cache
def _code(text: str) -> np.ndarray:
    out = io.BytesIO()
    segno.make_qr(text, error="m").save(out, kind="png", scale=6)
    picture = cv2.imdecode(np.frombuffer(out.getvalue(), np.uint8), cv2.IMREAD_GRAYSCALE)
    assert picture is not None
    return picture


def view(number: int, phones: list[Phone]) -> np.ndarray:
    """The lane with these phones in it, nearer ones before farther ones, in a sensor's noise."""
    rng = np.random.default_rng(number)
    frame = np.full((480, 640), 105, np.float32)
    frame[:, 450:] = 140
    for phone in sorted(phones, key=lambda p: p.side):
        picture = _code(phone.text)
        scale = phone.side / picture.shape[1]
        sway = phone.sway * np.array([np.sin(number * 1.1), np.cos(number * 0.7)])
        left, top = np.array([phone.x, phone.y]) + sway - phone.side / 2
        place = np.array([[scale, 0, left], [0, scale, top]], np.float32)
        cv2.warpAffine(
            picture.astype(np.float32), place, (640, 480), frame, cv2.INTER_AREA, cv2.BORDER_TRANSPARENT
        )  # fmt: skip
    return np.clip(frame + rng.normal(0, 3, frame.shape), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def reader() -> Iterator[QrReader]:
    reader = QrReader(use_zbar=False)
    yield reader
    reader.close()


class Lane:
    """A stream with its clock; ``told`` lists what it told and when, in seconds."""

    def __init__(self, reader: QrReader) -> None:
        self.stream = StreamReader(reader)
        self.told: list[tuple[str, float]] = []
        self.number = 0

    def show(self, seconds: float, phones: Callable[[float], list[Phone]] | list[Phone]) -> list[str]:
        """Show this for so long; the texts told meanwhile. A function is asked anew for each frame."""
        before, began = len(self.told), self.number
        for _ in range(round(seconds * FPS)):
            at_s = (self.number - began) / FPS
            shown = phones(at_s) if callable(phones) else phones
            self.number += 1
            frame = Frame(view(self.number, shown), self.number * SECOND // FPS, self.number)
            text = self.stream.take(frame)
            if text is not None:
                self.told.append((text.text, self.number / FPS))
        return [text for text, _ in self.told[before:]]


@pytest.fixture
def lane(reader: QrReader) -> Lane:
    lane = Lane(reader)
    assert lane.show(0.5, []) == []
    return lane


NEAR = Phone("GC1:NEAR", 220, side=230)
FAR = Phone("GC1:FAR", 500, y=180, side=110)


def test_of_two_phones_that_come_together_the_nearer_is_told_and_the_other_waits(lane: Lane) -> None:
    """The first within half a second; the second two seconds after the first's verdict; neither again."""
    assert lane.show(0.5, [FAR, NEAR]) == ["GC1:NEAR"]
    assert lane.show(3.0, [FAR, NEAR]) == []
    lane.stream.decided()
    assert lane.show(1.8, [FAR, NEAR]) == []
    assert lane.show(0.7, [FAR, NEAR]) == ["GC1:FAR"]
    lane.stream.decided()
    assert lane.show(6.0, [FAR, NEAR]) == [], "both are decided and still held"


def test_the_second_phone_has_its_turn_when_the_nearer_one_leaves(lane: Lane) -> None:
    """Without a verdict: somebody changed their mind and went."""
    assert lane.show(0.5, [NEAR, FAR]) == ["GC1:NEAR"]
    leaving = lane.show(2.0, lambda t: [Phone("GC1:NEAR", 220 - 700 * t, side=230), FAR])
    assert leaving == ["GC1:FAR"]
    assert lane.told[-1][1] - lane.told[-2][1] < 2.0


def test_a_phone_that_comes_nearer_does_not_take_the_turn_of_the_one_before_it(lane: Lane) -> None:
    """The far one was there first and is being decided; the one that is pushed in before it waits."""
    assert lane.show(0.5, [FAR]) == ["GC1:FAR"]
    assert lane.show(2.0, lambda t: [FAR, Phone("GC1:NEAR", 640 - min(t, 0.6) * 700, side=230)]) == []
    lane.stream.decided()
    assert lane.show(2.7, [FAR, NEAR]) == ["GC1:NEAR"]


def test_a_hand_over_at_the_same_place_is_two_people(lane: Lane) -> None:
    """One phone goes after its verdict and the next is held where it was, without a gap that would tell them apart."""
    first, second = Phone("GC1:FIRST", 320, side=200), Phone("GC1:SECOND", 322, side=205)
    assert lane.show(1.0, [first]) == ["GC1:FIRST"]
    lane.stream.decided()
    assert lane.show(0.4, [second]) == ["GC1:SECOND"]
    assert lane.show(2.0, [second]) == []


def test_a_hand_over_before_the_verdict_waits_until_the_first_is_seen_to_be_gone(lane: Lane) -> None:
    """A second's patience: a code that was covered for a moment is not taken for another person's."""
    first, second = Phone("GC1:FIRST", 320, side=200), Phone("GC1:SECOND", 322, side=205)
    assert lane.show(1.0, [first]) == ["GC1:FIRST"]
    assert lane.show(0.6, [second]) == []
    assert lane.show(0.8, [second]) == ["GC1:SECOND"]


def test_a_phone_carried_past_close_to_the_camera_does_not_take_the_turn_of_one_held_still(lane: Lane) -> None:
    """The larger one moves by its width in a second; the steady one wins, although it is farther away."""
    walker = lane.show(0.8, lambda t: [FAR, Phone("GC1:WALKER", 140 + 200 * t, y=330, side=230)])
    assert walker[:1] == ["GC1:FAR"]


def test_a_phone_held_on_and_on_is_one_event(lane: Lane) -> None:
    """Undecided for four seconds, then decided, with the tremor of a hand; put away for a moment and shown again."""
    phone = Phone("HC1:" + "6BFOXN" * 20, 300, side=260)
    assert lane.show(4.0, [phone]) == [phone.text]
    lane.stream.decided()
    assert lane.show(12.0, [phone]) == []
    assert lane.show(2.5, []) == [], "put away for a moment"
    assert lane.show(5.0, [phone]) == []
    assert lane.show(3.5, []) == []
    assert lane.show(0.5, [phone]) == [phone.text], "gone for more than three seconds: presented anew"


def test_a_poster_on_the_wall_costs_everybody_nothing(lane: Lane) -> None:
    """It is told once, at the start; then each phone before it is told at once."""
    poster = Phone("https://example.org/poster", 560, y=120, side=90, sway=0)
    assert lane.show(5.0, [poster]) == [poster.text]
    lane.stream.decided(refused=True)
    for visitor in range(3):
        phone = Phone(f"GC1:VISITOR-{visitor}", 250, side=200)
        assert lane.show(0.5, [poster, phone]) == [phone.text]
        lane.stream.decided()
        assert lane.show(1.0, [poster]) == []


def test_many_codes_on_one_sheet_are_told_one_after_the_other_each_once(lane: Lane) -> None:
    """A family's sheet: five codes, five verdicts, nobody twice."""
    sheet = [Phone(f"GC1:CHILD-{i}", 110 + 210 * (i % 3), y=130 + 200 * (i // 3), side=130 + 6 * i) for i in range(5)]
    seen = []
    for _ in range(5):
        told = lane.show(2.8 if seen else 0.8, sheet)
        assert len(told) == 1, (told, seen)
        seen += told
        lane.stream.decided()
    assert sorted(seen) == sorted(phone.text for phone in sheet)
    assert lane.show(3.0, sheet) == []
