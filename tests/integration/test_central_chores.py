"""What the central does by itself: the daily report, silent kiosks, and forgetting in time."""

from __future__ import annotations

import asyncio
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import select, update

from kiosk.records import Kind, Payload, PayloadClass, Record, Stream
from sync.answer import Answer, Result
from sync.batch import canonical_document
from sync.batch_parse import link_hash
from sync.central import enrolment
from sync.central.alerts import close_alert, raise_alert
from sync.central.chores import Chores, watch
from sync.central.committer import Committer
from sync.central.reports import daily_report
from sync.central.retention import DAY_US, Retention, forget
from sync.central.store import Store
from sync.central.tables import Alert, Batch, Kiosk, Ledger, Passage, Quarantined, StoredPayload, StoredRecord, table
from sync.central.verify import verify_store
from tests.fakes import MORNING_US, FakeClock
from tests.sync_kit import INCARNATION, ChainJournal, MemoryCentral, batch_of, header_of, make_record, sign_batch

CANARY = "canary-3f9a"


def with_payloads(journal: ChainJournal, count: int) -> None:
    """Records that carry a health and a person payload."""
    key = (INCARNATION, Stream.PASSAGE)
    for _ in range(count):
        head = journal.head(key)
        plain = make_record(head.seq + 1)
        payloads = dict(plain.payloads)
        for cls in (PayloadClass.HEALTH, PayloadClass.PERSON):
            payloads[cls] = Payload.of(bytes(16), {"of": f"{CANARY}-{cls}"})
        values = {name: getattr(plain, name) for name in Record.__slots__}
        record = Record(**{**values, "payloads": payloads})
        journal.chains.setdefault(key, []).append((record, record.hash(head.hash)))


def bodies(central: MemoryCentral) -> dict[str, int]:
    found: dict[str, int] = {}
    for row in central.rows(StoredPayload):
        found[row.payload_class] = found.get(row.payload_class, 0) + (row.body is not None)
    return found


def test_each_class_goes_in_its_time_and_the_chain_verifies_on(central: MemoryCentral, clock: FakeClock) -> None:
    """Health after 3 days, person and records after 30; a walk begins behind what was forgotten."""
    journal = ChainJournal()
    with_payloads(journal, 12)
    central.exchange(batch_of(journal, Stream.PASSAGE, 1, 6))
    clock.advance(2 * 86_400)
    central.exchange(batch_of(journal, Stream.PASSAGE, 7, 12))

    def forget_now() -> dict[str, int]:
        with central.store.writing() as connection:
            return forget(connection, clock.at_us, Retention())

    forget_now()
    assert bodies(central) == {"facts": 12, "health": 12, "person": 12}
    clock.advance(86_400 + 1)
    assert forget_now()["health"] == 6
    assert bodies(central) == {"facts": 12, "health": 6, "person": 12}
    assert verify_store(central.store).ok
    clock.advance(27 * 86_400)
    assert forget_now()["records"] == 6
    assert [row.seq for row in central.rows(StoredRecord)] == [7, 8, 9, 10, 11, 12]
    assert len(central.rows(Passage)) == 6
    report = verify_store(central.store)
    assert report.ok
    assert report.records == 6
    assert central.rows(Ledger)[0].base_seq == 6
    # What was forgotten is still known to have been here: a late repetition changes nothing.
    assert Answer.parse(central.exchange(batch_of(journal, Stream.PASSAGE, 1, 12)).body).result is Result.DUPLICATE
    clock.advance(60 * 86_400)
    forget_now()
    assert central.rows(StoredRecord) == []
    assert verify_store(central.store).ok
    journal.append(Stream.PASSAGE)
    assert Answer.parse(central.exchange(batch_of(journal, Stream.PASSAGE, 13, 13)).body).result is Result.STORED
    assert verify_store(central.store).ok
    assert [row.first_seq for row in central.rows(Batch)] == [7, 1, 13]


