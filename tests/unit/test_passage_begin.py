"""How a passage begins (``kiosk/passage_begin.py``): anew, or going on from the refusal just before it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from drivers.devices import CardTap, QrText, TemperatureReading
from kiosk import screening
from kiosk.board import Hint, Phase
from kiosk.decision import decide
from kiosk.evidence import Attestation
from kiosk.passage_begin import begin, credential_key, verify
from kiosk.passage_bench import Bench
from kiosk.passage_events import VerifyCard, VerifyCode
from kiosk.passage_evidence import evidence_of
from kiosk.passage_state import Decided, Person, Queued
from kiosk.screening import Watch
from tests.lane import GREEN, RESIDENT, UNKNOWN_CARD, Lane, bench_of, somebody

NS = 1_000_000_000
NORMAL, FEVER = screening.by_contact_thermometer(36.6), screening.by_contact_thermometer(38.6)


def tap(lane: Lane, uid: str = "04a1") -> CardTap:
    return CardTap(uid=bytes.fromhex(uid), at_ns=lane.ns)


def code(lane: Lane, text: str = "HC1:green") -> QrText:
    return QrText(text=text, data=text.encode(), corners=(), engine="test", at_ns=lane.ns)


def refused(lane: Lane, person: Person, *, presence: int | None = 1, hold_s: float = 8.0) -> Decided:
    """A refusal of this person that stands on the screen for ``hold_s`` more."""
    verdict = decide(evidence_of(bench_of(lane), person), lane.policy, lane.now)
    return Decided(
        person=person, verdict=replace(verdict, admit=False), ref=person.passage, decided_ns=lane.ns, decided_at_us=0,
        presence=presence, committed=True, hold_until_ns=lane.ns + int(hold_s * NS),
    )  # fmt: skip


def after(lane: Lane, decided: Decided, event: CardTap | QrText, *, watch: Watch | None = None) -> Bench:
    """The bench when this credential comes after that verdict; its person stands where they stood."""
    bench = bench_of(lane, decided=decided, watch=watch or Watch(number=1, since_ns=lane.ns))
    begin(bench, event)
    return bench


def card_holder(lane: Lane, **known: object) -> Person:
    return somebody(lane, card=RESIDENT, card_key=credential_key(tap(lane)), **known)


def test_a_credential_is_named_by_its_bytes_and_its_text_is_not_kept() -> None:
    """A card by its number, a code by the hash of its bytes, else of its text, whatever the text holds."""
    lane = Lane()
    assert credential_key(tap(lane)) == "card:04a1"
    assert credential_key(code(lane)) == credential_key(replace(code(lane), data=b""))
    assert "green" not in credential_key(code(lane))
    assert credential_key(replace(code(lane), data=b"other")) != credential_key(code(lane))
    assert credential_key(replace(code(lane), text="\ud800", data=b"")).startswith("code:")


def test_a_passage_begins_with_the_question_what_its_credential_is() -> None:
    """Nothing is known yet; the wait for an answer, and for a second credential, is the policy's 20 s."""
    lane = Lane()
    for event, question in ((tap(lane), VerifyCard), (code(lane), VerifyCode)):
        bench = bench_of(lane)
        begin(bench, event)
        person, (asked,) = bench.person(), bench.effects
        assert isinstance(asked, question)
        assert asked.credential == person.pending == credential_key(event)
        assert (person.card, person.code, person.follows, person.shots) == (None, None, "", 0)
        assert person.deadline_ns == lane.ns + 20 * NS
        assert bench.state.phase is Phase.IDENTIFYING


def test_the_other_kind_goes_on_with_what_is_known() -> None:
    """Refused for want of a code, the resident shows it: card, temperature, presence, shots, the guard's word stand."""
    lane = Lane()
    said = Attestation(guard="wang", trip_clear=True, at_us=1)
    window = (TemperatureReading(object_c=34.2, ambient_c=24.0, at_ns=lane.ns),)
    before = card_holder(lane, temperature=NORMAL, window=window, presence=1, shots=1, attestation=said)
    person = after(lane, refused(lane, before), code(lane)).person()
    assert (person.card, person.card_key, person.temperature) == (RESIDENT, before.card_key, NORMAL)
    assert (person.presence, person.shots, person.follows) == (1, 1, before.passage)
    assert (person.window, person.attestation) == (window, said)
    assert person.passage != before.passage


def test_a_code_refused_for_want_of_a_card_goes_on_with_the_card() -> None:
    """The same the other way round."""
    lane = Lane()
    before = somebody(lane, code=GREEN, code_key=credential_key(code(lane)))
    person = after(lane, refused(lane, before), tap(lane)).person()
    assert (person.code, person.code_key, person.follows) == (GREEN, before.code_key, before.passage)


