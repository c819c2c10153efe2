"""Reading a trust folder: one function a file, anchors one by one, the bad ones reported and left out.

    hcert_dsc.json       {"certificates": [{"kid": base64 of 8 bytes, "x509": base64 DER}]}; one kid may stand twice
    hcert_revoked.json   {"entries": [{"kid", "hashType": UCI | COUNTRYCODEUCI | SIGNATURE, "hash": base64}]}
    shc_issuers.json     {"issuerInfo": [{"issuer": {"iss"}, "keys": [JWK]}]}: the VCI snapshot's own form
    shc_crl.json         {kid: {"kid", "method": "rid", "ctr", "rids": ["rid" or "rid.seconds"]}}
    vdsnc_csca.json      {"csca": [{"x509": base64 DER}], "crl": [base64 DER]}
    community_keys.json  {"keys": [{"name", "use": [code | pass | kiosk], "public_key": base64 of 32 bytes,
                         "not_before", "not_after": ISO 8601}], "revoked_keys": [hex], "revoked_passes": [hex]}
    rules.json           {"sets": {name: {"formats": […], "rules": […]}}, "value_sets": {…}}

National lists hold odd anchors, and one must never take the others with it. A file that cannot be read *as a whole*
is an error: a store that silently lacks its revocations would accept what was revoked.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from config.errors import ConfigError
from kiosk.credentials.anchors import CommunityKey, CommunityUse, DocumentSigner, RuleSet, ShcKey, SkippedAnchor
from kiosk.credentials.certificate import Certificate, read_certificate
from kiosk.credentials.chain import RevocationList, read_revocation_list
from kiosk.credentials.revocations import RevocationKind, RevocationSet
from kiosk.credentials.rules import read_rule_set
from kiosk.credentials.signing_key import SigningKey

MAX_FILE_BYTES = 256 * 1024 * 1024
KID_BYTES = 8
HASH_BYTES = 16
MAX_RID = 40

#: What a DSC may sign, by extended key usage; both arcs are in use. Source: EU eHealth Network, "Technical
#: specifications for digital green certificates", volume 3, interoperable 2D code, annex on certificate governance.
_USAGE_ARCS = ("1.3.6.1.4.1.1847.2021.1.", "1.3.6.1.4.1.0.1847.2021.1.")
_USAGE_GROUPS = {"1": "t", "2": "v", "3": "r"}
_USAGES = {arc + last: group for arc in _USAGE_ARCS for last, group in _USAGE_GROUPS.items()}

_Anchor = TypeVar("_Anchor")


class TrustFolder:
    """One folder while it is read. ``skipped`` grows with every bad anchor."""

    def __init__(self, folder: Path | str) -> None:
        self._folder = Path(folder)
        if not self._folder.is_dir():
            raise ConfigError(f"trust folder {folder}", seen="no folder", expected="a folder of trust lists")
        self.skipped: list[SkippedAnchor] = []

    def hcert_signers(self) -> Mapping[bytes, tuple[DocumentSigner, ...]]:
        """Document signers by key id."""
        read = list(self._each("hcert_dsc.json", "certificates", _kid_and_signer))
        key_ids: dict[bytes, set[bytes]] = {}
        for kid, raw, _ in read:
            key_ids.setdefault(raw, set()).add(kid)
        signers: dict[bytes, tuple[DocumentSigner, ...]] = {}
        for kid, raw, signer in read:
            signers[kid] = (*signers.get(kid, ()), replace(signer, key_ids=frozenset(key_ids[raw])))
        return MappingProxyType(signers)

    def hcert_revoked(self) -> RevocationSet:
        """Revoked HCERTs."""
        return RevocationSet(self._each("hcert_revoked.json", "entries", _revocation))

    def shc_keys(self) -> Mapping[str, tuple[ShcKey, ...]]:
        """SMART Health Card keys by key id; a key under two issuers stands twice."""
        keys: dict[str, tuple[ShcKey, ...]] = {}
        for issuer, jwks in self._each("shc_issuers.json", "issuerInfo", _issuer):
            for index, jwk in enumerate(jwks):
                try:
                    kid, key = _jwk(jwk)
                except ValueError as error:
                    self._skip("shc_issuers.json", f"{issuer} key {index}", error)
                else:
                    keys[kid] = (*keys.get(kid, ()), ShcKey(key=key, issuer=issuer))
        return MappingProxyType(keys)

    def shc_revoked(self) -> Mapping[tuple[str, str], int | None]:
        """(key id, rid) of revoked cards, with the second before which they were issued; None for whenever."""
        document = self._read("shc_crl.json")
        if document is None:
            return MappingProxyType({})
        if not isinstance(document, dict):
            raise self._layout("shc_crl.json", "{kid: {…}}")
        revoked: dict[tuple[str, str], int | None] = {}
        for kid, row in document.items():
            try:
                for rid, before_s in _rids(kid, row):
                    known = revoked.get((kid, rid), 0)
                    later = None if before_s is None or known is None else max(before_s, known)
                    revoked[kid, rid] = later
            except ValueError as error:
                self._skip("shc_crl.json", kid, error)
        return MappingProxyType(revoked)

    def country_authorities(self) -> tuple[Certificate, ...]:
        """Country signing CAs."""
        return tuple(self._each("vdsnc_csca.json", "csca", lambda row: read_certificate(_bytes(row, "x509"))))

    def revocation_lists(self) -> tuple[RevocationList, ...]:
        """Their revocation lists, not yet believed: the verifier checks whose they are."""
        if self._read("vdsnc_csca.json") is None:
            return ()
        return tuple(
            self._each("vdsnc_csca.json", "crl", lambda row: read_revocation_list(base64.b64decode(row, validate=True)))
        )

    def community(self) -> tuple[Mapping[bytes, CommunityKey], frozenset[bytes], frozenset[bytes]]:
        """The community's keys by id, the revoked key ids, the revoked pass ids."""
        document = self._read("community_keys.json")
        if document is None:
            return MappingProxyType({}), frozenset(), frozenset()
        if not isinstance(document, dict):
            raise self._layout("community_keys.json", '{"keys": […]}')
        keys = {key.key_id: key for key in self._each("community_keys.json", "keys", _community_key)}
        revoked = []
        for name in ("revoked_keys", "revoked_passes"):
            rows = document.get(name, [])
            try:
                revoked.append(frozenset(bytes.fromhex(row) for row in rows))
            except (ValueError, TypeError) as error:
                raise self._layout("community_keys.json", f"{name!r} as a list of hex texts") from error
        return MappingProxyType(keys), revoked[0], revoked[1]

    def rule_sets(self) -> Mapping[str, RuleSet]:
        """Named rule sets. A broken one is an error: rules that are not applied would admit."""
        document = self._read("rules.json")
        if document is None:
            return MappingProxyType({})
        sets = document.get("sets") if isinstance(document, dict) else None
        values = document.get("value_sets", {}) if isinstance(document, dict) else None
        if not isinstance(sets, dict) or not isinstance(values, dict):
            raise self._layout("rules.json", '{"sets": {…}, "value_sets": {…}}')
        try:
            return MappingProxyType({name: read_rule_set(rows, values) for name, rows in sets.items()})
        except ValueError as error:
            raise self._layout("rules.json", f"rule sets ({error})") from error

    def _read(self, name: str) -> Any:
        """The parsed file, or None where the folder has none. ConfigError when it cannot be read as a whole."""
        path = self._folder / name
        try:
            if not path.is_file():
                return None
            if path.stat().st_size > MAX_FILE_BYTES:
                raise ConfigError(str(path), seen=f"{path.stat().st_size} bytes", expected=f"at most {MAX_FILE_BYTES}")
            return json.loads(path.read_bytes())
        except (OSError, ValueError, RecursionError) as error:
            raise ConfigError(
                str(path), seen=str(error)[:120], expected="JSON in the layout of a trust folder", hint="load it again"
            ) from error

    def _each(self, name: str, key: str, read: Callable[[Any], _Anchor]) -> Iterator[_Anchor]:
        document = self._read(name)
        if document is None:
            return
        rows = document.get(key) if isinstance(document, dict) else None
        if not isinstance(rows, list):
            raise self._layout(name, f'{{"{key}": [...]}}')
        for index, row in enumerate(rows):
            try:
                anchor = read(row)
            except (ValueError, TypeError, KeyError) as error:
                self._skip(name, f"{key} {index}", error)
            else:
                yield anchor

    def _skip(self, file: str, name: str, error: Exception) -> None:
        self.skipped.append(SkippedAnchor(file, name[:120], str(error)[:120]))

    def _layout(self, name: str, expected: str) -> ConfigError:
        return ConfigError(str(self._folder / name), seen="another layout", expected=expected, hint="load it again")


