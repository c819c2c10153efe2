"""What stands before every page: declared roles, tokens, origins, sizes, headers.

A route without a declared role is refused to everybody: forgetting it shows at once and opens nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kiosk.screens.sessions import COOKIE, Sessions

MAX_BODY_BYTES = 16 * 1024
MAX_FIELDS = 24
MAX_FIELD_CHARS = 1000
MAX_TARGET_BYTES = 2048

HEADERS = {
    "content-security-policy": (
        "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    # "no-referrer" would turn the Origin of our own forms into "null".
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
}


class Role(StrEnum):
    """Who may use a route."""

    OPEN = "open"
    GUARD = "guard"


Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])


def role(needed: Role) -> Callable[[Endpoint], Endpoint]:
    """Declare who may use a route's endpoint."""

    def declare(endpoint: Endpoint) -> Endpoint:
        endpoint.gatepost_role = needed  # type: ignore[attr-defined]
        return endpoint

    return declare


def declared_role(endpoint: object) -> Role | None:
    """The role an endpoint was declared with, or None."""
    found = getattr(endpoint, "gatepost_role", None)
    return found if isinstance(found, Role) else None


class LoginNeededError(Exception):
    """A guard's page was asked for without a session."""


class Gatekeeper:
    """The dependency of every route: role, then (for a POST) origin and token."""

    def __init__(self, sessions: Sessions, now_ns: Callable[[], int]) -> None:
        self._sessions = sessions
        self._now_ns = now_ns

    async def __call__(self, request: Request) -> None:
        """Fill ``request.state.guard``, ``.session`` and ``.form``; raise for what may not pass."""
        needed = declared_role(request.scope.get("endpoint"))
        if needed is None:
            raise HTTPException(403, "no role declared")
        session = request.cookies.get(COOKIE, "")
        guard = self._sessions.guard_of(session, now_ns=self._now_ns()) if session else None
        request.state.guard = guard or ""
        request.state.session = session if guard else ""
        if request.method == "POST":
            request.state.form = await read_form(request)
        if needed is Role.GUARD and guard is None:
            raise LoginNeededError
        if request.method == "POST":
            _check_origin(request)
            bound_to = session if needed is Role.GUARD else ""
            token = request.headers.get("x-gatepost-token") or request.state.form.get("token", "")
            if not self._sessions.token_ok(token, bound_to):
                raise HTTPException(403, "token")


def _check_origin(request: Request) -> None:
    # Fetch standard, "Origin header": every browser sends it with a POST. Sec-Fetch-Site where there is one.
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise HTTPException(403, "origin")
    origin = request.headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != request.headers.get("host", ""):
        raise HTTPException(403, "origin")


async def read_form(request: Request) -> dict[str, str]:
    """The fields of an urlencoded form, bounded in number and length; nothing else is read at all."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise HTTPException(415, "content type")
    body = await request.body()
    try:
        pairs = parse_qsl(
            body.decode("ascii"), keep_blank_values=True, max_num_fields=MAX_FIELDS, encoding="utf-8", errors="strict"
        )
    except ValueError:
        raise HTTPException(400, "form") from None
    if any(len(key) > 40 or len(value) > MAX_FIELD_CHARS for key, value in pairs):
        raise HTTPException(400, "form")
    form = dict(pairs)
    if len(form) != len(pairs):
        raise HTTPException(400, "form")
    return form


class Wall:
    """ASGI middleware: known hosts only, bounded targets and bodies, security headers on every answer."""

    def __init__(self, app: ASGIApp, allowed_hosts: Iterable[str], *, tls: bool = False) -> None:
        self._app = app
        self._hosts = frozenset(allowed_hosts)
        self._tls = tls

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve, or refuse with a plain sentence."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                if self._tls:
                    # RFC 6797; browsers take it for names alone, and leave it out for addresses by themselves.
                    headers.setdefault("strict-transport-security", "max-age=31536000")
                # Style and script are asked after each time and answered "not modified"; pages are never kept.
                headers.setdefault("cache-control", "no-cache" if scope["path"].startswith("/static/") else "no-store")
            await send(message)

        refusal = self._refusal(scope)
        if refusal is not None:
            await refusal(scope, receive, send_with_headers)
            return
        await self._app(scope, _bounded(receive), send_with_headers)

    def _refusal(self, scope: Scope) -> PlainTextResponse | None:
        headers = Headers(scope=scope)
        if host_name(headers.get("host", "")) not in self._hosts:
            # A page elsewhere may point its own name at 127.0.0.1 (DNS rebinding).
            return PlainTextResponse("This name is not one of the kiosk's.", 421)
        if len(scope.get("raw_path", b"")) + len(scope.get("query_string", b"")) > MAX_TARGET_BYTES:
            return PlainTextResponse("Address too long.", 414)
        length = headers.get("content-length", "0")
        if not length.isascii() or not length.isdigit() or int(length[:9]) > MAX_BODY_BYTES or len(length) > 9:
            return PlainTextResponse("Too large.", 413)
        return None


def host_name(host: str) -> str:
    """The name in a Host header without its port; brackets of an IPv6 address stay."""
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.partition(":")[0].lower()


def bracketed(name: str) -> str:
    """A name or address as it stands in an address and in a Host header: IPv6 in brackets."""
    return f"[{name}]" if ":" in name else name


def _bounded(receive: Receive) -> Receive:
    seen = 0

    async def bounded() -> Message:
        nonlocal seen
        message = await receive()
        if message["type"] == "http.request":
            seen += len(message.get("body", b""))
            if seen > MAX_BODY_BYTES:  # a chunked body declares no length
                raise HTTPException(413, "too large")
        return message

    return bounded
