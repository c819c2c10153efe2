"""The batch: what is packed comes out again, and nothing else passes for it."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kiosk.records import Kind, Payload, PayloadClass, Record, RecordError, Stream, canonical
from sync.batch import MAX_COMPRESSED_BYTES, build, canonical_document
from sync.batch_parse import _look_closer, _scan, link_hash, parse
from sync.batch_scan import scan_record
from sync.canonical_json import MAX_BODY_BYTES
from sync.compression import ENCODINGS, compress, decompress
from sync.errors import WireError
from tests.sync_kit import ChainJournal, header_of, make_record

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
bodies = st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=8), values, max_size=4)


def passages(count: int, **fields: Any) -> ChainJournal:
    journal = ChainJournal()
    for _ in range(count):
        journal.append(Stream.PASSAGE, **fields)
    return journal


def whole(journal: ChainJournal) -> Any:
    return journal.slice(journal.incarnation, Stream.PASSAGE, 0, max_records=500, max_bytes=2**30)


@settings(max_examples=60, deadline=None)
@given(st.lists(bodies, min_size=1, max_size=6), st.sampled_from(ENCODINGS), st.integers(0, 5))
def test_a_batch_comes_out_as_it_went_in(facts: list[dict[str, Any]], encoding: str, erase: int) -> None:
    """Any records, erased payloads among them, are the same after packing and parsing, with their links."""
    journal = ChainJournal()
    for body in facts:
        journal.append(Stream.PASSAGE, facts=body)
    part = whole(journal)
    records = [
        record
        if index != erase
        else Record(
            **{name: getattr(record, name) for name in Record.__slots__ if name != "payloads"},
            payloads={cls: Payload(digest=payload.digest) for cls, payload in record.payloads.items()},
        )
        for index, record in enumerate(part.records)
    ]
    header = header_of(part)
    parsed = parse(compress(build(header, records), encoding), encoding)
    assert parsed.header == header
    assert [item.record for item in parsed.records] == records
    assert parsed.records[-1].hash == part.last_head
    assert parsed.unproven_from is None


def test_any_changed_byte_of_the_records_is_refused() -> None:
    """Without the key nobody can change a record: each of its bytes, altered, breaks form or chain."""
    part = whole(passages(2))
    body = build(header_of(part), part.records)
    start = body.index(b'"records":[')
    passed = []
    for index in range(start, len(body)):
        changed = body[:index] + bytes([body[index] ^ 0x01]) + body[index + 1 :]
        try:
            parsed = parse(compress(changed, "zstd"), "zstd")
        except WireError:
            continue
        if all(item.record is not None for item in parsed.records):
            passed.append((index, changed[index - 20 : index + 20]))
    assert passed == []


@pytest.mark.parametrize("order", [(1, 3), (1, 3, 2), (1, 2, 2, 3), (2, 3)])
def test_dropping_reordering_and_repeating_records_is_refused(order: tuple[int, ...]) -> None:
    """The chain between the two heads admits exactly the records that were written, in their order."""
    part = whole(passages(3))
    by_seq = {record.seq: record.to_wire() for record in part.records}
    body = canonical_document(header_of(part).to_wire(), [by_seq[seq] for seq in order])
    try:
        parsed = parse(compress(body, "zstd"), "zstd")
    except WireError:
        return
    assert any(item.record is None for item in parsed.records)


def test_the_sender_refuses_to_build_what_does_not_chain() -> None:
    """A record that does not belong is found before anything is signed."""
    part = whole(passages(3))
    with pytest.raises(WireError, match="seq 2"):
        build(header_of(part), [part.records[0], part.records[2], part.records[1]])
    with pytest.raises(WireError, match="chain"):
        build(header_of(part, last_head=bytes(32)), part.records)


def test_a_record_outside_the_contract_does_not_spoil_the_others() -> None:
    """A kind that this central does not know yet keeps its link, so what follows is still proved."""
    part = whole(passages(3))
    wires = [record.to_wire() for record in part.records]
    wires[1]["header"]["kind"] = "from_the_future"
    header, prev = header_of(part), part.prev_head
    for wire in wires:
        prev = link_hash(prev, wire)
    header = header_of(part, last_head=prev)
    parsed = parse(compress(canonical_document(header.to_wire(), wires), "zstd"), "zstd")
    assert [item.record is None for item in parsed.records] == [False, True, False]
    assert "from_the_future" in parsed.records[1].refusal
    assert parsed.unproven_from is None


def test_a_record_without_a_link_leaves_the_rest_unproven() -> None:
    """When not even a hash can be made of a record, what follows is marked, not believed."""
    part = whole(passages(3))
    wires: list[Any] = [record.to_wire() for record in part.records]
    wires[1] = {"header": 7}
    parsed = parse(compress(canonical_document(header_of(part).to_wire(), wires), "zstd"), "zstd")
    assert parsed.unproven_from == 2
    assert [item.record is not None for item in parsed.records] == [True, False, False]


def test_size_caps_hold_before_anything_is_parsed() -> None:
    """Both caps answer 413, which makes the kiosk halve its batch."""
    with pytest.raises(WireError) as caught:
        parse(bytes(MAX_COMPRESSED_BYTES + 1), "zstd")
    assert caught.value.status == 413
    with pytest.raises(WireError) as caught:
        decompress(compress(bytes(MAX_BODY_BYTES + 1), "gzip"), "gzip")
    assert caught.value.status == 413


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=400), st.sampled_from([*ENCODINGS, "", "br"]))
def test_random_bytes_are_refused_in_order(body: bytes, encoding: str) -> None:
    """Nothing but WireError comes out, whatever goes in."""
    with pytest.raises(WireError):
        parse(body, encoding)


@settings(max_examples=40, deadline=None)
@given(
    st.recursive(
        values, lambda inner: st.fixed_dictionaries({"header": inner, "records": st.lists(inner), "v": st.just(1)})
    )
)
def test_random_documents_are_refused_in_order(document: Any) -> None:
    """Canonical JSON of another shape is refused by its fields, never by an accident."""
    try:
        body = canonical(document)
    except ValueError:
        return
    with pytest.raises(WireError):
        parse(compress(body, "zstd"), "zstd")


def test_wire_size_of_an_ordinary_batch() -> None:
    """The bytes of a passage on the wire are bounded, so that a year of them can be planned for."""
    part = whole(passages(500))
    packed = compress(build(header_of(part), part.records), "zstd")
    assert len(packed) / 500 < 100
    assert json.loads(decompress(packed, "zstd"))["header"]["last"] == 500


def test_identity_of_another_kiosk_is_set_aside() -> None:
    """A record that names another kiosk is not taken under this one's signature."""
    stranger = make_record(1, kiosk_id="gate-west", kind=Kind.PASSAGE)
    header = header_of(whole(passages(1)), last_head=stranger.hash(bytes(32)))
    body = canonical_document(header.to_wire(), [stranger.to_wire()])
    parsed = parse(compress(body, "zstd"), "zstd")
    assert parsed.records[0].record is None
    assert "gate-west" in parsed.records[0].refusal
    assert PayloadClass.FACTS in stranger.payloads


