"""The console's page of the clock: what it is worth, and two people's word where nothing better is to be had."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, tzinfo
from typing import Protocol

import anyio.to_thread
from fastapi import Request
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from kiosk.board import CommandResult
from kiosk.clock import ClockError, Instant, utc_of
from kiosk.clock_desk import ClockDeskError, ClockStatus
from kiosk.journal_types import JournalError
from kiosk.reasons import ClockTrust
from kiosk.screens.guards import MAX_SECRET, LoginResult
from kiosk.screens.page_tools import PageTools, Route
from kiosk.screens.security import Role, role

SECONDS = "%Y-%m-%d %H:%M:%S"


class Desk(Protocol):
    """What the page needs of ``kiosk.clock_desk.ClockDesk``."""

    def status(self) -> ClockStatus:
        """What the clock is worth, and what waits."""
        ...

    def say(self, at_us: int, guard: str) -> None:
        """The first word. Raises ClockDeskError."""
        ...

    def agree(self, guard: str) -> Instant:
        """The second word. Raises ClockDeskError, ClockError or JournalError."""
        ...


class ClockPages:
    """The page and its two buttons. ``check`` tells whose name and secret these are."""

    def __init__(self, desk: Desk | None, tools: PageTools, check: Callable[[str, str], LoginResult]) -> None:
        self._desk = desk
        self._tools = tools
        self._check = check

    def routes(self) -> list[Route]:
        """Path, method and endpoint."""
        return [
            ("/guard/clock", "GET", self.clock_page),
            ("/guard/clock", "POST", self.say),
            ("/guard/clock/agree", "POST", self.agree),
        ]

    @role(Role.GUARD)
    async def clock_page(self, request: Request) -> Response:
        """Time, trust, and whichever of the two forms is due."""
        desk = self._asked(request)
        return self._drawn(request, desk)

    @role(Role.GUARD)
    async def say(self, request: Request) -> Response:
        """The logged-in guard says what time it is."""
        desk, form = self._asked(request), request.state.form
        at = read_local(form.get("date", ""), form.get("time", ""), self._tools.zone)
        if at is None:
            return self._drawn(request, desk, error="clock_form", status=422)
        try:
            desk.say(round(at.timestamp()) * 1_000_000, request.state.guard)
        except ClockDeskError as error:
            return self._drawn(request, desk, error=error.key, status=409)
        return self._drawn(request, desk)

    @role(Role.GUARD)
    async def agree(self, request: Request) -> Response:
        """Somebody else, by name and secret of their own, says that it is so."""
        desk, form = self._asked(request), request.state.form
        login, secret = form.get("login", "")[:64], form.get("secret", "")[: MAX_SECRET + 1]
        found = await anyio.to_thread.run_sync(self._check, login, secret)
        if found.guard is None:
            error = "wait" if found.wait_s else "wrong"
            return self._drawn(request, desk, error=error, status=429 if found.wait_s else 403, seconds=found.wait_s)
        second = found.guard.login
        try:
            await anyio.to_thread.run_sync(desk.agree, second)
        except ClockDeskError as error:
            return self._drawn(request, desk, error=error.key, status=409)
        except (ClockError, JournalError):
            return self._drawn(request, desk, error="clock_not_kept", status=503)
        return self._tools.answer(request, CommandResult(done=True), "clock")

    def _asked(self, request: Request) -> Desk:
        if self._desk is None:
            raise HTTPException(404, "no clock to set")
        self._tools.touch(request)
        return self._desk

    def _drawn(self, request: Request, desk: Desk, *, error: str = "", status: int = 200, seconds: int = 0) -> Response:
        found, local = desk.status(), self._tools.local
        form = request.state.form if request.method == "POST" else {}
        return self._tools.page(
            request,
            "clock.html",
            status=status,
            trust=found.now.clock_trust,
            now=local(found.now.utc(), SECONDS),
            known=found.now.clock_trust is not ClockTrust.NONE,
            synced=found.now.clock_trust is ClockTrust.SYNCED,
            floor=local(utc_of(found.floor_us)),
            waiting="" if found.waiting_us is None else local(utc_of(found.waiting_us), SECONDS),
            waiting_guard=found.waiting_guard,
            days_ahead=found.days_ahead,
            values={"date": form.get("date", "")[:10], "time": form.get("time", "")[:8]},
            error=error,
            seconds=seconds,
        )


def read_local(date: str, time: str, zone: tzinfo) -> datetime | None:
    """``2026-11-22`` and ``07:05`` or ``07:05:30`` of the site's zone as UTC; None for anything else.

    A time that the zone leaves out (clocks put forward) is none; of one that comes twice, the first is meant.
    """
    if not (len(date) == 10 and len(time) in (5, 8) and (date + time).isascii()):
        return None
    try:
        local = datetime.fromisoformat(f"{date}T{time}").replace(tzinfo=zone)
        at = local.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return at if at.astimezone(zone).replace(tzinfo=None) == local.replace(tzinfo=None) else None
