"""Two gates' verifiers over real sockets: the local line, sync's event loop, and datagrams on loopback."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from config.lookup import Lookup
from drivers.cards.ntag424 import CardKeys
from drivers.devices import CardProof, CardTap, ProofKind, ProofOutcome, QrText
from kiosk.card_keys import CardKeyStore
from kiosk.clock import Instant
from kiosk.credentials import gp1
from kiosk.credentials.card_counter import CounterConflict
from kiosk.evidence import PassFinding
from kiosk.line_wire import Heard, Hello, Silent
from kiosk.neighbours import Fact, FactKind, UsedPasses
from kiosk.reasons import ClockTrust, Reason
from kiosk.register import Register
from kiosk.roster import Roster
from kiosk.sync_line import SOCKET_NAME, News, SyncLine
from kiosk.verifier import GateVerifier, Outside
from sync.errors import SyncError
from sync.line import LineOptions, LineThread
from tests.scenarios.test_two_gates import free_udp_ports
from tests.unit.test_community_codes import COMMUNITY, NOW, VISIT, trusting

KEY, PEER_KEY = bytes(32), bytes(range(32))
CARD = bytes.fromhex("04a1b2c3d4e502")
ROSTER = [b"person_id,category,card_uid,card_strength\n", f"R-1,resident,{CARD.hex()},sun\n".encode()]


@dataclass
class Gate:
    """One kiosk of the place ``main``: its verifier, its line, its sync."""

    name: str
    verifier: GateVerifier
    line: SyncLine
    sync: LineThread
    news: list[News] = field(default_factory=list)
    conflicts: list[CounterConflict] = field(default_factory=list)

    def at(self, after_s: float = 0.0) -> Instant:
        now_us = round((NOW + timedelta(seconds=after_s)).timestamp() * 1_000_000)
        return Instant(now_us, ClockTrust.SYNCED, "boot", time.monotonic_ns())

    def hear(self, news: News) -> None:
        self.news.append(news)
        if hasattr(news, "facts"):
            self.conflicts += self.verifier.heard(news.facts, self.at())

    def tap(self, read_ctr: int, after_s: float = 0.0) -> Reason | None:
        """The card's rolling code, genuine."""
        proof = CardProof(kind=ProofKind.SUN, outcome=ProofOutcome.GENUINE, read_ctr=read_ctr)
        tap = CardTap(uid=CARD, at_ns=0, proof=proof)
        return self.verifier.card(tap, "in", self.at(after_s)).refusal


def gate_of(stack: ExitStack, folder: Path, name: str, port: int, other: int) -> Gate:
    """A kiosk whose sync is not started yet."""
    folder.mkdir(mode=0o700)
    line = SyncLine(folder, Hello(kiosk_id=name, peer_key=PEER_KEY, match_key=KEY))
    card_keys = stack.enter_context(CardKeyStore.open(folder / "cards.db", KEY))
    roster = stack.enter_context(Roster.open(folder / "roster.db", KEY))
    assert roster.import_csv(ROSTER, at_us=0).bad == []
    card_keys.take([(CARD, CardKeys(gate_key=bytes(16), file_key=bytes(16)))])
    verifier = GateVerifier(
        roster=roster,
        card_keys=card_keys,
        register_book=stack.enter_context(Register.open(folder / "register.db", KEY)),
        store=trusting(),
        place="main",
        zone=ZoneInfo("UTC"),
        used_passes=UsedPasses(PEER_KEY),
        outside=Outside(line=line, peer_key=PEER_KEY),
    )
    options = LineOptions(
        folder=folder, lookup=Lookup(), listen=("127.0.0.1", port), neighbours=(("127.0.0.1", other),)
    )
    gate = Gate(name, verifier, line, LineThread(options))
    stack.callback(gate.line.stop)
    stack.callback(gate.sync.stop)
    return gate


@pytest.fixture
def gates(tmp_path: Path) -> Iterator[tuple[Gate, Gate]]:
    north_port, south_port = free_udp_ports(2)
    with ExitStack() as stack:
        north = gate_of(stack, tmp_path / "n", "north-1", north_port, south_port)
        south = gate_of(stack, tmp_path / "s", "south-1", south_port, north_port)
        for gate in (north, south):
            gate.sync.start()
            gate.line.start(gate.hear)
        yield north, south


def wait_for(what: Callable[[], bool]) -> None:
    """Until it holds; fails after ten seconds."""
    deadline = time.monotonic() + 10
    while not what():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.01)


def counter(gate: Gate) -> int:
    """What the kiosk holds to be the card's last code."""
    return gate.verifier.card_keys.last_accepted(CARD)


