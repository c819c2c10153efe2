"""Certifies the keys of approved kiosks, for a few weeks each, so that their guards can issue temporary passes offline.

    POST /v1/sync/pass-certificate    signed by an approved kiosk's key; answers with the certificate's bytes

The signing key may sign nothing but kiosks' keys (its public half stands in the trust folder with use ``kiosk``). A
kiosk that was revoked is given no further certificate; the one it has is ended by its key id (``revoked_keys``).
"""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import Response
from sqlalchemy import Connection

from sync import keys
from sync.central.admission import admitted_key
from sync.central.audit import note
from sync.central.context import central_of, signed_of
from sync.central.kiosk_authority import KioskAuthority
from sync.certificate import CERTIFICATE_CONTEXT, certificate_statement
from sync.errors import WireError

router = APIRouter()
MAX_BODY_BYTES = 512


@router.post("/v1/sync/pass-certificate")
async def certify(request: Request) -> Response:
    """A fresh certificate for the kiosk that signed this request."""
    central = central_of(request)
    signed = await signed_of(request, MAX_BODY_BYTES)
    authority: KioskAuthority | None = central.options.kiosk_authority
    if authority is None:
        raise WireError("pass certificate", status=404, seen="a central that signs none", hint="codes.kiosk_key")

    def give(connection: Connection) -> bytes:
        public_key = admitted_key(connection, signed.kiosk_id)
        statement = certificate_statement(signed.kiosk_id, signed.request)
        right = keys.verify(public_key, CERTIFICATE_CONTEXT, statement, signed.signature)
        if signed.body != statement or not right:
            raise WireError("signature", status=401, seen="not by this kiosk's key")
        now_us = central.now_us()
        note(connection, now_us, signed.kiosk_id, "pass_certificate", f"{authority.lifetime.days} days")
        return authority.certify(signed.kiosk_id, public_key, now_us)

    return Response(await central.commit(give), media_type="application/octet-stream")
