"""Cards and codes as the loop asks for them: roster, keys, trust store and desks together."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from zoneinfo import ZoneInfo

import pytest

from config.policy import Policy, load_policy
from drivers.devices import CardTap, QrText
from kiosk.board import RegisterVisitor
from kiosk.card_keys import CardKeyStore
from kiosk.clock import Instant
from kiosk.credentials import gc1, gp1
from kiosk.credentials.rules import read_rule_set
from kiosk.credentials.trust import TrustStore
from kiosk.evidence import CodeFinding, PassFinding
from kiosk.journal import Journal
from kiosk.reasons import ClockTrust, Reason
from kiosk.records import Kind, PayloadClass, Stream
from kiosk.register import Register
from kiosk.roster import Roster
from kiosk.run import passes_let_in
from kiosk.verifier import GateVerifier
from tests.fakes import FakeClock
from tests.unit.test_community_codes import COMMUNITY, NOW, a_code, trusting

KEY = bytes(range(32))
AT_US = int(datetime(2026, 11, 21, 2, 0, tzinfo=UTC).timestamp() * 1_000_000)
ROSTER = b"person_id,category,card_uid,registered\np1,resident,04A1B2C3D4E5F6,yes\n"


@pytest.fixture
def verifier(tmp_path: Path) -> Iterator[GateVerifier]:
    with ExitStack() as stack:
        roster = stack.enter_context(Roster.open(tmp_path / "roster.db", KEY))
        roster.import_csv(ROSTER.splitlines(keepends=True), at_us=AT_US)
        yield GateVerifier(
            roster=roster,
            card_keys=stack.enter_context(CardKeyStore.open(tmp_path / "cards.db", KEY)),
            register_book=stack.enter_context(Register.open(tmp_path / "register.db", KEY)),
            store=TrustStore(),
            place="north-gate",
            zone=ZoneInfo("Asia/Shanghai"),
        )


def under(regions: frozenset[str] | None, *, challenge: bool = False) -> Policy:
    """A policy whose order names these regions of risk, and which asks phones for the screen's digits or not."""
    case = load_policy("case")
    assert case.order is not None
    named = None if regions is None else tuple(sorted(regions))
    return case.model_copy(
        update={
            "order": case.order.model_copy(update={"risk_regions": named}),
            "health_code": case.health_code.model_copy(update={"challenge": challenge}),
        }
    )


def at() -> Instant:
    return Instant(AT_US, ClockTrust.SYNCED, "boot", 0)


def tap(uid: str) -> CardTap:
    return CardTap(uid=bytes.fromhex(uid), at_ns=0)


def show(text: str) -> QrText:
    return QrText(text=text, data=text.encode(), corners=(), engine="test", at_ns=0)


def test_a_known_card_and_an_unknown_one(verifier: GateVerifier) -> None:
    """The resident is known by a pseudonym; the stranger's number leaves a keyed hash."""
    known, unknown = verifier.card(tap("04A1B2C3D4E5F6"), "in", at()), verifier.card(tap("04FF"), "in", at())
    assert (known.refusal, known.category, known.registered) == (None, "resident", True)
    assert unknown.refusal is Reason.CARD_UNKNOWN
    assert unknown.evidence_hash


def test_a_roster_that_cannot_be_read_is_a_verdict_and_no_crash(verifier: GateVerifier) -> None:
    """The file is pulled away under the gate: the tap is answered with the reason, for the guard to decide."""
    verifier.roster.close()
    finding = verifier.card(tap("04A1B2C3D4E5F6"), "in", at())
    assert finding == PassFinding(refusal=Reason.ROSTER_FAILED)


RULES = {
    "formats": ["gc1"],
    "rules": [{"name": "on a phone", "format": "gc1", "logic": {"!": [{"var": "payload.printed"}]}}],
}


@pytest.mark.parametrize(
    ("rule_set", "refusal"),
    [("", None), ("phones_only", Reason.CODE_RULES_FAILED), ("phones_onli", Reason.CODE_RULES_FAILED)],
)
def test_the_gates_own_rule_set_decides(verifier: GateVerifier, rule_set: str, refusal: Reason | None) -> None:
    """A printed code is good where the gate names no rules; a set that the store does not have lets nothing in."""
    sets = MappingProxyType({"phones_only": read_rule_set(RULES, {})})
    verifier.use(replace(trusting(), rule_sets=sets))
    verifier.rule_set = rule_set
    now = Instant(int(NOW.timestamp() * 1_000_000), ClockTrust.SYNCED, "boot", 0)
    found = verifier.code(show(gc1.issue(a_code(), COMMUNITY)), "in", now)
    assert isinstance(found, CodeFinding)
    assert found.refusal is refusal


