"""The console's page of the trust store: what is in force, how old it is, what was not taken, the guard's word."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

import anyio.to_thread
from fastapi import Request
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from kiosk.board import CommandResult
from kiosk.screens.page_tools import PageTools, Route
from kiosk.screens.security import Role, role
from kiosk.trust_keeper import TrustStatus


class TrustDesk(Protocol):
    """What the page needs of ``kiosk.trust_keeper.TrustKeeper``."""

    def status(self) -> TrustStatus:
        """What is in force, and what waits or was refused."""
        ...

    def confirm(self, guard: str) -> bool:
        """Take the shorter list that waits; False when none does."""
        ...


class TrustPages:
    """The page and its one button."""

    def __init__(self, desk: TrustDesk | None, tools: PageTools) -> None:
        self._desk = desk
        self._tools = tools

    def routes(self) -> list[Route]:
        """Path, method and endpoint."""
        return [("/guard/trust", "GET", self.trust_page), ("/guard/trust/confirm", "POST", self.confirm)]

    @role(Role.GUARD)
    async def trust_page(self, request: Request) -> Response:
        """Version, dates, keys; and the question where a shorter list waits."""
        if self._desk is None:
            raise HTTPException(404, "no bundles")
        self._tools.touch(request)
        status = self._desk.status()
        return self._tools.page(
            request,
            "trust.html",
            trust=status,
            made=self._day(status.state.created_at),
            following=self._day(status.state.next_update),
        )

    @role(Role.GUARD)
    async def confirm(self, request: Request) -> Response:
        """The guard takes the shorter list, after the issuer said that it is meant."""
        desk = self._desk
        if desk is None:
            raise HTTPException(404, "no bundles")
        self._tools.touch(request)
        guard = request.state.guard
        done = await anyio.to_thread.run_sync(lambda: desk.confirm(guard))
        return self._tools.answer(request, CommandResult(done=done, message="" if done else "no_trust_waits"), "trust")

    def _day(self, at: datetime | None) -> str:
        return "–" if at is None else self._tools.local(at)
