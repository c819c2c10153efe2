"""How a kiosk asks the central for the community's word on its key, with which the guard issues passes. Pure."""

from __future__ import annotations

from kiosk.records import canonical

CERTIFICATE_PATH = "/v1/sync/pass-certificate"
CERTIFICATE_CONTEXT = b"gatepost/pass-certificate/1\n"
MAX_CERTIFICATE_BYTES = 1024


def certificate_statement(kiosk_id: str, request: str) -> bytes:
    """What a kiosk signs to be given its certificate."""
    return canonical({"kiosk_id": kiosk_id, "request": request})
