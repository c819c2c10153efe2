"""Where the cards are after a restart: what the journal says for certain, and never more than that."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from config.policy import Passback
from kiosk.clock import Instant
from kiosk.credentials.movements import Movements
from kiosk.movement_replay import moment_ns, replay
from kiosk.reasons import ClockTrust, Direction, Reason, Remark
from kiosk.records import Kind, Payload, PayloadClass, Record, Stream
from tests.fakes import MORNING_US
from tests.sync_kit import make_record
from tests.unit.test_movements import RULES, WORKER

S = 1_000_000_000
BOOT, NEXT_BOOT = "boot-1", "boot-2"


def at(seconds: float, boot: str = BOOT, trust: ClockTrust = ClockTrust.SYNCED) -> Instant:
    """An instant; the second boot's monotonic clock began at 1000 s."""
    mono_s = seconds if boot == BOOT else seconds - 1000
    return Instant(MORNING_US + round(seconds * 1e6), trust, boot, round(mono_s * S))


def record(kind: Kind, moment: Instant, facts: dict[str, Any], *, ref: str = "", subject: str | None = None) -> Record:
    """One record as the gate writes it."""
    payloads = {PayloadClass.FACTS: Payload.of(bytes(16), facts)}
    if subject is not None:
        payloads[PayloadClass.PERSON] = Payload.of(bytes(16), {"subject": subject})
    return replace(
        make_record(1, stream=Stream.PASSAGE, kind=kind, ref=ref),
        at_us=moment.at_us,
        clock_trust=str(moment.clock_trust),
        boot_id=moment.boot_id,
        mono_ns=moment.mono_ns,
        payloads=payloads,
    )


def went(moment: Instant, direction: str = "in", passed: str = "yes", **facts: Any) -> list[Record]:
    """The worker was let through; what the contact said, "" for nothing yet."""
    ref = f"p-{moment.at_us}"
    body = {"admit": True, "direction": direction, "place": "main-gate", "guard": "", **facts}
    found = [record(Kind.PASSAGE, moment, body, ref=ref, subject=WORKER.subject)]
    if passed:
        found.append(record(Kind.PASSED, moment, {"passage": ref, "passed": passed}, ref=ref))
    return found


def emergency(moment: Instant, *, open: bool = True) -> Record:
    return record(Kind.EMERGENCY, moment, {"open": open, "guard": "", "why": "fire_contact"})


def journal_failed(passage: Record, *, opened: bool) -> Record:
    moment = Instant(passage.at_us, ClockTrust(passage.clock_trust), passage.boot_id, passage.mono_ns)
    facts = {"code": "journal_failed", "detail": "in", "passage": passage.ref, "opened": opened}
    return record(Kind.ALARM, moment, facts, ref="")


def judged(passages: list[Record], alarms: list[Record], now: Instant, passback: Passback = Passback.HARD) -> Any:
    """What the worker's next tap at the way in comes to: the refusal, or the remarks."""
    movements = Movements()
    replay(movements, passages, alarms, now, since_ns=now.mono_ns - 86_400 * S)
    found = movements.judge(
        WORKER, place="main-gate", direction=Direction.IN, passback=passback, rules=RULES, mono_ns=now.mono_ns
    )
    return found.refusal or found.remarks


def test_in_is_still_in_after_a_restart_of_the_program_and_of_the_machine() -> None:
    """The same boot by its monotonic clock, another one by wall time: refused as before."""
    assert judged(went(at(10)), [], at(60)) is Reason.PASSED_BACK
    assert judged(went(at(10)), [], at(1060, NEXT_BOOT)) is Reason.PASSED_BACK
    assert judged(went(at(10)), [], at(60), Passback.SOFT) == (Remark.PASSED_BACK,)


def test_out_and_turning_back_and_the_end_of_its_time_hold_as_well() -> None:
    """Out: nothing. Turned back at the beam: nothing. In, out and turned back: in. After 240 minutes: nothing."""
    assert judged([*went(at(10)), *went(at(20), "out")], [], at(60)) == ()
    assert judged(went(at(10), passed="no"), [], at(60)) == ()
    assert judged([*went(at(10)), *went(at(20), "out", "no")], [], at(60)) is Reason.PASSED_BACK
    assert judged(went(at(10)), [], at(10 + 240 * 60)) == ()


def test_who_was_not_seen_to_go_in_before_the_restart_is_only_remarked() -> None:
    """Killed between the verdict and the beam: soft, as with a contact that saw nothing."""
    assert judged(went(at(10), passed=""), [], at(60)) == (Remark.PASSED_BACK,)


