"""Modbus RTU, master side, sans-I/O: a request's bytes, and the judging of what comes back.

Source: "MODBUS over Serial Line Specification and Implementation Guide V1.02" (2006) and "MODBUS Application Protocol
Specification V1.1b3" (2012). Frame: ``address | function | data | CRC low | CRC high``; CRC-16, polynomial A001
(reflected 8005), start FFFF.

RS-485 adapters add what the specification does not know, and all of it is handled here:

* an echo of the request before the answer (2-wire adapters that do not mute their receiver): skipped once;
* zero bytes of the line's turn-round before the answer: skipped;
* a late answer of the poll before: :class:`Exchange` takes only bytes after its sending, so the caller must flush
  what is waiting in the port first, and wait ``SETTLE_S`` after a time-out before the next request;
* gaps inside an answer (USB adapters deliver in 16 ms portions): only the total time counts.

The answer must come from the address asked, with the function asked and the length asked; anything else is an error
and never a value.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import StrEnum

READ_COILS = 0x01
READ_DISCRETE_INPUTS = 0x02
READ_HOLDING_REGISTERS = 0x03
READ_INPUT_REGISTERS = 0x04

ANSWER_TIMEOUT_S = 0.25
SETTLE_S = 0.1
"""After a time-out wait this long before flushing and asking again, so that the late answer is what is flushed."""

_TURN_ROUND_BYTES_MAX = 4
_EXCEPTION_BIT = 0x80


def crc16(data: bytes) -> bytes:
    """The CRC of ``data`` as it is sent: low byte first."""
    crc = 0xFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ 0xA001 if crc & 1 else crc >> 1
    return struct.pack("<H", crc)


class ModbusFault(StrEnum):
    """Why an exchange failed."""

    TIMEOUT = "timeout"
    CRC = "crc"
    ADDRESS = "address"
    FUNCTION = "function"
    LENGTH = "length"
    EXCEPTION = "exception"


@dataclass(frozen=True, slots=True)
class ModbusAnswer:
    """A good answer: the data bytes behind the byte count."""

    data: bytes

    def registers(self) -> tuple[int, ...]:
        """The data as unsigned 16-bit registers."""
        return struct.unpack(f">{len(self.data) // 2}H", self.data)

    def signed_registers(self) -> tuple[int, ...]:
        """The data as signed 16-bit registers (two's complement)."""
        return struct.unpack(f">{len(self.data) // 2}h", self.data)

    def bits(self, count: int) -> tuple[bool, ...]:
        """The first ``count`` coils or inputs; the first is the lowest bit of the first byte."""
        return tuple(bool(self.data[index // 8] >> (index % 8) & 1) for index in range(count))


@dataclass(frozen=True, slots=True)
class ModbusError:
    """A failed exchange; ``exception_code`` is the slave's own (1 function, 2 address, 3 value, 4 failure, 6 busy)."""

    fault: ModbusFault
    detail: str
    exception_code: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadRequest:
    """Read ``count`` registers or bits from ``start`` (zero-based) of one slave.

    Raises ValueError for an address outside 1..247 (255, too, which some pyrometers answer to whatever their
    number), another function than 1 to 4, or a count that one answer cannot carry.
    """

    slave: int
    function: int
    start: int
    count: int

    def __post_init__(self) -> None:
        most = 2000 if self.function in (READ_COILS, READ_DISCRETE_INPUTS) else 125
        if self.function not in (1, 2, 3, 4):
            raise ValueError(f"Modbus function {self.function}: this master reads with 1, 2, 3 and 4")
        if not (1 <= self.slave <= 247 or self.slave == 255):
            raise ValueError(f"Modbus slave {self.slave}: expected 1 to 247, or 255 for any")
        if not (0 <= self.start <= 0xFFFF and 1 <= self.count <= most):
            raise ValueError(f"Modbus read of {self.count} from {self.start}: expected at most {most} from 0..65535")

    @property
    def frame(self) -> bytes:
        """The bytes to send."""
        body = struct.pack(">BBHH", self.slave, self.function, self.start, self.count)
        return body + crc16(body)

    @property
    def data_bytes(self) -> int:
        """How many data bytes a good answer carries."""
        if self.function in (READ_COILS, READ_DISCRETE_INPUTS):
            return (self.count + 7) // 8
        return 2 * self.count


class Exchange:
    """One request and its answer.

    Flush the port, send :attr:`request`\\ ``.frame``, then hand every byte that comes to :meth:`feed` until it
    returns a result, or call :meth:`give_up` after :data:`ANSWER_TIMEOUT_S`.
    """

    def __init__(self, request: ReadRequest) -> None:
        self.request = request
        self._buffer = b""
        self._echo_skipped = False

    def feed(self, data: bytes) -> ModbusAnswer | ModbusError | None:
        """Take received bytes; None while the answer is incomplete."""
        whole = self._expected_bytes() + len(self.request.frame) + _TURN_ROUND_BYTES_MAX
        self._buffer = (self._buffer + data)[: whole + 256]
        return self._judge()

    def give_up(self) -> ModbusError:
        """The time for the answer is over: say what was missing."""
        slave = self.request.slave
        if not self._buffer:
            return ModbusError(ModbusFault.TIMEOUT, f"slave {slave} does not answer; check power, wires and address")
        return ModbusError(ModbusFault.TIMEOUT, f"slave {slave}: incomplete answer {self._buffer.hex(' ')}")

    def _expected_bytes(self) -> int:
        return 5 + self.request.data_bytes

    def _judge(self) -> ModbusAnswer | ModbusError | None:
        frame = self.request.frame
        if not self._echo_skipped:
            # The echo is told from an answer by its full eight bytes; while only a part is there, both are possible.
            if self._buffer.startswith(frame):
                self._buffer = self._buffer[len(frame) :]
                self._echo_skipped = True
            elif frame.startswith(self._buffer):
                return None
        skipped = 0
        while self._buffer[:1] == b"\x00" and skipped < _TURN_ROUND_BYTES_MAX:
            self._buffer = self._buffer[1:]
            skipped += 1
        answer = self._buffer
        if len(answer) < 5:
            return None
        slave, function, count = answer[0], answer[1], answer[2]
        wanted = self.request
        if function == wanted.function | _EXCEPTION_BIT:
            return self._exception(answer[:5])
        end = 5 + count
        if function != wanted.function:
            # The layout of a foreign function is unknown: it is told by its CRC when the length fits, else by time.
            if len(answer) >= end and crc16(answer[: end - 2]) == answer[end - 2 : end]:
                return ModbusError(
                    ModbusFault.FUNCTION, f"answer to function {function:#04x}, asked {wanted.function:#04x}"
                )
            if len(answer) >= self._expected_bytes():
                return ModbusError(ModbusFault.CRC, f"not an answer to function {wanted.function}: {answer.hex(' ')}")
            return None
        if len(answer) < min(end, self._expected_bytes()):
            return None
        if count != wanted.data_bytes:
            return ModbusError(ModbusFault.LENGTH, f"{count} data bytes, asked {wanted.data_bytes}")
        if crc16(answer[: end - 2]) != answer[end - 2 : end]:
            return ModbusError(ModbusFault.CRC, f"CRC wrong in {answer[:end].hex(' ')}")
        if wanted.slave not in (slave, 255):
            return ModbusError(ModbusFault.ADDRESS, f"answer from slave {slave}, asked {wanted.slave}")
        return ModbusAnswer(answer[3 : end - 2])

    def _exception(self, answer: bytes) -> ModbusError:
        slave, code = answer[0], answer[2]
        if crc16(answer[:3]) != answer[3:5]:
            return ModbusError(ModbusFault.CRC, f"CRC wrong in {answer.hex(' ')}")
        if self.request.slave not in (slave, 255):
            return ModbusError(ModbusFault.ADDRESS, f"exception from slave {slave}, asked {self.request.slave}")
        return ModbusError(ModbusFault.EXCEPTION, f"slave {slave} refuses with exception {code}", code)
