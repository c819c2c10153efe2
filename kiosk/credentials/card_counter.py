"""The rule over a rolling code's counter, at one kiosk and between kiosks. Pure.

A kiosk keeps, per card, the highest counter that it has *accepted*. A code is accepted only above it, so that a
copied code is worth nothing once the card itself was here; a refused code moves nothing. What the rule cannot see:
codes that somebody collected from the card ahead, which are above it, too (pre-play; only ``ev2`` stops that).

Between kiosks that could not talk, one code may be accepted at each. After they have, a counter that was used at one
kiosk *after* a higher one was used at another shows that the card, or its codes, exist twice.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

COUNTER_MAX = 0xFFFFFF
JUMP = 500


class CounterFlag(StrEnum):
    """What a guard or an admin should know of an accepted code."""

    COUNTER_JUMP = "counter_jump"
    """Over 500 readings since the last tap here: a phone may have read the card, or somebody collected codes."""
    COUNTER_EXHAUSTED = "counter_exhausted"
    """The last value there is: the card must be replaced."""


@dataclass(frozen=True, slots=True)
class CounterVerdict:
    """Whether the code is new; with what remark."""

    accepted: bool
    flag: CounterFlag | None = None


def judge_counter(read_ctr: int, last_accepted: int) -> CounterVerdict:
    """``read_ctr`` of a code with a right MAC (0 to 16777215) against the last accepted one here (0 for none)."""
    if read_ctr <= last_accepted:
        return CounterVerdict(accepted=False)
    if read_ctr >= COUNTER_MAX:
        return CounterVerdict(accepted=True, flag=CounterFlag.COUNTER_EXHAUSTED)
    jumped = last_accepted > 0 and read_ctr - last_accepted > JUMP
    return CounterVerdict(accepted=True, flag=CounterFlag.COUNTER_JUMP if jumped else None)


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptedCode:
    """One accepted code; ``card`` is the keyed hash of the card, ``at_us`` its instant in UTC microseconds."""

    card: bytes
    kiosk: str
    read_ctr: int
    at_us: int


@dataclass(frozen=True, slots=True)
class CounterConflict:
    """``later`` was used after ``earlier`` although its counter is not higher: the card's codes exist twice."""

    earlier: AcceptedCode
    later: AcceptedCode


def conflicts(codes: Iterable[AcceptedCode], *, clock_tolerance_us: int = 0) -> list[CounterConflict]:
    """Impossible orders among codes of any kiosks, one at most for each later code.

    Codes of different kiosks that lie within ``clock_tolerance_us`` of each other count as in order, because their
    clocks may be apart; the same counter twice never is in order.
    """
    found: list[CounterConflict] = []
    highest: dict[bytes, list[AcceptedCode]] = {}
    for code in sorted(codes, key=lambda each: (each.at_us, each.read_ctr)):
        before = highest.setdefault(code.card, [])
        for earlier in before:
            apart = code.at_us - earlier.at_us > clock_tolerance_us or earlier.kiosk == code.kiosk
            if code.read_ctr == earlier.read_ctr or (code.read_ctr < earlier.read_ctr and apart):
                found.append(CounterConflict(earlier, code))
                break
        # The highest of each kiosk is all that later codes must be compared with.
        before[:] = [each for each in before if each.kiosk != code.kiosk or each.read_ctr > code.read_ctr] + [code]
    return found


def merged(registers: Iterable[dict[bytes, int]]) -> dict[bytes, int]:
    """The highest accepted counter of each card over all kiosks: what each of them keeps after a sync."""
    highest: dict[bytes, int] = {}
    for register in registers:
        for card, read_ctr in register.items():
            highest[card] = max(read_ctr, highest.get(card, 0))
    return highest
