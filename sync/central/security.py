"""What every answer of the central forbids a browser, and the one exception for pages that refresh themselves."""

from __future__ import annotations

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

CSP = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
CSP_LIVE = CSP + "; script-src 'self'; connect-src 'self'"
"""For a live page: one script of ours, which may ask this central and nobody else."""


class SecurityHeaders:
    """Every answer forbids framing, sniffing, scripts and anything from elsewhere."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.setdefault("Content-Security-Policy", CSP)  # the phone page and live pages bring their own
                headers["X-Content-Type-Options"] = "nosniff"
                # "no-referrer" would turn the Origin of our own forms into "null" (Fetch standard, 3.2.5).
                headers.setdefault("Referrer-Policy", "same-origin")
                headers["Cross-Origin-Opener-Policy"] = "same-origin"
                if not scope["path"].startswith("/static"):
                    headers["Cache-Control"] = "no-store"
            await send(message)

        await self._app(scope, receive, send_with_headers if scope["type"] == "http" else send)
