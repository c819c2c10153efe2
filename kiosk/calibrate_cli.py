"""``gatepost calibrate``: a lane's thermometer against two targets, kept as a version and written in the journal.

The gate must be stopped: the thermometer's port and the journal belong to one program at a time.
"""

from __future__ import annotations

import queue
import time
from pathlib import Path
from typing import Annotated

import typer

from config.errors import ConfigError
from config.lane import Lane
from config.settings import Settings, load_settings
from drivers.devices import Device, DeviceEvent, DeviceFault, TemperatureReading, ThermalFrame
from kiosk.calibration import (
    FRAMES,
    TARGETS_C,
    Calibration,
    TargetCheck,
    calibrate,
    calibration_payload,
    look_at_target,
)
from kiosk.calibration_store import next_version, save_calibration
from kiosk.config_cli import DEFAULT_FILE, ConfigOption
from kiosk.expectation import CAVEAT, expected_of_unit
from kiosk.face_blob import hottest_of_face
from kiosk.records import Kind, PayloadClass, Stream
from kiosk.screening import Sensor

FRAME_TIMEOUT_S = 15.0
SETTLE_S = 1.0
"""After Enter, for the hand that put the target there to go away."""


def calibrate_lane(
    *,
    lane: Annotated[str, typer.Option(help="the lane whose thermometer is looked at")],
    config: ConfigOption = DEFAULT_FILE,
    target: Annotated[
        list[float] | None, typer.Option(help="true temperature of a target in degC, one for each; default 35.0, 38.0")
    ] = None,
    sign: Annotated[str, typer.Option(help="your operator id: signs for an offset of 0.3 to 0.5 degC")] = "",
) -> None:
    """Look at a 35.0 and a 38.0 degC target, judge, keep the version. Stop the gate first."""
    settings = load_settings(config).settings
    chosen = next((known for known in settings.lane if known.name == lane), None)
    if chosen is None or chosen.thermometer is None:
        names = ", ".join(known.name for known in settings.lane if known.thermometer)
        raise ConfigError(f"lane {lane}", seen="no such lane with a thermometer", expected=names or "none here")
    checks = _look(settings, chosen, tuple(target or TARGETS_C))
    state = settings.state.folder
    try:
        found = calibrate(next_version(state, lane), chosen.thermometer.driver, checks, signed_by=sign)
    except ValueError as error:
        raise ConfigError("calibration", seen=str(error), expected="targets near 35.0 and 38.0 degC") from None
    _write(settings, lane, found)  # first: it fails while the gate runs, and then nothing has changed
    path = save_calibration(state, lane, found)
    for line in told(found, path):
        typer.echo(line)
    if not found.in_force:
        raise typer.Exit(1)


def told(found: Calibration, path: Path) -> list[str]:
    """The result for people."""
    lines = [f"target {c.target_c:.1f} degC: read {c.measured_c:.2f}, error {c.error_c:+.2f}" for c in found.checks]
    lines.append(f"{found.version}: {found.result}; offset {found.offset_c:+.2f}, error {found.unit_error_c:.2f} degC")
    if not found.in_force:
        lines.append("not in force: automatic verdicts stop; repeat, sign (--sign ID), or replace the unit")
    lines.append(f"kept in {path}")
    return lines


def expectation_lines(sensor: Sensor) -> list[str]:
    """What the unit can be expected to find, for ``doctor`` and the console."""
    found = expected_of_unit(sensor)
    if found is None:
        return ["expected sensitivity: unknown (this unit is not calibrated)"]
    return [
        f"expected to find {found.sensitivity:.0%} of fevers ({found.sensitivity_low:.0%} to "
        f"{found.sensitivity_high:.0%}), {found.retest:.0%} of healthy people measured again",
        f"({CAVEAT})",
    ]


def _look(settings: Settings, lane: Lane, targets_c: tuple[float, ...]) -> tuple[TargetCheck, ...]:
    from drivers.rack import Rack

    alone = Lane(name=lane.name, direction=lane.direction, thermometer=lane.thermometer)
    rack = Rack(settings.model_copy(update={"lane": (alone,)}))
    return look(rack.lanes[lane.name].by_role["thermometer"], targets_c)


def look(thermometer: Device, targets_c: tuple[float, ...]) -> tuple[TargetCheck, ...]:
    """Ask for each target in turn and take 20 frames of it; ConfigError when the sensor says nothing."""
    events: queue.SimpleQueue[DeviceEvent] = queue.SimpleQueue()
    thermometer.start(events.put)
    try:
        return tuple(_one_target(events, target_c) for target_c in targets_c)
    finally:
        thermometer.stop()


def _one_target(events: queue.SimpleQueue[DeviceEvent], target_c: float) -> TargetCheck:
    typer.echo(f"Put the {target_c:.1f} degC target before the sensor, then press Enter.")
    typer.get_text_stream("stdin").readline()
    counts_from_ns = time.monotonic_ns() + int(SETTLE_S * 1e9)
    readings: list[float] = []
    ends = time.monotonic() + FRAME_TIMEOUT_S
    detail = ""
    while len(readings) < FRAMES:
        try:
            event = events.get(timeout=max(0.0, ends - time.monotonic()))
        except queue.Empty:
            raise ConfigError(
                "thermometer", seen=f"{len(readings)} frames in {FRAME_TIMEOUT_S:.0f} s {detail}".strip(),
                expected=f"{FRAMES}", hint="is the gate stopped, the sensor plugged in?",
            ) from None  # fmt: skip
        if isinstance(event, ThermalFrame):
            event = hottest_of_face(event)
        if isinstance(event, TemperatureReading) and event.at_ns >= counts_from_ns:
            readings.append(event.object_c)
        elif isinstance(event, DeviceFault):
            detail = event.detail
    try:
        return look_at_target(target_c, readings)
    except ValueError as error:
        raise ConfigError("thermometer", seen=str(error), hint="fix the target in place and repeat") from None


def _write(settings: Settings, lane: str, found: Calibration) -> None:
    from kiosk.clock import SystemClock
    from kiosk.journal import Journal

    state = settings.state.folder
    state.mkdir(parents=True, exist_ok=True, mode=0o700)
    clock = SystemClock(state / "clock.floor")
    journal = Journal.open(state / "journal.db", kiosk_id=settings.site.kiosk_id, clock=clock)
    try:
        journal.append(
            Stream.DIAGNOSTIC,
            Kind.CALIBRATION,
            at=clock.now(),
            lane=lane,
            payloads={PayloadClass.FACTS: calibration_payload(found)},
        )
    finally:
        journal.close()
