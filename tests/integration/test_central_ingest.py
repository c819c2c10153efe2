"""The central's ingest over a real SQLite database: once, in order, and nothing without a row that says so."""

from __future__ import annotations

import json
from typing import Any

import pytest
from sqlalchemy import delete, update

from kiosk.records import Kind, Stream
from sync import keys
from sync.answer import Answer, Result
from sync.batch import canonical_document
from sync.batch_parse import link_hash
from sync.central.enrolment import decide
from sync.central.tables import (
    Alert,
    Batch,
    Fork,
    Gap,
    Kiosk,
    Ledger,
    Passage,
    Quarantined,
    StoredPayload,
    StoredRecord,
    table,
)
from sync.central.verify import verify_store
from sync.heartbeat import Heartbeat, Position
from sync.uplink import HEARTBEAT_PATH, Reply, SignedRequest
from tests.fakes import FakeClock
from tests.sync_kit import (
    BOOT,
    INCARNATION,
    KEY,
    KIOSK,
    MORNING_US,
    ChainJournal,
    MemoryCentral,
    batch_of,
    header_of,
    sign_batch,
)


@pytest.fixture
def journal() -> ChainJournal:
    journal = ChainJournal()
    for _ in range(20):
        journal.append(Stream.PASSAGE)
    return journal


def answer(reply: Reply) -> Answer:
    assert reply.status in (200, 409), reply.body
    return Answer.parse(reply.body)


def codes(central: MemoryCentral) -> set[str]:
    return {row.code for row in central.rows(Alert)}


def seqs(central: MemoryCentral) -> list[int]:
    return [seq for _, _, seq in central.stored()]


def heartbeat(journal: ChainJournal, *, acked: int, epoch: int = 1, mono_ns: int = 10) -> SignedRequest:
    body = Heartbeat(
        kiosk_id=KIOSK,
        wall_us=1,
        mono_ns=mono_ns,
        boot_id=BOOT,
        clock_trust="synced",
        software="test",
        store_epoch=epoch,
        positions=tuple(
            Position(incarnation=key[0], stream=key[1], last=head.seq, last_head=head.hash, acked=acked)
            for key, head in journal.positions().items()
        ),
        backlog=3,
        offset_us=45_000_000,
        offset_error_us=10,
        held={"policy": "3"},
        alarms=("journal_went_back",),
    ).to_bytes()
    signature = keys.sign(KEY, keys.HEARTBEAT_CONTEXT, body)
    return SignedRequest(path=HEARTBEAT_PATH, kiosk_id=KIOSK, request="h1", body=body, signature=signature)


def test_batches_in_order_are_stored_once(central: MemoryCentral, journal: ChainJournal) -> None:
    """Two batches make one gapless chain, its passages, and two lines in the sync log."""
    first = answer(central.exchange(batch_of(journal, Stream.PASSAGE, 1, 8)))
    second = answer(central.exchange(batch_of(journal, Stream.PASSAGE, 9, 20)))
    assert (first.acks[0].acked, second.acks[0].acked) == (8, 20)
    assert second.acks[0].head == journal.head((INCARNATION, Stream.PASSAGE)).hash
    assert seqs(central) == list(range(1, 21))
    assert len(central.rows(Passage)) == 20
    assert [(row.first_seq, row.last_seq, row.stored, row.result) for row in central.rows(Batch)] == [
        (1, 8, 8, "stored"),
        (9, 20, 12, "stored"),
    ]


def test_lag_is_counted_by_the_kiosks_monotonic_clock(
    central: MemoryCentral, journal: ChainJournal, clock: FakeClock
) -> None:
    """A kiosk whose wall clock is off has no such lag; a record of an earlier boot goes by wall time."""
    clock.advance(60)
    central.exchange(batch_of(journal, Stream.PASSAGE, 1, 8, mono_ns=31_000_000_000))
    central.exchange(batch_of(journal, Stream.PASSAGE, 9, 20, boot_id="another"))
    first, second = central.rows(Batch)
    assert first.lag_us == 30_000_000
    assert second.lag_us == second.received_us - (MORNING_US + 9_000_000) == 51_000_000


