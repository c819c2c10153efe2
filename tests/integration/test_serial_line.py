"""The serial line through real pseudo-terminals: proof, unplugging, replugging, faults by name."""

from __future__ import annotations

import contextlib
import os
import queue
import random
import threading
import time
import tty
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from drivers.devices import DeviceEvent, DeviceFault, DeviceReady, FaultKind, Step, TemperatureReading
from drivers.errors import PortError
from drivers.serial_port import SerialDevice, check_port_name
from drivers.simulators.registry import KINDS, Spec
from drivers.simulators.wire import Wire
from drivers.thermometers.gy_mcu90615 import GyMcu90615Conversation, encode
from tests.canary import Canary


class Gate:
    """A thermometer on a wire and the kiosk's end of it, with the events in order of arrival."""

    def __init__(self, folder: Path, *, baud: int = 115200) -> None:
        spec = Spec(name="thermo-in", kind="gy_mcu90615", baud=baud, seed=7, folder=folder)
        self.player = KINDS["gy_mcu90615"].player(spec)
        self.wire = Wire(folder / "dev" / "thermo-in", self.player, baud=baud, seed=7)
        self.device = SerialDevice("thermo-in", str(self.wire.link), GyMcu90615Conversation())
        self.events: queue.Queue[DeviceEvent] = queue.Queue()

    def await_event(
        self, wanted: Callable[[DeviceEvent], bool], within_s: float
    ) -> tuple[DeviceEvent, list[DeviceEvent]]:
        """The first wanted event and those before it; fails when it does not come in time."""
        before: list[DeviceEvent] = []
        ends = time.monotonic() + within_s
        while True:
            try:
                event = self.events.get(timeout=max(0.0, ends - time.monotonic()))
            except queue.Empty:
                pytest.fail(f"not within {within_s} s; came: {before[-5:]}")
            if wanted(event):
                return event, before
            before.append(event)

    def ready(self, within_s: float = 15.0) -> None:
        self.await_event(lambda event: isinstance(event, DeviceReady), within_s)

    def fault(self, within_s: float = 15.0) -> DeviceFault:
        event, _ = self.await_event(lambda event: isinstance(event, DeviceFault) and not event.transient, within_s)
        assert isinstance(event, DeviceFault)
        return event

    def reading(self, within_s: float = 15.0) -> TemperatureReading:
        event, _ = self.await_event(lambda event: isinstance(event, TemperatureReading), within_s)
        assert isinstance(event, TemperatureReading)
        return event


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    """A running wire and a running device."""
    built = Gate(tmp_path)
    built.wire.start()
    built.device.start(built.events.put)
    yield built
    built.device.stop()
    built.wire.stop()


def test_no_reading_comes_before_the_proof(gate: Gate) -> None:
    """The first event of a healthy device is DeviceReady, and readings follow it."""
    _, before = gate.await_event(lambda event: isinstance(event, DeviceReady), 15.0)
    assert before == []
    assert 20.0 < gate.reading().object_c < 26.0


class Counting(GyMcu90615Conversation):
    """Remembers when it was begun."""

    def __init__(self) -> None:
        super().__init__()
        self.begun: list[int] = []

    def begin(self, at_ns: int) -> list[Step]:
        self.begun.append(at_ns)
        return super().begin(at_ns)


def test_a_module_at_9600_baud_is_found(tmp_path: Path) -> None:
    """An older batch at 9600 baud proves itself at the second rate, and at the first try when it is opened again."""
    gate = Gate(tmp_path, baud=9600)
    talk = Counting()
    gate.device = SerialDevice("thermo-in", str(gate.wire.link), talk)
    gate.wire.start()
    gate.device.start(gate.events.put)
    try:
        _, before = gate.await_event(lambda event: isinstance(event, DeviceReady), 15.0)
        assert before == []
        assert gate.device.baud == 9600
        assert len(talk.begun) == 2
        gate.wire.unplug()
        gate.fault()
        gate.wire.plug()
        gate.ready()
        assert len(talk.begun) == 3
    finally:
        gate.device.stop()
        gate.wire.stop()


