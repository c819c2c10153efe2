"""``GC1:`` and ``GP1:``: what they say, whom they bind to, and each way to cheat with them."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from kiosk.credentials import CodeReason, CodeState, GateContext, TrustStore, gc1, gp1, verify_health_code
from kiosk.credentials.anchors import CommunityKey, CommunityUse
from kiosk.credentials.cbor import dumps, loads
from kiosk.credentials.challenge import accepted_challenges, shown_challenge
from kiosk.credentials.code_verdict import CodeRefusedError, CodeVerdict
from kiosk.credentials.community import key_id_of, open_text, seal, sign
from kiosk.credentials.finding import code_finding
from kiosk.credentials.gc1 import CommunityCode, StatusOrder
from kiosk.credentials.gp1 import PassWindow, TemporaryPass
from kiosk.credentials.pass_binding import pass_hash
from kiosk.evidence import CodeStatus
from kiosk.reasons import Reason

NOW = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
SUBJECT = "0123456789abcdef"
MATCH_SECRET = bytes(range(16))
COMMUNITY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
KIOSK = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
PHONE = ec.derive_private_key(0x1234567890ABCDEF, ec.SECP256R1())
PHONE_POINT = PHONE.public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
ORDER = StatusOrder(
    number="2026-017",
    issuer="District CDC",
    approver="Dr Zhao",
    until=NOW + timedelta(days=14),
    appeal="Residents' committee, 010-1234",
)


def trusting(key: Ed25519PrivateKey = COMMUNITY, *uses: CommunityUse, **changes: Any) -> TrustStore:
    """A store with one community key, for every use unless told otherwise."""
    public = key.public_key()
    anchor = CommunityKey(
        key_id=key_id_of(public),
        name="Sunny Gardens",
        public_key=public,
        uses=frozenset(uses or CommunityUse),
        not_before=NOW - timedelta(days=30),
        not_after=NOW + timedelta(days=30),
    )
    return TrustStore(community_keys=MappingProxyType({anchor.key_id: anchor}), **changes)


def a_code(**changes: Any) -> CommunityCode:
    """A green code for twelve hours, static unless told otherwise."""
    code = CommunityCode(
        pass_hash=pass_hash(SUBJECT), status=CodeStatus.GREEN, issued_at=NOW, expires_at=NOW + timedelta(hours=12)
    )
    return replace(code, **changes)


def judge(text: str, now: datetime = NOW, context: GateContext | None = None, **store: Any) -> CodeVerdict:
    """The verdict at a gate that trusts the community's key."""
    return verify_health_code(text, trusting(**store), now, context or GateContext())


def test_a_static_green_code_is_valid_bound_to_its_pass_and_says_that_it_can_be_copied() -> None:
    """Paper works; policy may ask for more because the claims say ``static``."""
    verdict = judge(gc1.issue(a_code(), COMMUNITY))
    assert verdict.state is CodeState.VALID
    assert verdict.claims is not None
    assert verdict.claims.static
    assert verdict.claims.status is CodeStatus.GREEN
    assert verdict.claims.issuer == "Sunny Gardens"
    finding = code_finding(verdict, "")
    assert finding.bound_pass == pass_hash(SUBJECT).hex()
    assert SUBJECT not in repr(verdict)


def test_the_text_stays_small_enough_to_be_read_at_arms_length() -> None:
    """180 characters printed and 330 on the phone keep the modules of the QR code large."""
    text = gc1.issue(a_code(), COMMUNITY)
    assert len(text) < 180
    assert len(gc1.show(gc1.issue(a_code(holder_key=PHONE_POINT), COMMUNITY), PHONE, NOW, "123")) < 350