def test_replaying_the_same_bytes_changes_nothing(central: MemoryCentral, journal: ChainJournal) -> None:
    """A batch may arrive any number of times; each time its acknowledgement is the same."""
    request = batch_of(journal, Stream.PASSAGE, 1, 20)
    answers = [answer(central.exchange(request)) for _ in range(3)]
    assert [item.result for item in answers] == [Result.STORED, Result.DUPLICATE, Result.DUPLICATE]
    assert {item.acks[0].acked for item in answers} == {20}
    assert seqs(central) == list(range(1, 21))


def test_overlapping_batches_store_only_what_is_new(central: MemoryCentral, journal: ChainJournal) -> None:
    """A resend may be cut anywhere."""
    central.exchange(batch_of(journal, Stream.PASSAGE, 1, 9))
    overlap = answer(central.exchange(batch_of(journal, Stream.PASSAGE, 4, 15)))
    inside = answer(central.exchange(batch_of(journal, Stream.PASSAGE, 5, 7)))
    assert overlap.result is Result.STORED
    assert inside.result is Result.DUPLICATE
    assert inside.acks[0].acked == 15
    assert seqs(central) == list(range(1, 16))


def test_a_batch_from_the_future_asks_for_what_is_missing(central: MemoryCentral, journal: ChainJournal) -> None:
    """Out of order: nothing is stored, the answer names the seq to go on from."""
    central.exchange(batch_of(journal, Stream.PASSAGE, 1, 5))
    early = answer(central.exchange(batch_of(journal, Stream.PASSAGE, 9, 12)))
    assert early.result is Result.GAP
    assert (early.acks[0].acked, early.acks[0].resend_from) == (5, 6)
    assert seqs(central) == [1, 2, 3, 4, 5]


def test_a_declared_gap_is_written_down(central: MemoryCentral, journal: ChainJournal) -> None:
    """Records that the kiosk says are gone leave a row and an alert, and the stream goes on."""
    central.exchange(batch_of(journal, Stream.PASSAGE, 1, 5))
    behind = answer(central.exchange(batch_of(journal, Stream.PASSAGE, 9, 12, gap_first=6)))
    assert behind.result is Result.STORED
    assert behind.acks[0].acked == 12
    assert [(row.first_seq, row.last_seq) for row in central.rows(Gap)] == [(6, 8)]
    assert "records_gone" in codes(central)
    report = verify_store(central.store)
    assert report.ok
    assert report.gone == 3


def test_another_record_under_a_known_identity_is_a_fork(central: MemoryCentral, journal: ChainJournal) -> None:
    """Two stories under one number: the stored one stands, the other is kept apart, whole, with an alert."""
    backup = journal.backup()
    for _ in range(5):
        journal.append(Stream.PASSAGE, ref="first story")
    central.exchange(batch_of(journal, Stream.PASSAGE, 1, 25))
    journal.restore(backup)
    for _ in range(9):
        journal.append(Stream.PASSAGE, ref="second story")
    forked = answer(central.exchange(batch_of(journal, Stream.PASSAGE, 16, 27)))
    assert forked.result is Result.FORK
    assert (forked.acks[0].acked, forked.acks[0].quarantined_to) == (25, 27)
    assert seqs(central) == list(range(1, 26))
    set_aside = central.rows(Quarantined)
    assert [row.seq for row in set_aside] == [21, 22, 23, 24, 25, 26, 27]
    assert all(json.loads(row.raw)["header"]["ref"] == "second story" for row in set_aside)
    # The fork goes on beyond the stored head, is recognised as its own continuation, and stays apart.
    more = answer(central.exchange(batch_of(journal, Stream.PASSAGE, 28, 29)))
    assert more.result is Result.FORK
    again = answer(central.exchange(batch_of(journal, Stream.PASSAGE, 16, 27)))
    assert again.result is Result.FORK
    assert len(central.rows(Quarantined)) == 9
    assert [(row.seq, row.quarantined_to) for row in central.rows(Fork)] == [(21, 27)]
    assert "fork" in codes(central)
    assert verify_store(central.store).ok


