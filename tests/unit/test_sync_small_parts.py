"""Back-off, answers and heartbeats: the small pure parts of sync."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiosk.records import Stream, canonical
from sync.answer import Answer, Rejected, Result, StreamAck
from sync.errors import SyncError, WireError
from sync.heartbeat import Heartbeat, Position
from sync.retry import Backoff
from sync.uplink import check_central_url, retry_after_s
from tests.sync_kit import INCARNATION


def test_delays_double_up_to_the_cap() -> None:
    """The ceiling of the drawn delay is 1, 2, 4 … seconds, at most five minutes, for ever."""
    backoff = Backoff(uniform=lambda _low, high: high)
    delays = [backoff.failed(0.0) for _ in range(2000)]
    assert delays[:10] == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300]
    assert set(delays[10:]) == {300}


def test_jitter_is_full_and_success_starts_anew() -> None:
    """The draw goes from zero, so that kiosks which failed together do not come back together."""
    drawn: list[tuple[float, float]] = []

    def uniform(low: float, high: float) -> float:
        drawn.append((low, high))
        return low

    backoff = Backoff(uniform=uniform)
    backoff.failed(10.0)
    backoff.failed(10.0)
    backoff.succeeded()
    assert backoff.failed(20.0) == 20.0
    assert drawn == [(0.0, 1.0), (0.0, 2.0), (0.0, 1.0)]


def test_retry_after_is_a_floor_also_for_alarms() -> None:
    """What the central orders is kept, within an hour; other back-off does not hold an alarm."""
    backoff = Backoff(uniform=lambda low, _high: low)
    assert backoff.failed(100.0) == 100.0
    assert backoff.urgent_at_s(100.0) == 100.0
    assert backoff.failed(100.0, retry_after_s=30.0) == 130.0
    assert backoff.urgent_at_s(110.0) == 130.0
    assert backoff.failed(100.0, retry_after_s=1e9) == 3700.0


@pytest.mark.parametrize(
    ("text", "seconds"), [("0", 0.0), ("17", 17.0), ("-1", None), ("soon", None), ("", None), ("9999999", None)]
)
def test_retry_after_header(text: str, seconds: float | None) -> None:
    """Only a plain number of seconds is taken."""
    assert retry_after_s(text) == seconds


@pytest.mark.parametrize(
    "url", ["https://central.example/", "http://127.0.0.1:8443", "http://[::1]:1", "http://localhost:1"]
)
def test_addresses_that_are_taken(url: str) -> None:
    """TLS anywhere; plain HTTP on this machine alone."""
    assert check_central_url(url) == url.rstrip("/")


@pytest.mark.parametrize(
    "url", ["http://10.0.0.5:8443", "http://central.example", "ftp://127.0.0.1", "central", "https://"]
)
def test_addresses_that_are_refused(url: str) -> None:
    """There is no fallback to plain HTTP."""
    with pytest.raises(SyncError):
        check_central_url(url)


seqs = st.integers(0, 2**53 - 1)
acks = st.builds(
    StreamAck,
    incarnation=st.just(INCARNATION),
    stream=st.sampled_from(Stream),
    acked=seqs,
    head=st.binary(min_size=32, max_size=32),
    resend_from=st.none() | st.integers(1, 2**53 - 1),
    quarantined_to=seqs,
)


@given(
    st.builds(
        Answer,
        request=st.just("ab12"),
        store_epoch=st.integers(1, 2**53 - 1),
        server_us=seqs,
        acks=st.lists(acks, max_size=3).map(tuple),
        result=st.none() | st.sampled_from(Result),
        rejected=st.lists(st.builds(Rejected, seq=seqs, reason=st.just("why")), max_size=2).map(tuple),
        offers=st.dictionaries(st.sampled_from(["roster", "policy"]), st.just("7")),
    )
)
def test_answers_come_out_as_they_went_in(answer: Answer) -> None:
    """Any answer is the same after writing and parsing."""
    assert Answer.parse(canonical(answer.to_wire())) == answer


@pytest.mark.parametrize(
    "change",
    [
        {"store_epoch": 0},
        {"v": 2},
        {"acks": [{"incarnation": "x"}]},
        {"acks": "none"},
        {"result": "lost"},
        {"offers": {"roster": 7}},
        {"server_us": True},
        {"extra": 1},
    ],
    ids=str,
)
def test_answers_of_another_form_are_refused(change: dict[str, Any]) -> None:
    """Nothing is acknowledged by an answer that is not wholly understood."""
    wire = Answer(request="r", store_epoch=1, server_us=1, acks=()).to_wire()
    with pytest.raises(WireError):
        Answer.parse(canonical({**wire, **change}))


HEARTBEAT = Heartbeat(
    kiosk_id="gate-east",
    wall_us=1,
    mono_ns=2,
    boot_id="b",
    clock_trust="synced",
    software="gatepost 0.1.0",
    store_epoch=3,
    positions=(Position(incarnation=INCARNATION, stream=Stream.ALARM, last=4, last_head=bytes(32), acked=4),),
    offset_us=-12,
    offset_error_us=5,
    held={"policy": "3"},
    alarms=("forked",),
)


def test_a_heartbeat_comes_out_as_it_went_in() -> None:
    """Every field survives."""
    assert Heartbeat.parse(HEARTBEAT.to_bytes()) == HEARTBEAT


@given(st.binary(max_size=300))
def test_random_heartbeats_are_refused(body: bytes) -> None:
    """Nothing but WireError comes out."""
    with pytest.raises(WireError):
        Heartbeat.parse(body)
