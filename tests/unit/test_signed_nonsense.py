"""What a trusted signer may sign by mistake, and what a stranger may put into a certificate: no verifier ever raises.

A fuzzer that does not hold a key never gets past the signature, so here every signer is ours and the content is not.
"""

from __future__ import annotations

import base64
import json
import zlib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st

from kiosk.credentials import CodeState, TrustStore, base45, hcert, jcs, verify_health_code
from kiosk.credentials.cbor import Tag, dumps, loads
from kiosk.credentials.code_verdict import GateContext
from kiosk.credentials.community import key_id_of, seal, sign
from kiosk.credentials.finding import code_finding
from kiosk.credentials.gc1 import PURPOSE
from kiosk.demo.codes import es256_signature
from kiosk.evidence import CodeStatus
from tests.unit.test_community_codes import COMMUNITY, trusting
from tests.unit.test_signed_cards import (
    CLINIC,
    MATCH_KEY,
    NOW,
    SIGNER,
    a_certificate,
    authority_store,
    base64url,
    clinic_store,
    jwk,
)

DSC = ec.derive_private_key(31, ec.SECP256R1())
DSC_ID = b"nonsense"
ODD_TEXT = st.text(max_size=12) | st.sampled_from(
    ["1950", "1979-04-14", "9999-99-99", "\ud800", "\ud800000000000", "260373001", "2021-02-30", "A" * 300, "\x00"]
)
SCALAR = st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False) | ODD_TEXT
JSON = st.recursive(
    SCALAR, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ODD_TEXT, inner, max_size=3), max_leaves=6
)
CBOR_SCALAR = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.binary(max_size=40)
    | ODD_TEXT.filter(lambda text: "\ud800" not in text)
)
CBOR = st.recursive(
    CBOR_SCALAR,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.integers(-300, 9) | st.sampled_from(["v", "t", "r", "nam", "dob"]), inner, max_size=3)
        | inner.map(lambda value: Tag(0, value))
        | inner.map(lambda value: Tag(1, value))
    ),
    max_leaves=6,
)
RULES = {
    "sets": {
        "any": {"formats": ["hcert", "shc", "vdsnc"], "rules": [{"name": "r", "logic": {"var": "payload.v.0.dn"}}]}
    }
}
CONTEXT = GateContext(rule_set="any")


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every path into a nested value."""
    found = [path]
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in pairs:
        found += places(inner, (*path, key))
    return found


def with_value(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    """``value`` with ``new`` at ``path``."""
    if not path:
        return new
    if isinstance(value, dict):
        return {key: with_value(inner, path[1:], new) if key == path[0] else inner for key, inner in value.items()}
    return [with_value(inner, path[1:], new) if at == path[0] else inner for at, inner in enumerate(value)]


def never_raises(text: str, store: TrustStore) -> None:
    """With and without rules, and through to the finding, which must be writable as JSON."""
    for context in (GateContext(), CONTEXT):
        finding = code_finding(verify_health_code(text, store, NOW, context), text, risk_regions=frozenset({"x"}))
        json.dumps([finding.kind, finding.issuer, finding.detail, finding.evidence_hash]).encode()
        assert len(finding.detail) < 200
        assert finding.detail.isprintable()


# ---------------------------------------------------------------------------------------------------- HCERT

ENTRY = {
    "tg": "840539006", "vp": "1", "mp": "2", "ma": "3", "dn": 2, "sd": 2, "dt": "2026-01-02", "co": "UT", "is": "x",
    "ci": "URN:UVCI:1", "tt": "1", "sc": "2026-01-02T03:04:05Z", "tr": "260415000", "fr": "2026-01-01",
    "df": "2026-01-01", "du": "2026-06-01",
}  # fmt: skip
CLAIMS: dict[Any, Any] = {
    1: "UT",
    4: int((NOW + timedelta(days=30)).timestamp()),
    6: int((NOW - timedelta(days=1)).timestamp()),
    -260: {1: {"ver": "1.3.0", "nam": {"fnt": "KOWALSKI", "gnt": "MAI"}, "dob": "1997-01-11", "v": [ENTRY]}},
}


def a_hcert(claims: Any) -> str:
    """Any claims, signed by the trusted signer."""
    protected, payload = dumps({1: -7, 4: DSC_ID}), dumps(claims)
    signature = es256_signature(DSC, dumps(["Signature1", protected, b"", payload]))
    return hcert.PREFIX + base45.encode(zlib.compress(dumps(Tag(18, [protected, {}, payload, signature]))))


@pytest.fixture(scope="module")
def hcert_store(tmp_path_factory: pytest.TempPathFactory) -> TrustStore:
    folder = tmp_path_factory.mktemp("hcert")
    row = {"kid": base64.b64encode(DSC_ID).decode(), "x509": base64.b64encode(a_certificate("d", DSC)).decode()}
    (folder / "hcert_dsc.json").write_text(json.dumps({"certificates": [row]}))
    entry = {"kid": row["kid"], "hashType": "UCI", "hash": base64.b64encode(bytes(16)).decode()}
    (folder / "hcert_revoked.json").write_text(json.dumps({"entries": [entry]}))
    (folder / "rules.json").write_text(json.dumps(RULES))
    return TrustStore.load(folder, match_key=MATCH_KEY)


def test_the_hcert_before_any_nonsense_is_valid(hcert_store: TrustStore) -> None:
    """Or the tests below would test nothing."""
    assert verify_health_code(a_hcert(CLAIMS), hcert_store, NOW).state is CodeState.VALID


@pytest.mark.parametrize(("result", "status"), [("260415000", CodeStatus.GREEN), ("260373001", CodeStatus.RED)])
def test_a_genuine_hcert_of_an_infection_is_red(hcert_store: TrustStore, result: str, status: CodeStatus) -> None:
    """A test that found the infection verifies like any other; its colour is what keeps the gate shut."""
    certificate = {key: value for key, value in CLAIMS[-260][1].items() if key != "v"} | {
        "t": [{**ENTRY, "tr": result}]
    }
    verdict = verify_health_code(a_hcert({**CLAIMS, -260: {1: certificate}}), hcert_store, NOW)
    assert verdict.claims is not None
    assert (verdict.claims.content, verdict.claims.status) == ("test", status)


@settings(deadline=None, max_examples=150)
@given(data=st.data())
def test_a_signer_that_signs_nonsense_in_an_hcert(hcert_store: TrustStore, data: st.DataObject) -> None:
    """Any value in any place of the claims."""
    group = data.draw(st.sampled_from(["v", "t", "r"]))
    certificate = {key: value for key, value in CLAIMS[-260][1].items() if key != "v"} | {group: [ENTRY]}
    claims = {**CLAIMS, -260: {1: certificate}}
    path = data.draw(st.sampled_from(places(claims)))
    try:
        text = a_hcert(with_value(claims, path, data.draw(CBOR)))
    except (ValueError, TypeError):
        return  # no CBOR: a number beyond 64 bits
    never_raises(text, hcert_store)


# ------------------------------------------------------------------------------------------------------ SHC

PATIENT = {"resourceType": "Patient", "name": [{"family": "K", "given": ["M"]}], "birthDate": "1997-01-11"}
RESULT = {"resourceType": "Observation", "valueCodeableConcept": {"coding": [{"code": "260415000"}]}}
CARD: dict[str, Any] = {
    "iss": "https://clinic.example/shc",
    "nbf": int((NOW - timedelta(days=2)).timestamp()),
    "exp": int((NOW + timedelta(days=2)).timestamp()),
    "vc": {
        "type": ["https://smarthealth.cards#health-card", "https://smarthealth.cards#laboratory"],
        "rid": "r1",
        "credentialSubject": {
            "fhirBundle": {"resourceType": "Bundle", "entry": [{"resource": PATIENT}, {"resource": RESULT}]}
        },
    },
}


def a_card(card: Any) -> str:
    """Any payload, signed by the trusted clinic."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    header = json.dumps({"alg": "ES256", "zip": "DEF", "kid": jwk()["kid"]}).encode()
    signed = f"{base64url(header)}.{base64url(packer.compress(json.dumps(card).encode()) + packer.flush())}"
    token = f"{signed}.{base64url(es256_signature(CLINIC, signed.encode()))}"
    return "shc:/" + "".join(f"{ord(character) - 45:02}" for character in token)


