"""Bugs planted on purpose, one at a time: a simulation that does not catch them proves nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from kiosk.journal_types import StreamKey
from kiosk.records import ZERO_HASH
from sync import batch_sender
from sync.ackstore import AckPoint, AckStore
from sync.agreement import Agreement
from sync.answer import Result
from sync.batch_sender import BatchSender
from sync.central import heartbeats, odd_batches
from sync.central import ingest as ingest_module
from sync.central.chains import Chain
from sync.heartbeat_sender import HeartbeatSender
from sync.retry import Backoff
from tests.scenarios import sync_world
from tests.scenarios.sync_world import World

Mutant = Callable[[pytest.MonkeyPatch], None]


def gap_not_noticed(patch: pytest.MonkeyPatch) -> None:
    """The central takes a batch that begins too late."""
    compare = odd_batches.compare

    def lenient(*arguments: Any) -> tuple[Result | None, int]:
        verdict, seq = compare(*arguments)
        return (None, 0) if verdict is Result.GAP else (verdict, seq)

    patch.setattr(odd_batches, "compare", lenient)


def fork_not_noticed(patch: pytest.MonkeyPatch) -> None:
    """The central keeps what it has and says "duplicate" (insert or ignore)."""
    compare = odd_batches.compare

    def lenient(*arguments: Any) -> tuple[Result | None, int]:
        verdict, seq = compare(*arguments)
        return (None, 0) if verdict is Result.FORK else (verdict, seq)

    patch.setattr(odd_batches, "compare", lenient)


def forks_continuation_unknown(patch: pytest.MonkeyPatch) -> None:
    """A fork that grows beyond the stored chain is taken for a gap."""
    patch.setattr(Chain, "is_set_aside", lambda *_: False)


def duplicates_stored_again(patch: pytest.MonkeyPatch) -> None:
    """The central asks for the last record once more each time, so nothing ever settles."""
    chains_of = ingest_module.chains_of

    def short(connection: Any, named: Any) -> Any:
        chains = chains_of(connection, named)
        for chain in chains.values():
            chain.hi = max(0, chain.hi - 1)
        return chains

    patch.setattr(ingest_module, "chains_of", short)
    patch.setattr(heartbeats, "chains_of", short)


def answered_before_the_commit(patch: pytest.MonkeyPatch) -> None:
    """The central answers, and dies before its transaction is durable."""

    def lossy(self: World, request: Any) -> Any:
        if not self.fair and self.rng.random() < 0.2:
            present = self.central.backup()
            reply = self.central.exchange(request)
            self.central.restore(present)
            # Without a heartbeat's comparison nobody would know; that comparison is off in this mutant as well.
            return reply
        return self.central.exchange(request)

    patch.setattr(World, "_deliver", lossy)
    heartbeats_compare_nothing(patch)


def heartbeats_compare_nothing(patch: pytest.MonkeyPatch) -> None:
    """The central does not tell a kiosk that it has less than the kiosk believes."""
    ack_position = heartbeats._ack_position

    def silent(*arguments: Any) -> Any:
        ack = ack_position(*arguments)
        return type(ack)(**{name: getattr(ack, name) for name in type(ack).__slots__} | {"resend_from": None})

    patch.setattr(heartbeats, "_ack_position", silent)


def idle_kiosk_stays_silent(patch: pytest.MonkeyPatch) -> None:
    """No heartbeat when there is nothing to send."""
    patch.setattr(HeartbeatSender, "send", lambda self, positions, now: setattr(self, "due_s", 1e18))


def sent_counts_as_acknowledged(patch: pytest.MonkeyPatch) -> None:
    """The agent moves on when a batch has left, whatever the answer says."""
    answered = BatchSender._answered

    def hasty(self: BatchSender, header: Any, answer: Any, now: Any) -> None:
        point = AckPoint(header.last, header.last_head, now.at_us, answer.server_us)
        self._state.advance(header.incarnation, header.stream, point)
        answered(self, header, answer, now)

    patch.setattr(BatchSender, "_answered", hasty)


def purged_when_acknowledged(patch: pytest.MonkeyPatch) -> None:
    """The kiosk keeps nothing beyond the acknowledgement."""
    patch.setattr(World, "purgeable", lambda self, key: self.state.acked(*key).seq)


def retention_by_age_alone(patch: pytest.MonkeyPatch) -> None:
    """The kiosk purges by the age of an acknowledgement that the central has not confirmed since."""

    def by_age(self: World, key: StreamKey) -> int:
        rows = self.state._db.execute(
            "SELECT seq, at_us FROM acknowledged WHERE incarnation = ? AND stream = ?", (key[0], str(key[1]))
        ).fetchall()
        old = [seq for seq, at_us in rows if self.clock.at_us - at_us >= sync_world.RETENTION_US]
        return min(max(old, default=0), self.journal.head(key).seq)

    patch.setattr(World, "purgeable", by_age)


def retention_from_the_passage(patch: pytest.MonkeyPatch) -> None:
    """The kiosk counts the retention from when a record was made (these records are old from the start)."""
    patch.setattr(World, "purgeable", lambda self, key: self.state.newest_point_below(*key, 10**9).seq)


def resend_is_not_obeyed(patch: pytest.MonkeyPatch) -> None:
    """The agent never goes back."""
    patch.setattr(AckStore, "go_back", lambda *_: None)


def restored_journal_not_noticed(patch: pytest.MonkeyPatch) -> None:
    """The agent goes on from its acknowledgement, whatever journal it now finds."""
    patch.setattr(Agreement, "journal_went_back", lambda *_: None)
    send = BatchSender.send

    def blind(self: BatchSender, work: Any, now: Any) -> None:
        agreement = self._agreement
        cursor = agreement.cursor(work.key)
        part = self._journal.slice(*work.key, cursor.seq, max_records=1, max_bytes=1)
        original = agreement.cursor
        agreement.cursor = lambda key: AckPoint(cursor.seq, part.prev_head, 0, 0)  # type: ignore[method-assign]
        try:
            send(self, work, now)
        finally:
            agreement.cursor = original  # type: ignore[method-assign]

    patch.setattr(BatchSender, "send", blind)


def head_not_compared(patch: pytest.MonkeyPatch) -> None:
    """The agent believes an acknowledgement of somebody else's chain."""
    patch.setattr(Agreement, "_journal_agrees", lambda *_: True)


