"""What stands before the console of tablets: a browser that was never paired sees the pairing page and nothing else
of the site (style sheet, icon and scripts of the pages are no secret).

The door is closed before any route, log-in or token: an unpaired browser with a guard's name and secret gets no further
than one without. A paired one gets the console and its forms; residents' screens, camera pictures, the trust store and
the clock stay on the kiosk's own screen.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

import anyio.to_thread
from fastapi import Request
from fastapi.responses import RedirectResponse, Response
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from config.errors import ConfigError
from kiosk.clock import Instant
from kiosk.screens.page_tools import Route
from kiosk.screens.security import Role, role
from kiosk.tablet_book import PairingError, Tablet, TabletBook

COOKIE = "__Host-gatepost_tablet"
"""RFC 6265bis, section 4.1.3.2: only over TLS, only for this host, from its root."""
COOKIE_LIFE_S = 400 * 86_400
"""The longest that browsers keep a cookie; each visit of the log-in page sets it anew."""

PAIR = "/pair"
SCRIPTS = frozenset({"/static/screens.js", "/static/sound.js"})
"""A page whose tablet is revoked while it loads learns from them that it has to go; nothing of the site is in them."""
PUBLIC = SCRIPTS | {PAIR, "/static/screens.css", "/static/icon.svg"}
LANE = "/guard/lane/{lane}"
#: The routes of the kiosk that a tablet has; a new route stays on the kiosk until it is written here.
ROUTES = frozenset(
    {
        "POST /alive",
        "GET /emergency",
        "POST /emergency",
        "GET /guard/login",
        "POST /guard/login",
        "POST /guard/logout",
        "GET /guard",
        "GET /events/guard",
        f"GET {LANE}/sheet/{{sheet}}",
        f"POST {LANE}/attest",
        f"POST {LANE}/override",
        f"POST {LANE}/acknowledge",
        f"POST {LANE}/measure-again",
        f"POST {LANE}/temperature",
        f"POST {LANE}/visitor",
        f"POST {LANE}/emergency-close",
        f"GET {LANE}/holder",
        f"GET {LANE}/holder/photo",
        "GET /guard/passes",
        "POST /guard/passes",
        "POST /guard/passes/revoke",
    }
)

FREE_TRIES = 5
FIRST_WAIT_S, MAX_WAIT_S = 2, 900
MAX_ADDRESSES = 256


class PairingTries:
    """Wrong codes by client address: five are free, then each doubles the wait from 2 s up to 15 min.

    An address is forgotten when 256 others tried since; the code itself is void after 20 wrong tries of anybody.
    """

    def __init__(self) -> None:
        self._wrong: OrderedDict[str, tuple[int, int]] = OrderedDict()

    def wait_s(self, address: str, *, now_ns: int) -> int:
        """Seconds until this address may try again; 0 for now."""
        _, until_ns = self._wrong.get(address, (0, 0))
        return max(0, -(-(until_ns - now_ns) // 10**9))

    def wrong(self, address: str, *, now_ns: int) -> None:
        """One more wrong code."""
        count = self._wrong.pop(address, (0, 0))[0] + 1
        wait_s = 0 if count < FREE_TRIES else min(MAX_WAIT_S, FIRST_WAIT_S << min(count - FREE_TRIES, 16))
        self._wrong[address] = (count, now_ns + wait_s * 10**9)
        while len(self._wrong) > MAX_ADDRESSES:
            self._wrong.popitem(last=False)

    def right(self, address: str) -> None:
        """A tablet was paired: its slips are forgotten."""
        self._wrong.pop(address, None)


class TabletDoor:
    """Pairing, and the check of every request. ``now`` is the kiosk's clock, ``told`` hears of each paired tablet."""

    def __init__(
        self, book: TabletBook, now: Callable[[], Instant], told: Callable[[Tablet], None] = lambda _: None
    ) -> None:
        self._book = book
        self._now = now
        self._told = told
        self._tries = PairingTries()
        self._page: Callable[..., Response] = lambda *_, **__: Response(status_code=503)

    def open_for(self, routes: list[Route], page: Callable[..., Response]) -> list[Route]:
        """The routes of a tablet's console, out of the kiosk's; ``page`` draws a template for a request."""
        self._page = page
        kept = [route for route in routes if f"{route[1]} {route[0]}" in ROUTES]
        return [("/", "GET", self.index), (PAIR, "GET", self.pair_page), (PAIR, "POST", self.pair), *kept]

    def wrapped(self, app: ASGIApp) -> ASGIApp:
        """The application behind the door."""

        async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http":
                await app(scope, receive, send)
                return
            cookie = Request(scope).cookies.get(COOKIE, "")
            tablet = self._book.tablet_of(cookie) if cookie else None
            scope.setdefault("state", {})["tablet"] = tablet
            scope["state"]["still_paired"] = lambda: self._book.tablet_of(cookie) is not None
            if tablet is None and scope["path"] not in PUBLIC:
                await _refusal(scope)(scope, receive, send)
                return
            await app(scope, receive, send)

        return guarded

    @role(Role.OPEN)
    async def index(self) -> Response:
        """A tablet has one screen."""
        return RedirectResponse("/guard", 303)

    @role(Role.OPEN)
    async def pair_page(self, request: Request) -> Response:
        """Where the code is typed; a paired tablet goes on to the console."""
        if request.state.tablet is not None:
            return RedirectResponse("/guard", 303)
        return self._page(request, "pair.html", error="", seconds=0)

    @role(Role.OPEN)
    async def pair(self, request: Request) -> Response:
        """One try. Everything but the right code costs the same and tells the same."""
        address = request.client.host if request.client is not None else ""
        now = self._now()
        wait_s = self._tries.wait_s(address, now_ns=now.mono_ns)
        if wait_s:
            return self._page(request, "pair.html", status=429, error="wait", seconds=wait_s)
        try:
            code = request.state.form.get("code", "")[:32]
            tablet, cookie = await anyio.to_thread.run_sync(lambda: self._book.pair(code, now=now))
        except PairingError:
            self._tries.wrong(address, now_ns=now.mono_ns)
            return self._page(request, "pair.html", status=403, error="wrong", seconds=0)
        except ConfigError:
            return self._page(request, "pair.html", status=503, error="not_written", seconds=0)
        self._tries.right(address)
        self._told(tablet)
        response = RedirectResponse("/guard", 303)
        set_cookie(response, cookie)
        return response

    async def refresh(self, request: Request, response: Response) -> None:
        """Keep the cookie of a tablet that is in use, and note when it was."""
        tablet = getattr(request.state, "tablet", None)
        if tablet is None:
            return
        set_cookie(response, request.cookies[COOKIE])
        try:
            now = self._now()
            await anyio.to_thread.run_sync(lambda: self._book.seen(tablet, now=now))
        except ConfigError:
            return  # a full disk does not lock the guard out


def still_paired(request: Request) -> bool:
    """Whether the tablet of a long answer is paired yet; always so on the kiosk's own screen."""
    check: Callable[[], bool] | None = getattr(request.state, "still_paired", None)
    return check is None or check()


def set_cookie(response: Response, cookie: str) -> None:
    """The device's cookie: for TLS, this host and no script."""
    response.set_cookie(COOKIE, cookie, max_age=COOKIE_LIFE_S, path="/", secure=True, httponly=True, samesite="strict")


def _refusal(scope: Scope) -> Response:
    if scope["method"] in ("GET", "HEAD") and not scope["path"].startswith(("/events/", "/static/")):
        return RedirectResponse(PAIR, 303)
    return PlainTextResponse("This browser is not paired with the kiosk.", 403)
