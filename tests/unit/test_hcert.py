"""HCERT from end to end: real cases, own attacks, and the demo's issuer."""

from __future__ import annotations

import base64
import contextlib
import json
import zlib
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.errors import ConfigError
from kiosk.credentials import CodeReason, CodeState, TrustStore, base45, verify_health_code
from kiosk.credentials.cbor import CborError, Tag, dumps, loads
from kiosk.credentials.code_verdict import REASON_OF
from kiosk.credentials.finding import code_finding
from kiosk.credentials.person_match import normal_name, person_match
from kiosk.credentials.revocations import RevocationKind, RevocationSet, revocation_hash
from kiosk.demo.codes import DemoIssuer, DemoPerson
from kiosk.reasons import Reason

NOW = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
PERSON = DemoPerson(surname="d'Červenková Panklová", given="Jiřina-Maria", birth_date="1979-04-14")
MATCH_KEY = bytes(range(32))


@pytest.fixture(scope="module")
def issuer() -> DemoIssuer:
    return DemoIssuer.create(NOW)


@pytest.fixture(scope="module")
def store(issuer: DemoIssuer, tmp_path_factory: pytest.TempPathFactory) -> TrustStore:
    folder = tmp_path_factory.mktemp("trust")
    issuer.write_trust_folder(folder)
    return TrustStore.load(folder, match_key=MATCH_KEY)


@pytest.fixture(scope="module")
def text(issuer: DemoIssuer) -> str:
    return issuer.hcert(PERSON, issued_at=NOW, expires_at=NOW + timedelta(days=30))


def test_a_genuine_code_is_valid_and_only_minimal_claims_leave(text: str, store: TrustStore) -> None:
    """The verdict carries kind, issuer, expiry and the keyed match, and neither name nor birth date."""
    verdict = verify_health_code(text, store, NOW)
    assert verdict.state is CodeState.VALID
    assert verdict.claims is not None
    assert verdict.claims.kind == "hcert"
    assert verdict.claims.content == "vaccination"
    assert verdict.claims.expires_at == NOW + timedelta(days=30)
    assert verdict.claims.subject_match == person_match(MATCH_KEY, "DCERVENKOVA PANKLOVA", "Jirina Maria", "1979-04-14")
    assert "1979" not in repr(verdict)
    assert "JIRINA" not in repr(verdict).upper()


@pytest.mark.parametrize(
    ("shift", "reason"),
    [
        (timedelta(days=30), CodeReason.EXPIRED),
        (timedelta(days=30, seconds=-1), CodeReason.NONE),
        (timedelta(minutes=-5), CodeReason.NONE),
        (timedelta(minutes=-5, seconds=-1), CodeReason.NOT_YET_VALID),
        (timedelta(days=-366), CodeReason.KEY_NOT_YET_VALID),
        (timedelta(days=731), CodeReason.KEY_EXPIRED),
    ],
)
def test_dates_are_checked_to_the_second(text: str, store: TrustStore, shift: timedelta, reason: CodeReason) -> None:
    """Expired means on or after; five minutes are given on the start and none on the end."""
    assert verify_health_code(text, store, NOW + shift).reason is reason


def test_the_time_zone_of_now_does_not_matter(text: str, store: TrustStore) -> None:
    """The same instant in Beijing time judges alike, and a time without zone is the caller's error."""
    assert verify_health_code(text, store, NOW.astimezone(timezone(timedelta(hours=8)))).state is CodeState.VALID
    with pytest.raises(ValueError, match="time zone"):
        verify_health_code(text, store, NOW.replace(tzinfo=None))


def test_a_forged_code_leaves_its_hash_key_and_reason_as_evidence(issuer: DemoIssuer, store: TrustStore) -> None:
    """A trusted key id over a foreign signature is a forgery; the finding keeps SHA-256, never the text."""
    forged = issuer.forged_hcert(PERSON, issued_at=NOW, expires_at=NOW + timedelta(days=30))
    verdict = verify_health_code(forged, store, NOW)
    finding = code_finding(verdict, forged)
    assert verdict.reason is CodeReason.SIGNATURE
    assert finding.refusal is Reason.CODE_FORGED
    assert len(finding.evidence_hash) == 64
    assert finding.detail == f"signature {issuer.key_id.hex()}"


def test_a_valid_code_leaves_no_trace_of_its_text(text: str, store: TrustStore) -> None:
    """Evidence hashes are for refused codes only."""
    finding = code_finding(verify_health_code(text, store, NOW), text)
    assert finding.refusal is None
    assert finding.evidence_hash == ""
    assert finding.expires_at_us == int((NOW + timedelta(days=30)).timestamp()) * 1_000_000


def test_an_unknown_signer_is_unknown_not_forged(store: TrustStore) -> None:
    """A code of a country whose keys are not loaded says so, since the remedy is a newer list."""
    other = DemoIssuer.create(NOW).hcert(PERSON, issued_at=NOW, expires_at=NOW + timedelta(days=1))
    assert verify_health_code(other, store, NOW).reason is CodeReason.ISSUER_UNKNOWN


