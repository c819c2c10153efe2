"""Which chain goes next: alarms as soon as they are seen, the rest in company, a refused one ever later."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from kiosk.journal_types import StreamKey
from kiosk.records import Stream
from sync.ackstore import AckStore
from sync.agent_counters import Counters
from sync.agent_options import AgentOptions
from sync.agreement import Agreement
from sync.errors import LinkError
from sync.exchange import Exchange
from sync.send_schedule import SendSchedule, by_urgency
from sync.trouble import Troubles
from sync.uplink import Reply, SignedRequest
from tests.fakes import FakeClock
from tests.sync_kit import INCARNATION, KIOSK, ChainJournal


class NoLink:
    """Nothing is sent here."""

    def exchange(self, request: SignedRequest) -> Reply:
        raise LinkError("network", seen="down")


class Desk:
    """A schedule over a journal in memory; its clock stands still."""

    def __init__(self) -> None:
        options = AgentOptions(
            journal=Path(), state=Path(), central_url="", key=Path(), kiosk_id=KIOSK, bulk_interval_s=10.0
        )
        self.journal, self.clock, state, rng = ChainJournal(), FakeClock(), AckStore(":memory:"), random.Random(1)
        shared: dict[str, Any] = {"troubles": Troubles(state), "counters": Counters()}
        agreement = Agreement(self.journal, state, **shared)
        self.exchange = Exchange(options, state=state, link=NoLink(), clock=self.clock, rng=rng, **shared)
        self.schedule = SendSchedule(options, agreement=agreement, exchange=self.exchange, rng=rng)

    def next(self) -> str | None:
        """The stream to send now."""
        work = self.schedule.next_work(self.journal.positions(), self.exchange.now_s())
        return str(work.key[1]) if work is not None else None


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_the_order_of_urgency() -> None:
    """Alarms, passages, diagnostics; of one stream, one incarnation after the other."""
    keys: list[StreamKey] = [("b", Stream.DIAGNOSTIC), ("b", Stream.ALARM), ("a", Stream.PASSAGE), ("a", Stream.ALARM)]
    assert by_urgency(keys) == [keys[3], keys[1], keys[2], keys[0]]


def test_an_alarm_is_due_at_once_and_a_passage_after_a_drawn_wait(desk: Desk) -> None:
    """Half to one and a half intervals of 10 s, drawn when the first record is seen."""
    desk.journal.append(Stream.PASSAGE)
    assert desk.next() is None
    desk.clock.advance(4.9)
    assert desk.next() is None
    desk.journal.append(Stream.ALARM)
    assert desk.next() == "alarm"
    desk.clock.advance(10.1)
    desk.schedule.of((INCARNATION, Stream.ALARM)).due_s = float("inf")
    assert desk.next() == "passage"


def test_a_new_alarm_breaks_the_back_off_once_but_not_a_wait_that_was_ordered(desk: Desk) -> None:
    """What the central itself ordered (Retry-After) holds alarms as well."""
    with capture_logs():
        desk.exchange.failed("down")
    desk.exchange.backoff.not_before_s = desk.exchange.now_s() + 100
    desk.journal.append(Stream.ALARM)
    assert desk.next() == "alarm"
    assert desk.next() is None
    with capture_logs():
        desk.exchange.failed("HTTP 503", retry_after_s=60.0)
    desk.journal.append(Stream.ALARM)
    assert desk.next() is None


def test_a_refused_chain_waits_alone(desk: Desk) -> None:
    """Others go on meanwhile."""
    desk.journal.append(Stream.ALARM)
    desk.journal.append(Stream.PASSAGE)
    assert desk.next() == "alarm"
    refused = desk.schedule.of((INCARNATION, Stream.ALARM))
    desk.schedule.refuse_for_now(refused)
    assert refused.backoff is not None
    refused.backoff.not_before_s = float("inf")
    desk.clock.advance(15.1)
    desk.next()
    desk.clock.advance(15.1)
    assert desk.next() == "passage"
