"""One step of an X.509 chain, and revocation lists (RFC 5280): whose signature is this, what did they revoke. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from kiosk.credentials.certificate import Certificate, CertificateError, Der, read_oid

MAX_LIST_BYTES = 4 * 1024 * 1024
_SEQUENCE, _BITS, _INTEGER, _OID = 0x30, 0x03, 0x02, 0x06
_UTC_TIME, _GENERALIZED_TIME = 0x17, 0x18
_PSS = "1.2.840.113549.1.1.10"
_ECDSA: dict[str, hashes.HashAlgorithm] = {
    "1.2.840.10045.4.3.2": hashes.SHA256(),
    "1.2.840.10045.4.3.3": hashes.SHA384(),
    "1.2.840.10045.4.3.4": hashes.SHA512(),
}
_RSA: dict[str, hashes.HashAlgorithm] = {
    "1.2.840.113549.1.1.11": hashes.SHA256(),
    "1.2.840.113549.1.1.12": hashes.SHA384(),
    "1.2.840.113549.1.1.13": hashes.SHA512(),
}
_DIGESTS: dict[str, hashes.HashAlgorithm] = {
    "2.16.840.1.101.3.4.2.1": hashes.SHA256(),
    "2.16.840.1.101.3.4.2.2": hashes.SHA384(),
    "2.16.840.1.101.3.4.2.3": hashes.SHA512(),
}


def signature_is_by(authority: object, algorithm: bytes, signature: bytes, signed: bytes) -> bool:
    """Whether ``signature`` over ``signed`` under the DER ``algorithm`` is by the public key ``authority``.

    ECDSA and RSA (PKCS #1 v1.5 and PSS) with SHA-2. False for anything else; parameters that some national CAs add
    to ECDSA are passed over.
    """
    try:
        cursor = Der(algorithm).inside(_SEQUENCE)
        oid = read_oid(cursor.content(_OID))
        if isinstance(authority, ec.EllipticCurvePublicKey) and oid in _ECDSA:
            authority.verify(signature, signed, ec.ECDSA(_ECDSA[oid]))
            return True
        if isinstance(authority, rsa.RSAPublicKey) and oid in _RSA:
            authority.verify(signature, signed, padding.PKCS1v15(), _RSA[oid])
            return True
        if isinstance(authority, rsa.RSAPublicKey) and oid == _PSS:
            digest, salt_length = _pss(cursor)
            authority.verify(signature, signed, padding.PSS(padding.MGF1(digest), salt_length), digest)
            return True
    except (InvalidSignature, UnsupportedAlgorithm, ValueError):
        return False
    return False


def _pss(cursor: Der) -> tuple[hashes.HashAlgorithm, int]:
    """Digest and salt length of RSASSA-PSS-params (RFC 4055); both must be given, SHA-1 being the default."""
    digest: hashes.HashAlgorithm | None = None
    salt_length = 0
    parameters = cursor.inside(_SEQUENCE)
    while not parameters.done:
        tag, content, _ = parameters.next()
        if tag == 0xA0:
            digest = _DIGESTS.get(read_oid(Der(content).inside(_SEQUENCE).content(_OID)))
        elif tag == 0xA2:
            salt_length = int.from_bytes(Der(content).content(_INTEGER), "big")
    if digest is None or not 0 < salt_length <= 64:
        raise CertificateError("PSS with another digest or salt")
    return digest, salt_length


@dataclass(frozen=True, slots=True)
class RevocationList:
    """A parsed CRL; it counts only for an authority whose name and signature it bears."""

    issuer: bytes
    serials: frozenset[int]
    tbs: bytes
    algorithm: bytes
    signature: bytes

    def is_by(self, authority: Certificate) -> bool:
        """Whether ``authority`` made this list."""
        return self.issuer == authority.subject and signature_is_by(
            authority.public_key, self.algorithm, self.signature, self.tbs
        )


def read_revocation_list(der: bytes) -> RevocationList:
    """The list in ``der``. Raises CertificateError for anything else."""
    if len(der) > MAX_LIST_BYTES:
        raise CertificateError(f"a list of {len(der)} bytes")
    body = Der(der).inside(_SEQUENCE)
    _, content, tbs = body.next(_SEQUENCE)
    _, _, algorithm = body.next(_SEQUENCE)
    signature = body.content(_BITS)
    cursor = Der(content)
    if cursor.peek() == _INTEGER:
        cursor.next()
    cursor.next(_SEQUENCE)
    issuer = cursor.next(_SEQUENCE)[2]
    cursor.next()
    if cursor.peek() in (_UTC_TIME, _GENERALIZED_TIME):
        cursor.next()
    serials = set()
    if cursor.peek() == _SEQUENCE:
        entries = cursor.inside(_SEQUENCE)
        while not entries.done:
            serials.add(int.from_bytes(entries.inside(_SEQUENCE).content(_INTEGER), "big", signed=True))
    return RevocationList(issuer, frozenset(serials), tbs, algorithm, signature[1:])
