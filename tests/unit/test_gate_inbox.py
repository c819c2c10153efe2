"""What is put to the capture loop: answered by it, or withdrawn in time, never both."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from typing import Any

import pytest

from kiosk.board import Acknowledge, CommandResult, Emergency
from kiosk.gate_inbox import Asked, GateInbox, Note
from kiosk.journal_types import JournalError
from kiosk.passage_record import facts_only
from kiosk.records import Kind, Stream

CLICK = Acknowledge(lane="in", passage="p1", guard="wang")
NOTE = Note(Stream.PASSAGE, Kind.REGISTRATION, facts_only(event="pass_issued"), stands=False)
FACT = Note(Stream.PASSAGE, Kind.REGISTRATION, facts_only(event="pass_revoked"))


def answer_next(inbox: GateInbox) -> None:
    """A loop that takes one command and carries it out."""
    item = inbox.next(10)
    assert isinstance(item, Asked)
    item.answer.set_result(CommandResult(done=True))


def test_a_command_is_answered_by_the_loop() -> None:
    """What the loop makes of it is what the guard is told."""
    inbox = GateInbox()
    loop = threading.Thread(target=answer_next, args=(inbox,))
    loop.start()
    assert inbox.command(CLICK).done
    loop.join()


def test_what_the_loop_did_not_begin_in_time_is_withdrawn() -> None:
    """A guard who was told that the gate does not answer does not see it act for somebody else a minute later."""
    inbox = GateInbox(answer_within_s=0)
    assert inbox.command(CLICK) == CommandResult(done=False, message="gate_does_not_answer")
    with pytest.raises(JournalError, match="no answer of the loop"):
        inbox.write(NOTE)
    assert [inbox.next(0), inbox.next(0)] == [None, None]
    assert list(inbox.rest()) == []


def test_an_emergency_is_never_withdrawn() -> None:
    """Whatever kept the loop, it opens when it comes round; to close it is a command like others."""
    inbox = GateInbox(answer_within_s=0)
    opens, closes = Emergency(lane="in", open=True, guard=""), Emergency(lane="in", open=False, guard="wang")
    assert not inbox.command(opens).done
    assert not inbox.command(closes).done
    assert [item.command for item in inbox.rest() if isinstance(item, Asked)] == [opens]


def test_the_record_of_a_fact_is_never_withdrawn() -> None:
    """A pass that was revoked is revoked: its record is written when the loop comes to it."""
    inbox = GateInbox(answer_within_s=0)
    with pytest.raises(JournalError):
        inbox.write(FACT)
    assert [item.payloads for item in inbox.rest() if isinstance(item, Note)] == [FACT.payloads]


def test_what_is_being_carried_out_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow disk: the loop began in time, so the guard hears what came of it and not that nothing did."""
    inbox, real, waits = GateInbox(), Future.result, 0

    def time_runs_out_once(answer: Future[Any], timeout: float | None = None) -> Any:
        nonlocal waits
        waits += 1
        if waits > 1:
            answer.set_result(CommandResult(done=True))
            return real(answer, timeout)
        assert inbox.next(0) is not None  # the loop takes it at the last moment
        raise TimeoutError

    monkeypatch.setattr(Future, "result", time_runs_out_once)
    assert inbox.command(CLICK).done