@pytest.mark.parametrize(
    ("shift_s", "reason"),
    [
        (0, CodeReason.NONE),
        (180, CodeReason.NONE),
        (181, CodeReason.STALE),
        (-180, CodeReason.NONE),
        (-181, CodeReason.STALE),
    ],
)
def test_a_screenshot_older_than_180_seconds_is_stale(shift_s: int, reason: CodeReason) -> None:
    """Three minutes either way, since phones' clocks drift; the finding tells the resident to refresh the code."""
    shown = gc1.show(
        gc1.issue(a_code(holder_key=PHONE_POINT, issued_at=NOW - timedelta(hours=1)), COMMUNITY), PHONE, NOW
    )
    verdict = judge(shown, NOW + timedelta(seconds=shift_s))
    assert verdict.reason is reason
    if reason is CodeReason.STALE:
        assert code_finding(verdict, shown).refusal is Reason.CODE_STALE


def test_a_code_with_a_holder_key_is_nothing_without_the_phones_signature() -> None:
    """What the central sent to the phone, caught on the way, opens no gate."""
    assert judge(gc1.issue(a_code(holder_key=PHONE_POINT), COMMUNITY)).reason is CodeReason.STALE


def test_another_phone_cannot_re_sign_the_code() -> None:
    """A copied code with a fresh signature of the wrong phone is a forgery."""
    text = gc1.issue(a_code(holder_key=PHONE_POINT), COMMUNITY)
    verdict = judge(gc1.show(text, ec.derive_private_key(99, ec.SECP256R1()), NOW))
    assert verdict.reason is CodeReason.HOLDER_KEY
    assert code_finding(verdict, text).refusal is Reason.CODE_FORGED


def test_a_showing_fits_its_own_code_only() -> None:
    """The holder's signature covers the issuer's, so yesterday's green body cannot wear today's showing."""
    green = gc1.issue(a_code(holder_key=PHONE_POINT), COMMUNITY)
    red = gc1.show(gc1.issue(a_code(holder_key=PHONE_POINT, status=CodeStatus.RED, order=ORDER), COMMUNITY), PHONE, NOW)
    mixed = open_text("GC1:", green, frozenset({2}))[:2] + open_text("GC1:", red, frozenset({4}))[2:]
    assert judge(seal("GC1:", mixed)).reason is CodeReason.HOLDER_KEY


def test_the_gates_challenge_must_be_signed_in_and_takes_the_clock_out_of_the_argument() -> None:
    """With the digits on the kiosk's screen a phone ten minutes off still passes, and a recording does not."""
    text = gc1.issue(a_code(holder_key=PHONE_POINT, issued_at=NOW - timedelta(hours=1)), COMMUNITY)
    gate = GateContext(challenges=frozenset({"417", "902"}))
    assert judge(gc1.show(text, PHONE, NOW + timedelta(minutes=10), "417"), context=gate).state is CodeState.VALID
    assert judge(gc1.show(text, PHONE, NOW, "418"), context=gate).reason is CodeReason.CHALLENGE
    assert judge(gc1.show(text, PHONE, NOW), context=gate).reason is CodeReason.CHALLENGE


def test_the_digits_change_every_thirty_seconds_and_stay_good_for_a_minute() -> None:
    """Long enough to type them; another kiosk shows others."""
    at = NOW + timedelta(seconds=29)
    shown = shown_challenge(MATCH_SECRET, at)
    assert len(shown) == 3
    assert shown.isdigit()
    assert shown in accepted_challenges(MATCH_SECRET, at + timedelta(seconds=60))
    assert shown not in accepted_challenges(MATCH_SECRET, at + timedelta(seconds=61))
    assert len({shown_challenge(MATCH_SECRET, NOW + timedelta(seconds=30 * step)) for step in range(100)}) > 80
    assert shown != shown_challenge(bytes(16), at)


@pytest.mark.parametrize("status", [CodeStatus.YELLOW, CodeStatus.RED])
def test_yellow_and_red_stand_only_under_an_order(status: CodeStatus) -> None:
    """Nobody can be given a colour by a click: the order is in the code, with its end and whom to appeal to."""
    with pytest.raises(CodeRefusedError):
        gc1.issue(a_code(status=status), COMMUNITY)
    verdict = judge(gc1.issue(a_code(status=status, order=ORDER), COMMUNITY))
    assert verdict.claims is not None
    assert verdict.claims.status is status
    assert verdict.claims.order == "2026-017"