def _bytes(row: Any, key: str) -> bytes:
    value = row.get(key) if isinstance(row, dict) else None
    if not isinstance(value, str):
        raise ValueError(f"no {key}")
    return base64.b64decode(value, validate=True)


def _kid(row: Any) -> bytes:
    kid = _bytes(row, "kid")
    if len(kid) != KID_BYTES:
        raise ValueError(f"kid of {len(kid)} bytes")
    return kid


def _kid_and_signer(row: Any) -> tuple[bytes, bytes, DocumentSigner]:
    """Key id, the key's own bytes, and the signer."""
    kid, certificate = _kid(row), read_certificate(_bytes(row, "x509"))
    groups = frozenset(_USAGES[usage] for usage in certificate.extended_key_usages() if usage in _USAGES)
    key = SigningKey.of(certificate.public_key)
    raw = key.public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return (
        kid,
        raw,
        DocumentSigner(
            key=key,
            not_before=certificate.not_before,
            not_after=certificate.not_after,
            groups=groups or frozenset(_USAGE_GROUPS.values()),
            country=certificate.country,
        ),
    )


def _revocation(row: Any) -> tuple[bytes, RevocationKind, bytes]:
    kid, digest = _kid(row), _bytes(row, "hash")
    if len(digest) != HASH_BYTES:
        raise ValueError(f"hash of {len(digest)} bytes")
    return kid, RevocationKind(row.get("hashType")), digest


