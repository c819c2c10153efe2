"""The desk of a lane: what is remembered between texts, and when it counts."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from kiosk.credentials import GateContext, gc1, gp1
from kiosk.credentials.desk import CodeDesk
from kiosk.credentials.reuse import ReuseMemory
from kiosk.credentials.shc_chunks import ChunksMissing
from kiosk.evidence import CodeFinding, PassFinding
from kiosk.reasons import Reason
from tests.unit.test_community_codes import COMMUNITY, NOW, PHONE, PHONE_POINT, VISIT, a_code, trusting

NORTH = GateContext(gate="north", weekday=0, local_minute=8 * 60)
STORE = trusting()


def code(text: str, desk: CodeDesk, after_s: int = 0) -> CodeFinding:
    """The finding of a health code at the north gate."""
    found = desk.read(text, STORE, NOW + timedelta(seconds=after_s), NORTH)
    assert isinstance(found, CodeFinding)
    return found


def shown(after_s: int) -> str:
    """The phone's code as shown so many seconds later."""
    return gc1.show(gc1.issue(a_code(holder_key=PHONE_POINT), COMMUNITY), PHONE, NOW + timedelta(seconds=after_s))


def test_a_picture_of_a_friends_code_is_refused_after_the_friend_went_in() -> None:
    """The same showing counts once, at every gate that shares the memory; the next one is told as "again"."""
    memory = ReuseMemory()
    north, south = CodeDesk(memory=memory), CodeDesk(memory=memory)
    assert code(shown(0), north).refusal is None
    north.admitted("north", NOW)
    assert code(shown(0), south, 10).refusal is Reason.CODE_REUSED
    later = code(shown(60), south, 60)
    assert later.refusal is None
    assert later.detail == "status again"


def test_a_code_counts_as_used_only_when_its_owner_was_let_in() -> None:
    """Read twice, or turned away: nothing is held against the person who comes back."""
    desk = CodeDesk(memory=ReuseMemory())
    code(shown(0), desk)
    desk.next_person()
    assert code(shown(0), desk, 5).refusal is None
    desk.next_person()
    desk.admitted("north", NOW)
    assert code(shown(0), desk, 6).refusal is None


def test_a_one_time_pass_is_used_up_by_the_admission() -> None:
    """Shown, read again, let in, and then no more; a pass for several visits stays good."""
    desk = CodeDesk(memory=ReuseMemory())
    once = gp1.issue(replace(VISIT, one_time_gate="north"), COMMUNITY)
    for _ in range(2):
        found = desk.read(once, STORE, NOW, NORTH)
        assert isinstance(found, PassFinding)
        assert found.refusal is None
    desk.admitted("north", NOW)
    again = desk.read(once, STORE, NOW, NORTH)
    assert isinstance(again, PassFinding)
    assert again.refusal is Reason.PASS_USED
    many = gp1.issue(replace(VISIT, pass_id=bytes(8)), COMMUNITY)
    desk.read(many, STORE, NOW, NORTH)
    desk.admitted("north", NOW)
    found = desk.read(many, STORE, NOW, NORTH)
    assert isinstance(found, PassFinding)
    assert found.refusal is None


def test_half_a_card_says_how_much_is_missing_and_is_forgotten_with_the_person() -> None:
    """The screen can say "1 of 2"; the next person's chunk never completes it."""
    desk = CodeDesk(memory=ReuseMemory())
    assert desk.read("shc:/1/2/5676", STORE, NOW, NORTH) == ChunksMissing(seen=1, total=2)
    desk.next_person()
    assert desk.read("shc:/2/2/5676", STORE, NOW, NORTH) == ChunksMissing(seen=1, total=2)
    whole = desk.read("shc:/1/2/5676", STORE, NOW, NORTH)
    assert isinstance(whole, CodeFinding)
    assert whole.refusal is Reason.CODE_MALFORMED


def test_travel_is_judged_by_the_regions_of_the_order() -> None:
    """The desk knows which regions the order names."""
    desk = CodeDesk(memory=ReuseMemory(), risk_regions=frozenset({"CN-31"}))
    assert code(gc1.issue(a_code(regions=("CN-31",)), COMMUNITY), desk).trip_clear is False
    assert code(gc1.issue(a_code(regions=()), COMMUNITY), desk).trip_clear is True
