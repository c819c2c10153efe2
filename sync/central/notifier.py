"""Sends new alerts by mail and webhook: looks every few seconds, claims a channel, sends, settles.

Nothing of it runs where records are taken in: a mail server that hangs keeps nobody's batch waiting.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

import structlog
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool

from sync.central import alert_outbox
from sync.central.admin.texts import Language
from sync.central.alert_mail import AlertChannel
from sync.central.alert_message import bundle_of
from sync.central.committer import Committer, Overloaded
from sync.central.store import Store
from sync.errors import LinkError

log = structlog.get_logger("gatepost.central")
Result = TypeVar("Result")

LOOK_EVERY_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Telling:
    """How alerts are told: by which channels, in which language, with which link to the pages ("" for none)."""

    channels: tuple[AlertChannel, ...] = ()
    language: Language = Language.ZH
    link: str = ""


async def _to_its_end(work: Coroutine[Any, Any, None]) -> None:
    """Await ``work``, also when the central stops meanwhile: a message that went out must be written down as sent."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await task
        raise


@dataclass(slots=True, kw_only=True)
class Notifier:
    """The sender of one central process; several may run over one database."""

    store: Store
    committer: Committer
    now_us: Callable[[], int]
    telling: Telling
    site: str
    zone: ZoneInfo
    name: str = field(default_factory=lambda: secrets.token_hex(8))

    async def run(self) -> None:
        """Until cancelled; ends at once where alerts are told by nothing but the pages.

        Each channel has rounds of its own: a mail server that hangs for minutes keeps no webhook waiting.
        """
        await asyncio.gather(*(self._rounds(channel) for channel in self.telling.channels))

    async def _rounds(self, channel: AlertChannel) -> None:
        while True:
            try:
                await self.once(channel)
            except Exception:  # the top of the sender's loop: alerts must not end with one surprise
                log.exception("the sender of alerts stumbled", channel=channel.name)
            await asyncio.sleep(LOOK_EVERY_S)

    async def once(self, channel: AlertChannel) -> None:
        """Send by one channel what is due. A failure is written down and tried again later."""
        try:
            if not await run_in_threadpool(self._is_due, channel.name):
                return
            claim = await self._commit(
                lambda connection: alert_outbox.claim(connection, channel.name, self.now_us(), self.name)
            )
            if claim is not None:
                await _to_its_end(self._send(channel, claim))
        except (LinkError, Overloaded, SQLAlchemyError) as error:
            log.warning("alerts wait", channel=channel.name, why=str(error)[:200])

    async def _send(self, channel: AlertChannel, claim: alert_outbox.Claim) -> None:
        bundle = bundle_of(
            claim.alerts,
            more=claim.more,
            channel=channel.name,
            site=self.site,
            language=self.telling.language,
            zone=self.zone,
            link=self.telling.link,
            now_us=self.now_us(),
        )
        try:
            await run_in_threadpool(channel.send, bundle)
        except LinkError as error:
            why = str(error)
            log.warning("alerts were not sent", channel=channel.name, why=why)
            await self._commit(lambda connection: alert_outbox.settle_failed(connection, claim, self.now_us(), why))
            return
        log.info("alerts sent", channel=channel.name, count=len(claim.alerts))
        await self._commit(lambda connection: alert_outbox.settle_sent(connection, claim, self.now_us()))

    def _is_due(self, name: str) -> bool:
        with self.store.reading() as connection:
            return alert_outbox.is_due(connection, name, self.now_us())

    async def _commit(self, job: Callable[[Connection], Result]) -> Result:
        result: Result = await asyncio.wrap_future(self.committer.submit(job))
        return result
