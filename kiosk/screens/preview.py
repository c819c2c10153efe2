"""The pages without a gate: scripted views in a loop, for designers, screenshots and browser tests.

    python -m kiosk.screens.preview --lanes 2 --port 8471

The scenes are plain :class:`KioskView` values; nothing here decides, measures or opens anything.
"""

from __future__ import annotations

import argparse
import secrets
import sys
import threading
from collections.abc import Mapping
from dataclasses import replace
from zoneinfo import ZoneInfo

from kiosk.board import (
    Acknowledge,
    CommandResult,
    DeviceLight,
    Emergency,
    ExpectedView,
    GuardCommand,
    Hint,
    KioskView,
    LaneView,
    Phase,
    RecentPassage,
    WarmingView,
)
from kiosk.evidence import NotMeasured, TemperatureOutcome
from kiosk.reasons import CheckName, CheckState, ClockTrust, Direction, NextStep, Reason
from kiosk.screens.app import create_app
from kiosk.screens.guards import Guard, GuardBook, hash_secret
from kiosk.screens.hub import Hub
from kiosk.screens.server import ScreensServer
from kiosk.verdict import Check, Verdict

#: 2026-01-14 08:30:00 in Shanghai, a winter morning at the gate.
MORNING_US = 1_768_350_600_000_000
SCENE_S = 4.0
LANES = (("east-in", Direction.IN), ("east-out", Direction.OUT), ("garage-in", Direction.IN), ("side-in", Direction.IN))

_DEVICES = (
    DeviceLight(name="reader", role="reader", ok=True, detail="", age_ms=400),
    DeviceLight(name="camera", role="camera", ok=True, detail="", age_ms=60),
    DeviceLight(name="thermometer", role="thermometer", ok=True, detail="", age_ms=90),
    DeviceLight(name="relay", role="relay", ok=True, detail="", age_ms=900),
)


def _verdict(admit: bool, reasons: tuple[Reason, ...], step: NextStep, category: str, **states: CheckState) -> Verdict:
    checks = tuple(
        Check(
            name=CheckName(name),
            state=state,
            reason=reasons[0] if state is CheckState.FAIL else None,
            by="规则 clear：冷天" if state is CheckState.WAIVED else "",
        )
        for name, state in states.items()
    )
    return Verdict(
        admit=admit, reasons=reasons, next_step=step, checks=checks, policy_version="case-7", category=category
    )


_PASS, _FAIL, _UNKNOWN, _WAIVED = CheckState.PASS, CheckState.FAIL, CheckState.UNKNOWN, CheckState.WAIVED


HOLDER = "0123456789abcdef"
"""The pseudonym of whoever holds the card in every scene with a verdict."""


