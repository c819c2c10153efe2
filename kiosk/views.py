"""What the screens are shown: the loop's states, effects and device events become one :class:`KioskView`.

A view is published when something changed, and every second all the same, so that a page can tell a quiet gate from
a dead one. Ages are rounded to seconds, or every reading would be news.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import replace

from drivers.devices import Observed
from kiosk.board import DeviceLight, ExpectedView, Hint, KioskView, LaneView, Phase, RecentPassage, TrustAge
from kiosk.calibration import Drift
from kiosk.clock import Instant
from kiosk.expectation import expected_view
from kiosk.lights import Lights
from kiosk.passage_events import Announce, Effect, LaneSetup, RaiseAlarm
from kiosk.passage_state import LaneState, lane_view
from kiosk.upkeep import SyncState

RECENT = 50
ALARM_SHOWN_NS = 600_000_000_000
MAX_ALARMS = 8
PUBLISH_EVERY_NS = 1_000_000_000
_READ = {"card", "camera"}


class Views:
    """Collects and publishes. ``template`` holds what never changes (names, duty number).

    ``challenge`` gives the digits that the screen of a lane with a camera shows now, "" for none; ``trust`` the age of
    the trust store, None where it is not kept by bundles; ``id_card`` is told of every event and takes ID cards;
    ``policy`` is the version of the policy in force.
    """

    def __init__(
        self,
        template: KioskView,
        *,
        setups: dict[str, LaneSetup],
        lights: Lights,
        publish: Callable[[KioskView], None],
        sync: Callable[[], SyncState],
        standing_alarms: Callable[[], tuple[str, ...]],
        challenge: Callable[[str, Instant], str] = lambda lane, at: "",
        trust: Callable[[Instant], TrustAge | None] = lambda _: None,
        id_card: Callable[[Observed], None] = lambda _: None,
        policy: Callable[[], str] = lambda: "",
    ) -> None:
        self._template = template
        self._setups = dict(setups)
        self._lights = lights
        self._publish = publish
        self._sync = sync
        self._standing_alarms = standing_alarms
        self._challenge = challenge
        self._trust = trust
        self._id_card = id_card
        self._policy = policy
        self._recent: deque[RecentPassage] = deque(maxlen=RECENT)
        self._alarms: deque[tuple[int, str]] = deque(maxlen=MAX_ALARMS)
        self._shown: KioskView | None = None
        self._shown_ns = 0
        self._last_states: dict[str, LaneState] = {}
        self._expectations = {lane: _expectation(setup) for lane, setup in setups.items()}
        self._news = True

    def observed(self, seen: Observed) -> None:
        """A device said something."""
        self._lights.observe(seen)
        self._id_card(seen)

    def follow(self, lane: str, setup: LaneSetup) -> None:
        """The lane goes by another policy: what its thermometer can be expected to find changes with the threshold."""
        self._setups[lane] = setup
        self._expectations[lane] = _expectation(setup)
        self._news = True

    def effect(self, lane: str, effect: Effect, at: Instant) -> None:
        """An effect was carried out: verdicts go to the list, alarms to the strip."""
        match effect:
            case Announce():
                verdict = effect.verdict
                self._recent.appendleft(
                    RecentPassage(
                        passage=effect.passage,
                        lane=lane,
                        at_us=at.at_us,
                        admit=verdict.admit,
                        reason=str(verdict.reasons[0]),
                        category=verdict.category,
                        by_guard=effect.by_guard,
                    )
                )
                self._news = True
            case RaiseAlarm():
                self._alarms.append((at.mono_ns, effect.code))
                self._news = True
            case _:
                pass

    def show(self, states: dict[str, LaneState], at: Instant, *, journal_ok: bool, unwritten: int) -> None:
        """The loop came round: publish when a lane's state changed, or a second after the last time."""
        changed = any(self._last_states.get(lane) is not state for lane, state in states.items())
        if not (changed or self._news) and at.mono_ns - self._shown_ns < PUBLISH_EVERY_NS:
            return
        self._last_states = dict(states)
        self._news = False
        view = self._view(states, at, journal_ok=journal_ok, unwritten=unwritten)
        overdue = at.mono_ns - self._shown_ns >= PUBLISH_EVERY_NS
        if overdue or self._shown is None or replace(view, at_us=self._shown.at_us) != self._shown:
            self._shown, self._shown_ns = view, at.mono_ns
            self._publish(view)

    def _expected(self, lane: str, state: LaneState) -> ExpectedView | None:
        # Reckoned once a policy: a calibration is read at the start. A thermometer that drifted promises nothing.
        return None if state.drift.state is Drift.STOP else self._expectations[lane]

    def _view(self, states: dict[str, LaneState], at: Instant, *, journal_ok: bool, unwritten: int) -> KioskView:
        sync = self._sync()
        while self._alarms and at.mono_ns - self._alarms[0][0] > ALARM_SHOWN_NS:
            self._alarms.popleft()
        lanes = tuple(
            replace(
                _invited(
                    lane_view(self._setups[lane], state, _rounded(self._lights, lane, at.mono_ns)), self._setups[lane]
                ),
                measures=self._setups[lane].sensor is not None,
                expected=self._expected(lane, state),
                challenge=self._challenge(lane, at) if "camera" in self._setups[lane].devices.values() else "",
            )
            for lane, state in states.items()
        )
        return replace(
            self._template,
            at_us=at.at_us,
            clock_trust=at.clock_trust,
            lanes=lanes,
            recent=tuple(self._recent),
            backlog=sync.backlog + unwritten,
            last_ack_us=sync.last_ack_us,
            journal_ok=journal_ok,
            trust=self._trust(at),
            policy=self._policy(),
            alarms=tuple(dict.fromkeys([*self._standing_alarms(), *(code for _, code in self._alarms)])),
        )


def _invited(view: LaneView, setup: LaneSetup) -> LaneView:
    """An idle lane asks for what it can read: nobody is sent to look for a window for codes that is not there."""
    roles = _READ & set(setup.devices.values())
    if view.phase is not Phase.IDLE or view.hint not in (Hint.TAP_OR_SHOW, Hint.NONE) or len(roles) != 1:
        return view
    return replace(view, hint=Hint.TAP_CARD if "card" in roles else Hint.SHOW_CODE)


def _expectation(setup: LaneSetup) -> ExpectedView | None:
    return None if setup.sensor is None else expected_view(setup.sensor)


def _rounded(lights: Lights, lane: str, now_ns: int) -> tuple[DeviceLight, ...]:
    return tuple(
        replace(light, age_ms=None if light.age_ms is None else light.age_ms // 1000 * 1000)
        for light in lights.of_lane(lane, now_ns)
    )
