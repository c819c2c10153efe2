"""A journal that fails loses nothing: records wait in order, and nothing overtakes them."""

from __future__ import annotations

import pytest

from kiosk.clock import Instant
from kiosk.journal_types import JournalError
from kiosk.passage_events import Draft
from kiosk.reasons import ClockTrust
from kiosk.records import Kind, PayloadClass, Stream
from kiosk.unwritten import RETRY_EVERY_NS, Unwritten


def at(seconds: float) -> Instant:
    return Instant(0, ClockTrust.SYNCED, "boot", int(seconds * 1e9))


def draft(ref: str) -> Draft:
    return Draft(
        stream=Stream.PASSAGE, kind=Kind.PASSAGE, lane="in", ref=ref, at=at(0), payloads={PayloadClass.FACTS: {"n": 1}}
    )


class DiskThatFills:
    """A journal that can be told to fail."""

    def __init__(self) -> None:
        self.full = False
        self.written: list[str] = []

    def append(self, stream: Stream, kind: Kind, **fields: object) -> None:
        if self.full:
            raise JournalError("journal.db", seen="no space left")
        self.written.append(str(fields["ref"]))


def test_what_could_not_be_written_is_written_first_when_it_can_be() -> None:
    """Three passages on a full disk, then space: the same three, in order, before the fourth."""
    disk = DiskThatFills()
    unwritten = Unwritten(disk)
    disk.full = True
    for ref in ("a", "b"):
        with pytest.raises(JournalError):
            unwritten.commit(draft(ref))
    unwritten.remember(draft("c"), at(1))
    assert (unwritten.count, unwritten.journal_ok, disk.written) == (3, False, [])
    disk.full = False
    with pytest.raises(JournalError):  # nothing overtakes: the fourth waits behind the others
        unwritten.commit(draft("d"))
    unwritten.retry(at(1 + RETRY_EVERY_NS / 1e9))
    assert disk.written == ["a", "b", "c", "d"]
    assert unwritten.journal_ok


def test_a_failing_journal_is_not_hammered() -> None:
    """Between two tries lie two seconds."""
    disk = DiskThatFills()
    unwritten = Unwritten(disk)
    disk.full = True
    unwritten.remember(draft("a"), at(10))
    disk.full = False
    unwritten.retry(at(11))
    assert disk.written == []
    unwritten.retry(at(12))
    assert disk.written == ["a"]


def test_what_is_no_fact_yet_is_written_now_or_never() -> None:
    """A pass whose record could not be written is not issued, so its record does not turn up an hour later either."""
    disk = DiskThatFills()
    unwritten = Unwritten(disk)
    disk.full = True
    with pytest.raises(JournalError):
        unwritten.commit(draft("a"), stands=False)
    assert unwritten.journal_ok
    unwritten.remember(draft("b"), at(1))
    disk.full = False
    with pytest.raises(JournalError):  # nor does it overtake
        unwritten.commit(draft("c"), stands=False)
    unwritten.retry(at(60))
    assert disk.written == ["b"]
