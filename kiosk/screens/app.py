"""The kiosk's web application, put together: resident screens, the guard's console, events down, commands up.

Pages are drawn on the server from the newest view, so a page load shows the present without any event; the events
carry the same fragments. Every form works as a plain POST; the script only makes it quicker. Roles are declared
at each route and enforced by :class:`~kiosk.screens.security.Gatekeeper`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, tzinfo
from pathlib import Path
from typing import Any, Protocol

from fastapi import Depends, FastAPI, Request
from fastapi.responses import RedirectResponse, Response
from starlette.exceptions import HTTPException
from starlette.staticfiles import StaticFiles

from config.voice import Voice
from kiosk.board import KioskView, LaneView
from kiosk.id_desk import IdDesk
from kiosk.screens.aim import Aim, LaneCamera
from kiosk.screens.camera_pages import CameraPages
from kiosk.screens.clock_pages import ClockPages
from kiosk.screens.clock_pages import Desk as SettableClock
from kiosk.screens.console import console
from kiosk.screens.drawing import LANGUAGE_COOKIE, THEME_COOKIE, Drawing
from kiosk.screens.emergency_pages import EmergencyPages
from kiosk.screens.events import HEARTBEAT_S, EventAnswer, heard
from kiosk.screens.guards import GuardBook
from kiosk.screens.holder_pages import HolderPages, People
from kiosk.screens.hub import Hub, HubFullError
from kiosk.screens.lane_commands import Commands, LaneCommands
from kiosk.screens.login_pages import LoginPages
from kiosk.screens.page_tools import PageTools, Route, lane_of
from kiosk.screens.pass_pages import PassDesk, PassPages
from kiosk.screens.policy_pages import PolicyDesk, PolicyPages
from kiosk.screens.resident_pages import ResidentPages
from kiosk.screens.security import Gatekeeper, LoginNeededError, Role, Wall, role
from kiosk.screens.sessions import Sessions
from kiosk.screens.speech import Speech
from kiosk.screens.tablet_door import TabletDoor, still_paired
from kiosk.screens.tablet_pages import TabletDesk, TabletPages
from kiosk.screens.texts import Language, Texts, texts
from kiosk.screens.trust_pages import TrustDesk, TrustPages
from kiosk.screens.voices import Voices
from kiosk.screens.watch import BrowserWatch
from kiosk.screens.watch_pages import WatchPages

HERE = Path(__file__).parent
LOOPBACK_HOSTS = ("127.0.0.1", "localhost", "[::1]")


def create_app(
    hub: Hub,
    commands: Commands,
    *,
    guards: GuardBook,
    cameras: Mapping[str, LaneCamera] | None = None,
    trust: TrustDesk | None = None,
    policy: PolicyDesk | None = None,
    clock: SettableClock | None = None,
    passes: PassDesk | None = None,
    people: People | None = None,
    id_cards: IdDesk | None = None,
    speech: Speech | None = None,
    tablets: TabletDesk | None = None,
    door: TabletDoor | None = None,
    site_code_text: str = "",
    zone: tzinfo = UTC,
    allowed_hosts: Iterable[str] = LOOPBACK_HOSTS,
    now_ns: Callable[[], int] = time.monotonic_ns,
    texts_of: Callable[[Language], Texts] = texts,
    heartbeat_s: float = HEARTBEAT_S,
    sessions: Sessions | None = None,
) -> FastAPI:
    """The application.

    ``commands`` carries out a guard's command and returns what became of it; it is called from a worker thread
    and may block. ``cameras`` are those of the lanes, for the page for aiming; ``policy`` says which is in force;
    ``trust`` keeps the trust store by bundles, ``clock`` takes two people's word for the time. ``site_code_text`` is
    the place code's text ("" for none), ``speech`` what residents' screens say aloud, ``tablets`` pairs and lists
    tablets. With a ``door`` it is the tablets' console, which is served by TLS alone. ``zone`` is the time zone in
    which times are shown, ``now_ns`` the monotonic clock of sessions and login delays, ``heartbeat_s`` the pause
    between heartbeats, ``sessions`` the guards' (new ones without).
    ``app.state.watch`` knows when a browser last painted.
    """
    app = FastAPI(title="Gatepost", docs_url=None, redoc_url=None, openapi_url=None)
    sessions = sessions or Sessions()
    screens = Screens(
        hub,
        commands,
        guards=guards,
        sessions=sessions,
        aim=Aim(cameras or {}),
        trust=trust,
        policy=policy,
        clock=clock,
        passes=passes,
        people=people,
        id_cards=id_cards,
        speech=speech or Speech(Voice(), Voices(), zone),
        tablets=tablets,
        door=door,
        site_code_text=site_code_text,
        zone=zone,
        now_ns=now_ns,
        texts_of=texts_of,
        heartbeat_s=heartbeat_s,
    )
    app.state.watch = screens.watch
    app.state.hub = hub
    app.router.dependencies.append(Depends(Gatekeeper(sessions, now_ns)))
    routes = screens.routes()
    for path, method, endpoint in routes if door is None else door.open_for(routes, screens.tools.page):
        app.add_api_route(path, endpoint, methods=[method], response_model=None)
    app.mount("/static", StaticFiles(directory=HERE / "static"), name="static")
    if door is not None:
        app.add_middleware(door.wrapped)
    app.add_middleware(Wall, allowed_hosts=tuple(allowed_hosts), tls=door is not None)
    app.add_exception_handler(LoginNeededError, screens.login_needed)
    app.add_exception_handler(HTTPException, screens.refused)
    app.add_exception_handler(HubFullError, screens.hub_full)
    app.add_exception_handler(Exception, screens.broken)
    return app


class Pages(Protocol):
    """One group of pages."""

    def routes(self) -> list[Route]:
        """Path, method and endpoint."""
        ...


class Screens:
    """The console, and all groups of pages around what they share."""

    def __init__(
        self,
        hub: Hub,
        commands: Commands,
        *,
        guards: GuardBook,
        sessions: Sessions,
        aim: Aim,
        trust: TrustDesk | None,
        policy: PolicyDesk | None,
        clock: SettableClock | None,
        passes: PassDesk | None,
        people: People | None,
        id_cards: IdDesk | None,
        speech: Speech,
        tablets: TabletDesk | None,
        door: TabletDoor | None,
        site_code_text: str,
        zone: tzinfo,
        now_ns: Callable[[], int],
        texts_of: Callable[[Language], Texts],
        heartbeat_s: float,
    ) -> None:
        self.watch = BrowserWatch(now_ns)
        self.drawing = drawing = Drawing(hub, sessions, texts_of)
        self.tools = tools = PageTools(page=drawing.page, answer=drawing.answer, touch=self._touch, zone=zone)
        self._hub = hub
        self._guards = guards
        self._sessions = sessions
        self._now_ns = now_ns
        self._zone = zone
        self._events = EventAnswer(hub, heartbeat_s=heartbeat_s)
        self._holders = HolderPages(people, tools, self._lane_now)
        self._menu = {
            "has_camera": bool(aim.lanes),
            "has_trust": trust is not None,
            "has_policy": policy is not None,
            "has_clock": clock is not None,
            "has_tablets": tablets is not None,
            "has_passes": passes is not None,
        }
        self._groups: tuple[Pages, ...] = (
            ResidentPages(hub, drawing, speech, self._events, site_code_text),
            WatchPages(self.watch, self._lane_now, self._touch),
            EmergencyPages(commands, tools),
            LoginPages(hub, guards, sessions, drawing, now_ns=now_ns, door=door),
            CameraPages(aim, tools, drawing.part),
            LaneCommands(commands, tools, self._lane_now, drawing.words, id_cards),
            speech,
            TabletPages(tablets, tools),
            TrustPages(trust, tools),
            PolicyPages(policy, tools),
            ClockPages(clock, tools, lambda login, secret: guards.log_in(login, secret, now_ns=now_ns())),
            PassPages(passes, tools),
            self._holders,
        )

    def routes(self) -> list[Route]:
        """Path, method and endpoint of every route; roles stand at the endpoints."""
        own: list[Route] = [("/guard", "GET", self.console_page), ("/events/guard", "GET", self.guard_events)]
        return [*own, *(route for group in self._groups for route in group.routes())]

    @role(Role.GUARD)
    async def console_page(self, request: Request, lang: str = "", theme: str = "", note: str = "") -> Response:
        """The console; ``lang`` and ``theme`` are remembered in a cookie each."""
        if lang or theme:
            response: Response = RedirectResponse("/guard", 303)
            tls, year_s = request.url.scheme == "https", 365 * 86400
            if lang in list(Language):
                response.set_cookie(LANGUAGE_COOKIE, lang, year_s, secure=tls, httponly=True, samesite="strict")
            if theme in ("normal", "contrast"):
                response.set_cookie(THEME_COOKIE, theme, year_s, secure=tls, httponly=True, samesite="strict")
            return response
        view = self._hub.current()
        if view is None:
            return self.drawing.starting(request)
        self._touch(request)
        words = self.drawing.words(request)
        return self.drawing.page(
            request,
            "console.html",
            view=view,
            board=console(view, words, self._zone, self._holders.pictured),
            guard_name=self._guards.name_of(request.state.guard),
            note=words.find("done", note, default=""),
            **self._menu,
        )

    @role(Role.GUARD)
    async def guard_events(self, request: Request) -> Response:
        """The events of the console."""
        session, words, form_values = request.state.session, self.drawing.words(request), self.drawing.tokens(request)

        def draw(view: KioskView) -> dict[str, Any]:
            return self._draw_console(view, words, form_values)

        def allowed() -> bool:
            return still_paired(request) and self._sessions.guard_of(session, now_ns=self._now_ns()) is not None

        return self._events(request, draw, allowed=allowed)

    async def login_needed(self, request: Request, error: Exception) -> Response:
        """No session: pages lead to the login, everything else is told so."""
        if request.method == "GET" and not request.url.path.startswith("/events/"):
            return RedirectResponse("/guard/login", 303)
        return self.drawing.refusal(request, 401, "not_allowed")

    async def refused(self, request: Request, error: Exception) -> Response:
        """A refusal with a sentence instead of a stack trace."""
        status = error.status_code if isinstance(error, HTTPException) else 500
        key = {404: "no_such_page", 403: "expired_page"}.get(status, "error")
        return self.drawing.refusal(request, status, key)

    async def hub_full(self, request: Request, error: Exception) -> Response:
        """Too many pages listen."""
        return self.drawing.refusal(request, 503, "error")

    async def broken(self, request: Request, error: Exception) -> Response:
        """Our own fault: logged by the server, told without detail."""
        return self.drawing.refusal(request, 500, "error")

    def _touch(self, request: Request) -> None:
        self._sessions.touch(request.state.session, now_ns=self._now_ns())

    def _lane_now(self, lane: str) -> LaneView:
        view = self._hub.current()
        if view is None:
            raise HTTPException(503, "starting")
        return lane_of(view, lane)

    def _draw_console(self, view: KioskView, words: Texts, form_values: Mapping[str, Any]) -> dict[str, Any]:
        board, render = console(view, words, self._zone, self._holders.pictured), self.drawing.render
        regions = {f"panel-{p.lane}": render("_panel.html", w=words, panel=p, **form_values) for p in board.lanes}
        regions["strip"] = render("_strip.html", w=words, strip=board.strip)
        regions["recent"] = render("_recent.html", w=words, rows=board.recent)
        return {"regions": regions, "lanes": [heard(p.lane, p.passage, p.face) for p in board.lanes]}