def test_revocation_survives_the_other_s_of_the_same_signature(
    issuer: DemoIssuer, text: str, tmp_path: Path, store: TrustStore
) -> None:
    """(r, n - s) verifies as well as (r, s); the list hashes r alone, so both are refused, and stay refused after
    an update that forgot the entry."""
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    envelope = loads(zlib.decompress(base45.decode(text[4:])))
    r, s = envelope.value[3][:32], int.from_bytes(envelope.value[3][32:], "big")
    twin_envelope = Tag(18, [*envelope.value[:3], r + (order - s).to_bytes(32, "big")])
    twin = "HC1:" + base45.encode(zlib.compress(dumps(twin_envelope)))
    assert verify_health_code(twin, store, NOW).state is CodeState.VALID
    issuer.write_trust_folder(tmp_path, revoked=[text])
    revoking = TrustStore.load(tmp_path)
    assert verify_health_code(text, revoking, NOW).reason is CodeReason.REVOKED
    assert verify_health_code(twin, revoking, NOW).reason is CodeReason.REVOKED
    assert verify_health_code(twin, revoking.replaced_by(store), NOW).reason is CodeReason.REVOKED


def test_a_revoked_code_does_not_hide_behind_another_id_of_the_same_key(
    issuer: DemoIssuer, text: str, tmp_path: Path
) -> None:
    """A renewed certificate lists the same key under a new id, and an unprotected key id is not signed."""
    issuer.write_trust_folder(tmp_path, revoked=[text])
    path = tmp_path / "hcert_dsc.json"
    document = json.loads(path.read_text())
    document["certificates"].append({**document["certificates"][0], "kid": "AAAAAAAAAAA="})
    path.write_text(json.dumps(document))
    revoked = tmp_path / "hcert_revoked.json"
    revoked.write_text(revoked.read_text().replace(base64.b64encode(issuer.key_id).decode(), "AAAAAAAAAAA="))
    assert verify_health_code(text, TrustStore.load(tmp_path), NOW).reason is CodeReason.REVOKED


def test_a_bad_anchor_is_skipped_and_reported_and_the_rest_stands(
    issuer: DemoIssuer, text: str, tmp_path: Path
) -> None:
    """National lists hold odd certificates; one must never take the others with it."""
    issuer.write_trust_folder(tmp_path)
    path = tmp_path / "hcert_dsc.json"
    document = json.loads(path.read_text())
    document["certificates"] = [
        {"kid": "AAAAAAAAAAA=", "x509": "MAA="},
        {"kid": "AAAA", "x509": document["certificates"][0]["x509"]},
        None,
        *document["certificates"],
    ]
    path.write_text(json.dumps(document))
    store = TrustStore.load(tmp_path)
    assert [anchor.name for anchor in store.skipped] == ["certificates 0", "certificates 1", "certificates 2"]
    assert verify_health_code(text, store, NOW).state is CodeState.VALID


@pytest.mark.parametrize("content", ["", "{", "[]", '{"entries": {}}'])
def test_an_unreadable_revocation_file_is_an_error_never_an_empty_list(
    issuer: DemoIssuer, tmp_path: Path, content: str
) -> None:
    """A store that silently lost its revocations would let in what was revoked."""
    issuer.write_trust_folder(tmp_path)
    (tmp_path / "hcert_revoked.json").write_text(content)
    with pytest.raises(ConfigError, match=r"hcert_revoked\.json"):
        TrustStore.load(tmp_path)


def test_a_missing_trust_folder_is_an_error_that_names_it(tmp_path: Path) -> None:
    """An absent folder is never an empty store."""
    with pytest.raises(ConfigError, match="nowhere"):
        TrustStore.load(tmp_path / "nowhere")


def test_a_text_that_is_no_health_code_is_nobodys(store: TrustStore) -> None:
    """A web address goes past every verifier and is refused as unsupported."""
    verdict = verify_health_code("https://example.org/menu", store, NOW)
    assert verdict.state is CodeState.NOT_MINE
    assert code_finding(verdict, "https://example.org/menu").refusal is Reason.CODE_UNSUPPORTED


def test_every_short_reason_has_a_reason_of_the_verdict() -> None:
    """The closed list maps completely, so that no refusal can be without words."""
    assert set(REASON_OF) == set(CodeReason) - {CodeReason.NONE}


@settings(deadline=None, max_examples=60)
@given(st.binary(max_size=200))
def test_base45_round_trip(data: bytes) -> None:
    """Every byte string comes back, and its text needs no more than the QR alphabet."""
    assert base45.decode(base45.encode(data)) == data