@pytest.fixture(scope="module")
def card_store(tmp_path_factory: pytest.TempPathFactory) -> TrustStore:
    folder = tmp_path_factory.mktemp("shc")
    (folder / "rules.json").write_text(json.dumps(RULES))
    return clinic_store(folder, ["r2"])


def test_the_card_before_any_nonsense_is_valid(card_store: TrustStore) -> None:
    """Or the test below would test nothing."""
    assert verify_health_code(a_card(CARD), card_store, NOW).state is CodeState.VALID


@settings(deadline=None, max_examples=150)
@given(data=st.data())
def test_a_clinic_that_signs_nonsense(card_store: TrustStore, data: st.DataObject) -> None:
    """Any value in any place of the card, lone surrogates and unhashable codes included."""
    path = data.draw(st.sampled_from(places(CARD)))
    never_raises(a_card(with_value(CARD, path, data.draw(JSON))), card_store)


# --------------------------------------------------------------------------------------------------- VDS-NC

DATA: dict[str, Any] = {
    "hdr": {"t": "icao.test", "v": 1, "is": "UTO"},
    "msg": {"pid": {"n": "KOWALSKI  MAI", "dob": "1997-01-11"}, "tr": {"r": "negative"}},
}


def a_seal(data: Any, certificate: bytes) -> str:
    """Any data, signed by the trusted signer where it has a canonical form at all."""
    try:
        signature = es256_signature(SIGNER, jcs.canonical(data))
    except ValueError:
        signature = bytes(64)
    block = {"alg": "ES256", "cer": base64url(certificate), "sigvl": base64url(signature)}
    return json.dumps({"data": data, "sig": block})


