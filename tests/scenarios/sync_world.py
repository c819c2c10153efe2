"""A deterministic world for sync: the real agent and the real ingest, everything around them injected and seeded.

One seed makes one schedule: which records are written when, what the network does to each exchange, when a process
dies (also in the middle of an exchange and around every write to ``sync.db``), when the central or the kiosk is
restored from a backup, when an old copy of the central answers. Then the world heals, and within ten virtual minutes
everything that the gate's journal holds must be at the central: once, in order, or set aside in plain sight.

Storage here is SQLite in memory, so a commit is durable by definition; what a power cut does to files is tested on
files (``tests/integration/test_journal_crash.py``).
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import select
from structlog.testing import capture_logs

from kiosk.journal_types import StreamKey
from kiosk.records import Stream
from sync.ackstore import AckPoint, AckStore
from sync.agent import Agent
from sync.agent_options import AgentOptions
from sync.batch_dictionary import ENCODING
from sync.central.store import Store
from sync.central.tables import Fork, Ledger, Quarantined, StoredRecord, table
from sync.central.verify import verify_store
from sync.errors import LinkError
from sync.uplink import Reply, SignedRequest
from tests.fakes import FakeClock
from tests.sync_kit import KEY, KIOSK, ChainJournal, MemoryCentral

RETENTION_US = 1800 * 1_000_000
BACKUP_MAX_AGE_US = RETENTION_US - 300 * 1_000_000
HEAL_LIMIT_S = 600.0
HEAL_EXCHANGES = 600
HEAL_STEPS = 2000
FAULTY_STEPS = 45


class Crash(BaseException):
    """The process dies here; nothing after this line happens."""


class Violation(AssertionError):
    """The world caught sync at losing, doubling or hiding something."""


@dataclass(slots=True)
class Weather:
    """How likely each misfortune is, for one schedule; drawn per seed so that schedules differ in kind."""

    lose: float
    answer_lost: float
    repeat: float
    late: float
    stale: float
    busy: float
    central_dies: float
    kiosk_dies: float
    central_restored: float
    kiosk_restored: float
    old_central: float


def weather(rng: random.Random) -> Weather:
    """Any subset of misfortunes, at any strength; now and then none."""

    def chance(highest: float) -> float:
        return rng.choice((0.0, 0.0, rng.uniform(0.0, highest)))

    return Weather(
        lose=chance(0.6),
        answer_lost=chance(0.5),
        repeat=chance(0.5),
        late=chance(0.3),
        stale=chance(0.3),
        busy=chance(0.2),
        central_dies=chance(0.3),
        kiosk_dies=chance(0.15),
        central_restored=chance(0.06),
        kiosk_restored=chance(0.05),
        old_central=chance(0.1),
    )


class FragileAckStore(AckStore):
    """The real store of acknowledgements; its process may die just before or just after any write."""

    dies: Callable[[], None] = staticmethod(lambda: None)

    def advance(self, incarnation: str, stream: Stream, point: AckPoint) -> None:
        self.dies()
        super().advance(incarnation, stream, point)
        self.dies()

    def go_back(self, incarnation: str, stream: Stream, point: AckPoint) -> None:
        self.dies()
        super().go_back(incarnation, stream, point)
        self.dies()

    def set_aside(self, incarnation: str, stream: Stream, seq: int, head: bytes) -> None:
        self.dies()
        super().set_aside(incarnation, stream, seq, head)
        self.dies()

    def remember(self, **facts: str | int) -> None:
        self.dies()
        super().remember(**facts)

    def backup(self) -> bytes:
        return self._db.serialize()

    def restore(self, backup: bytes) -> None:
        self._db.deserialize(backup)


_store_and_blank: list[tuple[Store, bytes]] = []


def _blank_central(now: Any) -> MemoryCentral:
    """A central that has seen nothing yet; all share one store, wound back, since compiling statements costs most."""
    if not _store_and_blank:
        fresh = MemoryCentral(now)
        _store_and_blank.append((fresh.store, fresh.backup()))
    store, blank = _store_and_blank[0]
    central = MemoryCentral(now, store=store)
    central.restore(blank)
    return central


class World:
    """One kiosk, one central, a network between them, and misfortune."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.weather = weather(self.rng)
        self.clock = FakeClock()
        self.central = _blank_central(self.clock.now)
        self.journal = ChainJournal()
        self.state = FragileAckStore(":memory:")
        self.state.dies = self._maybe_die  # type: ignore[method-assign]
        self.options = AgentOptions(
            journal=Path("journal"),
            state=Path("state"),
            central_url="http://127.0.0.1",
            key=Path("key"),
            kiosk_id=KIOSK,
            poll_interval_s=1.0,
            bulk_interval_s=self.rng.choice((0.0, 5.0, 30.0)),
            heartbeat_interval_s=60.0,
            batch_records=self.rng.choice((1, 3, 7, 500)),
            encoding=self.rng.choice((ENCODING, "gzip")),
        )
        self.fair = False
        self.agent = self._new_agent()
        self.late: list[SignedRequest] = []
        self.replies: list[Reply] = []
        self.backups: list[tuple[int, bytes]] = []
        self.kiosk_backups: list[tuple[Any, bytes]] = []
        self.written: dict[tuple[StreamKey, int], bytes] = {}
        self.timeline: dict[tuple[StreamKey, int], bytes] = {}
        self.rewritten = False
        self.incarnations = 0
        self.exchanges = 0

    def _new_agent(self) -> Agent:
        return Agent(
            self.options,
            journal=self.journal,
            state=self.state,
            link=self,
            private_key=KEY,
            clock=self.clock,
            rng=random.Random(self.rng.getrandbits(32)),
        )

    # -- the network, seen by the agent ------------------------------------------------------------------------

    def exchange(self, request: SignedRequest) -> Reply:
        """Carry a request to the central and its answer back, or whatever becomes of them today."""
        self.exchanges += 1
        self.clock.advance(0.01)
        if self.fair:
            return self.central.exchange(request)
        w, rng = self.weather, self.rng
        if rng.random() < w.lose:
            self._maybe_die()
            raise LinkError("network", seen="nothing")
        if rng.random() < w.late:
            self.late.append(request)
        if rng.random() < w.busy:
            return Reply(status=503, body=b"busy", retry_after_s=float(rng.randrange(20)))
        if rng.random() < w.central_dies:
            self._die_in_central(request)
        reply = self._deliver(request)
        if rng.random() < w.repeat:
            self._deliver(request)
        self.replies.append(reply)
        self._maybe_die()
        if rng.random() < w.answer_lost:
            raise LinkError("network", seen="no answer")
        if rng.random() < w.stale:
            return rng.choice(self.replies)
        return reply

    def _deliver(self, request: SignedRequest) -> Reply:
        if self.backups and self.rng.random() < self.weather.old_central:
            return self._ask_old_central(request)
        return self.central.exchange(request)

    def _ask_old_central(self, request: SignedRequest) -> Reply:
        """An old copy of the central answers once, and is gone with all it was told."""
        young = [copy for at_us, copy in self.backups if self.clock.at_us - at_us < BACKUP_MAX_AGE_US]
        if not young:
            return self.central.exchange(request)
        present = self.central.backup()
        self.central.restore(self.rng.choice(young))
        try:
            return self.central.exchange(request)
        finally:
            self.central.restore(present)

    def _die_in_central(self, request: SignedRequest) -> None:
        """kill -9 of the central between receive and commit (nothing stays) or between commit and answer."""
        if self.rng.random() < 0.5:
            present = self.central.backup()
            self.central.exchange(request)
            self.central.restore(present)
        else:
            self.central.exchange(request)
        raise LinkError("network", seen="connection reset")

    def _maybe_die(self) -> None:
        if not self.fair and self.rng.random() < self.weather.kiosk_dies:
            raise Crash

    # -- what happens ------------------------------------------------------------------------------------------

    def run(self) -> None:
        """The schedule: misfortune, then fair weather, then the reckoning. Raises Violation."""
        for _ in range(FAULTY_STEPS):
            self._write()
            self._happen()
            self._step()
        self.fair = True
        healed_s, exchanges = self.clock.mono_ns / 1e9, self.exchanges
        steps = 0
        while not self._settled():
            steps += 1
            if steps > HEAL_STEPS:
                raise Violation(f"{HEAL_STEPS} steps since the world healed, and time hardly moves: {self._where()}")
            if self.clock.mono_ns / 1e9 - healed_s > HEAL_LIMIT_S:
                raise Violation(f"not settled {HEAL_LIMIT_S:.0f} s after the world healed: {self._where()}")
            if self.exchanges - exchanges > HEAL_EXCHANGES:
                raise Violation(f"{HEAL_EXCHANGES} exchanges since the world healed, and still at it: {self._where()}")
            self._step()
        self._reckon()

    def _step(self) -> None:
        try:
            delay_s = self.agent.step()
        except Crash:
            self.agent = self._new_agent()
            delay_s = 1.0
        self._purge()
        # Time passes in leaps when nothing is due, so that hours fit into a few steps.
        leap_s = self.rng.choice((0.0, 1.0, 10.0, 70.0, 400.0)) if not self.fair else 1.0
        self.clock.advance(max(delay_s, leap_s if delay_s else 0.001))

    def _write(self) -> None:
        for _ in range(self.rng.choice((0, 0, 1, 1, 2, 6))):
            stream = self.rng.choice((Stream.PASSAGE, Stream.PASSAGE, Stream.ALARM, Stream.DIAGNOSTIC))
            record = self.journal.append(stream, ref=f"w{self.rng.getrandbits(40):x}")
            key = (self.journal.incarnation, stream)
            place, link = (key, record.seq), self.journal.head(key).hash
            self.rewritten = self.rewritten or place in self.written
            self.written[place] = link
            self.timeline[place] = link

    def _happen(self) -> None:
        w, rng = self.weather, self.rng
        if rng.random() < 0.15:
            self.backups.append((self.clock.at_us, self.central.backup()))
        if rng.random() < 0.15:
            self.kiosk_backups.append((self.journal.backup(), self.state.backup()))
        while self.late and rng.random() < 0.3:
            self.central.exchange(self.late.pop(rng.randrange(len(self.late))))
        if rng.random() < w.kiosk_dies:
            self.agent = self._new_agent()
        if rng.random() < w.central_restored:
            self._restore_central()
        if rng.random() < w.kiosk_restored and self.kiosk_backups:
            self._restore_kiosk()

    def _restore_central(self) -> None:
        young = [copy for at_us, copy in self.backups if self.clock.at_us - at_us < BACKUP_MAX_AGE_US]
        if young:
            self.central.restore(self.rng.choice(young))
            if self.rng.random() < 0.5:
                with self.central.store.writing() as connection:
                    self.central.store.raise_epoch(connection)

    def _restore_kiosk(self) -> None:
        """An old image of the journal, with or without sync's own state; noticed by the journal, or not."""
        journal, state = self.rng.choice(self.kiosk_backups)
        purged = {
            place: link for place, link in self.timeline.items() if place[1] <= journal[2].get(place[0], _NONE).seq
        }
        self.journal.restore(journal)
        if self.rng.random() < 0.5:
            self.state.restore(state)
        self.timeline = {
            (key, record.seq): link for key, chain in self.journal.chains.items() for record, link in chain
        } | purged
        if self.rng.random() < 0.5:
            self.incarnations += 1
            self.journal.incarnation = f"{self.incarnations:032x}"
        self.agent = self._new_agent()

    def _purge(self) -> None:
        """What the kiosk does: a record goes when an acknowledgement at or above it is old enough."""
        for key in list(self.journal.chains):
            up_to = self.purgeable(key)
            if up_to > self.journal.bases.get(key, _NONE).seq:
                self.journal.purge(key, min(up_to, self.journal.head(key).seq))

    def purgeable(self, key: StreamKey) -> int:
        """The highest seq of a chain that the central confirmed again the retention after acknowledging it."""
        head = self.journal.head(key)
        best = 0
        for seq, at_us, told_us, again_us, again_told_us in self.state._db.execute(
            "SELECT seq, at_us, server_us, confirmed_us, confirmed_server_us FROM acknowledged"
            " WHERE incarnation = ? AND stream = ?",
            (key[0], str(key[1])),
        ):
            if min(again_us - at_us, again_told_us - told_us) >= RETENTION_US and seq <= head.seq:
                best = max(best, seq)
        return best

    # -- the reckoning -----------------------------------------------------------------------------------------

    def _at_central(self) -> tuple[dict[tuple[StreamKey, int], bytes], set[tuple[StreamKey, int, bytes]]]:
        with self.central.store.reading() as connection:
            stored = {
                ((row.incarnation, Stream(row.stream)), row.seq): bytes(row.hash)
                for row in connection.execute(select(table(StoredRecord)))
            }
            aside = {
                ((row.incarnation, Stream(row.stream)), row.seq, bytes(row.digest))
                for row in connection.execute(select(table(Quarantined)))
            }
        return stored, aside

    def _missing(self) -> list[tuple[StreamKey, int]]:
        stored, aside = self._at_central()
        return [
            place for place, link in self.timeline.items() if stored.get(place) != link and (*place, link) not in aside
        ]

    def _settled(self) -> bool:
        positions = self.journal.positions()
        cursors = {key: self.agent.agreement.cursor(key).seq for key in positions}
        return all(cursors[key] >= head.seq for key, head in positions.items()) and not self._missing()

    def _where(self) -> str:
        return f"missing {self._missing()[:5]}, {self.state.facts()}"

    def _reckon(self) -> None:
        stored, aside = self._at_central()
        for (key, seq), link in stored.items():
            if self.written.get((key, seq)) != link and not self.rewritten:
                raise Violation(f"the central holds a record that was never written: {key} {seq}")
        report = verify_store(self.central.store)
        if not report.ok:
            raise Violation(f"a chain at the central does not hold: {report.findings[0]}")
        if report.gone:
            raise Violation(f"{report.gone} records were declared gone, yet none had to be")
        contradicted = [place for place, link in self.timeline.items() if place in stored and stored[place] != link]
        with self.central.store.reading() as connection:
            forks = connection.execute(select(table(Fork))).all()
            ledgers = connection.execute(select(table(Ledger))).all()
        if contradicted and not forks:
            raise Violation(f"two stories under one number and no fork on record: {contradicted[:3]}")
        if aside and not self.rewritten:
            raise Violation("records set aside although the kiosk told one story only")
        for row in ledgers:
            key = (row.incarnation, Stream(row.stream))
            # A chain that a restored journal never had has nothing to send, and nobody asks the central about it.
            if key in self.journal.positions() and self.state.acked(*key).seq > row.hi:
                raise Violation(f"the kiosk believes {self.state.acked(*key).seq} of {key}, stored is {row.hi}")


@dataclass(frozen=True, slots=True)
class _Base:
    seq: int = 0


_NONE = _Base()


def run_seed(seed: int) -> World:
    """One schedule; a Violation names the seed."""
    world = World(seed)
    try:
        with capture_logs():
            world.run()
    except Violation as violation:
        raise Violation(f"seed {seed}: {violation}") from None
    return world
