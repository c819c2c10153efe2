"""Cards and codes as they are presented (``kiosk/passage_credentials.py``): held, joined, queued, answered."""

from __future__ import annotations

from dataclasses import replace

import pytest

from drivers.devices import CardTap, QrText
from kiosk.board import Hint, Phase
from kiosk.evidence import CodeFinding
from kiosk.passage_bench import Bench
from kiosk.passage_credentials import (
    MAX_SIGHTINGS,
    another_credential,
    code_awaited,
    code_incomplete,
    code_verified,
    credential_after_verdict,
    first_credential,
    gone,
    pass_verified,
    torn,
)
from kiosk.passage_events import (
    CodeAwaited,
    CodeIncomplete,
    CodeVerified,
    CredentialGone,
    PassVerified,
    RaiseAlarm,
    TapTorn,
    VerifyCard,
    VerifyCode,
)
from kiosk.reasons import Reason
from tests.lane import EXPIRED, GREEN, NORMAL_SKIN_C, RESIDENT, Lane, bench_of, somebody

NS = 1_000_000_000
NEEDS_NETWORK = CodeFinding(refusal=Reason.CODE_NEEDS_ONLINE, kind="online")


def tap(uid: str = "04a1", **more: object) -> CardTap:
    return CardTap(uid=bytes.fromhex(uid), at_ns=0, **more)


def code(text: str = "HC1:green") -> QrText:
    return QrText(text=text, data=text.encode(), corners=(), engine="test", at_ns=0)


def asked(bench: Bench) -> list[str]:
    return [effect.credential for effect in bench.effects if isinstance(effect, VerifyCard | VerifyCode)]


@pytest.mark.parametrize(
    ("event", "hint"),
    [
        (tap(cards_in_field=2), Hint.ONE_CARD_ONLY),
        (tap(random_uid=True), Hint.USE_REAL_CARD),
    ],
)
def test_two_cards_or_a_number_drawn_at_random_name_nobody(event: CardTap, hint: Hint) -> None:
    """Said on the screen, also in the middle of a passage; over a verdict it is not said."""
    idle, running = bench_of(Lane()), bench_of(Lane(), person=somebody(Lane()), phase=Phase.IDENTIFYING)
    first_credential(idle, event)
    another_credential(running, event)
    for bench in (idle, running):
        assert bench.state.hint is hint
        assert asked(bench) == []
    lane = Lane()
    lane.face(NORMAL_SKIN_C, 1.0)
    lane.tap("04a1")
    over = bench_of(lane)
    credential_after_verdict(over, replace(event, uid=bytes.fromhex("04a2")))
    assert (over.state.hint, asked(over)) == (Hint.NONE, [])


@pytest.mark.parametrize(("event", "pause_s"), [(tap(), 1.0), (code(), 3.0)])
def test_what_is_held_counts_once_until_it_was_away(event: CardTap | QrText, pause_s: float) -> None:
    """A card for a second, a code (which a camera misses for longer) for three; each sight of it begins that anew."""
    lane = Lane()
    bench = bench_of(lane)
    for seen, times in ((0.0, 1), (pause_s - 0.1, 1), (2 * pause_s - 0.2, 1), (3 * pause_s - 0.2, 2)):
        lane.s = seen
        bench = replace(bench, now=lane.now)
        bench.put(person=None, decided=None)
        first_credential(bench, event)
        assert len(asked(bench)) == times, seen


def test_a_source_that_holds_nothing_any_more_makes_the_next_one_new() -> None:
    """A folder of pictures moves on: the same code is another presentation at once."""
    bench = bench_of(Lane())
    first_credential(bench, code())
    gone(bench, CredentialGone(at_ns=0))
    bench.put(person=None)
    first_credential(bench, code())
    assert len(asked(bench)) == 2


def test_only_the_last_eight_sights_are_remembered() -> None:
    """A flood of cards does not grow without end."""
    bench = bench_of(Lane())
    for number in range(20):
        bench.put(person=None)
        first_credential(bench, tap(f"04{number:02x}"))
    assert len(bench.state.sightings) == MAX_SIGHTINGS
    assert bench.state.sightings[-1].key == "card:0413"


def test_another_kind_joins_and_a_second_of_the_same_kind_waits_its_turn() -> None:
    """Pass and code are one person's; a second card is the next one's, for as long as the policy waits."""
    lane = Lane()
    person = somebody(lane, card=RESIDENT, card_key="card:04a1")
    joined = bench_of(lane, person=person)
    another_credential(joined, code())
    assert joined.person().pending == asked(joined)[0]
    queued = bench_of(lane, person=person)
    another_credential(queued, tap("04a2"))
    assert asked(queued) == []
    assert queued.state.hint is Hint.WAIT_FOR_YOUR_TURN
    assert queued.state.queued is not None
    assert (queued.state.queued.event, queued.state.queued.until_ns) == (tap("04a2"), lane.ns + 20 * NS)