def scenes() -> Mapping[str, LaneView]:
    """Every face of the screens by name, each as a lane ``east-in`` in one moment."""
    idle = LaneView(
        lane="east-in", direction=Direction.IN, phase=Phase.IDLE, passage="p0", devices=_DEVICES, measures=True,
        expected=ExpectedView(
            low_c=37.33, sensitivity=(0.87, 0.76, 0.93), specificity=(0.85, 0.82, 0.88), retest=(0.15, 0.12, 0.18)
        ),
    )  # fmt: skip
    decided = replace(idle, phase=Phase.DECIDED, hint=Hint.NONE, decided_at_us=MORNING_US, passage="p1", holder=HOLDER)

    def denied(passage: str, verdict: Verdict, **more: object) -> LaneView:
        return replace(decided, passage=passage, verdict=verdict, acknowledged=False, **more)  # type: ignore[arg-type]

    thermometer_out = (
        *_DEVICES[:2],
        replace(_DEVICES[2], ok=False, detail="missing: /dev/gatepost/thermometer-in", age_ms=75_000),
        _DEVICES[3],
    )
    return {
        "idle": idle,
        "identifying": replace(idle, phase=Phase.IDENTIFYING, hint=Hint.NONE, passage="p1", waiting_for=("card",)),
        "measuring": replace(
            idle, phase=Phase.MEASURING, hint=Hint.LOOK_AT_SENSOR, passage="p1", waiting_for=("temperature",)
        ),
        "next_code": replace(
            idle, phase=Phase.IDENTIFYING, hint=Hint.NEXT_CODE, passage="p1", code_parts=(2, 3), waiting_for=("code",)
        ),
        "idle_digits": replace(idle, challenge="417"),
        "type_digits": denied(
            "p8",
            _verdict(
                False, (Reason.CODE_CHALLENGE,), NextStep.TYPE_DIGITS, "resident",
                **{"pass": _PASS, "temperature": _PASS, "health_code": _FAIL},
            ),
            challenge="417",
        ),
        "one_card": replace(idle, phase=Phase.IDENTIFYING, hint=Hint.ONE_CARD_ONLY, passage="p1"),
        "admit": replace(
            decided,
            verdict=_verdict(
                True, (Reason.ALL_CHECKS_PASSED,), NextStep.GO_IN, "resident",
                **{"pass": _PASS, "temperature": _PASS, "health_code": _PASS, "trip": _PASS},
            ),
            temperature=TemperatureOutcome.NORMAL,
        ),
        "admit_waived": replace(
            decided,
            passage="p2",
            verdict=_verdict(
                True, (Reason.ADMITTED_WITH_WAIVER,), NextStep.GO_IN, "resident",
                **{"pass": _PASS, "temperature": _WAIVED, "health_code": _PASS, "trip": _PASS},
            ),
            temperature=TemperatureOutcome.NOT_MEASURED,
            not_measured=NotMeasured.COLD_SKIN,
        ),
        "unknown_card": denied(
            "p3",
            _verdict(
                False, (Reason.CARD_UNKNOWN, Reason.CODE_MISSING), NextStep.REGISTER_WITH_GUARD, "visitor",
                **{"pass": _FAIL, "temperature": _PASS, "health_code": _UNKNOWN, "register": _UNKNOWN},
            ),
            temperature=TemperatureOutcome.NORMAL,
        ),
        "code_expired": denied(
            "p4",
            _verdict(
                False, (Reason.CODE_EXPIRED,), NextStep.REFRESH_CODE, "resident",
                **{"pass": _PASS, "temperature": _PASS, "health_code": _FAIL, "trip": _UNKNOWN},
            ),
            temperature=TemperatureOutcome.NORMAL,
        ),
        "fever": denied(
            "p5",
            _verdict(
                False, (Reason.TEMPERATURE_RAISED,), NextStep.CONTACT_THERMOMETER, "resident",
                **{"pass": _PASS, "temperature": _FAIL, "health_code": _PASS, "trip": _PASS},
            ),
            temperature=TemperatureOutcome.RAISED,
        ),
        "out_of_hours": denied(
            "p6",
            _verdict(
                False, (Reason.OUT_OF_HOURS,), NextStep.COME_BACK_IN_HOURS, "courier",
                **{"pass": _FAIL, "temperature": _PASS},
            ),
        ),
        "moving": denied(
            "p7",
            _verdict(
                False, (Reason.TEMPERATURE_NOT_MEASURED,), NextStep.LOOK_AT_SENSOR, "resident",
                **{"pass": _PASS, "temperature": _UNKNOWN, "health_code": _PASS},
            ),
            temperature=TemperatureOutcome.NOT_MEASURED,
            not_measured=NotMeasured.MOVING,
        ),
        "cold": replace(
            denied(
                "p8",
                _verdict(
                    False, (Reason.TEMPERATURE_NOT_MEASURED,), NextStep.WAIT_INSIDE, "resident",
                    **{"pass": _PASS, "temperature": _UNKNOWN, "health_code": _PASS},
                ),
                temperature=TemperatureOutcome.NOT_MEASURED,
                not_measured=NotMeasured.COLD_SKIN,
            ),
            warming=(
                WarmingView(passage="p6", category="courier", since_us=MORNING_US - 200_000_000),
                WarmingView(passage="p8", category="resident", since_us=MORNING_US),
            ),
        ),
        "fault": replace(idle, phase=Phase.FAULT, devices=thermometer_out),
        "emergency": replace(idle, emergency_since_us=MORNING_US - 190_000_000),
    }  # fmt: skip


