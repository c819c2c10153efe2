"""What every route of the central works with: the store and its writer, who asks, and what was sent."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from fastapi import Request

from config.errors import ConfigError
from sync.central import access
from sync.central.access import Role, Visitor
from sync.central.checks import SignedBody
from sync.central.code_issuer import CodeIssuer
from sync.central.committer import Committer, SharedWork
from sync.central.ingest import Ingest
from sync.central.kiosk_authority import KioskAuthority
from sync.central.notifier import Telling
from sync.central.passphrase_desk import PassphraseDesk
from sync.central.retention import Retention
from sync.central.store import Store
from sync.errors import WireError
from sync.request_headers import HEAD_SIGNATURE_HEADER, KIOSK_HEADER, REQUEST_HEADER, SIGNATURE_HEADER
from sync.wire_fields import short

COOKIE = "gatepost_session"
REFRESH_HEADER = "Gatepost-Refresh"
"""Set by a page that refreshes itself: nobody is at the keyboard, so that the session goes idle all the same."""


def system_now_us() -> int:
    """The central's clock: UTC in microseconds."""
    return time.time_ns() // 1000


def zone_of(name: str) -> ZoneInfo:
    """The zone of an IANA name; raises ConfigError for one that is unknown."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        raise ConfigError("time zone", seen=name, expected="a name such as Asia/Shanghai") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class CentralOptions:
    """How a central shows itself: ``zone`` for times on pages, ``secure_cookies`` where it is reached by TLS.

    ``telling`` sends alerts to people, ``issuer`` gives residents' phones their health codes, ``kiosk_authority``
    certifies kiosks' keys; None where the central does neither of the last two.
    """

    site_name: str = "Gatepost"
    zone: ZoneInfo = field(default_factory=lambda: ZoneInfo("UTC"))
    secure_cookies: bool = False
    retention: Retention = field(default_factory=Retention)
    issuer: CodeIssuer | None = None
    kiosk_authority: KioskAuthority | None = None
    telling: Telling = field(default_factory=Telling)


@dataclass(slots=True)
class Central:
    """What every route works with."""

    store: Store
    ingest: Ingest
    committer: Committer
    passphrases: PassphraseDesk
    now_us: Callable[[], int]
    options: CentralOptions

    async def commit(self, job: Callable[[Any], Any]) -> Any:
        """Run ``job`` in the writer's next transaction; returns when that is durable."""
        return await asyncio.wrap_future(self.committer.submit(job))

    async def commit_shared(self, work: SharedWork, item: Any) -> Any:
        """As ``commit``, in one call with whatever else waits for the same ``work``."""
        return await asyncio.wrap_future(self.committer.submit_shared(work, item))

    def visitor(self, request: Request) -> Visitor | None:
        """Who asks, by bearer token or session cookie."""
        now_us = self.now_us()
        kind, _, token = request.headers.get("Authorization", "").partition(" ")
        with self.store.reading() as connection:
            if kind.lower() == "bearer":
                return access.visitor_of(connection, now_us, token.strip(), "token")
            cookie = request.cookies.get(COOKIE, "")
            found = access.visitor_of(connection, now_us, cookie, "browser")
        if found is not None and REFRESH_HEADER not in request.headers:
            self.committer.submit(lambda connection: access.touch(connection, now_us, cookie))
        return found


class NotSignedIn(Exception):
    """Nobody is known; pages lead to the login, programs hear 401."""


class NotAllowed(Exception):
    """Known, but the role does not include this."""


def central_of(request: Request) -> Central:
    """The central behind this application."""
    central: Central = request.app.state.central
    return central


def require(role: Role) -> Callable[[Request], Visitor]:
    """The declared role of a route; a test walks every route and demands one."""

    def visitor(request: Request) -> Visitor:
        found = central_of(request).visitor(request)
        if found is None:
            raise NotSignedIn
        if not found.may(role):
            raise NotAllowed
        return found

    visitor.required_role = role  # type: ignore[attr-defined]
    return visitor


async def body_of(request: Request, max_bytes: int) -> bytes:
    """The request's body, read no further than ``max_bytes``; raises WireError (413) beyond."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > max_bytes:
            raise WireError("request body", status=413, seen="more", expected=f"at most {max_bytes} bytes")
    return bytes(body)


async def signed_of(request: Request, max_bytes: int) -> SignedBody:
    """A signed request; raises WireError (400) for a missing or malformed header."""
    headers = request.headers
    signatures = []
    for name in (SIGNATURE_HEADER, HEAD_SIGNATURE_HEADER):
        try:
            signatures.append(base64.b64decode(headers.get(name, ""), validate=True))
        except ValueError:
            raise WireError(name, seen=headers.get(name, "")[:40], expected="base64") from None
    return SignedBody(
        kiosk_id=short(headers.get(KIOSK_HEADER, ""), KIOSK_HEADER),
        request=short(headers.get(REQUEST_HEADER, ""), REQUEST_HEADER),
        body=await body_of(request, max_bytes),
        signature=signatures[0],
        head_signature=signatures[1],
        encoding=headers.get("Content-Encoding", ""),
    )