def test_a_person_is_measured_through_the_wire(gate: Gate) -> None:
    """Skin temperature appears after the approach and goes with the person."""
    gate.ready()
    gate.wire.command({"do": "person", "skin_c": 36.4, "for_ms": 900})
    standing, _ = gate.await_event(lambda event: isinstance(event, TemperatureReading) and event.object_c > 36.0, 15.0)
    assert isinstance(standing, TemperatureReading)
    assert standing.plausible_skin
    gate.await_event(lambda event: isinstance(event, TemperatureReading) and event.object_c < 26.0, 15.0)


def test_unplugging_is_seen_and_replugging_under_another_terminal_heals(gate: Gate) -> None:
    """A fault within 1.5 s, silence after it, readings again within 3 s though the terminal is another one."""
    gate.ready()
    old = os.readlink(gate.wire.link)
    with Canary() as canary:
        unplugged_ns = time.monotonic_ns()
        gate.wire.unplug()
        fault = gate.fault()
        assert fault.kind is FaultKind.MISSING
        assert (fault.at_ns - unplugged_ns) / 1e9 < 1.5 + canary.overslept_s
        # Somebody else takes the old terminal's number meanwhile (the kernel gives out the lowest free one).
        taken = list(os.openpty())
        while os.ttyname(taken[-1]) != old and len(taken) < 64:
            taken += os.openpty()
        try:
            plugged_ns = time.monotonic_ns()
            gate.wire.plug()
            assert os.readlink(gate.wire.link) != old
            gate.ready()
            assert (gate.reading().at_ns - plugged_ns) / 1e9 < 3.0 + canary.overslept_s
        finally:
            for fd in taken:
                os.close(fd)


def test_a_link_that_leads_elsewhere_ends_the_old_line(gate: Gate, tmp_path: Path) -> None:
    """When the name leads to another terminal although the old one still talks, the old one is no longer believed."""
    gate.ready()
    other = Gate(tmp_path / "other")
    other.wire.start()
    try:
        fresh = tmp_path / "fresh"
        fresh.symlink_to(os.readlink(other.wire.link))
        fresh.replace(gate.wire.link)
        assert gate.fault().kind is FaultKind.MISSING
        other.wire.command({"do": "person", "skin_c": 35.0})
        gate.ready()
        gate.await_event(lambda event: isinstance(event, TemperatureReading) and event.object_c > 34.0, 15.0)
    finally:
        other.wire.stop()


def test_a_device_that_is_not_there_is_reported_once_and_taken_when_it_comes(tmp_path: Path) -> None:
    """One fault for one absence, even while the folder of links itself is missing."""
    gate = Gate(tmp_path)
    gate.device.start(gate.events.put)
    try:
        assert gate.fault().kind is FaultKind.MISSING
        with pytest.raises(queue.Empty):
            gate.events.get(timeout=0.8)
        gate.wire.start()
        gate.ready()
    finally:
        gate.device.stop()
        gate.wire.stop()


@pytest.mark.parametrize(
    ("name", "kind"),
    [("silence", FaultKind.SILENT), ("bad_checksum", FaultKind.GARBLED), ("unplug", FaultKind.MISSING)],
)
def test_a_fault_that_takes_the_device_out_of_service(gate: Gate, name: str, kind: FaultKind) -> None:
    """Reported within 1.5 s by its kind, no reading meanwhile, healed within 3 s of its end."""
    gate.ready()
    with Canary() as canary:
        begun_ns = time.monotonic_ns()
        gate.wire.fault(name)
        fault = gate.fault()
        assert fault.kind is kind
        assert (fault.at_ns - begun_ns) / 1e9 < 1.5 + canary.overslept_s
        healed_ns = time.monotonic_ns()
        gate.wire.clear()
        ready, before = gate.await_event(lambda event: isinstance(event, DeviceReady), 15.0)
        assert (ready.at_ns - healed_ns) / 1e9 < 3.0 + canary.overslept_s
    assert not [event for event in before if isinstance(event, TemperatureReading)]
    gate.reading()


