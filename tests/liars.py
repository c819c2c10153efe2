"""Cards that lie: a card behind which somebody alters, cuts, repeats and mixes what it answers, and what it hears.

Drawn by a seed, so that each stream can be played again. ``Tape`` is what a thief has recorded of genuine exchanges.
"""

from __future__ import annotations

import random
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any

from config.errors import GatepostError

STATUSES = tuple(map(bytes.fromhex, ("9000", "9100", "91AF", "91AE", "9140", "91AD", "6A82", "6982", "6D00")))
MAX_APDUS = 200
"""No exchange of ours asks as much."""


@dataclass
class Tape:
    """Answers of genuine cards, by the instruction that they answered."""

    answers: dict[int, list[bytes]] = field(default_factory=dict)

    def note(self, command: bytes, answer: bytes) -> None:
        """A thief between card and reader hears this."""
        self.answers.setdefault(command[1], []).append(answer)


@dataclass
class Recorded:
    """A card whose exchanges end up on a tape."""

    card: Any
    tape: Tape

    def apdu(self, command: bytes) -> bytes:
        """The card's own answer."""
        answer: bytes = self.card.apdu(command)
        self.tape.note(command, answer)
        return answer


@dataclass
class Liar:
    """``card`` as somebody in between makes it look.

    A share ``lies`` of the answers is altered, and a share ``deaf`` of the commands reaches it altered or not at all.
    """

    card: Any
    rng: random.Random
    tape: Tape = field(default_factory=Tape)
    lies: float = 0.3
    deaf: float = 0.0
    _last: bytes = b"\x90\x00"

    def apdu(self, command: bytes) -> bytes:
        """What the reader gets to hear."""
        rng = self.rng
        if rng.random() < self.deaf:
            if rng.random() < 0.5:
                return self._last if rng.random() < 0.5 else rng.choice(STATUSES)
            command = altered(command, rng)
        answer: bytes = self.card.apdu(command)
        if rng.random() < self.lies:
            answer = self._lie(command, answer)
        self._last = answer
        return answer

    def _lie(self, command: bytes, answer: bytes) -> bytes:
        rng = self.rng
        match rng.randrange(7):
            case 0:
                return rng.randbytes(rng.choice((0, 1, 2, 8, 16, 18, 32, 34, 58, 200)))
            case 1:
                return self._last
            case 2:
                return answer[:-2] + rng.choice(STATUSES)
            case 3:
                heard = self.tape.answers.get(command[1] if len(command) > 1 else 0, [])
                return rng.choice(heard) if heard else rng.choice(STATUSES)
            case 4:
                return rng.randbytes(rng.choice((16, 32))) + rng.choice((b"\x91\xaf", b"\x91\x00"))
            case _:
                return altered(answer, rng)


def altered(data: bytes, rng: random.Random) -> bytes:
    """Cut, longer, or with a byte changed."""
    match rng.randrange(3):
        case 0:
            return data[: rng.randrange(len(data) + 1)]
        case 1:
            at = rng.randrange(len(data) + 1)
            return data[:at] + rng.randbytes(rng.randrange(1, 20)) + data[at:]
        case _:
            at = rng.randrange(len(data)) if data else 0
            return data[:at] + bytes((rng.randrange(256),)) + data[at + 1 :]


def carried(exchange: Generator[bytes, bytes, Any], card: Any) -> Any:
    """Carry an exchange to a card: its result, or the GatepostError that ended it; any other exception is a failure."""
    answer: bytes | None = None
    try:
        for _ in range(MAX_APDUS):
            answer = card.apdu(next(exchange) if answer is None else exchange.send(answer))
    except StopIteration as end:
        return end.value
    except GatepostError as error:
        return error
    raise AssertionError("an endless exchange")