def recent(count: int = 20) -> tuple[RecentPassage, ...]:
    """A morning's last passages, newest first."""
    kinds = (
        (True, Reason.ALL_CHECKS_PASSED, "resident", False),
        (True, Reason.ALL_CHECKS_PASSED, "resident", False),
        (False, Reason.CODE_EXPIRED, "visitor", False),
        (True, Reason.ADMITTED_WITH_WAIVER, "resident", False),
        (True, Reason.GUARD_ADMITTED, "service_worker", True),
        (False, Reason.OUT_OF_HOURS, "courier", False),
    )
    return tuple(
        RecentPassage(
            passage=f"r{number}",
            lane=LANES[number % 2][0],
            at_us=MORNING_US - number * 17_000_000,
            admit=kinds[number % len(kinds)][0],
            reason=str(kinds[number % len(kinds)][1]),
            category=kinds[number % len(kinds)][2],
            by_guard=kinds[number % len(kinds)][3],
        )
        for number in range(count)
    )


def kiosk_view(*lanes: LaneView) -> KioskView:
    """A kiosk with these lanes, online and healthy."""
    return KioskView(
        kiosk_id="east-gate",
        site_name="幸福里社区",
        at_us=MORNING_US + 20_000_000,
        clock_trust=ClockTrust.SYNCED,
        lanes=lanes,
        recent=recent(),
        backlog=3,
        last_ack_us=MORNING_US,
        simulated=True,
        duty_number="010-5550 1234",
        policy="case-7",
    )


def busy_view(lanes: int, shift: int = 0) -> KioskView:
    """A kiosk with 1 to 4 lanes, each in another scene, ``shift`` scenes on."""
    names = ("fever", "admit", "unknown_card", "measuring", "code_expired", "admit_waived", "idle", "moving",
             "out_of_hours", "identifying", "one_card", "fault", "emergency")  # fmt: skip
    all_scenes = scenes()
    return kiosk_view(
        *(
            replace(all_scenes[names[(index + shift) % len(names)]], lane=lane, direction=direction)
            for index, (lane, direction) in enumerate(LANES[:lanes])
        )
    )


class PreviewGate:
    """Answers the guard's commands by changing the shown view, so that the pages react."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self.commands: list[GuardCommand] = []

    def __call__(self, command: GuardCommand) -> CommandResult:
        """Remember the command; emergency and acknowledgement change the view."""
        self.commands.append(command)
        view = self._hub.current()
        if view is not None and isinstance(command, (Emergency, Acknowledge)):
            self._hub.publish(replace(view, lanes=tuple(_after(lane, command, view.at_us) for lane in view.lanes)))
        return CommandResult(done=True)


def _after(lane: LaneView, command: Emergency | Acknowledge, at_us: int) -> LaneView:
    if command.lane not in ("", lane.lane):
        return lane
    if isinstance(command, Acknowledge):
        return replace(lane, acknowledged=True)
    return replace(lane, emergency_since_us=at_us if command.open else None)


def main(arguments: list[str] | None = None) -> int:
    """Serve the scenes until interrupted."""
    parser = argparse.ArgumentParser(prog="python -m kiosk.screens.preview", description=__doc__)
    parser.add_argument("--lanes", type=int, choices=range(1, 5), default=1)
    parser.add_argument("--port", type=int, default=8471)
    parser.add_argument("--scene", choices=list(scenes()), help="one scene only, in every lane")
    options = parser.parse_args(arguments)
    hub, secret = Hub(), secrets.token_urlsafe(6)
    guards = GuardBook({"preview": Guard("preview", "预览", hash_secret(secret))})
    app = create_app(
        hub, PreviewGate(hub), guards=guards, site_code_text="https://example.org/place/east-gate",
        zone=ZoneInfo("Asia/Shanghai"),
    )  # fmt: skip
    server = ScreensServer(app, port=options.port)
    hub.publish(busy_view(options.lanes))
    server.start()
    sys.stdout.write(f"{server.address}  guard: preview / {secret}\n")
    sys.stdout.flush()
    stopped, shift = threading.Event(), 0
    try:
        while not stopped.wait(SCENE_S):
            shift += 1
            view = busy_view(options.lanes, shift)
            if options.scene:
                scene = scenes()[options.scene]
                view = replace(
                    view, lanes=tuple(replace(scene, lane=x.lane, direction=x.direction) for x in view.lanes)
                )
            hub.publish(view)
    except KeyboardInterrupt:
        return 0
    finally:
        server.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
