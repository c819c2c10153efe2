"""Raises an alert for a kiosk that goes by old documents: a card that was revoked may still open its gate."""

from __future__ import annotations

from sqlalchemy import Connection, select

from sync.central.alerts import keep_alert, settle_alert
from sync.central.held_documents import look_at_documents
from sync.central.tables import Alert, table

alerts = table(Alert)

OLD = "documents_old"
OLD_US = 3600 * 1_000_000
"""A connected kiosk takes a document within seconds. One that has not after an hour cannot, or is not connected."""


def watch_documents(connection: Connection, now_us: int) -> None:
    """Open an alert for an approved kiosk that has not taken for an hour what it is offered; close it when it has.

    What somebody closed stays closed until the kiosk was current in between, or something newer was published.
    """
    for kiosk in look_at_documents(connection).kiosks:
        late = [each for each in kiosk.documents if each.behind_since_us is not None]
        old = [each for each in late if each.behind_since_us is not None and now_us - each.behind_since_us > OLD_US]
        if not late:
            settle_alert(connection, now_us, OLD, kiosk.kiosk_id, "documents taken")
        elif old and not _was_dealt_with(connection, kiosk.kiosk_id, max(each.behind_since_us or 0 for each in old)):
            detail = ", ".join(f"{each.kind} {each.held or '–'} < {each.offered}" for each in old)
            keep_alert(connection, now_us, OLD, kiosk.kiosk_id, detail)


def _was_dealt_with(connection: Connection, kiosk_id: str, since_us: int) -> bool:
    closed = select(alerts.c.alert_id).where(
        alerts.c.code == OLD, alerts.c.kiosk_id == kiosk_id, alerts.c.at_us > since_us, alerts.c.closed_us.is_not(None)
    )
    return connection.execute(closed.limit(1)).first() is not None
