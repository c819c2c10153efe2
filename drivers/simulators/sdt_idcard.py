"""A resident-ID-card module: an invented card is found once, selected, read, and must leave before the next."""

from __future__ import annotations

from typing import Any

from drivers.cards.sdt_idcard import DONE, FOUND, NO_CARD, PREAMBLE, TEXT_BYTES, xor_of
from drivers.simulators.registry import Spec

ANSWER_NS = 15_000_000
READ_NS = 400_000_000
SELECT_FAILED, READ_FAILED = 0x81, 0x41
_FIELDS = (
    *(("name", 30), ("sex", 2), ("nation", 4), ("birth", 16), ("address", 70), ("id_number", 36), ("issuer", 30)),
    *(("valid_from", 16), ("valid_to", 16), ("", 36)),
)


def answer(status: int, data: bytes = b"") -> bytes:
    """A whole frame of the module."""
    body = (4 + len(data)).to_bytes(2) + bytes((0, 0, status)) + data
    return PREAMBLE + body + bytes((xor_of(body),))


def text_of(fields: dict[str, str]) -> bytes:
    """The 256 bytes of a resident's card. Raises ValueError for a field that does not fit."""
    text = b""
    for name, length in _FIELDS:
        value = fields.get(name, "").encode("utf-16-le")
        if len(value) > length:
            raise ValueError(f"{name} has more than {length // 2} characters")
        text += value + " ".encode("utf-16-le") * ((length - len(value)) // 2)
    return text


class SdtPlayer:
    """The module; ``lay`` puts a card on it, ``lift`` takes it away."""

    def __init__(self) -> None:
        self._buffer = b""
        self._card: bytes | None = None
        self._given = False
        self._selected = False
        self._answers: list[tuple[int, bytes]] = []

    def received(self, data: bytes, at_ns: int) -> list[bytes]:
        """Whole commands are answered; anything else costs one byte."""
        self._buffer += data
        while (start := self._buffer.find(PREAMBLE)) >= 0:
            self._buffer = self._buffer[start:]
            length = int.from_bytes(self._buffer[5:7])
            if len(self._buffer) < 7 or len(self._buffer) < 7 + length <= 40:
                break
            body = self._buffer[5 : 7 + length]
            if length > 33 or xor_of(body):
                self._buffer = self._buffer[1:]
                continue
            self._buffer = self._buffer[7 + length :]
            self._answers.append(self._answered(body[2:-1], at_ns))
        self._buffer = self._buffer[-64:]  # a command has ten bytes; noise must not pile up
        return []

    def due_ns(self) -> int | None:
        """When the next answer is ready."""
        return self._answers[0][0] if self._answers else None

    def due(self, at_ns: int) -> list[bytes]:
        """The answers that are ready by now."""
        ready = [data for when, data in self._answers if when <= at_ns]
        self._answers = [entry for entry in self._answers if entry[0] > at_ns]
        return ready

    def command(self, line: dict[str, Any]) -> dict[str, Any]:
        """``{"do": "lay", "name": .., "id_number": .., ...}`` or ``{"do": "lift"}``."""
        match line.get("do"):
            case "lay":
                text = text_of({name: str(value) for name, value in line.items()})
                lengths = TEXT_BYTES.to_bytes(2) + (1024).to_bytes(2)
                self._card, self._given = lengths + text + bytes(1024), False
            case "lift":
                self._card = None
            case "power_on":
                self._buffer, self._given, self._selected = b"", False, False
                self._answers.clear()
            case other:
                raise ValueError(f"an ID-card module cannot {other!r}; it knows lay, lift and power_on")
        return {}

    def _answered(self, payload: bytes, at_ns: int) -> tuple[int, bytes]:
        soon = at_ns + ANSWER_NS
        match payload:
            case b"\x12\xff":
                return soon, answer(DONE, bytes(16))
            case b"\x20\x01":
                self._selected = False
                there = self._card is not None and not self._given
                return soon, answer(FOUND, bytes(4)) if there else answer(NO_CARD)
            case b"\x20\x02":
                self._selected = self._card is not None
                return soon, answer(DONE, bytes(8)) if self._selected else answer(SELECT_FAILED)
            case b"\x30\x01":
                if self._card is None or not self._selected:
                    return soon, answer(READ_FAILED)
                self._given = True
                return at_ns + READ_NS, answer(DONE, self._card)
            case _:
                return soon, answer(0x21)


def player(spec: Spec) -> SdtPlayer:
    """A module without options."""
    return SdtPlayer()
