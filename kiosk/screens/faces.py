"""What the resident's screen says: a lane's view becomes one face, one word, one sentence. Pure.

Nothing personal goes through here: category, temperature and the reasons behind stay on the console, and every
private reason (``PRIVATE_REASONS``) becomes the same face with the same words, whatever its next step is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from kiosk.board import Hint, LaneView, Phase
from kiosk.reasons import PRIVATE_REASONS, NextStep
from kiosk.verdict import Verdict


class Face(StrEnum):
    """Colour, shape and sound of a screen; told apart by shape alone."""

    IDLE = "idle"
    PENDING = "pending"
    ADMIT = "admit"
    DENY = "deny"
    GUARD = "guard"
    EMERGENCY = "emergency"


#: Next steps that need the guard: the triangle, not the octagon.
GUARD_STEPS: frozenset[NextStep] = frozenset(
    {
        NextStep.SHOW_CODE_TO_GUARD,
        NextStep.CONTACT_THERMOMETER,
        NextStep.REGISTER_WITH_GUARD,
        NextStep.SEE_GUARD,
    }
)


@dataclass(frozen=True, slots=True)
class TextKey:
    """Where a text stands in the messages: section and key."""

    section: str
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ResidentScreen:
    """One screen: ``text`` gives word and sentence, ``cause`` a second, smaller sentence where there is one.

    ``digits`` are to be typed into the phone page; ``parts`` are how many of how many codes were read.
    """

    face: Face
    text: TextKey
    cause: TextKey | None = None
    digits: str = ""
    parts: tuple[int, int] | None = None


#: Next steps after which the person holds up the phone again.
PHONE_STEPS: frozenset[NextStep] = frozenset({NextStep.SHOW_CODE, NextStep.REFRESH_CODE, NextStep.TYPE_DIGITS})


def verdict_face(verdict: Verdict) -> Face:
    """Circle, octagon or triangle. A private reason is always the triangle: see the guard."""
    if verdict.admit:
        return Face.ADMIT
    if verdict.reasons[0] in PRIVATE_REASONS or verdict.next_step in GUARD_STEPS:
        return Face.GUARD
    return Face.DENY


def resident_screen(lane: LaneView) -> ResidentScreen:
    """The screen of a lane as it stands."""
    if lane.emergency_since_us is not None:
        return ResidentScreen(face=Face.EMERGENCY, text=TextKey("resident", "emergency"))
    if lane.phase is Phase.FAULT:
        return ResidentScreen(face=Face.GUARD, text=TextKey("phase", Phase.FAULT))
    if lane.phase is Phase.DECIDED and lane.verdict is not None:
        screen = _of_verdict(lane.verdict)
        again = screen.face is Face.DENY and lane.verdict.next_step in PHONE_STEPS
        return replace(screen, digits=lane.challenge) if again else screen
    if lane.phase is Phase.IDLE:
        hint = Hint.TAP_OR_SHOW if lane.hint is Hint.NONE else lane.hint
        return ResidentScreen(face=Face.IDLE, text=TextKey("hint", hint), digits=lane.challenge)
    text = TextKey("phase", lane.phase) if lane.hint in (Hint.NONE, Hint.TAP_OR_SHOW) else TextKey("hint", lane.hint)
    identifying = lane.phase is Phase.IDENTIFYING
    parts = lane.code_parts if identifying else None
    digits = lane.challenge if identifying and parts is None else ""  # a card in several codes is signed by no phone
    return ResidentScreen(face=Face.PENDING, text=text, digits=digits, parts=parts)


def _of_verdict(verdict: Verdict) -> ResidentScreen:
    face, reason = verdict_face(verdict), verdict.reasons[0]
    if face is Face.ADMIT:
        return ResidentScreen(face=face, text=TextKey("next_step", verdict.next_step))
    if reason in PRIVATE_REASONS:
        return ResidentScreen(face=face, text=TextKey("next_step", NextStep.SEE_GUARD))
    return ResidentScreen(face=face, text=TextKey("next_step", verdict.next_step), cause=TextKey("reason", reason))
