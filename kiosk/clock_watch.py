"""Says when the kiosk's clock became more or less to be trusted, for the journal. Pure."""

from __future__ import annotations

from typing import Any

from kiosk.clock import Instant
from kiosk.reasons import ClockTrust

AT_MOST_EVERY_NS = 60_000_000_000
"""A network that flaps writes one record a minute, and always the last state."""


class ClockWatch:
    """What each instant says beside the one before. The first one is told by the record of the boot."""

    def __init__(self) -> None:
        self._told: ClockTrust | None = None
        self._next_ns = 0

    def changed(self, now: Instant) -> dict[str, Any] | None:
        """The facts of a record ``clock`` (docs/formats.md), or None while nothing has changed since the last one."""
        if self._told is None:
            self._told = now.clock_trust
            return None
        if now.clock_trust is self._told or now.mono_ns < self._next_ns:
            return None
        before, self._told = self._told, now.clock_trust
        self._next_ns = now.mono_ns + AT_MOST_EVERY_NS
        return {"event": "trust_changed", "from": str(before), "to": str(now.clock_trust)}
