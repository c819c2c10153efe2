"""Which code in view is meant, and when it is new (drivers/qr_focus.py)."""

from __future__ import annotations

from drivers.devices import QrText
from drivers.qr_focus import Focus

SECOND = 1_000_000_000


def code(name: str, at_s: float, *, x: float = 100, side: float = 200) -> QrText:
    corners = ((x, 50.0), (x + side, 50.0), (x + side, 50 + side), (x, 50 + side))
    return QrText(text=name, data=name.encode(), corners=corners, engine="test", at_ns=int(at_s * SECOND))


def told(focus: Focus, at_s: float, *codes: QrText) -> str | None:
    text = focus.observe(codes, int(at_s * SECOND))
    return text.text if text else None


def test_a_single_code_is_told_at_its_first_sighting_and_once_while_it_stays() -> None:
    """Nobody waits for a second look, and a phone held still is one event."""
    focus = Focus()
    assert told(focus, 0.0, code("A", 0.0)) == "A"
    assert [told(focus, t / 10, code("A", t / 10)) for t in range(1, 300)] == [None] * 299


def test_a_code_that_left_is_the_same_event_until_it_has_been_gone_long_enough() -> None:
    """A hand that shakes the code out of view for two seconds does not present it twice."""
    focus = Focus(forget_s=3.0)
    assert told(focus, 0.0, code("A", 0.0)) == "A"
    assert told(focus, 2.9, code("A", 2.9)) is None
    assert told(focus, 6.0, code("A", 6.0)) == "A"


def test_the_next_persons_code_waits_until_the_first_is_decided() -> None:
    """Two phones in view: the second is told after the first one's verdict, not during its passage."""
    focus = Focus()
    assert told(focus, 0.0, code("A", 0.0)) == "A"
    assert told(focus, 0.2, code("A", 0.2), code("B", 0.2, x=500)) is None
    focus.decided()
    assert told(focus, 0.4, code("A", 0.4), code("B", 0.4, x=500)) == "B"


def test_the_next_persons_code_is_told_when_the_first_has_left() -> None:
    """Without a verdict the second waits only until the first is out of view."""
    focus = Focus(gone_s=0.8)
    assert told(focus, 0.0, code("A", 0.0)) == "A"
    assert told(focus, 0.5, code("B", 0.5)) is None
    assert told(focus, 1.0, code("B", 1.0)) == "B"


def test_a_poster_in_view_does_not_block_the_gate() -> None:
    """A code that never leaves and is never decided holds others back for its time only."""
    focus = Focus(wait_s=4.0)
    assert told(focus, 0.0, code("poster", 0.0)) == "poster"
    for i in range(1, 9):
        assert told(focus, i / 2, code("poster", i / 2), code("B", i / 2, x=600)) is None
    assert told(focus, 4.1, code("poster", 4.1), code("B", 4.1, x=600)) == "B"


def test_of_two_new_codes_the_nearest_steady_one_wins() -> None:
    """The larger code is told once it is seen to be steady."""
    focus = Focus()
    assert told(focus, 0.0, code("far", 0.0, side=100), code("near", 0.0, x=400, side=300)) is None
    assert told(focus, 0.1, code("far", 0.1, side=100), code("near", 0.1, x=402, side=300)) == "near"


def test_of_two_new_codes_the_steady_one_goes_before_a_larger_one_that_moves() -> None:
    """Someone walking past close to the camera does not take the turn of the one who holds still."""
    focus = Focus()
    assert told(focus, 0.0, code("still", 0.0), code("walker", 0.0, x=400, side=400)) is None
    assert told(focus, 0.1, code("still", 0.1), code("walker", 0.1, x=700, side=400)) == "still"


def test_after_the_settling_time_the_nearest_is_taken_even_if_nothing_is_steady() -> None:
    """Two trembling hands do not wait for ever."""
    focus = Focus(settle_s=0.4)
    for i in range(4):
        at_s = i / 10
        assert told(focus, at_s, code("A", at_s, x=i * 90.0), code("B", at_s, x=i * 99.0, side=150)) is None
    assert told(focus, 0.4, code("A", 0.4, x=500), code("B", 0.4, x=600, side=150)) == "A"


def test_the_next_picture_of_a_folder_is_always_new() -> None:
    """The same text in another picture is another presentation."""
    focus = Focus()
    assert told(focus, 0.0, code("A", 0.0)) == "A"
    focus.forget()
    assert told(focus, 0.1, code("A", 0.1)) == "A"


def test_a_flood_of_different_codes_is_bounded() -> None:
    """A screen that shows a thousand codes a minute does not fill the memory."""
    focus = Focus(forget_s=100)
    for i in range(2000):
        told(focus, i / 100, code(f"c{i}", i / 100))
    assert len(focus._tracks) <= 64
