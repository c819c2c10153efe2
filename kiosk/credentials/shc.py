"""SMART Health Cards: a FHIR bundle in a signed token, as digits in one or several QR codes. Pure.

    "shc:/" + digits                 one code; two digits a character, (character code - 45)
    "shc:/i/n/" + digits             chunk i of n, in any order; here the chunks come joined by line feeds
    JWS   base64url(header) . base64url(raw DEFLATE of JSON) . base64url(r ‖ s)

Source: SMART Health Cards Framework 1.4.0 (spec.smarthealth.cards). Checked, in this order: length, chunks, digits,
token, algorithm, key, signature, size inflated, JSON, issuer bound to that key, card type, revocation by ``rid``,
dates, the gate's rules.
"""

from __future__ import annotations

import base64
import hashlib
import re
from datetime import UTC, datetime, timedelta
from typing import Any

from kiosk.credentials import bounded
from kiosk.credentials.anchors import ShcKey
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
from kiosk.credentials.trust import TrustStore
from kiosk.evidence import CodeStatus

KIND = "shc"
PREFIX = "shc:/"
#: Characters of a single code of the largest size (7,089 digits) and its prefix.
MAX_CODE = 7089 + len(PREFIX)
MAX_CHUNKS = 16
MAX_TEXT = MAX_CHUNKS * (MAX_CODE + 12)
MAX_INFLATED = 64 * 1024
ISSUED_TOLERANCE = timedelta(minutes=5)
_MAX_EPOCH_S = 253_402_300_799
_CHUNK = re.compile(r"shc:/(?:([0-9]{1,2})/([0-9]{1,2})/)?([0-9]+)")
_BASE64URL = re.compile(r"[A-Za-z0-9_-]+")
_NO_CHARACTER = 0xFF
#: Binary-coded decimals 00 to 77 are '-' to 'z', the range of base64url; no other byte is a character.
_CHARACTERS = bytes(
    45 + 10 * (bcd >> 4) + (bcd & 15) if bcd & 15 < 10 and bcd <= 0x77 else _NO_CHARACTER for bcd in range(256)
)
_HEALTH_CARD = "https://smarthealth.cards#health-card"
_CONTENTS = {
    "https://smarthealth.cards#immunization": "vaccination",
    "https://smarthealth.cards#laboratory": "test",
}
#: SNOMED CT "detected" and "positive": a genuine card about an infection is no green code.
_POSITIVE = frozenset({"260373001", "10828004"})


def verify(text: str, store: TrustStore, now: datetime, context: GateContext) -> CodeVerdict:
    """Judges one card, all chunks joined by line feeds, at ``now`` (aware)."""
    if not text.startswith(PREFIX):
        return NOT_MINE
    return judged(KIND, lambda: _verify(text, store, now, context))


def _verify(text: str, store: TrustStore, now: datetime, context: GateContext) -> tuple[CodeClaims, str]:
    parts = token_of(text).split(".")
    if len(parts) != 3:
        raise CodeRefusedError(CodeReason.STRUCTURE)
    header = _json_object(_unbase64(parts[0]))
    kid = header.get("kid")
    if not isinstance(kid, str) or not 0 < len(kid) <= 64:
        raise CodeRefusedError(CodeReason.KEY_ID_MISSING)
    try:
        keys = _signing_keys(header, kid, parts, store)
        card = _card(_unbase64(parts[1]))
        # The body, not the signature: the same card signed again stays the same card.
        credential_id = hashlib.sha256(b"shc\x00" + parts[1].encode("ascii")).hexdigest()[:32]
        return _claims(card, kid, keys, credential_id, store=store, now=now, context=context), kid
    except CodeRefusedError as refused:
        raise CodeRefusedError(refused.reason, kid if kid.isascii() and kid.isprintable() else "") from None


