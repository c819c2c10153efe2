"""What the central offers is fetched one document a step, and one that was refused ever more slowly."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from sync.ackstore import AckStore
from sync.agent_counters import Counters
from sync.agent_options import AgentOptions
from sync.document import DocumentKind
from sync.document_fetcher import DocumentFetcher
from sync.errors import LinkError, WireError
from sync.exchange import Exchange
from sync.trouble import Troubles
from sync.uplink import Reply, SignedRequest
from tests.fakes import FakeClock
from tests.sync_kit import KIOSK


class NoLink:
    """Nothing is sent here."""

    def exchange(self, request: SignedRequest) -> Reply:
        raise LinkError("network", seen="down")


class Shelf:
    """A downlink whose documents arrive, or are refused by their signature."""

    def __init__(self) -> None:
        self.refused: set[DocumentKind] = set()
        self.fetched: list[DocumentKind] = []
        self.asked = 0

    def wanted(self, offers: Mapping[str, str]) -> list[DocumentKind]:
        return [kind for kind in DocumentKind if kind in offers and kind not in self.fetched]

    def fetch(self, kind: DocumentKind, request_id: str) -> int:
        self.asked += 1
        if kind in self.refused:
            raise WireError("document", seen="another signature", expected="the authority's")
        self.fetched.append(kind)
        return 1


class Desk:
    """A fetcher, what it was offered, and a clock that stands still."""

    def __init__(self) -> None:
        options = AgentOptions(journal=Path(), state=Path(), central_url="", key=Path(), kiosk_id=KIOSK)
        self.clock, state = FakeClock(), AckStore(":memory:")
        self.troubles = Troubles(state)
        shared: dict[str, Any] = {"troubles": self.troubles, "counters": Counters()}
        link, rng = NoLink(), random.Random(1)
        self.exchange = Exchange(options, state=state, link=link, clock=self.clock, rng=rng, **shared)
        self.shelf = Shelf()
        self.fetcher = DocumentFetcher(self.shelf, exchange=self.exchange, troubles=self.troubles)  # type: ignore[arg-type]

    def step(self) -> bool | None:
        with capture_logs():
            return self.fetcher.step(self.exchange.now_s())


@pytest.fixture
def desk() -> Desk:
    desk = Desk()
    desk.exchange.offers = {DocumentKind.POLICY: "1", DocumentKind.REVOCATIONS: "1"}
    return desk


def test_one_document_a_step_until_nothing_is_offered(desk: Desk) -> None:
    """Records never wait for more than one of them."""
    assert [desk.step(), len(desk.shelf.fetched)] == [True, 1]
    assert [desk.step(), len(desk.shelf.fetched)] == [True, 2]
    assert desk.step() is None


def test_a_refused_document_is_told_and_not_asked_for_again_at_once(desk: Desk) -> None:
    """It waits a while; when the central offers something else it is asked for without waiting."""
    desk.shelf.refused = set(DocumentKind)
    assert desk.step() is False
    assert desk.troubles.codes == ("document_refused",)
    desk.fetcher._backoff.not_before_s = desk.exchange.now_s() + 30
    assert desk.step() is None
    assert desk.shelf.asked == 1
    desk.shelf.refused.clear()
    desk.fetcher.offered()
    assert desk.step() is True


def test_nothing_is_fetched_from_a_central_that_is_not_reached(desk: Desk) -> None:
    """The link's own back-off holds documents as well."""
    desk.exchange.backoff.not_before_s = desk.exchange.now_s() + 30
    assert desk.step() is None
    desk.clock.advance(31)
    assert desk.step() is True
