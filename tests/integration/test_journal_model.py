"""The journal against a model of a few lines: whatever is done in whatever order, both hold the same."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from kiosk.database import Failure
from kiosk.journal import Acknowledged, Entry, Journal, JournalError, JournalReader, verify
from kiosk.records import Kind, PayloadClass, Record, Stream
from tests.fakes import FakeClock
from tests.faulty_database import FaultPlan
from tests.integration.journal_cases import KIOSK, all_records

STREAMS = st.sampled_from(list(Stream))
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abé😀", max_size=4), inner, max_size=3),
    max_leaves=6,
)
PAYLOADS = st.dictionaries(
    st.sampled_from(list(PayloadClass)), st.dictionaries(st.text("xyz", max_size=3), VALUES, max_size=3), max_size=3
)


class JournalModel(RuleBasedStateMachine):
    """``chains`` is the model: for each stream of each incarnation, the records from the base on."""

    def __init__(self) -> None:
        super().__init__()
        memory = Path("/dev/shm")
        self.folder = Path(tempfile.mkdtemp(prefix="gatepost-model-", dir=memory if memory.is_dir() else None))
        self.clock = FakeClock()
        self.plan = FaultPlan()
        self.kiosk = KIOSK
        self.chains: dict[tuple[str, Stream], list[Record]] = {}
        self.purged: dict[tuple[str, Stream], int] = {}
        self.horizon_us: dict[PayloadClass, int] = {}

    @initialize()
    def first_start(self) -> None:
        """The first start of a kiosk."""
        self._open()

    def _open(self) -> None:
        self.journal = Journal.open(
            self.folder / "journal.db", kiosk_id=self.kiosk, clock=self.clock, open_database=self.plan.open
        )
        # What a start itself writes (genesis, boot) is taken over from the file, then held like everything else.
        for key, records in all_records(self.journal.path).items():
            mine = self.chains.setdefault(key, [])
            known = self.purged.get(key, 0) + len(mine)
            fresh = [record for record in records if record.seq > known]
            assert all(record.kind in (Kind.GENESIS, Kind.BOOT) for record in fresh)
            mine += fresh

    @rule(stream=STREAMS, payloads=PAYLOADS, seconds=st.integers(0, 100_000))
    def append(self, stream: Stream, payloads: dict[PayloadClass, dict[str, object]], seconds: int) -> None:
        """One record."""
        at = self.clock.advance(seconds)
        record = self.journal.append(stream, Kind.DEVICE, at=at, lane="in-1", ref="r", payloads=payloads)
        self.chains[self.journal.incarnation, stream].append(record)

    @rule(streams=st.lists(STREAMS, max_size=5))
    def append_many(self, streams: list[Stream]) -> None:
        """Several in one transaction."""
        at = self.clock.advance(1)
        payloads = {PayloadClass.FACTS: {"n": len(streams)}, PayloadClass.HEALTH: {}}
        entries = [Entry(stream=stream, kind=Kind.DEVICE, at=at, payloads=payloads) for stream in streams]
        for record in self.journal.append_many(entries):
            self.chains[self.journal.incarnation, record.stream].append(record)

    @rule(stream=STREAMS, call=st.integers(1, 8), failure=st.sampled_from([Failure.FULL, Failure.INPUT_OUTPUT]))
    def append_with_a_fault(self, stream: Stream, call: int, failure: Failure) -> None:
        """A fault at any call before the commit took effect: nothing is written, or (with luck) everything."""
        self.plan.calls, self.plan.fail_at, self.plan.failure = 0, call, failure
        try:
            record = self.journal.append(
                stream, Kind.DEVICE, at=self.clock.advance(1), payloads={PayloadClass.FACTS: {}}
            )
        except JournalError:
            return
        finally:
            self.plan.fail_at = 0
        self.chains[self.journal.incarnation, stream].append(record)

    @rule(stream=STREAMS, share=st.floats(0, 1), held_s=st.integers(0, 200_000), retention_s=st.integers(0, 200_000))
    def purge(self, stream: Stream, share: float, held_s: int, retention_s: int) -> None:
        """An acknowledgement somewhere in a chain, of some age."""
        key = (self.journal.incarnation, stream)
        records = self.chains[key]
        if not records:
            return
        record = records[int(share * (len(records) - 1))]
        digest = self._hashes(key)[record.seq]
        mark = Acknowledged(*key, record.seq, digest, self.clock.at_us - held_s * 1_000_000)
        self.journal.purge([mark], now=self.clock.now(), retention_us=retention_s * 1_000_000)
        if held_s >= retention_s:
            self.chains[key] = [r for r in records if r.seq > record.seq]
            self.purged[key] = record.seq

    def _hashes(self, key: tuple[str, Stream]) -> dict[int, bytes]:
        reader = JournalReader(self.journal.path)
        digest = reader.bases()[key].hash
        reader.close()
        hashes = {}
        for record in self.chains[key]:
            digest = record.hash(digest)
            hashes[record.seq] = digest
        return hashes

    @rule(cls=st.sampled_from(list(PayloadClass)), age_s=st.integers(0, 300_000))
    def erase(self, cls: PayloadClass, age_s: int) -> None:
        """Payloads of a class before some time."""
        before_us = self.clock.at_us - age_s * 1_000_000
        self.journal.erase(cls, before_us)
        for records in self.chains.values():
            for index, record in enumerate(records):
                if cls in record.payloads and record.at_us < before_us:
                    wire = record.to_wire()
                    wire["payloads"][str(cls)] = {"digest": record.payloads[cls].digest.hex()}
                    records[index] = Record.from_wire(wire)

    @rule()
    def restart(self) -> None:
        """The program ends and starts again."""
        self.journal.close()
        self.clock.reboot()
        self._open()

    @precondition(lambda self: len({incarnation for incarnation, _ in self.chains}) < 4)
    @rule(name=st.sampled_from(["gate-1", "gate-2"]))
    def another_kiosk(self, name: str) -> None:
        """The card image is put into another kiosk."""
        self.journal.close()
        self.kiosk = name
        self._open()

    @invariant()
    def both_hold_the_same(self) -> None:
        """Every record with every payload, in order, and every chain verifies."""
        if not hasattr(self, "journal"):
            return
        assert all_records(self.journal.path) == self.chains
        report = verify(self.journal.path)
        assert report.ok, report.bad
        for stream, head in self.journal.heads().items():
            key = (self.journal.incarnation, stream)
            assert head.seq == self.purged.get(key, 0) + len(self.chains[key])

    def teardown(self) -> None:
        """Nothing stays behind."""
        if hasattr(self, "journal"):
            self.journal.close()
        shutil.rmtree(self.folder)


JournalModel.TestCase.settings = settings(
    max_examples=15, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
)
TestJournalModel = JournalModel.TestCase


@pytest.mark.campaign
class TestJournalModelLong(JournalModel.TestCase):  # type: ignore[misc, name-defined]
    """The same, for long."""

    settings = settings(JournalModel.TestCase.settings, max_examples=1000, stateful_step_count=60)