def token_of(text: str) -> str:
    """The JWS behind one code or a whole chunk set. Raises CodeRefusedError (too long, chunks, encoding)."""
    if len(text) > MAX_TEXT:
        raise CodeRefusedError(CodeReason.TOO_LONG)
    lines = text.split("\n")
    if len(lines) > MAX_CHUNKS:
        raise CodeRefusedError(CodeReason.CHUNKS)
    digits: dict[int, str] = {}
    for line in lines:
        if len(line) > MAX_CODE + 12:
            raise CodeRefusedError(CodeReason.TOO_LONG)
        match = _CHUNK.fullmatch(line)
        if match is None:
            raise CodeRefusedError(CodeReason.ENCODING)
        index, total = (int(match[1]), int(match[2])) if match[1] else (1, 1)
        if total != len(lines) or not 1 <= index <= total or index in digits:
            raise CodeRefusedError(CodeReason.CHUNKS)
        digits[index] = match[3]
    return "".join(_characters(digits[index]) for index in sorted(digits))


def _characters(digits: str) -> str:
    if len(digits) % 2:
        raise CodeRefusedError(CodeReason.ENCODING)
    # Two digits are one byte of binary-coded decimals, and a table turns it into its character.
    characters = bytes.fromhex(digits).translate(_CHARACTERS)
    if _NO_CHARACTER in characters:
        raise CodeRefusedError(CodeReason.ENCODING)
    return characters.decode("ascii")


def _unbase64(part: str) -> bytes:
    if not _BASE64URL.fullmatch(part) or len(part) % 4 == 1:
        raise CodeRefusedError(CodeReason.ENCODING)
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def _json_object(data: bytes) -> dict[str, Any]:
    try:
        value = bounded.read_json(data)
    except bounded.BoundError:
        raise CodeRefusedError(CodeReason.STRUCTURE) from None
    if not isinstance(value, dict):
        raise CodeRefusedError(CodeReason.STRUCTURE)
    return value


def _signing_keys(header: dict[str, Any], kid: str, parts: list[str], store: TrustStore) -> tuple[ShcKey, ...]:
    if "crit" in header or "b64" in header:
        raise CodeRefusedError(CodeReason.STRUCTURE)
    if header.get("alg") != "ES256":
        raise CodeRefusedError(CodeReason.ALGORITHM)
    if header.get("zip") != "DEF":
        raise CodeRefusedError(CodeReason.COMPRESSION)
    keys = store.shc_keys.get(kid, ())
    if not keys:
        raise CodeRefusedError(CodeReason.ISSUER_UNKNOWN)
    # One kid is one key (its thumbprint), under one issuer or several.
    if not keys[0].key.verifies(_unbase64(parts[2]), f"{parts[0]}.{parts[1]}".encode("ascii")):
        raise CodeRefusedError(CodeReason.SIGNATURE)
    return keys


def _card(compressed: bytes) -> dict[str, Any]:
    try:
        return _json_object(bounded.inflate(compressed, raw=True, max_bytes=MAX_INFLATED))
    except bounded.BoundError:
        raise CodeRefusedError(CodeReason.COMPRESSION) from None


