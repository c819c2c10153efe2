"""Reads from the journal, when the gate starts, what tells where the cards are; ``kiosk/card_watch.py`` knows it then.

Only the running incarnation counts, the last hours (as long as the policy remembers an entry) and 50,000 records, read
from the end: what lies further back could at most be outlived by what came after it. A journal that cannot be read,
that was set aside as damaged or went back leaves everything unknown: the gate starts, and keeps nobody out.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from pathlib import Path

import structlog

from kiosk.card_watch import CardWatch
from kiosk.clock import Instant
from kiosk.journal import JournalReader
from kiosk.journal_reader import TOLD_STEP
from kiosk.journal_types import Head, JournalError, StreamKey
from kiosk.movement_replay import moment_ns
from kiosk.reasons import ClockTrust
from kiosk.records import Kind, Record, Stream

log = structlog.get_logger("gatepost.cards")

MAX_RECORDS = 50_000
NS_PER_MIN = 60 * 1_000_000_000


def recall_movements(watch: CardWatch, journal: Path, incarnation: str, now: Instant, *, inside_min: int) -> int:
    """Let ``watch`` know what the journal tells of the last ``inside_min`` minutes; of how many holders it knows.

    Never raises for the journal.
    """
    began_s = time.monotonic()
    since_ns = now.mono_ns - inside_min * NS_PER_MIN
    reader = JournalReader(journal)
    try:
        alarms, all_read = _lately(reader, (incarnation, Stream.ALARM), (Kind.EMERGENCY, Kind.ALARM), now, since_ns)
        passages, _ = _lately(reader, (incarnation, Stream.PASSAGE), (Kind.PASSAGE, Kind.PASSED), now, since_ns)
        if not all_read:
            log.warning("card_movements_unknown", error="more alarms than are read: an emergency may be among them")
            return 0
        known = watch.recall(passages, alarms, now, since_ns=since_ns)
    except (JournalError, ValueError, TypeError, KeyError) as error:
        log.error("card_movements_unknown", error=str(error)[:200])
        return 0
    finally:
        reader.close()
    log.info("card_movements", holders=known, took_s=round(time.monotonic() - began_s, 2))
    return known


def _lately(
    reader: JournalReader, key: StreamKey, kinds: Collection[Kind], now: Instant, since_ns: int
) -> tuple[list[Record], bool]:
    """The stream's newest records of these kinds in their order; whether they go back to before ``since_ns``."""
    up_to, base = reader.positions().get(key, Head()).seq, reader.bases().get(key, Head()).seq
    end = max(base, up_to - MAX_RECORDS)
    pieces: list[list[Record]] = []
    all_read = end == base
    while up_to > end:
        after = max(end, up_to - TOLD_STEP)
        piece = reader.told(*key, kinds, after_seq=after, up_to_seq=up_to)
        pieces.append(piece)
        up_to = after
        if piece and _is_before(piece[0], now, since_ns):
            all_read = True
            break
    return [record for piece in reversed(pieces) for record in piece], all_read


def _is_before(record: Record, now: Instant, since_ns: int) -> bool:
    at_ns = moment_ns(record, now)
    if at_ns is not None:
        return at_ns < since_ns
    # Another boot's moments mean nothing to a clock that is not trusted, nor do those of the boots before it.
    return now.clock_trust is ClockTrust.NONE and record.boot_id != now.boot_id
