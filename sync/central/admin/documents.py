"""The admin's page of documents: what is offered to whom, what each kiosk holds, and ending a policy for some alone."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response
from sqlalchemy import Connection

from config.errors import ConfigError
from kiosk.signed_document import DocumentKind
from sync.central.admin.pages import Admin, Auditor, checked_form
from sync.central.admin.render import page
from sync.central.context import central_of
from sync.central.held_documents import look_at_documents
from sync.central.offers import newest_versions
from sync.central.policy_withdrawal import KEY_MISSING, withdraw
from sync.errors import WireError

router = APIRouter()


@router.get("/admin/documents")
def documents_page(request: Request, visitor: Auditor) -> Response:
    """Every document that is offered, and every approved kiosk with what it holds of them."""
    central = central_of(request)
    with central.store.reading() as connection:
        there = look_at_documents(connection)
        newest = int(newest_versions(connection).get(str(DocumentKind.POLICY), "0"))
    return page(
        request,
        "documents.html",
        visitor,
        live=True,
        there=there,
        kinds=tuple(DocumentKind),
        next_policy=newest + 1,
        now_us=central.now_us(),
    )


@router.post("/admin/documents/withdraw")
async def withdraw_policy(request: Request, visitor: Admin) -> Response:
    """End a policy for some kiosks, where no key is needed for it: the one that comes instead is newer."""
    fields = await checked_form(request, visitor)
    central = central_of(request)
    number = fields.get("document", "")
    if not number.isascii() or not number.isdigit() or len(number) > 15:
        raise WireError("form document", seen=number[:20], expected="a number")

    def job(connection: Connection) -> None:
        withdraw(connection, central.now_us(), int(number), authority_key=None, by=visitor.name)

    try:
        await central.commit(job)
    except ConfigError as error:
        if error.thing == KEY_MISSING:
            raise WireError("authority's key", status=409, seen=error.seen, expected=error.expected) from error
        raise WireError("policy document", status=409, seen=error.seen, expected=error.expected) from error
    return RedirectResponse("/admin/documents", 303)
