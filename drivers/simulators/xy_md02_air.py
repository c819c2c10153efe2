"""A simulated XY-MD02: answers for the air at ``air_c`` (default 21) and ``humidity_percent`` (default 50).

Control line: ``{"do": "air", "air_c": 8.5, "humidity_percent": 70}``.
"""

from __future__ import annotations

import struct
from typing import Any

from drivers.modbus_rtu import READ_INPUT_REGISTERS, crc16
from drivers.simulators.registry import Spec
from drivers.thermometers import xy_md02_air as protocol

_SLAVE = 1
_REQUEST_BYTES = 8


class XyMd02Player:
    """See :class:`drivers.simulators.registry.Player`."""

    def __init__(self, spec: Spec) -> None:
        self._values = {
            "air_c": spec.number("air_c", 21.0),
            "humidity_percent": spec.number("humidity_percent", 50.0),
        }
        self._heard = b""

    def received(self, data: bytes, at_ns: int) -> list[bytes]:
        """A request with a good CRC is answered; anything else costs one byte."""
        self._heard += data
        answers = []
        while len(self._heard) >= _REQUEST_BYTES:
            request = self._heard[:_REQUEST_BYTES]
            if request[0] == _SLAVE and crc16(request[:6]) == request[6:]:
                answers.append(self._answer(request))
                self._heard = self._heard[_REQUEST_BYTES:]
            else:
                self._heard = self._heard[1:]
        return answers

    def _answer(self, request: bytes) -> bytes:
        function, start, count = struct.unpack(">BHH", request[1:6])
        first = start - protocol.FIRST_REGISTER
        if function != READ_INPUT_REGISTERS:
            body = bytes((_SLAVE, function | 0x80, 1))
        elif first < 0 or count < 1 or first + count > protocol.REGISTERS:
            body = bytes((_SLAVE, function | 0x80, 2))
        else:
            values = [round(value * 10) for value in self._values.values()][first : first + count]
            body = bytes((_SLAVE, function, 2 * count)) + struct.pack(f">{count}h", *values)
        return body + crc16(body)

    def due_ns(self) -> int | None:
        return None

    def due(self, at_ns: int) -> list[bytes]:
        return []

    def command(self, line: dict[str, Any]) -> dict[str, Any]:
        match line.get("do"):
            case "air":
                for key in self._values:
                    value = line.get(key, self._values[key])
                    if isinstance(value, bool) or not isinstance(value, int | float):
                        raise ValueError(f"{key}: {value!r}, expected a number")
                    self._values[key] = float(value)
            case "power_on":
                self._heard = b""
            case other:
                raise ValueError(f"an air sensor cannot {other!r}; it knows air, fault, clear, unplug, plug, status")
        return {}


def player(spec: Spec) -> XyMd02Player:
    """The model that a plan's ``kind = "xy_md02_air"`` names."""
    return XyMd02Player(spec)
