"""Publishing a policy from the admin's page: paste what the authority signed, read what it would change, offer it."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response
from sqlalchemy import Connection
from starlette.concurrency import run_in_threadpool

from config.errors import ConfigError
from kiosk.signed_document import DocumentKind
from sync.central.admin.pages import Admin, checked_form
from sync.central.admin.render import page
from sync.central.context import Central, central_of
from sync.central.documents import publish
from sync.central.policies import Proposal, propose
from sync.central.signed_text import MAX_TEXT_CHARS, SignedText, check_signed
from sync.errors import WireError

router = APIRouter()
MAX_FORM_BYTES = 2 * MAX_TEXT_CHARS


@dataclass(frozen=True, slots=True)
class _Wish:
    """A pasted policy that may be offered."""

    version: int
    proposal: Proposal


def _look(connection: Connection, signed: SignedText, now_us: int) -> _Wish:
    manifest = check_signed(connection, signed, DocumentKind.POLICY)
    try:
        return _Wish(manifest.version, propose(connection, signed.body, now_us))
    except ConfigError as error:
        raise WireError("pasted policy", status=409, seen=str(error)[:300]) from error


@router.post("/admin/documents/check")
async def check(request: Request, visitor: Admin) -> Response:
    """What the pasted policy would change; nothing is offered yet."""
    signed = SignedText.read((await checked_form(request, visitor, MAX_FORM_BYTES)).get("signed", "").strip())
    central = central_of(request)

    def look(central: Central) -> _Wish:
        with central.store.reading() as connection:
            return _look(connection, signed, central.now_us())

    wish = await run_in_threadpool(look, central)
    policy = wish.proposal.policy
    return page(
        request,
        "publishing.html",
        visitor,
        version=wish.version,
        proposal=wish.proposal,
        until_us=None if policy.order is None else round(policy.order.until.timestamp()) * 1_000_000,
        lets_in=[each.name for each in policy.category if each.entry is not None],
        keeps_out=[each.name for each in policy.category if each.entry is None],
        signed=str(signed),
    )


@router.post("/admin/documents/publish")
async def offer(request: Request, visitor: Admin) -> Response:
    """Offer it: looked at once more, then to its kiosks within seconds."""
    signed = SignedText.read((await checked_form(request, visitor, MAX_FORM_BYTES)).get("signed", "").strip())
    central = central_of(request)

    def job(connection: Connection) -> None:
        _look(connection, signed, central.now_us())
        publish(
            connection,
            central.now_us(),
            manifest_bytes=signed.manifest,
            signature=signed.signature,
            body=signed.body,
            authority=signed.authority,
            by=visitor.name,
        )

    await central.commit(job)
    return RedirectResponse("/admin/documents", 303)