def test_a_fork_is_asked_for_from_where_it_parted(central: MemoryCentral, journal: ChainJournal) -> None:
    """The next seq with another past: an alert at once, and the part before it is asked for, then set aside whole."""
    backup = journal.backup()
    journal.append(Stream.PASSAGE, ref="first story")
    central.exchange(batch_of(journal, Stream.PASSAGE, 1, 21))
    journal.restore(backup)
    journal.append(Stream.PASSAGE, ref="second story")
    journal.append(Stream.PASSAGE, ref="second story")
    ahead = answer(central.exchange(batch_of(journal, Stream.PASSAGE, 22, 22)))
    assert (ahead.result, ahead.acks[0].quarantined_to) == (Result.GAP, 0)
    assert "fork" in codes(central)
    assert central.rows(Quarantined) == []
    assert answer(central.exchange(batch_of(journal, Stream.PASSAGE, 21, 21))).result is Result.FORK
    assert answer(central.exchange(batch_of(journal, Stream.PASSAGE, 22, 22))).result is Result.FORK
    assert [row.seq for row in central.rows(Quarantined)] == [21, 22]
    assert seqs(central) == list(range(1, 22))


def test_records_outside_the_contract_are_set_aside_and_acknowledged(
    central: MemoryCentral, journal: ChainJournal
) -> None:
    """A kind of tomorrow neither blocks its stream nor vanishes, and the chain still verifies over it."""
    part = journal.slice(INCARNATION, Stream.PASSAGE, 0, max_records=6, max_bytes=2**30)
    wires = [record.to_wire() for record in part.records]
    wires[2]["header"]["kind"] = "tomorrow"
    head = part.prev_head
    for wire in wires:
        head = link_hash(head, wire)
    header = header_of(part, last_head=head)
    request = sign_batch(header, canonical_document(header.to_wire(), wires))
    found = answer(central.exchange(request))
    assert found.result is Result.PARTIAL
    assert [item.seq for item in found.rejected] == [3]
    assert found.acks[0].acked == 6
    assert seqs(central) == [1, 2, 4, 5, 6]
    assert "records_rejected" in codes(central)
    assert answer(central.exchange(request)).result is Result.DUPLICATE
    assert verify_store(central.store).ok


def test_what_cannot_be_proved_is_set_aside_from_there(central: MemoryCentral, journal: ChainJournal) -> None:
    """A record that is no record: it and what follows in its batch go to quarantine, the stream goes on."""
    part = journal.slice(INCARNATION, Stream.PASSAGE, 0, max_records=4, max_bytes=2**30)
    wires: list[Any] = [record.to_wire() for record in part.records]
    wires[1] = {"header": []}
    header = header_of(part)
    found = answer(central.exchange(sign_batch(header, canonical_document(header.to_wire(), wires))))
    assert (found.result, found.acks[0].acked) == (Result.PARTIAL, 4)
    assert seqs(central) == [1]
    following = answer(central.exchange(batch_of(journal, Stream.PASSAGE, 5, 20)))
    assert following.acks[0].acked == 20


def test_streams_and_incarnations_are_apart(central: MemoryCentral, journal: ChainJournal) -> None:
    """Alarms overtake passages, and a new incarnation begins at 1 without touching the old one."""
    journal.append(Stream.ALARM, kind=Kind.ALARM)
    central.exchange(batch_of(journal, Stream.PASSAGE, 1, 3))
    assert answer(central.exchange(batch_of(journal, Stream.ALARM, 1, 1))).result is Result.STORED
    journal.incarnation = "f" * 32
    journal.append(Stream.PASSAGE)
    assert answer(central.exchange(batch_of(journal, Stream.PASSAGE, 1, 1))).result is Result.STORED
    assert len(central.rows(Ledger)) == 3


