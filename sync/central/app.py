"""The central as a web application: what kiosks call, what programs pull, what people look at.

=========================================  ==========================================================
POST /v1/sync/batches, /v1/sync/heartbeat  signed by an approved kiosk's key
GET /v1/sync/documents/{kind}              signed by an approved kiosk's key
POST /v1/sync/news                         signed by an approved kiosk's key; waits for a newer document
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
from fastapi.exception_handlers import http_exception_handler, request_validation_exception_handler
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse, Response, StreamingResponse
from fastapi.staticfiles import StaticFiles
from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from kiosk.records import canonical
from sync.answer import Answer, Result
from sync.batch import MAX_COMPRESSED_BYTES
from sync.central import audit, enrolment, exports, lists, offers
from sync.central.access import Role, Visitor
from sync.central.admin.audit import router as audit_page_router
from sync.central.admin.documents import router as documents_page_router
from sync.central.admin.orders import router as orders_router
from sync.central.admin.pages import router as admin_router
from sync.central.admin.phones import router as phones_page_router
from sync.central.admin.publishing import router as publishing_router
from sync.central.admin.refusals import is_page, refused, refused_for
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
from sync.central.documents import router as documents_router
from sync.central.ingest import Ingest
from sync.central.news import NewsDesk
from sync.central.news import router as news_router
from sync.central.notifier import Notifier
from sync.central.pass_certificates import router as certificates_router
from sync.central.passphrase_desk import PassphraseDesk
from sync.central.phone import phone_app
from sync.central.phone_routes import router as phones_router
from sync.central.security import SecurityHeaders
from sync.central.store import Store
from sync.enrol import MAX_ENROL_BYTES, parse_enrol
from sync.errors import LinkError, SyncError, WireError
from sync.heartbeat import MAX_HEARTBEAT_BYTES

CHECKED_AT_ONCE_BYTES = 4096
"""A batch up to this size of a kiosk that was heard before is checked where it was read: a millisecond or two, of which
the way to a thread and back would be a good part. The signature comes first, and the store is not asked."""
STATIC = Path(__file__).resolve().parent / "admin" / "static"


def create_app(
    store: Store,
    *,
    options: CentralOptions | None = None,
    now_us: Callable[[], int] = system_now_us,
    stopping: Callable[[], bool] = lambda: False,
) -> FastAPI:
    """The application over ``store``; it owns the writer's thread from start-up to shut-down.

    ``stopping`` says that the server is about to end, so that questions which wait are answered.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.central = Central(
            store=store,
            ingest=Ingest(store, now_us=now_us, offers=offers.read),
            committer=Committer(store),
            passphrases=PassphraseDesk(store),
            now_us=now_us,
            options=options or CentralOptions(),
        )
        central = app.state.central
        app.state.news = NewsDesk(store, stopping)
        notifier = Notifier(
            store=store,
            committer=central.committer,
            now_us=now_us,
            telling=central.options.telling,
            site=central.options.site_name,
            zone=central.options.zone,
        )
        background = [
            asyncio.create_task(Chores(central.committer, now_us, central.options.retention).run()),
            asyncio.create_task(notifier.run()),
        ]
        try:
            yield
        finally:
            for task in background:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
            central.committer.close()

    app = FastAPI(lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(SecurityHeaders)
    _add_error_answers(app)
    _add_kiosk_routes(app)
    _add_program_routes(app)
    app.include_router(documents_router)
    app.include_router(news_router)
    app.include_router(certificates_router)
    app.include_router(phones_router)
    app.include_router(admin_router)
    app.include_router(documents_page_router)
    app.include_router(audit_page_router)
    app.include_router(publishing_router)
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
        checked = central.ingest.checks.batch_at_once(signed) if len(signed.body) <= CHECKED_AT_ONCE_BYTES else None
        if checked is None:
            checked = await run_in_threadpool(central.ingest.checks.batch, signed)
        return _answered(await central.commit_shared(central.ingest.store_batches, checked))

    @app.post("/v1/sync/heartbeat")
    async def take_heartbeat(request: Request) -> Response:
        central = central_of(request)
        signed = await signed_of(request, MAX_HEARTBEAT_BYTES)
        heartbeat = await run_in_threadpool(central.ingest.checks.heartbeat, signed)
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
            lambda connection: audit.note(connection, central.now_us(), visitor.name, "export", detail)
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
    """Errors in one JSON shape for kiosks and programs, as a page in their language for people."""

    def answer(error: SyncError, status: int, retry_after_s: int | None = None) -> Response:
        headers = {"Retry-After": str(retry_after_s)} if retry_after_s is not None else None
        shape = {"thing": error.thing, "seen": error.seen, "expected": error.expected, "hint": error.hint}
        return JSONResponse({"error": shape}, status, headers=headers)

    def wait(request: Request, error: SyncError, from_s: int, to_s: int) -> Response:
        if is_page(request):
            return refused(request, 503, "refusal.busy", str(error))
        return answer(error, 503, random.randint(from_s, to_s))  # noqa: S311 - spreads retries

    @app.exception_handler(WireError)
    async def wire(request: Request, error: WireError) -> Response:
        return refused_for(request, error.status, error) if is_page(request) else answer(error, error.status)

    @app.exception_handler(LinkError)
    async def database(request: Request, error: LinkError) -> Response:
        return wait(request, error, 2, 10)

    @app.exception_handler(SQLAlchemyError)
    async def database_read(request: Request, _error: SQLAlchemyError) -> Response:
        return wait(request, SyncError("central database", seen="not readable"), 2, 10)

    @app.exception_handler(Overloaded)
    async def overloaded(request: Request, _error: Overloaded) -> Response:
        return wait(request, SyncError("central", seen="busy"), 5, 30)

    @app.exception_handler(NotSignedIn)
    async def not_signed_in(request: Request, _error: NotSignedIn) -> Response:
        if is_page(request):
            return RedirectResponse("/admin/login", 303)
        return JSONResponse({"error": {"thing": "login", "seen": "none"}}, 401, headers={"WWW-Authenticate": "Bearer"})

    @app.exception_handler(NotAllowed)
    async def not_allowed(request: Request, _error: NotAllowed) -> Response:
        if is_page(request):
            return refused(request, 403, "refusal.not_allowed")
        return JSONResponse({"error": {"thing": "role", "seen": "one that may not do this"}}, 403)

    @app.exception_handler(HTTPException)
    async def no_such_page(request: Request, error: HTTPException) -> Response:
        if is_page(request):
            return refused(request, error.status_code, "refusal.not_found")
        return await http_exception_handler(request, error)

    @app.exception_handler(RequestValidationError)
    async def odd_query(request: Request, error: RequestValidationError) -> Response:
        if is_page(request):
            return refused(request, 422, "refusal.bad_form")
        return await request_validation_exception_handler(request, error)