def test_a_code_of_a_card_that_was_used_next_door_is_a_replay_here(gates: tuple[Gate, Gate]) -> None:
    """The counter travels; the next code is good at either gate, and nobody calls that a clone."""
    north, south = gates
    assert north.tap(5) is None
    wait_for(lambda: counter(south) == 5)
    assert south.tap(5) is Reason.CARD_REPLAYED
    assert south.tap(6) is None
    wait_for(lambda: counter(north) == 6)
    assert north.conflicts == south.conflicts == []


def test_codes_that_were_used_at_two_gates_apart_are_a_clone(gates: tuple[Gate, Gate]) -> None:
    """While the gates could not talk, one let in code 9, later the other code 7: the card's codes exist twice."""
    north, south = gates
    south.sync.stop()
    wait_for(lambda: not south.line.up)
    assert north.tap(9, after_s=-60) is None
    assert south.tap(7) is None
    time.sleep(2.2)  # further apart than what counts as one moment
    south.sync = LineThread(south.sync._options)
    south.sync.start()
    wait_for(lambda: bool(south.conflicts))
    (conflict,) = south.conflicts
    assert (conflict.earlier.read_ctr, conflict.later.read_ctr) in {(9, 7), (7, 9)}
    assert counter(south) == 9
    south.sync.stop()


def test_a_one_time_pass_is_used_up_at_both_kiosks_of_its_gate(gates: tuple[Gate, Gate]) -> None:
    """Let in here, refused there; only a keyed hash of its id was told."""
    north, south = gates
    text = gp1.issue(replace(VISIT, one_time_gate="main", places=()), COMMUNITY)
    shown = QrText(text=text, data=text.encode(), corners=(), engine="test", at_ns=0)
    first = north.verifier.code(shown, "in", north.at())
    assert isinstance(first, PassFinding)
    assert first.refusal is None
    north.verifier.admitted("in", north.at())
    wait_for(lambda: first.subject in south.verifier.used_passes)
    second = south.verifier.code(shown, "in", south.at())
    assert isinstance(second, PassFinding)
    assert second.refusal is Reason.PASS_USED
    assert second.used_at == "main"
    again = north.verifier.code(shown, "in", north.at())
    assert isinstance(again, PassFinding)
    assert (again.refusal, again.used_at) == (Reason.PASS_USED, ""), "its own kiosk knows it by itself"


def test_a_gate_that_comes_back_hears_again_whose_holders_were_next_door_and_not_its_own(
    gates: tuple[Gate, Gate],
) -> None:
    """South let two holders in, north one; north's program starts anew: sync tells it south's, its journal its own."""
    north, south = gates

    def holder(number: int) -> Fact:
        what = bytes([number]) * 16
        return Fact(kind=FactKind.HOLDER, what=what, place="main", mono_ns=time.monotonic_ns())

    def heard(news: list[News]) -> list[bytes]:
        facts = [heard.fact for each in news if isinstance(each, Heard) for heard in each.facts]
        return [fact.what[:1] for fact in facts if fact.kind is FactKind.HOLDER]

    north.verifier.tell(holder(9))
    for number in (1, 2):
        south.verifier.tell(holder(number))
    wait_for(lambda: sorted(heard(north.news)) == [b"\x01", b"\x02"])
    wait_for(lambda: heard(south.news) == [b"\x09"])
    north.line.stop()
    again: list[News] = []
    line = SyncLine(north.sync._options.folder, Hello(kiosk_id="north-1", peer_key=PEER_KEY, match_key=KEY))
    line.start(again.append)
    try:
        wait_for(lambda: len(heard(again)) >= 2)
        assert sorted(heard(again)) == [b"\x01", b"\x02"]
    finally:
        line.stop()


def test_the_socket_is_ours_alone_and_its_absence_is_no_fault(gates: tuple[Gate, Gate]) -> None:
    """Mode 0600, gone with sync; the gate asks nobody then, and takes the line up again by itself."""
    north, _ = gates
    wait_for(lambda: north.line.up)
    path = north.sync._options.folder / SOCKET_NAME
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    north.sync.stop()
    wait_for(lambda: not north.line.up)
    assert not path.exists()
    assert north.line.ask("hc://1", 1500) is None
    again = LineThread(north.sync._options)
    again.start()
    wait_for(lambda: north.line.up)
    wait_for(lambda: any(isinstance(news, Silent) for news in north.news))
    again.stop()


def test_a_port_that_is_taken_is_said_at_the_start(gates: tuple[Gate, Gate], tmp_path: Path) -> None:
    """The message names the setting and the address."""
    north, _ = gates
    twin = LineThread(replace(north.sync._options, folder=tmp_path / "n"))
    with pytest.raises(SyncError, match=r"neighbours\.listen 127\.0\.0\.1"):
        twin.start()
