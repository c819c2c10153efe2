"""Certifies the keys of approved kiosks, for a few weeks each, so that their guards can issue temporary passes offline.

    POST /v1/sync/pass-certificate    signed by an approved kiosk's key; answers with the certificate's bytes

The signing key may sign nothing but kiosks' keys (its public half stands in the trust folder with use ``kiosk``). A
kiosk that was revoked is given no further certificate; the one it has is ended by its key id (``revoked_keys``).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from fastapi import APIRouter, Request
from fastapi.responses import Response
from sqlalchemy import Connection

from config.central import Codes
from config.settings import secret_file
from kiosk.credentials import gp1
from sync import keys
from sync.central.app import central_of, signed_of
from sync.central.enrolment import note
from sync.central.ingest import admitted_key
from sync.certificate import CERTIFICATE_CONTEXT, certificate_statement
from sync.errors import WireError

router = APIRouter()
MAX_BODY_BYTES = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class KioskAuthority:
    """The community's key for kiosks' keys, and how long a certificate is good for (1 to 92 days)."""

    private_key: Ed25519PrivateKey = field(repr=False)
    lifetime: timedelta

    def certify(self, kiosk_id: str, public_key: bytes, now_us: int) -> bytes:
        """The certificate of one kiosk's key from now on."""
        now = datetime.fromtimestamp(now_us // 1_000_000, tz=UTC)
        return gp1.certify_kiosk(
            kiosk_id,
            Ed25519PublicKey.from_public_bytes(public_key),
            self.private_key,
            not_before=now,
            not_after=now + self.lifetime,
        )


def load_authority(codes: Codes) -> KioskAuthority | None:
    """The authority of the settings; None where the central certifies no kiosk. Raises KeyFileError, ConfigError."""
    if codes.kiosk_key is None:
        return None
    return KioskAuthority(
        private_key=keys.load_private_key(secret_file(codes.kiosk_key)), lifetime=timedelta(days=codes.kiosk_days)
    )


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
