"""The record contract: one canonical form, digests that survive erasure, a chain that notices every change."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kiosk import records
from kiosk.records import (
    MAX_DEPTH,
    MAX_SAFE_INTEGER,
    ZERO_HASH,
    Kind,
    Payload,
    PayloadClass,
    Record,
    RecordError,
    Stream,
    canonical,
    payload_digest,
)

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-MAX_SAFE_INTEGER, MAX_SAFE_INTEGER) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)
BODIES = st.dictionaries(TEXTS, VALUES, max_size=4)


def record(**changes: Any) -> Record:
    """An ordinary passage."""
    fields: dict[str, Any] = {
        "kiosk_id": "gate-1",
        "incarnation": "ab" * 16,
        "stream": Stream.PASSAGE,
        "seq": 7,
        "kind": Kind.PASSAGE,
        "at_us": 1_795_248_000_000_000,
        "clock_trust": "synced",
        "boot_id": "b",
        "mono_ns": 5,
        "lane": "in-1",
        "ref": "p-7",
        "payloads": {
            PayloadClass.FACTS: Payload.of(bytes(16), {"admit": True}),
            PayloadClass.HEALTH: Payload.of(bytes(range(16)), {"temperature": {"outcome": "normal"}}),
        },
    }
    return Record(**(fields | changes))


def test_keys_are_ordered_by_utf_16_code_units() -> None:
    """The example of RFC 8785, section 3.2.3: an astral key comes before U+FB33, unlike its code point."""
    keys = ["\u20ac", "\r", "\ufb33", "1", "\U0001f600", "\u0080", "\u00f6"]
    expected = ["\r", "1", "\u0080", "\u00f6", "\u20ac", "\U0001f600", "\ufb33"]
    assert list(json.loads(canonical(dict.fromkeys(keys, 0)))) == expected


def test_strings_are_escaped_as_little_as_json_allows() -> None:
    """RFC 8785, section 3.2.2.2: short escapes, lower-case hexadecimal for other controls, the rest as it is."""
    assert canonical('€$\u000f\nA\'B"\\\\"/\b\t\f\r') == '"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/\\b\\t\\f\\r"'.encode()
    assert canonical({"b": [1, True, None], "a": Stream.ALARM}) == b'{"a":"alarm","b":[1,true,null]}'


def nested(depth: int) -> Any:
    """A list in a list in a list …"""
    value: Any = []
    for _ in range(depth - 1):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "path"),
    [
        (36.6, r"\$: float"),
        ({"a": {"b": 0.0}}, r"\$\.a\.b"),
        (MAX_SAFE_INTEGER + 1, r"\$: integer"),
        ([0, -MAX_SAFE_INTEGER - 1], r"\$\[1\]"),
        ({1: "x"}, "not a string"),
        ("\ud800", "surrogate"),
        ({"a": ["\udfff"]}, r"\$.a\[0\]"),
        ({"\ud800": 1}, "surrogate"),
        (b"x", "bytes"),
        ({"a": {1, 2}}, "set"),
        (nested(MAX_DEPTH + 2), "deeper than 16"),
    ],
)
def test_what_has_no_canonical_form_is_refused_by_its_path(value: Any, path: str) -> None:
    """Floats above all: 36.6 has no form that every language writes alike."""
    with pytest.raises(RecordError, match=path):
        canonical(value)


@settings(max_examples=300, deadline=None)
@given(VALUES)
def test_the_quick_way_and_the_careful_way_write_the_same(value: Any) -> None:
    """Whatever json writes directly is what the ordering by UTF-16 units would have written; and it reads back."""
    careful = json.dumps(records._sorted(value), ensure_ascii=False, separators=(",", ":")).encode("utf-8")
    assert canonical(value) == careful
    assert json.loads(careful) == value


@pytest.mark.parametrize("depth", range(1, MAX_DEPTH + 2))
def test_nesting_is_allowed_up_to_its_limit(depth: int) -> None:
    """Both ways of writing agree on where it ends."""
    assert canonical(nested(depth)) == b"[" * depth + b"]" * depth


@settings(max_examples=200, deadline=None)
@given(st.binary(min_size=16, max_size=16), BODIES, st.integers(0, 2**64))
def test_a_record_survives_the_wire(salt: bytes, body: dict[str, Any], mono_ns: int) -> None:
    """From the wire's JSON text the very same record comes back, with the same hash."""
    sent = record(payloads={PayloadClass.PERSON: Payload.of(salt, body)}, mono_ns=mono_ns % MAX_SAFE_INTEGER)
    received = Record.from_wire(json.loads(json.dumps(sent.to_wire())))
    assert received == sent
    assert received.hash(ZERO_HASH) == sent.hash(ZERO_HASH)