def set_aside_never_taken_back(patch: pytest.MonkeyPatch) -> None:
    """What once lay in quarantine is believed to lie there for ever."""
    set_aside = AckStore.set_aside

    def sticky(self: AckStore, incarnation: str, stream: Any, seq: int, head: bytes) -> None:
        if head != ZERO_HASH:
            set_aside(self, incarnation, stream, seq, head)

    patch.setattr(AckStore, "set_aside", sticky)


def gives_up(patch: pytest.MonkeyPatch) -> None:
    """After five failures in a row nothing is tried any more."""
    failed = Backoff.failed

    def final(self: Backoff, now_s: float, *, retry_after_s: float | None = None) -> float:
        due_s = failed(self, now_s, retry_after_s=retry_after_s)
        if self.failures >= 5:
            self.not_before_s = self.ordered_s = 1e18
        return due_s

    patch.setattr(Backoff, "failed", final)


def epoch_forgotten_by_the_central(patch: pytest.MonkeyPatch) -> None:
    """A restored central does not take a newer epoch when a kiosk knows one."""
    patch.setattr(heartbeats, "MAX_EPOCH_LEAP", 0)


def gap_declared_too_easily(patch: pytest.MonkeyPatch) -> None:
    """The agent declares records gone instead of sending them again."""
    build = batch_sender.BatchHeader

    def careless(**fields: Any) -> Any:
        if fields["first"] > 1 and fields["gap_first"] is None:
            fields["gap_first"] = 1
        return build(**fields)

    patch.setattr(batch_sender, "BatchHeader", careless)


MUTANTS: tuple[Mutant, ...] = (
    gap_not_noticed,
    fork_not_noticed,
    forks_continuation_unknown,
    duplicates_stored_again,
    answered_before_the_commit,
    heartbeats_compare_nothing,
    idle_kiosk_stays_silent,
    sent_counts_as_acknowledged,
    purged_when_acknowledged,
    retention_by_age_alone,
    retention_from_the_passage,
    resend_is_not_obeyed,
    restored_journal_not_noticed,
    head_not_compared,
    set_aside_never_taken_back,
    gives_up,
    epoch_forgotten_by_the_central,
    gap_declared_too_easily,
)
