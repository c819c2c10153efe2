"""Which code in view is meant, and when it is new (drivers/qr_focus.py)."""

from __future__ import annotations

from datetime import timedelta

from drivers.devices import QrText
from drivers.qr_focus import Focus
from kiosk.credentials.gc1 import issue, show
from tests.unit.test_community_codes import COMMUNITY, NOW, PHONE, PHONE_POINT, a_code

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


def test_the_next_persons_code_waits_until_the_first_has_seen_its_verdict() -> None:
    """Two phones in view: two seconds after the first one's verdict: the second one's would wipe it off the screen."""
    focus = Focus(verdict_s=2.0)
    assert told(focus, 0.0, code("A", 0.0)) == "A"
    assert told(focus, 0.2, code("A", 0.2), code("B", 0.2, x=500)) is None
    focus.decided()
    for i in range(2, 12):
        assert told(focus, i / 5, code("A", i / 5), code("B", i / 5, x=500)) is None
    assert told(focus, 2.6, code("A", 2.6), code("B", 2.6, x=500)) == "B"


def test_the_next_person_need_not_wait_when_the_first_leaves_after_the_verdict() -> None:
    """Taken away and not seen for the time of a glance; or another phone is held where it was."""
    focus = Focus(gone_s=0.8)
    assert told(focus, 0.0, code("A", 0.0)) == "A"
    focus.decided()
    assert told(focus, 0.3, code("A", 0.3), code("B", 0.3, x=500)) is None
    assert told(focus, 1.2, code("B", 1.2, x=500)) == "B"
    focus.decided()
    assert told(focus, 1.4, code("C", 1.4, x=505)) == "C"


def test_a_health_code_held_beside_the_pass_need_not_wait() -> None:
    """The passage says that it wants a code as well: whoever holds both at once is not made to wait for a verdict."""
    focus = Focus()
    assert told(focus, 0.0, code("GP1:PASS", 0.0)) == "GP1:PASS"
    assert told(focus, 0.2, code("GP1:PASS", 0.2), code("GC1:CODE", 0.2, x=500)) is None
    focus.release()
    assert told(focus, 0.3, code("GP1:PASS", 0.3), code("GC1:CODE", 0.3, x=500)) == "GC1:CODE"


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


# A code that renews itself: a phone's GC1 is new every 30 seconds, its first part the same

BODY = "GC1:" + "4A7K9" * 40


def test_a_renewed_code_at_its_place_is_the_same_event() -> None:
    """Otherwise whoever holds the phone at the turn of half a minute would begin a second passage."""
    focus = Focus()
    assert told(focus, 0.0, code(BODY + "SHOWING-1", 0.0)) == BODY + "SHOWING-1"
    assert told(focus, 0.3, code(BODY + "SHOWING-2", 0.3, x=112)) is None
    focus.decided()
    assert [told(focus, t, code(f"{BODY}SHOWING-{t:.0f}", t, x=105)) for t in (1.0, 1.7, 2.3, 3.0, 3.6)] == [None] * 5


def test_a_renewed_code_holds_others_back_as_its_first_text_did() -> None:
    """The passage is the same one, and the next person's code still waits for its verdict."""
    focus = Focus()
    assert told(focus, 0.0, code(BODY + "1", 0.0)) == BODY + "1"
    for i in range(1, 12):
        at_s = i * 0.3
        assert told(focus, at_s, code(f"{BODY}{i // 3}", at_s), code("next", at_s, x=600)) is None
    focus.decided()
    for i in range(12, 18):
        assert told(focus, i * 0.3, code(f"{BODY}{i // 3}", i * 0.3), code("next", i * 0.3, x=600)) is None
    assert told(focus, 5.7, code(f"{BODY}9", 5.7), code("next", 5.7, x=600)) == "next"


def test_after_a_refusal_the_renewed_code_is_told() -> None:
    """The person was asked for a fresh code and shows it without taking the phone away; the old text stays quiet."""
    focus = Focus()
    assert told(focus, 0.0, code(BODY + "OLD", 0.0)) == BODY + "OLD"
    focus.decided(refused=True)
    assert told(focus, 0.5, code(BODY + "OLD", 0.5)) is None
    assert told(focus, 1.0, code(BODY + "FRESH", 1.0)) == BODY + "FRESH"


def test_another_code_that_begins_alike_is_another_when_it_stands_elsewhere_or_comes_later() -> None:
    """Two of a family, with codes of one issuer: place and the unbroken sight tell them apart."""
    for later in (code(BODY + "B", 0.3, x=420), code(BODY + "B", 0.3, side=80), code(BODY + "B", 1.5)):
        focus = Focus(verdict_s=0.1)
        assert told(focus, 0.0, code(BODY + "A", 0.0)) == BODY + "A"
        focus.decided()
        told(focus, 0.1, code(BODY + "A", 0.1))
        assert told(focus, later.at_ns / SECOND, later) == BODY + "B"


def test_two_tokens_of_one_providers_long_address_are_two_codes() -> None:
    """One phone taken away and the next held at the same place within the same second."""
    address = "https://healthcode.province.example.org/qr/v2/residents/verify?channel=gate&token="
    focus = Focus()
    assert told(focus, 0.0, code(address + "9F31C2AA7710", 0.0)) == address + "9F31C2AA7710"
    focus.decided()
    assert told(focus, 0.4, code(address + "01D5EE18BC42", 0.4)) == address + "01D5EE18BC42"


def test_a_phones_own_code_is_known_again_when_it_renews_itself() -> None:
    """The real GC1 text, half a minute later; another resident's is another."""
    shown = [show(issue(a_code(holder_key=PHONE_POINT), COMMUNITY), PHONE, NOW + timedelta(seconds=s)) for s in (0, 30)]
    others = show(issue(a_code(holder_key=PHONE_POINT, pass_hash=bytes(8)), COMMUNITY), PHONE, NOW)
    focus = Focus()
    assert told(focus, 0.0, code(shown[0], 0.0)) == shown[0]
    assert shown[1] != shown[0]
    assert told(focus, 0.3, code(shown[1], 0.3)) is None
    focus.decided()
    assert told(focus, 0.6, code(others, 0.6)) == others


# A code that stays but cannot always be read


def test_a_decided_code_that_is_seen_and_not_read_for_a_while_is_still_the_same() -> None:
    """Glare passes over a phone held still: no second event when it is read again five seconds later."""
    focus = Focus(forget_s=3.0)
    assert told(focus, 0.0, code("A", 0.0)) == "A"
    focus.decided()
    for i in range(1, 12):
        seen = code("?", 0.0, x=100 + i).corners
        assert focus.observe([], int(i * 0.45 * SECOND), [seen]) is None
    assert told(focus, 5.2, code("A", 5.2)) is None


def test_a_pattern_by_chance_keeps_a_code_that_left_for_ten_seconds_at_most() -> None:
    """A grille at the place where the phone was is no phone."""
    focus = Focus(forget_s=3.0)
    assert told(focus, 0.0, code("A", 0.0)) == "A"
    focus.decided()
    for i in range(1, 40):
        focus.observe([], int(i * 0.4 * SECOND), [code("?", 0.0).corners])
    assert told(focus, 16.0, code("A", 16.0)) == "A"
