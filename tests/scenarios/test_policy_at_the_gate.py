"""A policy goes from the central's one command to the running gate: who is in the lane keeps the old, the next has the
new.

Central, sync, gate and simulated devices are the separate programs they are; the person taps, and stands before the
sensor only after the new policy has come.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization

from config.policy import POLICIES
from config.settings import DOCUMENTS
from kiosk.demo.day import DayHouse
from kiosk.demo.house import KIOSK_ID, run_once
from kiosk.journal import JournalReader
from kiosk.records import Kind, PayloadClass, Stream
from kiosk.scenario import inhabitants, load_scenario
from kiosk.signed_document import SNAPSHOT_CONTEXT, DocumentKind, Manifest
from sync import keys
from sync.downlink import Downlink
from sync.uplink import FetchedDocument
from tests.fakes import MORNING_US
from tests.integration.test_sync_documents import Shelf

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("whole-gate"), pytest.mark.timeout(180)]

THERMOMETER = "thermometer-in"


def own_policy() -> str:
    """The site's own: everybody is measured, and waited for before the sensor for half a minute."""
    text = (POLICIES / "case.toml").read_text("utf-8").replace('version = "case-1"', 'version = "own-1"')
    return text.replace("[temperature]", "[waits]\ntemperature_s = 40\n[temperature]")


def card_only(version: str) -> str:
    """What the central sends: a card, nothing else."""
    text = (POLICIES / "building_door.toml").read_text("utf-8")
    return text.replace('version = "building-door-1"', f'version = "{version}"')


class PolicyHouse(DayHouse):
    """The demo's house under a policy of its own, whose documents an authority signs."""

    def prepare(self) -> None:
        super().prepare()
        (self.folder / "own.toml").write_text(own_policy(), "utf-8")
        self.authority = keys.generate_key(self.folder / "authority.key")
        (self.folder / "authority.pub").write_bytes(
            self.authority.public_key().public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            )
        )

    def common_toml(self) -> str:
        return (
            super()
            .common_toml()
            .replace("heartbeat_s = 5.0", f'heartbeat_s = 0.5\nauthority = "{self.folder}/authority.pub"')
        )

    def gate_toml(self) -> str:
        return super().gate_toml().replace(f'file = "{self.scenario.policy}"', f'file = "{self.folder}/own.toml"')

    def publish(self, text: str, *only: str, kind: str = "policy") -> None:
        """The admin's one command, for all kiosks or for ``only`` these."""
        (self.folder / "new").write_text(text, "utf-8")
        run_once(
            "sync.central.cli",
            *("publish", *self._database, "--kind", kind, "--file", self.folder / "new"),
            *(word for kiosk_id in only for word in ("--for", kiosk_id)),
            *("--authority-key", self.folder / "authority.key"),
        )

    def withdraw(self, document: int) -> None:
        """The other command."""
        run_once(
            "sync.central.cli",
            *("policy", "withdraw", *self._database, "--document", str(document)),
            *("--authority-key", self.folder / "authority.key"),
        )

    def goes_by(self, policy: str, document: int) -> bool:
        """Whether the last policy that came is this one."""
        told = [told for told in self.policies() if told.get("document") == "policy"]
        return bool(told) and (told[-1]["policy"], told[-1]["version"]) == (policy, document)

    def lay(self, version: int, body: str) -> None:
        """What a broken-in sync could put into the folder: signed once, but old, or signed and bad."""
        manifest = Manifest.of(DocumentKind.POLICY, version, body.encode(), MORNING_US).to_bytes()
        shelf = Shelf()
        signature = keys.sign(self.authority, SNAPSHOT_CONTEXT, manifest)
        shelf.document = FetchedDocument(manifest=manifest, signature=signature, body=body.encode())
        down = Downlink(
            self.state / DOCUMENTS,
            kiosk_id=KIOSK_ID,
            private_key=keys.load_private_key(self.folder / "keys/kiosk.pem"),
            authority=keys.public_bytes(self.authority),
            link=shelf,
        )
        down._held[DocumentKind.POLICY] = 0
        assert down.fetch(DocumentKind.POLICY, "r") == version

    def facts(self, stream: Stream, kind: Kind) -> list[dict[str, Any]]:
        """What the records of a kind say, in order."""
        reader = JournalReader(self.state / "journal.db")
        try:
            chains = [key for key in reader.positions() if key[1] is stream]
            records = reader.slice(*chains[-1], 0).records if chains else ()
            bodies = [record.payloads[PayloadClass.FACTS].body for record in records if record.kind is kind]
            return [body for body in bodies if body is not None]
        finally:
            reader.close()

    def measures(self) -> bool:
        """Whether the gate has heard its thermometer."""
        lines = (self.folder / "log/gatepost.log").read_text("utf-8", errors="replace").splitlines()
        return any("device_ready" in line and "thermometer" in line for line in lines)

    def policies(self) -> list[dict[str, Any]]:
        return self.facts(Stream.DIAGNOSTIC, Kind.POLICY)

    def verdicts(self) -> list[dict[str, Any]]:
        return self.facts(Stream.PASSAGE, Kind.PASSAGE)

    def refusals(self) -> list[dict[str, Any]]:
        return [told for told in self.facts(Stream.ALARM, Kind.ALARM) if told["code"] == "document_refused"]


