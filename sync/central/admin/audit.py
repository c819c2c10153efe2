"""The page of the audit log: who did what at the central."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import Response

from sync.central import audit
from sync.central.access import Role
from sync.central.admin.pages import Auditor, Before, older_page
from sync.central.admin.render import page
from sync.central.context import central_of

router = APIRouter()


@router.get("/admin/audit")
def audit_page(request: Request, visitor: Auditor, before: Before = None) -> Response:
    """The newest lines first, 50 a page; orders of a status are for admins alone, as their page is."""
    with central_of(request).store.reading() as connection:
        rows = audit.newest(connection, before=before, about_people=visitor.may(Role.ADMIN))
    return page(request, "audit.html", visitor, rows=rows, older=older_page(rows, "audit_id"))
