"""The agent, one step at a time: what goes when, and what an answer changes."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from kiosk.records import ZERO_HASH, Stream, canonical
from sync.ackstore import AckStore
from sync.agent import Agent
from sync.agent_options import AgentOptions
from sync.answer import Answer, Result, StreamAck
from sync.batch_dictionary import ENCODING
from sync.certificate_fetcher import CertificateFetcher
from sync.compression import decompress
from sync.errors import LinkError
from sync.uplink import BATCHES_PATH, Reply, SignedRequest
from tests.fakes import FakeClock
from tests.sync_kit import INCARNATION, KEY, KIOSK, ChainJournal

Script = Callable[[SignedRequest], Reply]


def header(request: SignedRequest) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(decompress(request.body, request.encoding))["header"]
    return found


def stored(request: SignedRequest, *, epoch: int = 1) -> Reply:
    """An honest central's answer."""
    acks: tuple[StreamAck, ...] = ()
    if request.path == BATCHES_PATH:
        h = header(request)
        head = bytes.fromhex(h["last_head"])
        acks = (StreamAck(incarnation=h["incarnation"], stream=Stream(h["stream"]), acked=h["last"], head=head),)
    answer = Answer(
        request=request.request,
        store_epoch=epoch,
        server_us=1,
        acks=acks,
        result=Result.STORED if request.path == BATCHES_PATH else None,
    )
    return Reply(status=200, body=canonical(answer.to_wire()))


class Desk:
    """An agent with a journal, a clock that stands still, and a link that follows a script."""

    def __init__(self, **options: Any) -> None:
        self.clock = FakeClock()
        self.journal = ChainJournal()
        self.state = AckStore(":memory:")
        self.sent: list[SignedRequest] = []
        self.script: Script = stored
        fixed: dict[str, Any] = {"bulk_interval_s": 10.0, "heartbeat_interval_s": 60.0, "retry_base_s": 4.0}
        self.agent = Agent(
            AgentOptions(
                journal=Path(),
                state=Path(),
                central_url="",
                key=Path(),
                kiosk_id=KIOSK,
                **{**fixed, **options},
            ),
            journal=self.journal,
            state=self.state,
            link=self,
            private_key=KEY,
            clock=self.clock,
            rng=random.Random(1),
        )

    def exchange(self, request: SignedRequest) -> Reply:
        self.sent.append(request)
        return self.script(request)

    def steps(self, seconds: float = 0.0) -> list[str]:
        """Let time pass in quarter seconds; what was sent meanwhile, as ``stream first-last`` or ``heartbeat``."""
        before = len(self.sent)
        for _ in range(int(seconds * 4) + 1):
            for _ in range(20):
                if self.agent.step() > 0:
                    break
            self.clock.advance(0.25)
        return [self.name(request) for request in self.sent[before:]]

    @staticmethod
    def name(request: SignedRequest) -> str:
        if request.path != BATCHES_PATH:
            return "heartbeat"
        h = header(request)
        return f"{h['stream']} {h['first']}-{h['last']}"


@pytest.fixture
def desk() -> Iterator[Desk]:
    with capture_logs():
        yield Desk()


def down(_: SignedRequest) -> Reply:
    raise LinkError("network", seen="down")


def test_an_alarm_goes_at_once_and_passages_wait_for_company(desk: Desk) -> None:
    """Alarms by the next look at the journal; passages after half to one and a half intervals, all in one batch."""
    assert desk.steps() == ["heartbeat"]
    desk.journal.append(Stream.PASSAGE)
    desk.journal.append(Stream.ALARM)
    assert desk.steps() == ["alarm 1-1"]
    desk.journal.append(Stream.PASSAGE)
    assert desk.steps(4.0) == []
    assert desk.steps(11.0) == ["passage 1-2"]


def test_success_goes_on_until_nothing_is_left() -> None:
    """A backlog leaves in full batches one after the other, alarms in between as they come."""
    with capture_logs():
        desk = Desk(batch_records=5, bulk_interval_s=0.0)
        desk.steps()
        for _ in range(12):
            desk.journal.append(Stream.PASSAGE)
        assert desk.steps() == ["passage 1-5", "passage 6-10", "passage 11-12"]
        assert desk.agent.counters.records_acked == 12


def test_an_idle_kiosk_still_says_where_it_stands(desk: Desk) -> None:
    """One heartbeat a minute, with the positions of every chain."""
    desk.journal.append(Stream.ALARM)
    desk.steps()
    assert desk.steps(181.0).count("heartbeat") == 3
    position = json.loads(desk.sent[-1].body)["positions"][0]
    assert (position["last"], position["acked"]) == (1, 1)


def test_a_new_alarm_tries_once_while_backing_off(desk: Desk) -> None:
    """The link is down and the wait is long: a new alarm is worth one more try, an old one is not."""
    desk.script = down
    for _ in range(8):
        desk.steps(30.0)
    tries = len(desk.sent)
    desk.agent.exchange.backoff.not_before_s = desk.clock.mono_ns / 1e9 + 200
    desk.journal.append(Stream.ALARM)
    assert desk.steps() == ["alarm 1-1"]
    desk.agent.exchange.backoff.not_before_s = desk.clock.mono_ns / 1e9 + 200
    assert desk.steps(5.0) == []
    assert len(desk.sent) == tries + 1


def test_what_the_central_orders_holds_for_alarms_too(desk: Desk) -> None:
    """503 with Retry-After: nothing before that."""
    desk.script = lambda _: Reply(status=503, body=b"", retry_after_s=20.0)
    desk.journal.append(Stream.ALARM)
    assert len(desk.steps()) == 1
    desk.journal.append(Stream.ALARM)
    desk.script = stored
    assert desk.steps(18.0) == []
    assert "alarm 1-2" in desk.steps(12.0)


