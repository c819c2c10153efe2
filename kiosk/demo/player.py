"""Plays passages at the demo's gate: walks people up, holds cards and phones, and compares what comes out."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from kiosk.clock import ShiftedClock
from kiosk.demo.console import Console
from kiosk.demo.day import DayHouse
from kiosk.records import Kind, PayloadClass, Record
from kiosk.scenario import Act, CardShown, CodeShown, Passage

THERMOMETER, CONTACTS = "thermometer-in", "contacts-in"
WALK_UP_S = 0.3
"""From stepping before the sensor to holding out the card."""
SECOND_CREDENTIAL_S = 0.6
"""From one credential to the next: the phone comes out of the pocket."""
VERDICT_WAIT_S = 25.0
WALK_THROUGH_S = 0.4
STEP_AWAY_S = 1.2
"""Walking out of the sensor's view, and its silence that tells two people apart."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one passage. ``verdict`` is the facts payload of its record, None when none was written in time;
    ``tries`` counts presentations (a gate that was killed in between is tried again, as a person would)."""

    passage: Passage
    verdict: dict[str, object] | None
    tries: int
    waited_s: float

    @property
    def as_scripted(self) -> bool:
        """Whether verdict and first reason are the script's."""
        expect = self.passage.situation.expect
        return self.verdict is not None and (self.admit, self.reason) == (expect.admit, str(expect.reason))

    @property
    def admit(self) -> bool:
        """The verdict."""
        return bool(self.verdict and self.verdict.get("admit"))

    @property
    def reason(self) -> str:
        """The first reason, or "no verdict"."""
        reasons = self.verdict.get("reasons") if self.verdict else None
        return str(reasons[0]) if isinstance(reasons, list) and reasons else "no verdict"


class Player:
    """One pair of hands at one lane. Without a verdict for ``patience_s`` seconds people present again, three times."""

    def __init__(self, house: DayHouse, console: Console, *, patience_s: float = VERDICT_WAIT_S) -> None:
        self._house = house
        self._console = console
        self._patience_s = patience_s
        self._clock = ShiftedClock(int(house.starts_at.timestamp() * 1_000_000))
        self._seen_seq = 0

    def play(self, passage: Passage) -> Outcome:
        """One person comes, presents, waits for the verdict, and goes in or away."""
        for act in passage.situation.before:
            self._act(act)
        self._catch_up()
        began_s = time.monotonic()
        tries, record = 0, None
        while record is None and tries < 3:
            tries += 1
            record = self._present(passage)
        waited_s = time.monotonic() - began_s
        facts = dict(record.payloads[PayloadClass.FACTS].body or {}) if record is not None else None
        self._leave(passed=bool(facts and facts.get("admit")))
        for act in passage.situation.after:
            self._act(act)
        return Outcome(passage, facts, tries, waited_s)

    def _present(self, passage: Passage) -> Record | None:
        situation = passage.situation
        if passage.skin_c is not None:
            self._house.control(THERMOMETER, "person", skin_c=passage.skin_c)
            time.sleep(WALK_UP_S)
        picture: Path | None = None
        shows_code = situation.code is not CodeShown.NONE
        try:
            if shows_code and (situation.code_first or situation.card is CardShown.NONE):
                picture = self._house.hold_up(self._house.code_text(passage, self._clock.now()))
                time.sleep(SECOND_CREDENTIAL_S)
            if situation.card is not CardShown.NONE:
                self._house.tap(passage.person, situation.card)
            if shows_code and picture is None:
                time.sleep(SECOND_CREDENTIAL_S)
                picture = self._house.hold_up(self._house.code_text(passage, self._clock.now()))
            if situation.attest is None:
                return self._verdict()
            refused = self._verdict()
            if refused is None:
                return None
            self._console.attest("in", str(situation.attest))
            return self._verdict()
        finally:
            if picture is not None:
                picture.unlink(missing_ok=True)

    def _verdict(self) -> Record | None:
        deadline = time.monotonic() + self._patience_s
        while time.monotonic() < deadline:
            for record in self._house.passages(self._seen_seq):
                self._seen_seq = record.seq
                if record.kind is Kind.PASSAGE:
                    return record
            time.sleep(0.02)
        return None

    def _catch_up(self) -> None:
        while records := self._house.passages(self._seen_seq):
            self._seen_seq = records[-1].seq

    def _leave(self, *, passed: bool) -> None:
        if passed:
            time.sleep(WALK_THROUGH_S)
            self._house.control(CONTACTS, "set", contact="passage_beam", active=True, for_ms=300)
        self._house.control(THERMOMETER, "leave")
        time.sleep(STEP_AWAY_S)

    def _act(self, act: Act) -> None:
        if act.program:
            program = self._house.programs[act.program]
            {"kill": program.kill, "start": program.start}[act.do]()
        elif act.do == "fault":
            self._house.control(act.device, "fault", name=act.fault)
        else:
            self._house.control(act.device, act.do)
        time.sleep(act.wait_s)
