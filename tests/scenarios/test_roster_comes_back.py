"""A gate whose roster was damaged starts without, says so, and has the central's again within seconds."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.settings import DOCUMENTS, load_settings
from kiosk.records import Kind, Stream
from kiosk.site_stores import ROSTER, open_roster
from tests.scenarios.test_policy_at_the_gate import PolicyHouse, house, wait_for

__all__ = ["house"]  # a fixture

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("whole-gate"), pytest.mark.timeout(180)]

PEOPLE = "person_id,category,card_uid\nR-1,resident,04a1b2c3d4e501\nR-2,resident,04a1b2c3d4e502\n"


def people(config: Path) -> int:
    """How many the gate's roster has."""
    with open_roster(load_settings(config, {}).settings) as roster:
        return sum(roster.categories().values())


def test_the_centrals_roster_is_back_after_damage(house: PolicyHouse) -> None:
    """Its text had been erased on the kiosk, so sync fetches it from the central once more; nobody did anything."""
    text = house.state / DOCUMENTS / "roster" / "body"
    house.publish(PEOPLE, kind="roster")
    wait_for(lambda: any(told.get("document") == "roster" for told in house.policies()), "the roster did not come")
    wait_for(lambda: not text.exists(), "its text was not erased")
    assert people(house.folder / "gate.toml") == 2
    house.programs["gatepost"].kill()
    (house.state / ROSTER).write_bytes(b"spoilt" * 1000)
    house.start_gate()
    wait_for(lambda: len([t for t in house.policies() if t.get("document") == "roster"]) == 2, "it did not come back")
    assert people(house.folder / "gate.toml") == 2
    alarms = [told["code"] for told in house.facts(Stream.ALARM, Kind.ALARM)]
    assert alarms == ["store_damaged"]
    wait_for(lambda: not text.exists(), "its text was not erased again")
