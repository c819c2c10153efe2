"""What one sender has done since it started, in numbers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Counters:
    """What this process has done since it started."""

    batches: int = 0
    records_acked: int = 0
    heartbeats: int = 0
    failures: int = 0
    bytes_sent: int = 0
