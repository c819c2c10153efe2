"""The pure parts under the verifiers: canonical JSON, bounds, CertLogic, chunks, re-use, online answers."""

from __future__ import annotations

import json
import struct
import zlib
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kiosk.credentials import CodeReason, CodeState, GateContext, TrustStore, bounded, jcs, online, verify_health_code
from kiosk.credentials.certlogic import CertLogicError, evaluate
from kiosk.credentials.code_verdict import CodeClaims, CodeRefusedError
from kiosk.credentials.finding import code_finding
from kiosk.credentials.reuse import Again, ReuseMemory, Use, reused
from kiosk.credentials.rules import check_rules, read_rule_set
from kiosk.credentials.shc_chunks import ChunkCollector, ChunksMissing
from kiosk.evidence import CodeStatus
from kiosk.reasons import Reason

NOW = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)

# ------------------------------------------------------------------------------------------- canonical JSON


@pytest.mark.parametrize(
    ("bits", "text"),
    [
        ("0000000000000000", "0"),
        ("8000000000000000", "0"),
        ("0000000000000001", "5e-324"),
        ("7fefffffffffffff", "1.7976931348623157e+308"),
        ("4340000000000000", "9007199254740992"),
        ("4430000000000000", "295147905179352830000"),
        ("44b52d02c7e14af5", "9.999999999999997e+22"),
        ("44b52d02c7e14af6", "1e+23"),
        ("444b1ae4d6e2ef4e", "999999999999999700000"),
        ("444b1ae4d6e2ef50", "1e+21"),
        ("3eb0c6f7a0b5ed8c", "9.999999999999997e-7"),
        ("3eb0c6f7a0b5ed8d", "0.000001"),
        ("41b3de4355555553", "333333333.3333332"),
        ("becbf647612f3696", "-0.0000033333333333333333"),
    ],
)
def test_numbers_of_rfc_8785(bits: str, text: str) -> None:
    """RFC 8785, appendix B: each double by its bits, and its one text."""
    assert jcs.canonical(struct.unpack(">d", bytes.fromhex(bits))[0]) == text.encode()


def test_keys_and_strings_of_rfc_8785() -> None:
    """Section 3.2.3: order by UTF-16 code units, the fewest escapes, and UTF-8 outside."""
    value = json.loads(
        r'{"\u20ac": 1, "\r": 2, "\ufb33": 3, "1": 4, "\ud83d\ude00": 5, "\u0080": 6, "\u00f6": "\u000f/"}'
    )
    expected = '{"\\r":2,"1":4,"\x80":6,"ö":"\\u000f/","€":1,"😀":5,"\ufb33":3}'
    assert jcs.canonical(value).decode() == expected


@settings(deadline=None, max_examples=60)
@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(2**53), 2**53)
        | st.text()
        | st.floats(allow_nan=False, allow_infinity=False),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=10,
    )
)
def test_canonical_form_reads_back_to_the_same_value(value: Any) -> None:
    """One value has one form, and that form is JSON of the value."""
    try:
        form = jcs.canonical(value)
    except ValueError:
        return  # a lone surrogate
    again = json.loads(form, parse_int=float)  # a number is a double, whether or not it is written with a point
    assert again == value
    assert jcs.canonical(again) == form


# --------------------------------------------------------------------------------------------------- bounds


@pytest.mark.parametrize(
    "text",
    [
        b'{"a": 1, "a": 1}',
        b"NaN",
        b"[Infinity]",
        b"1e999",
        b"123456789012345678",
        b"9007199254740993",
        b"0." + b"1" * 40,
        b"[" * 33 + b"]" * 33,
        b"[" * 100_000,
        b'"\xff"',
        b" " * 70_000,
        b"{]",
        b"",
    ],
)
def test_json_outside_the_bounds_is_refused(text: bytes) -> None:
    """Duplicate keys, numbers that cannot be compared, depth, size: each before anything is believed."""
    with pytest.raises(bounded.BoundError):
        bounded.read_json(text)


def test_inflating_stops_at_the_cap_and_takes_whole_streams_only() -> None:
    """A bomb, a cut stream, two streams, and a byte too many."""
    packed = zlib.compress(b"x" * 1000)
    assert bounded.inflate(packed) == b"x" * 1000
    assert bounded.inflate(packed[2:-4], raw=True) == b"x" * 1000
    for broken in (zlib.compress(bytes(5_000_000)), packed[:-1], packed + packed, packed + b"\0", b""):
        with pytest.raises(bounded.BoundError):
            bounded.inflate(broken)
    with pytest.raises(bounded.BoundError):
        bounded.inflate(packed, max_bytes=999)
    assert len(bounded.inflate(packed, max_bytes=1000)) == 1000


# ------------------------------------------------------------------------------------------------ CertLogic


