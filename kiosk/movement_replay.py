"""Where the cards are, told again from the journal's own records after a restart of the gate. Pure.

The same steps as :class:`kiosk.card_watch.CardWatch` takes while people pass, from what each left in the journal:

=================================================  ==================================================================
record                                             movement
=================================================  ==================================================================
``passage``, admitted by the rules                 the holder (class ``person``) went in or out
``passage``, admitted by a guard                   the guard dealt with this holder: nothing is known of them any more
``passed``                                         the contact saw them go through, or turn back
``emergency`` opened (button, fire contact)        nobody's place is known any more
alarm ``journal_failed`` of a passage              what became of it while it could not be written: opened or not
=================================================  ==================================================================

What the records do not say for certain is unknown, and unknown keeps nobody out: a passage whose payload is gone leaves
everybody's place unknown, a moment that cannot be placed on this boot's monotonic clock (another boot and a doubtful
clock, a time to come) that holder's, and an emergency that is not before a passage for certain counts as after it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from kiosk.credentials.movements import Movement, Movements
from kiosk.passage_events import Now
from kiosk.reasons import ClockTrust, Direction, Passed
from kiosk.records import Kind, PayloadClass, Record


def replay(
    movements: Movements, passages: Iterable[Record], alarms: Iterable[Record], now: Now, *, since_ns: int
) -> None:
    """Let ``movements``, new and empty, know what these records tell of the time from ``since_ns`` on.

    ``passages`` and ``alarms`` are records of one incarnation's passage and alarm stream, each in the order of its
    ``seq``. They begin before ``since_ns`` (what is older is unknown) and go to the end. Raises ValueError, TypeError
    or KeyError for a record that no gate wrote.
    """
    told = _Alarms.of(alarms, now)
    for record in passages:
        if record.kind is Kind.PASSAGE and told.before(record):
            _passage(movements, record, told, now, since_ns)
        elif record.kind is Kind.PASSED:
            facts = _body(record, PayloadClass.FACTS)
            if facts is None or facts.get("passed") not in set(Passed):
                movements.forget_all()
            else:
                movements.closed(record.ref, Passed(facts["passed"]))


def moment_ns(record: Record, now: Now) -> int | None:
    """When it was, on the monotonic clock of ``now``'s boot (below 0: before that boot); None where nobody knows."""
    if record.boot_id == now.boot_id:
        at_ns = record.mono_ns
    elif ClockTrust.NONE in (record.clock_trust, now.clock_trust):
        return None
    else:
        at_ns = now.mono_ns - (now.at_us - record.at_us) * 1000
    return at_ns if at_ns <= now.mono_ns else None


@dataclass(frozen=True, slots=True)
class _Alarms:
    """The last emergency of each boot, and which passages opened although the journal could not be written."""

    now: Now
    emergencies: Mapping[str, Record]
    opened: Mapping[str, bool]
    unreadable: bool

    @classmethod
    def of(cls, records: Iterable[Record], now: Now) -> _Alarms:
        emergencies: dict[str, Record] = {}
        opened: dict[str, bool] = {}
        unreadable = False
        for record in records:
            if record.kind not in (Kind.EMERGENCY, Kind.ALARM):
                continue
            facts = _body(record, PayloadClass.FACTS)
            if facts is None:
                unreadable = True
            elif record.kind is Kind.EMERGENCY and facts.get("open") is not False:
                emergencies[record.boot_id] = record
            elif facts.get("code") == "journal_failed":
                opened[str(facts.get("passage"))] = facts.get("opened") is True
        return cls(now, emergencies, opened, unreadable)

    def before(self, passage: Record) -> bool:
        """Whether every emergency was before this passage, for certain."""
        return not self.unreadable and all(self._after(passage, emergency) for emergency in self.emergencies.values())

    def _after(self, passage: Record, emergency: Record) -> bool:
        if passage.boot_id == emergency.boot_id:
            return passage.mono_ns > emergency.mono_ns
        if passage.boot_id == self.now.boot_id:
            return True  # no boot comes after this one
        if emergency.boot_id == self.now.boot_id or ClockTrust.NONE in (passage.clock_trust, emergency.clock_trust):
            return False
        return passage.at_us > emergency.at_us


def _passage(movements: Movements, record: Record, told: _Alarms, now: Now, since_ns: int) -> None:
    facts = _body(record, PayloadClass.FACTS)
    if facts is None:
        movements.forget_all()
        return
    if not told.opened.get(record.ref, facts.get("admit") is True):
        return
    if PayloadClass.PERSON not in record.payloads:
        return
    person = _body(record, PayloadClass.PERSON)
    if person is None or facts.get("direction") not in set(Direction):
        movements.forget_all()
        return
    subject = str(person.get("subject", ""))
    if not subject:
        return
    at_ns = moment_ns(record, now)
    if facts.get("guard") or at_ns is None or at_ns < since_ns:
        movements.forget(subject, at_ns)
    elif not facts.get("pass_refused"):
        movement = Movement(
            place=str(facts.get("place", "")),
            direction=Direction(facts["direction"]),
            passage=record.ref,
            mono_ns=at_ns,
        )
        movements.admitted(subject, movement)


def _body(record: Record, cls: PayloadClass) -> dict[str, Any] | None:
    payload = record.payloads.get(cls)
    return payload.body if payload is not None else None
