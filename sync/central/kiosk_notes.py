"""What a kiosk last said of itself: clock, versions held, backlog, alarms."""

from __future__ import annotations

import json
from collections.abc import Iterable

from sqlalchemy import Connection, bindparam, select, update

from sync.batch_header import BatchHeader
from sync.central.alerts import raise_alert
from sync.central.tables import Kiosk, table
from sync.heartbeat import Heartbeat

kiosks = table(Kiosk)
_THIS_KIOSK = kiosks.c.kiosk_id == bindparam("b_kiosk_id")
_NOTE_KIOSK = update(kiosks).where(_THIS_KIOSK)
_HEARD_OF_KIOSK = select(kiosks.c.heartbeat_boot_id, kiosks.c.heartbeat_mono_ns).where(_THIS_KIOSK)
CLOCK_ALARM_US = 30_000_000


def note_headers(connection: Connection, headers: Iterable[BatchHeader], now_us: int) -> None:
    """Note what the headers of batches say of their kiosks, in order."""
    connection.execute(_NOTE_KIOSK, [_of_header(header, now_us) for header in headers])


def _of_header(header: BatchHeader, now_us: int) -> dict[str, str | int]:
    return {
        "b_kiosk_id": header.kiosk_id,
        "last_seen_us": now_us,
        "wall_us": header.wall_us,
        "clock_trust": header.clock_trust,
        "software": header.software,
        "held": json.dumps(header.held, sort_keys=True),
    }


def note_heartbeat(connection: Connection, heartbeat: Heartbeat, now_us: int) -> None:
    """Note what a heartbeat says of its kiosk, unless it was heard before; its alarms become alerts."""
    row = connection.execute(_HEARD_OF_KIOSK, {"b_kiosk_id": heartbeat.kiosk_id}).one()
    if row.heartbeat_boot_id == heartbeat.boot_id and heartbeat.mono_ns <= row.heartbeat_mono_ns:
        return  # repeated by the network or by someone else: already known, and no sign of life
    connection.execute(
        _NOTE_KIOSK,
        {
            "b_kiosk_id": heartbeat.kiosk_id,
            "last_seen_us": now_us,
            "heartbeat_boot_id": heartbeat.boot_id,
            "heartbeat_mono_ns": heartbeat.mono_ns,
            "wall_us": heartbeat.wall_us,
            "clock_trust": heartbeat.clock_trust,
            "offset_us": heartbeat.offset_us,
            "offset_error_us": heartbeat.offset_error_us,
            "backlog": heartbeat.backlog,
            "oldest_us": heartbeat.oldest_us,
            "software": heartbeat.software,
            "held": json.dumps(heartbeat.held, sort_keys=True),
            "alarms": " ".join(heartbeat.alarms),
        },
    )
    if heartbeat.offset_us is not None and abs(heartbeat.offset_us) > CLOCK_ALARM_US:
        detail = f"{heartbeat.offset_us // 1_000_000} s"
        raise_alert(connection, now_us, "clock_offset", heartbeat.kiosk_id, detail)
    for code in heartbeat.alarms:
        raise_alert(connection, now_us, f"kiosk_{code}"[:60], heartbeat.kiosk_id, "")
