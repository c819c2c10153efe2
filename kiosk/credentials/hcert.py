"""HCERT: the EU Digital COVID Certificate and the WHO's certificates of the same form. Pure.

    "HC1:" + Base45( zlib( COSE_Sign1( CWT { 1: issuer, 4: exp, 6: iat, -260: { 1: certificate } } ) ) )

Source: EU eHealth Network, "Electronic Health Certificate Specification" (hcert-spec 1.0.5). Checked, in this
order: length, encoding, size inflated, envelope, key id, algorithm (fixed by the key and equal to the header),
signature, claims, schema, revocation, the signer's purpose and dates, the code's dates, the gate's rules.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

from kiosk.credentials import base45, bounded
from kiosk.credentials.anchors import DocumentSigner
from kiosk.credentials.cbor import CborError, Tag, loads
from kiosk.credentials.code_verdict import (
    NOT_MINE,
    CodeClaims,
    CodeReason,
    CodeRefusedError,
    CodeVerdict,
    GateContext,
    judged,
)
from kiosk.credentials.cose import CoseError, Sign1, parse_sign1
from kiosk.credentials.dcc import GROUPS, Dcc, DccError, check_dcc
from kiosk.credentials.person_match import person_match
from kiosk.credentials.revocations import RevocationKind, revocation_hash
from kiosk.credentials.rules import check_rules
from kiosk.credentials.signing_key import Algorithm
from kiosk.credentials.trust import TrustStore
from kiosk.evidence import CodeStatus

KIND = "hcert"
PREFIX = "HC1:"
#: The alphanumeric capacity of the largest QR code (version 40-L).
MAX_TEXT = 4296
CLAIM_ISSUER, CLAIM_EXP, CLAIM_NBF, CLAIM_IAT, CLAIM_HCERT = 1, 4, 5, 6, -260
DCC_VERSION_KEY = 1
#: How far an issuer's clock may be ahead of ours. None is given on the expiry.
ISSUED_TOLERANCE = timedelta(minutes=5)
_MAX_EPOCH_S = 253_402_300_799  # the last second of the year 9999


def verify(text: str, store: TrustStore, now: datetime, context: GateContext) -> CodeVerdict:
    """Judges one HCERT at ``now`` (aware). ``not_mine`` for a text without the prefix; never raises for a text."""
    if not text.startswith(PREFIX):
        return NOT_MINE
    return judged(KIND, lambda: _verify(text, store, now, context))


def _verify(text: str, store: TrustStore, now: datetime, context: GateContext) -> tuple[CodeClaims, str]:
    envelope = open_envelope(text)
    if not envelope.key_id:
        raise CodeRefusedError(CodeReason.KEY_ID_MISSING)
    key_id = envelope.key_id.hex()[:32]
    signers = _signers(envelope, store, key_id)
    try:
        claims = _claims(envelope.payload)
        dcc = check_dcc(claims[CLAIM_HCERT][DCC_VERSION_KEY])
    except DccError:
        raise CodeRefusedError(CodeReason.SCHEMA, key_id) from None
    except CodeRefusedError as refused:
        raise CodeRefusedError(refused.reason, key_id) from None
    issuer = claims.get(CLAIM_ISSUER)
    issuer = issuer if isinstance(issuer, str) else ""
    if _revoked(envelope, signers, dcc, issuer, store):
        raise CodeRefusedError(CodeReason.REVOKED, key_id)
    signer = _entitled(signers, dcc.group, now, key_id)
    expires_at = _check_dates(claims, now, key_id)
    content = GROUPS[dcc.group]
    try:
        check_rules(
            store.rule_sets,
            context,
            code_format=KIND,
            content=content,
            payload=dcc.plain,
            external={"issuerCountryCode": issuer, "exp": expires_at.isoformat(), "iat": _issued(claims)},
            now=now,
        )
    except CodeRefusedError as refused:
        raise CodeRefusedError(refused.reason, key_id) from None
    return (
        CodeClaims(
            kind=KIND,
            content=content,
            status=CodeStatus.RED if dcc.infected else CodeStatus.GREEN,
            issuer=(issuer or signer.country or dcc.country)[:16],
            expires_at=expires_at,
            subject_match=person_match(store.match_key, dcc.surname, dcc.given, dcc.birth_date),
            credential_id=hashlib.sha256(b"hcert\x00" + dcc.certificate_id.encode()).hexdigest()[:32],
        ),
        key_id,
    )


def open_envelope(text: str) -> Sign1:
    """The unverified envelope in ``text``, prefix included. Raises CodeRefusedError naming what is wrong."""
    if len(text) > MAX_TEXT:
        raise CodeRefusedError(CodeReason.TOO_LONG)
    try:
        return parse_sign1(bounded.inflate(base45.decode(text[len(PREFIX) :])))
    except base45.Base45Error:
        raise CodeRefusedError(CodeReason.ENCODING) from None
    except bounded.BoundError:
        raise CodeRefusedError(CodeReason.COMPRESSION) from None
    except (CborError, CoseError):
        raise CodeRefusedError(CodeReason.STRUCTURE) from None


def _signers(envelope: Sign1, store: TrustStore, key_id: str) -> list[DocumentSigner]:
    """The trusted signers that this signature is by: several where one key has been certified twice."""
    known = store.hcert_signers.get(envelope.key_id or b"", ())
    if not known:
        raise CodeRefusedError(CodeReason.ISSUER_UNKNOWN, key_id)
    fitting = [signer for signer in known if signer.key.algorithm is envelope.algorithm]
    if not fitting:
        raise CodeRefusedError(CodeReason.ALGORITHM, key_id)
    signers = [signer for signer in fitting if signer.key.verifies(envelope.signature, envelope.signed)]
    if not signers:
        raise CodeRefusedError(CodeReason.SIGNATURE, key_id)
    return signers


def _claims(payload: bytes) -> dict[Any, Any]:
    try:
        claims = loads(payload)
    except CborError:
        raise CodeRefusedError(CodeReason.STRUCTURE) from None
    if not isinstance(claims, dict):
        raise CodeRefusedError(CodeReason.STRUCTURE)
    health = claims.get(CLAIM_HCERT)
    if not isinstance(health, dict) or DCC_VERSION_KEY not in health:
        raise CodeRefusedError(CodeReason.STRUCTURE)
    return claims


def _revoked(envelope: Sign1, signers: list[DocumentSigner], dcc: Dcc, issuer: str, store: TrustStore) -> bool:
    if not len(store.hcert_revoked):
        return False
    # Only the r half of an ECDSA signature: s may be replaced by n - s and still verify.
    signature = envelope.signature[:32] if envelope.algorithm is Algorithm.ES256 else envelope.signature
    uci = dcc.certificate_id.encode("utf-8")
    hashes = [(RevocationKind.UCI, uci), (RevocationKind.SIGNATURE, signature)]
    hashes += [(RevocationKind.COUNTRY_UCI, c.encode("utf-8") + uci) for c in {issuer, dcc.country} if c]
    # An unprotected key id is not signed: a revoked code must not hide behind another id of the same key.
    key_ids = frozenset[bytes]().union(*(signer.key_ids for signer in signers))
    return any(
        (key_id, kind, revocation_hash(data)) in store.hcert_revoked for key_id in key_ids for kind, data in hashes
    )


def _entitled(signers: list[DocumentSigner], group: str, now: datetime, key_id: str) -> DocumentSigner:
    for_group = [signer for signer in signers if group in signer.groups]
    if not for_group:
        raise CodeRefusedError(CodeReason.KEY_USAGE, key_id)
    current = [signer for signer in for_group if signer.covers(now)]
    if current:
        return current[0]
    early = all(now < signer.not_before for signer in for_group)
    raise CodeRefusedError(CodeReason.KEY_NOT_YET_VALID if early else CodeReason.KEY_EXPIRED, key_id)


def _epoch_s(claims: dict[Any, Any], claim: int) -> float | None:
    value = claims.get(claim)
    if isinstance(value, Tag) and value.number == 1:
        value = value.value
    if value is None and claim not in claims:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _MAX_EPOCH_S:
        raise CodeRefusedError(CodeReason.STRUCTURE)
    return value


def _check_dates(claims: dict[Any, Any], now: datetime, key_id: str) -> datetime:
    try:
        times = {claim: _epoch_s(claims, claim) for claim in (CLAIM_EXP, CLAIM_NBF, CLAIM_IAT)}
    except CodeRefusedError as refused:
        raise CodeRefusedError(refused.reason, key_id) from None
    expires_s = times[CLAIM_EXP]
    if expires_s is None:
        raise CodeRefusedError(CodeReason.STRUCTURE, key_id)
    now_s = now.timestamp()
    if now_s >= expires_s:  # RFC 8392: not on or after
        raise CodeRefusedError(CodeReason.EXPIRED, key_id)
    for claim in (CLAIM_NBF, CLAIM_IAT):
        starts_s = times[claim]
        if starts_s is not None and now_s + ISSUED_TOLERANCE.total_seconds() < starts_s:
            raise CodeRefusedError(CodeReason.NOT_YET_VALID, key_id)
    return datetime.fromtimestamp(expires_s, tz=UTC)


def _issued(claims: dict[Any, Any]) -> str | None:
    issued_s = _epoch_s(claims, CLAIM_IAT)
    return None if issued_s is None else datetime.fromtimestamp(issued_s, tz=UTC).isoformat()
