"""A simulated sensor that talks by itself: a frame a period, and a few commands of fixed bytes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from drivers.simulators.registry import Spec
from drivers.simulators.scene import Scene


class StreamPlayer:
    """See :class:`drivers.simulators.registry.Player`.

    ``frame(scene, at_ns)`` renders one frame of what stands in front. ``continuous``, ``once``, ``auto_on`` and
    ``auto_off`` are the command bytes of the model (empty: it has none). ``auto_send = 0`` in the plan: silent until
    told to send.
    """

    def __init__(
        self,
        spec: Spec,
        frame: Callable[[Scene, int], bytes],
        *,
        period_s: float,
        continuous: bytes = b"",
        once: bytes = b"",
        auto_on: bytes = b"",
        auto_off: bytes = b"",
    ) -> None:
        self._scene = Scene(spec)
        self._frame = frame
        self._period_ns = int(period_s * 1e9)
        self._continuous, self._once = continuous, once
        self._auto_on, self._auto_off = auto_on, auto_off
        self._longest = max(len(continuous), len(once), len(auto_on), len(auto_off))
        self._auto_send = spec.number("auto_send", 1) != 0
        self._heard = b""
        self._next_ns: int | None = None
        self._power_on()

    def _power_on(self) -> None:
        self._heard = b""
        self._next_ns = 0 if self._auto_send else None

    def received(self, data: bytes, at_ns: int) -> list[bytes]:
        messages: list[bytes] = []
        for byte in data:
            self._heard = (self._heard + bytes([byte]))[-self._longest :] if self._longest else b""
            if self._ends_with(self._continuous):
                if self._next_ns is None:
                    self._next_ns = at_ns + self._period_ns
            elif self._ends_with(self._once):
                self._next_ns = None
                messages.append(self._frame(self._scene, at_ns))
            elif self._ends_with(self._auto_on):
                self._auto_send = True
            elif self._ends_with(self._auto_off):
                self._auto_send = False
        return messages

    def _ends_with(self, command: bytes) -> bool:
        return bool(command) and self._heard.endswith(command)

    def due_ns(self) -> int | None:
        return self._next_ns

    def due(self, at_ns: int) -> list[bytes]:
        if self._next_ns is None:
            return []
        # After a pause of the machine the device does not catch up: it goes on from now.
        behind = at_ns - self._next_ns > self._period_ns
        self._next_ns = (at_ns if behind else self._next_ns) + self._period_ns
        return [self._frame(self._scene, at_ns)]

    def command(self, line: dict[str, Any]) -> dict[str, Any]:
        if line.get("do") == "power_on":
            self._power_on()
            return {}
        return self._scene.command(line)