def _claims(
    card: dict[str, Any],
    kid: str,
    keys: tuple[ShcKey, ...],
    credential_id: str,
    *,
    store: TrustStore,
    now: datetime,
    context: GateContext,
) -> CodeClaims:
    issuer = card.get("iss")
    if not isinstance(issuer, str):
        raise CodeRefusedError(CodeReason.SCHEMA)
    if issuer not in {key.issuer for key in keys}:
        raise CodeRefusedError(CodeReason.ISSUER_MISMATCH)
    not_before_s, expires_s = _epoch_s(card, "nbf"), _epoch_s(card, "exp")
    credential = card.get("vc")
    types = credential.get("type") if isinstance(credential, dict) else None
    subject = credential.get("credentialSubject") if isinstance(credential, dict) else None
    bundle = subject.get("fhirBundle") if isinstance(subject, dict) else None
    if not_before_s is None or not isinstance(types, list) or _HEALTH_CARD not in types or not _is_bundle(bundle):
        raise CodeRefusedError(CodeReason.SCHEMA)
    rid = credential.get("rid") if isinstance(credential, dict) else None
    if rid is not None and _revoked(rid, kid, not_before_s, store):
        raise CodeRefusedError(CodeReason.REVOKED)
    now_s = now.timestamp()
    if now_s + ISSUED_TOLERANCE.total_seconds() < not_before_s:
        raise CodeRefusedError(CodeReason.NOT_YET_VALID)
    if expires_s is not None and now_s >= expires_s:
        raise CodeRefusedError(CodeReason.EXPIRED)
    resources = _resources(bundle)
    content = next((_CONTENTS[name] for name in types if isinstance(name, str) and name in _CONTENTS), "other")
    check_rules(
        store.rule_sets,
        context,
        code_format=KIND,
        content=content,
        payload=card,
        external={"iat": _iso(not_before_s), "exp": None if expires_s is None else _iso(expires_s)},
        now=now,
    )
    surname, given, birth_date = _patient(resources)
    return CodeClaims(
        kind=KIND,
        content=content,
        status=CodeStatus.RED if any(map(_is_positive, resources)) else CodeStatus.GREEN,
        issuer=issuer[:120],
        expires_at=None if expires_s is None else datetime.fromtimestamp(expires_s, tz=UTC),
        subject_match=person_match(store.match_key, surname, given, birth_date),
        credential_id=credential_id,
    )


def _iso(epoch_s: float) -> str:
    return datetime.fromtimestamp(epoch_s, tz=UTC).isoformat(timespec="seconds")


def _epoch_s(card: dict[str, Any], name: str) -> float | None:
    value = card.get(name)
    if value is None and name not in card:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _MAX_EPOCH_S:
        raise CodeRefusedError(CodeReason.SCHEMA)
    return value


def _revoked(rid: Any, kid: str, not_before_s: float, store: TrustStore) -> bool:
    if not isinstance(rid, str):
        raise CodeRefusedError(CodeReason.SCHEMA)
    if (kid, rid) not in store.shc_revoked:
        return False
    before_s = store.shc_revoked[kid, rid]
    return before_s is None or not_before_s < before_s


def _is_bundle(bundle: Any) -> bool:
    return isinstance(bundle, dict) and bundle.get("resourceType") == "Bundle" and isinstance(bundle.get("entry"), list)


def _resources(bundle: Any) -> list[dict[str, Any]]:
    entries = [entry.get("resource") for entry in bundle["entry"] if isinstance(entry, dict)]
    return [resource for resource in entries if isinstance(resource, dict)]


def _is_positive(resource: dict[str, Any]) -> bool:
    value = resource.get("valueCodeableConcept") if resource.get("resourceType") == "Observation" else None
    codings = value.get("coding") if isinstance(value, dict) else None
    return isinstance(codings, list) and any(
        isinstance(coding, dict) and any(coding.get("code") == code for code in _POSITIVE) for coding in codings
    )


def _patient(resources: list[dict[str, Any]]) -> tuple[str, str, str]:
    """Surname, given names and birth date of the one patient; empty texts where the card has several or none."""
    patients = [resource for resource in resources if resource.get("resourceType") == "Patient"]
    if len(patients) != 1:
        return "", "", ""
    names, birth_date = patients[0].get("name"), patients[0].get("birthDate")
    name = names[0] if isinstance(names, list) and names and isinstance(names[0], dict) else {}
    surname, given = name.get("family"), name.get("given")
    given_text = " ".join(part for part in given if isinstance(part, str)) if isinstance(given, list) else ""
    return (
        surname[:200] if isinstance(surname, str) else "",
        given_text[:200],
        birth_date if isinstance(birth_date, str) else "",
    )
