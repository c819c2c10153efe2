"""The community's word for this kiosk's key, fetched in time: with it the guard issues temporary passes offline.

The central signs it for a few weeks (``sync/central/pass_certificates.py``); from half its life on a new one is asked
for, so that a kiosk which was long without network may still issue passes. What comes is looked at before it replaces
what is held: it must name this kiosk and its very key. The gate verifies its signature by the trust store.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Protocol

import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from kiosk.credentials.code_verdict import CodeRefusedError
from kiosk.credentials.gp1 import KioskKey, kiosk_key_of
from kiosk.durable_file import replace_file
from sync import keys
from sync.certificate import CERTIFICATE_CONTEXT, CERTIFICATE_PATH, MAX_CERTIFICATE_BYTES, certificate_statement
from sync.errors import LinkError, WireError
from sync.uplink import Reply, SignedRequest

log = structlog.get_logger("gatepost.sync")


class CertificateLink(Protocol):
    """What the keeper needs of ``sync.uplink.Uplink``."""

    def exchange(self, request: SignedRequest) -> Reply:
        """Send and wait for the answer; raises LinkError."""
        ...


class CertificateKeeper:
    """The certificate in file ``path``, for the kiosk with this key."""

    def __init__(self, path: Path, *, kiosk_id: str, private_key: Ed25519PrivateKey, link: CertificateLink) -> None:
        self._path = path
        self._kiosk_id = kiosk_id
        self._key = private_key
        self._link = link

    def due(self, now: datetime) -> bool:
        """Whether there is none for this key, or the one held is past half its life."""
        try:
            held = self._read(self._path.read_bytes()[: MAX_CERTIFICATE_BYTES + 1])
        except (OSError, WireError):
            return True
        return now >= held.not_before + (held.not_after - held.not_before) / 2

    def fetch(self, now: datetime, request_id: str) -> bool:
        """Ask for one and put it in place; False where the central signs none.

        Raises LinkError when no answer comes, and WireError when it is not for this kiosk's key or is over.
        """
        body = certificate_statement(self._kiosk_id, request_id)
        request = SignedRequest(
            path=CERTIFICATE_PATH,
            kiosk_id=self._kiosk_id,
            request=request_id,
            body=body,
            signature=keys.sign(self._key, CERTIFICATE_CONTEXT, body),
        )
        reply = self._link.exchange(request)
        if reply.status == 404:
            return False
        if reply.status != 200:
            raise LinkError("pass certificate", seen=f"HTTP {reply.status}", expected="200")
        found = self._read(reply.body)
        if found.not_after <= now:
            raise WireError("pass certificate", seen=f"good until {found.not_after}", expected="a later end")
        self._put(reply.body)
        log.info("pass certificate in place", until=found.not_after.isoformat(timespec="minutes"))
        return True

    def _read(self, content: bytes) -> KioskKey:
        try:
            found = kiosk_key_of(content) if len(content) <= MAX_CERTIFICATE_BYTES else None
        except CodeRefusedError:
            found = None
        if found is None or found.public_key != self._key.public_key() or found.kiosk_id != self._kiosk_id:
            raise WireError("pass certificate", seen="another one", expected=f"one for {self._kiosk_id} and its key")
        return found

    def _put(self, content: bytes) -> None:
        try:
            replace_file(self._path, content)
        except OSError as error:
            raise LinkError(
                f"pass certificate {self._path}", seen=str(error), expected="a folder to write to"
            ) from error
