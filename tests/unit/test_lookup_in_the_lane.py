"""A code that a server is asked about: the lane goes on meanwhile, and goes on without it when time is up."""

from __future__ import annotations

from dataclasses import replace

import pytest

from config.policy import load_policy
from drivers.devices import QrText
from kiosk.board import Hint, Phase
from kiosk.evidence import CodeFinding, CodeStatus, PassFinding
from kiosk.passage_events import CodeAwaited, CodeVerified, PassVerified, VerifyCode
from kiosk.reasons import Reason
from kiosk.records import Kind, PayloadClass
from tests.lane import NORMAL_SKIN_C, Lane

TOKEN = "hc://13f0c5"
NEEDS_ONLINE = CodeFinding(refusal=Reason.CODE_NEEDS_ONLINE, kind="online")
GREEN = CodeFinding(refusal=None, kind="online", status=CodeStatus.GREEN, trip_clear=True)
LIMIT_NS = 1_500_000_000


def lane() -> Lane:
    """A lane of the policy ``case``, which asks a courier for a code."""
    return Lane(policy=load_policy("case"))


def show(gate: Lane, text: str = TOKEN) -> str:
    """Somebody shows a token; the server is being asked. The effect's handle."""
    code = QrText(text=text, data=text.encode(), corners=(), engine="test", at_ns=gate.ns)
    (ask,) = [effect for effect in gate.send(code, answer=False) if isinstance(effect, VerifyCode)]
    until_ns = gate.ns + LIMIT_NS
    gate.send(CodeAwaited(finding=NEEDS_ONLINE, credential=ask.credential, until_ns=until_ns, at_ns=gate.ns))
    return ask.credential


def verdict_of(gate: Lane) -> tuple[bool, Reason] | None:
    """The verdict, if there is one."""
    return None if gate.verdict is None else (gate.verdict.admit, gate.verdict.reasons[0])


def test_the_card_is_taken_and_the_face_measured_while_the_server_thinks() -> None:
    """Code, card and temperature in one and a half seconds; the answer is then all that was missing."""
    gate = lane()
    handle = show(gate)
    gate.wait(0.2)
    gate.tap("04c0")
    gate.face(NORMAL_SKIN_C, 1.0)
    assert gate.state.person is not None
    assert gate.state.person.temperature is not None
    assert gate.state.person.waiting_for == ("lookup",)
    assert gate.state.hint is Hint.CHECKING_CODE
    assert verdict_of(gate) is None
    gate.send(CodeVerified(finding=GREEN, credential=handle, at_ns=gate.ns))
    assert verdict_of(gate) == (True, Reason.ALL_CHECKS_PASSED)


def test_no_answer_in_time_is_the_guards_business() -> None:
    """The lane wakes by itself when the limit is over; an answer after the verdict changes nothing."""
    gate = lane()
    gate.tap("04c0")
    gate.face(NORMAL_SKIN_C, 1.5)
    handle = show(gate)
    assert gate.state.wake_at_ns is not None
    assert gate.state.wake_at_ns <= gate.ns + LIMIT_NS
    gate.wait(1.4)
    assert verdict_of(gate) is None
    gate.wait(0.2)
    assert verdict_of(gate) == (False, Reason.CODE_NEEDS_ONLINE)
    decided = gate.state.decided
    gate.send(CodeVerified(finding=GREEN, credential=handle, at_ns=gate.ns))
    assert gate.state.decided is decided


def test_a_red_answer_refuses() -> None:
    """What the server says against a person is said at once."""
    gate = lane()
    gate.tap("04c0")
    gate.face(NORMAL_SKIN_C, 1.5)
    handle = show(gate)
    red = replace(GREEN, status=CodeStatus.RED)
    gate.send(CodeVerified(finding=red, credential=handle, at_ns=gate.ns))
    assert verdict_of(gate) == (False, Reason.CODE_RED)


def test_an_answer_about_another_code_is_not_this_persons() -> None:
    """The next code replaces the awaited one; the answer about the first is passed over."""
    gate = lane()
    first = show(gate)
    gate.wait(0.3)
    show(gate, "hc://other")
    gate.send(CodeVerified(finding=GREEN, credential=first, at_ns=gate.ns))
    assert gate.state.person is not None
    assert gate.state.person.code == NEEDS_ONLINE


@pytest.mark.parametrize("order", ["card first", "code first"])
def test_a_revoked_card_waits_for_no_server(order: str) -> None:
    """What fails for good is said at once, whichever came first."""
    gate = lane()
    if order == "code first":
        show(gate)
    gate.tap("04ee")
    assert verdict_of(gate) == (False, Reason.CARD_REVOKED)
    assert gate.state.phase is Phase.DECIDED


def test_what_was_let_in_elsewhere_is_an_alarm() -> None:
    """A code of the other gate, a one-time pass of the other kiosk: journaled with its place. Not this gate's own."""
    gate = lane()
    gate.send(CodeVerified(finding=replace(GREEN, used_at="south-gate"), credential=show(gate), at_ns=gate.ns))
    assert [draft.payloads[PayloadClass.FACTS]["code"] for draft in gate.drafts(Kind.ALARM)] == ["code_used_elsewhere"]
    gate = lane()
    gate.send(CodeVerified(finding=replace(GREEN, used_at="main-gate"), credential=show(gate), at_ns=gate.ns))
    assert gate.drafts(Kind.ALARM) == []
    gate = lane()
    used = PassFinding(refusal=Reason.PASS_USED, used_at="main-gate")
    code = QrText(text="GP1:x", data=b"GP1:x", corners=(), engine="test", at_ns=gate.ns)
    (ask,) = [effect for effect in gate.send(code, answer=False) if isinstance(effect, VerifyCode)]
    gate.send(PassVerified(finding=used, credential=ask.credential, at_ns=gate.ns))
    assert [draft.payloads[PayloadClass.FACTS]["place"] for draft in gate.drafts(Kind.ALARM)] == ["main-gate"]