@pytest.mark.parametrize(
    "logic",
    [
        None,
        1.5,
        {},
        {"var": "a", "!": [1]},
        {"unknown": [1]},
        {"if": [True, 1]},
        {"and": [True]},
        {"===": [1]},
        {"<": ["1", 2]},
        {"<": [True, 2]},
        {"in": [1, "123"]},
        {"after": ["2021-01-01", "2020-01-01"]},
        {"plusTime": ["yesterday", 1, "day"]},
        {"plusTime": ["2021-13", 1, "day"]},
        {"plusTime": ["2021-01-01", 1, "fortnight"]},
        {"plusTime": ["2021-01-01", 10**9, "year"]},
        {"plusTime": ["2021-01-01", "1", "day"]},
        {"reduce": [1, {"var": "current"}, 0]},
        {"extractFromUVCI": [1, 1]},
        {"var": 1},
    ],
)
def test_what_cannot_be_evaluated_is_an_error_never_false(logic: Any) -> None:
    """A rule with a wrong operand must not quietly admit by being negated."""
    with pytest.raises(CertLogicError):
        evaluate(logic, {})


def test_certlogic_is_bounded_in_depth_and_steps() -> None:
    """A rule may be wrong; it may not hang the gate."""
    deep: Any = True
    for _ in range(100):
        deep = {"!": [deep]}
    with pytest.raises(CertLogicError):
        evaluate(deep, {})
    with pytest.raises(CertLogicError):
        evaluate({"reduce": [{"var": ""}, {"+": [{"var": "current"}, {"var": "accumulator"}]}, 0]}, [1] * 30_000)


def test_a_leap_day_plus_a_year_is_the_first_of_march() -> None:
    """As the reference implementation counts."""
    assert evaluate({"plusTime": ["2020-02-29", 1, "year"]}, {}) == datetime(2021, 3, 1, tzinfo=UTC)


RULES = {
    "formats": ["hcert"],
    "rules": [
        {"name": "two doses", "content": "vaccination", "logic": {">=": [{"var": "payload.v.0.dn"}, 2]}},
        {"name": "not a number", "content": "test", "logic": {">=": [{"var": "payload.t.0.tr"}, 2]}},
    ],
}


@pytest.mark.parametrize(
    ("rule_set", "code_format", "content", "payload", "reason"),
    [
        ("", "shc", "test", {}, None),
        ("entry", "hcert", "vaccination", {"v": [{"dn": 2}]}, None),
        ("entry", "hcert", "recovery", {}, None),
        ("entry", "hcert", "vaccination", {"v": [{"dn": 1}]}, CodeReason.RULES_FAILED),
        ("entry", "hcert", "test", {"t": [{"tr": "x"}]}, CodeReason.RULES_FAILED),
        ("entry", "gc1", "status", {}, CodeReason.RULES_FAILED),
        ("entri", "hcert", "vaccination", {"v": [{"dn": 2}]}, CodeReason.RULES_MISSING),
    ],
)
def test_a_gates_rules(rule_set: str, code_format: str, content: str, payload: Any, reason: CodeReason | None) -> None:
    """Met or refused; a rule that cannot be evaluated and a set that is not there refuse too."""
    sets = {"entry": read_rule_set(RULES, {})}
    arguments = {"code_format": code_format, "content": content, "payload": payload, "external": {}, "now": NOW}
    try:
        check_rules(sets, GateContext(rule_set=rule_set), **arguments)
        seen = None
    except CodeRefusedError as refused:
        seen = refused.reason
    assert seen is reason


# --------------------------------------------------------------------------------------------------- chunks


def test_chunks_in_any_order_and_repeated_make_one_card() -> None:
    """The camera sees what it sees; a text that is no chunk goes straight through."""
    collector = ChunkCollector()
    assert collector.take("shc:/3/3/56", NOW) == ChunksMissing(seen=1, total=3)
    assert collector.take("shc:/3/3/56", NOW) == ChunksMissing(seen=1, total=3)
    assert collector.take("HC1:ABC", NOW) == "HC1:ABC"
    assert collector.take("shc:/1/3/54", NOW) == ChunksMissing(seen=2, total=3)
    assert collector.take("shc:/2/3/55", NOW) == "shc:/1/3/54\nshc:/2/3/55\nshc:/3/3/56"
    assert collector.take("shc:/1/3/54", NOW) == ChunksMissing(seen=1, total=3)


def test_a_card_is_never_completed_with_another_persons_chunk() -> None:
    """A chunk that contradicts, another total, or a minute gone by begins anew."""
    collector = ChunkCollector()
    collector.take("shc:/1/2/54", NOW)
    assert collector.take("shc:/1/2/57", NOW) == ChunksMissing(seen=1, total=2)
    assert collector.take("shc:/2/3/57", NOW) == ChunksMissing(seen=1, total=3)
    collector.take("shc:/1/2/54", NOW)
    assert collector.take("shc:/2/2/55", NOW + timedelta(seconds=61)) == ChunksMissing(seen=1, total=2)
    collector.reset()
    assert collector.take("shc:/1/2/54", NOW) == ChunksMissing(seen=1, total=2)


@pytest.mark.parametrize("text", ["shc:/0/3/54", "shc:/4/3/54", "shc:/1/17/54", "shc:/1/99/54", "shc:/1/1/54"])
def test_chunks_that_no_set_can_hold_go_to_the_verifier(text: str) -> None:
    """It refuses them; the collector never waits for a seventeenth code."""
    assert ChunkCollector().take(text, NOW) == text