@pytest.mark.parametrize(
    "order",
    [
        replace(ORDER, approver="district cdc "),
        replace(ORDER, until=NOW + timedelta(hours=11)),
        replace(ORDER, appeal=""),
        replace(ORDER, number="x" * 61),
    ],
    ids=["own approver", "order ends first", "nobody to appeal to", "too long"],
)
def test_an_order_is_refused_that_lacks_what_protects_the_person(order: StatusOrder) -> None:
    """Second approver, end and appeal are part of the format; a code outlasting its order does not exist."""
    with pytest.raises(CodeRefusedError):
        gc1.issue(a_code(status=CodeStatus.RED, order=order), COMMUNITY)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"issued_at": NOW - timedelta(hours=13), "expires_at": NOW}, CodeReason.EXPIRED),
        ({"issued_at": NOW + timedelta(minutes=6), "expires_at": NOW + timedelta(hours=1)}, CodeReason.NOT_YET_VALID),
    ],
)
def test_dates_of_a_community_code(changes: dict[str, Any], reason: CodeReason) -> None:
    """Expired on the second, and five minutes for an issuer's clock ahead of ours."""
    assert judge(gc1.issue(a_code(**changes), COMMUNITY)).reason is reason


def test_no_code_lives_longer_than_a_day() -> None:
    """A status a day old says nothing; the limit is in the format, not in the issuer's goodwill."""
    with pytest.raises(CodeRefusedError):
        gc1.issue(a_code(expires_at=NOW + timedelta(hours=24, seconds=1)), COMMUNITY)


def test_keys_are_known_unrevoked_for_their_use_and_within_their_dates() -> None:
    """Each way in which a key does not count has a reason of its own."""
    text = gc1.issue(a_code(), COMMUNITY)
    kid = key_id_of(COMMUNITY.public_key())
    assert judge(text, key=KIOSK).reason is CodeReason.ISSUER_UNKNOWN
    assert judge(text, community_revoked_keys=frozenset({kid})).reason is CodeReason.KEY_REVOKED
    assert verify_health_code(text, trusting(COMMUNITY, CommunityUse.PASS), NOW).reason is CodeReason.KEY_USAGE
    later = NOW + timedelta(days=31)
    late = gc1.issue(a_code(issued_at=later, expires_at=later + timedelta(hours=1)), COMMUNITY)
    assert judge(late, later).reason is CodeReason.KEY_EXPIRED


def test_a_signature_for_one_purpose_serves_no_other() -> None:
    """The same key signing a pass's body never makes a health code."""
    body, _ = open_text("GC1:", gc1.issue(a_code(), COMMUNITY), frozenset({2}))
    assert judge(seal("GC1:", [body, sign(COMMUNITY, gp1.PURPOSE, body)])).reason is CodeReason.SIGNATURE


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10**9), st.integers(1, 255))
def test_any_changed_byte_of_a_shown_code_is_refused(place: int, change: int) -> None:
    """No bit of body, signatures or showing can be altered."""
    shown = gc1.show(gc1.issue(a_code(holder_key=PHONE_POINT), COMMUNITY), PHONE, NOW, "12")
    parts = open_text("GC1:", shown, frozenset({4}))
    raw = bytearray(b"".join(parts))
    raw[place % len(raw)] ^= change
    changed, at = [], 0
    for part in parts:
        changed.append(bytes(raw[at : at + len(part)]))
        at += len(part)
    assert judge(seal("GC1:", changed)).state is CodeState.INVALID


