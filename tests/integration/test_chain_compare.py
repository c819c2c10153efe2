"""What a batch is to the chain that is stored: goes on, overlaps, begins too late, or forks."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from kiosk.records import Stream
from sync.answer import Result
from sync.batch_header import BatchHeader
from sync.batch_parse import ParsedBatch, parse
from sync.central.chain_compare import compare, continues
from sync.central.chains import chains_of, key_of
from tests.fakes import FakeClock
from tests.sync_kit import KIOSK, ChainJournal, MemoryCentral, batch_of

Sent = Callable[[ChainJournal, ChainJournal], ParsedBatch]


def journal(*, other_from: int = 99) -> ChainJournal:
    """Nine passages; another story from ``other_from`` on."""
    found = ChainJournal()
    for seq in range(1, 10):
        found.append(Stream.PASSAGE, facts={"other": seq} if seq >= other_from else None)
    return found


def part(of: ChainJournal, first: int, last: int, gap_first: int | None = None) -> ParsedBatch:
    request = batch_of(of, Stream.PASSAGE, first, last, gap_first=gap_first)
    return parse(request.body, request.encoding)


CASES: dict[str, tuple[Sent, bool, Result | None, int]] = {
    "the next records": (lambda ours, _: part(ours, 6, 9), True, None, 0),
    "all of it is here": (lambda ours, _: part(ours, 2, 4), False, None, 0),
    "a part of it is here": (lambda ours, _: part(ours, 4, 8), False, None, 0),
    "it begins too late": (lambda ours, _: part(ours, 7, 9), False, Result.GAP, 0),
    "it begins too late, and says why": (lambda ours, _: part(ours, 7, 9, 6), False, None, 0),
    "another story from the fourth on": (lambda _, other: part(other, 3, 7), False, Result.FORK, 4),
    "another story, cut behind where it parted": (lambda _, other: part(other, 6, 9), False, Result.GAP, 6),
}


@pytest.mark.parametrize("case", CASES)
def test_a_batch_is_compared_with_five_stored_records(case: str) -> None:
    """The verdict, and for a fork the first record that differs; only the plain next records are written together."""
    sent, goes_on, verdict, first_different = CASES[case]
    ours, other = journal(), journal(other_from=4)
    central = MemoryCentral(FakeClock().now)
    assert central.exchange(batch_of(ours, Stream.PASSAGE, 1, 5)).status == 200
    parsed = sent(ours, other)
    header: BatchHeader = parsed.header
    with central.store.writing() as connection:
        (chain,) = chains_of(connection, [key_of(header)]).values()
        assert (chain.hi, chain.key["kiosk_id"]) == (5, KIOSK)
        assert continues(chain, parsed) is goes_on
        assert compare(connection, chain, header, parsed.records) == (verdict, first_different)
