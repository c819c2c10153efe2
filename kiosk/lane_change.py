"""When a lane may be given another set-up: only between two persons. Pure.

A policy that comes while the gate runs changes what the lanes are told (``LaneSetup``). Whoever is in a lane is judged
by what was in force when they came: from the first that was seen of them (a face before the sensor, a card, a code)
until their verdict is written and, where it was a refusal, no longer on the screen. What a lane remembers besides
(emergency, held open, who waits inside, the beam after an admission) does not hang on the policy and stays.
"""

from __future__ import annotations

from collections.abc import Mapping

from kiosk.passage_events import LaneSetup
from kiosk.passage_state import LaneState

PATIENCE_NS = 60_000_000_000
"""After so long a lane changes as soon as nobody's passage runs, whoever stands there: a sensor that sees somebody for
ever must not keep the old rules in force. Passages end by themselves."""


class LaneChanges:
    """Set-ups that lanes are to be given, until they can be."""

    def __init__(self) -> None:
        self._waiting: dict[str, LaneSetup] = {}
        self._asked_ns = 0

    def ask(self, setups: Mapping[str, LaneSetup], now_ns: int) -> None:
        """Give these set-ups; one that still waited for the same lane is forgotten."""
        self._waiting |= setups
        self._asked_ns = now_ns

    def due(self, states: Mapping[str, LaneState], now_ns: int) -> dict[str, LaneSetup]:
        """The set-ups of lanes that are free now; they wait no longer."""
        if not self._waiting:
            return {}
        patient = now_ns - self._asked_ns < PATIENCE_NS
        free = {lane: setup for lane, setup in self._waiting.items() if between(states[lane], now_ns, patient=patient)}
        self._waiting = {lane: setup for lane, setup in self._waiting.items() if lane not in free}
        return free


def between(state: LaneState, now_ns: int, *, patient: bool = True) -> bool:
    """Whether nobody is in the lane whom the present set-up has to judge.

    Without ``patient`` only a running passage and a verdict that is being written count.
    """
    decided = state.decided
    if state.person is not None or (decided is not None and not decided.committed):
        return False
    if not patient:
        return True
    refused = decided is not None and not decided.verdict.admit and now_ns < decided.hold_until_ns
    somebody = state.watch.present and state.watch.number != state.served_presence
    return not (refused or somebody or state.queued is not None)
