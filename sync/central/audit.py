"""The audit log: who did what at the central, kept half a year."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, insert, select

from sync.central.tables import Audit, table

audit = table(Audit)

PAGE_ROWS = 50
MAX_DETAIL_CHARS = 200
ABOUT_PEOPLE = "status_"
"""So begin actions whose detail says which status was ordered for which pseudonym: for admins alone."""


def note(connection: Connection, now_us: int, name: str, action: str, detail: str) -> None:
    """One line: ``name`` did ``action`` at ``now_us`` (UTC microseconds)."""
    connection.execute(insert(audit).values(at_us=now_us, name=name, action=action, detail=detail[:MAX_DETAIL_CHARS]))


def newest(connection: Connection, *, before: int | None, about_people: bool) -> list[Any]:
    """The newest 50 lines, from below ``before``; what is about people's status only where asked for."""
    statement = select(audit).order_by(audit.c.audit_id.desc()).limit(PAGE_ROWS)
    if before is not None:
        statement = statement.where(audit.c.audit_id < before)
    if not about_people:
        statement = statement.where(audit.c.action.not_like(f"{ABOUT_PEOPLE.replace('_', '/_')}%", escape="/"))
    return list(connection.execute(statement).all())
