"""What pages say of themselves: that they still paint, and that a verdict was painted."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import Request
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from kiosk.board import LaneView
from kiosk.screens.page_tools import Route
from kiosk.screens.security import Role, role
from kiosk.screens.watch import BrowserWatch


class WatchPages:
    """Two routes. ``lane_now`` is the newest view of a lane (404 for an unknown one), ``touch`` keeps the session."""

    def __init__(
        self, watch: BrowserWatch, lane_now: Callable[[str], LaneView], touch: Callable[[Request], None]
    ) -> None:
        self._watch = watch
        self._lane_now = lane_now
        self._touch = touch

    def routes(self) -> list[Route]:
        """Path, method and endpoint."""
        return [("/alive", "POST", self.alive), ("/painted", "POST", self.painted)]

    @role(Role.OPEN)
    async def alive(self, request: Request) -> Response:
        """A page's heartbeat: its name, its frame counter, and whether its guard touched it meanwhile."""
        form = request.state.form
        frames = form.get("frames", "")
        if not frames.isascii() or not frames.isdigit() or len(frames) > 12:
            raise HTTPException(400, "form")
        self._watch.alive(form.get("screen", "")[:64], int(frames))
        if request.state.session and form.get("active") == "yes":
            self._touch(request)
        return Response(status_code=204)

    @role(Role.OPEN)
    async def painted(self, request: Request) -> Response:
        """A resident's screen has painted the verdict of a passage."""
        form = request.state.form
        lane = self._lane_now(form.get("lane", ""))
        if form.get("passage", "") == lane.passage:
            self._watch.painted(lane.lane, lane.passage)
        return Response(status_code=204)
