"""A damaged journal, and diagnostics given up, as the central sees them: nothing twice, every hole declared."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

from sqlalchemy import select

from kiosk.journal import Entry, Journal
from kiosk.journal_tables import row_key
from kiosk.records import Kind, PayloadClass, Stream
from sync.central.store import Store
from sync.central.tables import Gap, table
from sync.central.verify import verify_store
from tests.integration.central_process import CentralProcess
from tests.integration.test_sync_over_http import Gate, stored


def gaps(store: Store) -> list[tuple[str, str, int, int]]:
    """The gaps that were declared to the central."""
    rows = table(Gap)
    with store.reading() as connection:
        return [(r.incarnation, r.stream, r.first_seq, r.last_seq) for r in connection.execute(select(rows))]


def wait_for(store: Store, count: int) -> None:
    """Until so many records are there."""
    deadline = time.monotonic() + 40
    while len(stored(store)) < count:
        assert time.monotonic() < deadline, f"{len(stored(store))} of {count} arrived"
        time.sleep(0.05)


def test_what_survives_damage_is_sent_once_and_what_does_not_is_declared(tmp_path: Path) -> None:
    """One record goes bad before it was sent: all others arrive, the hole is a gap, and the new life follows."""
    folder = tmp_path / "gate"
    folder.mkdir()
    gate = Gate(folder)
    for number in range(1, 30):
        gate.passage(number)
    old = gate.journal.incarnation
    gate.journal.close()
    raw = sqlite3.connect(folder / "journal.db")
    raw.execute("UPDATE journal_record SET header = zeroblob(9) WHERE id = ?", (row_key(1, Stream.PASSAGE, 12),))
    raw.commit()
    raw.close()
    gate.journal = Journal.open(folder / "journal.db", kiosk_id=gate.kiosk_id, clock=gate.clock)
    gate.passage(31)
    with CentralProcess(tmp_path / "central.db") as central:
        central.admit(gate.kiosk_id, gate.key)
        gate.start_agent(central.port)
        store = Store(tmp_path / "central.db")
        # Old life: 29 of 30 passages, 3 alarms, 2 diagnostics. New: genesis x 3, gap, alarm, boot, passage.
        wait_for(store, 29 + 3 + 2 + 7)
        gate.stop_agent()
        found = stored(store)
        assert len(found) == len(set(found)) == 41
        assert gaps(store) == [(old, "passage", 12, 12)]
        assert [f[2] for f in found if f[:2] == (old, "passage")] == [*range(1, 12), *range(13, 31)]
    gate.journal.close()
    assert verify_store(store).ok


def test_given_up_diagnostics_are_a_declared_gap(tmp_path: Path) -> None:
    """The chain goes on behind them at the central too."""
    folder = tmp_path / "gate"
    folder.mkdir()
    gate = Gate(folder)
    facts = {PayloadClass.FACTS: {"n": 1}}
    at = gate.clock.now()
    gate.journal.append_many([Entry(stream=Stream.DIAGNOSTIC, kind=Kind.DEVICE, at=at, payloads=facts)] * 20)
    assert gate.journal.give_up(Stream.DIAGNOSTIC, at=at, why="disk_full") == 22
    gate.journal.append(Stream.DIAGNOSTIC, Kind.DEVICE, at=at, payloads=facts)
    with CentralProcess(tmp_path / "central.db") as central:
        central.admit(gate.kiosk_id, gate.key)
        gate.start_agent(central.port)
        store = Store(tmp_path / "central.db")
        wait_for(store, 4)  # two genesis records, the gap record, the record behind the gap
        gate.stop_agent()
        assert gaps(store) == [(gate.journal.incarnation, "diagnostic", 1, 22)]
    gate.journal.close()
    assert verify_store(store).ok