def test_travel_is_clear_when_no_named_region_was_touched() -> None:
    """The code states regions; the order names the risky ones; a code silent on travel leaves the trip open."""
    told = judge(gc1.issue(a_code(regions=("CN-11", "CN-31")), COMMUNITY))
    assert code_finding(told, "", risk_regions=frozenset({"CN-31"})).trip_clear is False
    assert code_finding(told, "", risk_regions=frozenset({"CN-44"})).trip_clear is True
    assert code_finding(told, "").trip_clear is None
    silent = judge(gc1.issue(a_code(), COMMUNITY))
    assert code_finding(silent, "", risk_regions=frozenset({"CN-31"})).trip_clear is None


def test_a_clock_before_the_store_was_made_judges_nothing() -> None:
    """A kiosk set back a year would find expired codes good again."""
    text = gc1.issue(a_code(), COMMUNITY)
    verdict = judge(text, created_at=NOW + timedelta(minutes=6))
    assert verdict.reason is CodeReason.CLOCK
    assert code_finding(verdict, text).refusal is Reason.CLOCK_UNTRUSTED


# ------------------------------------------------------------------------------------------------ passes

VISIT = TemporaryPass(
    pass_id=bytes.fromhex("a1b2c3d4e5f60718"),
    category="visitor",
    issued_at=NOW,
    expires_at=NOW + timedelta(hours=24),
)


def found(
    text: str, *, gate: str = "north", now: datetime = NOW, used: frozenset[str] = frozenset(), **more: Any
) -> Any:
    """The finding at a gate, at 16:00 local time on a Monday."""
    context = GateContext(gate=gate, local_minute=16 * 60, weekday=0)
    return gp1.pass_finding(text, trusting(**more), now, context, used)


def test_a_pass_names_category_and_holder_and_is_no_health_code() -> None:
    """The pass id is the holder's pseudonym; the registry of health codes leaves the text alone."""
    text = gp1.issue(VISIT, COMMUNITY)
    finding = found(text)
    assert finding.refusal is None
    assert (finding.category, finding.subject, finding.registered) == ("visitor", "a1b2c3d4e5f60718", True)
    assert judge(text).state is CodeState.NOT_MINE
    assert gp1.pass_finding("HC1:ABC", trusting(), NOW, GateContext()) is None


def test_a_one_time_pass_is_good_once_at_its_own_gate() -> None:
    """Elsewhere it goes to the guard; a second time it is used up."""
    text = gp1.issue(replace(VISIT, one_time_gate="north"), COMMUNITY)
    assert found(text).refusal is None
    assert found(text, gate="south").refusal is Reason.PASS_OTHER_GATE
    assert found(text, used=frozenset({VISIT.pass_id.hex()})).refusal is Reason.PASS_USED


def test_hours_and_places_of_a_pass() -> None:
    """Windows are local time, end excluded; a gate that does not know its local time lets nobody in by them."""
    office = PassWindow(weekdays=0b0011111, from_minute=8 * 60, until_minute=16 * 60)
    text = gp1.issue(replace(VISIT, windows=(office,), places=("north", "east")), COMMUNITY)
    assert found(text).refusal is Reason.OUT_OF_HOURS
    morning = GateContext(gate="east", local_minute=16 * 60 - 1, weekday=4)
    assert gp1.pass_finding(text, trusting(), NOW, morning).refusal is None  # type: ignore[union-attr]
    weekend = replace(morning, weekday=5)
    assert gp1.pass_finding(text, trusting(), NOW, weekend).refusal is Reason.OUT_OF_HOURS  # type: ignore[union-attr]
    blind = replace(morning, local_minute=None)
    assert gp1.pass_finding(text, trusting(), NOW, blind).refusal is Reason.OUT_OF_HOURS  # type: ignore[union-attr]
    elsewhere = replace(morning, gate="west")
    assert gp1.pass_finding(text, trusting(), NOW, elsewhere).refusal is Reason.PASS_OTHER_GATE  # type: ignore[union-attr]


def certificate(**changes: Any) -> bytes:
    """The kiosk's certificate, good for a month around NOW."""
    dates = {"not_before": NOW - timedelta(days=1), "not_after": NOW + timedelta(days=30)} | changes
    return gp1.certify_kiosk("kiosk-1", KIOSK.public_key(), COMMUNITY, **dates)


