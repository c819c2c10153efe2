"""A database seam that fails on purpose: at the n-th call, before or after the call took effect."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kiosk.database import Database, DatabaseError, Failure, Row, SqliteDatabase


class FaultPlan:
    """Which call fails, and how. ``calls`` counts what was asked of every connection made under the plan.

    ``after`` lets the call take effect first: the fault that a caller cannot tell from a lost one, such as a commit
    that reached the disk whose answer did not.
    """

    def __init__(self, fail_at: int = 0, failure: Failure = Failure.FULL, *, after: bool = False) -> None:
        self.fail_at = fail_at
        self.failure = failure
        self.after = after
        self.calls = 0
        self.failed = 0

    def open(self, path: Path, *, read_only: bool = False) -> Database:
        """An ``OpenDatabase`` whose connections follow the plan."""
        self.about_to("open")
        return FaultyDatabase(SqliteDatabase(path, read_only=read_only), self)

    def about_to(self, what: str) -> bool:
        """Count one call; raise if it is the one, or say that it is to fail afterwards."""
        self.calls += 1
        if self.calls != self.fail_at:
            return False
        self.failed += 1
        if self.after:
            return True
        raise self.error(what)

    def error(self, what: str) -> DatabaseError:
        """The planned error."""
        return DatabaseError("faulty.db", self.failure, seen=f"planned: {what} (call {self.calls})")


class FaultyDatabase:
    """A connection that follows a :class:`FaultPlan`. Closing and rolling back always work, as they do in SQLite."""

    def __init__(self, inner: Database, plan: FaultPlan) -> None:
        self._inner = inner
        self._plan = plan

    def run(self, sql: str, parameters: Sequence[Any] = ()) -> int:
        late = self._plan.about_to(sql)
        count = self._inner.run(sql, parameters)
        return self._late(count, sql, late)

    def run_many(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        late = self._plan.about_to(sql)
        self._inner.run_many(sql, rows)
        self._late(0, sql, late)

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[Row]:
        late = self._plan.about_to(sql)
        found = self._inner.rows(sql, parameters)
        self._late(0, sql, late)
        return found

    def commit(self) -> None:
        late = self._plan.about_to("COMMIT")
        self._inner.commit()
        self._late(0, "COMMIT", late)

    def rollback(self) -> None:
        self._inner.rollback()

    def close(self) -> None:
        self._inner.close()

    def _late(self, value: int, what: str, late: bool) -> int:
        if late:
            raise self._plan.error(what)
        return value
