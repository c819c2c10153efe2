"""Being told at once of a newer document: the question, the answer, and how often is asked."""

from __future__ import annotations

import random
from collections.abc import Mapping

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from sync import keys
from sync.errors import LinkError, WireError
from sync.news import (
    MAX_NEWS_BYTES,
    NEWS_CONTEXT,
    NEWS_PATH,
    newer,
    news_answer,
    news_question,
    read_answer,
    read_question,
)
from sync.news_watch import AT_MOST_EVERY_S, RETRY_CAP_S, UNKNOWN_THERE_S, NewsWatch
from sync.uplink import Reply, SignedRequest

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
VERSIONS = st.dictionaries(
    st.sampled_from(["roster", "policy", "revocations"]), st.integers(1, 10**12).map(str), max_size=3
)


@given(VERSIONS, VERSIONS)
def test_question_and_answer_are_read_as_they_were_written(told: dict[str, str], offers: dict[str, str]) -> None:
    """Both ways, and what is newer is told by version alone."""
    asked = read_question(news_question("north-1", "r1", told), "north-1", "r1")
    assert asked == {kind: int(version) for kind, version in told.items()}
    assert read_answer(news_answer("r1", offers), "r1") == offers
    assert newer(offers, asked) == any(int(offers[kind]) > asked.get(kind, 0) for kind in offers)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[1]",
        b'{"v": 2}',
        b"[" * 1000,
        b"x" * (MAX_NEWS_BYTES + 1),
        news_question("south-1", "r1", {}),
        news_question("north-1", "r2", {}),
        news_question("north-1", "r1", {"weather": "1"}),
        news_question("north-1", "r1", {"policy": "-1"}),
        news_question("north-1", "r1", {"policy": "1" * 16}),
    ],
    ids=["empty", "list", "version", "deep", "long", "kiosk", "request", "kind", "negative", "huge"],
)
def test_anything_else_is_no_question(body: bytes) -> None:
    """Bounded, and bound to the headers that were signed for."""
    with pytest.raises(WireError):
        read_question(body, "north-1", "r1")


@given(st.binary(max_size=200))
def test_random_bytes_are_no_answer(body: bytes) -> None:
    """Nothing but WireError comes out."""
    with pytest.raises(WireError):
        read_answer(body, "r1")


class Central:
    """Answers with what it is given, one after the other."""

    def __init__(self, *answers: dict[str, str] | Reply | LinkError) -> None:
        self.answers = list(answers)
        self.asked: list[SignedRequest] = []

    def exchange(self, request: SignedRequest) -> Reply:
        self.asked.append(request)
        answer = self.answers.pop(0)
        if isinstance(answer, LinkError):
            raise answer
        return answer if isinstance(answer, Reply) else Reply(status=200, body=news_answer(request.request, answer))

    def close(self) -> None:
        """Nothing to close."""


def watch(central: Central) -> tuple[NewsWatch, list[Mapping[str, str]]]:
    told: list[Mapping[str, str]] = []
    made = NewsWatch(
        kiosk_id="north-1",
        private_key=KEY,
        link=central,
        tell=told.append,
        told={"policy": "3"},
        rng=random.Random(1),
    )
    return made, told


def test_news_are_told_once_and_asked_on_from_there() -> None:
    """The next question says what was told, so that the central waits for something newer."""
    central = Central({"policy": "4"}, {"policy": "4"}, {"policy": "4", "roster": "1"})
    news, told = watch(central)
    assert [news.ask(), news.ask(), news.ask()] == [AT_MOST_EVERY_S] * 3
    assert told == [{"policy": "4"}, {"policy": "4", "roster": "1"}]
    questions = [read_question(asked.body, "north-1", asked.request) for asked in central.asked]
    assert questions == [{"policy": 3}, {"policy": 4}, {"policy": 4}]
    first = central.asked[0]
    assert first.path == NEWS_PATH
    assert keys.verify(keys.public_bytes(KEY), NEWS_CONTEXT, first.body, first.signature)


def test_a_central_that_fails_is_asked_ever_more_slowly() -> None:
    """Full jitter up to two minutes, Retry-After as a floor, and an hour where it does not know the question."""
    lost = [LinkError("network", seen="down")] * 12
    forged = Reply(status=200, body=news_answer("another", {"policy": "9"}))
    busy = Reply(status=503, body=b"", retry_after_s=90.0)
    news, told = watch(Central(*lost, forged, busy, Reply(status=404, body=b""), {"policy": "4"}))
    waits_s = [news.ask() for _ in range(13)]
    assert all(AT_MOST_EVERY_S <= wait_s <= RETRY_CAP_S for wait_s in waits_s)
    assert max(waits_s) > 20
    assert news.ask() >= 90
    assert news.ask() == UNKNOWN_THERE_S
    assert told == []
    assert news.ask() == AT_MOST_EVERY_S
    assert told == [{"policy": "4"}]
