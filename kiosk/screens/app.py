"""The kiosk's web application: resident screens, the guard's console, events down, commands up.

Pages are drawn on the server from the newest view, so a page load shows the present without any event; the events
carry the same fragments. Every form works as a plain POST; the script only makes it quicker. Roles are declared
at each route and enforced by :class:`~kiosk.screens.security.Gatekeeper`.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, tzinfo
from pathlib import Path
from typing import Any

import anyio.to_thread
import segno
from fastapi import Depends, FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response, StreamingResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.exceptions import HTTPException
from starlette.staticfiles import StaticFiles

from config.voice import Voice
from kiosk.board import CommandResult, Emergency, KioskView, LaneView
from kiosk.id_desk import IdDesk
from kiosk.reasons import Direction
from kiosk.screens.aim import Aim, LaneCamera
from kiosk.screens.camera_pages import CameraPages
from kiosk.screens.clock_pages import ClockPages
from kiosk.screens.clock_pages import Desk as SettableClock
from kiosk.screens.console import console
from kiosk.screens.events import HEARTBEAT_S, STALE_AFTER_S, stream
from kiosk.screens.faces import Face, resident_screen
from kiosk.screens.guards import MAX_SECRET, GuardBook
from kiosk.screens.holder_pages import HolderPages, People
from kiosk.screens.hub import Hub, HubFullError
from kiosk.screens.lane_commands import Commands, LaneCommands
from kiosk.screens.page_tools import PageTools
from kiosk.screens.pass_pages import PassDesk, PassPages
from kiosk.screens.policy_pages import PolicyDesk, PolicyPages
from kiosk.screens.security import Gatekeeper, LoginNeededError, Role, Wall, role
from kiosk.screens.sessions import COOKIE, SHIFT_S, Sessions
from kiosk.screens.speech import Speech
from kiosk.screens.tablet_door import TabletDoor, still_paired
from kiosk.screens.tablet_pages import TabletDesk, TabletPages
from kiosk.screens.texts import Language, Texts, texts
from kiosk.screens.trust_pages import TrustDesk, TrustPages
from kiosk.screens.voices import Voices
from kiosk.screens.watch import BrowserWatch

HERE = Path(__file__).parent
LOOPBACK_HOSTS = ("127.0.0.1", "localhost", "[::1]")
LANGUAGE_COOKIE = "gatepost_language"
THEME_COOKIE = "gatepost_theme"


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
    ``trust`` keeps the trust
    store by bundles, ``clock`` takes two people's word for the time. ``site_code_text`` is the place code's
    text ("" for none), ``speech`` what residents' screens say aloud, ``tablets`` pairs and lists tablets. With a
    ``door`` it is the tablets' console, which is served by TLS alone.
    ``zone`` the time zone in which times are shown, ``now_ns`` the monotonic clock of sessions and
    login delays, ``heartbeat_s`` the pause between heartbeats, ``sessions`` the guards' (new ones without).
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


class Screens:
    """The endpoints, around what they share."""

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
        self._hub = hub
        self._commands = commands
        self._guards = guards
        self._sessions = sessions
        self._aim = aim
        self._has_trust = trust is not None
        self._has_policy = policy is not None
        self._has_passes = passes is not None
        self.tools = tools = PageTools(page=self._page, answer=self._answer, touch=self._touch, zone=zone)
        self._pass_pages = PassPages(passes, tools)
        self._speech = speech
        self._door = door
        self._has_tablets = tablets is not None
        self._tablet_pages = TabletPages(tablets, tools)
        self._holders = HolderPages(people, tools, self._lane_now)
        self._camera_pages = CameraPages(aim, tools, self._part)
        self._lane_commands = LaneCommands(commands, tools, self._lane_now, self._words, id_cards)
        self._trust_pages = TrustPages(trust, tools)
        self._policy_pages = PolicyPages(policy, tools)
        self._has_clock = clock is not None
        self._clock_pages = ClockPages(
            clock, tools, lambda login, secret: guards.log_in(login, secret, now_ns=self._now_ns())
        )
        self._site_code_text = site_code_text
        self._zone = zone
        self._now_ns = now_ns
        self._texts_of = texts_of
        self._heartbeat_s = heartbeat_s
        self._emergency_threads: anyio.CapacityLimiter | None = None
        self._templates = Environment(
            loader=FileSystemLoader(HERE / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,  # otherwise every drawing asks the disk whether a template changed
        )

    def routes(self) -> list[tuple[str, str, Callable[..., Any]]]:
        """Path, method and endpoint of every route; roles stand at the endpoints."""
        return [
            ("/", "GET", self.index),
            ("/lane/{lane}", "GET", self.lane_page),
            ("/events/lane/{lane}", "GET", self.lane_events),
            ("/place-code", "GET", self.place_code),
            ("/place-code.svg", "GET", self.place_code_svg),
            ("/alive", "POST", self.alive),
            ("/painted", "POST", self.painted),
            ("/emergency", "GET", self.emergency_page),
            ("/emergency", "POST", self.emergency),
            ("/guard/login", "GET", self.login_page),
            ("/guard/login", "POST", self.log_in),
            ("/guard/logout", "POST", self.log_out),
            ("/guard", "GET", self.console_page),
            ("/events/guard", "GET", self.guard_events),
            *self._camera_pages.routes(),
            *self._lane_commands.routes(),
            *self._speech.routes(),
            *self._tablet_pages.routes(),
            *self._trust_pages.routes(),
            *self._policy_pages.routes(),
            *self._clock_pages.routes(),
            *self._pass_pages.routes(),
            *self._holders.routes(),
        ]

    # --- what everybody may see ---------------------------------------------------------------------------------

    @role(Role.OPEN)
    async def index(self, request: Request) -> Response:
        """The list of screens."""
        return self._page(request, "index.html", view=self._hub.current())

    @role(Role.OPEN)
    async def lane_page(self, request: Request, lane: str) -> Response:
        """The resident's screen of one lane."""
        view = self._hub.current()
        if view is None:
            return self._starting(request)
        voices = self._speech.addresses()
        return self._page(request, "resident.html", voices=voices, **self._lane_values(view, _lane(view, lane)))

    @role(Role.OPEN)
    async def lane_events(self, request: Request, lane: str) -> Response:
        """The events of a resident's screen."""
        view = self._hub.current()
        if view is not None:
            _lane(view, lane)
        return self._events(request, lambda newest: self._draw_lane(newest, lane))

    @role(Role.OPEN)
    async def place_code(self, request: Request) -> Response:
        """The site's own place code, for phones that scan the gate."""
        return self._page(request, "place_code.html", present=bool(self._site_code_text), view=self._hub.current())

    @role(Role.OPEN)
    async def place_code_svg(self) -> Response:
        """The place code as a picture (ISO/IEC 18004, error correction M, quiet zone of four modules)."""
        if not self._site_code_text:
            raise HTTPException(404, "no place code")
        picture = io.BytesIO()
        segno.make(self._site_code_text, error="m", micro=False).save(
            picture, kind="svg", border=4, scale=8, light="#fff"
        )
        return Response(picture.getvalue(), media_type="image/svg+xml")

    @role(Role.OPEN)
    async def alive(self, request: Request) -> Response:
        """A page's heartbeat: its name, its frame counter, and whether its guard touched it meanwhile."""
        form = request.state.form
        frames = form.get("frames", "")
        if not frames.isascii() or not frames.isdigit() or len(frames) > 12:
            raise HTTPException(400, "form")
        self.watch.alive(form.get("screen", "")[:64], int(frames))
        if request.state.session and form.get("active") == "yes":
            self._touch(request)
        return Response(status_code=204)

    @role(Role.OPEN)
    async def painted(self, request: Request) -> Response:
        """A resident's screen has painted the verdict of a passage."""
        form, view = request.state.form, self._hub.current()
        if view is None:
            raise HTTPException(503, "starting")
        lane = _lane(view, form.get("lane", ""))
        if form.get("passage", "") == lane.passage:
            self.watch.painted(lane.lane, lane.passage)
        return Response(status_code=204)

    # --- emergency: no login ------------------------------------------------------------------------------------

    @role(Role.OPEN)
    async def emergency_page(self, request: Request, lane: str = "") -> Response:
        """The second step of the emergency button where there is no script to hold it for 2 s."""
        return self._page(request, "emergency.html", lane=lane[:64])

    @role(Role.OPEN)
    async def emergency(self, request: Request) -> Response:
        """Open a lane (or all: "") and keep it open. Works locked, and beside anything that hangs."""
        form = request.state.form
        lane = form.get("lane", "")[:64]
        if form.get("confirm") != "yes":
            return self._page(request, "emergency.html", lane=lane)
        if self._emergency_threads is None:
            # Threads of its own: commands that wait for something dead must not stand in its way.
            self._emergency_threads = anyio.CapacityLimiter(4)
        command = Emergency(lane=lane, open=True, guard=request.state.guard)
        result = await anyio.to_thread.run_sync(self._commands, command, limiter=self._emergency_threads)
        return self._answer(request, result, "emergency_open")

    # --- login --------------------------------------------------------------------------------------------------

    @role(Role.OPEN)
    async def login_page(self, request: Request) -> Response:
        """The locked console: login, and the emergency button."""
        response = self._login(request)
        if self._door is not None:
            await self._door.refresh(request, response)
        return response

    @role(Role.OPEN)
    async def log_in(self, request: Request) -> Response:
        """Name and secret."""
        form, words = request.state.form, self._words(request)
        if not len(self._guards):
            return self._login(request, error=words.get("login_error", "nobody"), status=403)
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

    # --- the console --------------------------------------------------------------------------------------------

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
            return self._starting(request)
        self._touch(request)
        words = self._words(request)
        return self._page(
            request,
            "console.html",
            view=view,
            board=console(view, words, self._zone, self._holders.pictured),
            guard_name=self._guards.name_of(request.state.guard),
            has_camera=bool(self._aim.lanes),
            has_trust=self._has_trust,
            has_policy=self._has_policy,
            has_clock=self._has_clock,
            has_tablets=self._has_tablets,
            has_passes=self._has_passes,
            note=words.find("done", note, default=""),
        )

    @role(Role.GUARD)
    async def guard_events(self, request: Request) -> Response:
        """The events of the console."""
        session, words, form_values = request.state.session, self._words(request), self._form_values(request)

        def draw(view: KioskView) -> dict[str, Any]:
            return self._draw_console(view, words, form_values)

        def allowed() -> bool:
            return still_paired(request) and self._sessions.guard_of(session, now_ns=self._now_ns()) is not None

        return self._events(request, draw, allowed=allowed)

    # --- refusals -----------------------------------------------------------------------------------------------

    async def login_needed(self, request: Request, error: Exception) -> Response:
        """No session: pages lead to the login, everything else is told so."""
        if request.method == "GET" and not request.url.path.startswith("/events/"):
            return RedirectResponse("/guard/login", 303)
        return self._refusal(request, 401, "not_allowed")

    async def refused(self, request: Request, error: Exception) -> Response:
        """A refusal with a sentence instead of a stack trace."""
        status = error.status_code if isinstance(error, HTTPException) else 500
        key = {404: "no_such_page", 403: "expired_page"}.get(status, "error")
        return self._refusal(request, status, key)

    async def hub_full(self, request: Request, error: Exception) -> Response:
        """Too many pages listen."""
        return self._refusal(request, 503, "error")

    async def broken(self, request: Request, error: Exception) -> Response:
        """Our own fault: logged by the server, told without detail."""
        return self._refusal(request, 500, "error")

    # --- helpers ------------------------------------------------------------------------------------------------

    def _words(self, request: Request) -> Texts:
        wanted = request.cookies.get(LANGUAGE_COOKIE, "")
        return self._texts_of(Language(wanted) if wanted in list(Language) else Language.ZH)

    def _touch(self, request: Request) -> None:
        self._sessions.touch(request.state.session, now_ns=self._now_ns())

    def _lane_now(self, lane: str) -> LaneView:
        view = self._hub.current()
        if view is None:
            raise HTTPException(503, "starting")
        return _lane(view, lane)

    def _answer(self, request: Request, result: CommandResult, done: str) -> Response:
        words = self._words(request)
        if result.done:
            text = words.get("done", done)
        else:
            text = words.find("refused", result.message, default=words.get("refused", "unknown"))
        if "application/json" in request.headers.get("accept", ""):
            return JSONResponse({"done": result.done, "text": text}, 200 if result.done else 409)
        if result.done:
            return RedirectResponse(f"/guard?note={done}", 303)
        return self._page(request, "message.html", status=409, text=text)

    def _refusal(self, request: Request, status: int, key: str) -> Response:
        words = self._words(request)
        if "application/json" in request.headers.get("accept", ""):
            return JSONResponse({"done": False, "text": words.get("ui", key)}, status)
        return self._page(request, "message.html", status=status, text=words.get("ui", key))

    def _starting(self, request: Request) -> Response:
        response = self._page(request, "starting.html", status=503)
        response.headers["refresh"] = "1"
        return response

    def _login(self, request: Request, *, error: str = "", status: int = 200) -> Response:
        view = self._hub.current()
        return self._page(request, "login.html", status=status, error=error, view=view)

    def _form_values(self, request: Request) -> dict[str, Any]:
        session = getattr(request.state, "session", "")
        return {"token": self._sessions.token(session), "open_token": self._sessions.token()}

    def _page(self, request: Request, template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
        theme = request.query_params.get("theme", request.cookies.get(THEME_COOKIE, "normal"))
        html = self._templates.get_template(template).render(
            w=self._words(request),
            zh=self._texts_of(Language.ZH),
            en=self._texts_of(Language.EN),
            boot=self._hub.boot,
            theme="contrast" if theme == "contrast" else "normal",
            logged_in=bool(getattr(request.state, "guard", "")),
            live=(self._hub.age_s() or 0) <= STALE_AFTER_S,
            **self._form_values(request),
            **values,
        )
        return HTMLResponse(html, status)

    def _part(self, request: Request, template: str, **values: Any) -> str:
        """A piece of a page, in the request's language."""
        return self._templates.get_template(template).render(w=self._words(request), **values)

    def _lane_values(self, view: KioskView, lane: LaneView) -> dict[str, Any]:
        screen = resident_screen(lane)
        # Whoever scans the gate does it while nobody's verdict stands there.
        shows_place = bool(self._site_code_text) and screen.face is Face.IDLE and lane.direction is Direction.IN
        says = self._speech.says(screen)
        return {"view": view, "lane": lane, "screen": screen, "says": says, "place_code": shows_place}

    def _draw_lane(self, view: KioskView, name: str) -> dict[str, Any]:
        lane = _lane(view, name)
        values = self._lane_values(view, lane)
        html = self._templates.get_template("_face.html").render(
            zh=self._texts_of(Language.ZH), en=self._texts_of(Language.EN), **values
        )
        screen = values["screen"]
        heard = _heard(lane.lane, lane.passage, screen.face) | self._speech.told(screen, view)
        return {"regions": {"face": html}, "lanes": [heard]}

    def _draw_console(self, view: KioskView, words: Texts, form_values: Mapping[str, Any]) -> dict[str, Any]:
        board = console(view, words, self._zone, self._holders.pictured)
        panel, strip = self._templates.get_template("_panel.html"), self._templates.get_template("_strip.html")
        regions = {f"panel-{p.lane}": panel.render(w=words, panel=p, **form_values) for p in board.lanes}
        regions["strip"] = strip.render(w=words, strip=board.strip)
        regions["recent"] = self._templates.get_template("_recent.html").render(w=words, rows=board.recent)
        return {"regions": regions, "lanes": [_heard(p.lane, p.passage, p.face) for p in board.lanes]}

    def _events(
        self,
        request: Request,
        draw: Callable[[KioskView], dict[str, Any]],
        *,
        allowed: Callable[[], bool] = lambda: True,
    ) -> Response:
        subscription = self._hub.subscribe()
        events = stream(
            self._hub,
            subscription,
            draw,
            last_event_id=request.headers.get("last-event-id", "")[:64],
            allowed=allowed,
            heartbeat_s=self._heartbeat_s,
        )
        return StreamingResponse(events, media_type="text/event-stream", headers={"x-accel-buffering": "no"})


def _heard(lane: str, passage: str, face: str) -> dict[str, Any]:
    return {"lane": lane, "passage": passage, "face": str(face)}


def _lane(view: KioskView, name: str) -> LaneView:
    for lane in view.lanes:
        if lane.lane == name:
            return lane
    raise HTTPException(404, "no such lane")
