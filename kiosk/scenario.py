"""A scripted day: who comes to the simulated gate, what goes wrong, and what the verdict must be. Pure.

A scenario is a TOML file (``kiosk/scenarios/*.toml``; the format is pinned in ``docs/formats.md``). Its *script* is
played first, in order; further passages are drawn from the situations by their ``share``, by seed, so that the same
seed and number of passages always give the same day.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from config.loader import Section, load, nearest
from config.policy import minutes_of
from kiosk.evidence import AttestedCode
from kiosk.reasons import Reason

SCENARIOS = Path(__file__).resolve().parent / "scenarios"

Key = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$")]


class CardShown(StrEnum):
    """What the person holds to the reader."""

    NONE = "none"
    OWN = "own"
    UNKNOWN = "unknown"
    REVOKED = "revoked"
    COPIED = "copied"
    """Another chip that tells the number of the person's own card, and knows no key of it."""


class CodeShown(StrEnum):
    """What the person holds to the camera: an HCERT made for this run, or an opaque provincial token."""

    NONE = "none"
    VALID = "valid"
    EXPIRED = "expired"
    FORGED = "forged"
    OPAQUE = "opaque"


class Act(Section):
    """One thing done to the simulated hardware or to a program before or after a passage."""

    device: str = Field(default="", description="simulated device, such as thermometer-in")
    program: str = Field(default="", description="program: gatepost, gatepost-sync, gatepost-central")
    do: str = Field(description="unplug, plug, fault, kill, start")
    fault: str = Field(default="", description="name of the fault, with do = fault")
    wait_s: float = Field(default=0.0, ge=0, le=30, description="time to let pass afterwards, in seconds")

    @model_validator(mode="after")
    def _one_target(self) -> Self:
        if bool(self.device) == bool(self.program):
            raise ValueError("an act names either a device or a program")
        return self


class People(Section):
    """A group of people of one category, each with a card of their own unless ``cards`` is false."""

    key: Key = Field(description="the group's name in situations")
    category: str = Field(description="the policy's category")
    count: int = Field(default=1, ge=1, le=5000, description="how many people")
    cards: bool = Field(default=True, description="whether they hold a card in the roster")
    strength: Literal["ev2", "uid"] = Field(
        default="ev2", description="second-generation cards, which prove themselves, or old ones: a number alone"
    )
    revoked: bool = Field(default=False, description="whether their cards are revoked")
    registered: bool = Field(default=True, description="whether they are in the register")


class Expect(Section):
    """What must come out."""

    admit: bool = Field(description="the verdict")
    reason: Reason = Field(description="the first reason of the verdict")


class Situation(Section):
    """One kind of passage."""

    key: Key = Field(description="its name in the script")
    title: str = Field(max_length=80, description="one line for people")
    people: Key = Field(description="the group from which the person comes")
    lane: str = Field(default="in", description="the lane")
    card: CardShown = Field(default=CardShown.NONE, description="what is held to the reader")
    code: CodeShown = Field(default=CodeShown.NONE, description="what is held to the camera")
    code_first: bool = Field(default=False, description="code before card")
    skin_c: tuple[float, float] | None = Field(
        default=None, description="range of skin temperature, degC; none: absent"
    )
    attest: AttestedCode | None = Field(default=None, description="what the guard says of the phone")
    share: int = Field(default=0, ge=0, le=1000, description="how often among the drawn passages; 0: script only")
    before: tuple[Act, ...] = Field(default=(), description="what happens before")
    after: tuple[Act, ...] = Field(default=(), description="what happens after")
    expect: Expect = Field(description="what must come out")


class Scenario(Section):
    """A whole day."""

    name: Key = Field(description="the scenario's name")
    title: str = Field(max_length=120, description="one line for people")
    seed: int = Field(default=1, ge=0, description="for everything that is drawn")
    starts: str = Field(default="08:40", description="local time of day at which the run's clock starts")
    policy: str = Field(default="case", description="the policy in force")
    script: tuple[Key, ...] = Field(default=(), description="situations played first, in this order")
    people: tuple[People, ...] = Field(min_length=1, description="who lives, works and calls here")
    situation: tuple[Situation, ...] = Field(min_length=1, description="what can happen")

    @field_validator("starts")
    @classmethod
    def _time_of_day(cls, value: str) -> str:
        minutes_of(value)
        return value

    @model_validator(mode="after")
    def _whole(self) -> Self:
        situations = [situation.key for situation in self.situation]
        groups = [people.key for people in self.people]
        for key in self.script:
            if key not in situations:
                raise ValueError(f"script: unknown situation {key!r}; {nearest(key, situations)}")
        for situation in self.situation:
            if situation.people not in groups:
                raise ValueError(
                    f"situation {situation.key}: unknown people {situation.people!r}; "
                    + nearest(situation.people, groups)
                )
        if len(set(situations)) != len(situations) or len(set(groups)) != len(groups):
            raise ValueError("two situations or two groups of people have the same key")
        return self


@dataclass(frozen=True, slots=True)
class Person:
    """One invented person. ``number`` counts from 1 within the whole scenario."""

    number: int
    group: People

    @property
    def name(self) -> str:
        """An invented name that nobody bears."""
        return f"{self.group.key.upper()}-{self.number:04d}"

    @property
    def uid(self) -> bytes:
        """A 7-byte UID with NXP's manufacturer byte, made of the number."""
        return bytes([0x04]) + (0x5A0000000000 + self.number * 0x010307).to_bytes(6, "big")

    @property
    def birth_date(self) -> str:
        """An invented date of birth."""
        return f"{1940 + self.number % 60}-{1 + self.number % 12:02d}-{1 + self.number % 28:02d}"


@dataclass(frozen=True, slots=True)
class Passage:
    """One passage to be played: person, situation and what was drawn for them."""

    index: int
    situation: Situation
    person: Person
    skin_c: float | None


def load_scenario(name_or_path: str) -> Scenario:
    """A shipped scenario by name, or a file by path; ConfigError names what is wrong in it."""
    shipped = SCENARIOS / f"{name_or_path}.toml"
    return load(Scenario, shipped if shipped.exists() else Path(name_or_path), {}).settings


def inhabitants(scenario: Scenario) -> dict[str, list[Person]]:
    """Everybody, by group."""
    number = 0
    everybody: dict[str, list[Person]] = {}
    for group in scenario.people:
        everybody[group.key] = [Person(number := number + 1, group) for _ in range(group.count)]
    return everybody


def passages(scenario: Scenario, count: int, seed: int | None = None) -> list[Passage]:
    """The day's first ``count`` passages: the script, then situations drawn by share. Nobody comes twice in a row."""
    draw = random.Random(scenario.seed if seed is None else seed)  # noqa: S311 - a day to be repeated by its seed
    by_key = {situation.key: situation for situation in scenario.situation}
    drawn = [situation for situation in scenario.situation if situation.share > 0]
    everybody = inhabitants(scenario)
    turn = dict.fromkeys(everybody, 0)
    day: list[Passage] = []
    for index in range(count):
        if index < len(scenario.script):
            situation = by_key[scenario.script[index]]
        else:
            situation = draw.choices(drawn, weights=[situation.share for situation in drawn])[0]
        group = everybody[situation.people]
        person = group[turn[situation.people] % len(group)]
        turn[situation.people] += 1
        skin_c = None if situation.skin_c is None else round(draw.uniform(*situation.skin_c), 2)
        day.append(Passage(index + 1, situation, person, skin_c))
    return day