@pytest.mark.parametrize("text", ["A", "AAAA", ":::", "::", "ab0", "é00", "00\n"])
def test_base45_refuses_what_is_not_base45(text: str) -> None:
    """Wrong length, a group above its limit, lower case, and other characters are errors (RFC 9285, 6)."""
    with pytest.raises(base45.Base45Error):
        base45.decode(text)


@pytest.mark.parametrize(("plain", "text"), [(b"AB", "BB8"), (b"Hello!!", "%69 VD92EX0"), (b"base-45", "UJCLQE7W581")])
def test_base45_examples_of_the_standard(plain: bytes, text: str) -> None:
    """RFC 9285, section 4.3."""
    assert base45.encode(plain) == text
    assert base45.decode(text) == plain


CBOR_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**64), 2**64 - 1) | st.binary(max_size=20) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.integers(-9, 9) | st.text(max_size=4), inner, max_size=4)
    ),
    max_leaves=20,
)


@settings(deadline=None, max_examples=60)
@given(CBOR_VALUES)
def test_cbor_round_trip(value: object) -> None:
    """What the writer writes the reader reads."""
    assert loads(dumps(value)) == value


@settings(deadline=None, max_examples=60)
@given(st.binary(max_size=64))
def test_cbor_reader_only_ever_raises_its_own_error(data: bytes) -> None:
    """Any bytes either are one allowed value or a CborError."""
    with contextlib.suppress(CborError):
        loads(data)


@pytest.mark.parametrize(
    "wrong",
    [
        "",  # nothing
        "8201",  # array cut short
        "0101",  # a second item
        "9b7fffffffffffffff",  # 2^63 items claimed
        "5b7fffffffffffffff",  # 2^63 bytes claimed
        "81" * 20 + "01",  # nested 20 deep
        "a201010102",  # key 1 twice
        "a1f501",  # True as a key would equal 1
        "a1410101",  # bytes as a key
        "c249010000000000000000",  # bignum
        "c48201820a0a",  # decimal fraction
        "d81d00",  # shared reference
        "d82361" + "61",  # regular expression
        "f97e00",  # NaN
        "fa7f800000",  # infinity
        "ff",  # break alone
        "a101ff",  # break as a value
        "61ff",  # text that is not UTF-8
        "1c",  # reserved length
        "f8ff",  # simple value 255
        "f7",  # undefined
    ],
)
def test_cbor_refuses_what_a_signed_code_has_no_use_for(wrong: str) -> None:
    """Each is refused at the head, before anything is allocated for it."""
    with pytest.raises(CborError):
        loads(bytes.fromhex(wrong))


def test_cbor_reads_indefinite_lengths() -> None:
    """Some issuers' encoders stream; RFC 8949, appendix A."""
    assert loads(bytes.fromhex("bf61610161629f0203ffff")) == {"a": 1, "b": [2, 3]}
    assert loads(bytes.fromhex("5f42010243030405ff")) == bytes([1, 2, 3, 4, 5])


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.binary(min_size=8, max_size=8), st.sampled_from(RevocationKind)), max_size=40))
def test_revocation_set_holds_exactly_its_entries(entries: list[tuple[bytes, RevocationKind]]) -> None:
    """Found when in the list, under the same key id and kind only."""
    every = [(kid, kind, revocation_hash(kid)) for kid, kind in entries]
    revoked = RevocationSet(every)
    assert len(revoked) == len(set(every))
    assert all(entry in revoked for entry in every)
    assert (b"\xff" * 8, RevocationKind.UCI, b"\xff" * 16) not in RevocationSet(e for e in every if e[0] != b"\xff" * 8)


@pytest.mark.parametrize(
    ("name", "normal"),
    [("Jiřina-Maria", "JIRINAMARIA"), ("MUELLER<MEIER", "MUELLERMEIER"), ("Ørsted", "OERSTED"), ("王 小明", "王小明")],
)
def test_names_have_one_normal_form(name: str, normal: str) -> None:
    """The code's transliterated name and the register's own spelling hash alike."""
    assert normal_name(name) == normal


def test_formats_that_split_a_name_otherwise_still_match() -> None:
    """One field or two, given names together or apart: the letters and their order are what counts."""
    two_fields = person_match(MATCH_KEY, "WANG", "XIAO<MING", "1990-01-02")
    assert two_fields == person_match(MATCH_KEY, "Wang", "Xiaoming", "1990-01-02")
    assert two_fields == person_match(MATCH_KEY, "WANG  XIAO MING", "", "1990-01-02")
    assert two_fields != person_match(MATCH_KEY, "WANG", "XIAOMIN", "1990-01-02")


def test_a_birth_year_alone_matches_nobody() -> None:
    """Without a full birth date every namesake would match, so there is no match at all."""
    assert person_match(MATCH_KEY, "LI", "WEI", "1950") == ""
    assert person_match(b"", "LI", "WEI", "1950-01-01") == ""
    assert len(person_match(MATCH_KEY, "LI", "WEI", "1950-01-01")) == 32
