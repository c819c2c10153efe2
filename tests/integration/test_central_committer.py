"""Group commit: who shares a transaction does not share its neighbour's mistakes."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, insert, select

from sync.central.committer import Committer, Overloaded
from sync.central.store import Store
from sync.central.tables import Meta, table
from sync.errors import LinkError, WireError

meta = table(Meta)


def writes(name: str) -> Any:
    """A job that stores one row and returns its name."""

    def job(connection: Connection) -> str:
        connection.execute(insert(meta).values(name=name, value="1"))
        return name

    return job


def names(store: Store) -> set[str]:
    with store.reading() as connection:
        return set(connection.execute(select(meta.c.name)).scalars())


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "central.db")


def held_back(committer: Committer, jobs: list[Any]) -> list[Future[Any]]:
    """Submit while the writer is busy, so that all of them meet in one group."""
    gate, running = threading.Event(), threading.Event()

    def blocks(_connection: Connection) -> None:
        running.set()
        gate.wait(10)

    first = committer.submit(blocks)
    assert running.wait(10)
    futures = [committer.submit(job) for job in jobs]
    gate.set()
    first.result(10)
    return futures


def test_what_arrives_while_the_disk_is_busy_shares_a_transaction(store: Store) -> None:
    """Ten jobs, two transactions, every result only after its commit."""
    committer = Committer(store)
    futures = held_back(committer, [writes(f"n{number}") for number in range(10)])
    assert [future.result(10) for future in futures] == [f"n{number}" for number in range(10)]
    assert (committer.jobs, committer.groups) == (11, 2)
    assert {f"n{number}" for number in range(10)} <= names(store)
    committer.close()


def test_a_job_that_refuses_is_undone_alone(store: Store) -> None:
    """A refusal (an error of ours) rolls back its own savepoint and nothing else."""

    def refuses(connection: Connection) -> None:
        connection.execute(insert(meta).values(name="half", value="1"))
        raise WireError("kiosk", status=403)

    committer = Committer(store)
    good, bad, also_good = held_back(committer, [writes("a"), refuses, writes("b")])
    assert (good.result(10), also_good.result(10)) == ("a", "b")
    with pytest.raises(WireError):
        bad.result(10)
    assert {"a", "b"} <= names(store)
    assert "half" not in names(store)
    committer.close()


def test_a_job_that_breaks_the_transaction_blocks_nobody_else(store: Store) -> None:
    """A database error in one job: the others are stored all the same, that one hears a failure each time."""
    committer = Committer(store)
    for _ in range(2):
        futures = held_back(committer, [writes("schema_version"), writes(f"c{committer.groups}")])
        with pytest.raises(LinkError):
            futures[0].result(10)
        assert futures[1].result(10).startswith("c")
    committer.close()


def test_items_of_one_work_go_into_one_call(store: Store) -> None:
    """Five items and a job share one transaction and one call; an item's refusal is its own."""
    calls: list[list[str]] = []

    def work(connection: Connection, items: Sequence[str]) -> list[str | WireError]:
        calls.append(list(items))
        connection.execute(insert(meta), [{"name": name, "value": "1"} for name in items])
        return [WireError("kiosk", status=403) if name == "bad" else name for name in items]

    committer = Committer(store)
    gate, running = threading.Event(), threading.Event()

    def blocks(_connection: Connection) -> None:
        running.set()
        gate.wait(10)

    committer.submit(blocks)
    assert running.wait(10)
    futures = [committer.submit_shared(work, name) for name in ("a", "b", "bad", "c")]
    futures.append(committer.submit(writes("job")))
    gate.set()
    assert [future.result(10) for future in (*futures[:2], *futures[3:])] == ["a", "b", "c", "job"]
    with pytest.raises(WireError):
        futures[2].result(10)
    assert calls == [["a", "b", "bad", "c"]]
    assert committer.groups == 2
    committer.close()


@pytest.mark.parametrize("fault", ["bug", "database"])
def test_an_item_that_breaks_the_call_spoils_nobody_elses(store: Store, fault: str) -> None:
    """Whether it is a bug of ours or an error of the database: the others are stored, once, and that one hears it."""

    def work(connection: Connection, items: Sequence[str]) -> list[str]:
        connection.execute(insert(meta), [{"name": name, "value": "1"} for name in items])
        if fault == "bug" and "bad" in items:
            raise ZeroDivisionError
        return list(items)

    committer = Committer(store)
    gate, running = threading.Event(), threading.Event()

    def blocks(_connection: Connection) -> None:
        running.set()
        gate.wait(10)

    committer.submit(blocks)
    assert running.wait(10)
    bad = "bad" if fault == "bug" else "schema_version"
    futures = {name: committer.submit_shared(work, name) for name in ("a", bad, "b")}
    gate.set()
    assert [futures[name].result(10) for name in ("a", "b")] == ["a", "b"]
    with pytest.raises((ZeroDivisionError, LinkError)):
        futures[bad].result(10)
    assert {"a", "b"} <= names(store)
    assert "bad" not in names(store)
    committer.close()


def test_who_gives_up_waiting_does_not_stop_the_writer(store: Store) -> None:
    """A request that was cancelled while it waited is skipped; the writer goes on for everybody else."""
    committer = Committer(store)
    gate, running = threading.Event(), threading.Event()

    def blocks(_connection: Connection) -> None:
        running.set()
        gate.wait(10)

    first = committer.submit(blocks)
    assert running.wait(10)
    gone, stays = committer.submit(writes("gone")), committer.submit(writes("stays"))
    assert gone.cancel()
    assert not first.cancel()
    gate.set()
    assert stays.result(10) == "stays"
    assert committer.submit(writes("after")).result(10) == "after"
    assert "gone" not in names(store)
    committer.close()


def test_the_queue_is_bounded(store: Store) -> None:
    """More waiting than can be stored soon is said at once, not swallowed."""
    committer = Committer(store, max_waiting=2)
    gate, running = threading.Event(), threading.Event()

    def blocks(_connection: Connection) -> None:
        running.set()
        gate.wait(10)

    committer.submit(blocks)
    assert running.wait(10)
    for name in ("x", "y"):
        committer.submit(writes(name))
    with pytest.raises(Overloaded):
        committer.submit(writes("z"))
    gate.set()
    committer.close()
    assert {"x", "y"} <= names(store)