@pytest.mark.parametrize("name", ["noise", "split", "slow"])
def test_a_fault_that_a_line_must_stand(gate: Gate, name: str) -> None:
    """Noise, split and late messages cost neither a reading nor the device, and invent nothing."""
    gate.ready()
    gate.wire.fault(name)
    for _ in range(8):
        reading = gate.reading()
        assert 20.0 < reading.object_c < 26.0


def test_a_stuck_sensor_repeats_one_reading(gate: Gate) -> None:
    """The line cannot know; the readings become identical, which screening flags."""
    gate.ready()
    gate.wire.fault("stuck")
    gate.reading()
    values = {(reading.object_c, reading.ambient_c) for reading in (gate.reading() for _ in range(5))}
    assert len(values) <= 2


def test_what_was_said_before_the_opening_is_never_served(tmp_path: Path) -> None:
    """Bytes that wait in the port when it is opened belong to the past."""
    master, slave = os.openpty()
    tty.setraw(slave)
    link = tmp_path / "thermo"
    link.symlink_to(os.ttyname(slave))
    os.write(master, encode(40.0, 25.0) * 5)
    events: queue.Queue[DeviceEvent] = queue.Queue()
    device = SerialDevice("thermo", str(link), GyMcu90615Conversation())
    device.start(events.put)
    try:
        assert os.read(master, 3).hex() == "a545ea"
        for _ in range(5):
            os.write(master, encode(23.0, 25.0))
        found = [events.get(timeout=15.0) for _ in range(3)]
        assert isinstance(found[0], DeviceReady)
        assert {event.object_c for event in found[1:] if isinstance(event, TemperatureReading)} == {23.0}
    finally:
        device.stop()
        os.close(master)
        os.close(slave)


def test_a_path_that_is_no_serial_port_is_said_to_be_none(tmp_path: Path) -> None:
    """A plain file behind the name is the wrong device, not a missing one."""
    path = tmp_path / "thermo"
    path.write_text("not a port")
    events: queue.Queue[DeviceEvent] = queue.Queue()
    device = SerialDevice("thermo", str(path), GyMcu90615Conversation())
    device.start(events.put)
    try:
        event = events.get(timeout=15.0)
        assert isinstance(event, DeviceFault)
        assert event.kind is FaultKind.WRONG_DEVICE
    finally:
        device.stop()


def test_two_programs_cannot_share_a_port(gate: Gate) -> None:
    """The second opening of the same port is refused as busy, and the first goes on."""
    gate.ready()
    events: queue.Queue[DeviceEvent] = queue.Queue()
    second = SerialDevice("second", str(gate.wire.link), GyMcu90615Conversation())
    second.start(events.put)
    try:
        event = events.get(timeout=15.0)
        assert isinstance(event, DeviceFault)
        assert event.kind is FaultKind.BUSY
        gate.reading()
    finally:
        second.stop()


def test_after_a_standstill_of_the_machine_the_device_proves_itself_anew(tmp_path: Path) -> None:
    """Bytes that piled up while the thread could not run have no known age: thrown away, without a fault."""
    ahead_ns = 0
    talk = Counting()
    gate = Gate(tmp_path)
    gate.device = SerialDevice("thermo-in", str(gate.wire.link), talk, clock_ns=lambda: time.monotonic_ns() + ahead_ns)
    gate.wire.start()
    gate.device.start(gate.events.put)
    try:
        gate.ready()
        gate.reading()
        ahead_ns = 60_000_000_000
        event, before = gate.await_event(lambda event: event.at_ns > talk.begun[0] + ahead_ns, 15.0)
        assert isinstance(event, TemperatureReading)
        assert len(talk.begun) == 2
        assert all(isinstance(event, TemperatureReading) for event in before)
        assert event.at_ns - talk.begun[1] > 150_000_000  # three frames of proof were withheld
    finally:
        gate.device.stop()
        gate.wire.stop()


