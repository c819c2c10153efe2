"""Group commit: whatever arrives while the disk is busy shares the next transaction.

One thread writes. With one request a transaction the disk's flush is the limit; sharing it lets small batches of
many kiosks through at the price of the flush they would have waited for anyway. Jobs of one kind can also share their
statements (``submit_shared``): a hundred rows in one cost little more than ten.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from sync.central.store import Store
from sync.errors import LinkError

MAX_GROUP = 64
MAX_WAITING = 512

Job = Callable[[Connection], Any]
SharedWork = Callable[[Connection, Sequence[Any]], list[Any]]


class Overloaded(Exception):
    """More requests wait than the store can take soon."""


@dataclass(slots=True)
class _Waiting:
    """What was submitted: a job, or one item of a work that takes several at once."""

    future: Future[Any]
    job: Job | None = None
    work: SharedWork | None = None
    item: Any = None

    def run(self, connection: Connection) -> Any:
        """Do it, alone."""
        if self.job is not None:
            return self.job(connection)
        assert self.work is not None  # noqa: S101 - it is one or the other
        (result,) = self.work(connection, [self.item])
        if isinstance(result, Exception):
            raise result
        return result


_Outcome = tuple[_Waiting, Any, BaseException | None]


class Committer:
    """The one writer of a central process. ``submit`` may be called from any thread."""

    def __init__(self, store: Store, *, max_group: int = MAX_GROUP, max_waiting: int = MAX_WAITING) -> None:
        self._store = store
        self._max_group = max_group
        self._queue: queue.Queue[_Waiting | None] = queue.Queue(max_waiting)
        self._thread = threading.Thread(target=self._run, name="committer", daemon=True)
        self._thread.start()
        self.groups = 0
        self.jobs = 0

    def submit(self, job: Job) -> Future[Any]:
        """Run ``job`` inside a transaction; the future has its result once that transaction is durable.

        A job that raises is undone alone (savepoint) and its error comes out of the future. Raises Overloaded
        when too many wait already.
        """
        return self._put(_Waiting(Future(), job=job))

    def submit_shared(self, work: SharedWork, item: Any) -> Future[Any]:
        """As ``submit``, for ``work`` that takes a list of items and gives a result for each, in order.

        Whatever waits for the same ``work`` goes into one call. A result that is an exception is raised from its
        item's future and undoes nothing. If the call itself raises, it is undone and each item is tried alone.
        """
        return self._put(_Waiting(Future(), work=work, item=item))

    def _put(self, waiting: _Waiting) -> Future[Any]:
        try:
            self._queue.put_nowait(waiting)
        except queue.Full:
            raise Overloaded from None
        return waiting.future

    def close(self) -> None:
        """Finish what waits, then stop."""
        self._queue.put(None)
        self._thread.join(timeout=30.0)

    def _run(self) -> None:
        while True:
            group, last = self._next_group()
            # Who asked may be gone already. From here on a future cannot be cancelled under the writer's hands.
            group = [waiting for waiting in group if waiting.future.set_running_or_notify_cancel()]
            if group:
                self._commit(group)
            if last:
                return

    def _next_group(self) -> tuple[list[_Waiting], bool]:
        item = self._queue.get()
        group: list[_Waiting] = []
        while item is not None:
            group.append(item)
            if len(group) == self._max_group:
                return group, False
            try:
                item = self._queue.get_nowait()
            except queue.Empty:
                return group, False
        return group, True

    def _commit(self, group: list[_Waiting]) -> None:
        self.groups += 1
        self.jobs += len(group)
        try:
            outcomes = self._in_one_transaction(group)
        except Exception as error:  # noqa: BLE001 - the top of the writer's thread: it must outlive any one group
            if len(group) > 1:
                # One of them may be to blame: alone, it can spoil nobody else's records.
                for waiting in group:
                    self._commit([waiting])
                return
            # Nothing is durable, so nobody may hear a result: the kiosk sends again.
            group[0].future.set_exception(LinkError("central database", seen=str(error)[:200], expected="a commit"))
            return
        for waiting, result, raised in outcomes:
            if raised is not None:
                waiting.future.set_exception(raised)
            else:
                waiting.future.set_result(result)

    def _in_one_transaction(self, group: list[_Waiting]) -> list[_Outcome]:
        shared: dict[SharedWork, list[_Waiting]] = {}
        for waiting in group:
            if waiting.work is not None:
                shared.setdefault(waiting.work, []).append(waiting)
        with self._store.writing() as connection:
            outcomes = [done for work, those in shared.items() for done in _run_together(connection, work, those)]
            return outcomes + [_run_alone(connection, waiting) for waiting in group if waiting.job is not None]


def _run_together(connection: Connection, work: SharedWork, those: list[_Waiting]) -> list[_Outcome]:
    try:
        with connection.begin_nested():
            results = work(connection, [waiting.item for waiting in those])
    except SQLAlchemyError:
        raise
    except Exception:  # noqa: BLE001 - the top of the writer's thread: one item's bug is that item's answer
        return [_run_alone(connection, waiting) for waiting in those]
    return [
        (waiting, None, result) if isinstance(result, Exception) else (waiting, result, None)
        for waiting, result in zip(those, results, strict=True)
    ]


def _run_alone(connection: Connection, waiting: _Waiting) -> _Outcome:
    try:
        with connection.begin_nested():
            return waiting, waiting.run(connection), None
    except SQLAlchemyError:
        raise
    except Exception as error:  # noqa: BLE001 - the top of the writer's thread: one job's bug is that job's answer
        return waiting, None, error
