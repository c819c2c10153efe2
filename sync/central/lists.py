"""What the admin pages and the status endpoint show: kiosks, chains, sync log, passages, quarantine, alerts."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, and_, func, select

from sync.central.tables import Alert, Batch, Fork, Gap, Kiosk, Ledger, Passage, Quarantined, table

kiosks, ledger, batches = table(Kiosk), table(Ledger), table(Batch)
passages, quarantine, forks = table(Passage), table(Quarantined), table(Fork)
gaps, alerts = table(Gap), table(Alert)

PAGE_ROWS = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainStatus:
    """One chain: ``hi`` stored without a hole of ours, ``claimed_last`` as the kiosk last said.

    ``gone`` counts records that the kiosk declared lost, ``set_aside`` those in quarantine.
    """

    incarnation: str
    stream: str
    hi: int
    claimed_last: int
    head: str
    records: int
    gone: int
    set_aside: int
    forks: int
    last_us: int

    @property
    def missing(self) -> int:
        """Records that the kiosk has and the central has not (yet)."""
        return max(0, self.claimed_last - self.hi)


@dataclass(frozen=True, slots=True, kw_only=True)
class KioskStatus:
    """One kiosk, as ``GET /v1/kiosks/status`` and the kiosks page show it. Times are microseconds."""

    kiosk_id: str
    state: str
    fingerprint: str
    enrolled_us: int
    last_seen_us: int | None
    silent_s: int | None
    clock_trust: str
    offset_us: int | None
    offset_error_us: int | None
    backlog: int
    software: str
    held: dict[str, str]
    alarms: str
    chains: tuple[ChainStatus, ...]


def kiosk_statuses(connection: Connection, now_us: int) -> list[KioskStatus]:
    """Every kiosk with its chains, by name."""
    chains = _chains(connection)
    return [
        KioskStatus(
            kiosk_id=row.kiosk_id,
            state=row.state,
            fingerprint=row.fingerprint,
            enrolled_us=row.enrolled_us,
            last_seen_us=row.last_seen_us,
            silent_s=None if row.last_seen_us is None else max(0, (now_us - row.last_seen_us) // 1_000_000),
            clock_trust=row.clock_trust,
            offset_us=row.offset_us,
            offset_error_us=row.offset_error_us,
            backlog=row.backlog,
            software=row.software,
            held=json.loads(row.held),
            alarms=row.alarms,
            chains=tuple(chains.get(row.kiosk_id, ())),
        )
        for row in connection.execute(select(kiosks).order_by(kiosks.c.kiosk_id))
    ]


def _chains(connection: Connection) -> dict[str, list[ChainStatus]]:
    gone = _count_by_chain(connection, gaps, func.sum(gaps.c.last_seq - gaps.c.first_seq + 1))
    set_aside = _count_by_chain(connection, quarantine, func.count())
    found: dict[str, list[ChainStatus]] = {}
    for row in connection.execute(select(ledger).order_by(ledger.c.kiosk_id, ledger.c.first_us, ledger.c.stream)):
        key = (row.kiosk_id, row.incarnation, row.stream)
        found.setdefault(row.kiosk_id, []).append(
            ChainStatus(
                incarnation=row.incarnation,
                stream=row.stream,
                hi=row.hi,
                claimed_last=max(row.claimed_last, row.hi),
                head=bytes(row.head).hex(),
                records=row.records,
                gone=gone.get(key, 0),
                set_aside=set_aside.get(key, 0),
                forks=row.forks,
                last_us=row.last_us,
            )
        )
    return found


def _count_by_chain(connection: Connection, target: Any, what: Any) -> dict[tuple[str, str, str], int]:
    columns = (target.c.kiosk_id, target.c.incarnation, target.c.stream)
    rows = connection.execute(select(*columns, what.label("n")).group_by(*columns))
    return {(row[0], row[1], row[2]): int(row[3]) for row in rows}


def sync_log(connection: Connection, *, kiosk_id: str, result: str, before: int | None) -> list[Any]:
    """Batches, newest first, 50 from below ``before``."""
    statement = select(batches).order_by(batches.c.batch_id.desc()).limit(PAGE_ROWS)
    if kiosk_id:
        statement = statement.where(batches.c.kiosk_id == kiosk_id)
    if result:
        statement = statement.where(batches.c.result == result)
    if before is not None:
        statement = statement.where(batches.c.batch_id < before)
    return list(connection.execute(statement).all())


@dataclass(frozen=True, slots=True, kw_only=True)
class PassageFilter:
    """What the passages page asks for; empty means any. ``verdict`` is admit or deny."""

    kiosk_id: str = ""
    lane: str = ""
    verdict: str = ""
    reason: str = ""
    category: str = ""
    from_us: int | None = None
    to_us: int | None = None
    before: int | None = None


def find_passages(connection: Connection, wanted: PassageFilter) -> list[Any]:
    """Passages, newest received first, 50 from below ``before``."""
    conditions = []
    for name in ("kiosk_id", "lane", "reason", "category"):
        if value := getattr(wanted, name):
            conditions.append(passages.c[name] == value)
    if wanted.verdict in ("admit", "deny"):
        conditions.append(passages.c.admit.is_(wanted.verdict == "admit"))
    if wanted.from_us is not None:
        conditions.append(passages.c.at_us >= wanted.from_us)
    if wanted.to_us is not None:
        conditions.append(passages.c.at_us < wanted.to_us)
    if wanted.before is not None:
        conditions.append(passages.c.receive_id < wanted.before)
    statement = select(passages).where(and_(True, *conditions)).order_by(passages.c.receive_id.desc())
    return list(connection.execute(statement.limit(PAGE_ROWS)).all())


def distinct_kiosks(connection: Connection) -> list[str]:
    """Kiosk ids for a filter's list."""
    return list(connection.execute(select(kiosks.c.kiosk_id).order_by(kiosks.c.kiosk_id)).scalars())


def open_alerts(connection: Connection, limit: int = 100) -> list[Any]:
    """Alerts that nobody closed, the latest first."""
    return list(
        connection.execute(
            select(alerts).where(alerts.c.closed_us.is_(None)).order_by(alerts.c.last_us.desc()).limit(limit)
        ).all()
    )


def count_open_alerts(connection: Connection) -> int:
    """How many alerts nobody closed."""
    return int(connection.execute(select(func.count()).where(alerts.c.closed_us.is_(None))).scalar_one())


def quarantined(connection: Connection, before: int | None) -> list[Any]:
    """Records in quarantine, newest first, 50 from below ``before``."""
    statement = select(quarantine).order_by(quarantine.c.quarantine_id.desc()).limit(PAGE_ROWS)
    if before is not None:
        statement = statement.where(quarantine.c.quarantine_id < before)
    return list(connection.execute(statement).all())


def all_forks(connection: Connection) -> list[Any]:
    """Every fork ever seen, the latest first."""
    return list(connection.execute(select(forks).order_by(forks.c.last_seen_us.desc()).limit(PAGE_ROWS)).all())
