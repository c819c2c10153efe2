"""Alerts by webhook: an HTTPS POST of JSON, signed with a secret that both sides hold.

    Gatepost-Signature: t=1763766000,v1=<HMAC-SHA-256 over "1763766000." and the body, hexadecimal>

The receiver computes it over the bytes it got, compares in constant time, and refuses a ``t`` that is minutes off. The
``id`` in the body is the same when a message is sent once more because its answer was lost.
"""

from __future__ import annotations

import hmac
import ssl
from dataclasses import dataclass, field

import httpx

from kiosk.records import canonical
from sync.central.alert_message import Bundle
from sync.errors import LinkError

TIMEOUT_S = 10.0
SIGNATURE_HEADER = "Gatepost-Signature"


def signature_of(secret: bytes, at_s: int, body: bytes) -> str:
    """The value of the header for a body that is sent at ``at_s`` (UTC, whole seconds)."""
    return f"t={at_s},v1={hmac.new(secret, str(at_s).encode('ascii') + b'.' + body, 'sha256').hexdigest()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookChannel:
    """An address that takes alerts, and the secret to sign with."""

    url: str
    secret: bytes = field(repr=False)
    tls: ssl.SSLContext = field(default_factory=ssl.create_default_context)
    name: str = "webhook"

    def send(self, bundle: Bundle) -> None:
        """Post the message. Raises LinkError for anything but an answer of 200 to 299."""
        body = canonical(bundle.document())
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "gatepost-central",
            SIGNATURE_HEADER: signature_of(self.secret, bundle.sent_us // 1_000_000, body),
        }
        # No redirects: the body is for this address. No proxies of the environment either.
        try:
            with (
                httpx.Client(verify=self.tls, timeout=TIMEOUT_S, follow_redirects=False, trust_env=False) as client,
                client.stream("POST", self.url, content=body, headers=headers) as answer,
            ):
                status = answer.status_code
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            raise LinkError("webhook", seen=f"{type(error).__name__}: {error}"[:200]) from error
        if not 200 <= status < 300:
            raise LinkError("webhook", seen=f"status {status}", expected="200 to 299")
