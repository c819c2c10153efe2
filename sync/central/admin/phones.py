"""The admin's page of residents' phones: a one-time link for a person, the phones enrolled, revocation."""

from __future__ import annotations

import io
from typing import Any

import segno
from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response
from markupsafe import Markup
from sqlalchemy import Connection, select

from sync.central import phones
from sync.central.access import Visitor
from sync.central.admin.pages import Admin, Auditor, checked_form
from sync.central.admin.render import page
from sync.central.context import central_of
from sync.errors import WireError
from sync.wire_fields import short

router = APIRouter()
MAX_ROWS = 500


def _rows(connection: Connection) -> list[Any]:
    """The newest phones first."""
    newest = select(phones.phones).order_by(phones.phones.c.enrolled_us.desc()).limit(MAX_ROWS)
    return list(connection.execute(newest).all())


def _page(request: Request, visitor: Visitor, **values: Any) -> Response:
    central = central_of(request)
    with central.store.reading() as connection:
        rows = _rows(connection)
    given = {"made": None, "issues": central.options.issuer is not None, "rows": rows, **values}
    return page(request, "phones.html", visitor, **given)


@router.get("/admin/phones")
def phones_page(request: Request, visitor: Auditor) -> Response:
    """Every enrolled phone, by the holder's pseudonym."""
    return _page(request, visitor)


@router.post("/admin/phones/code")
async def make_code(request: Request, visitor: Admin) -> Response:
    """A one-time link for a person of the roster, shown once, also as a QR code."""
    fields = await checked_form(request, visitor)
    central = central_of(request)
    issuer = central.options.issuer
    if issuer is None:
        raise WireError("health codes", status=404, seen="a central that issues none", hint="codes.key in its settings")
    person_id = short(fields.get("person_id", "").strip(), "person number")
    subject = issuer.subject_of(person_id)
    code = await central.commit(
        lambda connection: phones.make_code(connection, central.now_us(), subject, visitor.name)
    )
    link = f"{str(request.base_url).rstrip('/')}/code/#enrol={code}"
    return _page(
        request,
        visitor,
        made={"person_id": person_id, "subject": subject, "code": code, "link": link, "qr": _qr_svg(link)},
    )


@router.post("/admin/phones/revoke")
async def revoke(request: Request, visitor: Admin) -> Response:
    """No further code for this phone."""
    fields = await checked_form(request, visitor)
    central = central_of(request)
    phone_id = short(fields.get("phone_id", ""), "phone")
    await central.commit(lambda connection: phones.revoke(connection, central.now_us(), phone_id, visitor.name))
    return RedirectResponse("/admin/phones", 303)


def _qr_svg(text: str) -> Markup:
    """The link as a QR code inside the page: our policy lets no picture in that was not fetched."""
    picture = io.BytesIO()
    segno.make(text, error="m", micro=False).save(
        picture, kind="svg", border=4, scale=5, light="#fff", xmldecl=False, svgns=False, svgclass="qr", lineclass=None
    )
    return Markup(picture.getvalue().decode("utf-8"))  # noqa: S704 - drawn here, of modules alone
