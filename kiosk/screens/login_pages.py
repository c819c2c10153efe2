"""The console's lock: a guard's name and secret in, and out again."""

from __future__ import annotations

from collections.abc import Callable

import anyio.to_thread
from fastapi import Request
from fastapi.responses import RedirectResponse, Response

from kiosk.screens.drawing import Drawing
from kiosk.screens.guards import MAX_SECRET, GuardBook
from kiosk.screens.hub import Hub
from kiosk.screens.page_tools import Route
from kiosk.screens.security import Role, role
from kiosk.screens.sessions import COOKIE, SHIFT_S, Sessions
from kiosk.screens.tablet_door import TabletDoor


class LoginPages:
    """Three routes. ``now_ns`` is the monotonic clock of sessions and waits, ``door`` that of a tablet's console."""

    def __init__(
        self,
        hub: Hub,
        guards: GuardBook,
        sessions: Sessions,
        drawing: Drawing,
        *,
        now_ns: Callable[[], int],
        door: TabletDoor | None,
    ) -> None:
        self._hub = hub
        self._guards = guards
        self._sessions = sessions
        self._drawing = drawing
        self._now_ns = now_ns
        self._door = door

    def routes(self) -> list[Route]:
        """Path, method and endpoint."""
        return [
            ("/guard/login", "GET", self.login_page),
            ("/guard/login", "POST", self.log_in),
            ("/guard/logout", "POST", self.log_out),
        ]

    @role(Role.OPEN)
    async def login_page(self, request: Request) -> Response:
        """The locked console: login, and the emergency button; where nobody can log in, nobody has to try first."""
        response = self._login(request, error="" if len(self._guards) else self._nobody(request))
        if self._door is not None:
            await self._door.refresh(request, response)
        return response

    @role(Role.OPEN)
    async def log_in(self, request: Request) -> Response:
        """Name and secret."""
        form, words = request.state.form, self._drawing.words(request)
        if not len(self._guards):
            return self._login(request, error=self._nobody(request), status=403)
        login, secret = form.get("login", "")[:64], form.get("secret", "")[: MAX_SECRET + 1]
        result = await anyio.to_thread.run_sync(lambda: self._guards.log_in(login, secret, now_ns=self._now_ns()))
        if result.guard is None:
            key = "wait" if result.wait_s else "wrong"
            error = words.get("login_error", key, seconds=result.wait_s)
            return self._login(request, error=error, status=429 if result.wait_s else 403)
        session = self._sessions.open(result.guard.login, now_ns=self._now_ns(), instead_of=request.state.session)
        response = RedirectResponse("/guard", 303)
        response.set_cookie(
            COOKIE, session, max_age=SHIFT_S, httponly=True, samesite="strict", secure=request.url.scheme == "https"
        )
        return response

    @role(Role.GUARD)
    async def log_out(self, request: Request) -> Response:
        """Lock the console."""
        self._sessions.close(request.state.session, now_ns=self._now_ns())
        response = RedirectResponse("/guard/login", 303)
        response.delete_cookie(COOKIE)
        return response

    def _nobody(self, request: Request) -> str:
        return self._drawing.words(request).get("login_error", "nobody")

    def _login(self, request: Request, *, error: str = "", status: int = 200) -> Response:
        return self._drawing.page(request, "login.html", status=status, error=error, view=self._hub.current())
