"""Raises the alerts that new records of a kiosk ask for (``sync/central/gate_alarms.py`` says which)."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection

from sync.batch_scan import ParsedRecord
from sync.central.alerts import raise_alert
from sync.central.gate_alarms import alerts_of


def tell_of(connection: Connection, kiosk_id: str, items: Sequence[ParsedRecord], now_us: int) -> None:
    """Raise the alerts that new records ask for."""
    for alert in alerts_of(item.record for item in items if item.record is not None):
        raise_alert(connection, now_us, alert.code, kiosk_id, alert.detail, times=alert.times)
