"""What comes next in a lane: the one place that looks at what is missing and changes the phase. Pure."""

from __future__ import annotations

from kiosk import screening
from kiosk.board import Hint, Phase
from kiosk.passage_asked import missing_credentials, pass_fails, temperature_missing
from kiosk.passage_begin import begin
from kiosk.passage_bench import Bench, ask, has_reader
from kiosk.passage_events import TimePassed
from kiosk.passage_kept import alarm_for_the_stranded
from kiosk.passage_measuring import bind, measure, still_measuring
from kiosk.passage_state import Person
from kiosk.passage_verdict import close_passage, decide_passage
from kiosk.reasons import Passed


def advance(bench: Bench) -> None:
    """Look at the running passage: what is missing decides the phase; when nothing is, the verdict is made."""
    person = bench.state.person
    if person is None:
        _rest(bench)
        return
    if person.pending and bench.ns < person.deadline_ns:
        return
    bench.person(pending="")  # a verification that never answers is no evidence, and no reason to wait for ever
    bind(bench)
    measure(bench)
    person = bench.person()
    missing = missing_credentials(bench, person)
    if missing and bench.ns < person.deadline_ns and not pass_fails(bench, person):
        ask(bench, _wanted(person, missing))
        bench.person(waiting_for=missing, measuring_since_ns=None, measure_by_ns=None)
        bench.put(phase=Phase.IDENTIFYING)
        return
    measurable = not missing and temperature_missing(bench, person) and not pass_fails(bench, person)
    if measurable and still_measuring(bench):
        return
    if person.awaited and bench.ns < person.await_by_ns and not pass_fails(bench, person):
        ask(bench, Hint.CHECKING_CODE)
        bench.person(waiting_for=("lookup",))
        bench.put(phase=Phase.IDENTIFYING)
        return
    decide_passage(bench)


def _wanted(person: Person, missing: tuple[str, ...]) -> Hint:
    """What the screen asks for: the rest of a card in several codes first, since its holder has it in the hand."""
    if "code" in missing and person.code_parts is not None:
        return Hint.NEXT_CODE
    return Hint.TAP_CARD if "card" in missing else Hint.SHOW_CODE


def _rest(bench: Bench) -> None:
    """Nobody's passage is running: the next one in the queue, somebody who only stands there, or nobody."""
    queued = bench.state.queued
    if queued is not None:
        begin(bench, queued.event)
        return
    if has_reader(bench.setup) and not (bench.up("card") or bench.up("camera")):
        bench.put(phase=Phase.FAULT, hint=Hint.NONE)
        return
    watch = bench.state.watch
    somebody = watch.present and watch.number != bench.state.served_presence
    bench.put(phase=Phase.IDENTIFYING if somebody else Phase.IDLE)
    ask(bench, Hint.TAP_OR_SHOW)


def time_passed(bench: Bench, _: TimePassed) -> None:
    """The instant the lane waited for has come (or none: it does no harm): what ends by itself ends here."""
    bench.put(watch=screening.silence(bench.state.watch, bench.ns, contact=bench.contact))
    opened = bench.state.opened
    if opened is not None and bench.ns >= opened.until_ns:
        close_passage(bench, Passed.NO)
    alarm_for_the_stranded(bench)
    queued = bench.state.queued
    if queued is not None and bench.ns >= queued.until_ns:
        bench.put(queued=None)
    if bench.state.phase is Phase.DECIDED:
        decided = bench.state.decided
        if decided is not None and decided.committed and bench.ns >= decided.hold_until_ns:
            _rest(bench)
        return
    advance(bench)
