"""Which records of a kiosk become alerts at the central, and in which words."""

from __future__ import annotations

from typing import Any

import pytest

from kiosk.records import Kind, Stream
from sync.central.gate_alarms import GateAlert, alerts_of
from tests.sync_kit import make_record

ALARM, DIAGNOSTIC = Stream.ALARM, Stream.DIAGNOSTIC


@pytest.mark.parametrize(
    ("stream", "kind", "facts", "code", "detail"),
    [
        (ALARM, Kind.ALARM, {"code": "tamper", "detail": "in"}, "kiosk_tamper", "in"),
        (ALARM, Kind.ALARM, {"code": "disk_low", "used_percent": 91}, "kiosk_disk_low", "in"),
        (ALARM, Kind.ALARM, {"code": "<b>Robert</b>"}, "kiosk_alarm", "in"),
        (ALARM, Kind.EMERGENCY, {"open": True, "guard": "wang", "why": ""}, "kiosk_emergency_open", "in"),
        (ALARM, Kind.REFERRAL, {"state": "open", "passage": "p1"}, "kiosk_referral", "in"),
        (DIAGNOSTIC, Kind.DEVICE, {"device": "t1", "role": "reader", "up": False}, "kiosk_device_down", "in reader"),
        (DIAGNOSTIC, Kind.POLICY, {"event": "trust_refused", "why": "signature"}, "kiosk_trust_refused", "in"),
    ],
)
def test_what_somebody_should_hear_of(
    stream: Stream, kind: Kind, facts: dict[str, Any], code: str, detail: str
) -> None:
    """Code, lane and time; no guard's name, no reason of a referral, and no code that is not one of ours."""
    record = make_record(1, stream=stream, kind=kind, facts=facts)
    assert alerts_of([record]) == [GateAlert(code=code, detail=f"{detail} (2026-11-21 08:00 UTC)", times=1)]


@pytest.mark.parametrize(
    ("kind", "facts"),
    [
        (Kind.PASSAGE, None),
        (Kind.DEVICE, {"device": "t1", "role": "thermometer", "up": True}),
        (Kind.EMERGENCY, {"open": False}),
        (Kind.REFERRAL, {"state": "closed:admitted"}),
        (Kind.POLICY, {"event": "trust_in_force"}),
    ],
)
def test_what_is_in_order_raises_nothing(kind: Kind, facts: dict[str, Any] | None) -> None:
    """A passage, a device that came back, an emergency that ended, a closed case, a list that was taken."""
    assert alerts_of([make_record(1, kind=kind, facts=facts)]) == []
