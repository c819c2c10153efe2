"""What comes next in a lane (``kiosk/passage_advance.py``): what is asked for, what rests, what ends by itself."""

from __future__ import annotations

from dataclasses import replace

import pytest

from config.policy import load_policy
from drivers.devices import CardTap
from kiosk.board import Hint, Phase
from kiosk.passage_advance import advance, time_passed
from kiosk.passage_bench import Bench
from kiosk.passage_events import Commit, PassageClosed, TimePassed, VerifyCard
from kiosk.passage_state import Kept, Opened, Queued
from kiosk.reasons import Passed
from kiosk.screening import Watch, by_contact_thermometer
from tests.lane import COURIER, GREEN, NORMAL_SKIN_C, REVOKED_CARD, Lane, bench_of, somebody

NS = 1_000_000_000
CASE, CLEAR = load_policy("case"), load_policy("clear")
NORMAL = by_contact_thermometer(36.6)


def next_of(lane: Lane, **known: object) -> Bench:
    bench = bench_of(lane, person=somebody(lane, **known), phase=Phase.IDENTIFYING)
    advance(bench)
    return bench


def decides(bench: Bench) -> bool:
    return any(isinstance(effect, Commit) for effect in bench.effects)


@pytest.mark.parametrize(
    ("known", "hint"),
    [
        ({}, Hint.TAP_CARD),
        ({"code": GREEN}, Hint.TAP_CARD),
        ({"code_parts": (1, 2)}, Hint.NEXT_CODE),
    ],
)
def test_the_screen_asks_for_one_thing(known: dict[str, object], hint: Hint) -> None:
    """A card before a code; the rest of a code in several parts first, since it is in the holder's hand."""
    bench = next_of(Lane(policy=CLEAR), **known)
    assert bench.state.hint is hint
    assert bench.state.phase is Phase.IDENTIFYING
    assert not decides(bench)


def test_the_rest_of_a_code_is_asked_for_only_where_something_reads_it() -> None:
    """The camera failed between two parts: the card, which can still be read."""
    lane = Lane(policy=CLEAR)
    lane.unplug("camera")
    assert next_of(lane, code_parts=(1, 2)).state.hint is Hint.TAP_CARD


def test_a_card_holder_who_lacks_a_code_is_asked_for_it_and_waited_for() -> None:
    """For the policy's time; then it is decided without."""
    lane = Lane(policy=CASE)
    bench = next_of(lane, card=COURIER)
    assert (bench.state.hint, bench.person().waiting_for) == (Hint.SHOW_CODE, ("code",))
    lane.s = 20.0
    late = replace(bench, now=lane.now)
    late.person(temperature=NORMAL)
    advance(late)
    assert decides(late)


def test_at_the_deadline_it_is_decided_without_what_is_missing() -> None:
    """Not a nanosecond later; as long as it is waited for, no measuring window runs out."""
    lane = Lane(policy=CASE)
    known = {"card": COURIER, "temperature": NORMAL, "measuring_since_ns": 1, "measure_by_ns": 2}
    waiting = next_of(lane, **{**known, "deadline_ns": lane.ns + 1})
    assert not decides(waiting)
    assert (waiting.person().measuring_since_ns, waiting.person().measure_by_ns) == (None, None)
    assert decides(next_of(lane, **{**known, "deadline_ns": lane.ns}))


def test_with_everything_shown_the_face_is_what_is_missing() -> None:
    """A code that is still missing comes first: nobody is held still before a sensor while looking for a phone."""
    lane = Lane(policy=CASE)
    shown = next_of(lane, card=COURIER, code=GREEN)
    assert (shown.state.phase, shown.person().waiting_for) == (Phase.MEASURING, ("temperature",))
    without = next_of(lane, card=COURIER)
    assert without.state.phase is Phase.IDENTIFYING
    late = next_of(lane, card=COURIER, deadline_ns=lane.ns)
    assert decides(late), "at the deadline the code stays missing, and no face changes that"


def test_a_card_that_is_no_good_waits_for_no_server() -> None:
    """Whatever the look-up would have said of the code."""
    lane = Lane(policy=CASE)
    known = {"code": GREEN, "awaited": "code:1", "await_by_ns": lane.ns + NS, "temperature": NORMAL}
    assert decides(next_of(lane, card=REVOKED_CARD, **known))


def test_nobody_is_sent_for_a_phone_whose_card_is_no_good() -> None:
    """A revoked card is decided at once."""
    assert decides(next_of(Lane(policy=CASE), card=REVOKED_CARD))


def test_an_answer_is_waited_for_until_its_deadline() -> None:
    """Then the credential counts as never verified: no evidence, and no reason to wait for ever."""
    lane = Lane(policy=CASE)
    bench = next_of(lane, pending="card:04a1")
    assert (bench.person().pending, bench.effects) == ("card:04a1", [])
    lane.s = 20.0
    late = replace(bench, now=lane.now)
    advance(late)
    assert decides(late)


def test_an_online_answer_is_waited_for_on_the_screen() -> None:
    """ "Checking the code", for as long as the look-up may take."""
    lane = Lane(policy=CASE)
    known = {"card": COURIER, "code": GREEN, "awaited": "code:1", "temperature": NORMAL}
    waiting = next_of(lane, await_by_ns=lane.ns + 1, **known)
    assert (waiting.state.hint, waiting.person().waiting_for) == (Hint.CHECKING_CODE, ("lookup",))
    assert decides(next_of(lane, await_by_ns=lane.ns, **known))
    assert decides(next_of(lane, await_by_ns=lane.ns + 1, **{**known, "awaited": ""})), "it has answered"


