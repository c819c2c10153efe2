"""Draws pages and pieces of them for a request: its language, its tokens, and what every page carries besides."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from kiosk.board import CommandResult
from kiosk.screens.events import STALE_AFTER_S
from kiosk.screens.hub import Hub
from kiosk.screens.sessions import Sessions
from kiosk.screens.texts import Language, Texts

TEMPLATES = Path(__file__).parent / "templates"
LANGUAGE_COOKIE = "gatepost_language"
THEME_COOKIE = "gatepost_theme"


class Drawing:
    """The templates, with ``texts_of`` a language; ``hub`` tells whether what is shown is live."""

    def __init__(self, hub: Hub, sessions: Sessions, texts_of: Callable[[Language], Texts]) -> None:
        self._hub = hub
        self._sessions = sessions
        self.texts_of = texts_of
        self._templates = Environment(
            loader=FileSystemLoader(TEMPLATES),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,  # otherwise every drawing asks the disk whether a template changed
        )

    def words(self, request: Request) -> Texts:
        """The texts in the request's language."""
        wanted = request.cookies.get(LANGUAGE_COOKIE, "")
        return self.texts_of(Language(wanted) if wanted in list(Language) else Language.ZH)

    def tokens(self, request: Request) -> dict[str, Any]:
        """For forms: the token of the request's session, and the one that needs none."""
        session = getattr(request.state, "session", "")
        return {"token": self._sessions.token(session), "open_token": self._sessions.token()}

    def render(self, template: str, **values: Any) -> str:
        """A template with these values alone."""
        return self._templates.get_template(template).render(**values)

    def part(self, request: Request, template: str, **values: Any) -> str:
        """A piece of a page, in the request's language."""
        return self.render(template, w=self.words(request), **values)

    def page(self, request: Request, template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
        """A whole page."""
        theme = request.query_params.get("theme", request.cookies.get(THEME_COOKIE, "normal"))
        html = self.render(
            template,
            w=self.words(request),
            zh=self.texts_of(Language.ZH),
            en=self.texts_of(Language.EN),
            boot=self._hub.boot,
            theme="contrast" if theme == "contrast" else "normal",
            logged_in=bool(getattr(request.state, "guard", "")),
            live=(self._hub.age_s() or 0) <= STALE_AFTER_S,
            **self.tokens(request),
            **values,
        )
        return HTMLResponse(html, status)

    def starting(self, request: Request) -> Response:
        """Before the first view: it asks again by itself."""
        response = self.page(request, "starting.html", status=503)
        response.headers["refresh"] = "1"
        return response

    def answer(self, request: Request, result: CommandResult, done: str) -> Response:
        """What became of a command; ``done`` names the sentence of success."""
        words = self.words(request)
        if result.done:
            text = words.get("done", done)
        else:
            text = words.find("refused", result.message, default=words.get("refused", "unknown"))
        if _wants_json(request):
            return JSONResponse({"done": result.done, "text": text}, 200 if result.done else 409)
        if result.done:
            return RedirectResponse(f"/guard?note={done}", 303)
        return self.page(request, "message.html", status=409, text=text)

    def refusal(self, request: Request, status: int, key: str) -> Response:
        """A sentence instead of what was asked for."""
        words = self.words(request)
        if _wants_json(request):
            return JSONResponse({"done": False, "text": words.get("ui", key)}, status)
        return self.page(request, "message.html", status=status, text=words.get("ui", key))


def _wants_json(request: Request) -> bool:
    return "application/json" in request.headers.get("accept", "")
