"""The page on a resident's phone that shows a ``GC1:`` code and signs it anew every 30 seconds.

Static files with a policy of their own. The phone makes a P-256 key that its browser will not hand out. It enrols once
by the link ``…/code/#enrol=CODE`` that an admin made, and then asks this central for fresh codes (``phone_routes.py``).
Where the central issues none, the office issues one by hand (``gatepost code issue --holder-key``) and sends the link
``…/code/#GC1:…``. What stands behind the # is not sent to any server. Bytes: ``docs/formats-codes.md``.
"""

from __future__ import annotations

from pathlib import Path

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

PAGE = Path(__file__).resolve().parent / "phone_page"
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; frame-ancestors 'none'; "
        "base-uri 'none'; form-action 'none'"
    ),
    "Cache-Control": "no-cache",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class _OwnHeaders:
    """Sets :data:`HEADERS` on every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
            await send(message)

        await self._app(scope, receive, with_headers)


def phone_app() -> ASGIApp:
    """To be mounted at ``/code``; browsers give keys to pages over TLS or on the same machine only."""
    return _OwnHeaders(Starlette(routes=[Mount("/", StaticFiles(directory=PAGE, html=True))]))