def wait_for(what: Callable[[], bool], why: str) -> None:
    deadline = time.monotonic() + 30
    while not what():
        assert time.monotonic() < deadline, why
        time.sleep(0.05)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[PolicyHouse]:
    made = PolicyHouse(tmp_path, load_scenario("day"), now=datetime.now(UTC))
    try:
        made.prepare()
        made.start()
        yield made
    finally:
        made.stop()


def test_whoever_is_in_the_lane_keeps_the_old_policy_and_the_next_has_the_new(house: PolicyHouse) -> None:
    """Then a bad and an older one are refused and journaled, and after a restart the new one is still in force."""
    residents = [
        person
        for group in inhabitants(house.scenario).values()
        for person in group
        if person.group.category == "resident" and person.group.cards and person.group.registered
        if not person.group.revoked
    ]
    first, second, third = residents[:3]

    wait_for(house.measures, "the thermometer did not prove itself")
    house.tap(first)
    house.publish(card_only("central-1"))
    wait_for(lambda: any(told.get("document") == "policy" for told in house.policies()), "the policy did not come")
    assert house.verdicts() == []
    assert not any(told["event"] == "lane_follows" for told in house.policies() if "event" in told)
    house.control(THERMOMETER, "person", skin_c=34.2)
    wait_for(lambda: len(house.verdicts()) == 1, "no verdict for who was being measured")
    house.control(THERMOMETER, "leave")
    [verdict] = house.verdicts()
    assert (verdict["policy"], verdict["admit"]) == ("own-1", True)
    assert {check["name"]: check["state"] for check in verdict["checks"]}["temperature"] == "pass"
    wait_for(lambda: any(told.get("event") == "lane_follows" for told in house.policies()), "the lane did not follow")

    house.tap(second)
    wait_for(lambda: len(house.verdicts()) == 2, "no verdict for the next")
    assert (house.verdicts()[1]["policy"], house.verdicts()[1]["admit"]) == ("central-1", True)
    started, came, followed = house.policies()
    assert (started["event"], started["policy"], started["source"]) == ("policy_at_start", "own-1", "file")
    assert (came["version"], came["policy"], came["before"]) == (1, "central-1", "own-1")
    assert (followed["policy"], followed["before"]) == ("central-1", "own-1")

    house.programs["gatepost-sync"].stop()
    house.lay(3, card_only("bad-3").replace('name = "courier"', 'name = "courier"\npassback = "hard"'))
    wait_for(lambda: len(house.refusals()) == 1, "the bad one was not refused")
    house.lay(1, card_only("old-1").replace("card only", "card alone"))
    assert len(house.refusals()) == 1  # the version in force is no news, whatever it says
    house.publish(card_only("central-2"))
    house.programs["gatepost-sync"].start()
    wait_for(lambda: house.policies()[-1].get("policy") == "central-2", "the second did not come")
    house.programs["gatepost-sync"].stop()
    house.lay(1, card_only("central-1"))
    wait_for(lambda: len(house.refusals()) == 2, "the older one was not refused")
    bad, older = house.refusals()
    assert (bad["document"], bad["version"]) == ("policy", 3)
    assert "passback" in bad["why"]
    assert older["version"] == 1
    assert "above 2" in older["why"]

    house.programs["gatepost"].kill()
    house.start_gate()
    house.tap(third)
    wait_for(lambda: len(house.verdicts()) == 3, "no verdict after the restart")
    assert house.verdicts()[2]["policy"] == "central-2"
    assert [told["version"] for told in house.policies() if told.get("event") == "policy_at_start"] == [0, 2]


def test_a_policy_for_this_gate_alone_goes_first_until_it_is_withdrawn(house: PolicyHouse) -> None:
    """One for all that comes meanwhile changes nothing here; then the gate goes by that, also after a restart."""
    house.publish(card_only("all-1"))
    wait_for(lambda: house.goes_by("all-1", 1), "the first did not come")
    house.publish(card_only("here-2"), KIOSK_ID)
    wait_for(lambda: house.goes_by("here-2", 2), "this gate's own did not come")
    house.publish(card_only("all-3"))
    house.withdraw(2)
    wait_for(lambda: house.goes_by("all-3", 3), "what is for all did not come back")
    house.publish(card_only("here-4"), KIOSK_ID)
    wait_for(lambda: house.goes_by("here-4", 4), "the second of its own did not come")
    house.withdraw(4)
    # A kiosk takes no lower number: the third comes once more, under the next.
    wait_for(lambda: house.goes_by("all-3", 5), "an older one did not come back under a new number")
    house.programs["gatepost"].kill()
    house.start_gate()
    came = [told["policy"] for told in house.policies() if told.get("document") == "policy"]
    assert came == ["all-1", "here-2", "all-3", "here-4", "all-3"]
    at_start = [told for told in house.policies() if told.get("event") == "policy_at_start"]
    assert (at_start[-1]["policy"], at_start[-1]["version"]) == ("all-3", 5)
    assert house.refusals() == []
