"""The central as a web application: what kiosks call, what programs pull, what people look at.

=========================================  ==========================================================
POST /v1/sync/batches, /v1/sync/heartbeat  signed by an approved kiosk's key
GET /v1/sync/documents/{kind}              signed by an approved kiosk's key
POST /v1/sync/pass-certificate             signed by an approved kiosk's key
POST /v1/enrol                             a one-time code and a signature
GET /v1/exports/passages                   auditor: bearer token or session
GET /v1/kiosks/status                      auditor: bearer token or session
GET /health                                anybody: up, and the store can be read
/admin/…                                   a session; forms carry a token against forgery
/code/                                     anybody: the phone's own page for a GC1 code (static)
POST /v1/phones/enrol, /v1/phones/code     a one-time code, then a signature of the phone's own key
=========================================  ==========================================================
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Query, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response, StreamingResponse
from fastapi.staticfiles import StaticFiles
from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kiosk.records import canonical
from sync.answer import Answer, Result
from sync.batch import MAX_COMPRESSED_BYTES
from sync.central import enrolment, exports, lists
from sync.central.access import Role, Visitor
from sync.central.admin.orders import router as orders_router
from sync.central.admin.pages import router as admin_router
from sync.central.admin.phones import router as phones_page_router
from sync.central.chores import Chores
from sync.central.committer import Committer, Overloaded
from sync.central.context import (
    Central,
    CentralOptions,
    NotAllowed,
    NotSignedIn,
    body_of,
    central_of,
    require,
    signed_of,
    system_now_us,
)
from sync.central.documents import newest_versions
from sync.central.documents import router as documents_router
from sync.central.ingest import Ingest
from sync.central.pass_certificates import router as certificates_router
from sync.central.phone import phone_app
from sync.central.phone_routes import router as phones_router
from sync.central.store import Store
from sync.enrol import MAX_ENROL_BYTES, parse_enrol
from sync.errors import LinkError, SyncError, WireError
from sync.heartbeat import MAX_HEARTBEAT_BYTES

STATIC = Path(__file__).resolve().parent / "admin" / "static"
CSP = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)


def create_app(
    store: Store, *, options: CentralOptions | None = None, now_us: Callable[[], int] = system_now_us
) -> FastAPI:
    """The application over ``store``; it owns the writer's thread from start-up to shut-down."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.central = Central(
            store=store,
            ingest=Ingest(store, now_us=now_us, offers=newest_versions),
            committer=Committer(store),
            now_us=now_us,
            options=options or CentralOptions(),
        )
        central = app.state.central
        chores = asyncio.create_task(Chores(central.committer, now_us, central.options.retention).run())
        try:
            yield
        finally:
            chores.cancel()
            with suppress(asyncio.CancelledError):
                await chores
            central.committer.close()

    app = FastAPI(lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(SecurityHeaders)
    _add_error_answers(app)
    _add_kiosk_routes(app)
    _add_program_routes(app)
    app.include_router(documents_router)
    app.include_router(certificates_router)
    app.include_router(phones_router)
    app.include_router(admin_router)
    app.include_router(phones_page_router)
    app.include_router(orders_router)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    app.mount("/code", phone_app(), name="phone")
    return app


def _json(document: Any, status: int = 200) -> Response:
    return Response(canonical(document), status, media_type="application/json")


def _answered(answer: Answer) -> Response:
    return _json(answer.to_wire(), 409 if answer.result in (Result.GAP, Result.FORK) else 200)


def _add_kiosk_routes(app: FastAPI) -> None:
    @app.post("/v1/sync/batches")
    async def take_batch(request: Request) -> Response:
        central = central_of(request)
        signed = await signed_of(request, MAX_COMPRESSED_BYTES)
        checked = await run_in_threadpool(central.ingest.check_batch, signed)
        return _answered(await central.commit(lambda connection: central.ingest.store_batch(connection, checked)))

    @app.post("/v1/sync/heartbeat")
    async def take_heartbeat(request: Request) -> Response:
        central = central_of(request)
        signed = await signed_of(request, MAX_HEARTBEAT_BYTES)
        heartbeat = await run_in_threadpool(central.ingest.check_heartbeat, signed)
        return _answered(
            await central.commit(lambda connection: central.ingest.note_heartbeat(connection, signed, heartbeat))
        )

    @app.post("/v1/enrol")
    async def enrol(request: Request) -> Response:
        central = central_of(request)
        asked = parse_enrol(await body_of(request, MAX_ENROL_BYTES))
        fingerprint = await central.commit(lambda connection: enrolment.enrol(connection, central.now_us(), asked))
        return _json({"v": 1, "kiosk_id": asked.kiosk_id, "state": enrolment.PENDING, "fingerprint": fingerprint}, 202)

    @app.get("/health")
    async def health(request: Request) -> Response:
        def look() -> int:
            with central_of(request).store.reading() as connection:
                return central_of(request).store.epoch(connection)

        return _json({"status": "ok", "store_epoch": await run_in_threadpool(look)})


def _add_program_routes(app: FastAPI) -> None:
    @app.get("/v1/exports/passages")
    async def export_passages(
        request: Request,
        visitor: Annotated[Visitor, Depends(require(Role.AUDITOR))],
        cursor: Annotated[int, Query(ge=0, le=2**53)] = 0,
        limit: Annotated[int | None, Query(ge=1, le=10_000_000)] = None,
        format: Annotated[str, Query(pattern="^(csv|ndjson)$")] = "ndjson",
    ) -> Response:
        central = central_of(request)
        detail = f"cursor {cursor}, limit {limit}, {format}"
        await central.commit(
            lambda connection: enrolment.note(connection, central.now_us(), visitor.name, "export", detail)
        )
        found = exports.pages(central.store, cursor, limit)
        body: Iterator[bytes] = exports.as_csv(found) if format == "csv" else exports.as_ndjson(found)
        kind = "text/csv; charset=utf-8" if format == "csv" else "application/x-ndjson"
        return StreamingResponse(
            body, media_type=kind, headers={"Content-Disposition": f'attachment; filename="passages.{format}"'}
        )

    @app.get("/v1/kiosks/status")
    def kiosks_status(request: Request, visitor: Annotated[Visitor, Depends(require(Role.AUDITOR))]) -> Response:
        central = central_of(request)
        with central.store.reading() as connection:
            statuses = lists.kiosk_statuses(connection, central.now_us())
            epoch = central.store.epoch(connection)
        return JSONResponse({"store_epoch": epoch, "kiosks": [asdict(status) for status in statuses]})


def _add_error_answers(app: FastAPI) -> None:
    def error_json(error: SyncError, status: int, retry_after_s: int | None = None) -> Response:
        shape = {"thing": error.thing, "seen": error.seen, "expected": error.expected, "hint": error.hint}
        headers = {"Retry-After": str(retry_after_s)} if retry_after_s is not None else None
        return JSONResponse({"error": shape}, status, headers=headers)

    @app.exception_handler(WireError)
    async def wire(_request: Request, error: WireError) -> Response:
        return error_json(error, error.status)

    @app.exception_handler(LinkError)
    async def database(_request: Request, error: LinkError) -> Response:
        return error_json(error, 503, random.randint(2, 10))  # noqa: S311 - spreads retries, guards nothing

    @app.exception_handler(SQLAlchemyError)
    async def database_read(_request: Request, _error: SQLAlchemyError) -> Response:
        return error_json(SyncError("central database", seen="not readable"), 503, random.randint(2, 10))  # noqa: S311

    @app.exception_handler(Overloaded)
    async def overloaded(_request: Request, _error: Overloaded) -> Response:
        return error_json(SyncError("central", seen="busy"), 503, random.randint(5, 30))  # noqa: S311

    @app.exception_handler(NotSignedIn)
    async def not_signed_in(request: Request, _error: NotSignedIn) -> Response:
        if request.url.path.startswith("/admin"):
            return RedirectResponse("/admin/login", 303)
        return JSONResponse({"error": {"thing": "login", "seen": "none"}}, 401, headers={"WWW-Authenticate": "Bearer"})

    @app.exception_handler(NotAllowed)
    async def not_allowed(_request: Request, _error: NotAllowed) -> Response:
        return JSONResponse({"error": {"thing": "role", "seen": "one that may not do this"}}, 403)


class SecurityHeaders:
    """Every answer forbids framing, sniffing, scripts and anything from elsewhere."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.setdefault("Content-Security-Policy", CSP)  # the phone page brings its own
                headers["X-Content-Type-Options"] = "nosniff"
                # "no-referrer" would turn the Origin of our own forms into "null" (Fetch standard, 3.2.5).
                headers.setdefault("Referrer-Policy", "same-origin")
                headers["Cross-Origin-Opener-Policy"] = "same-origin"
                if not scope["path"].startswith("/static"):
                    headers["Cache-Control"] = "no-store"
            await send(message)

        await self._app(scope, receive, send_with_headers if scope["type"] == "http" else send)
