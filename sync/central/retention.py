"""What the central forgets, and when: payloads by class, then records, and what was derived from them.

A payload's body and salt go, its digest stays, so the chain verifies on. When whole records go, the ledger's *base*
moves up: the last forgotten seq and its hash, from which a later walk begins. Retentions are those of
``docs/data-map.md``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, and_, delete, func, or_, select, update

from kiosk.records import PayloadClass
from sync.central.tables import (
    Alert,
    AlertNotice,
    Audit,
    Batch,
    EnrolmentCode,
    Ledger,
    OrderedStatus,
    Passage,
    Phone,
    PhoneCode,
    Quarantined,
    StoredPayload,
    StoredRecord,
    table,
)

ledger, records, payloads = table(Ledger), table(StoredRecord), table(StoredPayload)
passages, quarantine, batches = table(Passage), table(Quarantined), table(Batch)
alerts, notices, audit, codes = table(Alert), table(AlertNotice), table(Audit), table(EnrolmentCode)
phones, phone_codes, status_orders = table(Phone), table(PhoneCode), table(OrderedStatus)

DAY_US = 86_400_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """How many days after receipt each thing is kept."""

    health_days: int = 3
    person_days: int = 30
    record_days: int = 30
    log_days: int = 90
    audit_days: int = 180
    phone_days: int = 180
    order_days: int = 14


def forget(connection: Connection, now_us: int, keep: Retention) -> dict[str, int]:
    """Forget what is past its retention; returns how many rows of each kind. One transaction, all or nothing."""
    done = {
        "health": _erase(connection, PayloadClass.HEALTH, now_us - keep.health_days * DAY_US),
        "person": _erase(connection, PayloadClass.PERSON, now_us - keep.person_days * DAY_US),
        "records": _forget_records(connection, now_us - keep.record_days * DAY_US),
    }
    for name, target, column, days in (
        ("batches", batches, batches.c.received_us, keep.log_days),
        ("audit", audit, audit.c.at_us, keep.audit_days),
        ("codes", codes, codes.c.expires_us, 1),
        ("status orders", status_orders, status_orders.c.until_us, keep.order_days),
        ("phone codes", phone_codes, phone_codes.c.expires_us, 1),
        ("phones revoked", phones, phones.c.revoked_us, keep.person_days),
        ("phones unused", phones, phones.c.last_code_us, keep.phone_days),
    ):
        done[name] = connection.execute(delete(target).where(column < now_us - days * DAY_US)).rowcount
    done["quarantine"] = _forget_set_aside(connection, now_us - keep.record_days * DAY_US)
    closed = delete(alerts).where(alerts.c.closed_us.is_not(None), alerts.c.last_us < now_us - keep.log_days * DAY_US)
    done["alerts"] = connection.execute(closed).rowcount
    # With the alerts themselves: SQLite gives their numbers out again.
    connection.execute(delete(notices).where(notices.c.alert_id.not_in(select(alerts.c.alert_id))))
    return done


def _last_before(connection: Connection, before_us: int) -> int:
    """The highest receive_id of a record received before ``before_us``; 0 for none.

    Numbers are given out in commit order, so they rise with the time of receipt and a binary search finds the place.
    """
    low, high = 0, connection.execute(select(func.max(records.c.receive_id))).scalar() or 0
    while low < high:
        middle = (low + high + 1) // 2
        row = connection.execute(
            select(records.c.receive_id, records.c.received_us)
            .where(records.c.receive_id >= middle)
            .order_by(records.c.receive_id)
            .limit(1)
        ).first()
        if row is not None and row.received_us < before_us:
            low = row.receive_id
        else:
            high = middle - 1
    return low


def _erase(connection: Connection, cls: PayloadClass, before_us: int) -> int:
    last = _last_before(connection, before_us)
    erased = connection.execute(
        update(payloads)
        .where(
            payloads.c.payload_class == str(cls),
            payloads.c.receive_id <= last,
            or_(payloads.c.body.is_not(None), payloads.c.salt.is_not(None)),
        )
        .values(body=None, salt=None)
    )
    return erased.rowcount


def _forget_records(connection: Connection, before_us: int) -> int:
    last = _last_before(connection, before_us)
    if last == 0:
        return 0
    chain = (records.c.kiosk_id, records.c.incarnation, records.c.stream)
    newest = select(*chain, func.max(records.c.seq).label("seq")).where(records.c.receive_id <= last).group_by(*chain)
    for row in connection.execute(newest).all():
        here = _of(records, row)
        link = connection.execute(select(records.c.hash).where(here, records.c.seq == row.seq)).scalar_one()
        connection.execute(
            update(ledger).where(_of(ledger, row), ledger.c.base_seq < row.seq).values(base_seq=row.seq, base_head=link)
        )
    connection.execute(delete(payloads).where(payloads.c.receive_id <= last))
    connection.execute(delete(passages).where(passages.c.receive_id <= last))
    return connection.execute(delete(records).where(records.c.receive_id <= last)).rowcount


def _forget_set_aside(connection: Connection, before_us: int) -> int:
    """Forks by age; what stands in for a record of a chain only once the chain's base has passed it."""
    passed = (
        select(ledger.c.base_seq)
        .where(_of(ledger, quarantine.c), ledger.c.base_seq >= quarantine.c.seq)
        .correlate(quarantine)
        .exists()
    )
    old = quarantine.c.received_us < before_us
    return connection.execute(delete(quarantine).where(old, or_(quarantine.c.reason == "fork", passed))).rowcount


def _of(target: Any, row: Any) -> Any:
    return and_(
        target.c.kiosk_id == row.kiosk_id, target.c.incarnation == row.incarnation, target.c.stream == row.stream
    )
