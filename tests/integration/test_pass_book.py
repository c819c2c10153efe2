"""Temporary passes from the guard's console: certified, journaled first, read back after a restart, revoked at once."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from kiosk.board import PassWish
from kiosk.credentials import GateContext, gp1
from kiosk.evidence import PassFinding
from kiosk.journal import Journal
from kiosk.journal_types import JournalError
from kiosk.pass_book import PassBook, PassError, passes_issued
from kiosk.passage_record import Payloads
from kiosk.reasons import ClockTrust, Reason
from kiosk.records import Kind, PayloadClass, Stream
from tests.fakes import FakeClock
from tests.unit.test_community_codes import COMMUNITY, KIOSK, NOW, trusting

WISH = PassWish(guard="wang", category="courier", hours=4, once=False)


class Gate:
    """A kiosk's journal, key and certificate, and what the verifier was told to refuse."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = FakeClock(at_us=round(NOW.timestamp()) * 1_000_000)
        self.journal = Journal.open(folder / "journal.db", kiosk_id="k", clock=self.clock)
        self.journal_works = True
        self.waiting: list[tuple[Kind, Payloads]] = []
        self.revoked: set[bytes] = set()
        self.key, self.certificate = folder / "kiosk.pem", folder / "pass-certificate"
        self.key.write_bytes(KIOSK.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        self.certify()
        self.book = self.restarted()

    def certify(self, *, days: int = 14, kiosk: Ed25519PrivateKey = KIOSK) -> None:
        dates = {"not_before": NOW - timedelta(days=1), "not_after": NOW + timedelta(days=days)}
        self.certificate.write_bytes(gp1.certify_kiosk("gate-1", kiosk.public_key(), COMMUNITY, **dates))

    def restarted(self) -> PassBook:
        self.book = PassBook(
            place="north-gate",
            key=self.key,
            certificate=self.certificate,
            clock=self.clock,
            write=self.write,
            revoke=self.revoked.add,
            passes=passes_issued(self.folder / "journal.db"),
        )
        return self.book

    def write(self, kind: Kind, payloads: Payloads, stands: bool) -> None:
        if not self.journal_works:
            self.waiting += [(kind, payloads)] if stands else []
            raise JournalError("journal", seen="a full disk")
        self.journal.append(Stream.PASSAGE, kind, at=self.clock.now(), payloads=payloads)

    def judge(self, text: str, gate: str = "north-gate", minute: int = 600) -> PassFinding:
        store = trusting(community_revoked_passes=frozenset(self.revoked))
        at = self.clock.now().utc()
        found = gp1.pass_finding(text, store, at, GateContext(gate=gate, weekday=0, local_minute=minute))
        assert found is not None
        return found


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    return Gate(tmp_path)


def test_a_pass_counts_here_for_its_hours_and_goes_to_the_guard_elsewhere(gate: Gate) -> None:
    """Signed by the kiosk, trusted by the community's certificate; at another gate, and after its end, refused."""
    issued, text = gate.book.issue(WISH)
    assert gate.judge(text).refusal is None
    assert gate.judge(text).subject == issued.pass_id
    assert gate.judge(text, gate="south-gate").refusal is Reason.PASS_OTHER_GATE
    gate.clock.advance(4 * 3600)
    assert gate.judge(text).refusal is Reason.PASS_EXPIRED
    assert gate.book.listed() == ()


def test_a_one_time_pass_names_its_gate_and_one_for_every_gate_names_none(gate: Gate) -> None:
    """Two gates that do not hear each other could both let a one-time pass in, so it names one."""
    _, once = gate.book.issue(replace(WISH, once=True, every_gate=True))
    assert gp1.one_time_gate_of(once) == "north-gate"
    assert gate.judge(once, gate="south-gate").refusal is Reason.PASS_OTHER_GATE
    _, everywhere = gate.book.issue(replace(WISH, every_gate=True))
    assert gate.judge(everywhere, gate="south-gate").refusal is None


@pytest.mark.parametrize(
    ("begin", "end", "inside", "outside"), [(480, 1080, 480, 1080), (1320, 360, 1439, 600), (1320, 360, 0, 360)]
)
def test_the_hours_of_the_day_may_run_past_midnight(
    gate: Gate, begin: int, end: int, inside: int, outside: int
) -> None:
    """From 22:00 to 06:00 is two windows; the last minute is excluded."""
    _, text = gate.book.issue(replace(WISH, from_minute=begin, until_minute=end))
    assert gate.judge(text, minute=inside).refusal is None
    assert gate.judge(text, minute=outside).refusal is Reason.OUT_OF_HOURS


def test_book_and_revocations_are_there_again_after_a_restart(gate: Gate) -> None:
    """A pass is revoked at once, stays so, and is revoked only once."""
    kept, _ = gate.book.issue(WISH)
    lost, text = gate.book.issue(WISH)
    gate.book.revoke(lost.pass_id, "li")
    assert gate.judge(text).refusal is Reason.PASS_REVOKED
    gate.revoked.clear()
    assert [(listed.pass_id, listed.revoked) for listed in gate.restarted().listed()] == [
        (lost.pass_id, True),
        (kept.pass_id, False),
    ]
    assert gate.judge(text).refusal is Reason.PASS_REVOKED
    for pass_id in (lost.pass_id, "00" * 8):
        with pytest.raises(PassError, match="none of this id"):
            gate.book.revoke(pass_id, "li")


def test_no_code_is_shown_before_its_record_is_durable(gate: Gate) -> None:
    """A journal that fails: nothing is issued. A lost pass is refused all the same, since that is the safe side,
    and its record waits: after a restart it is refused, too."""
    issued, text = gate.book.issue(WISH)
    gate.journal_works = False
    with pytest.raises(PassError) as refused:
        gate.book.issue(WISH)
    assert refused.value.key == "not_registered"
    assert len(gate.book.listed()) == 1
    with pytest.raises(PassError):
        gate.book.revoke(issued.pass_id, "li")
    assert gate.judge(text).refusal is Reason.PASS_REVOKED
    assert [payloads[PayloadClass.FACTS]["event"] for _, payloads in gate.waiting] == ["pass_revoked"]


def test_without_a_good_certificate_or_a_clock_nothing_is_issued(gate: Gate) -> None:
    """Missing, foreign, or out of date; and a time that nobody can trust."""

    def key_of_refusal() -> str:
        with pytest.raises(PassError) as refused:
            gate.book.issue(WISH)
        return refused.value.key

    gate.certify(days=0)
    gate.clock.advance(60)
    assert key_of_refusal() == "no_certificate"
    gate.certify(kiosk=Ed25519PrivateKey.generate())
    assert key_of_refusal() == "no_certificate"
    gate.certificate.write_bytes(b"\x00" * 50)
    assert key_of_refusal() == "no_certificate"
    gate.certificate.unlink()
    assert key_of_refusal() == "no_certificate"
    gate.certify()
    gate.clock.trust = ClockTrust.NONE
    assert key_of_refusal() == "clock_untrusted"
    gate.clock.trust = ClockTrust.SYNCED
    assert gate.book.issue(WISH)[1].startswith("GP1:")
