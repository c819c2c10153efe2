"""What a resident's phone asks the central: to be enrolled, and for a fresh code. Signed by the phone's own key.

POST /v1/phones/enrol   {"code": "ABCD-EFGH-JKMN", "holder_key": 66 hex digits, "signature": 128 hex digits}
POST /v1/phones/code    {"at_s": whole seconds of UTC, "holder_key": …, "signature": …}
both answer             {"code": "GC1:…"}
"""

from __future__ import annotations

import json
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from sqlalchemy import Connection

from sync.central import phones
from sync.central.code_issuer import CodeIssuer
from sync.central.context import body_of, central_of
from sync.central.status_orders import status_of
from sync.errors import WireError
from sync.wire_fields import take

router = APIRouter()
MAX_BODY_BYTES = 1024


@router.post("/v1/phones/enrol")
async def enrol(request: Request) -> Response:
    """A one-time code for a key: the phone is taken in and given its first health code."""
    fields = await _fields(request, {"code": (str,), "holder_key": (str,), "signature": (str,)})

    def job(connection: Connection, now_us: int) -> phones.Holder:
        return phones.enrol(
            connection,
            now_us,
            code=fields["code"],
            holder_key=_hex(fields, "holder_key"),
            signature=_hex(fields, "signature"),
        )

    return await _answer(request, job)


@router.post("/v1/phones/code")
async def renew(request: Request) -> Response:
    """A fresh health code for a phone that is enrolled."""
    fields = await _fields(request, {"at_s": (int,), "holder_key": (str,), "signature": (str,)})

    def job(connection: Connection, now_us: int) -> phones.Holder:
        return phones.renew(
            connection,
            now_us,
            holder_key=_hex(fields, "holder_key"),
            at_s=fields["at_s"],
            signature=_hex(fields, "signature"),
        )

    return await _answer(request, job)


async def _answer(request: Request, job: Any) -> Response:
    central = central_of(request)
    issuer: CodeIssuer | None = central.options.issuer
    if issuer is None:
        raise WireError("health codes", status=404, seen="a central that issues none", hint="codes.key in its settings")

    def give(connection: Connection) -> str:
        now_us = central.now_us()
        holder = job(connection, now_us)
        status, order = status_of(connection, holder.subject, now_us)
        return issuer.issue(holder.subject, holder.holder_key, now_us, order=order, status=status)

    return JSONResponse({"code": await central.commit(give)})


async def _fields(request: Request, wanted: dict[str, tuple[type, ...]]) -> dict[str, Any]:
    body = await body_of(request, MAX_BODY_BYTES)
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        raise WireError("request", expected="JSON") from None
    fields = take(value, "request", wanted)
    if not all(isinstance(field, str) or abs(field) < 2**53 for field in fields.values()):
        raise WireError("request", seen="a number out of range")
    return fields


def _hex(fields: dict[str, Any], name: str) -> bytes:
    try:
        return bytes.fromhex(fields[name])
    except ValueError:
        raise WireError(name, seen="another text", expected="hexadecimal digits") from None
