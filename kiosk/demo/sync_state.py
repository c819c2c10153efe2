"""How far a house's sync is behind its journal."""

from __future__ import annotations

from kiosk.acks import newest, read_acknowledged
from kiosk.demo.house import House
from kiosk.journal import JournalReader


def backlog(house: House) -> int:
    """How many records of all streams sync has no acknowledgement for."""
    acked = newest(read_acknowledged(house.state / "sync.db"))
    reader = JournalReader(house.state / "journal.db")
    try:
        positions = reader.positions()
    finally:
        reader.close()
    return sum(head.seq - (acked[key].seq if key in acked else 0) for key, head in positions.items())
