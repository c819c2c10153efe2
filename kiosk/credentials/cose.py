"""COSE_Sign1 (RFC 9052, 4.2): the signed envelope of HCERT. Pure.

    18([ protected: bstr of a map, unprotected: map, payload: bstr, signature: bstr ])

accepted bare, under tag 18, and under CWT tag 61 around 18. What is signed is
``["Signature1", protected, h'' (no external data), payload]``. A critical header that is not understood, a
detached payload and any other COSE message are errors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kiosk.credentials.cbor import CborError, Tag, dumps, loads
from kiosk.credentials.signing_key import Algorithm

TAG_SIGN1 = 18
TAG_CWT = 61
HEADER_ALG = 1
HEADER_CRIT = 2
HEADER_KID = 4
#: RFC 9053, 2.1 and RFC 8230, 2.
ALGORITHMS = {-7: Algorithm.ES256, -37: Algorithm.PS256}


class CoseError(ValueError):
    """The bytes are not a COSE_Sign1 that this verifier reads."""


@dataclass(frozen=True, slots=True)
class Sign1:
    """One parsed envelope; nothing in it is believed before the signature verifies.

    ``algorithm`` is None when the protected header names none that is known. ``key_id`` comes from the protected
    header, and from the unprotected one only when the protected has none; None when missing or not bytes.
    """

    algorithm: Algorithm | None
    key_id: bytes | None
    payload: bytes
    signature: bytes
    signed: bytes


def parse_sign1(data: bytes) -> Sign1:
    """The envelope in ``data``. Raises CoseError for any other structure, CborError for broken CBOR."""
    message: Any = loads(data)
    if isinstance(message, Tag) and message.number == TAG_CWT:
        message = message.value
        if not isinstance(message, Tag):
            raise CoseError("a CWT tag around something untagged")
    if isinstance(message, Tag):
        if message.number != TAG_SIGN1:
            raise CoseError(f"tag {message.number} instead of COSE_Sign1")
        message = message.value
    if not isinstance(message, list) or len(message) != 4:
        raise CoseError("not an array of four")
    protected_raw, unprotected, payload, signature = message
    if not (isinstance(protected_raw, bytes) and isinstance(payload, bytes) and isinstance(signature, bytes)):
        raise CoseError("a part of another type, or a detached payload")
    if not isinstance(unprotected, dict):
        raise CoseError("an unprotected header that is not a map")
    protected = loads(protected_raw) if protected_raw else {}
    if not isinstance(protected, dict):
        raise CoseError("a protected header that is not a map")
    if HEADER_CRIT in protected or HEADER_CRIT in unprotected:
        raise CoseError("a critical header that is not understood")
    algorithm = protected.get(HEADER_ALG)
    key_id = protected[HEADER_KID] if HEADER_KID in protected else unprotected.get(HEADER_KID)
    return Sign1(
        algorithm=ALGORITHMS.get(algorithm) if type(algorithm) is int else None,
        key_id=key_id if isinstance(key_id, bytes) else None,
        payload=payload,
        signature=signature,
        signed=dumps(["Signature1", protected_raw if protected else b"", b"", payload]),
    )


__all__ = ["CborError", "CoseError", "Sign1", "parse_sign1"]