def test_a_record_set_aside_stays_while_its_chain_needs_it(central: MemoryCentral, clock: FakeClock) -> None:
    """Quarantine is forgotten with the records around it, never before them."""
    journal = ChainJournal()
    for _ in range(4):
        journal.append(Stream.PASSAGE)
    part = journal.slice(INCARNATION, Stream.PASSAGE, 0, max_records=4, max_bytes=2**20)
    wires: list[Any] = [record.to_wire() for record in part.records]
    wires[3]["header"]["kind"] = "tomorrow"
    head = bytes(32)
    for wire in wires:
        head = link_hash(head, wire)
    header = header_of(part, last_head=head)
    central.exchange(sign_batch(header, canonical_document(header.to_wire(), wires)))
    clock.advance(40 * 86_400)
    with central.store.writing() as connection:
        forget(connection, clock.at_us, Retention())
    assert len(central.rows(Quarantined)) == 1
    assert verify_store(central.store).ok


def test_forgotten_bytes_are_gone_from_the_file(tmp_path: Path) -> None:
    """After forgetting and a checkpoint, neither database nor log holds a byte of the payloads."""
    clock = FakeClock()
    store = Store(tmp_path / "central.db")
    central = MemoryCentral(clock.now, store=store)
    central.admit("gate-east")
    journal = ChainJournal()
    with_payloads(journal, 5)
    central.exchange(batch_of(journal, Stream.PASSAGE, 1, 5))
    clock.advance(31 * 86_400)
    with store.writing() as connection:
        forget(connection, clock.at_us, Retention())
    store.close()
    files = b"".join(path.read_bytes() for path in tmp_path.glob("central.db*"))
    assert CANARY.encode() not in files


def test_a_silent_kiosk_is_reported_and_comes_back(central: MemoryCentral, clock: FakeClock) -> None:
    """Five minutes without a word open an alert; the next word closes it."""
    with central.store.writing() as connection:
        connection.execute(update(table(Kiosk)).values(last_seen_us=clock.at_us))

    def look() -> list[tuple[str, bool]]:
        with central.store.writing() as connection:
            watch(connection, clock.at_us)
        return [(row.code, row.closed_us is None) for row in central.rows(Alert)]

    clock.advance(299)
    assert look() == []
    clock.advance(2)
    assert look() == [("kiosk_silent", True)]
    with central.store.writing() as connection:
        connection.execute(update(table(Kiosk)).values(last_seen_us=clock.at_us))
    assert look() == [("kiosk_silent", False)]


def test_one_silence_is_one_alert_however_soon_it_is_closed(central: MemoryCentral, clock: FakeClock) -> None:
    """Somebody dealt with it: nothing is raised (and mailed) again until the kiosk was heard and fell silent anew."""
    with central.store.writing() as connection:
        connection.execute(update(table(Kiosk)).values(last_seen_us=clock.at_us))

    def look_after(seconds: float) -> list[bool]:
        clock.advance(seconds)
        with central.store.writing() as connection:
            watch(connection, clock.at_us)
        return [row.closed_us is None for row in central.rows(Alert)]

    assert look_after(301) == look_after(60) == look_after(60) == [True]
    assert [(row.times, row.detail) for row in central.rows(Alert)] == [(1, "7 min")]  # it lasts; it is not counted
    with central.store.writing() as connection:
        close_alert(connection, clock.at_us, central.rows(Alert)[0].alert_id, "li")
    assert look_after(60) == look_after(3600) == [False]
    with central.store.writing() as connection:
        connection.execute(update(table(Kiosk)).values(last_seen_us=clock.at_us))
    assert look_after(301) == [False, True]


def test_two_processes_that_find_the_same_open_one_alert(central_database: str) -> None:
    """Each in a transaction of its own, neither sees what the other has not committed: one alert, counted twice."""
    stores = (Store(central_database), Store(central_database))

    def second() -> None:
        with stores[1].writing() as connection:
            raise_alert(connection, MORNING_US, "fork", "gate-east", "")

    other = threading.Thread(target=second)
    with stores[0].writing() as connection:
        raise_alert(connection, MORNING_US, "fork", "gate-east", "")
        other.start()
        other.join(0.5)
    other.join(20)
    with stores[0].reading() as connection:
        assert [row.times for row in connection.execute(table(Alert).select())] == [2]
    for store in stores:
        store.close()


