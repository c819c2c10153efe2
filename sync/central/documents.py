"""What the central gives down: the newest document of each kind, to kiosks that sign for it.

The central keeps manifest, signature and body as the authority made them. It holds no key that could sign one.
"""

from __future__ import annotations

import base64

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fastapi import APIRouter, Request
from fastapi.responses import Response
from sqlalchemy import Connection, func, insert, select
from starlette.concurrency import run_in_threadpool

from kiosk.signed_document import SNAPSHOT_CONTEXT, DocumentKind
from sync import keys
from sync.central.admission import admitted_key
from sync.central.context import central_of
from sync.central.enrolment import note
from sync.central.tables import Document, table
from sync.document import (
    FETCH_CONTEXT,
    MANIFEST_HEADER,
    Manifest,
    check_document,
    fetch_statement,
    kind_of,
    read_manifest,
)
from sync.errors import WireError
from sync.request_headers import KIOSK_HEADER, REQUEST_HEADER, SIGNATURE_HEADER
from sync.wire_fields import short

documents = table(Document)
router = APIRouter()
_NEWEST = select(documents.c.kind, func.max(documents.c.version).label("version")).group_by(documents.c.kind)


def newest_versions(connection: Connection) -> dict[str, str]:
    """Kind to newest version, as offered in every answer to a kiosk."""
    return {row.kind: str(row.version) for row in connection.execute(_NEWEST)}


def publish(
    connection: Connection,
    now_us: int,
    *,
    manifest_bytes: bytes,
    signature: bytes,
    body: bytes,
    authority: bytes,
    by: str,
) -> Manifest:
    """Take a signed document in; raises WireError when it does not check or its version is not the highest."""
    asked = read_manifest(manifest_bytes)
    held = int(newest_versions(connection).get(str(asked.kind), "0"))
    manifest = check_document(manifest_bytes, signature, body, authority=authority, wanted=asked.kind, held=held)
    connection.execute(
        insert(documents).values(
            kind=str(manifest.kind),
            version=manifest.version,
            manifest=manifest_bytes,
            signature=signature,
            body=body,
            published_us=now_us,
            published_by=by,
        )
    )
    note(connection, now_us, by, "publish", f"{manifest.kind} {manifest.version}")
    return manifest


def sign_and_publish(
    connection: Connection,
    now_us: int,
    *,
    kind: DocumentKind,
    body: bytes,
    authority_key: Ed25519PrivateKey,
    by: str,
    version: int | None = None,
) -> Manifest:
    """Sign ``body`` with the authority's key, which is not kept, and offer it; the next version unless one is given."""
    version = int(newest_versions(connection).get(str(kind), "0")) + 1 if version is None else version
    manifest_bytes = Manifest.of(kind, version, body, now_us).to_bytes()
    return publish(
        connection,
        now_us,
        manifest_bytes=manifest_bytes,
        signature=keys.sign(authority_key, SNAPSHOT_CONTEXT, manifest_bytes),
        body=body,
        authority=keys.public_bytes(authority_key),
        by=by,
    )


@router.get("/v1/sync/documents/{kind}")
async def fetch(request: Request, kind: str) -> Response:
    """The newest document of a kind, or 304 when the kiosk holds it."""
    wanted = kind_of(kind)
    kiosk_id = short(request.headers.get(KIOSK_HEADER, ""), KIOSK_HEADER)
    request_id = short(request.headers.get(REQUEST_HEADER, ""), REQUEST_HEADER)
    try:
        signature = base64.b64decode(request.headers.get(SIGNATURE_HEADER, ""), validate=True)
    except ValueError:
        signature = b""
    return await run_in_threadpool(_answer, request, wanted, fetch_statement(kiosk_id, wanted, request_id), signature)


def _answer(request: Request, kind: str, statement: bytes, signature: bytes) -> Response:
    with central_of(request).store.reading() as connection:
        public_key = admitted_key(connection, request.headers[KIOSK_HEADER])
        if not keys.verify(public_key, FETCH_CONTEXT, statement, signature):
            raise WireError("signature", status=401, seen="not by this kiosk's key")
        row = connection.execute(
            select(documents).where(documents.c.kind == kind).order_by(documents.c.version.desc()).limit(1)
        ).one_or_none()
    if row is None:
        raise WireError(f"{kind} document", status=404, seen="none was published")
    tag = f'"{row.version}"'
    if request.headers.get("If-None-Match") == tag:
        return Response(status_code=304, headers={"ETag": tag})
    return Response(
        bytes(row.body),
        media_type="application/octet-stream",
        headers={
            "ETag": tag,
            MANIFEST_HEADER: base64.b64encode(bytes(row.manifest)).decode("ascii"),
            SIGNATURE_HEADER: base64.b64encode(bytes(row.signature)).decode("ascii"),
        },
    )
