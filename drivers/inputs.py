"""Contacts of a lane over an eight-input RS-485 board that speaks Modbus RTU.

The boards of this kind (Waveshare "Modbus RTU IO 8CH" and its relatives) answer function 02, "read discrete inputs",
as slave 1 at 9600 baud, 8N1, from the factory; input 1 is the lowest bit of the one data byte. Source: the board's
user manual, "Read input status"; drivers/modbus_rtu.py for the framing.

The inputs are read 20 times a second. A change counts when a second reading at least 30 ms later agrees: shorter
pulses are bounce or interference.
"""

from __future__ import annotations

from collections.abc import Mapping

from drivers.devices import Broken, FaultKind, InputChange, InputName, Proven, Send, Step
from drivers.modbus_rtu import (
    ANSWER_TIMEOUT_S,
    READ_DISCRETE_INPUTS,
    SETTLE_S,
    Exchange,
    ModbusAnswer,
    ModbusError,
    ModbusFault,
    ReadRequest,
)

INPUTS = 8
POLL_NS = 50_000_000
DEBOUNCE_NS = 30_000_000
MAX_FAILURES = 3


class ContactBoard:
    """The conversation with one board (:class:`drivers.devices.Conversation`).

    ``names`` says what the inputs 1 to 8 are wired to; of several inputs with one name any one makes it active.
    ``active_low`` lists the inputs that are active without current: a fire loop, a beam or a tamper contact that
    must be noticed when its wire is cut. Raises ValueError for an input outside 1 to 8.

    Every name counts as inactive until the board says otherwise, and what was told last is remembered over an
    unplugging, so that nothing is told twice and no change is lost.
    """

    baud_rates: tuple[int, ...] = (9600,)
    proof_timeout_s: float = 1.0

    def __init__(
        self, names: Mapping[int, InputName], *, active_low: frozenset[int] = frozenset(), slave: int = 1
    ) -> None:
        wrong = [number for number in {*names, *active_low} if not 1 <= number <= INPUTS]
        if wrong:
            raise ValueError(f"contact input {min(wrong)}: the board has 1 to {INPUTS}")
        self._names = dict(names)
        self._active_low = active_low
        self._request = ReadRequest(slave=slave, function=READ_DISCRETE_INPUTS, start=0, count=INPUTS)
        self._told = dict.fromkeys(self._names.values(), False)
        self._reset()

    def _reset(self) -> None:
        self._exchange: Exchange | None = None
        self._wake_ns = 0
        self._sent_ns = 0
        self._failures = 0
        self._proven = False
        self._changed_ns: dict[InputName, int] = {}

    def begin(self, at_ns: int) -> list[Step]:
        """The port was opened afresh: ask at once."""
        self._reset()
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
        if self._exchange is not None:
            return self._settle(self._exchange.give_up(), at_ns)
        return self._ask(at_ns)

    def _ask(self, at_ns: int) -> list[Step]:
        self._exchange = Exchange(self._request)
        self._sent_ns = at_ns
        self._wake_ns = at_ns + int(ANSWER_TIMEOUT_S * 1e9)
        return [Send(self._request.frame)]

    def _settle(self, result: ModbusAnswer | ModbusError, at_ns: int) -> list[Step]:
        self._exchange = None
        if isinstance(result, ModbusError):
            return self._failed(result, at_ns)
        self._failures = 0
        steps: list[Step] = []
        if not self._proven:
            self._proven = True
            steps.append(Proven(f"Modbus RTU input board, slave {self._request.slave}"))
        steps += self._changes(result.bits(INPUTS), at_ns)
        # A change is looked at again as soon as it may count.
        due = [changed + DEBOUNCE_NS for changed in self._changed_ns.values()]
        self._wake_ns = max(at_ns, min([self._sent_ns + POLL_NS, *due]))
        return steps

    def _failed(self, error: ModbusError, at_ns: int) -> list[Step]:
        if error.fault is ModbusFault.EXCEPTION:
            return [Broken(FaultKind.WRONG_DEVICE, f"no eight inputs there: {error.detail}")]
        self._failures += 1
        if self._failures >= MAX_FAILURES:
            kind = FaultKind.SILENT if error.fault is ModbusFault.TIMEOUT else FaultKind.GARBLED
            return [Broken(kind, f"{error.detail} ({self._failures} times in a row)")]
        self._wake_ns = at_ns + int(SETTLE_S * 1e9)
        return []

    def _changes(self, bits: tuple[bool, ...], at_ns: int) -> list[Step]:
        steps: list[Step] = []
        for name, told in self._told.items():
            active = any(
                bits[number - 1] is not (number in self._active_low)
                for number, each in self._names.items()
                if each is name
            )
            if active is told:
                self._changed_ns.pop(name, None)
            elif at_ns - self._changed_ns.setdefault(name, at_ns) >= DEBOUNCE_NS:
                del self._changed_ns[name]
                self._told[name] = active
                steps.append(InputChange(name=name, active=active, at_ns=at_ns))
        return steps
