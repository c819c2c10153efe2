"""The conversation with a Modbus sensor that must be asked: one request, again and again.

The first good answer is the proof (withheld, like everything before the proof). Two failures in a row break the
conversation; an exception does so at once, because the slave is there and has no such registers.
"""

from __future__ import annotations

from collections.abc import Callable

from drivers.devices import Broken, DeviceEvent, FaultKind, Proven, Send, Step
from drivers.modbus_rtu import (
    ANSWER_TIMEOUT_S,
    SETTLE_S,
    Exchange,
    ModbusAnswer,
    ModbusError,
    ModbusFault,
    ReadRequest,
)

TRIES = 2


class PollConversation:
    """Sans-I/O; see :class:`drivers.devices.Conversation`. ``event_of(answer, at_ns)`` says what an answer means.

    ``period_s`` lies between the questions; with the default an absent sensor is reported within 1.2 s.
    """

    def __init__(
        self,
        request: ReadRequest,
        event_of: Callable[[ModbusAnswer, int], DeviceEvent],
        *,
        model: str,
        baud_rates: tuple[int, ...] = (9600,),
        period_s: float = 0.5,
    ) -> None:
        self.baud_rates = baud_rates
        self.proof_timeout_s = TRIES * (ANSWER_TIMEOUT_S + SETTLE_S) + 0.1
        self._request = request
        self._event_of = event_of
        self._model = model
        self._period_ns = int(period_s * 1e9)
        self._exchange: Exchange | None = None
        self._wake_ns = 0
        self._asked_ns = 0
        self._failures = 0
        self._proven = False

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
        if isinstance(result, ModbusAnswer):
            self._failures = 0
            self._wake_ns = self._asked_ns + self._period_ns
            event = self._event_of(result, at_ns)
            if self._proven:
                return [event]
            self._proven = True
            return [event, Proven(f"{self._model}, slave {self._request.slave}")]
        self._failures += 1
        self._wake_ns = at_ns + int(SETTLE_S * 1e9)
        if result.fault is ModbusFault.EXCEPTION:
            return [Broken(FaultKind.WRONG_DEVICE, f"{self._model}: {result.detail}")]
        if self._failures < TRIES:
            return []
        kind = FaultKind.SILENT if result.fault is ModbusFault.TIMEOUT else FaultKind.GARBLED
        return [Broken(kind, f"{self._model}: {result.detail} ({self._failures} times in a row)")]