def test_a_central_that_was_off_itself_calls_nobody_silent(central: MemoryCentral, clock: FakeClock) -> None:
    """Its kiosks get five minutes to be heard; an alert from before it stopped stays open meanwhile."""
    with central.store.writing() as connection:
        connection.execute(update(table(Kiosk)).values(last_seen_us=clock.at_us))
    clock.advance(3600)
    started_us = clock.at_us

    def look() -> list[bool]:
        with central.store.writing() as connection:
            watch(connection, clock.at_us, listening_since_us=started_us)
        return [row.closed_us is None for row in central.rows(Alert)]

    assert look() == []
    clock.advance(301)
    assert look() == [True]
    started_us = clock.at_us
    assert look() == [True]


def test_a_revoked_kiosk_is_waited_for_no_more(central: MemoryCentral, clock: FakeClock) -> None:
    """Its silence was reported; revoking it closes that alert, which nothing else ever would."""
    with central.store.writing() as connection:
        connection.execute(update(table(Kiosk)).values(last_seen_us=clock.at_us))
        kiosk = connection.execute(select(table(Kiosk))).first()
        assert kiosk is not None
        watch(connection, clock.at_us + 301_000_000)
        enrolment.decide(
            connection,
            clock.at_us,
            kiosk_id=kiosk.kiosk_id,
            fingerprint=kiosk.fingerprint,
            state=enrolment.REVOKED,
            by="li",
        )
    assert [row.closed_by for row in central.rows(Alert) if row.kiosk_id == kiosk.kiosk_id] == ["li"]


def test_a_surprise_is_not_the_end_of_the_chores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What nobody thought of is logged, and the next round forgets all the same."""
    monkeypatch.setattr("sync.central.chores.WATCH_EVERY_S", 0.01)
    rounds = 0

    def surprise(*_: Any) -> None:
        nonlocal rounds
        rounds += 1
        raise KeyError("nobody thought of this")

    monkeypatch.setattr("sync.central.chores.watch_documents", surprise)
    committer = Committer(Store(tmp_path / "central.db"))

    async def some_rounds() -> None:
        running = asyncio.create_task(Chores(committer, lambda: MORNING_US, Retention()).run())
        while rounds < 2:
            assert not running.done()
            await asyncio.sleep(0.01)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    asyncio.run(asyncio.wait_for(some_rounds(), 20))
    committer.close()


def test_late_forgetting_raises_an_alert(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A retention that fails for two days is itself an alarm."""
    from sync.central import chores as chores_module
    from sync.errors import LinkError

    def broken(*_: Any) -> dict[str, int]:
        raise LinkError("disk", seen="broken")

    clock = FakeClock()
    store = Store(tmp_path / "central.db")
    committer = Committer(store)
    monkeypatch.setattr(chores_module, "forget", broken)
    chores = Chores(committer, lambda: clock.at_us, Retention())
    for _ in range(4):
        asyncio.run(chores.once())
        clock.advance(86_400)
    with store.reading() as connection:
        assert [row.closed_by for row in connection.execute(table(Alert).select())] == [""]
    monkeypatch.undo()
    asyncio.run(chores.once())
    committer.close()
    with store.reading() as connection:
        found = [(row.code, row.times, row.closed_by) for row in connection.execute(table(Alert).select())]
    assert found == [("retention_late", 1, "erased")]  # told once, and over with the first that went well


def test_the_daily_report_counts_a_local_day(central: MemoryCentral) -> None:
    """Admitted, denied and why, by gate and by local hour; a passage of the day before is not in it."""
    journal = ChainJournal()
    for number in range(10):
        denied = number % 5 == 0
        journal.append(
            Stream.PASSAGE,
            facts={
                "admit": not denied,
                "reasons": ["out_of_hours"] if denied else ["all_checks_passed"],
                "category": "courier" if denied else "resident",
                "checks": [{"name": "temperature", "state": "waived"}],
                "credential_to_verdict_ms": 100 * (number + 1),
            },
        )
    journal.append(Stream.PASSAGE, kind=Kind.PASSED, ref="p2", facts={"passed": "yes"})
    central.exchange(batch_of(journal, Stream.PASSAGE, 1, 11))
    zone = ZoneInfo("Asia/Shanghai")
    with central.store.reading() as connection:
        day = daily_report(connection, zone, from_us=MORNING_US, to_us=MORNING_US + DAY_US)
        none = daily_report(connection, zone, from_us=MORNING_US - DAY_US, to_us=MORNING_US)
    assert (day.passages, day.admitted, day.denied) == (10, 8, 2)
    assert day.denial_reasons == (("out_of_hours", 2),)
    assert day.categories == (("resident", 8), ("courier", 2))
    assert day.waived == (("temperature", 10),)
    assert day.hours[16] == 10
    assert (day.median_ms, day.p95_ms) == (500, 1000)
    assert day.gates[0].went_through == 1
    assert (none.passages, none.median_ms) == (0, None)