@pytest.mark.parametrize("state", ["pending", "revoked"])
def test_only_approved_kiosks_are_heard(central: MemoryCentral, journal: ChainJournal, state: str) -> None:
    """Approval and revocation count from the next request on."""
    with central.store.writing() as connection:
        connection.execute(update(table(Kiosk)).values(state=state))
    assert central.exchange(batch_of(journal, Stream.PASSAGE, 1, 3)).status == 403
    with central.store.writing() as connection:
        fingerprint = keys.fingerprint(keys.public_bytes(KEY))
        assert not decide(connection, 1, kiosk_id=KIOSK, fingerprint="other", state="approved", by="admin")
        assert decide(connection, 1, kiosk_id=KIOSK, fingerprint=fingerprint, state="approved", by="admin")
    assert central.exchange(batch_of(journal, Stream.PASSAGE, 1, 3)).status == 200


def test_unknown_kiosks_and_foreign_signatures_are_refused(central: MemoryCentral, journal: ChainJournal) -> None:
    """Every byte of a signed batch is covered, and a signature of another context does not fit."""
    request = batch_of(journal, Stream.PASSAGE, 1, 3)

    def changed(**fields: Any) -> SignedRequest:
        values = {name: getattr(request, name) for name in SignedRequest.__slots__}
        return SignedRequest(**{**values, **fields})

    assert central.exchange(changed(kiosk_id="gate-west")).status == 401
    wrong_context = keys.sign(KEY, keys.HEARTBEAT_CONTEXT, request.body)
    assert central.exchange(changed(signature=wrong_context)).status == 401
    assert central.exchange(changed(head_signature=request.signature)).status == 401
    for index in range(len(request.body)):
        body = request.body[:index] + bytes([request.body[index] ^ 1]) + request.body[index + 1 :]
        assert central.exchange(changed(body=body)).status == 401
    assert central.rows(StoredRecord) == []


def test_passages_take_what_later_records_say(central: MemoryCentral, journal: ChainJournal) -> None:
    """Whether somebody went through, and a guard's override, reach the passage that they belong to."""
    journal.append(Stream.PASSAGE, kind=Kind.PASSED, ref="p3", facts={"passed": "yes"})
    journal.append(Stream.PASSAGE, kind=Kind.OVERRIDE, ref="p4", facts={"admit": True, "guard": "g7"})
    central.exchange(batch_of(journal, Stream.PASSAGE, 1, 22))
    by_ref = {row.ref: row for row in central.rows(Passage)}
    assert len(by_ref) == 20
    assert (by_ref["p3"].passed, by_ref["p4"].overridden) == ("yes", "admit")
    assert (by_ref["p3"].reason, by_ref["p3"].category) == ("admitted_with_waiver", "resident")
    assert json.loads(by_ref["p3"].checks) == {"pass": "pass", "temperature": "waived"}


@pytest.mark.parametrize(
    "facts", [{}, {"admit": "yes", "reasons": "none", "checks": 7}, {"reasons": [1, {}], "checks": [1, {"name": 2}]}]
)
def test_a_passage_with_odd_facts_is_stored_all_the_same(
    central: MemoryCentral, journal: ChainJournal, facts: dict[str, Any]
) -> None:
    """What the list cannot show stays empty; the record is whole in any case."""
    journal.append(Stream.PASSAGE, facts=facts)
    assert answer(central.exchange(batch_of(journal, Stream.PASSAGE, 1, 21))).result is Result.STORED
    assert central.rows(Passage)[-1].admit is None


