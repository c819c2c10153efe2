"""Where each card was let in or out last: anti-passback, and one card at two gates faster than anybody walks. Pure.

A card that went in and comes in again without having gone out was handed back over the fence, or its holder left by
another way; so by itself it is no more than a remark (``soft``). It refuses (``hard``) only where the lane saw that the
holder really passed, and :func:`kiosk.policy_fit.check_passback` has made sure that the way out is read, too.

Who is meant is the keyed pseudonym of the holder. Time is the machine's monotonic clock, so a wrong wall clock changes
nothing. After a restart the journal tells it all again (``kiosk/movement_replay.py``); what it cannot tell is unknown,
which lets people in and never keeps anybody out.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace

from config.policy import CardRules, Passback
from kiosk.evidence import PassFinding
from kiosk.reasons import Direction, Passed, Reason, Remark

MAX_HOLDERS = 50_000
SETTLED = ""
"""In place of a gate: what other gates told of the holder until then, a guard has dealt with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Movement:
    """One admission of a card's holder. ``passed`` is what the passage contact said of it since.

    ``before`` is the movement that it followed: it counts again where the holder turned back at the gate.
    """

    place: str
    direction: Direction
    passage: str
    mono_ns: int
    passed: Passed = Passed.UNKNOWN
    before: Movement | None = None


class Movements:
    """The last movement of each holder at this kiosk, and the last admission that other gates told of.

    ``name_of`` turns a pseudonym into the keyed name under which the gates of a site speak of a holder.
    """

    def __init__(self, name_of: Callable[[str], bytes] = str.encode, *, max_holders: int = MAX_HOLDERS) -> None:
        self.name_of = name_of
        self._max_holders = max_holders
        self._last: OrderedDict[str, Movement] = OrderedDict()
        self._elsewhere: OrderedDict[bytes, tuple[str, int]] = OrderedDict()
        self._holder_of: dict[str, str] = {}

    def __len__(self) -> int:
        return len(self._last)

    def judge(
        self,
        finding: PassFinding,
        *,
        place: str,
        direction: Direction,
        passback: Passback,
        rules: CardRules,
        mono_ns: int,
    ) -> PassFinding:
        """The finding of a genuine pass with what its movements say of it: remarks, or the refusal of a hard rule.

        Leaving is never judged. ``passback`` is the rule of the holder's category.
        """
        if finding.refusal is not None or not finding.subject or direction is Direction.OUT:
            return finding
        remarks = finding.remarks
        other = self._elsewhere.get(self.name_of(finding.subject))
        walked = other is None or not 0 <= mono_ns - other[1] < rules.walk_s * 1_000_000_000
        if other is not None and other[0] not in (SETTLED, place) and not walked:
            remarks = (*remarks, Remark.TWO_GATES)
        last = self._last.get(finding.subject)
        if passback is not Passback.OFF and last is not None and _inside(last, rules, mono_ns):
            if passback is Passback.HARD and last.passed is Passed.YES:
                return replace(finding, refusal=Reason.PASSED_BACK, remarks=remarks)
            remarks = (*remarks, Remark.PASSED_BACK)
        return replace(finding, remarks=remarks)

    def admitted(self, subject: str, movement: Movement) -> None:
        """The holder was let in, or out."""
        if not subject:
            return
        before = self._last.pop(subject, None)
        if before is not None:
            self._holder_of.pop(before.passage, None)
            movement = replace(movement, before=replace(before, before=None))
        self._last[subject] = movement
        self._holder_of[movement.passage] = subject
        if len(self._last) > self._max_holders:
            _, oldest = self._last.popitem(last=False)
            self._holder_of.pop(oldest.passage, None)

    def closed(self, passage: str, passed: Passed) -> None:
        """The passage contact told whether the holder went through."""
        subject = self._holder_of.get(passage)
        if subject is None:
            return
        movement = self._last[subject]
        if passed is not Passed.NO:
            self._last[subject] = replace(movement, passed=passed)
            return
        self._forget_movement(subject)
        if movement.before is not None:
            self._last[subject] = movement.before

    def heard(self, name: bytes, place: str, mono_ns: int) -> None:
        """Another gate let this holder in, at a moment of this machine's clock."""
        known = self._elsewhere.pop(name, None)
        if known is not None and known[1] > mono_ns:
            place, mono_ns = known
        self._elsewhere[name] = (place, mono_ns)
        if len(self._elsewhere) > self._max_holders:
            self._elsewhere.popitem(last=False)

    def forget(self, subject: str, mono_ns: int | None) -> None:
        """A guard has dealt with this holder: the next tap is judged as if nothing were known.

        What other gates let in before ``mono_ns`` stays settled, also when they tell it again; None: not known when.
        """
        self._forget_movement(subject)
        self._elsewhere.pop(self.name_of(subject), None)
        if mono_ns is not None:
            self.heard(self.name_of(subject), SETTLED, mono_ns)

    def forget_all(self) -> None:
        """An emergency: people left by every way there is, so nobody's place is known any more."""
        self._last.clear()
        self._holder_of.clear()

    def _forget_movement(self, subject: str) -> None:
        movement = self._last.pop(subject, None)
        if movement is not None:
            self._holder_of.pop(movement.passage, None)


def _inside(last: Movement, rules: CardRules, mono_ns: int) -> bool:
    recent = mono_ns - last.mono_ns < rules.inside_min * 60 * 1_000_000_000
    return last.direction is Direction.IN and recent