def test_the_passages_own_credential_is_not_another_one() -> None:
    """Seen again after a while, it changes nothing and waits for no turn."""
    lane = Lane()
    for known in ({"card": RESIDENT, "card_key": "card:04a1"}, {"pending": "card:04a1"}):
        bench = bench_of(lane, person=somebody(lane, **known))
        another_credential(bench, tap())
        assert (asked(bench), bench.state.queued) == ([], None)


def test_a_code_may_be_shown_again_after_a_refused_one_and_not_after_a_good_one() -> None:
    """Expired: another one takes its place. Green: the second one is somebody else's."""
    lane = Lane()
    bench = bench_of(lane, person=somebody(lane, code=EXPIRED, code_key="code:1"))
    another_credential(bench, code())
    assert len(asked(bench)) == 1
    bench = bench_of(lane, person=somebody(lane, code=GREEN, code_key="code:1"))
    another_credential(bench, code())
    assert asked(bench) == []
    assert bench.state.queued is not None


def test_while_one_answer_is_awaited_nothing_else_is_asked() -> None:
    """A code that comes while the card is looked up waits."""
    lane = Lane()
    bench = bench_of(lane, person=somebody(lane, pending="card:04a1"))
    another_credential(bench, code())
    assert asked(bench) == []
    assert bench.state.queued is not None


def test_before_the_verdict_is_written_the_next_credential_waits() -> None:
    """Nobody's passage begins over one whose record is on its way."""
    lane = Lane()
    lane.face(NORMAL_SKIN_C, 1.0)
    lane.tap("04a1")
    assert lane.state.decided is not None
    bench = bench_of(lane, decided=replace(lane.state.decided, committed=False))
    credential_after_verdict(bench, tap("04a2"))
    assert asked(bench) == []
    assert bench.state.queued is not None
    written = bench_of(lane)
    credential_after_verdict(written, tap("04a2"))
    assert asked(written) == ["card:04a2"]


def test_a_card_held_while_it_waits_for_its_turn_waits_no_longer_for_that() -> None:
    """Its time counts from when it was first seen, however often the reader reports it."""
    lane = Lane()
    bench = bench_of(lane, person=somebody(lane, card=RESIDENT, card_key="card:04a1"))
    another_credential(bench, tap("04a2"))
    first = bench.state.queued
    lane.s += 0.5
    bench = replace(bench, now=lane.now)
    another_credential(bench, tap("04a2"))
    assert bench.state.queued == first


def test_with_nobody_identified_yet_a_credential_begins_the_passage() -> None:
    """Somebody stood there unrecognised; there is nobody for it to join, and it begins once."""
    bench = bench_of(Lane(), phase=Phase.IDENTIFYING)
    another_credential(bench, tap())
    another_credential(bench, tap())
    assert asked(bench) == ["card:04a1"]
    assert bench.state.queued is None


def after_admission(after_s: float = 2.0, *, there: str = "same", **known: object) -> Bench:
    """A resident was let in by card; ``known`` of their passage is changed, ``there`` is who stands there by now."""
    lane = Lane()
    lane.face(NORMAL_SKIN_C, 1.0)
    lane.tap("04a1")
    decided, watch = lane.state.decided, lane.state.watch
    assert decided is not None
    assert decided.person.presence == watch.number
    now_there = {
        "same": watch,
        "nobody": replace(watch, since_ns=None),
        "next": replace(watch, number=watch.number + 1),
    }[there]
    lane.s += after_s
    person = replace(decided.person, **known)
    return bench_of(lane, decided=replace(decided, person=person), watch=now_there, sightings=())


@pytest.mark.parametrize(("after_s", "times"), [(2.9, 0), (3.0, 1)])
def test_the_card_that_was_just_let_in_is_nothing_new_for_three_seconds(after_s: float, times: int) -> None:
    """``same_card_s``: a holder who taps twice to be sure; after it the same card is somebody at the gate."""
    bench = after_admission(after_s)
    credential_after_verdict(bench, tap())
    assert len(asked(bench)) == times


@pytest.mark.parametrize(
    ("there", "known", "times"),
    [
        ("same", {}, 0),
        ("same", {"presence": None}, 0),
        ("nobody", {"presence": None}, 0),
        ("nobody", {}, 1),
        ("next", {}, 1),
        ("same", {"code_key": "code:1"}, 1),
        ("same", {"card_key": "", "code_key": "code:1"}, 1),
        ("same", {"card_key": ""}, 1),
    ],
    ids=[
        "still there",
        "never seen",
        "never seen, gone",
        "gone",
        "the next",
        "had a code",
        "came by code",
        "by neither",
    ],
)
def test_a_code_that_was_not_needed_is_the_admitted_ones_as_long_as_they_stand_there(
    there: str, known: dict[str, object], times: int
) -> None:
    """Card tapped, let in, and the phone already in the hand; whoever steps up next is the next."""
    bench = after_admission(there=there, **known)
    credential_after_verdict(bench, code())
    assert len(asked(bench)) == times


