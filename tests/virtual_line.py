"""A kiosk's end and a device's end of a line in simulated time: days of it in seconds.

Does what ``drivers/serial_port.py`` does (proof before events, reopening after a break) over
``drivers/simulators/line.py`` without port, thread or clock.
"""

from __future__ import annotations

from drivers.devices import Broken, Conversation, DeviceEvent, DeviceFault, DeviceReady, FaultKind, Proven, Send, Step
from drivers.simulators.line import Line

REOPEN_NS = 250_000_000


class VirtualLine:
    """Steps a conversation and a line through time; ``tick_ns`` is how late a byte may be read at most."""

    def __init__(self, conversation: Conversation, line: Line, *, tick_ns: int = 5_000_000) -> None:
        self.now = 0
        self.plugged = True
        self._conversation = conversation
        self._line = line
        self._tick_ns = tick_ns
        self._open_ns: int | None = None
        self._reopen_ns = 0
        self._proven = self._ready = False
        self._fault: FaultKind | None = None

    def unplug(self) -> None:
        """Hang up."""
        self.plugged = False
        self._line.clear()

    def plug(self) -> None:
        """Power up again."""
        self.plugged = True
        self._line.power_on()

    def run(self, until_ns: int) -> list[DeviceEvent]:
        """Everything that came up to the floors above by ``until_ns``."""
        events: list[DeviceEvent] = []
        while self.now < until_ns:
            self.now = min(until_ns, self._next())
            if self.plugged:
                self._line.run(self.now)
            data = self._line.spoken(self.now) if self.plugged else b""
            if self._open_ns is None:
                if self.now >= self._reopen_ns and self.plugged:
                    self._open_ns, self._proven = self.now, False
                    self._carry(self._conversation.begin(self.now), events)
                continue
            if not self.plugged:
                self._lose(FaultKind.MISSING, events)
                continue
            if data:
                self._carry(self._conversation.receive(data, self.now), events)
            wake_ns = self._conversation.wake_at_ns()
            if self._open_ns is not None and wake_ns is not None and self.now >= wake_ns:
                self._carry(self._conversation.wake(self.now), events)
            proof_ns = int(self._conversation.proof_timeout_s * 1e9)
            if self._open_ns is not None and not self._proven and self.now - self._open_ns >= proof_ns:
                self._lose(FaultKind.SILENT, events)
        return events

    def _next(self) -> int:
        """The next moment at which something may happen, at most 100 ms ahead."""
        times = [self._line.next_ns() if self.plugged else None]
        times.append(self._reopen_ns if self._open_ns is None else self._conversation.wake_at_ns())
        ahead = [time for time in times if time is not None and time > self.now + self._tick_ns]
        busy = any(time is not None and time <= self.now + self._tick_ns for time in times)
        return self.now + self._tick_ns if busy else min([*ahead, self.now + 100_000_000])

    def _carry(self, steps: list[Step], events: list[DeviceEvent]) -> None:
        for step in steps:
            if isinstance(step, Send):
                self._line.hear(step.data, self.now)
            elif isinstance(step, Proven):
                self._proven = True
                self._fault = None
                if not self._ready:
                    self._ready = True
                    events.append(DeviceReady(detail=step.detail, at_ns=self.now))
            elif isinstance(step, Broken):
                self._lose(step.kind, events)
                return
            elif self._proven:
                events.append(step)

    def _lose(self, kind: FaultKind, events: list[DeviceEvent]) -> None:
        self._open_ns, self._proven, self._reopen_ns = None, False, self.now + REOPEN_NS
        if self._fault != kind:
            self._fault, self._ready = kind, False
            events.append(DeviceFault(kind=kind, detail="", at_ns=self.now))