@pytest.mark.parametrize(
    ("broken", "phase"),
    [((), Phase.IDLE), (("camera",), Phase.IDLE), (("reader",), Phase.IDLE), (("reader", "camera"), Phase.FAULT)],
)
def test_a_lane_that_can_read_nothing_is_at_fault(broken: tuple[str, ...], phase: Phase) -> None:
    """One of the two is enough to go on; a lane that has neither built in only rests."""
    lane = Lane()
    for name in broken:
        lane.unplug(name)
    bench = bench_of(lane)
    advance(bench)
    assert (bench.state.phase, bench.state.hint) == (phase, Hint.NONE if phase is Phase.FAULT else Hint.TAP_OR_SHOW)
    bare = bench_of(Lane(devices={"thermo": "thermometer"}))
    advance(bare)
    assert bare.state.phase is Phase.IDLE


@pytest.mark.parametrize(("served", "phase"), [(6, Phase.IDENTIFYING), (7, Phase.IDLE)])
def test_somebody_who_only_stands_there_is_spoken_to_once(served: int, phase: Phase) -> None:
    """Not the one whose verdict has just been read."""
    lane = Lane()
    bench = bench_of(lane, watch=Watch(number=7, since_ns=lane.ns), served_presence=served)
    advance(bench)
    assert bench.state.phase is phase
    assert bench.state.hint is Hint.TAP_OR_SHOW


def test_who_waited_for_a_turn_has_it_when_the_hold_is_over() -> None:
    """And not before; a turn that was not taken within the time is given up."""
    lane = Lane()
    lane.face(NORMAL_SKIN_C, 1.0)
    lane.tap("04a1")
    turn = Queued(event=CardTap(uid=bytes.fromhex("04a2"), at_ns=lane.ns), until_ns=lane.ns + 20 * NS)
    for after_s, until_ns, asked in ((2.9, turn.until_ns, 0), (3.0, turn.until_ns, 1), (3.0, lane.ns, 0)):
        bench = bench_of(lane, queued=replace(turn, until_ns=until_ns))
        bench.now = replace(lane.now, mono_ns=lane.ns + int(after_s * NS))
        time_passed(bench, TimePassed(at_ns=bench.ns))
        assert len([e for e in bench.effects if isinstance(e, VerifyCard)]) == asked, after_s
        assert not asked or bench.state.phase is Phase.IDENTIFYING


def test_a_verdict_that_is_not_written_yet_is_not_over() -> None:
    """However late the journal is, nobody's turn comes over it."""
    lane = Lane()
    lane.face(NORMAL_SKIN_C, 1.0)
    lane.tap("04a1")
    turn = Queued(event=CardTap(uid=bytes.fromhex("04a2"), at_ns=lane.ns), until_ns=lane.ns + 20 * NS)
    bench = bench_of(lane, queued=turn, decided=replace(lane.state.decided, committed=False))
    bench.now = replace(lane.now, mono_ns=lane.ns + 10 * NS)
    time_passed(bench, TimePassed(at_ns=bench.ns))
    assert (bench.state.phase, bench.state.queued) == (Phase.DECIDED, turn)


@pytest.mark.parametrize(("since_s", "alarmed"), [(299, False), (300, True)])
def test_time_alone_raises_the_alarm_for_whoever_is_stranded(since_s: int, alarmed: bool) -> None:
    """Also over a verdict that stands on the screen."""
    lane = Lane()
    lane.tap("04ff")
    stranded_ns = lane.ns + (300 - since_s) * NS
    kept = Kept(subject="a1", passage="in-0", since_ns=1, referral=False, stranded_ns=stranded_ns)
    bench = bench_of(lane, kept=(kept,), phase=Phase.DECIDED)
    time_passed(bench, TimePassed(at_ns=bench.ns))
    assert bench.state.kept[0].alarmed is alarmed


@pytest.mark.parametrize(("contact", "there"), [(False, False), (True, True)])
def test_who_is_not_seen_any_more_has_stepped_away(contact: bool, there: bool) -> None:
    """Half a second without a warm reading; a presence contact says so itself."""
    lane = Lane(presence_contact=contact)
    watch = Watch(number=7, since_ns=lane.ns, warm_at_ns=lane.ns)
    bench = bench_of(lane, watch=watch)
    bench.now = replace(lane.now, mono_ns=lane.ns + NS // 2)
    time_passed(bench, TimePassed(at_ns=bench.ns))
    assert bench.state.watch.present is there


def test_somebody_waited_for_is_looked_at_again_when_time_passes() -> None:
    """The deadline is an instant like any other; so is the end of a turn in the queue."""
    lane = Lane(policy=CASE)
    turn = Queued(event=CardTap(uid=bytes.fromhex("04a2"), at_ns=lane.ns), until_ns=lane.ns)
    person = somebody(lane, card=COURIER, temperature=NORMAL, deadline_ns=lane.ns)
    bench = bench_of(lane, person=person, phase=Phase.IDENTIFYING, queued=turn)
    time_passed(bench, TimePassed(at_ns=bench.ns))
    assert decides(bench)
    assert bench.state.queued is None


def test_who_did_not_go_through_in_time_has_not_passed() -> None:
    """At ten seconds, in every phase."""
    lane = Lane()
    for until_ns, closed in ((lane.ns + 1, []), (lane.ns, [Passed.NO])):
        bench = bench_of(lane, opened=Opened(passage="in-1", until_ns=until_ns))
        time_passed(bench, TimePassed(at_ns=lane.ns))
        assert [e.passed for e in bench.effects if isinstance(e, PassageClosed)] == closed
