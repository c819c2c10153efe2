"""National trust lists as they are published, turned into the files of a trust folder. Pure.

German DSC list   base64 of r ‖ s (ECDSA P-256, SHA-256), line feed, JSON {"certificates": [{"kid", "rawData",
                  "country", "certificateType", …}]}; what is signed is the JSON's exact bytes
VCI snapshot      JSON {"directory", "time", "issuerInfo": […]} and a detached signature: ECDSA (P-521, SHA-512,
                  DER) by the certificate published beside it
"""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from config.errors import GatepostError
from kiosk.credentials.signing_key import SigningKey, UnsupportedKeyError


class ListError(GatepostError):
    """A published list whose signature or form is wrong."""


def german_dsc_list(content: bytes, public_key_pem: bytes) -> bytes:
    """``hcert_dsc.json`` from the signed list. Raises ListError unless the list's own signature verifies."""
    head, separator, body = content.partition(b"\n")
    try:
        signature = base64.b64decode(head, validate=True)
        key = SigningKey.of(load_pem_public_key(public_key_pem))
    except (binascii.Error, ValueError, UnsupportedKeyError) as error:
        raise ListError("DSC list", seen=str(error)[:80], expected="a signature line and a P-256 key") from None
    body = body.strip()
    if not separator or not key.verifies(signature, body):
        raise ListError(
            "DSC list", seen="a signature that does not verify", expected="the publisher's", hint="fetch it"
        )
    rows = _rows(body, "certificates")
    chosen = [row for row in rows if isinstance(row, dict) and row.get("certificateType", "DSC") == "DSC"]
    return _document("certificates", [{"kid": row.get("kid"), "x509": row.get("rawData")} for row in chosen])


def vci_snapshot(content: bytes, signature: bytes, public_key: object) -> bytes:
    """``shc_issuers.json`` from the snapshot. ``public_key`` is that of the published certificate; ListError unless
    the detached signature verifies."""
    if not isinstance(public_key, ec.EllipticCurvePublicKey):
        raise ListError("VCI snapshot", seen=type(public_key).__name__, expected="an EC key")
    try:
        public_key.verify(signature, content, ec.ECDSA(hashes.SHA512()))
    except InvalidSignature:
        raise ListError("VCI snapshot", seen="a signature that does not verify", expected="the publisher's") from None
    fields = ("kty", "kid", "use", "alg", "crv", "x", "y")
    issuers = [
        {
            "issuer": {"iss": row["issuer"].get("iss")},
            "keys": [{name: key[name] for name in fields if name in key} for key in row.get("keys", [])],
        }
        for row in _rows(content, "issuerInfo")
        if isinstance(row, dict) and isinstance(row.get("issuer"), dict)
    ]
    return _document("issuerInfo", issuers)


def _rows(content: bytes, key: str) -> list[Any]:
    try:
        rows = json.loads(content)[key]
    except (ValueError, KeyError, TypeError) as error:
        raise ListError("published list", seen=str(error)[:80], expected=f"JSON with {key}") from None
    if not isinstance(rows, list):
        raise ListError("published list", seen=type(rows).__name__, expected=f"a list of {key}")
    return rows


def _document(key: str, rows: list[Any]) -> bytes:
    return json.dumps({key: rows}, ensure_ascii=False, indent=1).encode("utf-8")
