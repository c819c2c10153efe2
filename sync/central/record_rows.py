"""Writes the records of many batches into their tables: records, payloads, and the passages derived from them.

Rows go to the driver as tuples: for each row SQLAlchemy would build a dictionary of bound parameters first, which costs
about as much as storing the row.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain
from operator import itemgetter
from typing import Any

from sqlalchemy import Connection, Table, bindparam, update

from sync.batch_scan import ParsedRecord
from sync.central.passages import later_change, passage_row
from sync.central.tables import Counter, Passage, StoredPayload, StoredRecord, table

records, payloads, passages, counters = table(StoredRecord), table(StoredPayload), table(Passage), table(Counter)

_NUMBER_RECORDS = (
    update(counters)
    .where(counters.c.name == "receive_id")
    .values(value=counters.c.value + bindparam("b_count"))
    .returning(counters.c.value)
)
_CHANGE_PASSED, _CHANGE_OVERRIDDEN = (
    update(passages)
    .where(passages.c.kiosk_id == bindparam("b_kiosk_id"), passages.c.ref == bindparam("b_ref"))
    .values({name: bindparam("b_value")})
    for name in ("passed", "overridden")
)
_PASSAGE_COLUMNS = tuple(column.name for column in passages.columns if column.name not in ("receive_id", "received_us"))
_passage_values = itemgetter(*_PASSAGE_COLUMNS)


SQLITE_ROWS_A_STATEMENT = (256, 128, 64, 32, 16, 8, 4, 2, 1)
"""Python's driver gives the interpreter's lock away and takes it back for every statement that SQLite runs, and waits
for it each time while requests are being read. These sizes only, so that each statement is prepared once."""


@dataclass(frozen=True, slots=True)
class _Insert:
    """INSERT of whole rows, their values in the order of ``columns``."""

    target: Table
    columns: tuple[str, ...]

    def run(self, connection: Connection, rows: list[tuple[Any, ...]]) -> None:
        """Insert ``rows``; values are what the driver takes."""
        if connection.dialect.name != "sqlite":
            if rows:
                connection.exec_driver_sql(_insert_sql(self.target.name, self.columns, "%s", 1), rows)
            return
        at = 0
        for size in SQLITE_ROWS_A_STATEMENT:
            sql = _insert_sql(self.target.name, self.columns, "?", size)
            while len(rows) - at >= size:
                connection.exec_driver_sql(sql, tuple(chain.from_iterable(rows[at : at + size])))
                at += size


@cache
def _insert_sql(target: str, columns: tuple[str, ...], mark: str, rows: int) -> str:
    # Table and columns are the model's own names, never a text from outside.
    row = f"({', '.join([mark] * len(columns))})"
    return f"INSERT INTO {target} ({', '.join(columns)}) VALUES {', '.join([row] * rows)}"  # noqa: S608


_INSERT_RECORDS = _Insert(records, tuple(column.name for column in records.columns))
_INSERT_PAYLOADS = _Insert(payloads, tuple(column.name for column in payloads.columns))
_INSERT_PASSAGES = _Insert(passages, ("receive_id", "received_us", *_PASSAGE_COLUMNS))


def write_records(
    connection: Connection, batches: Iterable[tuple[int, Sequence[ParsedRecord]]], received_us: int
) -> None:
    """Number and store sound records, in the order given; each batch is its ``batch_id`` and what is new of it."""
    items = [(batch_id, item) for batch_id, part in batches for item in part]
    if not items:
        return
    last_id = connection.execute(_NUMBER_RECORDS, {"b_count": len(items)}).scalar_one()
    record_rows: list[tuple[Any, ...]] = []
    payload_rows: list[tuple[Any, ...]] = []
    passage_rows: list[tuple[Any, ...]] = []
    changes: dict[str, list[dict[str, str]]] = {"passed": [], "overridden": []}
    for receive_id, (batch_id, item) in enumerate(items, start=last_id - len(items) + 1):
        record = item.record
        assert record is not None  # noqa: S101 - the caller sends sound records only
        classes = sorted(record.payloads)
        record_rows.append(
            (
                receive_id,
                record.kiosk_id,
                record.incarnation,
                str(record.stream),
                record.seq,
                str(record.kind),
                record.at_us,
                record.clock_trust,
                record.boot_id,
                record.mono_ns,
                record.lane,
                record.ref,
                " ".join(classes),
                item.hash,
                batch_id,
                received_us,
            )
        )
        for cls in classes:
            payload = record.payloads[cls]
            payload_rows.append((receive_id, str(cls), payload.digest, payload.salt, item.bodies.get(cls)))
        row = passage_row(record)
        if row is not None:
            passage_rows.append((receive_id, received_us, *_passage_values(row)))
        change = later_change(record)
        if change is not None and record.ref:
            column, value = change
            changes[column].append({"b_kiosk_id": record.kiosk_id, "b_ref": record.ref, "b_value": value})
    _INSERT_RECORDS.run(connection, record_rows)
    _INSERT_PAYLOADS.run(connection, payload_rows)
    _INSERT_PASSAGES.run(connection, passage_rows)
    for column, rows in changes.items():
        if rows:
            connection.execute(_CHANGE_PASSED if column == "passed" else _CHANGE_OVERRIDDEN, rows)
