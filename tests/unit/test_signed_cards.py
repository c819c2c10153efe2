"""VDS-NC and SMART Health Cards made here: purposes, colours and lists that the shared cases do not reach."""

from __future__ import annotations

import base64
import hashlib
import json
import zlib
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID, ObjectIdentifier

from kiosk.credentials import CodeReason, CodeState, TrustStore, jcs, verify_health_code
from kiosk.credentials.certificate import CertificateError, read_certificate
from kiosk.credentials.code_verdict import CodeVerdict
from kiosk.credentials.finding import code_finding
from kiosk.credentials.person_match import person_match
from kiosk.demo.codes import es256_signature
from kiosk.evidence import CodeStatus
from kiosk.reasons import Reason

NOW = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
MATCH_KEY = bytes(32)
AUTHORITY = ec.derive_private_key(11, ec.SECP384R1())
SIGNER = ec.derive_private_key(12, ec.SECP256R1())
SEAL_SIGNER = ObjectIdentifier("2.23.136.1.1.14.2")
DOCUMENT_TYPES = ObjectIdentifier("2.23.136.1.1.6.2")


def name(common: str) -> x509.Name:
    """A name of the test country."""
    return x509.Name([x509.NameAttribute(NameOID.COUNTRY_NAME, "UT"), x509.NameAttribute(NameOID.COMMON_NAME, common)])