def _issuer(row: Any) -> tuple[str, list[Any]]:
    issuer = row["issuer"]["iss"] if isinstance(row, dict) and isinstance(row.get("issuer"), dict) else None
    if not isinstance(issuer, str) or not issuer.startswith("https://") or issuer.endswith("/"):
        raise ValueError("an issuer that is not an https address without a slash at its end")
    keys = row.get("keys")
    if not isinstance(keys, list):
        raise ValueError("no keys")
    return issuer, keys


def _jwk(jwk: Any) -> tuple[str, SigningKey]:
    if not isinstance(jwk, dict) or jwk.get("kty") != "EC" or jwk.get("crv") != "P-256":
        raise ValueError("not an EC key on P-256")
    if "d" in jwk:
        raise ValueError("its private part is published")
    if jwk.get("use", "sig") != "sig" or jwk.get("alg", "ES256") != "ES256":
        raise ValueError("a key for another use")
    x, y = _base64url(jwk, "x"), _base64url(jwk, "y")
    members = {"crv": "P-256", "kty": "EC", "x": jwk["x"], "y": jwk["y"]}
    digest = hashlib.sha256(json.dumps(members, sort_keys=True, separators=(",", ":")).encode()).digest()
    thumbprint = base64.urlsafe_b64encode(digest).decode().rstrip("=")
    if jwk.get("kid") != thumbprint:  # RFC 7638; a card names its key by it
        raise ValueError("a kid that is not the key's thumbprint")
    point = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), b"\x04" + x + y)
    return thumbprint, SigningKey.of(point)


def _base64url(jwk: dict[str, Any], name: str) -> bytes:
    value = jwk.get(name)
    if not isinstance(value, str) or len(value) != 43:
        raise ValueError(f"no {name} of 32 bytes")
    return base64.b64decode(value + "=", altchars=b"-_", validate=True)


def _rids(kid: str, row: Any) -> Iterator[tuple[str, int | None]]:
    if not isinstance(row, dict) or row.get("kid") != kid or row.get("method") != "rid":
        raise ValueError("not a list by rid for this key")
    rids = row.get("rids")
    if not isinstance(rids, list):
        raise ValueError("no rids")
    for entry in rids:
        if not isinstance(entry, str) or not 0 < len(entry) <= MAX_RID:
            raise ValueError("a rid of another form")
        rid, _, before = entry.partition(".")
        if before and not (before.isascii() and before.isdigit()):
            raise ValueError("a rid with a time of another form")
        yield rid, int(before) if before else None


def _community_key(row: Any) -> CommunityKey:
    raw = _bytes(row, "public_key")
    name, uses = row.get("name"), row.get("use")
    if not isinstance(name, str) or not 0 < len(name) <= 40 or not isinstance(uses, list):
        raise ValueError("a name of 1 to 40 characters and a list of uses are needed")
    not_before, not_after = (datetime.fromisoformat(row[end]) for end in ("not_before", "not_after"))
    if not_before.tzinfo is None or not_after.tzinfo is None:
        raise ValueError("dates without a time zone")
    return CommunityKey(
        key_id=hashlib.sha256(raw).digest()[:KID_BYTES],
        name=name,
        public_key=Ed25519PublicKey.from_public_bytes(raw),
        uses=frozenset(map(CommunityUse, uses)),
        not_before=not_before,
        not_after=not_after,
    )
