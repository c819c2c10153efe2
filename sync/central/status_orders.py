"""Yellow and red at the central: a status is ordered for one person, by an authority, until a day, by two admins.

One admin puts the order down, another one approves it; before that it says nothing. It ends by itself, and sooner when
an admin lifts it. From then on the person's phone is given green codes again. The code carries the whole order: number,
issuer, who approved it, its end, and whom to appeal to. Kept are the person's pseudonym and what the code says.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, insert, select, update

from kiosk.credentials.gc1 import MAX_ORDER_TEXT, StatusOrder
from kiosk.evidence import CodeStatus
from sync.central.audit import note
from sync.central.tables import OrderedStatus, table
from sync.errors import WireError

orders = table(OrderedStatus)
ORDERED = (CodeStatus.YELLOW, CodeStatus.RED)
MAX_DAYS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What an admin puts down: ``until_us`` is UTC in microseconds, the texts 1 to 60 printable characters."""

    subject: str
    status: CodeStatus
    number: str
    issuer: str
    appeal: str
    until_us: int


def propose(connection: Connection, now_us: int, wish: Wish, by: str) -> None:
    """Put an order down, to be approved by somebody else. Raises WireError for what no code could carry."""
    if wish.status not in ORDERED:
        raise WireError("status", seen=str(wish.status), expected="yellow or red: green needs no order")
    for name in ("number", "issuer", "appeal"):
        text = getattr(wish, name)
        if not 1 <= len(text) <= MAX_ORDER_TEXT or not text.isprintable():
            raise WireError(f"order's {name}", seen=repr(text[:80]), expected=f"1 to {MAX_ORDER_TEXT} characters")
    if not now_us < wish.until_us <= now_us + MAX_DAYS * 86_400_000_000:
        raise WireError("order's end", expected=f"a day to come, within {MAX_DAYS} days: it can be ordered anew")
    connection.execute(
        insert(orders).values(
            subject=wish.subject,
            status=str(wish.status),
            number=wish.number,
            issuer=wish.issuer,
            appeal=wish.appeal,
            until_us=wish.until_us,
            proposed_by=by,
            proposed_us=now_us,
            approved_by="",
            approved_us=None,
            lifted_by="",
            lifted_us=None,
        )
    )
    note(connection, now_us, by, "status_proposed", f"{wish.number} {wish.subject} {wish.status}")


def approve(connection: Connection, now_us: int, order_id: int, by: str) -> None:
    """Put an order in force. Raises WireError (403) for whoever put it down, (404) for one that is not waiting."""
    row = _waiting(connection, now_us, order_id)
    if by in (row.proposed_by, row.issuer) or by.casefold().strip() == row.issuer.casefold().strip():
        raise WireError("order", status=403, seen="your own", expected="somebody else's word")
    connection.execute(update(orders).where(orders.c.order_id == order_id).values(approved_by=by, approved_us=now_us))
    note(connection, now_us, by, "status_approved", f"{row.number} {row.subject} {row.status}")


def lift(connection: Connection, now_us: int, order_id: int, by: str) -> bool:
    """End an order (or withdraw one that waits) now; False when there is none that has not ended."""
    row = connection.execute(select(orders).where(orders.c.order_id == order_id)).one_or_none()
    if row is None or row.lifted_us is not None or row.until_us <= now_us:
        return False
    connection.execute(update(orders).where(orders.c.order_id == order_id).values(lifted_by=by, lifted_us=now_us))
    note(connection, now_us, by, "status_lifted", f"{row.number} {row.subject} {row.status}")
    return True


def status_of(connection: Connection, subject: str, now_us: int) -> tuple[CodeStatus, StatusOrder | None]:
    """What a person's next code says: green, or the gravest status in force with its order."""
    in_force = select(orders).where(
        orders.c.subject == subject,
        orders.c.approved_us.is_not(None),
        orders.c.lifted_us.is_(None),
        orders.c.until_us >= now_us + 1_000_000,
    )
    rows = connection.execute(in_force.order_by(orders.c.order_id)).all()
    if not rows:
        return CodeStatus.GREEN, None
    gravest = max(rows, key=lambda row: (ORDERED.index(CodeStatus(row.status)), row.until_us))
    return CodeStatus(gravest.status), StatusOrder(
        number=gravest.number,
        issuer=gravest.issuer,
        approver=gravest.approved_by,
        until=datetime.fromtimestamp(gravest.until_us // 1_000_000, tz=UTC),
        appeal=gravest.appeal,
    )


def current(connection: Connection, now_us: int) -> list[Any]:
    """The orders that have not ended, newest first."""
    alive = select(orders).where(orders.c.until_us > now_us, orders.c.lifted_us.is_(None))
    return list(connection.execute(alive.order_by(orders.c.order_id.desc()).limit(500)).all())


def _waiting(connection: Connection, now_us: int, order_id: int) -> Any:
    row = connection.execute(select(orders).where(orders.c.order_id == order_id)).one_or_none()
    if row is None or row.approved_us is not None or row.lifted_us is not None or row.until_us <= now_us:
        raise WireError("order", status=404, seen="none that waits", hint="look at the page again")
    return row
