"""What the resident sees: one face, one word, and nothing personal."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kiosk.board import Hint, LaneView, Phase
from kiosk.reasons import PRIVATE_REASONS, Direction, NextStep, Reason
from kiosk.screens.faces import Face, resident_screen
from kiosk.verdict import Verdict

IDLE = LaneView(lane="in", direction=Direction.IN, phase=Phase.IDLE)


def decided(admit: bool, reason: Reason, step: NextStep) -> LaneView:
    verdict = Verdict(
        admit=admit, reasons=(reason,), next_step=step, checks=(), policy_version="1", category="resident"
    )
    return replace(IDLE, phase=Phase.DECIDED, verdict=verdict, passage="p1")


def test_an_admission_says_go_ahead() -> None:
    """A circle, and the words of the way in or out."""
    screen = resident_screen(decided(True, Reason.ALL_CHECKS_PASSED, NextStep.GO_IN))
    assert screen.face is Face.ADMIT
    assert screen.text.key == "go_in"
    assert screen.cause is None


def test_what_the_person_can_do_alone_is_an_octagon_with_its_cause() -> None:
    """An expired code: refresh it, and the reason is no secret."""
    screen = resident_screen(decided(False, Reason.CODE_EXPIRED, NextStep.REFRESH_CODE))
    assert (screen.face, screen.text.key) == (Face.DENY, "refresh_code")
    assert screen.cause is not None
    assert screen.cause.key == "code_expired"


@pytest.mark.parametrize("reason", sorted(PRIVATE_REASONS))
@pytest.mark.parametrize("step", list(NextStep))
def test_private_reasons_cannot_be_told_apart(reason: Reason, step: NextStep) -> None:
    """Whatever the reason and the next step, the public screen is the same."""
    screen = resident_screen(decided(False, reason, step))
    assert screen == resident_screen(decided(False, Reason.CARD_REVOKED, NextStep.SEE_GUARD))
    assert screen.face is Face.GUARD
    assert screen.cause is None


def test_an_emergency_covers_everything_else() -> None:
    """While the lane is open, nobody is told to wait."""
    lane = replace(decided(False, Reason.CODE_RED, NextStep.SEE_GUARD), emergency_since_us=1)
    assert resident_screen(lane).face is Face.EMERGENCY


def test_the_last_verdict_does_not_greet_the_next_person() -> None:
    """An idle lane asks for a card, even while the last verdict is still in the view."""
    lane = replace(decided(True, Reason.ALL_CHECKS_PASSED, NextStep.GO_IN), phase=Phase.IDLE)
    assert resident_screen(lane).face is Face.IDLE


def test_hints_are_shown_while_waiting() -> None:
    """Two cards in one wallet give a hint, never a verdict."""
    screen = resident_screen(replace(IDLE, phase=Phase.IDENTIFYING, hint=Hint.ONE_CARD_ONLY))
    assert (screen.face, screen.text.key) == (Face.PENDING, "one_card_only")


def test_a_fault_leads_to_the_guard() -> None:
    """A broken lane never leaves somebody standing without a word."""
    assert resident_screen(replace(IDLE, phase=Phase.FAULT)).face is Face.GUARD


@pytest.mark.parametrize("phase", list(Phase))
@pytest.mark.parametrize("hint", list(Hint))
def test_every_state_has_a_screen(phase: Phase, hint: Hint) -> None:
    """No combination of phase and hint is without words."""
    assert resident_screen(replace(IDLE, phase=phase, hint=hint)).text.key


def test_the_digits_stand_where_somebody_can_still_type_them() -> None:
    """While idle, while a code is awaited, and with a refusal that a fresh code cures; never beside a private one."""
    waiting = replace(IDLE, challenge="417")
    assert resident_screen(waiting).digits == "417"
    assert resident_screen(replace(waiting, phase=Phase.IDENTIFYING, hint=Hint.SHOW_CODE)).digits == "417"
    assert resident_screen(replace(waiting, phase=Phase.MEASURING)).digits == ""
    refused = decided(False, Reason.CODE_CHALLENGE, NextStep.TYPE_DIGITS)
    assert resident_screen(replace(refused, challenge="417")).digits == "417"
    private = decided(False, Reason.CODE_RED, NextStep.REFRESH_CODE)
    assert resident_screen(replace(private, challenge="417")) == resident_screen(private)
    admitted = decided(True, Reason.ALL_CHECKS_PASSED, NextStep.GO_IN)
    assert resident_screen(replace(admitted, challenge="417")).digits == ""


def test_a_card_in_several_codes_says_how_many_were_read() -> None:
    """Two of three, while the third is awaited."""
    lane = replace(IDLE, phase=Phase.IDENTIFYING, hint=Hint.NEXT_CODE, code_parts=(2, 3), challenge="417")
    screen = resident_screen(lane)
    assert (screen.text.key, screen.parts, screen.digits) == ("next_code", (2, 3), "")