def test_too_large_is_halved_until_it_goes(desk: Desk) -> None:
    """413 makes smaller batches, and later ones grow again."""
    desk.steps()
    for _ in range(16):
        desk.journal.append(Stream.ALARM)

    def small_only(request: SignedRequest) -> Reply:
        h = header(request)
        return Reply(status=413, body=b"") if h["last"] - h["first"] >= 4 else stored(request)

    desk.script = small_only
    sent = desk.steps(2.0)
    assert sent[:4] == ["alarm 1-16", "alarm 1-8", "alarm 1-4", "alarm 5-12"]
    assert desk.state.acked(INCARNATION, Stream.ALARM).seq == 16


def test_a_refused_stream_does_not_hold_the_others(desk: Desk) -> None:
    """422 for one stream: it tries ever more slowly and says so; the others go on."""
    desk.steps()
    for stream in (Stream.ALARM, Stream.DIAGNOSTIC):
        desk.journal.append(stream)

    def picky(request: SignedRequest) -> Reply:
        if request.path == BATCHES_PATH and header(request)["stream"] == "alarm":
            return Reply(status=422, body=b"no")
        return stored(request)

    desk.script = picky
    sent = desk.steps(50.0)
    assert "diagnostic 1-1" in sent
    assert 1 < sent.count("alarm 1-1") < 20
    assert "batch_refused" in desk.state.fact("troubles")
    desk.steps(60.0)
    assert "batch_refused" in json.loads([r for r in desk.sent if r.path != BATCHES_PATH][-1].body)["alarms"]


@pytest.mark.parametrize(
    "lie",
    [
        {"request": "somebody else's"},
        {"store_epoch": 1},
        {"acks_head": ZERO_HASH},
        {"acks_acked": 5},
        {"body": b"<html>proxy</html>"},
        {"body": b""},
    ],
    ids=str,
)
def test_answers_that_do_not_fit_acknowledge_nothing(desk: Desk, lie: dict[str, Any]) -> None:
    """Another request's, an older central's, another chain's, more than was written, or no answer at all."""
    desk.script = lambda request: stored(request, epoch=2)
    desk.steps()
    desk.journal.append(Stream.ALARM)

    def lying(request: SignedRequest) -> Reply:
        if "body" in lie:
            return Reply(status=200, body=lie["body"])
        wire = json.loads(stored(request, epoch=2).body)
        for name, value in lie.items():
            if name.startswith("acks_"):
                for ack in wire["acks"]:
                    ack[name[5:]] = value.hex() if isinstance(value, bytes) else value
                wire["result"] = "gap"
            else:
                wire[name] = value
        return Reply(status=200, body=canonical(wire))

    desk.script = lying
    desk.steps()
    assert desk.state.acked(INCARNATION, Stream.ALARM).seq == 0
    desk.script = lambda request: stored(request, epoch=2)
    desk.steps(400.0)
    assert desk.state.acked(INCARNATION, Stream.ALARM).seq == 1


def test_an_unreadable_journal_is_said_and_waited_for(desk: Desk) -> None:
    """No journal yet, or one that cannot be read now: heartbeats go on and tell."""
    from kiosk.journal_types import JournalError

    def broken() -> Any:
        raise JournalError("journal", seen="not there")

    sound, desk.journal.positions = desk.journal.positions, broken  # type: ignore[method-assign]
    assert desk.steps(61.0).count("heartbeat") == 2
    assert json.loads(desk.sent[-1].body)["alarms"] == ["journal_unreadable"]
    desk.journal.positions = sound  # type: ignore[method-assign]
    desk.journal.append(Stream.ALARM)
    assert desk.steps() == ["alarm 1-1"]


class Certificate:
    """Stands for the keeper of the pass certificate: due until it was fetched."""

    def __init__(self) -> None:
        self.asked = 0
        self.fails = True

    def due(self, _: datetime) -> bool:
        return True

    def fetch(self, _now: datetime, _request: str) -> bool:
        self.asked += 1
        if self.fails:
            raise LinkError("pass certificate", seen="HTTP 500")
        return True


def test_the_pass_certificate_is_looked_after_once_an_hour(desk: Desk) -> None:
    """At start and then hourly; a refusal is no trouble of the link and stops nothing else."""
    certificate = Certificate()
    desk.agent._certificate = CertificateFetcher(certificate, exchange=desk.agent.exchange)  # type: ignore[arg-type]
    for _ in range(3):
        desk.steps()
    assert certificate.asked == 1
    desk.clock.advance(3600.0)
    desk.steps()
    assert certificate.asked == 2
    assert desk.agent.counters.failures == 0


def test_a_central_that_does_not_know_the_dictionary_gets_plain_zstd_at_once(desk: Desk) -> None:
    """HTTP 415 costs one request, not a batch: the same records follow, and no more is asked until the next start."""

    def older(request: SignedRequest) -> Reply:
        if request.encoding not in ("", "zstd", "gzip"):
            return Reply(status=415, body=b"{}")
        return stored(request)

    desk.script = older
    for _ in range(3):
        desk.journal.append(Stream.PASSAGE)
    desk.steps(20)
    desk.journal.append(Stream.PASSAGE)
    desk.steps(20)
    batches = [request for request in desk.sent if request.path == BATCHES_PATH]
    assert [request.encoding for request in batches] == [ENCODING, "zstd", "zstd"]
    assert [desk.name(request) for request in batches] == ["passage 1-3", "passage 1-3", "passage 4-4"]
    assert "batch_refused" not in desk.state.fact("troubles", "")