def test_an_erased_payload_keeps_the_hash() -> None:
    """Only salt and body go; the digest in the chain stays, also over the wire."""
    whole = record()
    wire = whole.to_wire()
    wire["payloads"]["health"] = {"digest": whole.payloads[PayloadClass.HEALTH].digest.hex()}
    erased = Record.from_wire(wire)
    assert erased.payloads[PayloadClass.HEALTH].erased
    assert erased.hash(ZERO_HASH) == whole.hash(ZERO_HASH)
    assert Record.from_wire(erased.to_wire()) == erased


@pytest.mark.parametrize(
    "change",
    [
        {"kiosk_id": "gate-2"}, {"incarnation": "cd" * 16}, {"stream": Stream.ALARM}, {"seq": 8},
        {"kind": Kind.OVERRIDE}, {"at_us": 1}, {"clock_trust": "none"}, {"boot_id": "c"}, {"mono_ns": 6},
        {"lane": "in-2"}, {"ref": "p-8"}, {"payloads": {}},
        {"payloads": {PayloadClass.FACTS: Payload.of(bytes(16), {"admit": False})}},
    ],
)  # fmt: skip
def test_every_field_is_in_the_hash(change: dict[str, Any]) -> None:
    """Nothing of a record can be changed under its hash, and neither can the record before it."""
    assert record(**change).hash(ZERO_HASH) != record().hash(ZERO_HASH)
    assert record().hash(b"\x01" * 32) != record().hash(ZERO_HASH)


def test_a_digest_without_its_salt_cannot_be_guessed() -> None:
    """The same body under two salts has two digests: a temperature is not found by trying them all."""
    body = {"object_centi_c": 3810}
    assert payload_digest(bytes(16), body) != payload_digest(b"\x01" * 16, body)
    with pytest.raises(RecordError, match="salt of 4 bytes"):
        payload_digest(b"salt", body)


def test_a_changed_body_is_not_sound() -> None:
    """Also when it was changed into something that has no canonical form."""
    good = Payload.of(bytes(16), {"a": 1})
    assert good.sound()
    assert not Payload(digest=good.digest, salt=good.salt, body={"a": 2}).sound()
    assert not Payload(digest=good.digest, salt=good.salt, body={"a": 2.5}).sound()
    assert not Payload(digest=good.digest, salt=good.salt).sound()
    assert Payload(digest=good.digest).sound()


def broken(path: str, value: Any) -> dict[str, Any]:
    """The wire form with one value replaced (``...`` takes it out)."""
    wire = copy.deepcopy(record().to_wire())
    *parents, last = path.split(".")
    target: Any = wire
    for parent in parents:
        target = target[parent]
    if value is ...:
        del target[last]
    else:
        target[last] = value
    return wire


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("header", ...), ("payloads", ...), ("extra", 1), ("header.extra", 1), ("header.seq", ...), ("header.seq", 0),
        ("header.seq", True), ("header.seq", "7"), ("header.seq", 7.0), ("header.v", 2), ("header.v", True),
        ("header.stream", "other"), ("header.kind", "other"), ("header.payloads", ["health", "facts"]),
        ("header.payloads", ["facts"]), ("header.at_us", 2**53), ("header.lane", None), ("header.lane", "\ud800"),
        ("payloads.facts", {}), ("payloads.facts.salt", "00"), ("payloads.facts.salt", "00" * 15 + "0G"),
        ("payloads.facts.salt", 5), ("payloads.facts.body", []), ("payloads.facts.body", {"c": 36.6}),
        ("payloads.facts.extra", 1), ("payloads.health", {"digest": "AB" * 32}), ("payloads.health", {"digest": ""}),
        ("payloads.other", {"digest": "00" * 32}), ("header", []), ("payloads", []),
    ],
)  # fmt: skip
def test_a_wire_form_that_is_not_exactly_right_is_refused(path: str, value: Any) -> None:
    """Unknown, missing, of another type, out of order, upper-case hexadecimal: RecordError and nothing else."""
    with pytest.raises(RecordError):
        Record.from_wire(broken(path, value))


@settings(max_examples=300, deadline=None)
@given(st.recursive(VALUES | st.floats(), lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner), max_leaves=8))
def test_any_json_is_a_record_or_a_record_error(value: Any) -> None:
    """What a stranger sends never raises anything else."""
    for wire in (value, {"header": value, "payloads": {}}, {"header": record().header(), "payloads": value}):
        with pytest.raises(RecordError):
            Record.from_wire(wire)
