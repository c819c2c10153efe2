"""Parts that a start has to do without: their file is missing or cannot be used, and the gate opens all the same.

A lost certificate, list of guards or store must not keep ambulances before a shut barrier. What is left out fails
closed (no tablet, nobody logs in, no card is known) and is told at the console, in the log and to the central.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import structlog

from config.errors import ConfigError
from kiosk.damaged_stores import Damaged
from kiosk.gate_inbox import Note
from kiosk.passage_record import facts_only
from kiosk.records import Kind, Stream
from kiosk.signed_document import DocumentError

TABLETS = "tablets_not_served"
GUARDS = "guards_not_read"
UNTAKEN = "documents_not_taken"
DAMAGED = "store_damaged"

MAX_WHY = 400

log = structlog.get_logger("gatepost")


class LeftOut:
    """``note`` writes a record, ``damaged`` stores were begun anew. ``alarms`` stand until the next start."""

    def __init__(self, note: Callable[[Note], None], damaged: Iterable[Damaged] = ()) -> None:
        self._note = note
        self.alarms: tuple[str, ...] = ()
        for store in damaged:
            self.without(DAMAGED, str(store))

    @contextmanager
    def unless_usable(self, code: str) -> Iterator[None]:
        """Go on behind the block when it raises ConfigError or DocumentError, with ``code`` as the alarm.

        What may pass by itself, such as a store that is busy, goes up: the start is tried again.
        """
        try:
            yield
        except (ConfigError, DocumentError) as error:
            self.without(code, str(error))

    def without(self, code: str, why: str) -> None:
        """Something is left out, or begun anew without what it held."""
        self.alarms = tuple(dict.fromkeys((*self.alarms, code)))
        log.error(code, why=why)
        self._note(Note(Stream.ALARM, Kind.ALARM, facts_only(code=code, detail=why[:MAX_WHY])))
