"""What the central gives down: to each kiosk that signs for it the documents that it is offered.

The central keeps manifest, signature and body as the authority made them. It holds no key that could sign one.
"""

from __future__ import annotations

import base64

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fastapi import APIRouter, Request
from fastapi.responses import Response
from sqlalchemy import Connection, insert, select, update
from starlette.concurrency import run_in_threadpool

from kiosk.policy_fit import told
from kiosk.signed_document import SNAPSHOT_CONTEXT, DocumentKind
from sync import keys
from sync.central import offers, policy_offers
from sync.central.admission import admitted_key
from sync.central.audit import note
from sync.central.context import central_of
from sync.central.offers import newest_versions
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

NEWEST_ALONE = frozenset({DocumentKind.ROSTER, DocumentKind.REVOCATIONS, DocumentKind.CARDS})
"""An older one is offered to nobody again, and names people who moved away, or holds keys for a stolen kiosk. A policy
may come back by a withdrawal; a trust store tells of nobody."""


def publish(
    connection: Connection,
    now_us: int,
    *,
    manifest_bytes: bytes,
    signature: bytes,
    body: bytes,
    authority: bytes,
    by: str,
    instead_of: int | None = None,
) -> Manifest:
    """Take a signed document in; raises WireError when it does not check or its version is not the highest.

    A policy is offered to the kiosks that it names, one that names none to every kiosk; with ``instead_of`` it is that
    document once more, for whoever is offered it now. Of rosters, revocations and card keys the body of what came
    before is erased; what the authority signed stays.
    """
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
    if manifest.kind in NEWEST_ALONE:
        older = (documents.c.kind == str(manifest.kind)) & (documents.c.version < manifest.version)
        connection.execute(update(documents).where(older, documents.c.body != b"").values(body=b""))
    whom = ""
    if manifest.kind is DocumentKind.POLICY and instead_of is not None:
        policy_offers.offer_instead(connection, instead_of, manifest.version)
        whom = f", which is {instead_of} once more"
    elif manifest.kind is DocumentKind.POLICY:
        kiosks = policy_offers.kiosks_named(body)
        policy_offers.offer(connection, manifest.version, kiosks)
        whom = f" for {told(kiosks) if kiosks else 'every kiosk'}"
    note(connection, now_us, by, "publish", f"{manifest.kind} {manifest.version}{whom}")
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
    instead_of: int | None = None,
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
        instead_of=instead_of,
    )


@router.get("/v1/sync/documents/{kind}")
async def fetch(request: Request, kind: str) -> Response:
    """The document of a kind that the kiosk is offered, or 304 when it holds it."""
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
        kiosk_id = request.headers[KIOSK_HEADER]
        version = int(offers.read(connection, [kiosk_id]).to(kiosk_id).get(kind, "0"))
        row = connection.execute(
            select(documents).where(documents.c.kind == kind, documents.c.version == version)
        ).one_or_none()
    if row is None:
        raise WireError(f"{kind} document", status=404, seen="none was published for this kiosk")
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
