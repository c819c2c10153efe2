"""Compares a batch with the chain that is stored: it goes on, overlaps, begins too late, or forks."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection

from sync.answer import Result
from sync.batch_header import BatchHeader
from sync.batch_parse import ParsedBatch
from sync.batch_scan import ParsedRecord
from sync.central.chains import Chain


def continues(chain: Chain, parsed: ParsedBatch) -> bool:
    """Whether a batch is what nearly every batch is: the next records of its chain, each within the contract."""
    header = parsed.header
    return (
        header.first == chain.hi + 1
        and header.prev_head == chain.head
        and all(item.record is not None for item in parsed.records)
    )


def compare(
    connection: Connection, chain: Chain, header: BatchHeader, items: Sequence[ParsedRecord]
) -> tuple[Result | None, int]:
    """GAP or FORK, or None when what is new may be appended; for a fork also the first seq that differs."""
    if header.first > chain.hi + 1:
        if chain.is_set_aside(connection, header.first - 1, header.prev_head):
            return Result.FORK, header.first
        if header.gap_first is not None and header.gap_first <= chain.hi + 1:
            return None, 0
        return Result.GAP, 0
    if header.first == chain.hi + 1:
        if header.prev_head == chain.head:
            return None, 0
        return _fork_or_gap(connection, chain, header, header.first)
    # The batch overlaps what is stored. A hash covers everything before it, so one comparison proves it all.
    common = min(header.last, chain.hi)
    ours = chain.head if common == chain.hi else chain.hash_at(connection, common)
    theirs = items[common - header.first].hash
    if ours is None or theirs is None or ours == theirs:
        return None, 0
    for item in items[: common - header.first + 1]:
        stored = chain.hash_at(connection, item.seq)
        if stored is not None and stored != item.hash:
            return _fork_or_gap(connection, chain, header, item.seq)
    return _fork_or_gap(connection, chain, header, common)


def _fork_or_gap(connection: Connection, chain: Chain, header: BatchHeader, seq: int) -> tuple[Result, int]:
    """A fork is taken aside only where it joins what is known here; else its earlier part is asked for.

    Otherwise a part of it that went elsewhere (to a copy of this store that is gone) would be missed by nobody.
    """
    before = header.first - 1
    if before == 0 or header.gap_first is not None:
        return Result.FORK, seq
    ours = chain.head if before == chain.hi else chain.hash_at(connection, before)
    if ours is None or ours == header.prev_head:
        return Result.FORK, seq
    if chain.is_set_aside(connection, before, header.prev_head):
        return Result.FORK, seq
    return Result.GAP, seq
