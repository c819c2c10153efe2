"""Lending and trying out cards at the whole gate in simulated time: taps in, journal records and alarms out.

Everything is the real gate but the wire and the clock: taps are put where the readers' threads put them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from config.errors import ConfigError
from config.policy import POLICIES, load_policy
from config.settings import Settings, load_settings
from drivers.devices import CardProof, CardTap, DeviceReady, InputChange, InputName, Observed, ProofKind, ProofOutcome
from kiosk.capture import Gate
from kiosk.line_wire import Heard
from kiosk.neighbours import Fact, FactKind, HeardFact, keyed
from kiosk.policy_fit import check_passback
from kiosk.records import Kind, PayloadClass, Record
from kiosk.run import build
from kiosk.site_stores import key_for, open_roster
from tests.fakes import FakeClock
from tests.gate_settings import SIMULATED, lane_text, write_gate
from tests.integration.journal_cases import all_records

RESIDENT, COURIER, LENT, STRANGER = "04a1b2c3d4e501", "11223344", "21223344", "99223344"
ROSTER = f"""person_id,category,card_uid,card_strength,registered,valid_until,lent_by
R-1,resident,{RESIDENT},sun,yes,,
C-1,courier,{COURIER},uid,yes,,
V-1,visitor,{LENT},uid,yes,2026-12-31,R-1
"""
LANES = {name: lane_text(name, "reader", "contacts", direction=name, strength="uid") for name in ("in", "out")}


def settings_of(folder: Path, lanes: str = LANES["in"] + LANES["out"]) -> Settings:
    """Two lanes with reader and beam; couriers under hard anti-passback, residents under soft."""
    text = (POLICIES / "building_door.toml").read_text("utf-8")
    text = text.replace('name = "courier"', 'name = "courier"\npassback = "hard"')
    text = text.replace('name = "resident"', 'name = "resident"\npassback = "soft"')
    (folder / "policy.toml").write_text(text, "utf-8")
    keys = 'card_meta = "{folder}/community.key"\n'
    path = write_gate(folder, SIMULATED + lanes, kiosk_id="lending-1", policy="{folder}/policy.toml", keys=keys)
    return load_settings(path, {}).settings


@dataclass
class Door:
    """The gate, its clock, and what it wrote."""

    gate: Gate
    clock: FakeClock
    folder: Path

    def observe(self, lane: str, device: str, event: Any) -> None:
        self.gate.observe(Observed(lane=lane, device=device, event=event))
        self.gate._round()

    def tap(self, uid: str, lane: str = "in", *, read_ctr: int | None = None, passes: bool = True) -> Record:
        """A tap and, unless told otherwise, the beam a second later; the passage's record. A minute goes by."""
        proof = None
        if read_ctr is not None:
            proof = CardProof(kind=ProofKind.SUN, outcome=ProofOutcome.GENUINE, read_ctr=read_ctr, key_version=1)
        now_ns = self.clock.advance(1).mono_ns
        self.observe(lane, "reader", CardTap(uid=bytes.fromhex(uid), at_ns=now_ns, proof=proof))
        found = self.records(Kind.PASSAGE)[-1]
        admitted = body(found)["admit"]
        now_ns = self.clock.advance(1).mono_ns
        if admitted and passes:
            self.observe(lane, "contacts", InputChange(name=InputName.PASSAGE_BEAM, active=True, at_ns=now_ns))
        now_ns = self.clock.advance(58).mono_ns
        self.observe(lane, "contacts", InputChange(name=InputName.PASSAGE_BEAM, active=False, at_ns=now_ns))
        return found

    def records(self, kind: Kind) -> list[Record]:
        written = all_records(self.folder / "state/journal.db").values()
        return [record for records in written for record in records if record.kind is kind]


def body(record: Record, of: PayloadClass = PayloadClass.FACTS) -> dict[str, Any]:
    found = record.payloads[of].body
    assert found is not None
    return dict(found)


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    settings, clock = settings_of(tmp_path), FakeClock()
    settings.state.folder.mkdir()
    with ExitStack() as stack:
        with open_roster(settings) as roster:
            lines = [line.encode() + b"\n" for line in ROSTER.splitlines()]
            assert roster.import_csv(lines, at_us=clock.at_us).bad == []
        door = Door(build(settings, stack, clock=clock), clock, tmp_path)
        for lane in ("in", "out"):
            for device in ("reader", "contacts"):
                door.observe(lane, device, DeviceReady(detail="", at_ns=clock.mono_ns))
        yield door


