"""Who was on duty, from the kiosk's records to the central's daily report and its page in both languages."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import text, update
from starlette.testclient import TestClient

from kiosk.records import Kind, Stream
from sync.central.access import Role
from sync.central.duty_signs import duty_records
from sync.central.reports import DailyReport, daily_report
from sync.central.retention import DAY_US
from sync.central.tables import Kiosk, table
from tests.fakes import MORNING_US, FakeClock
from tests.integration.test_central_web import Site
from tests.sync_kit import INCARNATION, ChainJournal, MemoryCentral, batch_of, make_record

HOUR_US = 3_600_000_000
MIDNIGHT_US = MORNING_US - 8 * HOUR_US


def put(journal: ChainJournal, hour: float, kind: Kind, facts: dict[str, Any] | None = None) -> None:
    """One record of the kiosk at that hour of the day; a start is a diagnostic, all else stands among the passages."""
    stream = Stream.DIAGNOSTIC if kind is Kind.BOOT else Stream.PASSAGE
    head = journal.head((INCARNATION, stream))
    plain = make_record(head.seq + 1, stream=stream, kind=kind, facts=facts, ref="p" if kind is Kind.PASSAGE else "")
    record = replace(plain, at_us=MIDNIGHT_US + round(hour * HOUR_US))
    journal.chains.setdefault((INCARNATION, stream), []).append((record, record.hash(head.hash)))


def shift(event: str, guard: str, session: str, **more: Any) -> dict[str, Any]:
    return {"event": event, "guard": guard, "session": session, "on_duty": 1, **more}


@pytest.fixture
def journal() -> ChainJournal:
    """Wang from 6 to 14, Li takes over and is killed with the gate at 16, nobody after it; one lock-out."""
    journal = ChainJournal()
    put(journal, -2, Kind.BOOT, {"program": "gatepost", "pid": 1})
    put(journal, 6, Kind.SHIFT, shift("logged_in", "wang", "aa", previous="", vacant_s=None))
    put(journal, 7, Kind.PASSAGE)
    put(journal, 9, Kind.SHIFT, shift("locked_out", "li", "", wrong=5, wait_s=2))
    put(journal, 14, Kind.SHIFT, shift("logged_out", "wang", "aa", lasted_s=28_800))
    put(journal, 14, Kind.SHIFT, shift("handed_over", "li", "bb", previous="wang", vacant_s=0))
    put(journal, 15, Kind.PASSAGE)
    put(journal, 16, Kind.BOOT, {"program": "gatepost", "pid": 2, "alive_us": MIDNIGHT_US + 16 * HOUR_US - 30_000_000})
    put(journal, 17, Kind.PASSAGE)
    put(journal, 23, Kind.PASSAGE)
    return journal


def report(central: MemoryCentral, *, from_us: int = MIDNIGHT_US) -> DailyReport:
    with central.store.writing() as connection:
        connection.execute(update(table(Kiosk)).values(last_seen_us=MIDNIGHT_US + 2 * DAY_US))
    with central.store.reading() as connection:
        return daily_report(connection, ZoneInfo("UTC"), from_us=from_us, to_us=from_us + DAY_US)


def test_the_day_says_who_was_on_duty_and_how_long_nobody_was(journal: ChainJournal) -> None:
    """Both streams, whichever comes first; passages stand beside the guard who was there, or beside nobody."""
    central = MemoryCentral(FakeClock().now)
    central.exchange(batch_of(journal, Stream.DIAGNOSTIC, 1, 2))
    central.exchange(batch_of(journal, Stream.PASSAGE, 1, 8))
    (day,) = report(central).duty
    told = [
        (each.guard or str(each.post), (each.from_us - MIDNIGHT_US) / HOUR_US, (each.to_us - MIDNIGHT_US) / HOUR_US)
        for each in day.stretches
    ]
    assert told == [("nobody", 0, 6), ("wang", 6, 14), ("li", 14, 16), ("nobody", 16, 24)]
    assert [each.passages for each in day.stretches] == [0, 1, 1, 2]
    assert [each.how for each in day.stretches] == ["", "logged_out", "boot", ""]
    assert day.vacant_us == 14 * HOUR_US
    assert day.lock_outs == (("li", 1),)


def test_a_shift_over_midnight_counts_on_both_days(journal: ChainJournal) -> None:
    """Zhao from 22 to 6: two hours of the one day, six of the next; a day that heard nothing has no lines."""
    put(journal, 22, Kind.SHIFT, shift("logged_in", "zhao", "cc"))
    put(journal, 30, Kind.SHIFT, shift("logged_out", "zhao", "cc"))
    central = MemoryCentral(FakeClock().now)
    central.exchange(batch_of(journal, Stream.PASSAGE, 1, 10))
    for from_us, line in ((MIDNIGHT_US, (22, 24)), (MIDNIGHT_US + DAY_US, (24, 30))):
        (day,) = report(central, from_us=from_us).duty
        (zhao,) = (each for each in day.stretches if each.guard == "zhao")
        assert ((zhao.from_us - MIDNIGHT_US) / HOUR_US, (zhao.to_us - MIDNIGHT_US) / HOUR_US) == line
    assert report(central, from_us=MIDNIGHT_US - 5 * DAY_US).duty == ()


def test_the_page_shows_it_in_both_languages(journal: ChainJournal, tmp_path: Path) -> None:
    """Guards by login, escaped; the vacancy; the lock-out."""
    site = Site(tmp_path)
    put(journal, 23.5, Kind.SHIFT, shift("logged_in", "<i>zhao</i>", "dd"))
    site.journal = journal
    with TestClient(site.app, base_url="http://central.test", follow_redirects=False) as client:
        assert site.send(client, 1, 9).status_code == 200
        with site.store.writing() as connection:
            connection.execute(update(table(Kiosk)).values(last_seen_us=MIDNIGHT_US + 2 * DAY_US))
        site.log_in(client, Role.AUDITOR)
        english = client.get("/admin/report?day=2026-11-21&lang=en").text
        chinese = client.get("/admin/report?day=2026-11-21&lang=zh-CN").text
    for page, words in (
        (english, ("Who was on duty", "wang", "Nobody on duty, in all", "Login made to wait after wrong secrets: li")),
        (chinese, ("值班情况", "wang", "无人值班合计", "口令多次输错，登录被暂停: li")),
    ):
        assert [word for word in words if word not in page] == []
        assert "<i>zhao</i>" not in page
        assert "&lt;i&gt;zhao&lt;/i&gt;" in page


def test_the_report_reads_the_few_records_that_it_needs() -> None:
    """By the index of shift and boot records, however many passages there are."""
    with MemoryCentral(FakeClock().now).store.reading() as connection:
        statement = duty_records(from_us=MIDNIGHT_US, to_us=MIDNIGHT_US + DAY_US)
        query = statement.compile(connection.engine, compile_kwargs={"literal_binds": True})
        plan = [row.detail for row in connection.execute(text(f"EXPLAIN QUERY PLAN {query}"))]
    assert "records_duty" in plan[0], plan


def test_a_day_behind_which_no_calendar_goes_on_is_no_fault(tmp_path: Path) -> None:
    """The last and the first day there are, asked for by hand: a page, as for any other word."""
    site = Site(tmp_path)
    with TestClient(site.app, base_url="http://central.test", follow_redirects=False) as client:
        site.log_in(client, Role.AUDITOR)
        for path in ("report", "passages"):
            for day in ("9999-12-31", "0001-01-01", "2026-02-30", "x"):
                assert client.get(f"/admin/{path}?day={day}").status_code == 200
