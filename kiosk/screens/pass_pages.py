"""The console's page of temporary passes: issue one as a QR code for paper or a phone, list them, revoke one."""

from __future__ import annotations

import io
from collections.abc import Callable
from datetime import datetime, tzinfo
from typing import Any, Protocol

import anyio.to_thread
import segno
from fastapi import Request
from fastapi.responses import Response
from markupsafe import Markup
from starlette.exceptions import HTTPException

from kiosk.board import CommandResult, PassWish
from kiosk.pass_book import IssuedPass, PassError
from kiosk.screens import forms
from kiosk.screens.security import Role, role

Route = tuple[str, str, Callable[..., Any]]


class PassDesk(Protocol):
    """What the pages need of ``kiosk.pass_book.PassBook``."""

    def listed(self) -> tuple[IssuedPass, ...]:
        """The current passes, newest first."""
        ...

    def issue(self, wish: PassWish) -> tuple[IssuedPass, str]:
        """A new pass and its text. Raises PassError."""
        ...

    def revoke(self, pass_id: str, guard: str) -> None:
        """End a pass. Raises PassError."""
        ...


class PassPages:
    """The pages around one desk. ``page`` draws a template, ``answer`` tells a command's result."""

    def __init__(
        self,
        desk: PassDesk | None,
        zone: tzinfo,
        *,
        page: Callable[..., Response],
        answer: Callable[[Request, CommandResult, str], Response],
        touch: Callable[[Request], None],
    ) -> None:
        self._desk = desk
        self._zone = zone
        self._page = page
        self._answer = answer
        self._touch = touch

    def routes(self) -> list[Route]:
        """Path, method and endpoint."""
        return [
            ("/guard/passes", "GET", self.passes_page),
            ("/guard/passes", "POST", self.issue),
            ("/guard/passes/revoke", "POST", self.revoke),
        ]

    @role(Role.GUARD)
    async def passes_page(self, request: Request) -> Response:
        """The form, and the passes that are still current."""
        self._touch(request)
        return self._form(request, {}, {})

    @role(Role.GUARD)
    async def issue(self, request: Request) -> Response:
        """Issue one; its code is on the answer and nowhere else."""
        desk, form = self._asked(request), request.state.form
        wish = forms.read_pass(form, guard=request.state.guard)
        if isinstance(wish, dict):
            return self._form(request, form, wish, status=422)
        try:
            issued, text = await anyio.to_thread.run_sync(desk.issue, wish)
        except PassError as error:
            return self._answer(request, CommandResult(done=False, message=error.key), "pass_issued")
        return self._page(
            request, "pass.html", issued=issued, until=self._time(issued.expires_at), qr=_qr_svg(text), text=text
        )

    @role(Role.GUARD)
    async def revoke(self, request: Request) -> Response:
        """End one of the list."""
        desk = self._asked(request)
        pass_id, guard = request.state.form.get("pass_id", "")[:16], request.state.guard
        try:
            await anyio.to_thread.run_sync(desk.revoke, pass_id, guard)
        except PassError as error:
            return self._answer(request, CommandResult(done=False, message=error.key), "pass_revoked")
        return self._answer(request, CommandResult(done=True), "pass_revoked")

    def _asked(self, request: Request) -> PassDesk:
        if self._desk is None:
            raise HTTPException(404, "no passes here")
        self._touch(request)
        return self._desk

    def _form(self, request: Request, values: Any, errors: Any, *, status: int = 200) -> Response:
        if self._desk is None:
            raise HTTPException(404, "no passes here")
        return self._page(
            request,
            "passes.html",
            status=status,
            values=values,
            errors=errors,
            categories=forms.VISITOR_CATEGORIES,
            lives=forms.PASS_HOURS,
            passes=[(issued, self._time(issued.expires_at)) for issued in self._desk.listed()],
        )

    def _time(self, at: datetime) -> str:
        return at.astimezone(self._zone).strftime("%m-%d %H:%M")


def _qr_svg(text: str) -> Markup:
    """The pass as a QR code inside the page, so that no address serves it."""
    picture = io.BytesIO()
    segno.make(text, error="m", micro=False).save(
        picture, kind="svg", border=4, light="#fff", xmldecl=False, svgns=False, omitsize=True, lineclass=None
    )
    return Markup(picture.getvalue().decode("utf-8"))  # noqa: S704 - drawn here, of modules alone
