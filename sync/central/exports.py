"""Passages out of the central: streamed page by page behind a cursor, as CSV or NDJSON.

The cursor is the ``receive_id``, given out in commit order: a reader that goes on from the last row it has misses
nothing and gets nothing twice, whatever arrives meanwhile. No transaction stays open between pages.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import select

from sync.central.store import Store
from sync.central.tables import Passage, table

passages = table(Passage)

PAGE_ROWS = 1000
COLUMNS = (
    "cursor",
    "kiosk_id",
    "incarnation",
    "seq",
    "passage",
    "at",
    "clock_trust",
    "lane",
    "direction",
    "verdict",
    "reason",
    "reasons",
    "category",
    "place",
    "credential",
    "code_kind",
    "policy_version",
    "checks",
    "credential_to_verdict_ms",
    "passed",
    "overridden",
    "received",
)
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")


def utc_text(at_us: int | None) -> str:
    """``2026-11-21T22:56:02.123456Z``, or "" for None; a time no calendar has is written as its number."""
    if at_us is None:
        return ""
    try:
        moment = datetime.fromtimestamp(0, UTC) + timedelta(microseconds=at_us)
    except OverflowError:
        return f"{at_us} us"
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def export_row(row: Any) -> dict[str, Any]:
    """One passage as it leaves: codes and numbers, no person."""
    return {
        "cursor": row.receive_id,
        "kiosk_id": row.kiosk_id,
        "incarnation": row.incarnation,
        "seq": row.seq,
        "passage": row.ref,
        "at": utc_text(row.at_us),
        "clock_trust": row.clock_trust,
        "lane": row.lane,
        "direction": row.direction,
        "verdict": {True: "admit", False: "deny", None: ""}[row.admit],
        "reason": row.reason,
        "reasons": row.reasons,
        "category": row.category,
        "place": row.place,
        "credential": row.credential,
        "code_kind": row.code_kind,
        "policy_version": row.policy_version,
        "checks": row.checks,
        "credential_to_verdict_ms": row.credential_to_verdict_ms,
        "passed": row.passed,
        "overridden": row.overridden,
        "received": utc_text(row.received_us),
    }


def pages(store: Store, cursor: int, limit: int | None) -> Iterator[list[dict[str, Any]]]:
    """Passages after ``cursor`` in the order in which they were stored, in pages; at most ``limit`` rows."""
    left = limit
    while left is None or left > 0:
        count = PAGE_ROWS if left is None else min(PAGE_ROWS, left)
        with store.reading() as connection:
            found = connection.execute(
                select(passages).where(passages.c.receive_id > cursor).order_by(passages.c.receive_id).limit(count)
            ).all()
        if not found:
            return
        yield [export_row(row) for row in found]
        cursor = found[-1].receive_id
        left = None if left is None else left - len(found)


def csv_safe(value: Any) -> str:
    """A cell that no spreadsheet takes for a formula: what begins like one gets an apostrophe before it.

    Source: OWASP, "CSV Injection".
    """
    if value is None:
        return ""
    text = str(value)
    return f"'{text}" if text.startswith(FORMULA_STARTS) and not isinstance(value, int) else text


def as_csv(found: Iterator[list[dict[str, Any]]]) -> Iterator[bytes]:
    """RFC 4180 with a header line, UTF-8."""
    yield _csv_lines([list(COLUMNS)])
    for page in found:
        yield _csv_lines([[csv_safe(row[name]) for name in COLUMNS] for row in page])


def _csv_lines(rows: list[list[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode("utf-8")


def as_ndjson(found: Iterator[list[dict[str, Any]]]) -> Iterator[bytes]:
    """One JSON object a line, UTF-8."""
    for page in found:
        yield "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in page).encode("utf-8")
