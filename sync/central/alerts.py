"""Alerts: what a person at the central should look at. One open row for each code and kiosk, counted, not repeated."""

from __future__ import annotations

from sqlalchemy import Connection, insert, update

from sync.central.tables import Alert, table

alerts = table(Alert)
MAX_DETAIL_CHARS = 200


def raise_alert(connection: Connection, now_us: int, code: str, kiosk_id: str, detail: str, *, times: int = 1) -> None:
    """Open an alert, or count ``times`` more for the one that is open already; an empty ``detail`` leaves its own."""
    # An alert that is opened was there once, however it is counted.
    newer = {"detail": detail[:MAX_DETAIL_CHARS]} if detail else {}
    counted = connection.execute(
        update(alerts)
        .where(alerts.c.code == code, alerts.c.kiosk_id == kiosk_id, alerts.c.closed_us.is_(None))
        .values(times=alerts.c.times + times, last_us=now_us, **newer)
    )
    if counted.rowcount == 0:
        connection.execute(
            insert(alerts).values(
                at_us=now_us,
                code=code,
                kiosk_id=kiosk_id,
                detail=detail[:MAX_DETAIL_CHARS],
                times=max(1, times),
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
    )
    return closed.rowcount > 0


def settle_alert(connection: Connection, now_us: int, code: str, kiosk_id: str, name: str) -> None:
    """What it asked for was done by ``name``: an open alert of this code and kiosk is closed with it."""
    connection.execute(
        update(alerts)
        .where(alerts.c.code == code, alerts.c.kiosk_id == kiosk_id, alerts.c.closed_us.is_(None))
        .values(closed_us=now_us, closed_by=name)
    )
