"""ICAO VDS-NC: proof of testing or vaccination as signed JSON, with the signer's certificate inside. Pure.

    {"data": {"hdr": {"t": "icao.test" | "icao.vacc", "v": 1, "is": country}, "msg": {…}},
     "sig": {"alg": "ES256", "cer": base64url DER, "sigvl": base64url r ‖ s}}

Source: ICAO Technical Report "VDS-NC: Visible Digital Seal for non-constrained environments" 1.4. Signed is the
RFC 8785 form of ``data``. Checked, in this order: length, JSON, header, algorithm, the chain to a trusted country
CA (name, signature, purpose, its revocation list), signature, dates of both certificates, the gate's rules.
"""

from __future__ import annotations

import base64
import hashlib
import re
from datetime import datetime
from typing import Any

from kiosk.credentials import bounded, jcs
from kiosk.credentials.certificate import Certificate, CertificateError, read_certificate
from kiosk.credentials.chain import signature_is_by
from kiosk.credentials.code_verdict import (
    NOT_MINE,
    CodeClaims,
    CodeReason,
    CodeRefusedError,
    CodeVerdict,
    GateContext,
    judged,
)
from kiosk.credentials.person_match import person_match
from kiosk.credentials.rules import check_rules
from kiosk.credentials.signing_key import Algorithm, SigningKey, UnsupportedKeyError
from kiosk.credentials.trust import TrustStore
from kiosk.evidence import CodeStatus

KIND = "vdsnc"
MAX_TEXT = 16 * 1024
VERSION = 1
_CONTENTS = {"icao.vacc": "vaccination", "icao.test": "test"}
_LOOKS_LIKE = re.compile(r'\s*\{\s*"(data|sig)"\s*:')
_BASE64 = re.compile(r"[A-Za-z0-9_+/-]*={0,2}")
_DIGITAL_SIGNATURE = 0
#: ICAO VDS-NC, annex on certificate profiles; both purposes stand in the two national signers of the test data.
_SEAL_SIGNER = "2.23.136.1.1.14.2"
_DOCUMENT_TYPES = {"vaccination": "NV", "test": "NT"}


def verify(text: str, store: TrustStore, now: datetime, context: GateContext) -> CodeVerdict:
    """Judges one seal at ``now`` (aware). ``not_mine`` for a text that does not begin like one."""
    if not _LOOKS_LIKE.match(text[:200]):
        return NOT_MINE
    return judged(KIND, lambda: _verify(text, store, now, context))


def _verify(text: str, store: TrustStore, now: datetime, context: GateContext) -> tuple[CodeClaims, str]:
    data, signature_block = _parts(text)
    content = _content(data)
    if signature_block.get("alg") != Algorithm.ES256:
        raise CodeRefusedError(CodeReason.ALGORITHM)
    signature = _unbase64(signature_block.get("sigvl"))
    der = _unbase64(signature_block.get("cer"))
    try:
        signer = read_certificate(der)
        key = SigningKey.of(signer.public_key)
    except (CertificateError, UnsupportedKeyError):
        raise CodeRefusedError(CodeReason.STRUCTURE) from None
    key_id = hashlib.sha256(der).hexdigest()[:16]
    try:
        authority = _authority(signer, content, store)
        try:
            signed = jcs.canonical(data)
        except ValueError:
            raise CodeRefusedError(CodeReason.STRUCTURE) from None
        if key.algorithm is not Algorithm.ES256:
            raise CodeRefusedError(CodeReason.ALGORITHM)
        if not key.verifies(signature, signed):
            raise CodeRefusedError(CodeReason.SIGNATURE)
        for certificate in (signer, authority):
            if not certificate.covers(now):
                early = now < certificate.not_before
                raise CodeRefusedError(CodeReason.KEY_NOT_YET_VALID if early else CodeReason.KEY_EXPIRED)
        return _claims(data, content, signer, signed, store=store, now=now, context=context), key_id
    except CodeRefusedError as refused:
        raise CodeRefusedError(refused.reason, key_id) from None