def test_a_pass_revoked_on_the_console_stays_so_whatever_store_comes(verifier: GateVerifier) -> None:
    """The next trust bundle does not know of it yet; the gate does."""
    wish = gp1.TemporaryPass(pass_id=bytes(8), category="courier", issued_at=NOW, expires_at=NOW + timedelta(hours=4))
    text, now = gp1.issue(wish, COMMUNITY), Instant(int(NOW.timestamp() * 1_000_000), ClockTrust.SYNCED, "boot", 0)
    verifier.use(trusting())
    assert verifier.code(show(text), "in", now).refusal is None
    verifier.revoke_pass(bytes(8))
    assert verifier.code(show(text), "in", now).refusal is Reason.PASS_REVOKED
    verifier.use(trusting())
    assert verifier.code(show(text), "in", now).refusal is Reason.PASS_REVOKED


@pytest.mark.parametrize(
    ("named", "travelled", "clear"),
    [
        (None, ("110000",), None),
        (frozenset({"420100"}), None, None),
        (frozenset({"420100"}), (), True),
        (frozenset({"420100"}), ("110000",), True),
        (frozenset({"420100"}), ("110000", "420100"), False),
    ],
)
def test_the_orders_regions_decide_what_a_stated_trip_means(
    verifier: GateVerifier, named: frozenset[str] | None, travelled: tuple[str, ...] | None, clear: bool | None
) -> None:
    """Clear when none of them was touched; unknown where the order names none or the code says nothing."""
    verifier.use(trusting())
    verifier.follow("in", under(named))
    now = Instant(int(NOW.timestamp() * 1_000_000), ClockTrust.SYNCED, "boot", 0)
    found = verifier.code(show(gc1.issue(a_code(regions=travelled), COMMUNITY)), "in", now)
    assert isinstance(found, CodeFinding)
    assert found.trip_clear is clear


def test_each_lane_goes_by_its_own_policy(verifier: GateVerifier) -> None:
    """While one lane still has somebody under the old policy, the other already judges by the new one."""
    verifier.use(trusting())
    verifier.challenge_secret = bytes(32)
    verifier.follow("in", under(frozenset({"420100"})))
    verifier.follow("gate-2", under(frozenset({"110000"}), challenge=True))
    now = Instant(int(NOW.timestamp() * 1_000_000), ClockTrust.SYNCED, "boot", 0)
    text = gc1.issue(a_code(regions=("110000",)), COMMUNITY)
    found = [verifier.code(show(text), lane, now) for lane in ("in", "gate-2")]
    assert [finding.trip_clear for finding in found if isinstance(finding, CodeFinding)] == [True, False]
    assert verifier.digits("in", now) == ""
    assert len(verifier.digits("gate-2", now)) == 3
    verifier.follow("gate-2", under(None))
    assert verifier.digits("gate-2", now) == ""


def test_a_text_that_is_no_health_code_is_refused_as_one(verifier: GateVerifier) -> None:
    """An advertisement on a phone is not a code we know; it leaves its hash and not its text."""
    found = verifier.code(show("https://example.org/sale"), "in", at())
    assert isinstance(found, CodeFinding)
    assert found.refusal is Reason.CODE_UNSUPPORTED
    assert "example" not in repr(found)


def test_a_registered_visitor_has_a_pass_for_this_once(verifier: GateVerifier) -> None:
    """The register's finding opens the lane for the person standing in it."""
    visitor = RegisterVisitor(lane="in", guard="w", name="赵", phone_last4="1", host="3-2", purpose="visit")
    found = verifier.register(visitor, at())
    assert (found.refusal, found.category, found.registered) == (None, "visitor", True)


def test_passes_let_in_before_a_restart_are_known_after_it(tmp_path: Path) -> None:
    """The journal remembers which temporary passes opened the gate; refused ones and cards are not among them."""
    clock = FakeClock()
    with Journal.open(tmp_path / "journal.db", kiosk_id="k", clock=clock) as journal:
        for subject, credential, admit in (("aa", "pass_code", True), ("bb", "pass_code", False), ("cc", "uid", True)):
            journal.append(
                Stream.PASSAGE,
                Kind.PASSAGE,
                at=clock.now(),
                payloads={
                    PayloadClass.FACTS: {"credential": credential, "admit": admit},
                    PayloadClass.PERSON: {"subject": subject},
                },
            )
    assert passes_let_in(tmp_path / "journal.db") == {"aa"}
