"""A conversation and a simulated device over a wire of given speed, in simulated time: nothing sleeps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from drivers.devices import Broken, Conversation, DeviceEvent, Proven, Send

MS = 1_000_000


@dataclass
class WireLoop:
    """Drives both ends; ``events`` collects (at_ns, event), ``sent`` what the host wrote, ``broken`` why it gave up.

    ``to_host`` may damage, drop or add to the bytes that the device sends (the faults of a cable).
    """

    conversation: Conversation
    player: Any
    baud: int = 115200
    now_ns: int = 0
    to_host: Callable[[bytes], bytes] = lambda data: data
    to_device: Callable[[bytes], bytes] = lambda data: data
    events: list[tuple[int, DeviceEvent]] = field(default_factory=list)
    sent: list[tuple[int, bytes]] = field(default_factory=list)
    proven: list[str] = field(default_factory=list)
    broken: Broken | None = None
    _wire: list[tuple[int, bool, bytes]] = field(default_factory=list)

    def begin(self) -> WireLoop:
        """Open the port."""
        self.broken = None
        self._steps(self.conversation.begin(self.now_ns))
        return self

    def run(self, for_ms: float) -> WireLoop:
        """Let that much time pass."""
        end_ns = self.now_ns + round(for_ms * MS)
        while self.broken is None:
            times = [when for when, _, _ in self._wire]
            times += [t for t in (self.player.due_ns(), self.conversation.wake_at_ns()) if t is not None]
            self_next = min(times, default=end_ns + 1)
            if self_next > end_ns:
                break
            self.now_ns = max(self.now_ns, self_next)
            self._turn()
        self.now_ns = end_ns
        return self

    def _turn(self) -> None:
        ready = [item for item in self._wire if item[0] <= self.now_ns]
        self._wire = [item for item in self._wire if item[0] > self.now_ns]
        for _, for_device, data in ready:
            if for_device:
                self._answers(self.player.received(data, self.now_ns))
            else:
                self._steps(self.conversation.receive(data, self.now_ns))
        due = self.player.due_ns()
        if due is not None and due <= self.now_ns:
            self._answers(self.player.due(self.now_ns))
        wake = self.conversation.wake_at_ns()
        if wake is not None and wake <= self.now_ns:
            self._steps(self.conversation.wake(self.now_ns))

    def _steps(self, steps: list[Any]) -> None:
        for step in steps:
            if isinstance(step, Send):
                self.sent.append((self.now_ns, step.data))
                self._carry(self.to_device(step.data), for_device=True)
            elif isinstance(step, Proven):
                self.proven.append(step.detail)
            elif isinstance(step, Broken):
                self.broken = step
            else:
                self.events.append((self.now_ns, step))

    def _answers(self, chunks: list[bytes]) -> None:
        for data in chunks:
            self._carry(self.to_host(data), for_device=False)

    def _carry(self, data: bytes, *, for_device: bool) -> None:
        if data:
            busy = max((when for when, other, _ in self._wire if other is for_device), default=self.now_ns)
            took_ns = len(data) * 10 * 1_000_000_000 // self.baud
            self._wire.append((max(busy, self.now_ns) + took_ns, for_device, data))
