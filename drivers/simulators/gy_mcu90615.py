"""A simulated GY-MCU90615: continuous or asked-for frames, commands as the maker prints them, one scene in front."""

from __future__ import annotations

from typing import Any

from drivers.simulators.registry import Spec
from drivers.simulators.scene import Scene
from drivers.thermometers import gy_mcu90615 as protocol

_PERIOD_NS = int(1e9 / protocol.FACTS_90615.rate_hz)
_COMMAND_BYTES = 3


class GyMcu90615Player:
    """See :class:`drivers.simulators.registry.Player`. ``auto_send = 0`` in the plan: silent until told to send."""

    def __init__(self, spec: Spec) -> None:
        self._scene = Scene(spec)
        self._auto_send = spec.number("auto_send", 1) != 0
        self._pending = b""
        self._next_ns: int | None = None
        self._power_on()

    def _power_on(self) -> None:
        self._pending = b""
        self._next_ns = 0 if self._auto_send else None

    def received(self, data: bytes, at_ns: int) -> list[bytes]:
        self._pending = (self._pending + data)[-_COMMAND_BYTES:]
        match self._pending:
            case protocol.CONTINUOUS:
                if self._next_ns is None:
                    self._next_ns = at_ns + _PERIOD_NS
            case protocol.ONE_READING:
                self._next_ns = None
                return [self._frame(at_ns)]
            case protocol.AUTO_SEND_ON:
                self._auto_send = True
            case protocol.AUTO_SEND_OFF:
                self._auto_send = False
        return []

    def due_ns(self) -> int | None:
        return self._next_ns

    def due(self, at_ns: int) -> list[bytes]:
        if self._next_ns is None:
            return []
        # After a pause of the machine the device does not catch up: it goes on from now.
        behind = at_ns - self._next_ns > _PERIOD_NS
        self._next_ns = (at_ns if behind else self._next_ns) + _PERIOD_NS
        return [self._frame(at_ns)]

    def command(self, line: dict[str, Any]) -> dict[str, Any]:
        if line.get("do") == "power_on":
            self._power_on()
            return {}
        return self._scene.command(line)

    def _frame(self, at_ns: int) -> bytes:
        return protocol.encode(self._scene.object_c(at_ns), self._scene.ambient_c())


def player(spec: Spec) -> GyMcu90615Player:
    """The model that a plan's ``kind = "gy_mcu90615"`` names."""
    return GyMcu90615Player(spec)
