"""HTTP to the central and nothing else: signed bytes out, bounded answers in.

TLS is required (the system's authorities, or one pinned CA file); plain HTTP is taken for loopback addresses only.
Redirects are not followed, proxies of the environment are not used, and every exchange has deadlines.
"""

from __future__ import annotations

import base64
import ipaddress
import ssl
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from urllib.parse import urlsplit

import httpx

from sync.answer import MAX_ANSWER_BYTES
from sync.document import MANIFEST_HEADER, MAX_BODY_BYTES
from sync.errors import LinkError, SyncError
from sync.request_headers import HEAD_SIGNATURE_HEADER, KIOSK_HEADER, REQUEST_HEADER, SIGNATURE_HEADER

BATCHES_PATH = "/v1/sync/batches"
HEARTBEAT_PATH = "/v1/sync/heartbeat"
ENROL_PATH = "/v1/enrol"
DOCUMENTS_PATH = "/v1/sync/documents"


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedRequest:
    """One signed request: ``body`` as it travels; ``encoding`` is "" for an uncompressed body.

    ``head_signature`` is empty for anything but a batch. ``request`` is a fresh random id.
    """

    path: str
    kiosk_id: str
    request: str
    body: bytes
    signature: bytes
    encoding: str = ""
    head_signature: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """The HTTP status, the body (at most 256 kB), and ``Retry-After`` in seconds where the central sent one."""

    status: int
    body: bytes
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchRequest:
    """A signed question for a document newer than ``held``."""

    kind: str
    kiosk_id: str
    request: str
    held: int
    signature: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchedDocument:
    """A document as it arrived, not checked yet."""

    manifest: bytes
    signature: bytes
    body: bytes


def check_central_url(url: str) -> str:
    """``url`` without a trailing slash, if it is https, or http to a loopback address; raises SyncError otherwise."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    try:
        loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if parts.scheme == "https" and host:
        return url.rstrip("/")
    if parts.scheme == "http" and loopback:
        return url.rstrip("/")
    raise SyncError(f"central address {url}", seen=parts.scheme or "no scheme", expected="https (http on loopback)")


class Uplink:
    """A kept-open HTTP connection to one central.

    ``connect_timeout_s`` bounds reaching it, ``read_timeout_s`` each wait for bytes (the central answers only
    after its disk did). ``ca_file`` pins the authority; None takes the system's.
    """

    def __init__(
        self,
        central_url: str,
        *,
        ca_file: Path | None = None,
        connect_timeout_s: float = 5.0,
        read_timeout_s: float = 30.0,
        software: str = "gatepost",
    ) -> None:
        self._base_url = check_central_url(central_url)
        context: ssl.SSLContext | bool = True
        if ca_file is not None:
            try:
                context = ssl.create_default_context(cafile=str(ca_file))
            except (OSError, ssl.SSLError) as error:
                raise SyncError(f"CA file {ca_file}", seen=str(error), expected="a PEM certificate") from error
        self._client = httpx.Client(
            verify=context,
            trust_env=False,
            follow_redirects=False,
            timeout=httpx.Timeout(read_timeout_s, connect=connect_timeout_s),
            headers={"User-Agent": software, "Accept": "application/json", "Accept-Encoding": "identity"},
        )

    def __enter__(self) -> Uplink:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def exchange(self, request: SignedRequest) -> Reply:
        """Send ``request`` and return the whole reply; raises LinkError when there is none or it is too large."""
        headers = {
            "Content-Type": "application/json",
            KIOSK_HEADER: request.kiosk_id,
            REQUEST_HEADER: request.request,
            SIGNATURE_HEADER: base64.b64encode(request.signature).decode("ascii"),
        }
        if request.encoding:
            headers["Content-Encoding"] = request.encoding
        if request.head_signature:
            headers[HEAD_SIGNATURE_HEADER] = base64.b64encode(request.head_signature).decode("ascii")
        return self._send("POST", request.path, request.body, headers)

    def post(self, path: str, body: bytes) -> Reply:
        """Send an unsigned JSON body (enrolment proves itself inside); raises LinkError as ``exchange`` does."""
        return self._send("POST", path, body, {"Content-Type": "application/json"})

    def fetch(self, request: FetchRequest) -> FetchedDocument | None:
        """The newest document of a kind, or None when the held one is the newest; raises LinkError."""
        headers = {
            KIOSK_HEADER: request.kiosk_id,
            REQUEST_HEADER: request.request,
            SIGNATURE_HEADER: base64.b64encode(request.signature).decode("ascii"),
            "If-None-Match": f'"{request.held}"',
        }
        path = f"{DOCUMENTS_PATH}/{request.kind}"
        status, answered, body = self._transfer("GET", path, None, headers, max_bytes=MAX_BODY_BYTES)
        if status == 304:
            return None
        if status != 200:
            raise LinkError(f"document {request.kind}", seen=f"HTTP {status}", expected="200 or 304")
        try:
            manifest = base64.b64decode(answered.get(MANIFEST_HEADER, ""), validate=True)
            signature = base64.b64decode(answered.get(SIGNATURE_HEADER, ""), validate=True)
        except ValueError:
            raise LinkError(f"document {request.kind}", seen="headers that are not base64") from None
        return FetchedDocument(manifest=manifest, signature=signature, body=body)

    def _send(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> Reply:
        status, answered, received = self._transfer(method, path, body, headers, max_bytes=MAX_ANSWER_BYTES)
        return Reply(status=status, body=received, retry_after_s=retry_after_s(answered.get("Retry-After", "")))

    def _transfer(
        self, method: str, path: str, body: bytes | None, headers: dict[str, str], *, max_bytes: int
    ) -> tuple[int, httpx.Headers, bytes]:
        try:
            with self._client.stream(method, self._base_url + path, content=body, headers=headers) as response:
                received = bytearray()
                for chunk in response.iter_raw():
                    received += chunk
                    if len(received) > max_bytes:
                        raise LinkError(f"answer of {path}", seen="more", expected=f"at most {max_bytes} bytes")
                return response.status_code, response.headers, bytes(received)
        except (httpx.HTTPError, httpx.InvalidURL, ssl.SSLError, OSError) as error:
            raise LinkError(
                f"central {self._base_url}", seen=f"{type(error).__name__}: {error}"[:200], expected="an answer"
            ) from error


def retry_after_s(text: str) -> float | None:
    """Seconds of a ``Retry-After`` header (RFC 9110 §10.2.3); only the number form, which our central sends."""
    return float(text) if text.isascii() and text.isdigit() and len(text) <= 6 else None
