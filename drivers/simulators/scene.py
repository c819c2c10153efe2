"""What stands in front of a simulated thermometer or distance sensor: nobody, or a person coming, standing, leaving.

Shared by all thermometer simulators, so that one control line means the same to each of them.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

from drivers.simulators.registry import Spec

APPROACH_S = 0.4
"""How long the spot takes from the background to the face, and back."""


@dataclass(slots=True)
class _Person:
    skin_c: float
    distance_mm: int
    for_ns: int | None
    begins_ns: int | None = None
    leaves_ns: int | None = None


class Scene:
    """A room at ``room_c``, sometimes with one person; every draw comes from the seed of the plan.

    Plan keys (all in degrees Celsius): ``room_c`` the background (default 23), ``board_c`` the sensor's own
    temperature (default room_c + 2), ``noise_c`` the standard deviation of one sample (default 0.06), ``bias_c`` a
    constant error of the object temperature (default 0).
    """

    def __init__(self, spec: Spec) -> None:
        self._random = random.Random(spec.seed)
        self._room_c = spec.number("room_c", 23.0)
        self._board_c = spec.number("board_c", self._room_c + 2.0)
        self._noise_c = spec.number("noise_c", 0.06)
        self._bias_c = spec.number("bias_c", 0.0)
        self._person: _Person | None = None

    def command(self, line: dict[str, Any]) -> dict[str, Any]:
        """``person`` (``skin_c``, ``for_ms`` absent = until told, ``distance_mm``), ``leave``, ``room`` (``room_c``).

        Raises ValueError with a sentence for people.
        """
        match line.get("do"):
            case "person":
                for_ms = _optional_number(line, "for_ms")
                self._person = _Person(
                    skin_c=_number(line, "skin_c", 34.5),
                    distance_mm=round(_number(line, "distance_mm", 450)),
                    for_ns=None if for_ms is None else int(for_ms * 1e6),
                )
            case "leave":
                if self._person is not None:
                    self._person.for_ns = 0
            case "room":
                self._room_c = _number(line, "room_c", self._room_c)
            case other:
                raise ValueError(f"unknown command {other!r}; known: person, leave, room, fault, clear, unplug, plug")
        return {}

    def nearness(self, at_ns: int) -> float:
        """0 nobody, 1 a person in place, between while coming or leaving. Time must not go back."""
        person = self._person
        if person is None:
            return 0.0
        if person.begins_ns is None:
            person.begins_ns = at_ns
        if person.leaves_ns is None and person.for_ns is not None and at_ns >= person.begins_ns + person.for_ns:
            person.leaves_ns = max(at_ns, person.begins_ns) if person.for_ns == 0 else person.begins_ns + person.for_ns
        here = min(1.0, (at_ns - person.begins_ns) / 1e9 / APPROACH_S)
        if person.leaves_ns is None:
            return here
        gone = (at_ns - person.leaves_ns) / 1e9 / APPROACH_S
        if gone >= 1.0:
            self._person = None
            return 0.0
        return min(here, 1.0 - gone)

    @property
    def room_c(self) -> float:
        """The background's temperature."""
        return self._room_c

    @property
    def bias_c(self) -> float:
        """The sensor's constant error."""
        return self._bias_c

    @property
    def skin_c(self) -> float:
        """The person's skin, or the background where nobody is."""
        return self._person.skin_c if self._person is not None else self._room_c

    def object_c(self, at_ns: int) -> float:
        """One sample of the object temperature. Coming and leaving, the spot sees part face, part background."""
        near = self.nearness(at_ns)
        # Hair, glasses and a turned head read low, never high: a standing person's samples lean downwards.
        aim_c = abs(self._random.gauss(0.0, self._noise_c)) / 2 if near >= 1.0 else 0.0
        true_c = self._room_c + (self.skin_c - self._room_c) * near
        return true_c - aim_c + self._random.gauss(0.0, self._noise_c) + self._bias_c

    def ambient_c(self) -> float:
        """One sample of the sensor's own temperature: it wanders slowly."""
        self._board_c += self._random.gauss(0.0, 0.003)
        return self._board_c

    def distance_mm(self, at_ns: int) -> int:
        """One sample of a distance sensor: 3 m of empty way, or the person, with 4 mm of noise."""
        near = self.nearness(at_ns)
        person_mm = self._person.distance_mm if self._person is not None else 3000
        return max(0, round(3000 + (person_mm - 3000) * near + self._random.gauss(0.0, 4.0)))


def _optional_number(line: dict[str, Any], key: str) -> float | None:
    value = line.get(key)
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise ValueError(f"{key}: {value!r}, expected a number")
    return value


def _number(line: dict[str, Any], key: str, default: float) -> float:
    value = _optional_number(line, key)
    return default if value is None else value