def test_a_courier_who_is_inside_is_refused_until_he_was_seen_to_leave(door: Door) -> None:
    """Hard: in, in again (refused, passed back), out, in. Who turned back at the beam has not gone anywhere."""
    assert body(door.tap(COURIER, passes=False))["admit"]
    assert body(door.tap(COURIER))["admit"]
    assert body(door.tap(COURIER))["reasons"] == ["passed_back"]
    assert body(door.tap(COURIER, "out"))["admit"]
    assert body(door.tap(COURIER))["admit"]


def test_a_resident_always_comes_home_and_the_journal_says_what_was_odd(door: Door) -> None:
    """Soft: the second entry is admitted with remarks: passed back, and a counter far ahead."""
    assert "remarks" not in body(door.tap(RESIDENT, read_ctr=7))
    again = body(door.tap(RESIDENT, read_ctr=600))
    assert (again["admit"], again["remarks"]) == (True, ["counter_jump", "passed_back"])


def test_a_lent_card_names_the_member_who_answers_for_it(door: Door) -> None:
    """By pseudonym, in the person's payload, beside the holder's own."""
    record = door.tap(LENT)
    resident = body(door.tap(RESIDENT, read_ctr=1), PayloadClass.PERSON)["subject"]
    person = body(record, PayloadClass.PERSON)
    assert body(record)["admit"]
    assert body(record)["remarks"] == ["lent_card"]
    assert person["lent_by"] == resident != person["subject"]


def test_a_card_that_another_gate_let_in_a_moment_ago_is_told_and_alarmed(door: Door) -> None:
    """Heard over the line to sync: the courier gets in, the passage and an alarm say that the card was at two gates."""
    with open_roster(load_settings(door.folder / "gate.toml", {}).settings) as roster:
        name = keyed(key_for(bytes(range(32)), "neighbours"), "holder", roster.subject_of("C-1"))
    fact = Fact(kind=FactKind.HOLDER, what=name, place="east-gate", mono_ns=door.clock.mono_ns)
    door.gate.hear(Heard(facts=(HeardFact(kiosk="east-1", fact=fact),)))
    door.gate._round()
    found = body(door.tap(COURIER))
    assert (found["admit"], found["remarks"]) == (True, ["two_gates"])
    assert [body(record)["code"] for record in door.records(Kind.ALARM)] == ["card_at_two_gates"]


def test_an_emergency_makes_everybodys_place_unknown(door: Door) -> None:
    """After the fire contact the courier who was inside comes in again."""
    door.tap(COURIER)
    door.observe("in", "contacts", InputChange(name=InputName.FIRE, active=True, at_ns=door.clock.mono_ns))
    door.observe("in", "contacts", InputChange(name=InputName.FIRE, active=False, at_ns=door.clock.mono_ns))
    assert body(door.tap(COURIER))["admit"]


def test_five_refused_cards_in_fifty_seconds_are_one_alarm_in_the_journal(door: Door) -> None:
    """Every nine seconds another card that nobody knows."""
    for number in range(7):
        now_ns = door.clock.advance(9).mono_ns
        uid = bytes.fromhex(STRANGER[:-2]) + bytes((number,))
        door.observe("in", "reader", CardTap(uid=uid, at_ns=now_ns))
    alarms = [body(record)["code"] for record in door.records(Kind.ALARM)]
    assert alarms == ["illegal_cards"]
    assert door.records(Kind.ALARM)[0].lane == "in"


@pytest.mark.parametrize(
    ("lanes", "why"),
    [
        (LANES["in"], "no way out with a reader"),
        (
            LANES["in"].replace("passage_beam", "tamper") + LANES["out"],
            "no passage beam or door contact at in",
        ),
    ],
)
def test_hard_anti_passback_needs_what_it_rests_on(tmp_path: Path, lanes: str, why: str) -> None:
    """Without a read way out, or without seeing who went in, the gate does not start with such a policy."""
    settings = settings_of(tmp_path, lanes)
    with pytest.raises(ConfigError, match=why):
        check_passback(settings, load_policy(settings.policy.file))


def test_residents_are_never_locked_out_by_a_rule_on_lending(tmp_path: Path) -> None:
    """A policy that says hard for people who live here is refused."""
    settings_of(tmp_path)
    path = tmp_path / "policy.toml"
    path.write_text(path.read_text("utf-8").replace('passback = "soft"', 'passback = "hard"'), "utf-8")
    with pytest.raises(ConfigError, match="never locked out"):
        load_policy(path)
