"""The daily report: what the sixteen people in the office would otherwise count by hand."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, select

from kiosk.reasons import Direction
from kiosk.records import PayloadClass
from sync.central.duty import DutyDay
from sync.central.duty_signs import duty_of
from sync.central.tables import Passage, StoredPayload, table
from sync.central.two_gates import Entry, sooner_than_walking

passages, payloads = table(Passage), table(StoredPayload)

WEAK = "uid"
"""A card whose number is all it has, and which anybody can copy; ``ev2`` and ``sun`` prove themselves."""
CARDS = frozenset({WEAK, "sun", "ev2"})


@dataclass(frozen=True, slots=True, kw_only=True)
class GateDay:
    """One lane of one kiosk on one day."""

    kiosk_id: str
    lane: str
    passages: int
    admitted: int
    denied: int
    by_guard: int
    went_through: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DailyReport:
    """A day in numbers. ``hours`` has 24 entries of the site's local day; tables are (words, count), most first.

    ``doubtful`` passages have a time that the kiosk itself did not trust. ``median_ms`` and ``p95_ms`` are from
    credential to verdict, None without a passage. ``credentials`` are what admitted people showed, ``weak_percent`` is
    the share of cards with nothing but a number among them (None without a card), ``two_gates`` how often one holder
    was let in at two gates sooner than on foot, ``duty`` who had each gate's console when.
    """

    passages: int
    admitted: int
    denied: int
    doubtful: int
    gates: tuple[GateDay, ...]
    hours: tuple[int, ...]
    denial_reasons: tuple[tuple[str, int], ...]
    categories: tuple[tuple[str, int], ...]
    waived: tuple[tuple[str, int], ...]
    credentials: tuple[tuple[str, int], ...]
    weak_percent: int | None
    two_gates: tuple[tuple[str, int], ...]
    duty: tuple[DutyDay, ...]
    median_ms: int | None
    p95_ms: int | None


def daily_report(connection: Connection, zone: ZoneInfo, *, from_us: int, to_us: int) -> DailyReport:
    """Count the passages with ``from_us <= at_us < to_us``; reads them one by one, keeps only numbers."""
    hours = [0] * 24
    gates: dict[tuple[str, str], Counter[str]] = {}
    denials: Counter[str] = Counter()
    categories: Counter[str] = Counter()
    waived: Counter[str] = Counter()
    credentials: Counter[str] = Counter()
    took_ms: list[int] = []
    moments: dict[str, list[int]] = {}
    doubtful = 0
    for row in connection.execute(select(passages).where(passages.c.at_us >= from_us, passages.c.at_us < to_us)):
        gate = gates.setdefault((row.kiosk_id, row.lane), Counter())
        gate["passages"] += 1
        moments.setdefault(row.kiosk_id, []).append(row.at_us)
        gate["admitted"] += row.admit is True
        gate["denied"] += row.admit is False
        gate["by_guard"] += bool(row.overridden) or "guard" in row.reason
        gate["went_through"] += row.passed == "yes"
        hours[datetime.fromtimestamp(row.at_us // 1_000_000, zone).hour] += 1
        doubtful += row.clock_trust == "none"
        categories[row.category or "unknown"] += 1
        if row.admit is False:
            denials[row.reason or "unknown"] += 1
        elif row.credential:
            credentials[row.credential] += 1
        waived.update(name for name, state in _states(row.checks) if state == "waived")
        if row.credential_to_verdict_ms is not None:
            took_ms.append(row.credential_to_verdict_ms)
    took_ms.sort()
    return DailyReport(
        passages=sum(gate["passages"] for gate in gates.values()),
        admitted=sum(gate["admitted"] for gate in gates.values()),
        denied=sum(gate["denied"] for gate in gates.values()),
        doubtful=doubtful,
        gates=tuple(_gate_day(kiosk_id, lane, gate) for (kiosk_id, lane), gate in sorted(gates.items())),
        hours=tuple(hours),
        denial_reasons=tuple(denials.most_common()),
        categories=tuple(categories.most_common()),
        waived=tuple(waived.most_common()),
        credentials=tuple(credentials.most_common()),
        weak_percent=_weak_percent(credentials),
        two_gates=tuple(
            (" / ".join(pair), count)
            for pair, count in sooner_than_walking(_entries(connection, from_us, to_us)).most_common()
        ),
        duty=duty_of(connection, moments, from_us=from_us, to_us=to_us),
        median_ms=_quantile(took_ms, 0.5),
        p95_ms=_quantile(took_ms, 0.95),
    )


def _gate_day(kiosk_id: str, lane: str, counts: Counter[str]) -> GateDay:
    return GateDay(
        kiosk_id=kiosk_id,
        lane=lane,
        passages=counts["passages"],
        admitted=counts["admitted"],
        denied=counts["denied"],
        by_guard=counts["by_guard"],
        went_through=counts["went_through"],
    )


def _weak_percent(credentials: Counter[str]) -> int | None:
    cards = sum(count for name, count in credentials.items() if name in CARDS)
    return round(100 * credentials[WEAK] / cards) if cards else None


def _entries(connection: Connection, from_us: int, to_us: int) -> Iterator[Entry]:
    """Who was let in where; of a passage whose time nobody trusts, or whose person is erased, nothing is said."""
    statement = (
        select(passages.c.place, passages.c.at_us, payloads.c.body)
        .join(payloads, payloads.c.receive_id == passages.c.receive_id)
        .where(passages.c.at_us >= from_us, passages.c.at_us < to_us, passages.c.admit.is_(True))
        .where(passages.c.direction == str(Direction.IN), passages.c.clock_trust != "none")
        .where(payloads.c.payload_class == str(PayloadClass.PERSON), payloads.c.body.is_not(None))
    )
    for place, at_us, body in connection.execute(statement):
        try:
            subject = json.loads(body)["subject"]
        except (ValueError, TypeError, KeyError):
            continue
        if isinstance(subject, str) and subject and place:
            yield Entry(subject, place, at_us)


def _states(checks: str) -> list[tuple[str, Any]]:
    try:
        return list(json.loads(checks).items())
    except (ValueError, AttributeError):
        return []


def _quantile(ordered: list[int], share: float) -> int | None:
    """The value that ``share`` of the ordered values do not exceed (nearest rank)."""
    if not ordered:
        return None
    return ordered[max(0, -(-int(share * 1000) * len(ordered) // 1000) - 1)]
