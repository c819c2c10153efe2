"""The sync log: one line for every batch that was signed by its kiosk, whatever became of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, insert

from sync import keys
from sync.answer import Result
from sync.central.chains import key_of
from sync.central.checks import CheckedBatch
from sync.central.tables import Batch, table

batches = table(Batch)
_INSERT_BATCHES = insert(batches).returning(batches.c.batch_id, sort_by_parameter_order=True)


def write_lines(connection: Connection, lines: Sequence[dict[str, Any]]) -> list[int]:
    """Write lines made by ``line_of``; their ``batch_id``, in order."""
    return [int(batch_id) for batch_id in connection.execute(_INSERT_BATCHES, list(lines)).scalars()]


def line_of(batch: CheckedBatch, result: Result, now_us: int, *, fresh: int, rejected: int) -> dict[str, Any]:
    """The line of a batch of which ``fresh`` records are new, ``rejected`` of them outside the contract."""
    header, parsed = batch.parsed.header, batch.parsed
    return {
        **key_of(header),
        "first_seq": header.first,
        "last_seq": header.last,
        "count": len(parsed.records),
        "stored": fresh - rejected,
        "duplicates": len(parsed.records) - fresh if result not in (Result.GAP, Result.FORK) else 0,
        "rejected": rejected,
        "compressed_bytes": parsed.compressed_bytes,
        "body_bytes": parsed.body_bytes,
        "received_us": now_us,
        "lag_us": _lag_us(batch, now_us),
        "result": str(result),
        "detail": "",
        "digest": parsed.digest,
        "signature": batch.signed.signature,
        "last_head": header.last_head,
        "head_signature": batch.signed.head_signature,
        "fingerprint": keys.fingerprint(batch.public_key),
    }


def _lag_us(batch: CheckedBatch, now_us: int) -> int:
    """How old the batch's oldest record was when it left: by the kiosk's monotonic clock where both are of one boot,
    since its wall clock may be wrong, else by the wall clocks."""
    header = batch.parsed.header
    oldest = next((item.record for item in batch.parsed.records if item.record is not None), None)
    if oldest is None:
        return 0
    if oldest.boot_id == header.boot_id:
        return max(0, header.mono_ns - oldest.mono_ns) // 1000
    return max(0, now_us - oldest.at_us)
