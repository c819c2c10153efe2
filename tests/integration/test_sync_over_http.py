"""The real agent and the real central as two processes' worth of code over HTTP, through a network that misbehaves."""

from __future__ import annotations

import itertools
import random
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import select

from kiosk.clock import SystemClock
from kiosk.journal import Journal, JournalReader
from kiosk.records import Kind, PayloadClass, Stream
from sync import keys
from sync.ackstore import AckStore
from sync.agent_options import AgentOptions
from sync.central.store import Store
from sync.central.tables import Batch, StoredRecord, table
from sync.central.verify import verify_store
from sync.run import run_agent
from tests.integration.bad_network import FAULTS, BadNetwork
from tests.integration.central_process import CentralProcess


class Gate:
    """A journal that is written to, and an agent thread that sends it."""

    def __init__(self, folder: Path, kiosk_id: str = "gate-east") -> None:
        self.folder = folder
        self.kiosk_id = kiosk_id
        self.clock = SystemClock(None)
        self.journal = Journal.open(folder / "journal.db", kiosk_id=kiosk_id, clock=self.clock)
        self.key = keys.generate_key(folder / "kiosk.pem")
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def passage(self, number: int) -> None:
        """One passage, and now and then an alarm."""
        facts = {"passage": f"p{number}", "admit": number % 5 != 0, "reasons": ["all_checks_passed"]}
        self.journal.append(
            Stream.PASSAGE,
            Kind.PASSAGE,
            at=self.clock.now(),
            lane="in",
            ref=f"p{number}",
            payloads={PayloadClass.FACTS: facts},
        )
        if number % 10 == 0:
            self.journal.append(Stream.ALARM, Kind.ALARM, at=self.clock.now(), payloads={PayloadClass.FACTS: facts})

    def start_agent(self, port: int) -> None:
        """Send in a thread, at a quicker pace than a real gate's."""
        options = AgentOptions(
            journal=self.folder / "journal.db",
            state=self.folder / "sync.db",
            central_url=f"http://127.0.0.1:{port}",
            key=self.folder / "kiosk.pem",
            kiosk_id=self.kiosk_id,
            bulk_interval_s=0.02,
            poll_interval_s=0.01,
            heartbeat_interval_s=0.3,
            retry_base_s=0.02,
            retry_cap_s=0.2,
            batch_records=20,
            read_timeout_s=5.0,
        )
        self._stop.clear()
        self._thread = threading.Thread(target=run_agent, args=(options, self._stop), daemon=True)
        self._thread.start()

    def last_error(self) -> str:
        """Why the central last did not take what the agent sent."""
        with closing(AckStore(self.folder / "sync.db")) as state:
            return state.fact("last_error")

    def stop_agent(self) -> None:
        """Stop sending."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=20)
            assert not self._thread.is_alive()

    def written(self) -> set[tuple[str, str, int, bytes]]:
        """Identity and hash of every record in the journal."""
        reader = JournalReader(self.folder / "journal.db")
        found: set[tuple[str, str, int, bytes]] = set()
        for (incarnation, stream), head in reader.positions().items():
            after, prev = 0, bytes(32)
            while after < head.seq:
                part = reader.slice(incarnation, stream, after, max_records=500, max_bytes=2**24)
                for record in part.records:
                    prev = record.hash(prev)
                    found.add((incarnation, str(stream), record.seq, prev))
                after = part.records[-1].seq
        return found


def stored(store: Store) -> list[tuple[str, str, int, bytes]]:
    records = table(StoredRecord)
    with store.reading() as connection:
        return [
            (row.incarnation, row.stream, row.seq, bytes(row.hash))
            for row in connection.execute(select(records).order_by(records.c.receive_id))
        ]


def wait_until_all_is_there(gate: Gate, store: Store, timeout_s: float = 40) -> list[tuple[str, str, int, bytes]]:
    wanted = gate.written()
    deadline = time.monotonic() + timeout_s
    while True:
        found = stored(store)
        if len(found) >= len(wanted):
            return found
        assert time.monotonic() < deadline, f"{len(found)} of {len(wanted)} arrived"
        time.sleep(0.05)


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    folder = tmp_path / "gate"
    folder.mkdir()
    return Gate(folder)


def test_everything_arrives_once_through_a_misbehaving_network(tmp_path: Path, gate: Gate) -> None:
    """Cut, delayed, repeated and unanswered requests: 0 lost, 0 duplicated, in order, chains whole."""
    with CentralProcess(tmp_path / "central.db") as central, BadNetwork(central.port, seed=7) as network:
        central.admit(gate.kiosk_id, gate.key)
        gate.start_agent(network.port)
        deadline = time.monotonic() + 30
        for number in itertools.count():
            gate.passage(number)
            if len(network.faults) >= 3 * len(FAULTS) or time.monotonic() > deadline:
                break
            time.sleep(0.005)
        network.calm()
        store = Store(tmp_path / "central.db")
        found = wait_until_all_is_there(gate, store)
        gate.stop_agent()
        assert len(found) == len(set(found))
        assert set(found) == gate.written()
        by_chain: dict[tuple[str, str], list[int]] = {}
        for incarnation, stream, seq, _ in found:
            by_chain.setdefault((incarnation, stream), []).append(seq)
        assert all(seqs == list(range(1, len(seqs) + 1)) for seqs in by_chain.values())
        assert set(network.faults) == set(FAULTS)
        assert verify_store(store).ok
        with store.reading() as connection:
            results = set(connection.execute(select(table(Batch).c.result)).scalars())
        assert "duplicate" in results


def test_killing_the_central_at_any_moment_loses_nothing(tmp_path: Path, gate: Gate) -> None:
    """kill -9 between receive and commit, or between commit and answer: the kiosk sends again what was not told."""
    rng = random.Random(11)
    with CentralProcess(tmp_path / "central.db") as central:
        central.admit(gate.kiosk_id, gate.key)
        gate.start_agent(central.port)
        for round_ in range(2):
            for number in range(60):
                gate.passage(1000 * round_ + number)
            time.sleep(rng.uniform(0.0, 0.25))
            central.kill()
            gate.passage(1000 * round_ + 999)
            central.start()
        store = Store(tmp_path / "central.db")
        found = wait_until_all_is_there(gate, store)
        gate.stop_agent()
        assert len(found) == len(set(found))
        assert set(found) == gate.written()
        assert verify_store(store).ok


def test_a_kiosk_waits_for_approval_and_then_sends(tmp_path: Path, gate: Gate) -> None:
    """Enrolled but not yet approved: refused, nothing lost, and it starts by itself."""
    with CentralProcess(tmp_path / "central.db") as central:
        for number in range(5):
            gate.passage(number)
        gate.start_agent(central.port)
        deadline = time.monotonic() + 20
        while not gate.last_error():
            assert time.monotonic() < deadline, "the kiosk was never refused"
            time.sleep(0.01)
        store = Store(tmp_path / "central.db")
        assert stored(store) == []
        central.admit(gate.kiosk_id, gate.key)
        found = wait_until_all_is_there(gate, store)
        gate.stop_agent()
        assert set(found) == gate.written()


@pytest.mark.parametrize("spoil", ["header", "a page", "torn"])
def test_a_spoilt_state_is_set_aside_and_nothing_is_lost_or_doubled(tmp_path: Path, gate: Gate, spoil: str) -> None:
    """The central recognises what is sent once more; the file as it was lies there for inquiry."""
    state = gate.folder / "sync.db"
    with CentralProcess(tmp_path / "central.db") as central:
        central.admit(gate.kiosk_id, gate.key)
        gate.start_agent(central.port)
        store = Store(tmp_path / "central.db")
        for number in range(40):
            gate.passage(number)
        wait_until_all_is_there(gate, store)
        gate.stop_agent()
        whole = state.read_bytes()
        spoilt = {
            "header": bytes(100) + whole[100:],
            "a page": whole[:4096] + b"\xa5" * 4096 + whole[8192:],
            "torn": whole[: len(whole) // 2],
        }[spoil]
        state.write_bytes(spoilt)
        for number in range(40, 60):
            gate.passage(number)
        gate.start_agent(central.port)
        found = wait_until_all_is_there(gate, store)
        gate.stop_agent()
    assert len(found) == len(set(found))
    assert set(found) == gate.written()
    (aside,) = gate.folder.glob("sync.db.damaged-*Z")
    assert aside.read_bytes() == spoilt
    with closing(AckStore(state)) as again:
        assert again.fact("last_error") == ""