@pytest.fixture(scope="module")
def seal_store(tmp_path_factory: pytest.TempPathFactory) -> TrustStore:
    folder = tmp_path_factory.mktemp("vdsnc")
    (folder / "rules.json").write_text(json.dumps(RULES))
    return authority_store(folder, revoked=3)


@settings(deadline=None, max_examples=150)
@given(data=st.data())
def test_a_state_that_signs_nonsense(seal_store: TrustStore, data: st.DataObject) -> None:
    """Any value in any place of the seal."""
    path = data.draw(st.sampled_from(places(DATA)))
    never_raises(a_seal(with_value(DATA, path, data.draw(JSON)), a_certificate("signer", SIGNER)), seal_store)


@settings(deadline=None, max_examples=100)
@given(oid=st.sampled_from(["2.5.29.19", "2.5.29.15", "2.5.29.37", "2.23.136.1.1.6.2"]), inner=st.binary(max_size=12))
def test_a_certificate_with_extensions_of_any_shape(seal_store: TrustStore, oid: str, inner: bytes) -> None:
    """They are read before anything of the certificate is believed."""
    extension = x509.UnrecognizedExtension(x509.ObjectIdentifier(oid), inner)
    never_raises(a_seal(DATA, a_certificate("signer", SIGNER, [(extension, False)])), seal_store)


@settings(deadline=None, max_examples=200)
@given(place=st.integers(0, 10**6), change=st.integers(1, 255))
def test_a_certificate_changed_anywhere(seal_store: TrustStore, place: int, change: int) -> None:
    """A stranger's DER, one byte at a time: refused, never raised."""
    der = bytearray(a_certificate("signer", SIGNER, [(x509.BasicConstraints(ca=False, path_length=None), True)]))
    der[place % len(der)] ^= change
    text = a_seal(DATA, bytes(der))
    never_raises(text, seal_store)
    assert verify_health_code(text, seal_store, NOW).state is CodeState.INVALID


# ------------------------------------------------------------------------------------------------------ GC1


@settings(deadline=None, max_examples=200)
@given(data=st.data())
def test_a_community_that_signs_nonsense(data: st.DataObject) -> None:
    """Any value in any place of the body."""
    now = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
    start = int(now.timestamp())
    order = ["1", "a", "b", start + 9999, "c"]
    body: Any = [1, key_id_of(COMMUNITY.public_key()), bytes(8), 2, start, start + 3600, None, order, ["CN-11"]]
    path = data.draw(st.sampled_from(places(body)))
    try:
        raw = dumps(with_value(body, path, data.draw(CBOR)))
        loads(raw)
    except ValueError:
        return
    never_raises(seal("GC1:", [raw, sign(COMMUNITY, PURPOSE, raw)]), trusting())
    never_raises(seal("GC1:", [raw, sign(COMMUNITY, PURPOSE, raw), raw, bytes(64)]), trusting())


def test_a_broken_community_key_is_left_out(tmp_path: Path) -> None:
    """Without dates, with dates of no zone, with another length."""
    good = {"name": "x", "use": ["code"], "public_key": base64.b64encode(bytes(32)).decode()}
    dates = {"not_before": "2026-01-01T00:00:00Z", "not_after": "2027-01-01T00:00:00Z"}
    rows = [good, {**good, "not_before": "2026-01-01", "not_after": "2026-02-01"}, {**good, **dates, "use": ["x"]}]
    rows += [{**good, **dates, "public_key": "AAAA"}, {**good, **dates}]
    (tmp_path / "community_keys.json").write_text(json.dumps({"keys": rows}))
    store = TrustStore.load(tmp_path)
    assert (len(store.skipped), store.key_count()) == (4, 1)