def test_a_broken_protocol_file_does_not_end_the_thread(tmp_path: Path) -> None:
    """An exception inside a conversation becomes a fault, and the port is opened again."""

    class Faulty(GyMcu90615Conversation):
        failed = False

        def receive(self, data: bytes, at_ns: int) -> list[Step]:
            if not self.failed:
                self.failed = True
                raise IndexError("a mistake of ours")
            return super().receive(data, at_ns)

    gate = Gate(tmp_path)
    gate.device = SerialDevice("thermo-in", str(gate.wire.link), Faulty())
    gate.wire.start()
    gate.device.start(gate.events.put)
    try:
        assert "a mistake of ours" in gate.fault().detail
        gate.ready()
    finally:
        gate.device.stop()
        gate.wire.stop()


def test_a_flood_of_garbage_neither_ends_the_thread_nor_becomes_an_event(tmp_path: Path) -> None:
    """A megabyte of random bytes as fast as they are taken, then a sensor: one fault, no reading, then service."""
    master, slave = os.openpty()
    tty.setraw(slave)
    os.set_blocking(master, False)
    link = tmp_path / "thermo"
    link.symlink_to(os.ttyname(slave))
    events: queue.Queue[DeviceEvent] = queue.Queue()
    device = SerialDevice("thermo", str(link), GyMcu90615Conversation())
    device.start(events.put)
    draw = random.Random(3)
    try:
        flooded = 0
        while flooded < 1_000_000 or events.empty():
            try:
                flooded += os.write(master, draw.randbytes(4096))
            except BlockingIOError:
                time.sleep(0.001)
        fault = events.get()
        assert isinstance(fault, DeviceFault)
        assert fault.kind is FaultKind.GARBLED
        ends = time.monotonic() + 15.0
        while events.empty():
            assert time.monotonic() < ends
            with contextlib.suppress(BlockingIOError):
                os.write(master, encode(23.0, 25.0))
            time.sleep(0.02)
        assert isinstance(events.get(), DeviceReady)
    finally:
        device.stop()
        os.close(master)
        os.close(slave)


def test_replugging_leaves_no_open_files_behind(gate: Gate) -> None:
    """After five unpluggings as many files are open as before the first."""
    gate.ready()
    gate.reading()
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        gate.wire.unplug()
        gate.fault()
        gate.wire.plug()
        gate.ready()
    gate.reading()
    assert len(os.listdir("/proc/self/fd")) == before


def test_stop_ends_the_thread_within_a_second_and_start_works_again(gate: Gate) -> None:
    """Stopped in service, stopped twice, started again."""
    gate.ready()
    begun = time.monotonic()
    gate.device.stop()
    gate.device.stop()
    assert time.monotonic() - begun < 1.0
    assert not [thread for thread in threading.enumerate() if thread.name == "serial-thermo-in"]
    gate.device.start(gate.events.put)
    gate.ready()


@pytest.mark.parametrize("path", ["/dev/ttyUSB0", "/dev/ttyACM12", "/dev/../dev/ttyUSB3", "dev/thermo"])
def test_names_that_may_lead_elsewhere_tomorrow_are_refused(path: str) -> None:
    """A numbered or relative name is refused with the way out."""
    with pytest.raises(PortError, match="expected"):
        check_port_name(path)


def test_stable_names_are_taken() -> None:
    """by-path, by-id, own links; a numbered name only when asked for by hand."""
    for path in ("/dev/serial/by-path/platform-x-usb-0:1.2:1.0-port0", "/dev/gatepost/thermo-in", "/dev/ttyAMA0"):
        check_port_name(path)
    check_port_name("/dev/ttyUSB0", allow_unstable=True)
