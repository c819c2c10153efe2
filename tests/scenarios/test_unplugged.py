"""The thermometer is pulled out while the gate runs, and put back."""

from __future__ import annotations

import time

import pytest

from kiosk.journal import JournalReader
from kiosk.records import Kind, PayloadClass, Record, Stream
from tests.scenarios.conftest import RunningGate

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("whole-gate"), pytest.mark.timeout(180)]

SEEN_WITHIN_S = 1.5
BACK_WITHIN_S = 3.0


def device_record(gate: RunningGate, device: str, *, up: bool, since_ns: int) -> Record:
    """The journal's record that the device went down or came up after ``since_ns``; waits up to ten seconds."""
    reader = JournalReader(gate.house.state / "journal.db")
    deadline = time.monotonic() + 10
    try:
        while time.monotonic() < deadline:
            for incarnation, stream in reader.positions():
                after = 0
                while stream is not Stream.PASSAGE and (found := reader.slice(incarnation, stream, after).records):
                    after = found[-1].seq
                    for record in found:
                        facts = record.payloads[PayloadClass.FACTS].body or {}
                        is_it = record.kind is Kind.DEVICE and facts["device"] == device and facts["up"] is up
                        if is_it and record.mono_ns > since_ns:
                            return record
            time.sleep(0.05)
    finally:
        reader.close()
    raise AssertionError(f"{device} never told as {'up' if up else 'down'}")


def test_an_unplugged_thermometer_is_seen_waived_for_residents_alone_and_comes_back(gate: RunningGate) -> None:
    """Seen within 1.5 s; a resident comes home by a named waiver, a worker does not get in; back within 3 s."""
    assert gate.play("resident_well").admit

    pulled_ns = time.monotonic_ns()
    gate.house.control("thermometer-in", "unplug")
    down = device_record(gate, "thermometer", up=False, since_ns=pulled_ns)
    assert (down.mono_ns - pulled_ns) / 1e9 < SEEN_WITHIN_S

    resident = gate.play("resident_thermometer_unplugged")
    temperature = next(c for c in resident.verdict["checks"] if c["name"] == "temperature")
    assert resident.admit
    assert (temperature["state"], temperature["by"]) == ("waived", "home_despite_fault")
    worker = gate.play("staff_thermometer_unplugged")
    assert not worker.admit
    assert worker.reason == "thermometer_fault"

    put_back_ns = time.monotonic_ns()
    gate.house.control("thermometer-in", "plug")
    up = device_record(gate, "thermometer", up=True, since_ns=put_back_ns)
    assert (up.mono_ns - put_back_ns) / 1e9 < BACK_WITHIN_S
    assert gate.play("resident_thermometer_back").as_scripted


def test_card_and_camera_never_wait_for_each_other(gate: RunningGate) -> None:
    """With the reader unplugged a code is still read and judged; with no code in view a card decides at once."""
    gate.house.control("reader-in", "unplug")
    try:
        shown = gate.play("code_without_pass")
        assert shown.reason == "pass_missing"
    finally:
        plugged_ns = time.monotonic_ns()
        gate.house.control("reader-in", "plug")
        device_record(gate, "reader", up=True, since_ns=plugged_ns)
    assert gate.play("resident_well").as_scripted
