"""Parts that a start has to do without: their file is missing or cannot be used, and the gate opens all the same.

A lost certificate or list of guards must not keep residents and ambulances before a shut barrier. What is left out
fails closed (no tablet, nobody logs in) and is told at the console, in the log and to the central.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog

from config.errors import ConfigError
from kiosk.gate_inbox import Note
from kiosk.passage_record import facts_only
from kiosk.records import Kind, Stream

TABLETS = "tablets_not_served"
GUARDS = "guards_not_read"

MAX_WHY = 400

log = structlog.get_logger("gatepost")


class LeftOut:
    """``note`` writes a record. ``alarms`` stand until the next start."""

    def __init__(self, note: Callable[[Note], None]) -> None:
        self._note = note
        self.alarms: tuple[str, ...] = ()

    @contextmanager
    def unless_usable(self, code: str) -> Iterator[None]:
        """Go on behind the block when it raises ConfigError, with ``code`` as the alarm."""
        try:
            yield
        except ConfigError as error:
            self.alarms += (code,)
            log.error(code, why=str(error))
            self._note(Note(Stream.ALARM, Kind.ALARM, facts_only(code=code, detail=str(error)[:MAX_WHY])))
