"""The admin's pages: kiosks, sync log, passages, quarantine and forks, alerts, login.

Rendered on the server, in the language of the one who asks (``render.py``). Every route but the login declares a role;
every form carries the session's token against forgery.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Annotated, Any
from urllib.parse import parse_qsl, urlencode, urlsplit
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import RedirectResponse, Response
from sqlalchemy import Connection
from starlette.concurrency import run_in_threadpool

from sync.central import access, alert_outbox, alerts, enrolment, lists, reports
from sync.central.access import Role, Visitor
from sync.central.admin.render import page, texts_for
from sync.central.admin.texts import local_time
from sync.central.context import COOKIE, Central, NotAllowed, body_of, central_of, require
from sync.errors import WireError

router = APIRouter()
MAX_FORM_BYTES = 16 * 1024
MAX_FORM_FIELDS = 20
TEXT_CHARS = 80

Auditor = Annotated[Visitor, Depends(require(Role.AUDITOR))]
Operator = Annotated[Visitor, Depends(require(Role.OPERATOR))]
Admin = Annotated[Visitor, Depends(require(Role.ADMIN))]
Before = Annotated[int | None, Query(ge=0, le=2**53)]
Word = Annotated[str, Query(max_length=TEXT_CHARS)]


async def form_of(request: Request, max_bytes: int = MAX_FORM_BYTES) -> dict[str, str]:
    """The fields of a form, at most ``max_bytes`` and 20; raises WireError beyond."""
    if request.headers.get("Content-Type", "").partition(";")[0] != "application/x-www-form-urlencoded":
        raise WireError("form", status=415, expected="application/x-www-form-urlencoded")
    origin = request.headers.get("Origin")
    if origin is not None and urlsplit(origin).netloc != request.headers.get("Host"):
        raise NotAllowed
    body = await body_of(request, max_bytes)
    try:
        return dict(parse_qsl(body.decode("utf-8"), keep_blank_values=True, max_num_fields=MAX_FORM_FIELDS))
    except ValueError:
        raise WireError("form", expected=f"UTF-8 and at most {MAX_FORM_FIELDS} fields") from None


async def checked_form(request: Request, visitor: Visitor, max_bytes: int = MAX_FORM_BYTES) -> dict[str, str]:
    """The fields of a form that this visitor's own page sent; raises NotAllowed for a forged one."""
    fields = await form_of(request, max_bytes)
    if not visitor.csrf or not hmac.compare_digest(fields.get("csrf", ""), visitor.csrf):
        raise NotAllowed
    return fields


def _see(path: str) -> Response:
    return RedirectResponse(path, 303)


def _reading(request: Request, job: Callable[[Connection, int], Any]) -> Any:
    central = central_of(request)
    with central.store.reading() as connection:
        return job(connection, central.now_us())


async def _writing(central: Central, job: Callable[[Connection, int], Any]) -> Any:
    return await central.commit(lambda connection: job(connection, central.now_us()))


@router.get("/")
@router.get("/admin")
def home() -> Response:
    """The kiosks page is where everybody starts."""
    return _see("/admin/kiosks")


@router.get("/admin/login")
def login_page(request: Request) -> Response:
    """The login form."""
    return page(request, "login.html", None, wrong=False)


@router.post("/admin/login")
async def log_in(request: Request) -> Response:
    """Check name and passphrase; the wait after wrong ones grows."""
    fields = await form_of(request)
    central = central_of(request)
    name, passphrase = fields.get("name", "")[:TEXT_CHARS], fields.get("passphrase", "")
    compared = await central.passphrases.compare(name, passphrase)
    token = await _writing(central, lambda connection, now_us: access.log_in(connection, now_us, name, compared))
    if token is None:
        return page(request, "login.html", None, status=403, wrong=True)
    found = _see("/admin/kiosks")
    found.set_cookie(
        COOKIE, token, httponly=True, samesite="strict", secure=central.options.secure_cookies, max_age=12 * 3600
    )
    return found


@router.post("/admin/logout")
async def log_out(request: Request, visitor: Auditor) -> Response:
    """End the session."""
    await checked_form(request, visitor)
    token = request.cookies.get(COOKIE, "")
    await _writing(central_of(request), lambda connection, _now_us: access.log_out(connection, token))
    found = _see("/admin/login")
    found.delete_cookie(COOKIE)
    return found


@router.get("/admin/kiosks")
def kiosks_page(request: Request, visitor: Auditor) -> Response:
    """Every kiosk: seen when, how far, what is missing; approval and revocation for admins."""
    return _kiosks(request, visitor, None)


def _kiosks(request: Request, visitor: Visitor, code: tuple[str, str] | None) -> Response:
    channels = [channel.name for channel in central_of(request).options.telling.channels]
    statuses, open_alerts, troubles = _reading(
        request,
        lambda connection, now_us: (
            lists.kiosk_statuses(connection, now_us),
            lists.open_alerts(connection),
            alert_outbox.troubles(connection, channels),
        ),
    )
    return page(
        request,
        "kiosks.html",
        visitor,
        live=True,
        kiosks=statuses,
        alerts=open_alerts,
        troubles=troubles,
        code=code,
    )


@router.post("/admin/kiosks/code")
async def make_code(request: Request, visitor: Admin) -> Response:
    """A one-time enrolment code, shown once."""
    fields = await checked_form(request, visitor)
    kiosk_id = fields.get("kiosk_id", "").strip()
    code = await _writing(
        central_of(request),
        lambda connection, now_us: enrolment.make_code(connection, now_us, kiosk_id, visitor.name),
    )
    return await run_in_threadpool(_kiosks, request, visitor, (kiosk_id, code))


