"""Contacts of a lane over an eight-input RS-485 board that speaks Modbus RTU.

The boards of this kind (Waveshare "Modbus RTU IO 8CH" and its relatives) answer function 02, "read discrete inputs",
as slave 1 at 9600 baud, 8N1, from the factory; input 1 is the lowest bit of the one data byte. Source: the board's
user manual, "Read input status"; drivers/modbus_rtu.py for the framing.

The inputs are read 20 times a second. A change counts when a second reading at least 30 ms later agrees: shorter
pulses are bounce or interference.
"""

from __future__ import annotations

from collections.abc import Mapping

from drivers.devices import InputChange, InputName, Step
from drivers.modbus_rtu import READ_DISCRETE_INPUTS, ModbusAnswer, ReadRequest
from drivers.modbus_talk import ModbusTalk

INPUTS = 8
POLL_NS = 50_000_000
DEBOUNCE_NS = 30_000_000
TRIES = 3


class ContactBoard(ModbusTalk):
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
        request = ReadRequest(slave=slave, function=READ_DISCRETE_INPUTS, start=0, count=INPUTS)
        super().__init__(request, model="Modbus RTU input board", tries=TRIES)
        self._names = dict(names)
        self._active_low = active_low
        self._told = dict.fromkeys(self._names.values(), False)
        self._changed_ns: dict[InputName, int] = {}

    def begin(self, at_ns: int) -> list[Step]:
        """The port was opened afresh: what seemed to change before it was closed has to be seen twice again."""
        self._changed_ns = {}
        return super().begin(at_ns)

    def _answered(self, answer: ModbusAnswer, at_ns: int) -> tuple[list[Step], int]:
        # A change takes two answers, so none is lost before the proof, which is the first.
        steps = self._changes(answer.bits(INPUTS), at_ns)
        # A change is looked at again as soon as it may count.
        due = [changed + DEBOUNCE_NS for changed in self._changed_ns.values()]
        return steps, max(at_ns, min([self._asked_ns + POLL_NS, *due]))

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