def test_a_kiosk_issues_passes_while_the_network_is_down() -> None:
    """The pass carries the kiosk's certificate, so every other kiosk can check it alone."""
    text = gp1.issue(VISIT, KIOSK, certificate())
    assert found(text).refusal is None
    assert gp1.verify(text, trusting(), NOW).issuer == "kiosk:kiosk-1"


def test_a_stolen_kiosk_key_ends_soon_and_can_be_revoked() -> None:
    """Seven days a pass, the certificate's own dates, and the revocation of its key id."""
    text = gp1.issue(VISIT, KIOSK, certificate())
    revoked = frozenset({key_id_of(KIOSK.public_key())})
    assert found(text, community_revoked_keys=revoked).refusal is Reason.PASS_REVOKED
    with pytest.raises(CodeRefusedError):
        gp1.issue(replace(VISIT, expires_at=NOW + timedelta(days=8)), KIOSK, certificate())
    with pytest.raises(CodeRefusedError):
        certificate(not_after=NOW + timedelta(days=93))
    old = certificate(not_before=NOW - timedelta(days=20), not_after=NOW - timedelta(days=10))
    assert found(gp1.issue(VISIT, KIOSK, old)).refusal is Reason.PASS_EXPIRED


def test_a_kiosk_without_certificate_or_with_anothers_issues_nothing() -> None:
    """A key that the community did not certify for kiosks makes no pass, whoever signed the certificate."""
    assert found(gp1.issue(VISIT, KIOSK)).refusal is Reason.CARD_OTHER_SITE
    foreign = gp1.certify_kiosk("kiosk-1", KIOSK.public_key(), KIOSK, not_before=NOW, not_after=NOW + timedelta(days=1))
    assert found(gp1.issue(VISIT, KIOSK, foreign)).refusal is Reason.CARD_OTHER_SITE
    borrowed = gp1.issue(VISIT, Ed25519PrivateKey.generate(), certificate())
    assert found(borrowed).refusal is Reason.PASS_FORGED
    code_only = trusting(COMMUNITY, CommunityUse.CODE, CommunityUse.PASS)
    finding = gp1.pass_finding(gp1.issue(VISIT, KIOSK, certificate()), code_only, NOW, GateContext(gate="north"))
    assert finding is not None
    assert finding.refusal is Reason.PASS_FORGED


def test_a_revoked_kiosk_key_cannot_sign_under_another_id() -> None:
    """The body's key id must be the certified key's, or a stolen key would dodge its revocation by a wrong id."""
    body, _, kiosk = open_text("GP1:", gp1.issue(VISIT, KIOSK, certificate()), frozenset({3}))
    fields = loads(body)
    fields[1] = bytes(8)
    renamed = dumps(fields)
    text = seal("GP1:", [renamed, sign(KIOSK, gp1.PURPOSE, renamed), kiosk])
    assert found(text).refusal is Reason.PASS_FORGED
    revoked = frozenset({key_id_of(KIOSK.public_key())})
    assert found(text, community_revoked_keys=revoked).refusal is not None


def test_a_pass_is_not_judged_by_a_clock_before_the_store() -> None:
    """An ended pass would be good again."""
    text = gp1.issue(VISIT, COMMUNITY)
    assert found(text, created_at=NOW + timedelta(minutes=6)).refusal is Reason.CLOCK_UNTRUSTED


def test_a_printed_code_with_a_showing_is_malformed() -> None:
    """Nobody signs for a code without holder key; a made-up showing must not make it look fresh."""
    body, signature = open_text("GC1:", gc1.issue(a_code(), COMMUNITY), frozenset({2}))
    assert judge(seal("GC1:", [body, signature, dumps([0, ""]), bytes(64)])).reason is CodeReason.STRUCTURE


