"""Characters above U+FFFF in a batch: names such as 𠮷 travel, and only RFC 8785's order of keys is taken.

RFC 8785 (3.2.3) sorts keys by UTF-16 code units, Python by code points; the two differ where a character above U+FFFF
meets one between U+E000 and U+FFFF. The quick look compares with Python's order, so it must leave such a batch alone.
"""

from __future__ import annotations

import json

import pytest

from kiosk.records import Stream
from sync.batch import build
from sync.batch_parse import _look_closer, _scan, parse
from sync.compression import compress
from sync.errors import WireError
from tests.sync_kit import ChainJournal, header_of

FULL_WIDTH, RARE = "\uff21", "\U00020bb7"  # Ａ and 𠮷: by code points in this order, by UTF-16 units in the other


def batch_of(facts: dict[str, str]) -> bytes:
    journal = ChainJournal()
    for _ in range(2):
        journal.append(Stream.PASSAGE, facts=facts)
    part = journal.slice(journal.incarnation, Stream.PASSAGE, 0, max_records=500, max_bytes=2**30)
    return build(header_of(part), part.records)


@pytest.mark.parametrize("facts", [{"name": f"{RARE}野"}, {f"{RARE}": "a", f"{FULL_WIDTH}": "b"}, {RARE: RARE}])
def test_a_batch_with_rare_characters_is_taken_whole(facts: dict[str, str]) -> None:
    """By the closer look, with every record as it was written; the quick one passes."""
    body = batch_of(facts)
    assert _scan(body) is None
    packed = parse(compress(body, "gzip"), "gzip")
    assert [item.record is not None and item.refusal for item in packed.records] == ["", ""]
    assert [json.loads(item.raw)["payloads"]["facts"]["body"] for item in packed.records] == [facts, facts]
    assert packed.unproven_from is None


def test_keys_in_the_order_of_code_points_are_not_canonical() -> None:
    """Another spelling of the same record is another byte string: neither look takes it, also where its hashes fit."""
    body = batch_of({FULL_WIDTH: "b", RARE: "a"}).decode()
    right, wrong = f'{{"{RARE}":"a","{FULL_WIDTH}":"b"}}', f'{{"{FULL_WIDTH}":"b","{RARE}":"a"}}'
    assert body.count(right) == 2
    assert json.dumps(json.loads(right), ensure_ascii=False, separators=(",", ":"), sort_keys=True) == wrong
    other = body.replace(right, wrong).encode()
    assert _scan(other) is None
    with pytest.raises(WireError, match="another form"):
        _look_closer(other)


def test_an_ordinary_batch_is_taken_at_first_sight() -> None:
    """So the tests above look at what makes the difference: the same batch without a rare character."""
    body = batch_of({"name": "吉野", FULL_WIDTH: "b"})
    assert _scan(body) == _look_closer(body)
