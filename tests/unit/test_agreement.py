"""Up to where journal and central agree: which acknowledgement counts, and from where the sender goes on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs

from kiosk.journal_types import Head, StreamKey
from kiosk.records import Stream
from sync.ackstore import AckStore
from sync.agent_counters import Counters
from sync.agreement import Agreement
from sync.answer import Answer, Result, StreamAck
from sync.trouble import Troubles
from tests.fakes import FakeClock
from tests.sync_kit import INCARNATION, ChainJournal

KEY: StreamKey = (INCARNATION, Stream.PASSAGE)


class Table:
    """A journal of five passages, and what is agreed about it."""

    def __init__(self) -> None:
        self.journal = ChainJournal()
        for _ in range(5):
            self.journal.append(Stream.PASSAGE)
        self.state = AckStore(":memory:")
        self.troubles = Troubles(self.state)
        self.counters = Counters()
        self.agreement = Agreement(self.journal, self.state, troubles=self.troubles, counters=self.counters)
        self.clock = FakeClock()
        self.now = self.clock.now()

    def hash_at(self, seq: int) -> bytes:
        return self.journal.chains[KEY][seq - 1][1] if seq else bytes(32)

    def told(self, acked: int, *, head: bytes | None = None, resend: bool = False, newer: bool = False) -> int:
        """The central says an hour later that it has ``acked``; how far the sender goes by then."""
        self.clock.advance(3600.0)
        self.now = self.clock.now()
        ack = StreamAck(
            incarnation=INCARNATION,
            stream=Stream.PASSAGE,
            acked=acked,
            head=self.hash_at(acked) if head is None else head,
            resend_from=acked + 1 if resend else None,
        )
        answer = Answer(request="r", store_epoch=1, server_us=1, acks=(ack,), result=Result.STORED)
        self.agreement.apply(ack, answer, self.now, newer_epoch=newer)
        return self.agreement.cursor(KEY).seq


@pytest.fixture
def desk() -> Iterator[Table]:
    with capture_logs():
        yield Table()


def test_an_acknowledgement_counts_when_its_hash_is_ours(desk: Table) -> None:
    """The number alone proves nothing: somebody else's chain is as long."""
    assert desk.told(3) == 3
    assert desk.counters.records_acked == 3
    assert desk.told(4, head=b"x" * 32) == 3
    assert desk.troubles.codes == ("head_mismatch",)


def test_an_acknowledgement_beyond_the_journal_is_not_believed(desk: Table) -> None:
    """The central has more than this journal: the journal went back."""
    assert desk.told(9, head=b"x" * 32) == 0
    assert desk.troubles.codes == ("journal_went_back",)


@pytest.mark.parametrize(("resend", "newer", "goes_on_from"), [(False, False, 4), (True, False, 2), (False, True, 2)])
def test_a_lower_one_counts_only_when_it_is_meant(desk: Table, resend: bool, newer: bool, goes_on_from: int) -> None:
    """A late answer changes nothing; a central that asks, or that is of a newer epoch, gets its records again."""
    desk.told(4)
    assert desk.told(2, resend=resend, newer=newer) == goes_on_from


def test_a_restored_journal_goes_on_from_the_last_common_record(desk: Table) -> None:
    """Acknowledged at 2 and 4; the restored journal has another fourth record: sending goes on behind the second."""
    for seq in (2, 4):
        desk.told(seq)
    del desk.journal.chains[KEY][2:]
    for _ in range(3):
        desk.journal.append(Stream.PASSAGE, facts={"other": 1})
    desk.agreement.notice({KEY: Head(4, desk.hash_at(4))}, desk.now)
    assert desk.agreement.cursor(KEY).seq == 2
    assert desk.troubles.codes == ("journal_went_back",)


def test_a_step_back_goes_to_an_earlier_acknowledgement(desk: Table) -> None:
    """The central does not know the fourth record any more, though it once acknowledged it."""
    for seq in (2, 4):
        desk.told(seq)
    desk.agreement.step_back(KEY, 4, desk.now)
    assert desk.agreement.cursor(KEY).seq == 2