@router.post("/admin/kiosks/decide")
async def decide(request: Request, visitor: Admin) -> Response:
    """Approve or revoke a kiosk's key by its fingerprint."""
    fields = await checked_form(request, visitor)
    state = {"approve": enrolment.APPROVED, "revoke": enrolment.REVOKED}.get(fields.get("do", ""))
    if state is None:
        raise WireError("form do", seen=fields.get("do", "")[:20], expected="approve or revoke")
    decided = await _writing(
        central_of(request),
        lambda connection, now_us: enrolment.decide(
            connection,
            now_us,
            kiosk_id=fields.get("kiosk_id", ""),
            fingerprint=fields.get("fingerprint", ""),
            state=state,
            by=visitor.name,
        ),
    )
    if not decided:
        raise WireError("kiosk's key", status=409, seen="another one than on the page", hint="look at the page again")
    return _see("/admin/kiosks")


@router.get("/admin/sync-log")
def sync_log_page(
    request: Request, visitor: Auditor, kiosk: Word = "", result: Word = "", before: Before = None
) -> Response:
    """The sync log: every batch, and for each chain what is stored, missing, gone or set aside."""
    rows, statuses, names = _reading(
        request,
        lambda connection, now_us: (
            lists.sync_log(connection, kiosk_id=kiosk, result=result, before=before),
            lists.kiosk_statuses(connection, now_us),
            lists.distinct_kiosks(connection),
        ),
    )
    shown = [status for status in statuses if kiosk in ("", status.kiosk_id)]
    older = older_page(rows, "batch_id", kiosk=kiosk, result=result)
    return page(
        request,
        "sync_log.html",
        visitor,
        live=True,
        rows=rows,
        kiosks=shown,
        names=names,
        wanted={"kiosk": kiosk, "result": result},
        older=older,
    )


@router.get("/admin/passages")
def passages_page(
    request: Request,
    visitor: Auditor,
    *,
    kiosk: Word = "",
    lane: Word = "",
    verdict: Word = "",
    reason: Word = "",
    category: Word = "",
    day: Word = "",
    before: Before = None,
) -> Response:
    """Passages with filters, 50 a page."""
    from_us, to_us = _day_bounds(day, central_of(request).options.zone)
    category = texts_for(request).code_of("category", category.strip())
    wanted = lists.PassageFilter(
        kiosk_id=kiosk,
        lane=lane,
        verdict=verdict,
        reason=reason,
        category=category,
        from_us=from_us,
        to_us=to_us,
        before=before,
    )
    rows, names = _reading(
        request,
        lambda connection, _now_us: (lists.find_passages(connection, wanted), lists.distinct_kiosks(connection)),
    )
    chosen = {"kiosk": kiosk, "lane": lane, "verdict": verdict, "reason": reason, "category": category, "day": day}
    return page(
        request,
        "passages.html",
        visitor,
        rows=rows,
        names=names,
        wanted=chosen,
        older=older_page(rows, "receive_id", **chosen),
    )


@router.get("/admin/report")
def report_page(request: Request, visitor: Auditor, day: Word = "") -> Response:
    """The day in numbers, that nobody has to fill in; today unless another day is asked for."""
    central = central_of(request)
    zone = central.options.zone
    from_us, to_us = _day_bounds(day, zone)
    if from_us is None or to_us is None:
        day = local_time(central.now_us(), zone)[:10]
        from_us, to_us = _day_bounds(day, zone)
    assert from_us is not None and to_us is not None  # noqa: S101, PT018 - today is a day
    report = _reading(
        request, lambda connection, _now_us: reports.daily_report(connection, zone, from_us=from_us, to_us=to_us)
    )
    return page(request, "report.html", visitor, day=day, report=report)


@router.get("/admin/quarantine")
def quarantine_page(request: Request, visitor: Auditor, before: Before = None) -> Response:
    """Records that were set aside, and forks."""
    rows, found_forks = _reading(
        request, lambda connection, _now_us: (lists.quarantined(connection, before), lists.all_forks(connection))
    )
    return page(
        request, "quarantine.html", visitor, rows=rows, forks=found_forks, older=older_page(rows, "quarantine_id")
    )


@router.post("/admin/alerts/close")
async def close_alert(request: Request, visitor: Operator) -> Response:
    """Somebody dealt with an alert."""
    fields = await checked_form(request, visitor)
    number = fields.get("alert_id", "")
    if not number.isascii() or not number.isdigit() or len(number) > 15:
        raise WireError("form alert_id", seen=number[:20], expected="a number")
    await _writing(
        central_of(request),
        lambda connection, now_us: alerts.close_alert(connection, now_us, int(number), visitor.name),
    )
    return _see("/admin/kiosks")


def older_page(rows: list[Any], key: str, **wanted: str) -> str:
    """The query of the next older page, or "" on the last."""
    if len(rows) < lists.PAGE_ROWS:
        return ""
    chosen = {name: value for name, value in wanted.items() if value}
    return "?" + urlencode({**chosen, "before": getattr(rows[-1], key)})


def _day_bounds(day: str, zone: ZoneInfo) -> tuple[int | None, int | None]:
    """A local day ``YYYY-MM-DD`` as microseconds; anything else means any day."""
    try:
        start = datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=zone)
        return int(start.timestamp()) * 1_000_000, int((start + timedelta(days=1)).timestamp()) * 1_000_000
    except (ValueError, OverflowError):  # the calendar's last day has no next one
        return None, None
