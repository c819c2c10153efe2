"""The form of an enrolment: a kiosk asks to be admitted with its public key and a one-time code. Pure.

The request is signed with the private key, which never leaves the kiosk, so a code that was overheard cannot be
used to enrol somebody else's public key.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass

from kiosk.records import JsonValue, canonical
from sync import keys
from sync.canonical_json import loads_canonical
from sync.errors import WireError
from sync.wire_fields import hash_of, short, take

MAX_ENROL_BYTES = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrolRequest:
    """What a kiosk sends to be enrolled."""

    kiosk_id: str
    code: str
    public_key: bytes

    def statement(self) -> bytes:
        """What the kiosk signs: that the holder of this key asks to be this kiosk."""
        return canonical({"v": 1, "kiosk_id": self.kiosk_id, "code": self.code, "public_key": self.public_key.hex()})


def enrol_body(request: EnrolRequest, signature: bytes) -> bytes:
    """The request as it travels."""
    document: dict[str, JsonValue] = {
        "v": 1,
        "kiosk_id": request.kiosk_id,
        "code": request.code,
        "public_key": request.public_key.hex(),
        "signature": base64.b64encode(signature).decode("ascii"),
    }
    return canonical(document)


def parse_enrol(body: bytes) -> EnrolRequest:
    """The request in ``body``, its signature verified; raises WireError (400, 401)."""
    fields = take(loads_canonical(body, max_bytes=MAX_ENROL_BYTES), "enrolment", _FIELDS)
    request = EnrolRequest(
        kiosk_id=short(fields["kiosk_id"], "enrolment kiosk_id"),
        code=short(fields["code"], "enrolment code"),
        public_key=hash_of(fields["public_key"], "enrolment public_key"),
    )
    try:
        signature = base64.b64decode(fields["signature"], validate=True)
    except ValueError:
        signature = b""
    if not keys.verify(request.public_key, keys.ENROL_CONTEXT, request.statement(), signature):
        raise WireError("enrolment signature", status=401, seen="not by the key that asks")
    return request


_FIELDS: dict[str, tuple[type, ...]] = {
    "v": (int,),
    "kiosk_id": (str,),
    "code": (str,),
    "public_key": (str,),
    "signature": (str,),
}
