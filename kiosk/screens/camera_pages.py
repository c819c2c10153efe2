"""Aiming and focusing a camera from the console: pictures are made while a page asks for them, and kept nowhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio
import anyio.to_thread
from fastapi import Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from starlette.exceptions import HTTPException

from kiosk.screens.aim import Aim
from kiosk.screens.page_tools import PageTools, Route
from kiosk.screens.security import Role, role


class CameraPages:
    """Four routes around the cameras of the lanes. ``part`` draws a piece of one, in the request's language."""

    def __init__(self, aim: Aim, tools: PageTools, part: Callable[..., str]) -> None:
        self._aim = aim
        self._tools = tools
        self._part = part
        self._one_thread: anyio.CapacityLimiter | None = None

    def routes(self) -> list[Route]:
        """Path, method and endpoint."""
        return [
            ("/guard/camera", "GET", self.cameras_page),
            ("/guard/camera/{lane}", "GET", self.camera_page),
            ("/guard/camera/{lane}/picture", "GET", self.camera_picture),
            ("/guard/camera/{lane}/figures", "GET", self.camera_figures),
        ]

    @role(Role.GUARD)
    async def cameras_page(self, request: Request) -> Response:
        """The first lane's camera; its page leads to the others."""
        if not self._aim.lanes:
            raise HTTPException(404, "no camera")
        return RedirectResponse(f"/guard/camera/{self._aim.lanes[0]}", 303)

    @role(Role.GUARD)
    async def camera_page(self, request: Request, lane: str) -> Response:
        """A lane's camera: live picture, rates, sharpness, and what to change."""
        report = await self._of_camera(lane, self._aim.report)
        self._tools.touch(request)
        return self._tools.page(request, "camera.html", lane=lane, lanes=self._aim.lanes, report=report)

    @role(Role.GUARD)
    async def camera_picture(self, lane: str) -> Response:
        """The picture; asked for again and again, it keeps no session open."""
        jpeg = await self._of_camera(lane, self._aim.picture)
        if jpeg is None:
            raise HTTPException(404, "no picture yet")
        return Response(jpeg, media_type="image/jpeg", headers={"cache-control": "no-store"})

    @role(Role.GUARD)
    async def camera_figures(self, request: Request, lane: str) -> Response:
        """The figures beside the picture, as the page draws them."""
        report = await self._of_camera(lane, self._aim.report)
        return HTMLResponse(self._part(request, "_camera.html", report=report))

    async def _of_camera(self, lane: str, ask: Callable[[str], Any]) -> Any:
        if lane not in self._aim.lanes:
            raise HTTPException(404, "no such camera")
        if self._one_thread is None:
            # One at a time: however many pages look, it is a small part of one core.
            self._one_thread = anyio.CapacityLimiter(1)
        return await anyio.to_thread.run_sync(ask, lane, limiter=self._one_thread)