@pytest.mark.parametrize(
    ("name", "hour"), [("America/New_York", 4), ("Europe/London", 9), ("Asia/Shanghai", 16), ("Asia/Kathmandu", 13)]
)
def test_the_hours_of_the_report_are_those_of_the_day_itself(central: MemoryCentral, name: str, hour: int) -> None:
    """Summer time, and zones that went by another offset in 1970: 08:00 UTC on a day in July."""
    journal = ChainJournal()
    july_us = int(datetime(2026, 7, 15, 8, tzinfo=UTC).timestamp()) * 1_000_000
    plain = make_record(1, facts={"admit": True})
    record = Record(**{**{each: getattr(plain, each) for each in Record.__slots__}, "at_us": july_us})
    journal.chains[INCARNATION, Stream.PASSAGE] = [(record, record.hash(bytes(32)))]
    central.exchange(batch_of(journal, Stream.PASSAGE, 1, 1))
    with central.store.reading() as connection:
        day = daily_report(connection, ZoneInfo(name), from_us=july_us - DAY_US, to_us=july_us + DAY_US)
    assert [at for at, count in enumerate(day.hours) if count] == [hour]


def entry(journal: ChainJournal, at_s: int, *, subject: str, place: str, credential: str = "ev2", **more: Any) -> None:
    """Somebody was let in at a gate, so many seconds after the morning's beginning."""
    key = (journal.incarnation, Stream.PASSAGE)
    head = journal.head(key)
    facts = {"admit": True, "reasons": ["all_checks_passed"], "direction": "in", "place": place, **more}
    plain = make_record(head.seq + 1, kiosk_id=journal.kiosk_id, facts={**facts, "credential": credential})
    values: dict[str, Any] = {name: getattr(plain, name) for name in Record.__slots__}
    values["at_us"] = MORNING_US + at_s * 1_000_000
    values["payloads"] = {**plain.payloads, PayloadClass.PERSON: Payload.of(bytes(16), {"subject": subject})}
    record = Record(**values)
    journal.chains.setdefault(key, []).append((record, record.hash(head.hash)))


def test_the_report_counts_weak_cards_and_cards_at_two_gates_at_once(central: MemoryCentral) -> None:
    """One card of five is weak; one holder came in by two gates within half a minute, others did not."""
    journal = ChainJournal()
    entry(journal, 0, subject="a" * 16, place="north-gate")
    entry(journal, 30, subject="a" * 16, place="east-gate", credential="sun")
    entry(journal, 40, subject="b" * 16, place="east-gate", credential="uid")
    entry(journal, 45, subject="b" * 16, place="east-gate", credential="pass_code")
    entry(journal, 110, subject="b" * 16, place="north-gate")
    entry(journal, 120, subject="b" * 16, place="west-gate", admit=False)
    entry(journal, 121, subject="b" * 16, place="west-gate", direction="out")
    central.exchange(batch_of(journal, Stream.PASSAGE, 1, 7))
    with central.store.reading() as connection:
        day = daily_report(connection, ZoneInfo("UTC"), from_us=MORNING_US, to_us=MORNING_US + DAY_US)
    assert day.credentials == (("ev2", 3), ("sun", 1), ("uid", 1), ("pass_code", 1))
    assert day.weak_percent == 20
    assert day.two_gates == (("east-gate / north-gate", 1),)
    with central.store.reading() as connection:
        none = daily_report(connection, ZoneInfo("UTC"), from_us=0, to_us=1)
    assert (none.weak_percent, none.two_gates) == (None, ())
