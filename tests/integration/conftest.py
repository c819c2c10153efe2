"""Fixtures of the tests that use files and processes."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from sync.central.store import Store
from tests.fakes import FakeClock
from tests.integration import postgres_server
from tests.integration.postgres_server import PostgresServer
from tests.sync_kit import KIOSK, MemoryCentral


@pytest.fixture
def memory_folder(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory where there is one: for tests about a file's content, not about the disk's pace."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=memory, prefix="gatepost-test-") as name:
        yield Path(name)


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL of the test module's own; skips with the reason where there is none."""
    with postgres_server.running() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def central_database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of either kind, as ``Store`` takes it."""
    if request.param == "sqlite":
        return str(tmp_path / "central.db")
    server: PostgresServer = request.getfixturevalue("postgres")
    return server.new_database()


@pytest.fixture
def clock() -> FakeClock:
    """A clock that stands still until it is told to move."""
    return FakeClock()


@pytest.fixture
def central(clock: FakeClock, central_database: str) -> Iterator[MemoryCentral]:
    """The central's ingest over each kind of database, with one kiosk admitted."""
    store = Store(central_database)
    central = MemoryCentral(clock.now, store=store)
    central.admit(KIOSK)
    yield central
    store.close()
