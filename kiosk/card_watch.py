"""What the cards of a whole kiosk tell together: movements from lane to lane, and too many refused ones. Pure.

One card alone is the verifier's; this stands behind it (``kiosk/capture.py`` asks both) and adds remarks, a refusal of
the hard anti-passback, and alarms.
"""

from __future__ import annotations

from collections.abc import Iterable

from kiosk.credentials.movements import Movement, Movements
from kiosk.credentials.refused_cards import RefusedCards
from kiosk.evidence import PassFinding
from kiosk.movement_replay import replay
from kiosk.neighbours import Fact, FactKind, HeardFact, keyed
from kiosk.passage_events import Announce, Draft, Effect, LaneSetup, Now, PassageClosed, RaiseAlarm, Remember
from kiosk.passage_record import STREAM_OF, facts_only
from kiosk.reasons import Direction, Remark
from kiosk.records import Kind, Record

#: Alarms of a lane after which nobody knows who is inside.
_EVERYBODY_LEAVES = frozenset({"emergency_open", "fire"})


class CardWatch:
    """For one kiosk. ``key`` is the one under which the gates of a site speak of holders (32 bytes)."""

    def __init__(self, key: bytes = b"") -> None:
        self._key = key
        self._movements = self._none_known()
        self._refused: dict[str, RefusedCards] = {}

    def _none_known(self) -> Movements:
        return Movements(lambda subject: keyed(self._key, "holder", subject))

    def recall(self, passages: Iterable[Record], alarms: Iterable[Record], now: Now, *, since_ns: int) -> int:
        """Know again what these records of the journal tell, see :func:`kiosk.movement_replay.replay`.

        How many holders' places are known. Where it raises, nothing is known of anybody.
        """
        movements = self._none_known()
        replay(movements, passages, alarms, now, since_ns=since_ns)
        self._movements = movements
        return len(movements)

    def judged(self, finding: PassFinding, setup: LaneSetup, now: Now) -> tuple[PassFinding, tuple[Effect, ...]]:
        """The verifier's finding with what all lanes know of its holder, and the alarms that it raises."""
        policy = setup.policy
        category = policy.category_named(finding.category)
        if category is not None:
            finding = self._movements.judge(
                finding,
                place=setup.place,
                direction=setup.direction,
                passback=category.passback,
                rules=policy.cards,
                mono_ns=now.mono_ns,
            )
        alarms: list[Effect] = []
        if Remark.TWO_GATES in finding.remarks:
            alarms += _alarm("card_at_two_gates", setup, now)
        refused = self._refused.setdefault(setup.lane, RefusedCards())
        if refused.note(finding.refusal, policy.cards, now.mono_ns):
            alarms += _alarm("illegal_cards", setup, now)
        return finding, tuple(alarms)

    def followed(self, effect: Effect, finding: PassFinding | None, setup: LaneSetup, now: Now) -> Fact | None:
        """An effect of a lane was carried out; ``finding`` is the pass of the lane's last verdict, if it had one.

        What the neighbours should hear of it, if anything.
        """
        match effect:
            case Announce(verdict=verdict, passage=passage) if verdict.admit and finding is not None:
                if effect.by_guard:
                    self._movements.forget(finding.subject, now.mono_ns)
                elif finding.refusal is None:
                    movement = Movement(
                        place=setup.place, direction=setup.direction, passage=passage, mono_ns=now.mono_ns
                    )
                    self._movements.admitted(finding.subject, movement)
                    return self._told(finding.subject, setup, now)
            case PassageClosed(passage=passage, passed=passed):
                self._movements.closed(passage, passed)
            case RaiseAlarm(code=code) if code in _EVERYBODY_LEAVES:
                self._movements.forget_all()
            case _:
                pass
        return None

    def heard(self, facts: Iterable[HeardFact]) -> None:
        """Other gates let these in; holders are this one's business."""
        for heard in facts:
            if heard.fact.kind is FactKind.HOLDER:
                self._movements.heard(heard.fact.what, heard.fact.place, heard.fact.mono_ns)

    def _told(self, subject: str, setup: LaneSetup, now: Now) -> Fact | None:
        if not subject or setup.direction is Direction.OUT:
            return None
        what = self._movements.name_of(subject)
        return Fact(kind=FactKind.HOLDER, what=what, place=setup.place, mono_ns=now.mono_ns)


def _alarm(code: str, setup: LaneSetup, now: Now) -> tuple[Effect, Effect]:
    draft = Draft(
        stream=STREAM_OF[Kind.ALARM],
        kind=Kind.ALARM,
        lane=setup.lane,
        ref="",
        at=now,
        payloads=dict(facts_only(code=code, detail=setup.lane)),
    )
    return Remember(draft=draft), RaiseAlarm(code=code, detail=setup.lane)
