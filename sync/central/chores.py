"""What a central does by itself: notice kiosks that fell silent or go by old documents, forget what is past its
retention."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import structlog
from sqlalchemy import Connection, select

from sync.central.alerts import keep_alert, settle_alert
from sync.central.committer import Committer, Overloaded
from sync.central.document_watch import watch_documents
from sync.central.enrolment import APPROVED
from sync.central.policy_offers import offer_unlisted
from sync.central.retention import DAY_US, Retention, forget
from sync.central.tables import Alert, Kiosk, table
from sync.errors import LinkError

log = structlog.get_logger("gatepost.central")
kiosks, alerts = table(Kiosk), table(Alert)

WATCH_EVERY_S = 60.0
SILENT = "kiosk_silent"
LATE = "retention_late"
SILENT_US = 5 * 60 * 1_000_000
FORGET_EVERY_US = DAY_US // 4
FORGETTING_LATE_US = 2 * DAY_US


def watch(connection: Connection, now_us: int, *, listening_since_us: int = 0) -> None:
    """Open an alert for an approved kiosk that was heard before and is silent for five minutes; close it when back.

    One silence is one alert: what somebody closed stays closed until the kiosk was heard again. Silent is only who
    could have been heard: a central that was off itself waits five minutes from ``listening_since_us`` on.
    """
    for row in connection.execute(select(kiosks).where(kiosks.c.state == APPROVED)).all():
        if row.last_seen_us is None:
            continue
        if now_us - row.last_seen_us <= SILENT_US:
            settle_alert(connection, now_us, SILENT, row.kiosk_id, "heard again")
        elif now_us - max(row.last_seen_us, listening_since_us) > SILENT_US and not _was_dealt_with(connection, row):
            detail = f"{(now_us - row.last_seen_us) // 60_000_000} min"
            keep_alert(connection, now_us, SILENT, row.kiosk_id, detail)


def _was_dealt_with(connection: Connection, kiosk: Any) -> bool:
    """Whether somebody closed the alert about the silence that still lasts."""
    closed = select(alerts.c.alert_id).where(
        alerts.c.code == SILENT,
        alerts.c.kiosk_id == kiosk.kiosk_id,
        alerts.c.at_us > kiosk.last_seen_us,
        alerts.c.closed_us.is_not(None),
    )
    return connection.execute(closed.limit(1)).first() is not None


class Chores:
    """The chores of one central process; a second process doing them as well does no harm."""

    def __init__(self, committer: Committer, now_us: Callable[[], int], keep: Retention) -> None:
        self._committer = committer
        self._now_us = now_us
        self._keep = keep
        self._forgot_us = 0
        self._started_us = now_us()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self.once()
            except Exception:  # the top of the chores' loop: one surprise must not be the end of forgetting
                log.exception("the chores stumbled")
            await asyncio.sleep(WATCH_EVERY_S)

    async def once(self) -> None:
        """What is due now. A failure is logged and tried again; a retention that is late raises an alert."""
        now_us = self._now_us()
        try:
            await self._commit(lambda connection: watch(connection, now_us, listening_since_us=self._started_us))
            if now_us - self._forgot_us >= FORGET_EVERY_US:
                done = await self._commit(lambda connection: self._forget(connection, now_us))
                self._forgot_us = now_us
                log.info("retention", **done)
            await self._commit(offer_unlisted)
            await self._commit(lambda connection: watch_documents(connection, now_us))
        except (LinkError, Overloaded) as error:
            log.warning("chores wait", why=str(error))
            await self._tell_when_late(now_us)

    async def _commit(self, job: Callable[[Connection], Any]) -> Any:
        return await asyncio.wrap_future(self._committer.submit(job))

    def _forget(self, connection: Connection, now_us: int) -> dict[str, int]:
        done = forget(connection, now_us, self._keep)
        settle_alert(connection, now_us, LATE, "", "erased")
        return done

    async def _tell_when_late(self, now_us: int) -> None:
        since_us = max(self._forgot_us, self._started_us)
        if now_us - since_us > FORGETTING_LATE_US:
            detail = f"{(now_us - since_us) // DAY_US} d"
            try:
                await self._commit(lambda connection: keep_alert(connection, now_us, LATE, "", detail))
            except (LinkError, Overloaded):
                log.error("retention is late and no alert could be written", detail=detail)
