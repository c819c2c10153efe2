"""Public keys and their two signature schemes, fixed by the key and never by a header. Pure.

ES256: ECDSA on P-256 with SHA-256, the signature as r ‖ s of exactly 64 bytes (RFC 9053, 2.1). PS256: RSASSA-PSS
with SHA-256 and a salt of 32 bytes, modulus of 2048 bits or more (RFC 8230). Anything else is not a key here.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

_ECDSA_SHA256 = ec.ECDSA(hashes.SHA256())
_PSS_SHA256 = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=32)
_SHA256 = hashes.SHA256()
MIN_RSA_BITS = 2048
MAX_RSA_BITS = 8192


class UnsupportedKeyError(ValueError):
    """A key of a type, curve or size that no supported code is signed with."""


class Algorithm(StrEnum):
    """The two signature algorithms of health codes, by their JOSE name."""

    ES256 = "ES256"
    PS256 = "PS256"


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A public key, built once, with the one algorithm it is used with."""

    algorithm: Algorithm
    public_key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey

    @classmethod
    def of(cls, public_key: object) -> SigningKey:
        """Wraps a P-256 or RSA (2048 to 8192 bits) key. Raises UnsupportedKeyError for any other."""
        if isinstance(public_key, ec.EllipticCurvePublicKey):
            if not isinstance(public_key.curve, ec.SECP256R1):
                raise UnsupportedKeyError(f"curve {public_key.curve.name}, not P-256")
            return cls(Algorithm.ES256, public_key)
        if isinstance(public_key, rsa.RSAPublicKey):
            if not MIN_RSA_BITS <= public_key.key_size <= MAX_RSA_BITS:
                raise UnsupportedKeyError(f"RSA of {public_key.key_size} bits")
            return cls(Algorithm.PS256, public_key)
        raise UnsupportedKeyError(f"a {type(public_key).__name__}")

    def verifies(self, signature: bytes, signed: bytes) -> bool:
        """Whether ``signature`` over ``signed`` is this key's. False for any wrong length or encoding."""
        try:
            if isinstance(self.public_key, ec.EllipticCurvePublicKey):
                if len(signature) != 64:
                    return False
                r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
                if r == 0 or s == 0:
                    return False
                self.public_key.verify(encode_dss_signature(r, s), signed, _ECDSA_SHA256)
            else:
                self.public_key.verify(signature, signed, _PSS_SHA256, _SHA256)
        except (InvalidSignature, ValueError):
            return False
        return True
