"""Batches that share a transaction and its statements come out as if each had come alone."""

from __future__ import annotations

import random
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import select, update

from kiosk.records import Kind, Stream
from sync import keys
from sync.answer import Answer, Result
from sync.central.checks import CheckedBatch, SignedBody
from sync.central.ingest import Ingest
from sync.central.tables import CentralTable, Kiosk, table
from sync.central.verify import verify_store
from sync.errors import WireError
from sync.uplink import SignedRequest
from tests.fakes import MORNING_US
from tests.sync_kit import ChainJournal, MemoryCentral, batch_of, empty_store

KIOSKS = ("gate-east", "gate-north", "gate-west")


def central_of_three() -> MemoryCentral:
    """A central that three kiosks may send to; its clock stands still."""
    central = MemoryCentral(None, store=empty_store())
    central._now_us = lambda: MORNING_US  # type: ignore[method-assign]
    central.ingest = Ingest(central.store, now_us=lambda: MORNING_US)
    for kiosk_id in KIOSKS:
        central.admit(kiosk_id)
    return central


def signed(request: SignedRequest) -> SignedBody:
    return SignedBody(
        kiosk_id=request.kiosk_id,
        request=request.request,
        body=request.body,
        signature=request.signature,
        encoding=request.encoding,
        head_signature=request.head_signature,
    )


def a_busy_moment(rng: random.Random) -> list[SignedRequest]:
    """What may meet in one group: batches in order, repeated, overlapping, too early, of a restored journal."""
    found = []
    for kiosk_id in KIOSKS:
        journal = ChainJournal(kiosk_id)
        for number in range(rng.randrange(6, 20)):
            journal.append(Stream.PASSAGE, ref=f"p{number}")
            if rng.random() < 0.5:
                ref = f"p{rng.randrange(number + 1)}"
                journal.append(Stream.PASSAGE, kind=Kind.PASSED, facts={"passed": rng.choice(("yes", "no"))}, ref=ref)
            if rng.random() < 0.3:
                journal.append(Stream.ALARM, kind=Kind.ALARM, facts={"code": "tamper"})
        backup = journal.backup()
        for stream in (Stream.PASSAGE, Stream.ALARM):
            last = journal.head((journal.incarnation, stream)).seq
            first = 1
            while first <= last:
                end = min(last, first + rng.randrange(5))
                found.append(batch_of(journal, stream, max(1, first - rng.randrange(2)), end))
                if rng.random() < 0.2:
                    found.append(found[-1])
                first = end + 1 + (rng.random() < 0.1)
        seq = journal.append(Stream.PASSAGE, ref="first story").seq
        found.append(batch_of(journal, Stream.PASSAGE, seq, seq))
        if rng.random() < 0.5:
            # Restored from a backup: what comes next has the next number, and another past.
            journal.restore(backup)
            for _ in range(2):
                journal.append(Stream.PASSAGE, ref="another story")
            found.append(batch_of(journal, Stream.PASSAGE, seq + 1, seq + 1))
            found.append(batch_of(journal, Stream.PASSAGE, seq, seq + 1))
    # Of different kiosks they arrive in any order; each kiosk's own come as it sent them.
    order = [request.kiosk_id for request in found]
    rng.shuffle(order)
    queues = {kiosk_id: [request for request in found if request.kiosk_id == kiosk_id] for kiosk_id in KIOSKS}
    return [queues[kiosk_id].pop(0) for kiosk_id in order]


def everything(central: MemoryCentral) -> dict[str, list[Any]]:
    with central.store.reading() as connection:
        return {
            name: sorted((tuple(row) for row in connection.execute(select(target))), key=repr)
            for name, target in CentralTable.metadata.tables.items()
            if name != "meta"
        }


@pytest.mark.parametrize("seed", range(12))
def test_a_group_is_stored_as_its_batches_one_by_one_would_be(seed: int) -> None:
    """Same answers, same rows in every table, same numbers; and every chain holds."""
    rng = random.Random(seed)
    requests = a_busy_moment(rng)
    alone, together = central_of_three(), central_of_three()
    answers_alone: list[Answer] = []
    for request in requests:
        checked = alone.ingest.checks.batch(signed(request))
        with alone.store.writing() as connection:
            answers_alone.append(alone.ingest.store_batch(connection, checked))
    answers_together: list[Answer | WireError] = []
    at = 0
    while at < len(requests):
        size = rng.randrange(1, 9)
        group = [together.ingest.checks.batch(signed(request)) for request in requests[at : at + size]]
        with together.store.writing() as connection:
            answers_together += together.ingest.store_batches(connection, group)
        at += size
    assert answers_together == answers_alone
    assert everything(together) == everything(alone)
    assert verify_store(together.store).ok


def checked_batches(central: MemoryCentral) -> list[CheckedBatch]:
    """One batch of each kiosk."""
    found = []
    for kiosk_id in KIOSKS:
        journal = ChainJournal(kiosk_id)
        for _ in range(3):
            journal.append(Stream.PASSAGE)
        found.append(central.ingest.checks.batch(signed(batch_of(journal, Stream.PASSAGE, 1, 3))))
    return found


def test_a_kiosk_that_is_revoked_meanwhile_is_refused_alone() -> None:
    """Checked while it was approved, refused inside the transaction; its neighbours are stored."""
    central = central_of_three()
    group = checked_batches(central)
    kiosks = table(Kiosk)
    with central.store.writing() as connection:
        connection.execute(update(kiosks).where(kiosks.c.kiosk_id == "gate-north").values(state="revoked"))
    with central.store.writing() as connection:
        east, north, west = central.ingest.store_batches(connection, group)
    assert isinstance(north, WireError)
    assert north.status == 403
    assert [answer.result for answer in (east, west) if isinstance(answer, Answer)] == [Result.STORED] * 2
    assert len(central.stored()) == 6


def test_a_key_that_was_replaced_is_not_believed_again() -> None:
    """Keys that verified before are remembered, but the store has the last word, and a new key is taken at once."""
    central = central_of_three()
    group = checked_batches(central)
    new = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
    kiosks = table(Kiosk)
    with central.store.writing() as connection:
        connection.execute(
            update(kiosks).where(kiosks.c.kiosk_id == "gate-east").values(public_key=keys.public_bytes(new))
        )
    with central.store.writing() as connection:
        east, north, _ = central.ingest.store_batches(connection, group)
    assert isinstance(east, WireError)
    assert east.status == 401
    assert isinstance(north, Answer)
    again = group[0].signed
    with pytest.raises(WireError, match="signature"):
        central.ingest.checks.batch(again)
    resigned = SignedBody(
        kiosk_id=again.kiosk_id,
        request=again.request,
        body=again.body,
        signature=keys.sign(new, keys.BATCH_CONTEXT, again.body),
        encoding=again.encoding,
        head_signature=again.head_signature,
    )
    with pytest.raises(WireError, match="signature"):  # of the head: the body's own was right
        central.ingest.checks.batch(resigned)
