"""Alerts: what a person at the central should look at. One open row for each code and kiosk, counted, not repeated."""

from __future__ import annotations

from sqlalchemy import Connection, func, insert, select, update

from sync.central.audit import note
from sync.central.tables import Alert, table

alerts = table(Alert)
MAX_DETAIL_CHARS = 200


def raise_alert(connection: Connection, now_us: int, code: str, kiosk_id: str, detail: str, *, times: int = 1) -> None:
    """Open an alert, or count ``times`` more for the one that is open already; an empty ``detail`` leaves its own."""
    # From a kiosk's record: what is not printable goes, and PostgreSQL takes no NUL.
    detail = "".join(char if char.isprintable() else " " for char in detail[:MAX_DETAIL_CHARS])
    newer = {"detail": detail} if detail else {}
    count = (
        update(alerts)
        .where(alerts.c.code == code, alerts.c.kiosk_id == kiosk_id, alerts.c.closed_us.is_(None))
        .values(times=alerts.c.times + times, last_us=now_us, **newer)
    )
    if connection.execute(count).rowcount:
        return
    if connection.dialect.name == "postgresql":
        # Two processes that find the same at the same moment open one alert, which is told once: the second waits here.
        connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(f"alert {code} {kiosk_id}", 0))))
        if connection.execute(count).rowcount:
            return
    connection.execute(
        insert(alerts).values(
            at_us=now_us,
            code=code,
            kiosk_id=kiosk_id,
            detail=detail,
            times=max(1, times),  # it was there once, however what lasts is counted
            last_us=now_us,
            closed_by="",
        )
    )


def keep_alert(connection: Connection, now_us: int, code: str, kiosk_id: str, detail: str) -> None:
    """Open an alert about something that lasts, or say of the open one how it stands now: what lasts is not counted."""
    raise_alert(connection, now_us, code, kiosk_id, detail, times=0)


def close_alert(connection: Connection, now_us: int, alert_id: int, name: str) -> bool:
    """Somebody dealt with it; False when there is no such open alert."""
    closed = connection.execute(
        update(alerts)
        .where(alerts.c.alert_id == alert_id, alerts.c.closed_us.is_(None))
        .values(closed_us=now_us, closed_by=name)
        .returning(alerts.c.code, alerts.c.kiosk_id)
    ).first()
    if closed is None:
        return False
    note(connection, now_us, name, "alert_closed", f"{closed.code} {closed.kiosk_id}".strip())
    return True


def settle_alert(connection: Connection, now_us: int, code: str, kiosk_id: str, name: str) -> None:
    """What it asked for was done by ``name``: an open alert of this code and kiosk is closed with it."""
    connection.execute(
        update(alerts)
        .where(alerts.c.code == code, alerts.c.kiosk_id == kiosk_id, alerts.c.closed_us.is_(None))
        .values(closed_us=now_us, closed_by=name)
    )