def _parts(text: str) -> tuple[dict[str, Any], dict[str, Any]]:
    if len(text) > MAX_TEXT:
        raise CodeRefusedError(CodeReason.TOO_LONG)
    try:
        seal = bounded.read_json(text.encode("utf-8"))
    except (bounded.BoundError, UnicodeEncodeError):
        raise CodeRefusedError(CodeReason.STRUCTURE) from None
    data = seal.get("data") if isinstance(seal, dict) else None
    block = seal.get("sig") if isinstance(seal, dict) else None
    if not isinstance(data, dict) or not isinstance(block, dict) or len(seal) != 2:
        raise CodeRefusedError(CodeReason.STRUCTURE)
    return data, block


def _content(data: dict[str, Any]) -> str:
    header, message = data.get("hdr"), data.get("msg")
    if not isinstance(header, dict) or not isinstance(message, dict):
        raise CodeRefusedError(CodeReason.STRUCTURE)
    version, kind = header.get("v"), header.get("t")
    if type(version) is not int or version != VERSION or not isinstance(kind, str) or kind not in _CONTENTS:
        raise CodeRefusedError(CodeReason.STRUCTURE)
    if not isinstance(header.get("is"), str) or not isinstance(message.get("pid"), dict):
        raise CodeRefusedError(CodeReason.SCHEMA)
    return _CONTENTS[kind]


def _unbase64(value: Any) -> bytes:
    if not isinstance(value, str) or not _BASE64.fullmatch(value):
        raise CodeRefusedError(CodeReason.ENCODING)
    plain = value.rstrip("=").translate(str.maketrans("+/", "-_"))
    if len(plain) % 4 == 1:
        raise CodeRefusedError(CodeReason.ENCODING)
    return base64.urlsafe_b64decode(plain + "=" * (-len(plain) % 4))


def _may_sign(signer: Certificate, content: str) -> bool:
    """Whether the certificate's purposes allow it. The same CA signs passport signers, which may sign no seal.
    Nothing of the certificate is believed yet, so extensions of any shape may stand in it."""
    try:
        usages, types = signer.extended_key_usages(), signer.document_types()
        return (
            not signer.is_authority()
            and signer.key_usage_allows(_DIGITAL_SIGNATURE)
            and (not usages or _SEAL_SIGNER in usages)
            and (types is None or _DOCUMENT_TYPES[content] in types)
        )
    except CertificateError:
        return False


def _authority(signer: Certificate, content: str, store: TrustStore) -> Certificate:
    """The trusted country CA that made ``signer``. CodeRefusedError when there is none, or it has revoked it."""
    if any(signer.tbs == trusted.tbs for trusted in store.country_authorities) or not _may_sign(signer, content):
        raise CodeRefusedError(CodeReason.KEY_USAGE)
    for authority in store.country_authorities:
        if authority.subject == signer.issuer and signature_is_by(
            authority.public_key, signer.signature_algorithm, signer.signature, signer.tbs
        ):
            break
    else:
        raise CodeRefusedError(CodeReason.ISSUER_UNKNOWN)
    for revocations in store.revocation_lists:
        if signer.serial in revocations.serials and revocations.is_by(authority):
            raise CodeRefusedError(CodeReason.KEY_REVOKED)
    return authority


def _claims(
    data: dict[str, Any],
    content: str,
    signer: Certificate,
    signed: bytes,
    *,
    store: TrustStore,
    now: datetime,
    context: GateContext,
) -> CodeClaims:
    header, message = data["hdr"], data["msg"]
    check_rules(
        store.rule_sets,
        context,
        code_format=KIND,
        content=content,
        payload=data,
        external={"issuerCountryCode": header["is"]},
        now=now,
    )
    person = message["pid"]
    name, birth_date = person.get("n"), person.get("dob")
    result = message.get("tr")
    outcome = result.get("r") if isinstance(result, dict) else None
    positive = isinstance(outcome, str) and outcome.strip().casefold() in ("positive", "detected")
    return CodeClaims(
        kind=KIND,
        content=content,
        status=CodeStatus.RED if positive else CodeStatus.GREEN,
        issuer=header["is"][:16],
        expires_at=signer.not_after,
        subject_match=person_match(
            store.match_key,
            name[:200] if isinstance(name, str) else "",  # surname first, in one field
            "",
            birth_date if isinstance(birth_date, str) else "",
        ),
        credential_id=hashlib.sha256(b"vdsnc\x00" + signed).hexdigest()[:32],
    )
