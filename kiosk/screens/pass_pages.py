"""The console's page of temporary passes: issue one as a QR code for paper or a phone, list them, revoke one."""

from __future__ import annotations

import io
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
from kiosk.screens.page_tools import PageTools, Route
from kiosk.screens.security import Role, role


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
    """The pages around one desk."""

    def __init__(self, desk: PassDesk | None, tools: PageTools) -> None:
        self._desk = desk
        self._tools = tools

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
        self._tools.touch(request)
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
            return self._tools.answer(request, CommandResult(done=False, message=error.key), "pass_issued")
        return self._tools.page(
            request,
            "pass.html",
            issued=issued,
            until=self._tools.local(issued.expires_at, "%m-%d %H:%M"),
            qr=_qr_svg(text),
            text=text,
        )

    @role(Role.GUARD)
    async def revoke(self, request: Request) -> Response:
        """End one of the list."""
        desk = self._asked(request)
        pass_id, guard = request.state.form.get("pass_id", "")[:16], request.state.guard
        try:
            await anyio.to_thread.run_sync(desk.revoke, pass_id, guard)
        except PassError as error:
            return self._tools.answer(request, CommandResult(done=False, message=error.key), "pass_revoked")
        return self._tools.answer(request, CommandResult(done=True), "pass_revoked")

    def _asked(self, request: Request) -> PassDesk:
        if self._desk is None:
            raise HTTPException(404, "no passes here")
        self._tools.touch(request)
        return self._desk

    def _form(self, request: Request, values: Any, errors: Any, *, status: int = 200) -> Response:
        if self._desk is None:
            raise HTTPException(404, "no passes here")
        return self._tools.page(
            request,
            "passes.html",
            status=status,
            values=values,
            errors=errors,
            categories=forms.VISITOR_CATEGORIES,
            lives=forms.PASS_HOURS,
            passes=[(issued, self._tools.local(issued.expires_at, "%m-%d %H:%M")) for issued in self._desk.listed()],
        )


def _qr_svg(text: str) -> Markup:
    """The pass as a QR code inside the page, so that no address serves it."""
    picture = io.BytesIO()
    segno.make(text, error="m", micro=False).save(
        picture, kind="svg", border=4, light="#fff", xmldecl=False, svgns=False, omitsize=True, lineclass=None
    )
    return Markup(picture.getvalue().decode("utf-8"))  # noqa: S704 - drawn here, of modules alone
