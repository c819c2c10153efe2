"""Asking one Modbus slave the same question again and again, sans-I/O: what every polled device has in common.

The first good answer is the proof. Failures in a row are counted: some are a disturbed line and asked again after
a pause, the last of them breaks the conversation. An exception does so at once, because the slave is there and has
nothing of what was asked for.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from drivers.devices import Broken, FaultKind, Proven, Send, Step
from drivers.modbus_rtu import (
    ANSWER_TIMEOUT_S,
    SETTLE_S,
    Exchange,
    ModbusAnswer,
    ModbusError,
    ModbusFault,
    ReadRequest,
)


class ModbusTalk(ABC):
    """The conversation (:class:`drivers.devices.Conversation`) without what an answer means.

    ``model`` names the device in proofs and faults; ``tries`` failures in a row break the conversation.
    """

    def __init__(self, request: ReadRequest, *, model: str, tries: int) -> None:
        self._request = request
        self._model = model
        self._tries = tries
        self._exchange: Exchange | None = None
        self._wake_ns = 0
        self._asked_ns = 0
        self._failures = 0
        self._proven = False

    @abstractmethod
    def _answered(self, answer: ModbusAnswer, at_ns: int) -> tuple[list[Step], int]:
        """What a good answer means, and when to ask again (monotonic ns); ``_asked_ns`` is when it was asked for."""

    def begin(self, at_ns: int) -> list[Step]:
        """The port was opened afresh: ask at once."""
        self._failures, self._proven = 0, False
        return self._ask(at_ns)

    def receive(self, data: bytes, at_ns: int) -> list[Step]:
        """Bytes arrived; those that nobody asked for are a late answer and worth nothing."""
        if self._exchange is None:
            return []
        result = self._exchange.feed(data)
        return [] if result is None else self._settle(result, at_ns)

    def wake_at_ns(self) -> int | None:
        """The next question, or the end of the wait for an answer."""
        return self._wake_ns

    def wake(self, at_ns: int) -> list[Step]:
        """Ask, or give the answer up."""
        if at_ns < self._wake_ns:
            return []
        if self._exchange is None:
            return self._ask(at_ns)
        return self._settle(self._exchange.give_up(), at_ns)

    def _ask(self, at_ns: int) -> list[Step]:
        self._exchange = Exchange(self._request)
        self._asked_ns = at_ns
        self._wake_ns = at_ns + int(ANSWER_TIMEOUT_S * 1e9)
        return [Send(self._request.frame)]

    def _settle(self, result: ModbusAnswer | ModbusError, at_ns: int) -> list[Step]:
        self._exchange = None
        if isinstance(result, ModbusError):
            return self._failed(result, at_ns)
        self._failures = 0
        steps, self._wake_ns = self._answered(result, at_ns)
        if not self._proven:
            self._proven = True
            steps.append(Proven(f"{self._model}, slave {self._request.slave}"))
        return steps

    def _failed(self, error: ModbusError, at_ns: int) -> list[Step]:
        self._failures += 1
        self._wake_ns = at_ns + int(SETTLE_S * 1e9)
        if error.fault is ModbusFault.EXCEPTION:
            return [Broken(FaultKind.WRONG_DEVICE, f"{self._model}: {error.detail}")]
        if self._failures < self._tries:
            return []
        kind = FaultKind.SILENT if error.fault is ModbusFault.TIMEOUT else FaultKind.GARBLED
        return [Broken(kind, f"{self._model}: {error.detail} ({self._failures} times in a row)")]
