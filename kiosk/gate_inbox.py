"""What devices, web pages and other threads put to the capture loop, in one queue, and how they hear what became of it.

Whoever asks waits a bounded time. What the loop has not begun by then is withdrawn, so that a guard who was told that
the gate does not answer does not see it open for somebody else a minute later. Two things are not withdrawn: an
emergency, which opens as soon as the loop comes to it, and the record of what is a fact already.
"""

from __future__ import annotations

import queue
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from drivers.devices import Observed
from kiosk.board import CommandResult, Emergency, GuardCommand
from kiosk.journal_types import JournalError
from kiosk.passage_events import LaneSetup
from kiosk.records import Kind, PayloadClass, Stream
from kiosk.sync_line import News

ANSWER_WITHIN_S = 5.0
"""How long a guard's click waits for the loop before the console says that the gate does not answer."""


@dataclass(frozen=True, slots=True)
class Note:
    """A record to be written that another thread of the kiosk brings: of the whole kiosk, of no lane.

    ``written`` hears when it is durable, or the JournalError; without one it is written as soon as it can be.
    ``stands`` is whether it tells a fact: where it cannot be written now, it is written later; else now or never.
    """

    stream: Stream
    kind: Kind
    payloads: dict[PayloadClass, dict[str, Any]]
    written: Future[None] | None = None
    stands: bool = True


@dataclass(frozen=True, slots=True)
class NewSetups:
    """What lanes are to go by from the next person on, by lane."""

    setups: Mapping[str, LaneSetup]


@dataclass(frozen=True, slots=True)
class Asked:
    """A guard's command, and who waits for its answer."""

    command: GuardCommand
    answer: Future[CommandResult] = field(default_factory=Future)


Answer = TypeVar("Answer")

Item = Observed | News | Note | NewSetups | Asked


class GateInbox:
    """The queue. :meth:`next` and :meth:`rest` are for the loop's own thread, the rest for all others."""

    def __init__(self, *, answer_within_s: float = ANSWER_WITHIN_S) -> None:
        self._items: queue.SimpleQueue[Item | None] = queue.SimpleQueue()
        self._answer_within_s = answer_within_s

    def put(self, item: Item) -> None:
        """Queue what wants no answer."""
        self._items.put(item)

    def empty(self) -> bool:
        """Whether nothing waits just now."""
        return self._items.empty()

    def wake(self) -> None:
        """Let :meth:`next` return now."""
        self._items.put(None)

    def command(self, command: GuardCommand) -> CommandResult:
        """Queue a guard's command and wait for what becomes of it."""
        asked = Asked(command)
        self._items.put(asked)
        try:
            return self._answer(asked.answer, stands=isinstance(command, Emergency) and command.open)
        except TimeoutError:
            return CommandResult(done=False, message="gate_does_not_answer")

    def write(self, note: Note) -> None:
        """Queue a record and wait until it is durable. Raises JournalError when it is not."""
        written: Future[None] = Future()
        self._items.put(replace(note, written=written))
        try:
            self._answer(written, stands=note.stands)
        except TimeoutError:
            raise JournalError("journal", seen="no answer of the loop", expected="a durable record") from None

    def next(self, timeout_s: float) -> Item | None:
        """The oldest item; None when nothing came in ``timeout_s``, or only a wake-up or what was withdrawn."""
        try:
            item = self._items.get(timeout=timeout_s)
        except queue.Empty:
            return None
        return item if item is None or _begun(item) else None

    def rest(self) -> Iterator[Item]:
        """What still waits, for a loop that ends."""
        while not self.empty():
            item = self._items.get()
            if item is not None and _begun(item):
                yield item

    def _answer(self, answer: Future[Answer], *, stands: bool) -> Answer:
        """The answer. Raises TimeoutError; what the loop has not begun by then is withdrawn, unless it ``stands``."""
        try:
            return answer.result(timeout=self._answer_within_s)
        except TimeoutError:
            if stands or answer.cancel():
                raise
        return answer.result(timeout=self._answer_within_s)  # it is being carried out: what comes of it is the answer


def _begun(item: Item) -> bool:
    """Whether the loop takes this item: false for one that was withdrawn."""
    match item:
        case Asked(answer=answer) | Note(written=Future() as answer):
            return answer.set_running_or_notify_cancel()
    return True