def test_a_denial_and_a_refused_pass_that_left_are_no_movement() -> None:
    """As in the running gate: only the admission of a good pass moves anybody."""
    assert judged(went(at(10), admit=False, passed=""), [], at(60)) == ()
    out = went(at(20), "out", pass_refused="card_expired")
    assert judged([*went(at(10)), *out], [], at(60)) is Reason.PASSED_BACK


def test_a_guards_admission_resets_this_holder_also_for_what_other_gates_tell_again() -> None:
    """In, and then a guard let them in: the next tap is as good as the first; an old fact of a neighbour is settled."""
    passages = [*went(at(10)), *went(at(20), guard="wang")]
    assert judged(passages, [], at(60)) == ()
    movements = Movements()
    replay(movements, passages, [], at(60), since_ns=0)
    for told_s, remarks in ((15, ()), (30, (Remark.TWO_GATES,))):
        movements.heard(WORKER.subject.encode(), "east-gate", told_s * S)
        found = movements.judge(
            WORKER, place="main-gate", direction=Direction.IN, passback=Passback.OFF, rules=RULES, mono_ns=60 * S
        )
        assert found.remarks == remarks


@pytest.mark.parametrize(
    ("went_at", "alarm_at", "now", "inside"),
    [
        (at(10), at(20), at(60), False),
        (at(30), at(20), at(60), True),
        (at(1030, NEXT_BOOT), at(20), at(1060, NEXT_BOOT), True),
        (at(10), at(1020, NEXT_BOOT), at(1060, NEXT_BOOT), False),
        (at(1030, NEXT_BOOT, ClockTrust.NONE), at(20, trust=ClockTrust.NONE), at(1060, NEXT_BOOT), True),
        (at(30), at(20, "boot-0"), at(1060, NEXT_BOOT), True),
        (at(30), at(20, "boot-0", ClockTrust.NONE), at(1060, NEXT_BOOT), False),
    ],
)
def test_an_emergency_resets_everybody_who_went_in_before_it(
    went_at: Instant, alarm_at: Instant, now: Instant, inside: bool
) -> None:
    """By the boot's clock, by the order of boots, by trusted wall time; where none tells, nobody is kept out."""
    assert (judged(went(went_at), [emergency(alarm_at)], now) is Reason.PASSED_BACK) is inside
    assert judged(went(went_at), [emergency(alarm_at, open=False)], now) is Reason.PASSED_BACK


@pytest.mark.parametrize(
    ("went_at", "now"),
    [
        (at(10, trust=ClockTrust.NONE), at(1060, NEXT_BOOT)),
        (at(10), at(1060, NEXT_BOOT, ClockTrust.NONE)),
        (at(2000), at(1060, NEXT_BOOT)),
    ],
)
def test_a_moment_that_nobody_can_place_is_unknown(went_at: Instant, now: Instant) -> None:
    """Another boot and a doubtful clock, or a time to come: no refusal, and no earlier entry takes its place."""
    assert moment_ns(went(went_at)[0], now) is None
    earlier = went(at(5))
    assert judged([*earlier, *went(went_at)], [], now) == ()


def test_what_became_of_a_passage_while_the_journal_failed_is_what_counts() -> None:
    """Admitted on paper and refused for the journal: no movement. Refused on paper and opened: a movement."""
    admitted, denied = went(at(10)), went(at(10), admit=False)
    assert judged(admitted, [journal_failed(admitted[0], opened=False)], at(60)) == ()
    assert judged(denied, [journal_failed(denied[0], opened=True)], at(60)) is Reason.PASSED_BACK


@pytest.mark.parametrize("gone", [PayloadClass.FACTS, PayloadClass.PERSON])
def test_a_payload_that_is_gone_leaves_everybodys_place_unknown(gone: PayloadClass) -> None:
    """It may have been the worker's way out."""
    lost = went(at(20), "out", "")[0]
    lost = replace(lost, payloads={**lost.payloads, gone: Payload(digest=bytes(32))})
    assert judged([*went(at(10)), lost], [], at(60)) == ()
    told = emergency(at(5))
    assert judged(went(at(10)), [replace(told, payloads={PayloadClass.FACTS: Payload(digest=bytes(32))})], at(60)) == ()


def test_who_holds_no_card_moves_nobody() -> None:
    """A passage without a person, a shift, an attestation: read over."""
    others = [
        record(Kind.PASSAGE, at(20), {"admit": True, "direction": "in", "guard": ""}, ref="x"),
        record(Kind.PASSAGE, at(21), {"admit": True, "direction": "in", "guard": ""}, ref="y", subject=""),
        record(Kind.SHIFT, at(22), {"event": "logged_in", "guard": "wang"}),
    ]
    assert judged([*went(at(10)), *others], [], at(60)) is Reason.PASSED_BACK