# --------------------------------------------------------------------------------------------------- re-use


def claims(credential_id: str = "c1", showing: str = "") -> CodeClaims:
    """Claims of a code shown."""
    return CodeClaims(
        kind="gc1",
        content="status",
        status=CodeStatus.GREEN,
        issuer="x",
        expires_at=None,
        credential_id=credential_id,
        showing=showing,
    )


def test_the_same_showing_twice_is_two_people_with_one_picture() -> None:
    """The very same signature again is refused; the phone's next one is told apart from it."""
    memory = ReuseMemory()
    assert memory.again(claims(showing="100"), NOW) is Again.NEW
    memory.remember(Use("c1", "100", "north", NOW), NOW)
    assert memory.again(claims(showing="100"), NOW) is Again.SAME_SHOWING
    assert memory.again(claims(showing="101"), NOW) is Again.SAME_CREDENTIAL
    assert memory.again(claims("c2", "100"), NOW) is Again.NEW
    assert memory.again(claims(showing="100"), NOW + timedelta(minutes=10)) is Again.NEW
    assert reused(code_finding(verify_health_code("x", TrustStore(), NOW), "x")).refusal is Reason.CODE_REUSED


def test_a_printed_code_shown_again_is_the_same_credential() -> None:
    """Paper has one showing for ever, so a second time says only that it came again."""
    memory = ReuseMemory()
    memory.remember(Use("c1", "", "north", NOW), NOW)
    assert memory.again(claims(), NOW) is Again.SAME_CREDENTIAL


def test_neighbours_share_their_uses_and_cannot_poison_the_memory() -> None:
    """What was heard counts; a use from the future or long ago is not kept."""
    south = ReuseMemory()
    south.remember(Use("c1", "100", "north", NOW), NOW)
    assert south.again(claims(showing="100"), NOW) is Again.SAME_SHOWING
    assert south.last_place("c1") == "north"
    for poisoned in (Use("c2", "", "x", NOW + timedelta(days=1)), Use("c3", "", "x", NOW - timedelta(days=1))):
        south.remember(poisoned, NOW)
    assert len(south) == 1
    south.remember(Use("c1", "101", "east", NOW + timedelta(seconds=5)), NOW + timedelta(seconds=5))
    assert south.last_place("c1") == "east"
    assert south.last_place("c2") == ""


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 3), st.integers(0, 900)), max_size=60))
def test_the_memory_is_bounded_and_its_counts_agree(uses: list[tuple[int, int, int]]) -> None:
    """Whatever comes in whatever order: at most the bound, and a credential is known while a use of it is."""
    memory = ReuseMemory(max_uses=5)
    for credential, showing, at_s in uses:
        memory.remember(
            Use(f"c{credential}", f"{showing}", "g", NOW + timedelta(seconds=at_s)), NOW + timedelta(seconds=at_s)
        )
    assert len(memory) <= 5
    known = {credential for credential in (f"c{number}" for number in range(10)) if memory.last_place(credential)}
    for credential in range(10):
        found = memory.again(claims(f"c{credential}", "none"), NOW) is not Again.NEW
        assert found == (f"c{credential}" in known)


# --------------------------------------------------------------------------------------------------- online


def test_an_opaque_token_needs_its_server() -> None:
    """Recognised by the site's prefixes, never judged here."""
    context = GateContext(online_prefixes=("https://code.example/q?t=",))
    text = "https://code.example/q?t=abc"
    verdict = verify_health_code(text, TrustStore(), NOW, context)
    assert verdict.state is CodeState.NEED_ONLINE
    assert code_finding(verdict, text).refusal is Reason.CODE_NEEDS_ONLINE
    assert verify_health_code(text, TrustStore(), NOW).state is CodeState.NOT_MINE
    assert verify_health_code(text + "x" * 3000, TrustStore(), NOW, context).reason is CodeReason.TOO_LONG


@pytest.mark.parametrize(
    ("token", "status", "answered_s", "valid_s", "state"),
    [
        ("t", CodeStatus.GREEN, 0, 600, CodeState.VALID),
        ("t", CodeStatus.RED, 0, 600, CodeState.VALID),
        ("other", CodeStatus.GREEN, 0, 600, CodeState.INVALID),
        ("t", None, 0, 600, CodeState.INVALID),
        ("t", CodeStatus.GREEN, -700, -100, CodeState.NEED_ONLINE),
        ("t", CodeStatus.GREEN, -90_000, 10**8, CodeState.NEED_ONLINE),
        ("t", CodeStatus.GREEN, 400, 10**6, CodeState.INVALID),
    ],
)
def test_a_servers_answer_counts_for_its_token_and_its_time(
    token: str, status: CodeStatus | None, answered_s: int, valid_s: int, state: CodeState
) -> None:
    """A replayed answer about another token, an old one, and one from the future open nothing."""
    answer = online.LookupAnswer(
        token_hash=online.token_hash(token),
        status=status,
        issuer="province",
        answered_at=NOW + timedelta(seconds=answered_s),
        valid_until=NOW + timedelta(seconds=valid_s),
    )
    assert online.verdict_of(answer, "t", NOW).state is state
