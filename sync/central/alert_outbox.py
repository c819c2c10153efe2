"""Which alerts are still to be sent by which channel, and who of several central processes sends them now. SQL only.

An alert is due for a channel while it is open and has no row in ``alert_notices``; raised anew after having been closed
it is a new alert with a number of its own. A sender *claims* a channel for a while (its row is the lock), sends, and
*settles*: the notices are written in the same transaction that frees the channel. A process that dies in between is
succeeded when its claim has run out; then, and only then, something may be sent a second time.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from sync.central.tables import Alert, AlertChannel, AlertNotice, table

alerts, channels, notices = table(Alert), table(AlertChannel), table(AlertNotice)

LEASE_US = 5 * 60 * 1_000_000
"""Longer than any attempt to send can take."""
REST_US = 60 * 1_000_000
"""At most one message a minute and channel: what comes meanwhile goes in the next."""
FIRST_RETRY_US = 60 * 1_000_000
MAX_RETRY_US = 3600 * 1_000_000
MAX_BUNDLE = 50
MAX_ERROR_CHARS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A channel that this process may send by, until its lease ends; ``more`` open alerts wait for the next message."""

    channel: str
    by: str
    alerts: tuple[Any, ...]
    more: int


def _waiting(channel: str) -> tuple[Any, Any]:
    sent = select(notices.c.alert_id).where(notices.c.alert_id == alerts.c.alert_id, notices.c.channel == channel)
    return alerts.c.closed_us.is_(None), ~sent.exists()


def is_due(connection: Connection, channel: str, now_us: int) -> bool:
    """Whether there is something to send and nobody is at it; cheap, since every process asks every few seconds."""
    row = connection.execute(select(channels).where(channels.c.channel == channel)).one_or_none()
    if row is not None and (row.next_us > now_us or row.lease_until_us > now_us):
        return False
    return connection.execute(select(alerts.c.alert_id).where(*_waiting(channel)).limit(1)).first() is not None


def claim(connection: Connection, channel: str, now_us: int, by: str) -> Claim | None:
    """Take the channel for ``by``; None when another process has it, it rests, or nothing waits."""
    first = {"lease_by": "", "lease_until_us": 0, "next_us": 0, "sent_us": None, "failures": 0, "error": ""}
    _insert_missing(connection, channels, [{"channel": channel, "failing_since_us": None, **first}])
    taken = connection.execute(
        update(channels)
        .where(channels.c.channel == channel, channels.c.lease_until_us <= now_us, channels.c.next_us <= now_us)
        .values(lease_by=by, lease_until_us=now_us + LEASE_US)
    )
    if taken.rowcount == 0:
        return None
    waiting = _waiting(channel)
    rows = connection.execute(select(alerts).where(*waiting).order_by(alerts.c.alert_id).limit(MAX_BUNDLE)).all()
    if not rows:
        _free(connection, channel, by)
        return None
    count = connection.execute(select(func.count()).select_from(alerts).where(*waiting)).scalar_one()
    return Claim(channel=channel, by=by, alerts=tuple(rows), more=int(count) - len(rows))


def settle_sent(connection: Connection, done: Claim, now_us: int) -> None:
    """The message is out: its alerts are never sent by this channel again."""
    rows = [{"alert_id": row.alert_id, "channel": done.channel, "sent_us": now_us} for row in done.alerts]
    _insert_missing(connection, notices, rows)
    values = {"sent_us": now_us, "failures": 0, "failing_since_us": None, "error": ""}
    _free(connection, done.channel, done.by, next_us=now_us + REST_US, **values)


def settle_failed(connection: Connection, done: Claim, now_us: int, error: str) -> None:
    """It could not be sent: again after 1, 2, 4 … 60 minutes."""
    row = connection.execute(select(channels).where(channels.c.channel == done.channel)).one()
    failures = row.failures + 1
    wait_us = min(MAX_RETRY_US, FIRST_RETRY_US * 2 ** min(failures - 1, 10))
    _free(
        connection,
        done.channel,
        done.by,
        next_us=now_us + wait_us,
        failures=failures,
        failing_since_us=row.failing_since_us if row.failing_since_us is not None else now_us,
        error="".join(char for char in error if char.isprintable())[:MAX_ERROR_CHARS],
    )


def troubles(connection: Connection, names: Iterable[str]) -> list[Any]:
    """The channels among ``names`` whose last attempt failed."""
    wanted = channels.c.channel.in_(tuple(names))
    return list(connection.execute(select(channels).where(wanted, channels.c.failures > 0)).all())


def _free(connection: Connection, channel: str, by: str, **values: Any) -> None:
    mine = (channels.c.channel == channel, channels.c.lease_by == by)
    connection.execute(update(channels).where(*mine).values(lease_by="", lease_until_us=0, **values))


def _insert_missing(connection: Connection, target: Any, rows: list[dict[str, Any]]) -> None:
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    connection.execute(dialect.insert(target).on_conflict_do_nothing(), rows)
