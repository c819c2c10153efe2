"""Tells kiosks at once that a document was published: their questions wait here until there is something new.

One look at the database a second serves every question that waits in this process, and none is made while nobody asks.
So a policy or a revocation is at a connected kiosk within seconds, however it was published (a page, a command, another
process), and an idle kiosk costs one request in 25 seconds. Where too many wait already, a kiosk is sent away and hears
of it with its next batch or heartbeat.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from contextlib import suppress

from fastapi import APIRouter, Request
from fastapi.responses import Response
from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool

from sync import keys
from sync.central import offers
from sync.central.admission import admitted_key
from sync.central.context import central_of, signed_of
from sync.central.store import Store
from sync.errors import WireError
from sync.news import MAX_NEWS_BYTES, NEWS_CONTEXT, NEWS_PATH, WAIT_S, newer, news_answer, read_question

LOOK_EVERY_S = 1.0
MAX_WAITING = 400
router = APIRouter()


class NewsDesk:
    """The questions that wait in this process. ``stopping`` says that the server is about to end."""

    def __init__(self, store: Store, stopping: Callable[[], bool] = lambda: False) -> None:
        self._store = store
        self._stopping = stopping
        self._waiting = 0
        self._looked = asyncio.Event()
        self._offers = offers.Offers()
        self._task: asyncio.Task[None] | None = None

    async def wait(self, kiosk_id: str, told: dict[str, int], wait_s: float = WAIT_S) -> dict[str, str]:
        """What this kiosk is offered, as soon as it is newer than ``told`` or ``wait_s`` seconds have passed.

        Raises WireError (503) when too many wait already.
        """
        if self._waiting >= MAX_WAITING:
            raise WireError("news", status=503, seen=f"{self._waiting} questions waiting", expected="later")
        self._waiting += 1
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._look())
        until_s = asyncio.get_running_loop().time() + wait_s
        try:
            while True:
                looked = self._looked
                with suppress(TimeoutError):
                    left_s = until_s - asyncio.get_running_loop().time()
                    await asyncio.wait_for(looked.wait(), max(0.0, left_s))
                over = asyncio.get_running_loop().time() >= until_s
                offered = self._offers.to(kiosk_id)
                if newer(offered, told) or over or self._stopping():
                    return offered
        finally:
            self._waiting -= 1

    async def _look(self) -> None:
        """Once a second while anybody waits; whoever waits is woken after each look."""
        while self._waiting:
            with suppress(SQLAlchemyError):
                self._offers = await run_in_threadpool(self._newest)
            looked, self._looked = self._looked, asyncio.Event()
            looked.set()
            await asyncio.sleep(LOOK_EVERY_S)

    def _newest(self) -> offers.Offers:
        with self._store.reading() as connection:
            return offers.read(connection)


@router.post(NEWS_PATH)
async def news(request: Request) -> Response:
    """What is offered, when there is something that the kiosk was not told of."""
    signed = await signed_of(request, MAX_NEWS_BYTES)
    told = read_question(signed.body, signed.kiosk_id, signed.request)
    central = central_of(request)

    def check() -> None:
        with central.store.reading() as connection:
            public_key = admitted_key(connection, signed.kiosk_id)
        if not keys.verify(public_key, NEWS_CONTEXT, signed.body, signed.signature):
            raise WireError("signature", status=401, seen="not by this kiosk's key")

    await run_in_threadpool(check)
    desk: NewsDesk = request.app.state.news
    try:
        offered = await desk.wait(signed.kiosk_id, told)
    except WireError as error:
        later_s = random.randint(60, 180)  # noqa: S311 - spreads retries
        return Response(str(error), error.status, headers={"Retry-After": str(later_s)})
    return Response(news_answer(signed.request, offered), media_type="application/json")
