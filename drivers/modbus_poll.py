"""The conversation with a Modbus sensor that must be asked: one request, one event an answer."""

from __future__ import annotations

from collections.abc import Callable

from drivers.devices import DeviceEvent, Step
from drivers.modbus_rtu import ANSWER_TIMEOUT_S, SETTLE_S, ModbusAnswer, ReadRequest
from drivers.modbus_talk import ModbusTalk

TRIES = 2


class PollConversation(ModbusTalk):
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
        super().__init__(request, model=model, tries=TRIES)
        self.baud_rates = baud_rates
        self.proof_timeout_s = TRIES * (ANSWER_TIMEOUT_S + SETTLE_S) + 0.1
        self._event_of = event_of
        self._period_ns = int(period_s * 1e9)

    def _answered(self, answer: ModbusAnswer, at_ns: int) -> tuple[list[Step], int]:
        return [self._event_of(answer, at_ns)], self._asked_ns + self._period_ns
