"""Reads what the kiosks told of a day that says who was on duty: ``sync/central/duty.py`` makes the day of it."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Any

from sqlalchemy import Connection, Select, and_, func, select, text

from kiosk.records import Kind, PayloadClass
from sync.central.duty import SHIFT_US, DutyDay, Post, Shift, Signs, duty_day
from sync.central.tables import DUTY_RECORDS, Kiosk, Passage, StoredPayload, StoredRecord, table

records, payloads, passages, kiosks = table(StoredRecord), table(StoredPayload), table(Passage), table(Kiosk)

NEAR_US = 24 * 3600 * 1_000_000
"""How far around the day a gate's last and next sign are looked for."""


def duty_of(connection: Connection, moments: dict[str, list[int]], *, from_us: int, to_us: int) -> tuple[DutyDay, ...]:
    """The day of each kiosk that let hear anything; ``moments`` are those of its passages within the day."""
    signs: dict[str, Signs] = defaultdict(Signs)
    for kiosk_id, kind, at_us, body in connection.execute(duty_records(from_us=from_us, to_us=to_us)):
        if kind == str(Kind.BOOT):
            signs[kiosk_id].boots_us.append(at_us)
            alive_us = (_object(body) or {}).get("alive_us")
            if type(alive_us) is int and alive_us < at_us:
                signs[kiosk_id].alive_us.append(alive_us)
        elif at_us >= from_us - SHIFT_US and (facts := _object(body)) is not None:
            signs[kiosk_id].shifts.append(Shift.of(at_us, facts))
    for kiosk_id, inside in moments.items():
        signs[kiosk_id].moments_us += inside
    for nearest, begin, end in ((func.max, from_us - NEAR_US, from_us), (func.min, to_us, to_us + NEAR_US)):
        statement = (
            select(passages.c.kiosk_id, nearest(passages.c.at_us))
            .where(passages.c.at_us >= begin, passages.c.at_us < end)
            .group_by(passages.c.kiosk_id)
        )
        for kiosk_id, at_us in connection.execute(statement):
            signs[kiosk_id].moments_us.append(at_us)
    for kiosk_id, seen_us in connection.execute(select(kiosks.c.kiosk_id, kiosks.c.last_seen_us)):
        if kiosk_id in signs:
            signs[kiosk_id].heard_us = seen_us or 0
    days = (duty_day(kiosk_id, found, from_us=from_us, to_us=to_us) for kiosk_id, found in sorted(signs.items()))
    return tuple(day for day in days if any(each.post is not Post.SILENT for each in day.stretches) or day.lock_outs)


def duty_records(*, from_us: int, to_us: int) -> Select[Any]:
    """Kiosk, kind, instant and facts of the shift and boot records of a day and of a day around it, in their order."""
    facts = and_(payloads.c.receive_id == records.c.receive_id, payloads.c.payload_class == str(PayloadClass.FACTS))
    return (
        select(records.c.kiosk_id, records.c.kind, records.c.at_us, payloads.c.body)
        .select_from(records.outerjoin(payloads, facts))
        .where(text(DUTY_RECORDS))
        .where(records.c.at_us >= from_us - NEAR_US, records.c.at_us < to_us + NEAR_US)
        .order_by(records.c.at_us, records.c.receive_id)
    )


def _object(body: str | None) -> dict[str, object] | None:
    try:
        found = json.loads(body or "")
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
