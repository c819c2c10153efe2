"""Outputs: barrier, door, lamp and buzzer over a USB relay board.

The board's port belongs to a child process (``drivers/relay_supervisor.py``), which times every pulse and switches
off when this process dies. Here is its other half: it starts the child, hands it commands, restarts it when it died
or hangs, and turns what it says into events. A pulse is carried out at most once; what could not be carried out is a
:class:`DeviceFault`, never a late pulse.
"""

from __future__ import annotations

import json
import os
import secrets
import select
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import structlog

from config.errors import ConfigError
from drivers.devices import DeviceFault, DeviceReady, Emit, FaultKind
from drivers.relay_supervisor import MAX_CHANNELS, STALE_NS
from drivers.serial_port import check_port_name

RESTART_S = 0.5
HANG_S = 2.0

_log = structlog.get_logger(__name__)
_PROJECT = Path(__file__).resolve().parent.parent


class RelayBoard:
    """A :class:`drivers.devices.Device`: ``channels`` relays, numbered from 1, behind the serial port ``path``.

    ``max_pulse_s`` bounds every pulse (0.05 to 60 s). The board cannot answer: ready means that its port took the
    bytes that switch everything off. Raises ConfigError for figures out of range, PortError for an unstable name.
    """

    def __init__(
        self, name: str, path: str, *, channels: int, max_pulse_s: float, allow_unstable_name: bool = False
    ) -> None:
        check_port_name(path, allow_unstable=allow_unstable_name)
        if not 1 <= channels <= MAX_CHANNELS:
            raise ConfigError(f"relay board {name}", seen=f"{channels} channels", expected=f"1 to {MAX_CHANNELS}")
        if not 0.05 <= max_pulse_s <= 60:
            raise ConfigError(f"relay board {name}", seen=f"max_pulse_s {max_pulse_s}", expected="0.05 to 60 seconds")
        self.name = name
        self.path = path
        self.channels = channels
        self.max_pulse_s = max_pulse_s
        self._emit: Emit = lambda _event: None
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None
        self._waiting: list[dict[str, Any]] = []
        self._held: set[int] = set()
        self._on: set[int] = set()
        self._news = True  # the end of a supervisor is told once until one was ready again
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, emit: Emit) -> None:
        """Start the supervisor; faults arrive as events."""
        self._emit = emit
        self._stopping.clear()
        self._thread = threading.Thread(target=self._run, name=f"relay-{self.name}", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Everything off, and the supervisor ended, within a second."""
        self._stopping.set()
        with self._lock:
            child = self._child
            if child is not None and child.stdin is not None:
                child.stdin.close()
        if self._thread is not None:
            self._thread.join(1.0)
            self._thread = None

    def pulse(self, channel: int, duration_s: float) -> None:
        """Switch a channel on for ``duration_s`` (at most ``max_pulse_s``); returns at once. Call after the commit."""
        self._order({"do": "pulse", "channel": channel, "duration_ns": int(max(0.0, duration_s) * 1e9)})

    def hold(self, channel: int, on: bool) -> None:
        """Emergency only: on until ``hold(channel, False)`` or this process's death; survives unplugging."""
        with self._lock:
            (self._held.add if on else self._held.discard)(channel)
        self._order({"do": "hold", "channel": channel, "on": on})

    @property
    def supervisor_pid(self) -> int | None:
        """The child's process id, for the doctor and for tests; None while there is none."""
        child = self._child
        return None if child is None else child.pid

    def _order(self, order: dict[str, Any]) -> None:
        order |= {"nonce": secrets.token_hex(8), "issued_ns": time.monotonic_ns()}
        with self._lock:
            refused = self._hand_over(order)
        if refused:
            self._fault(FaultKind.REFUSED, f"{order['do']} of channel {order['channel']} not carried out: {refused}")

    def _hand_over(self, order: dict[str, Any]) -> str | None:
        """Write the order to the child, or keep it for the next one; what speaks against it, or None."""
        if not 1 <= order["channel"] <= self.channels:
            return f"no channel {order['channel']}; the board has 1 to {self.channels}"
        if self._thread is None:
            return "the board is not started"
        if self._child is None:
            if order["do"] == "pulse":  # holds are told to every new child
                self._waiting.append(order)
            return None
        return self._write(self._child, order)

    def _write(self, child: subprocess.Popen[bytes], order: dict[str, Any]) -> str | None:
        if child.stdin is None or child.stdin.closed:
            return "the board is being stopped"
        try:
            # One line is far below PIPE_BUF: it is written whole or not at all.
            os.write(child.stdin.fileno(), json.dumps(order).encode() + b"\n")
        except BlockingIOError:
            return "the supervisor does not read its orders"
        except OSError:
            return "the supervisor has just ended"
        return None

    # --- the thread ---------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._stopping.is_set():
            began_s = time.monotonic()
            self._drop_stale()
            try:
                code = self._serve(self._spawn())
                why = f"the relay supervisor ended ({code}) and is started again"
            except OSError as error:
                why = f"the relay supervisor cannot be started: {error}"
            if self._stopping.is_set():
                return
            if self._on:
                why += f"; channel {sorted(self._on)} was on and is switched off"
                self._on.clear()
            if self._news:
                self._news = False
                self._fault(FaultKind.MISSING, why, transient=False)
            if time.monotonic() - began_s < RESTART_S:
                self._stopping.wait(RESTART_S)  # it dies at once: no endless loop

    def _spawn(self) -> subprocess.Popen[bytes]:
        inherited = os.environ.get("PYTHONPATH")
        child = subprocess.Popen(
            [
                *(sys.executable, "-m", "drivers.relay_supervisor", "--path", self.path),
                *("--channels", str(self.channels), "--max-pulse-ms", str(round(self.max_pulse_s * 1000))),
                *("--parent", str(os.getpid())),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,  # a signal to the gate's process group must not reach it
            env={**os.environ, "PYTHONPATH": f"{_PROJECT}:{inherited}" if inherited else str(_PROJECT)},
        )
        if child.stdin is not None:
            os.set_blocking(child.stdin.fileno(), False)
        with self._lock:
            self._child = child
            if self._stopping.is_set() and child.stdin is not None:
                child.stdin.close()  # stop() came while there was no child to be told
            for channel in self._held:
                self._write(child, {"do": "hold", "channel": channel, "on": True, "nonce": "", "issued_ns": 0})
            for order in self._waiting:
                self._write(child, order)
            self._waiting.clear()
        return child

    def _drop_stale(self) -> None:
        """Say aloud which pulses waited too long for a supervisor: they are not made up for."""
        with self._lock:
            now_ns = time.monotonic_ns()
            stale = [order for order in self._waiting if now_ns - order["issued_ns"] > STALE_NS]
            self._waiting = [order for order in self._waiting if order not in stale]
        for order in stale:
            self._fault(
                FaultKind.REFUSED, f"pulse of channel {order['channel']} not carried out: no supervisor for 1 s"
            )

    def _serve(self, child: subprocess.Popen[bytes]) -> str:
        """Listen until the child ends or hangs; how it ended. The channel list and the pipe are cleaned up."""
        out = child.stdout
        line = b""
        hung = False
        while out is not None:
            ready, _, _ = select.select([out], [], [], HANG_S)
            if not ready:
                hung = True
                child.kill()
            data = os.read(out.fileno(), 4096)
            if not data:
                break
            *lines, line = (line + data).split(b"\n")
            for each in lines:
                self._hear(each)
        with self._lock:
            self._child = None
            if child.stdin is not None:
                child.stdin.close()
        if out is not None:
            out.close()
        code = child.wait()
        return "it hung and was killed" if hung else f"signal {-code}" if code < 0 else f"exit {code}"

    def _hear(self, line: bytes) -> None:
        try:
            event = json.loads(line)
        except ValueError:
            _log.warning("relay_supervisor_said_nonsense", device=self.name)
            return
        match event.get("event"):
            case "ready":
                self._news = True
                detail = f"relay board at {self.path}: all {self.channels} channels switched off"
                self._emit(DeviceReady(detail=detail, at_ns=time.monotonic_ns()))
            case "on":
                self._on.add(event["channel"])
            case "off":
                self._on.discard(event["channel"])
            case "fault":
                self._on.clear()
                self._fault(FaultKind(event["kind"]), event["detail"], transient=False)
            case "refused":
                self._fault(FaultKind.REFUSED, f"pulse not carried out: {event['detail']}")

    def _fault(self, kind: FaultKind, detail: str, *, transient: bool = True) -> None:
        self._emit(DeviceFault(kind=kind, detail=detail, at_ns=time.monotonic_ns(), transient=transient))
