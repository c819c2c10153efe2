"""Health codes for the demo and the tests: a throw-away issuer that signs real HCERTs. Never used by a gate.

    issuer = DemoIssuer.create(now)
    issuer.write_trust_folder(folder)                        # hcert_dsc.json, hcert_revoked.json
    text = issuer.hcert(person, issued_at=now, expires_at=now + timedelta(days=30))
    forged = issuer.forged_hcert(person, issued_at=now, expires_at=now + timedelta(days=30))

The key lives as long as the object: nothing signed here is worth anything in another run.
"""

from __future__ import annotations

import base64
import hashlib
import json
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from kiosk.credentials import base45, hcert
from kiosk.credentials.cbor import Tag, dumps
from kiosk.credentials.person_match import normal_name

#: ISO 3166 user-assigned: no country's.
DEMO_COUNTRY = "XG"
_ALG_ES256 = -7


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoPerson:
    """Whom a demo code names. ``surname`` and ``given`` in Latin letters, ``birth_date`` as ``YYYY-MM-DD``."""

    surname: str
    given: str
    birth_date: str


def es256_signature(key: ec.EllipticCurvePrivateKey, signed: bytes) -> bytes:
    """ES256 over ``signed``: r ‖ s, 64 bytes."""
    r, s = decode_dss_signature(key.sign(signed, ec.ECDSA(hashes.SHA256())))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def _standard(name: str) -> str:
    return "<".join(part for part in map(normal_name, name.replace("-", " ").split()) if part)


def _certificate_id(person: DemoPerson, issued_at: datetime) -> str:
    seed = f"{person.surname}|{person.given}|{person.birth_date}|{issued_at.timestamp()}"
    return f"URN:UVCI:01:{DEMO_COUNTRY}:{hashlib.sha256(seed.encode()).hexdigest()[:20].upper()}"


def _certificate(person: DemoPerson, issued_at: datetime) -> dict[str, Any]:
    vaccination = {
        "tg": "840539006",
        "vp": "1119349007",
        "mp": "EU/1/20/1528",
        "ma": "ORG-100030215",
        "dn": 2,
        "sd": 2,
        "dt": issued_at.date().isoformat(),
        "co": DEMO_COUNTRY,
        "is": "Gatepost demo",
        "ci": _certificate_id(person, issued_at),
    }
    name = {
        "fn": person.surname,
        "gn": person.given,
        "fnt": _standard(person.surname),
        "gnt": _standard(person.given),
    }
    return {"ver": "1.3.0", "nam": name, "dob": person.birth_date, "v": [vaccination]}


class DemoIssuer:
    """One throw-away document signer: a P-256 key and its self-signed certificate."""

    def __init__(self, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> None:
        self._key = key
        self._der = certificate.public_bytes(Encoding.DER)
        self.key_id = hashlib.sha256(self._der).digest()[:8]

    @classmethod
    def create(cls, now: datetime) -> DemoIssuer:
        """A new issuer whose certificate is good from a year before ``now`` (aware) to two years after."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name(
            [
                x509.NameAttribute(NameOID.COUNTRY_NAME, DEMO_COUNTRY),
                x509.NameAttribute(NameOID.COMMON_NAME, "Demo DSC"),
            ]
        )
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=365))
            .not_valid_after(now + timedelta(days=730))
            .sign(key, hashes.SHA256())
        )
        return cls(key, certificate)

    def write_trust_folder(self, folder: Path, *, revoked: Iterable[str] = ()) -> None:
        """Writes ``hcert_dsc.json`` and ``hcert_revoked.json``; ``revoked`` are texts of this issuer's codes."""
        folder.mkdir(parents=True, exist_ok=True)
        kid = base64.b64encode(self.key_id).decode()
        signer = {"kid": kid, "x509": base64.b64encode(self._der).decode()}
        (folder / "hcert_dsc.json").write_text(json.dumps({"certificates": [signer]}, indent=1), encoding="utf-8")
        entries = [
            {"kid": kid, "hashType": "SIGNATURE", "hash": base64.b64encode(_signature_hash(text)).decode()}
            for text in revoked
        ]
        (folder / "hcert_revoked.json").write_text(json.dumps({"entries": entries}, indent=1), encoding="utf-8")

    def hcert(self, person: DemoPerson, *, issued_at: datetime, expires_at: datetime) -> str:
        """A vaccination certificate as ``HC1:`` text. Expired or early ones come from the two instants."""
        return self._sign(self._key, person, issued_at, expires_at)

    def forged_hcert(self, person: DemoPerson, *, issued_at: datetime, expires_at: datetime) -> str:
        """The same under this issuer's key id, signed with a key that nobody trusts."""
        return self._sign(ec.generate_private_key(ec.SECP256R1()), person, issued_at, expires_at)

    def _sign(
        self, key: ec.EllipticCurvePrivateKey, person: DemoPerson, issued_at: datetime, expires_at: datetime
    ) -> str:
        claims = {
            hcert.CLAIM_ISSUER: DEMO_COUNTRY,
            hcert.CLAIM_IAT: int(issued_at.timestamp()),
            hcert.CLAIM_EXP: int(expires_at.timestamp()),
            hcert.CLAIM_HCERT: {hcert.DCC_VERSION_KEY: _certificate(person, issued_at)},
        }
        payload = dumps(claims)
        protected = dumps({1: _ALG_ES256, 4: self.key_id})
        signature = es256_signature(key, dumps(["Signature1", protected, b"", payload]))
        envelope = dumps(Tag(18, [protected, {}, payload, signature]))
        return hcert.PREFIX + base45.encode(zlib.compress(envelope, 9))


def _signature_hash(text: str) -> bytes:
    envelope = hcert.open_envelope(text)
    return hashlib.sha256(envelope.signature[:32]).digest()[:16]