def test_a_kiosk_certified_before_the_communitys_key_began_is_not_certified() -> None:
    """A key certifies within its own dates; an old key found in a drawer makes no kiosks."""
    early = certificate(not_before=NOW - timedelta(days=31), not_after=NOW + timedelta(days=30))
    assert found(gp1.issue(VISIT, KIOSK, early)).refusal is Reason.PASS_EXPIRED


def test_a_revoked_or_ended_pass() -> None:
    """By its id, and by its date."""
    text = gp1.issue(VISIT, COMMUNITY)
    assert found(text, community_revoked_passes=frozenset({VISIT.pass_id})).refusal is Reason.PASS_REVOKED
    assert found(text, now=VISIT.expires_at).refusal is Reason.PASS_EXPIRED
    assert found(text, now=NOW - timedelta(minutes=6)).refusal is Reason.PASS_NOT_YET_VALID


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10**9), st.integers(1, 255))
def test_any_changed_byte_of_a_pass_is_refused(place: int, change: int) -> None:
    """Category, places, hours, certificate: nothing can be altered."""
    body, signature, kiosk = open_text("GP1:", gp1.issue(VISIT, KIOSK, certificate()), frozenset({3}))
    raw = bytearray(body + signature + kiosk)
    raw[place % len(raw)] ^= change
    ends = (len(body), len(body) + len(signature))
    parts = [bytes(raw[: ends[0]]), bytes(raw[ends[0] : ends[1]]), bytes(raw[ends[1] :])]
    assert found(seal("GP1:", parts)).refusal is not None


@settings(deadline=None, max_examples=60)
@given(st.binary(max_size=300))
def test_any_bytes_after_the_prefix_only_ever_make_a_refusal(data: bytes) -> None:
    """Neither verifier raises, whatever stands in the code."""
    for prefix, parts in (("GC1:", 2), ("GP1:", 3)):
        text = seal(prefix, [data] * parts)
        assert judge(text).state in (CodeState.INVALID, CodeState.NOT_MINE)
        assert prefix == "GC1:" or found(text).refusal is not None


def test_the_store_reads_community_keys_from_its_folder(tmp_path: Path) -> None:
    """The file that ``gatepost code new-key`` writes, with its revocations, which no update takes back."""
    public = COMMUNITY.public_key()
    kid = key_id_of(public)
    row = {
        "name": "Sunny Gardens",
        "use": ["code"],
        "public_key": base64.b64encode(public.public_bytes_raw()).decode(),
        "not_before": "2026-01-01T00:00:00+00:00",
        "not_after": "2027-01-01T00:00:00+00:00",
    }
    path = tmp_path / "community_keys.json"
    text = gc1.issue(a_code(), COMMUNITY)
    path.write_text(json.dumps({"keys": [row, {"name": ""}]}))
    store = TrustStore.load(tmp_path)
    assert verify_health_code(text, store, NOW).state is CodeState.VALID
    assert [anchor.name for anchor in store.skipped] == ["keys 1"]
    path.write_text(json.dumps({"keys": [row], "revoked_keys": [kid.hex()]}))
    revoking = TrustStore.load(tmp_path)
    assert verify_health_code(text, revoking.replaced_by(store), NOW).reason is CodeReason.KEY_REVOKED


def test_a_body_of_another_shape_is_refused_even_when_signed() -> None:
    """The community's own key signing nonsense makes no code: a bug at the issuer opens no gate."""
    good = loads(open_text("GC1:", gc1.issue(a_code(), COMMUNITY), frozenset({2}))[0])
    for place, value in [
        (0, 2),
        (0, True),
        (2, b"short"),
        (3, 3),
        (3, True),
        (4, 1.5),
        (5, -1),
        (6, b""),
        (7, []),
        (8, 1),
    ]:
        fields = [*good]
        fields[place] = value
        body = dumps(fields) if not isinstance(value, float) else b"\x80"
        assert judge(seal("GC1:", [body, sign(COMMUNITY, gc1.PURPOSE, body)])).reason is CodeReason.STRUCTURE
