"""The emergency button: no login, and beside anything that hangs."""

from __future__ import annotations

import anyio
import anyio.to_thread
from fastapi import Request
from fastapi.responses import Response

from kiosk.board import Emergency
from kiosk.screens.lane_commands import Commands
from kiosk.screens.page_tools import PageTools, Route
from kiosk.screens.security import Role, role


class EmergencyPages:
    """Its question and what it does. ``commands`` carries a command out from a worker thread and may block."""

    def __init__(self, commands: Commands, tools: PageTools) -> None:
        self._commands = commands
        self._tools = tools
        self._threads: anyio.CapacityLimiter | None = None

    def routes(self) -> list[Route]:
        """Path, method and endpoint."""
        return [("/emergency", "GET", self.emergency_page), ("/emergency", "POST", self.emergency)]

    @role(Role.OPEN)
    async def emergency_page(self, request: Request, lane: str = "") -> Response:
        """The second step of the emergency button where there is no script to hold it for 2 s."""
        return self._tools.page(request, "emergency.html", lane=lane[:64])

    @role(Role.OPEN)
    async def emergency(self, request: Request) -> Response:
        """Open a lane (or all: "") and keep it open. Works locked, and beside anything that hangs."""
        form = request.state.form
        lane = form.get("lane", "")[:64]
        if form.get("confirm") != "yes":
            return self._tools.page(request, "emergency.html", lane=lane)
        if self._threads is None:
            # Threads of its own: commands that wait for something dead must not stand in its way.
            self._threads = anyio.CapacityLimiter(4)
        command = Emergency(lane=lane, open=True, guard=request.state.guard)
        result = await anyio.to_thread.run_sync(self._commands, command, limiter=self._threads)
        return self._tools.answer(request, result, "emergency_open")
