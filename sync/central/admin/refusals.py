"""What a person is told when the central refuses something on its pages: one sentence in their language, a way back.

The exact words of the error stand below it, folded, for whoever looks after the central.
"""

from __future__ import annotations

from fastapi import Request
from fastapi.responses import Response

from config.errors import GatepostError
from sync.central.admin.render import page

#: The text of a refusal by the thing that its error names; a test holds it against the pages' code.
TEXT_OF = {
    "form": "refusal.bad_form",
    "form do": "refusal.bad_form",
    "form order_id": "refusal.bad_form",
    "form alert_id": "refusal.bad_form",
    "request body": "refusal.too_large",
    "health codes": "refusal.no_codes",
    "kiosk id": "refusal.kiosk_id",
    "kiosk's key": "refusal.key_changed",
    "form document": "refusal.bad_form",
    "authority's key": "refusal.key_needed",
    "policy document": "refusal.policy_stays",
    "signed text": "refusal.signed_text",
    "document number": "refusal.document_number",
    "authority": "refusal.other_authority",
    "pasted policy": "refusal.policy_refused",
    "person number": "refusal.person_id",
    "phone": "refusal.phone_id",
    "status": "refusal.status",
    "order's number": "refusal.order_number",
    "order's issuer": "refusal.order_issuer",
    "order's appeal": "refusal.order_appeal",
    "order's end": "refusal.order_end",
    "order": "refusal.order_gone",
}


def is_page(request: Request) -> bool:
    """Whether a person waits for the answer, not a program."""
    return request.url.path.startswith("/admin")


def refused(request: Request, status: int, why: str, detail: str = "") -> Response:
    """The page of a refusal: ``why`` is the key of its text."""
    return page(request, "refused.html", None, status=status, why=why, detail=detail)


def refused_for(request: Request, status: int, error: GatepostError) -> Response:
    """The page of what was wrong with a form."""
    own = error.thing == "order" and status == 403
    why = "refusal.order_own" if own else TEXT_OF.get(error.thing, "refusal.other")
    return refused(request, status, why, str(error))
