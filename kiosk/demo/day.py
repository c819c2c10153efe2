"""The demo's simulated community: cards, codes and people before one lane of simulated devices."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable
from datetime import datetime, time, timedelta
from pathlib import Path

import segno

from drivers.cards.ntag424 import CardKeys
from kiosk.card_keys import CardKeyStore
from kiosk.clock import Instant
from kiosk.demo.codes import DemoIssuer, DemoPerson
from kiosk.demo.control import Control
from kiosk.demo.house import ZONE, House
from kiosk.roster import Roster
from kiosk.scenario import CardShown, CodeShown, Passage, Person, Scenario, inhabitants
from kiosk.site_stores import community_key, key_for

PULSE_S = 0.5
"""Length of the demo's opening pulse."""


def start_today(scenario: Scenario, now: datetime) -> datetime:
    """Today's date at the time of day at which the scenario starts, in the demo site's zone."""
    local = now.astimezone(ZONE)
    hours, minutes = (int(part) for part in scenario.starts.split(":"))
    return datetime.combine(local.date(), time(hours, minutes), tzinfo=ZONE)


class DayHouse(House):
    """A community that plays a scenario."""

    def __init__(self, folder: Path, scenario: Scenario, *, now: datetime, gate_port: int = 0) -> None:
        super().__init__(folder, gate_port=gate_port)
        self.scenario = scenario
        self.starts_at = start_today(scenario, now)
        self.pictures = folder / "pictures"
        self.control = Control(folder / "control.sock")
        self._issuer = DemoIssuer.create(self.starts_at)
        self._number = 0
        self._cards = {
            person.uid: CardKeys(gate_key=secrets.token_bytes(16), file_key=secrets.token_bytes(16))
            for person in self._card_holders()
            if person.group.strength == "ev2"
        }
        """What the issuing desk would have written into each second-generation card."""

    def prepare(self) -> None:
        """Besides keys and settings: roster, trust folder, the camera's folder, and the plan of the devices."""
        super().prepare()
        self.pictures.mkdir()
        self._issuer.write_trust_folder(self.folder / "trust")
        (self.folder / "plan.toml").write_text(PLAN, encoding="utf-8")
        self._fill_roster()

    def start(self) -> None:
        """The simulators first, then what every house has."""
        self.start_simulators()
        super().start()

    def start_simulators(self) -> None:
        """The other end of every wire."""
        self.programs.start(
            "simulators", "drivers.simulators", "--dir", str(self.folder), "--plan", str(self.folder / "plan.toml")
        )
        self.programs.wait_for("its control socket", self.control.ready, program="simulators")

    def gate_toml(self) -> str:
        """One lane of simulated devices under the scenario's policy, its clock at the scenario's start."""
        dev = self.folder / "dev"
        return f"""[policy]
file = "{self.scenario.policy}"
[trust]
folder = "{self.folder / "trust"}"
[simulation]
devices = true
start_at = {self.starts_at.isoformat()}
[[lane]]
name = "in"
direction = "in"
  [lane.reader]
  port = "{dev / "reader-in"}"
  strength = "ev2"
  [lane.thermometer]
  port = "{dev / "thermometer-in"}"
  air_c = 23.0
  [lane.camera]
  source = "folder"
  path = "{self.pictures}"
  follow = true
  [lane.relay]
  port = "{dev / "relay-in"}"
  pulse_s = {PULSE_S}
  [lane.contacts]
  port = "{dev / "contacts-in"}"
  inputs = {{ 1 = "passage_beam" }}
"""

    def _fill_roster(self) -> None:
        key = community_key(self.folder / "keys/community.key")
        with CardKeyStore.open(self.state / "cards.db", key_for(key, "card keys")) as store:
            store.take(self._cards.items())
        at_us = int(self.starts_at.timestamp() * 1_000_000)
        with Roster.open(self.state / "roster.db", key, match_key=key_for(key, "person match")) as roster:
            lines = [line.encode() + b"\n" for line in self._roster_lines()]
            report = roster.import_csv(lines, at_us=at_us, zone=ZONE)
        if report.bad_lines:
            raise AssertionError(f"the demo's own roster has bad lines: {report.bad[:3]}")

    def _card_holders(self) -> Iterable[Person]:
        return (person for group in inhabitants(self.scenario).values() for person in group if person.group.cards)

    def _roster_lines(self) -> Iterable[str]:
        yield "person_id,category,name,card_uid,card_strength,registered,revoked,surname,given,birth_date"
        for person in self._card_holders():
            yield ",".join(
                (
                    f"demo-{person.number}",
                    person.group.category,
                    person.name,
                    person.uid.hex().upper(),
                    person.group.strength,
                    "yes" if person.group.registered else "no",
                    "yes" if person.group.revoked else "no",
                    surname_of(person),
                    GIVEN_NAME,
                    person.birth_date,
                )
            )

    # ------------------------------------------------------------------------------------- what people show

    def tap(self, person: Person, card: CardShown = CardShown.OWN, *, hold_ms: int = 300) -> None:
        """Hold a card to the reader: the person's own, a copy of it, or one with an invented number."""
        if card is CardShown.UNKNOWN:
            person = Person(person.number + 100_000, person.group)
        options: dict[str, object] = {}
        if card is CardShown.COPIED:
            options["copy"] = True
        elif (keys := self._cards.get(person.uid)) is not None:
            options["card"] = {
                "gate_key": keys.gate_key.hex(),
                "file_key": keys.file_key.hex(),
                "meta_key": META_KEY.hex(),
            }
        self.control(READER, "tap", uid=person.uid.hex().upper(), hold_ms=hold_ms, **options)

    def code_text(self, passage: Passage, now: Instant) -> str:
        """The text of the code that the person of this passage shows."""
        person, at = passage.person, now.utc()
        who = DemoPerson(surname=surname_of(person), given=GIVEN_NAME, birth_date=person.birth_date)
        match passage.situation.code:
            case CodeShown.EXPIRED:
                return self._issuer.hcert(who, issued_at=at - timedelta(days=60), expires_at=at - timedelta(days=1))
            case CodeShown.FORGED:
                return self._issuer.forged_hcert(who, issued_at=at, expires_at=at + timedelta(days=30))
            case CodeShown.OPAQUE:
                return f"https://code.example.cn/h?t={person.number:08x}{person.number * 2654435761 % 2**32:08x}"
            case _:
                return self._issuer.hcert(who, issued_at=at - timedelta(days=2), expires_at=at + timedelta(days=30))

    def hold_up(self, text: str) -> Path:
        """Hold a phone with this text before the camera: a picture appears in the camera's folder, whole."""
        self._number += 1
        path = self.pictures / f"{self._number:06d}.png"
        beside = path.with_suffix(".part")
        segno.make(text, error="m", micro=False).save(str(beside), kind="png", scale=5, border=6)
        beside.replace(path)
        return path

    def relay_changes(self) -> list[dict[str, object]]:
        """Every change of the simulated relay so far, from its own log on disk."""
        path = self.folder / "relay-relay-in.log"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


GIVEN_NAME = "DEMO"
READER = "reader-in"
META_KEY = bytes(16)
"""Opens the number in a rolling code, which nobody reads here: the demo's cards answer a challenge."""

PLAN = """# The simulated devices of the demo's lane: python -m drivers.simulators --dir DIR --plan PLAN
[[device]]
name = "reader-in"
kind = "pn532"
[[device]]
name = "thermometer-in"
kind = "gy_mcu90615"
[[device]]
name = "relay-in"
kind = "relay"
channels = 2
[[device]]
name = "contacts-in"
kind = "contacts"
contacts = "passage_beam"
"""


def surname_of(person: Person) -> str:
    """A surname in Latin letters that is the person's own in this run."""
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    number, name = person.number, ""
    for _ in range(4):
        number, rest = divmod(number, 26)
        name = letters[rest] + name
    return "QX" + name
