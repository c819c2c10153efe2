"""The admin's page of ordered statuses: put one down, approve another admin's, lift one."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response
from sqlalchemy import Connection

from kiosk.evidence import CodeStatus
from sync.central import status_orders
from sync.central.admin.pages import Admin, checked_form
from sync.central.admin.render import page
from sync.central.context import central_of
from sync.errors import WireError
from sync.wire_fields import short

router = APIRouter()


@router.get("/admin/orders")
def orders_page(request: Request, visitor: Admin) -> Response:
    """Every order that has not ended."""
    central = central_of(request)
    now_us = central.now_us()
    with central.store.reading() as connection:
        rows = status_orders.current(connection, now_us)
    return page(request, "orders.html", visitor, rows=rows, issues=central.options.issuer is not None)


@router.post("/admin/orders")
async def propose(request: Request, visitor: Admin) -> Response:
    """Put an order down."""
    fields = await checked_form(request, visitor)
    central = central_of(request)
    issuer = central.options.issuer
    if issuer is None:
        raise WireError("health codes", status=404, seen="a central that issues none", hint="codes.key in its settings")
    try:
        status = CodeStatus(fields.get("status", ""))
    except ValueError:
        raise WireError("status", seen=fields.get("status", "")[:20], expected="yellow or red") from None
    wish = status_orders.Wish(
        subject=issuer.subject_of(short(fields.get("person_id", "").strip(), "person number")),
        status=status,
        number=fields.get("number", "").strip(),
        issuer=fields.get("issuer", "").strip(),
        appeal=fields.get("appeal", "").strip(),
        until_us=_local_us(fields.get("until", ""), central.options.zone),
    )

    def job(connection: Connection) -> None:
        status_orders.propose(connection, central.now_us(), wish, visitor.name)

    return await _done(request, job)


@router.post("/admin/orders/decide")
async def decide(request: Request, visitor: Admin) -> Response:
    """Approve another admin's order, or lift one."""
    fields = await checked_form(request, visitor)
    central = central_of(request)
    number, do = fields.get("order_id", ""), fields.get("do", "")
    if not number.isascii() or not number.isdigit() or len(number) > 15:
        raise WireError("form order_id", seen=number[:20], expected="a number")
    if do not in ("approve", "lift"):
        raise WireError("form do", seen=do[:20], expected="approve or lift")

    def job(connection: Connection) -> None:
        if do == "approve":
            status_orders.approve(connection, central.now_us(), int(number), visitor.name)
        else:
            status_orders.lift(connection, central.now_us(), int(number), visitor.name)

    return await _done(request, job)


async def _done(request: Request, job: Any) -> Response:
    await central_of(request).commit(job)
    return RedirectResponse("/admin/orders", 303)


def _local_us(text: str, zone: ZoneInfo) -> int:
    """A browser's date and time (``2026-03-31T18:00``) in the site's zone as UTC microseconds."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise WireError("order's end", seen=text[:40], expected="a date and time") from None
    return round((moment if moment.tzinfo is not None else moment.replace(tzinfo=zone)).timestamp()) * 1_000_000