def test_a_fever_is_measured_again() -> None:
    """Only a normal temperature is carried on."""
    lane = Lane()
    person = after(lane, refused(lane, card_holder(lane, temperature=FEVER)), code(lane)).person()
    assert person.temperature is None


def test_the_same_card_again_is_asked_anew_and_follows_the_refusal() -> None:
    """Its answer may be another one now; how often was measured is remembered."""
    lane = Lane()
    before = card_holder(lane, temperature=NORMAL, shots=2)
    person = after(lane, refused(lane, before), tap(lane)).person()
    assert (person.card, person.temperature, person.follows, person.shots) == (None, None, before.passage, 2)
    assert person.fresh_from_ns == lane.ns


@pytest.mark.parametrize("uid", ["04a2", "04c0"])
def test_another_card_is_another_person(uid: str) -> None:
    """Two cards are never one person's."""
    lane = Lane()
    person = after(lane, refused(lane, card_holder(lane)), tap(lane, uid)).person()
    assert (person.card, person.follows, person.fresh_from_ns) == (None, "", 0)


def test_a_code_does_not_join_a_card_that_was_refused_as_such() -> None:
    """Whoever tapped an unknown card and whoever shows a code next need not be one person."""
    lane = Lane()
    stranger = somebody(lane, card=UNKNOWN_CARD, card_key="card:04ff")
    assert after(lane, refused(lane, stranger), code(lane)).person().follows == ""


def test_an_admission_is_followed_by_somebody_new() -> None:
    """Their code is not the admitted one's."""
    lane = Lane()
    decided = refused(lane, card_holder(lane))
    admitted = replace(decided, verdict=replace(decided.verdict, admit=True))
    assert after(lane, admitted, code(lane)).person().follows == ""


def test_a_refusal_that_has_left_the_screen_is_followed_by_somebody_new() -> None:
    """At the end of its hold, and not before."""
    lane = Lane()
    assert after(lane, refused(lane, card_holder(lane), hold_s=0.1), code(lane)).person().follows != ""
    assert after(lane, refused(lane, card_holder(lane), hold_s=0.0), code(lane)).person().follows == ""


@pytest.mark.parametrize(
    ("presence", "watch"),
    [
        (1, Watch(number=1)),
        (1, Watch(number=2, since_ns=1)),
        (None, Watch(number=1, since_ns=1)),
    ],
    ids=["stepped away", "somebody else stands there", "was never seen"],
)
def test_where_a_sensor_sees_people_only_who_stayed_goes_on(presence: int | None, watch: Watch) -> None:
    """The next person's code never joins the card of somebody refused before."""
    lane = Lane()
    decided = refused(lane, card_holder(lane), presence=presence)
    assert after(lane, decided, code(lane), watch=watch).person().follows == ""
    lane.unplug("thermo")
    assert after(lane, decided, code(lane), watch=watch).person().follows != "", "nothing sees that anybody left"


def test_a_presence_switch_sees_who_left_also_without_a_thermometer() -> None:
    """The mat is empty: the next code is somebody else's."""
    lane = Lane(presence_contact=True, sensor=None)
    decided = refused(lane, card_holder(lane))
    assert after(lane, decided, code(lane), watch=Watch(number=1)).person().follows == ""
    assert after(lane, decided, code(lane), watch=Watch(number=1, since_ns=1)).person().follows != ""


def test_what_stood_on_the_screen_and_who_waited_make_room() -> None:
    """A hint of the person before is not this one's, and a turn that is taken is over."""
    lane = Lane()
    turn = Queued(event=tap(lane), until_ns=lane.ns + NS)
    bench = bench_of(lane, hint=Hint.ONE_CARD_ONLY, hint_until_ns=lane.ns + NS, queued=turn)
    begin(bench, turn.event)
    assert (bench.state.hint, bench.state.hint_until_ns, bench.state.queued) == (Hint.NONE, 0, None)


def test_the_wait_is_counted_from_the_newest_credential() -> None:
    """Whoever looks for the phone for ten seconds was not kept waiting by the gate."""
    lane = Lane()
    bench = bench_of(lane)
    begin(bench, tap(lane))
    lane.s += 10.0
    later = replace(bench, now=lane.now)
    verify(later, code(lane))
    assert (later.person().credential_ns, later.person().began_ns) == (lane.ns, lane.ns - 10 * NS)


def test_a_module_that_only_hints_sees_nobody_leave() -> None:
    """It works, and yet no presence rests on it: the same person goes on."""
    lane = Lane(sensor=None)
    assert after(lane, refused(lane, card_holder(lane)), code(lane), watch=Watch(number=1)).person().follows != ""
