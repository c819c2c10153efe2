"""The local console's page of tablets: a code for a new one, the list, the end of one. Tablets have no such page."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import anyio.to_thread
from fastapi import Request
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from config.errors import ConfigError
from kiosk.board import CommandResult
from kiosk.clock import Instant, utc_of
from kiosk.screens import forms
from kiosk.screens.page_tools import PageTools, Route
from kiosk.screens.security import Role, role
from kiosk.tablet_book import MAX_NAME, Tablet, TabletBook


@dataclass(frozen=True, slots=True)
class TabletDesk:
    """What the page works on: the book, the kiosk's clock, and what to tell of a revoked tablet.

    ``address`` is where tablets find the console, ``fingerprint`` (SHA-256, hex) that of the authority to install on
    them, "" for a certificate of the site's own.
    """

    book: TabletBook
    now: Callable[[], Instant]
    address: str
    fingerprint: str
    told: Callable[[Tablet], None]


class TabletPages:
    """The page and its two buttons."""

    def __init__(self, desk: TabletDesk | None, tools: PageTools) -> None:
        self._desk = desk
        self._tools = tools

    def routes(self) -> list[Route]:
        """Path, method and endpoint."""
        return [
            ("/guard/tablets", "GET", self.tablets_page),
            ("/guard/tablets", "POST", self.new_code),
            ("/guard/tablets/revoke", "POST", self.revoke),
        ]

    @role(Role.GUARD)
    async def tablets_page(self, request: Request) -> Response:
        """The paired tablets."""
        return await self._drawn(request, self._asked(request))

    @role(Role.GUARD)
    async def new_code(self, request: Request) -> Response:
        """A code for one tablet; it is on the answer and nowhere else."""
        desk = self._asked(request)
        name, wrong = forms.clean_text(request.state.form.get("name", ""), MAX_NAME)
        if wrong or not name:
            return await self._drawn(request, desk, name=name, error=wrong or "required", status=422)
        now = desk.now()
        try:
            code = await anyio.to_thread.run_sync(lambda: desk.book.new_code(name, now=now))
        except ConfigError:
            return self._tools.answer(request, CommandResult(done=False, message="tablet_not_kept"), "tablet_revoked")
        return await self._drawn(request, desk, code=code, code_for=name)

    @role(Role.GUARD)
    async def revoke(self, request: Request) -> Response:
        """End a tablet's pairing: its next request, and the page it shows, find the door closed."""
        desk = self._asked(request)
        tablet_id = request.state.form.get("tablet", "")[:16]
        try:
            gone = await anyio.to_thread.run_sync(desk.book.revoke, tablet_id)
        except ConfigError:
            return self._tools.answer(request, CommandResult(done=False, message="tablet_not_kept"), "tablet_revoked")
        if gone is None:
            return self._tools.answer(request, CommandResult(done=False, message="no_such_tablet"), "tablet_revoked")
        desk.told(gone)
        return self._tools.answer(request, CommandResult(done=True), "tablet_revoked")

    def _asked(self, request: Request) -> TabletDesk:
        if self._desk is None:
            raise HTTPException(404, "no tablets here")
        self._tools.touch(request)
        return self._desk

    async def _drawn(self, request: Request, desk: TabletDesk, *, status: int = 200, **values: Any) -> Response:
        unusable = False
        try:
            tablets = await anyio.to_thread.run_sync(desk.book.listed)
        except ConfigError:
            # No tablet gets in now: an empty list alone would look as if none were paired.
            tablets, unusable = (), True
        listed = [(tablet, self._tools.local(utc_of(tablet.last_seen_us))) for tablet in tablets]
        shown = {"code": "", "code_for": "", "name": "", "error": "", **values}
        return self._tools.page(
            request,
            "tablets.html",
            status=status,
            tablets=listed,
            unusable=unusable,
            address=desk.address,
            fingerprint=desk.fingerprint,
            **shown,
        )
