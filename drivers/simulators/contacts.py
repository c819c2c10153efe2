"""An eight-input Modbus RTU board: slave 1, function 02, silent for whatever is not addressed to it."""

from __future__ import annotations

from typing import Any

from config.errors import ConfigError
from drivers.devices import InputName
from drivers.inputs import INPUTS
from drivers.modbus_rtu import READ_DISCRETE_INPUTS, crc16
from drivers.simulators.registry import Spec

ANSWER_NS = 4_000_000
SLAVE = 1
REQUEST_BYTES = 8
WIRED = ",".join(InputName)


class ContactsPlayer:
    """``names`` says what inputs 1, 2, .. are wired to, for control lines that name a contact."""

    def __init__(self, names: tuple[InputName, ...]) -> None:
        if len(names) > INPUTS:
            raise ValueError(f"{len(names)} contacts: the board has {INPUTS} inputs")
        self._names = names
        self._active = [False] * INPUTS
        self._ends_ns: dict[int, int] = {}
        self._for_ns: dict[int, int] = {}
        self._buffer = b""
        self._answers: list[tuple[int, bytes]] = []

    def received(self, data: bytes, at_ns: int) -> list[bytes]:
        """A request with a right CRC is answered; anything else costs one byte."""
        self._buffer += data
        while len(self._buffer) >= REQUEST_BYTES:
            request = self._buffer[:REQUEST_BYTES]
            if request[0] == SLAVE and crc16(request[:6]) == request[6:]:
                self._answers.append((at_ns + ANSWER_NS, request))
                self._buffer = self._buffer[REQUEST_BYTES:]
            else:
                self._buffer = self._buffer[1:]
        return []

    def due_ns(self) -> int | None:
        """When the next answer is ready."""
        return self._answers[0][0] if self._answers else None

    def due(self, at_ns: int) -> list[bytes]:
        """The answers that are ready by now."""
        ready = [request for when, request in self._answers if when <= at_ns]
        self._answers = [answer for answer in self._answers if answer[0] > at_ns]
        return [self._answer(request, at_ns) for request in ready]

    def _answer(self, request: bytes, at_ns: int) -> bytes:
        start, count = int.from_bytes(request[2:4]), int.from_bytes(request[4:6])
        if request[1] != READ_DISCRETE_INPUTS:
            body = bytes((SLAVE, request[1] | 0x80, 1))
        elif count < 1 or start + count > INPUTS:
            body = bytes((SLAVE, request[1] | 0x80, 2))
        else:
            self._ends_ns |= {index: at_ns + for_ns for index, for_ns in self._for_ns.items()}
            self._for_ns.clear()
            for index in [index for index, end_ns in self._ends_ns.items() if at_ns >= end_ns]:
                del self._ends_ns[index]
                self._active[index] = not self._active[index]
            states = self._active[start : start + count]
            body = bytes((SLAVE, request[1], 1, sum(active << bit for bit, active in enumerate(states))))
        return body + crc16(body)

    def command(self, line: dict[str, Any]) -> dict[str, Any]:
        """``{"do": "set", "contact": name or "input": 1..8, "active": true}``, with ``"for_ms": 400`` it ends."""
        match line.get("do"):
            case "set":
                index, active, for_ms = self._index(line), line.get("active"), line.get("for_ms")
                if not isinstance(active, bool) or not isinstance(for_ms, int | None) or isinstance(for_ms, bool):
                    raise ValueError("set needs active true or false, and for_ms, if given, in milliseconds")
                self._ends_ns.pop(index, None)
                self._for_ns.pop(index, None)
                self._active[index] = active
                if for_ms is not None:
                    self._for_ns[index] = for_ms * 1_000_000
            case "power_on":
                self._buffer = b""
                self._answers.clear()
            case other:
                raise ValueError(f"an input board cannot {other!r}; it knows set and power_on")
        return {}

    def _index(self, line: dict[str, Any]) -> int:
        number, contact = line.get("input"), line.get("contact")
        if isinstance(number, int) and 1 <= number <= INPUTS:
            return number - 1
        if contact in self._names:
            return self._names.index(InputName(contact))
        wired = ", ".join(self._names)
        raise ValueError(
            f"contact {contact!r} or input {number!r} is not wired; wired are {wired}, inputs 1 to {INPUTS}"
        )


def player(spec: Spec) -> ContactsPlayer:
    """Option ``contacts``: the names wired to inputs 1, 2, .., separated by commas. Raises ConfigError for another."""
    text = spec.text("contacts", WIRED)
    try:
        return ContactsPlayer(tuple(InputName(name.strip()) for name in text.split(",")))
    except ValueError as error:
        raise ConfigError(f"simulated device {spec.name}, key contacts", seen=str(error), expected=WIRED) from error