def a_certificate(
    subject: str, key: Any, extensions: Iterable[tuple[x509.ExtensionType, bool]] = (), serial: int = 7
) -> bytes:
    """A certificate by the test country's CA, good for a year around NOW."""
    builder = (
        x509.CertificateBuilder()
        .subject_name(name(subject))
        .issuer_name(name("CSCA UT"))
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(NOW - timedelta(days=180))
        .not_valid_after(NOW + timedelta(days=180))
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    return builder.sign(AUTHORITY, hashes.SHA384()).public_bytes(Encoding.DER)


def document_types(*types: str) -> tuple[x509.ExtensionType, bool]:
    """The ICAO document type extension."""
    inner = b"".join(b"\x13" + bytes([len(text)]) + text.encode() for text in types)
    body = b"\x02\x01\x00\x31" + bytes([len(inner)]) + inner
    return x509.UnrecognizedExtension(DOCUMENT_TYPES, b"\x30" + bytes([len(body)]) + body), False


def seal(certificate: bytes, result: str = "negative", kind: str = "icao.test") -> str:
    """A test result for Mai Kowalski."""
    data = {
        "hdr": {"t": kind, "v": 1, "is": "UTO"},
        "msg": {"pid": {"n": "KOWALSKI  MAI", "dob": "1997-01-11"}, "tr": {"r": result}},
    }
    signature = es256_signature(SIGNER, jcs.canonical(data))
    parts = {"alg": "ES256", "cer": certificate, "sigvl": signature}
    block = {
        key: value if isinstance(value, str) else base64.urlsafe_b64encode(value).decode()
        for key, value in parts.items()
    }
    return json.dumps({"data": data, "sig": block})


def authority_store(folder: Path, *, revoked: int | None = None, by: Any = AUTHORITY) -> TrustStore:
    """A store with the country's CA and, where asked for, a list that revokes one serial number."""
    lists = []
    if revoked is not None:
        entry = x509.RevokedCertificateBuilder().serial_number(revoked).revocation_date(NOW).build()
        crl = x509.CertificateRevocationListBuilder().issuer_name(name("CSCA UT")).last_update(NOW)
        crl = crl.next_update(NOW + timedelta(days=30)).add_revoked_certificate(entry)
        lists = [base64.b64encode(crl.sign(by, hashes.SHA384()).public_bytes(Encoding.DER)).decode()]
    csca = a_certificate("CSCA UT", AUTHORITY, [(x509.BasicConstraints(ca=True, path_length=0), True)])
    document = {"csca": [{"x509": base64.b64encode(csca).decode()}], "crl": lists}
    (folder / "vdsnc_csca.json").write_text(json.dumps(document))
    return TrustStore.load(folder, match_key=MATCH_KEY)


def judged(text: str, store: TrustStore) -> CodeVerdict:
    """The verdict now."""
    return verify_health_code(text, store, NOW)


def test_a_seal_is_valid_and_matches_its_person(tmp_path: Path) -> None:
    """Surname and given names stand in one field and match the register all the same."""
    verdict = judged(seal(a_certificate("signer", SIGNER)), authority_store(tmp_path))
    assert verdict.claims is not None
    assert (verdict.claims.content, verdict.claims.status) == ("test", CodeStatus.GREEN)
    assert verdict.claims.subject_match == person_match(MATCH_KEY, "Kowalski", "Mai", "1997-01-11")


@pytest.mark.parametrize("result", ["positive", "Positive ", "detected"])
def test_a_genuine_certificate_of_an_infection_is_red(tmp_path: Path, result: str) -> None:
    """A valid signature under a positive result is no reason to let anybody in."""
    verdict = judged(seal(a_certificate("signer", SIGNER), result), authority_store(tmp_path))
    assert verdict.claims is not None
    assert verdict.claims.status is CodeStatus.RED


@pytest.mark.parametrize(
    ("extensions", "reason"),
    [
        ([document_types("NT", "NV")], CodeReason.NONE),
        ([(x509.ExtendedKeyUsage([SEAL_SIGNER]), True)], CodeReason.NONE),
        ([document_types("P")], CodeReason.KEY_USAGE),
        ([document_types("NV")], CodeReason.KEY_USAGE),
        ([(x509.ExtendedKeyUsage([x509.oid.ExtendedKeyUsageOID.CLIENT_AUTH]), True)], CodeReason.KEY_USAGE),
        ([(x509.BasicConstraints(ca=True, path_length=None), True)], CodeReason.KEY_USAGE),
    ],
    ids=["both kinds", "seal signer", "passports", "vaccination only", "another use", "a CA"],
)
def test_a_passport_signer_of_the_same_country_signs_no_seal(
    tmp_path: Path, extensions: list[tuple[x509.ExtensionType, bool]], reason: CodeReason
) -> None:
    """The CA signs many certificates; only those for seals of this kind count."""
    assert judged(seal(a_certificate("signer", SIGNER, extensions)), authority_store(tmp_path)).reason is reason


def test_only_the_authoritys_own_list_revokes(tmp_path: Path) -> None:
    """A list under the CA's name by another key revokes nothing, and an update that forgot the list keeps it."""
    text = seal(a_certificate("signer", SIGNER, serial=99))
    other = ec.derive_private_key(13, ec.SECP384R1())
    assert judged(text, authority_store(tmp_path, revoked=98)).state is CodeState.VALID
    assert judged(text, authority_store(tmp_path, revoked=99, by=other)).state is CodeState.VALID
    revoking = authority_store(tmp_path, revoked=99)
    assert judged(text, revoking).reason is CodeReason.KEY_REVOKED
    assert judged(text, revoking.replaced_by(authority_store(tmp_path))).reason is CodeReason.KEY_REVOKED
    assert code_finding(judged(text, revoking), text).refusal is Reason.CODE_REVOKED


def test_certificates_cut_short_or_changed_raise_their_own_error() -> None:
    """Every prefix of a certificate, and one with a byte too many."""
    der = a_certificate("signer", SIGNER)
    for length in range(len(der)):
        with pytest.raises(CertificateError):
            read_certificate(der[:length])
    with pytest.raises(CertificateError):
        read_certificate(der + b"\0")


# ------------------------------------------------------------------------------------- SMART Health Cards

CLINIC = ec.derive_private_key(21, ec.SECP256R1())


def base64url(data: bytes) -> str:
    """Without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def jwk() -> dict[str, str]:
    """The clinic's public key."""
    numbers = CLINIC.public_key().public_numbers()
    key = {"kty": "EC", "crv": "P-256", "x": base64url(numbers.x.to_bytes(32, "big"))}
    key["y"] = base64url(numbers.y.to_bytes(32, "big"))
    members = json.dumps(key, sort_keys=True, separators=(",", ":")).encode()
    return key | {"kid": base64url(hashlib.sha256(members).digest()), "use": "sig", "alg": "ES256"}


def a_card(result: str, rid: str | None = None) -> str:
    """A laboratory card of two days ago for Mai Kowalski."""
    patient = {"resourceType": "Patient", "name": [{"family": "Kowalski", "given": ["Mai"]}], "birthDate": "1997-01-11"}
    observation = {"resourceType": "Observation", "valueCodeableConcept": {"coding": [{"code": result}]}}
    types = ["https://smarthealth.cards#health-card", "https://smarthealth.cards#laboratory"]
    bundle = {"resourceType": "Bundle", "entry": [{"resource": patient}, {"resource": observation}]}
    credential: dict[str, Any] = {"type": types, "credentialSubject": {"fhirBundle": bundle}}
    if rid is not None:
        credential["rid"] = rid
    nbf = int((NOW - timedelta(days=2)).timestamp())
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    payload = json.dumps({"iss": "https://clinic.example/shc", "nbf": nbf, "vc": credential}).encode()
    header = json.dumps({"alg": "ES256", "zip": "DEF", "kid": jwk()["kid"]}).encode()
    signed = f"{base64url(header)}.{base64url(packer.compress(payload) + packer.flush())}"
    token = f"{signed}.{base64url(es256_signature(CLINIC, signed.encode()))}"
    return "shc:/" + "".join(f"{ord(character) - 45:02}" for character in token)


def clinic_store(folder: Path, rids: list[str] | None = None, key: dict[str, str] | None = None) -> TrustStore:
    """A store that trusts the clinic."""
    issuer = {"issuer": {"iss": "https://clinic.example/shc"}, "keys": [key or jwk()]}
    (folder / "shc_issuers.json").write_text(json.dumps({"issuerInfo": [issuer]}))
    kid = jwk()["kid"]
    revoked = {kid: {"kid": kid, "method": "rid", "ctr": 1, "rids": rids or []}}
    (folder / "shc_crl.json").write_text(json.dumps(revoked))
    return TrustStore.load(folder, match_key=MATCH_KEY)


@pytest.mark.parametrize(
    ("result", "status"),
    [("260415000", CodeStatus.GREEN), ("260373001", CodeStatus.RED), ("10828004", CodeStatus.RED)],
)
def test_a_laboratory_card_has_the_colour_of_its_result(tmp_path: Path, result: str, status: CodeStatus) -> None:
    """SNOMED CT: not detected, detected, positive."""
    verdict = judged(a_card(result), clinic_store(tmp_path))
    assert verdict.claims is not None
    assert (verdict.claims.content, verdict.claims.status) == ("test", status)
    assert verdict.claims.subject_match == person_match(MATCH_KEY, "Kowalski", "Mai", "1997-01-11")


def test_a_revoked_card_stays_revoked_and_the_harsher_entry_counts(tmp_path: Path) -> None:
    """Of a rid with a time and the same without one, the one without stands; an update lifts neither."""
    text, before = a_card("260415000", "r1"), int((NOW - timedelta(days=9)).timestamp())
    assert judged(text, clinic_store(tmp_path, [f"r1.{before}"])).state is CodeState.VALID
    whole = clinic_store(tmp_path, ["r1", f"r1.{before}"])
    assert judged(text, whole).reason is CodeReason.REVOKED
    milder = clinic_store(tmp_path, [f"r1.{before}"])
    assert judged(text, whole.replaced_by(milder)).reason is CodeReason.REVOKED
    assert judged(text, milder.replaced_by(whole)).reason is CodeReason.REVOKED
    assert judged(text, whole.replaced_by(clinic_store(tmp_path))).reason is CodeReason.REVOKED


@pytest.mark.parametrize(
    "change", [{"d": "AAAA"}, {"kid": "x"}, {"crv": "P-384"}, {"use": "enc"}, {"x": "A" * 43}, {"kty": "RSA"}]
)
def test_a_key_that_is_not_what_it_says_is_left_out(tmp_path: Path, change: dict[str, str]) -> None:
    """A published private part above all: anybody could sign with it."""
    store = clinic_store(tmp_path, key=jwk() | change)
    assert store.key_count() == 0
    assert len(store.skipped) == 1
    assert judged(a_card("260415000"), store).reason is CodeReason.ISSUER_UNKNOWN