ODD: list[Any] = [
    None,
    True,
    0,
    -1,
    2**53,
    "",
    "x",
    "é",
    [],
    {},
    {"a": 1},
    "00" * 16,
    "AB" * 16,
    ["facts"],
    {"digest": "00"},
]


def both(body: bytes) -> tuple[Any, Any]:
    """What the quick look and the closer look say of a body: what is in it, or the refusal."""

    def said(look: Any) -> Any:
        try:
            return look(body)
        except WireError as error:
            return error.status

    return said(_scan), said(_look_closer)


@settings(max_examples=300, deadline=None)
@given(st.data(), bodies)
def test_the_quick_look_at_a_record_agrees_with_the_contract(data: st.DataObject, body: dict[str, Any]) -> None:
    """What is taken at first sight is exactly what the closer look takes: records, links, texts and refusals."""
    part = whole(passages(2, facts=body))
    header, wires = header_of(part), [record.to_wire() for record in part.records]
    place: Any = wires[0]
    for _ in range(data.draw(st.integers(0, 3))):
        if not isinstance(place, dict) or not place:
            break
        key = data.draw(st.sampled_from(sorted(place)))
        if data.draw(st.booleans()):
            change = data.draw(st.sampled_from(["drop", "odd", "extra"]))
            if change == "drop":
                del place[key]
                break
            if change == "odd":
                place[key] = deepcopy(data.draw(st.sampled_from(ODD)))
            else:
                place["extra"] = deepcopy(data.draw(st.sampled_from(ODD)))
        place = place[key]
    try:
        last_head = link_hash(link_hash(bytes(32), wires[0]), wires[1])
    except RecordError:
        last_head = header.last_head
    written = json.dumps(
        {"header": {**header.to_wire(), "last_head": last_head.hex()}, "records": wires, "v": 1},
        ensure_ascii=False,
        separators=(",", ":"),
        sort_keys=True,
    )
    quick, closer = both(written.encode())
    assert quick in (None, closer)


@settings(max_examples=500, deadline=None)
@given(st.data())
def test_the_quick_look_takes_no_byte_that_the_closer_look_refuses(data: st.DataObject) -> None:
    """A byte changed, put in, taken out or doubled anywhere: refused by both, or the same to both."""
    part = whole(passages(2, facts={"n": -12, "text": "东门", "list": [1, {"x": None}], "on": True}))
    body = bytearray(build(header_of(part), part.records))
    at = data.draw(st.integers(0, len(body) - 1))
    change = data.draw(st.sampled_from(["change", "insert", "delete", "swap", "double"]))
    byte = data.draw(st.sampled_from(b' 0123456789-.eE+"\\/{}[]:,tfnaAF\x00\x1f\x7f\xc3\xf0'))
    if change == "change":
        body[at] = byte
    elif change == "insert":
        body.insert(at, byte)
    elif change == "delete":
        del body[at]
    elif change == "swap":
        body[at - 1], body[at] = body[at], body[at - 1]
    else:
        end = min(len(body), at + data.draw(st.integers(1, 60)))
        body[at:at] = body[at:end]
    quick, closer = both(bytes(body))
    assert quick in (None, closer)


def test_every_ordinary_record_is_taken_at_first_sight() -> None:
    """The quick look is worth having only if it takes what gates really send, Chinese place names included."""
    part = whole(passages(3, facts={"place": "东门", "admit": True}))
    quick, closer = both(build(header_of(part), part.records))
    assert quick == closer
    assert [item.raw for item in quick[1]] == [canonical(record.to_wire()).decode() for record in part.records]
    for record in part.records:
        text = canonical(record.to_wire()).decode()
        assert scan_record(
            text,
            0,
            kiosk_id=record.kiosk_id,
            incarnation=record.incarnation,
            stream=record.stream,
            seq=record.seq,
            prev_hash=bytes(32),
        )