def test_a_card_after_a_code_is_another_persons() -> None:
    """A card is never "not needed": it says who somebody is."""
    bench = after_admission(card_key="", code_key="code:1")
    credential_after_verdict(bench, tap("04a2"))
    assert asked(bench) == ["card:04a2"]


def test_a_card_that_left_too_early_is_told_unless_a_verdict_stands_there() -> None:
    """ "Once more", but never over ADMIT or DENY."""
    lane = Lane()
    bench = bench_of(lane, phase=Phase.IDLE)
    torn(bench, TapTorn(at_ns=0))
    assert bench.state.hint is Hint.CARD_AGAIN
    bench = bench_of(lane, phase=Phase.DECIDED, hint=Hint.NONE)
    torn(bench, TapTorn(at_ns=0))
    assert bench.state.hint is Hint.NONE


def test_an_answer_to_another_question_is_too_late() -> None:
    """It changes nobody's passage."""
    lane = Lane()
    person = somebody(lane, pending="code:mine")
    for answer in (
        lambda b: pass_verified(b, PassVerified(finding=RESIDENT, credential="card:old", at_ns=0)),
        lambda b: code_verified(b, CodeVerified(finding=GREEN, credential="code:old", at_ns=0)),
        lambda b: code_awaited(b, CodeAwaited(finding=NEEDS_NETWORK, credential="code:old", until_ns=1, at_ns=0)),
        lambda b: code_incomplete(b, CodeIncomplete(credential="code:old", seen=1, total=2, at_ns=0)),
    ):
        bench = bench_of(lane, person=person)
        answer(bench)
        assert bench.state.person == person
        nobody = bench_of(lane, person=None)
        answer(nobody)
        assert nobody.state.person is None


def test_a_part_of_a_code_is_followed_by_the_wait_for_the_next() -> None:
    """Two of three: the screen says so, and the wait begins anew."""
    lane = Lane()
    bench = bench_of(lane, person=somebody(lane, pending="code:mine"))
    lane.s = 5.0
    bench = replace(bench, now=lane.now)
    code_incomplete(bench, CodeIncomplete(credential="code:mine", seen=2, total=3, at_ns=0))
    assert (bench.person().code_parts, bench.person().pending) == ((2, 3), "")
    assert bench.person().deadline_ns == lane.ns + 20 * NS


def test_a_late_answer_of_the_server_takes_the_place_of_needs_the_network() -> None:
    """Meanwhile the lane went on, also with another question."""
    lane = Lane()
    bench = bench_of(lane, person=somebody(lane, pending="code:mine"))
    code_awaited(bench, CodeAwaited(finding=NEEDS_NETWORK, credential="code:mine", until_ns=lane.ns + 2 * NS, at_ns=0))
    person = bench.person()
    assert (person.code, person.awaited, person.pending) == (NEEDS_NETWORK, "code:mine", "")
    assert person.await_by_ns == lane.ns + 2 * NS
    bench.person(pending="card:04a1", code_parts=(1, 2))
    code_verified(bench, CodeVerified(finding=GREEN, credential="code:mine", at_ns=0))
    person = bench.person()
    assert (person.code, person.awaited, person.pending, person.code_parts) == (GREEN, "", "card:04a1", None)


@pytest.mark.parametrize(("used_at", "alarmed"), [("", False), ("main-gate", False), ("north-gate", True)])
def test_a_code_that_went_in_at_another_gate_is_an_alarm(used_at: str, alarmed: bool) -> None:
    """Here it is the same person again; at the other gate it may be a copy."""
    lane = Lane()
    bench = bench_of(lane, person=somebody(lane, pending="code:mine"))
    finding = replace(GREEN, used_at=used_at)
    code_verified(bench, CodeVerified(finding=finding, credential="code:mine", at_ns=0))
    raised = [(e.code, e.detail) for e in bench.effects if isinstance(e, RaiseAlarm)]
    assert raised == ([("code_used_elsewhere", used_at)] if alarmed else [])


def test_a_one_time_pass_that_was_used_elsewhere_is_an_alarm() -> None:
    """And the card is the person's all the same: what follows is the policy's."""
    lane = Lane()
    bench = bench_of(lane, person=somebody(lane, pending="code:gp1"))
    finding = replace(RESIDENT, used_at="north-gate")
    pass_verified(bench, PassVerified(finding=finding, credential="code:gp1", at_ns=0))
    assert [e.code for e in bench.effects if isinstance(e, RaiseAlarm)] == ["pass_used_elsewhere"]
    assert bench.person().card == finding