def test_a_heartbeat_tells_each_chain_where_it_stands(central: MemoryCentral, journal: ChainJournal) -> None:
    """Heartbeats answer for chains that were never sent, keep the kiosk's own words, and raise what is amiss."""
    journal.append(Stream.ALARM)
    central.exchange(batch_of(journal, Stream.PASSAGE, 1, 20))
    found = answer(central.exchange(heartbeat(journal, acked=0)))
    assert {(str(ack.stream), ack.acked, ack.resend_from) for ack in found.acks} == {
        ("passage", 20, None),
        ("alarm", 0, None),
    }
    kiosk = central.rows(Kiosk)[0]
    assert (kiosk.backlog, kiosk.offset_us, kiosk.alarms) == (3, 45_000_000, "journal_went_back")
    assert {"clock_offset", "kiosk_journal_went_back"} <= codes(central)


def test_a_repeated_heartbeat_is_no_sign_of_life(
    central: MemoryCentral, journal: ChainJournal, clock: FakeClock
) -> None:
    """Somebody who recorded a heartbeat cannot make a dead kiosk look alive."""
    central.exchange(heartbeat(journal, acked=0))
    seen_us = central.rows(Kiosk)[0].last_seen_us
    clock.advance(600)
    central.exchange(heartbeat(journal, acked=0))
    assert central.rows(Kiosk)[0].last_seen_us == seen_us
    central.exchange(heartbeat(journal, acked=0, mono_ns=11))
    assert central.rows(Kiosk)[0].last_seen_us == seen_us + 600_000_000


def test_a_restored_store_notices_it_by_the_first_heartbeat(clock: FakeClock, journal: ChainJournal) -> None:
    """Who was told "20" by this epoch and now meets a store at 8 proves that the store went back."""
    central = MemoryCentral(clock.now)
    central.exchange(batch_of(journal, Stream.PASSAGE, 1, 8))
    backup = central.backup()
    central.exchange(batch_of(journal, Stream.PASSAGE, 9, 20))
    central.restore(backup)
    found = answer(central.exchange(heartbeat(journal, acked=20)))
    assert found.store_epoch == 2
    assert (found.acks[0].acked, found.acks[0].resend_from) == (8, 9)
    assert "store_went_back" in codes(central)
    assert answer(central.exchange(heartbeat(journal, acked=20, mono_ns=11))).store_epoch == 2


@pytest.mark.parametrize(
    ("model", "values", "what"),
    [
        (StoredRecord, {"at_us": 1}, "hash"),
        (StoredRecord, {"ref": "x"}, "hash"),
        (StoredRecord, {"hash": bytes(32)}, "hash"),
        (StoredPayload, {"body": '{"admit":false}'}, "payload"),
        (StoredPayload, {"digest": bytes(32), "body": None, "salt": None}, "hash"),
    ],
)
def test_verify_names_the_first_altered_record(
    central: MemoryCentral, journal: ChainJournal, model: Any, values: dict[str, Any], what: str
) -> None:
    """Whoever alters the central's own database is found, too."""
    central.exchange(batch_of(journal, Stream.PASSAGE, 1, 20))
    assert verify_store(central.store).ok
    with central.store.writing() as connection:
        connection.execute(update(table(model)).where(table(model).c.receive_id == 7).values(**values))
    findings = verify_store(central.store).findings
    assert findings[0].seq == 7
    assert what in findings[0].what


def test_verify_finds_a_cut_tail_and_a_removed_record(central: MemoryCentral, journal: ChainJournal) -> None:
    """Also where the ledger was wound back to match: the kiosk's signed head remains."""
    central.exchange(batch_of(journal, Stream.PASSAGE, 1, 12))
    central.exchange(batch_of(journal, Stream.PASSAGE, 13, 20))
    with central.store.writing() as connection:
        connection.execute(delete(table(StoredRecord)).where(table(StoredRecord).c.seq == 20))
    assert verify_store(central.store).findings[0].seq == 20
    head = next(row.hash for row in central.rows(StoredRecord) if row.seq == 19)
    with central.store.writing() as connection:
        connection.execute(update(table(Ledger)).values(hi=19, head=head))
    assert not verify_store(central.store).ok


