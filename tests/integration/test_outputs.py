"""Relay boards through a pseudo-terminal, with processes that die at the worst moment.

``MARGIN_MS`` is the promise that these tests hold: beyond its pulse no channel stays on longer than this, the
restart of a killed supervisor included.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from drivers.devices import DeviceFault, DeviceReady, FaultKind
from drivers.outputs import RelayBoard
from drivers.simulators.relay import RelayPlayer
from drivers.simulators.wire import Wire
from tests.conftest import ROOT

MARGIN_MS = 1000


def eventually(check: Callable[[], Any], within_s: float = 5.0) -> Any:
    """The first true value of ``check``; fails after ``within_s``."""
    end_s = time.monotonic() + within_s
    while time.monotonic() < end_s:
        value = check()
        if value:
            return value
        time.sleep(0.01)
    raise AssertionError(f"not within {within_s} s: {check}")


class Bench:
    """One simulated board with its log."""

    def __init__(self, folder: Path) -> None:
        self.log = folder / "relay-out.log"
        self.player = RelayPlayer(2, self.log)
        self.wire = Wire(folder / "dev" / "relay", self.player, baud=9600, seed=1)
        self.wire.start()
        self.events: list[Any] = []

    @property
    def changes(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()] if self.log.exists() else []

    def on_ms(self) -> list[float]:
        """How long channel 1 was on, each time."""
        times = [change for change in self.changes if change["channel"] == 1]
        return [(b["at_ns"] - a["at_ns"]) / 1e6 for a, b in zip(times[::2], times[1::2], strict=True)]

    def ready(self) -> int:
        return sum(isinstance(event, DeviceReady) for event in self.events)

    def faults(self) -> list[DeviceFault]:
        return [event for event in self.events if isinstance(event, DeviceFault)]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.wire.stop()


@pytest.fixture
def board(bench: Bench) -> Iterator[RelayBoard]:
    board = RelayBoard("out", str(bench.wire.link), channels=2, max_pulse_s=2.0)
    board.start(bench.events.append)
    eventually(bench.ready)
    yield board
    board.stop()


def test_a_pulse_lasts_as_long_as_asked(bench: Bench, board: RelayBoard) -> None:
    """300 ms are 300 ms on the wire, and the other channel stays off."""
    board.pulse(1, 0.3)
    eventually(lambda: len(bench.changes) == 2)
    assert {change["channel"] for change in bench.changes} == {1}
    assert 250 < bench.on_ms()[0] < 300 + MARGIN_MS


def test_a_killed_supervisor_is_replaced_and_switches_off(bench: Bench, board: RelayBoard) -> None:
    """kill -9 of the child in mid-pulse: a new one is up within the margin and drives the channel off."""
    board.pulse(1, 0.5)
    eventually(lambda: bench.changes)
    os.kill(board.supervisor_pid, signal.SIGKILL)
    eventually(lambda: len(bench.changes) == 2)
    assert bench.on_ms()[0] < 500 + MARGIN_MS
    eventually(lambda: bench.ready() == 2)
    assert any("signal 9" in fault.detail for fault in bench.faults())
    board.pulse(1, 0.1)
    eventually(lambda: len(bench.changes) == 4)


@pytest.mark.campaign
@pytest.mark.timeout(1800)
def test_two_hundred_supervisors_killed_at_random_moments(bench: Bench, board: RelayBoard) -> None:
    """kill -9 anywhere in a 300 ms pulse, 200 times: the channel is never on longer than pulse and margin."""
    rng = random.Random(11)
    for number in range(200):
        eventually(lambda expected=number: bench.ready() > expected)
        time.sleep(0.6)  # a supervisor that lives for less than RESTART_S is restarted later
        pid = board.supervisor_pid
        board.pulse(1, 0.3)
        time.sleep(rng.uniform(0, 0.35))
        os.kill(pid, signal.SIGKILL)
    eventually(lambda: bench.ready() > 200)
    eventually(lambda: len(bench.changes) % 2 == 0)  # ready is told when the bytes are on the wire, not behind it
    print(f"longest: {max(bench.on_ms()):.0f} ms")
    assert max(bench.on_ms()) < 300 + MARGIN_MS


def test_a_stopped_supervisor_is_noticed_killed_and_replaced(bench: Bench, board: RelayBoard) -> None:
    """A supervisor that hangs says nothing; after 2 s it is killed and its successor is in service."""
    os.kill(board.supervisor_pid, signal.SIGSTOP)
    eventually(lambda: bench.ready() == 2, within_s=5)
    assert any("hung" in fault.detail for fault in bench.faults())


PARENT = """
import os, signal, sys, time
from drivers.outputs import RelayBoard
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell that starts the tests in the background ignores it
ready = []
board = RelayBoard("out", sys.argv[1], channels=2, max_pulse_s=5.0)
board.start(lambda event: ready.append(event))
while not ready: time.sleep(0.01)
if sys.argv[3] == "heir" and os.fork() == 0: time.sleep(8); os._exit(0)
if sys.argv[2] == "hold": board.hold(1, True)
else: board.pulse(1, 3.0)
print("go", flush=True)
time.sleep(60)
"""


def kill(parent: subprocess.Popen[bytes], how: str) -> None:
    match how:
        case "ctrl-c":
            parent.send_signal(signal.SIGINT)
        case "group":
            os.killpg(parent.pid, signal.SIGKILL)
        case _:
            parent.send_signal(signal.SIGKILL)


@pytest.mark.parametrize("what", ["pulse", "hold"])
@pytest.mark.parametrize("how", ["kill-9", "ctrl-c", "group", "heir"])
def test_the_death_of_the_gate_switches_off(bench: Bench, what: str, how: str) -> None:
    """A 3 s pulse or an emergency hold ends at once when its process is killed: alone, by Ctrl-C, with its whole
    process group, and when a forked child has inherited the pipe to the supervisor and keeps it open."""
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(bench.wire.link), what, how],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        start_new_session=True,
    )
    try:
        eventually(lambda: bench.changes)
        killed_ns = time.monotonic_ns()
        kill(parent, how)
        parent.wait(5)
        eventually(lambda: len(bench.changes) == 2)
        assert (bench.changes[1]["at_ns"] - killed_ns) / 1e6 < MARGIN_MS
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(parent.pid, signal.SIGKILL)  # the heir, too
        parent.wait(5)


def test_a_hold_ends_only_by_its_release_and_survives_a_killed_supervisor(bench: Bench, board: RelayBoard) -> None:
    """Emergency open: the successor of a killed supervisor switches off first, then holds again, until released."""
    board.hold(1, True)
    eventually(lambda: bench.changes)
    os.kill(board.supervisor_pid, signal.SIGKILL)
    eventually(lambda: len(bench.changes) == 3)
    assert [change["on"] for change in bench.changes] == [True, False, True]
    board.hold(1, False)
    eventually(lambda: len(bench.changes) == 4)


def test_an_unplugged_board_is_a_fault_and_off_comes_first_when_it_is_back(bench: Bench, board: RelayBoard) -> None:
    """Seen within 1.5 s; a pulse meanwhile is refused aloud and never made up for; then in service again."""
    bench.wire.unplug()
    eventually(lambda: [f for f in bench.faults() if f.kind is FaultKind.MISSING], within_s=1.5)
    board.pulse(1, 0.5)
    eventually(lambda: [f for f in bench.faults() if f.kind is FaultKind.REFUSED])
    bench.wire.plug()
    eventually(lambda: bench.ready() == 2, within_s=3)
    board.pulse(2, 0.1)
    eventually(lambda: len(bench.changes) == 2)
    assert {change["channel"] for change in bench.changes} == {2}


def test_stopping_the_device_ends_a_pulse(bench: Bench, board: RelayBoard) -> None:
    """stop() leaves nothing on and no child behind."""
    board.pulse(1, 2.0)
    eventually(lambda: bench.changes)
    pid = board.supervisor_pid
    board.stop()
    eventually(lambda: len(bench.changes) == 2)
    assert bench.on_ms()[0] < MARGIN_MS
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_without_a_supervisor_a_pulse_is_refused_aloud_and_never_made_up_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When no process can be started, the fault says so within 2.5 s, and nothing piles up."""

    def no_process(*_: object, **__: object) -> None:
        raise OSError("no process can be started")

    monkeypatch.setattr("drivers.outputs.subprocess.Popen", no_process)
    events: list[Any] = []
    board = RelayBoard("out", str(tmp_path / "relay"), channels=2, max_pulse_s=2.0)
    board.start(events.append)
    try:
        board.pulse(1, 0.5)
        eventually(lambda: [e for e in events if e.kind is FaultKind.REFUSED], within_s=2.5)
        assert board._waiting == []
        assert [e.kind for e in events].count(FaultKind.MISSING) == 1
    finally:
        board.stop()


def test_what_the_board_cannot_do_is_a_fault_and_no_exception(bench: Bench, board: RelayBoard) -> None:
    """A channel that the board does not have is refused with the reason."""
    board.pulse(7, 0.5)
    assert "no channel 7" in bench.faults()[-1].detail
    assert bench.changes == []
