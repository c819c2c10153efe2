"""A connected kiosk hears of a document the moment it is published, however rarely its heart beats."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from typer.testing import CliRunner

from config.policy import POLICIES
from sync import keys
from sync.agent_options import AgentOptions
from sync.central import cli
from sync.central.news import MAX_WAITING, NewsDesk
from sync.central.offers import Offers
from sync.central.policy_offers import EVERY_KIOSK, Offered, PolicyOffers, Reach
from sync.central.store import Store
from sync.errors import WireError
from sync.news import NEWS_CONTEXT, NEWS_PATH, news_question
from sync.run import run_agent
from sync.uplink import SignedRequest, Uplink
from tests.integration.central_process import CentralProcess

DOOR = (POLICIES / "building_door.toml").read_text("utf-8")


@pytest.fixture
def central(tmp_path: Path) -> Iterator[CentralProcess]:
    authority = keys.generate_key(tmp_path / "authority.key")
    (tmp_path / "authority.pub").write_bytes(
        authority.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    with CentralProcess(tmp_path / "central.db") as running:
        running.admit("north-1", keys.generate_key(tmp_path / "north-1.pem"))
        yield running


def publish(folder: Path, version: str) -> None:
    (folder / "new.toml").write_text(DOOR.replace("building-door-1", version), "utf-8")
    arguments = ["publish", "--database", str(folder / "central.db"), "--kind", "policy"]
    arguments += ["--file", str(folder / "new.toml"), "--authority-key", str(folder / "authority.key")]
    assert CliRunner().invoke(cli.app, arguments).exit_code == 0


def test_an_idle_kiosk_holds_a_new_policy_within_seconds(central: CentralProcess, tmp_path: Path) -> None:
    """Its heartbeats are an hour apart; it was published by another process than the one that serves."""
    options = AgentOptions(
        journal=tmp_path / "no-journal.db",
        state=tmp_path / "sync.db",
        central_url=central.url,
        key=tmp_path / "north-1.pem",
        kiosk_id="north-1",
        documents=tmp_path / "documents",
        authority=tmp_path / "authority.pub",
        heartbeat_interval_s=3600.0,
    )
    stop = threading.Event()
    thread = threading.Thread(target=run_agent, args=(options, stop))
    thread.start()
    try:
        took_s = []
        for number in (1, 2):
            time.sleep(0.5)
            publish(tmp_path, f"door-{number}")
            published_s = time.monotonic()
            while not (tmp_path / f"documents/policy-{number}/manifest").exists():
                assert time.monotonic() - published_s < 20, "the kiosk did not hear of it"
                time.sleep(0.02)
            took_s.append(time.monotonic() - published_s)
    finally:
        stop.set()
        thread.join()
    assert (tmp_path / "documents/policy/body").read_text("utf-8").count("door-2") == 1


def test_only_an_approved_kiosk_is_told(central: CentralProcess, tmp_path: Path) -> None:
    """By its signature over this very question."""
    publish(tmp_path, "door-1")
    known, stranger = keys.load_private_key(tmp_path / "north-1.pem"), Ed25519PrivateKey.generate()

    def status(kiosk: str, key: Ed25519PrivateKey, told: str = "0") -> int:
        body = news_question(kiosk, "r1", {"policy": told})
        signature = keys.sign(key, NEWS_CONTEXT, body)
        request = SignedRequest(path=NEWS_PATH, kiosk_id=kiosk, request="r1", body=body, signature=signature)
        with Uplink(central.url) as link:
            return link.exchange(request).status

    assert status("north-1", known) == 200
    assert status("north-1", stranger) == 401
    assert status("south-1", stranger) in (401, 403)


def test_a_central_that_ends_does_not_wait_for_its_questions(central: CentralProcess, tmp_path: Path) -> None:
    """SIGTERM with a question waiting: the process is gone long before the question's 25 seconds are over."""
    key = keys.load_private_key(tmp_path / "north-1.pem")
    body = news_question("north-1", "r1", {})
    signature = keys.sign(key, NEWS_CONTEXT, body)
    request = SignedRequest(path=NEWS_PATH, kiosk_id="north-1", request="r1", body=body, signature=signature)
    answers: list[Any] = []

    def ask() -> None:
        with Uplink(central.url) as link:
            answers.append(link.exchange(request).status)

    thread = threading.Thread(target=ask)
    thread.start()
    time.sleep(1.0)
    process = central._process
    assert process is not None
    process.terminate()
    process.wait(timeout=8)
    thread.join(timeout=8)
    assert answers == [200]


def test_questions_are_bounded_and_cost_one_look_a_second(tmp_path: Path) -> None:
    """Beyond 400 a kiosk is sent away; the others are answered by the same look at the database."""
    store, looks = Store(tmp_path / "central.db"), 0

    class Counting(NewsDesk):
        def _newest(self) -> Offers:
            nonlocal looks
            looks += 1
            every, alone = Offered(Reach.EVERY, 7), Offered(Reach.ALONE, 8)
            return Offers(policies=PolicyOffers({EVERY_KIOSK: every, "south-1": alone}))

    async def crowd() -> tuple[list[dict[str, str]], int]:
        desk = Counting(store)
        waiting = [asyncio.create_task(desk.wait("north-1", {"policy": 7}, wait_s=0.4)) for _ in range(MAX_WAITING)]
        await asyncio.sleep(0.1)
        refused = 0
        for _ in range(5):
            try:
                await desk.wait("north-1", {}, wait_s=0.4)
            except WireError as error:
                refused += error.status == 503
        found = await asyncio.gather(*waiting)
        assert await desk.wait("north-1", {"policy": 6}, wait_s=5.0) == {"policy": "7"}
        assert await desk.wait("south-1", {"policy": 7}, wait_s=5.0) == {"policy": "8"}  # a policy of its own
        return found, refused

    found, refused = asyncio.run(crowd())
    store.close()
    assert found == [{"policy": "7"}] * MAX_WAITING
    assert refused == 5
    assert looks <= 3