def test_an_erased_payload_leaves_the_chain_whole(central: MemoryCentral, journal: ChainJournal) -> None:
    """Retention takes the body and its salt; the digest stays, and verify is content."""
    central.exchange(batch_of(journal, Stream.PASSAGE, 1, 20))
    with central.store.writing() as connection:
        connection.execute(update(table(StoredPayload)).values(salt=None, body=None))
    report = verify_store(central.store)
    assert report.ok
    assert (report.records, report.heads_proved) == (20, 1)


def test_an_alarm_at_a_gate_is_an_alert_at_the_central_at_once(central: MemoryCentral) -> None:
    """Three forced doors are one line counted three times; a referral names the lane, never the finding."""
    gate = ChainJournal()
    for _ in range(3):
        gate.append(Stream.ALARM, kind=Kind.ALARM, facts={"code": "door_forced", "detail": "in"})
    gate.append(Stream.ALARM, kind=Kind.REFERRAL, facts={"passage": "p1", "state": "open", "owner": "guard"})
    gate.append(Stream.ALARM, kind=Kind.REFERRAL, facts={"passage": "p1", "state": "closed:admitted"})
    gate.append(Stream.ALARM, kind=Kind.EMERGENCY, facts={"open": True, "guard": "", "why": "fire_contact"})
    gate.append(Stream.ALARM, kind=Kind.EMERGENCY, facts={"open": False, "guard": "", "why": "fire_contact"})
    central.exchange(batch_of(gate, Stream.ALARM, 1, 7))
    assert {row.code: (row.times, row.detail) for row in central.rows(Alert)} == {
        "kiosk_door_forced": (3, "in (2026-11-21 08:00 UTC)"),
        "kiosk_referral": (1, "in (2026-11-21 08:00 UTC)"),
        "kiosk_fire": (1, "in (2026-11-21 08:00 UTC)"),
    }


def test_an_alarm_that_comes_twice_is_counted_once(central: MemoryCentral) -> None:
    """A batch that is sent again after a lost answer raises nothing."""
    gate = ChainJournal()
    gate.append(Stream.ALARM, kind=Kind.ALARM, facts={"code": "tamper", "detail": "in"})
    for _ in range(2):
        central.exchange(batch_of(gate, Stream.ALARM, 1, 1))
    assert [row.times for row in central.rows(Alert)] == [1]


def test_a_nul_in_a_kiosks_words_stops_no_stream(central: MemoryCentral) -> None:
    """PostgreSQL takes none in a text: the record is stored whole, the words derived from it go without."""
    journal = ChainJournal()
    journal.append(Stream.ALARM, kind=Kind.ALARM, facts={"code": "stranded", "detail": "lane\x00\x1b[31m 2"})
    facts = {"admit": True, "reasons": ["all\x00"], "place": "a\x00b", "checks": {"pass\x00": "pass"}}
    journal.append(Stream.PASSAGE, facts=facts)
    for stream in (Stream.ALARM, Stream.PASSAGE):
        assert central.exchange(batch_of(journal, stream, 1, 1)).status == 200
    journal.append(Stream.DIAGNOSTIC, kind=Kind.DEVICE, facts={"up": True}, ref="p\x00")
    journal.append(Stream.DIAGNOSTIC, kind=Kind.DEVICE, facts={"up": True})
    assert central.exchange(batch_of(journal, Stream.DIAGNOSTIC, 1, 2)).status == 200
    assert [row.seq for row in central.rows(Quarantined)] == [1]  # in the header: outside the contract, set aside
    assert central.rows(Alert)[0].detail.startswith("in lane  [31m 2 (")
    (passage,) = central.rows(Passage)
    assert (passage.place, passage.reasons) == ("a b", "all ")
    assert verify_store(central.store).ok
