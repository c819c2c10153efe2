"""The examples of docs/formats-sync.md are what the code writes and reads."""

from __future__ import annotations

import base64
import re

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from kiosk.records import Stream, canonical
from kiosk.signed_document import SNAPSHOT_CONTEXT
from sync import batch_dictionary, keys
from sync.ackstore import AckStore
from sync.answer import Answer, Result, StreamAck
from sync.batch import MAX_COMPRESSED_BYTES
from sync.batch_header import MAX_RECORDS, BatchHeader, head_statement
from sync.batch_parse import parse
from sync.canonical_json import MAX_BODY_BYTES
from sync.central.enrolment import ALPHABET
from sync.central.exports import COLUMNS
from sync.compression import ENCODINGS, compress
from sync.document import FETCH_CONTEXT, DocumentKind, Manifest, fetch_statement
from sync.enrol import EnrolRequest, enrol_body, parse_enrol
from sync.heartbeat import Heartbeat
from sync.request_headers import HEAD_SIGNATURE_HEADER, KIOSK_HEADER, REQUEST_HEADER, SIGNATURE_HEADER
from tests.conftest import ROOT
from tests.fakes import MORNING_US
from tests.sync_kit import INCARNATION, KEY, ChainJournal, header_of

PAGE = (ROOT / "docs" / "formats-sync.md").read_text(encoding="utf-8")


def example(name: str, **fills: str) -> str:
    """The example of that name, with its capital words filled in."""
    found = re.search(rf"```\w+ example={name}\n(.*?)\n```", PAGE, re.DOTALL)
    assert found is not None, f"no example {name}"
    text = found.group(1)
    for word, value in fills.items():
        text = text.replace(word, value)
    return text


def two_passages() -> tuple[BatchHeader, list[str]]:
    journal = ChainJournal()
    journal.append(Stream.PASSAGE)
    journal.append(Stream.PASSAGE)
    part = journal.slice(INCARNATION, Stream.PASSAGE, 0, max_records=2, max_bytes=2**20)
    header = header_of(part, software="gatepost 0.1.0")
    return header, [canonical(record.to_wire()).decode() for record in part.records]


def test_the_batch_is_the_documented_one() -> None:
    """Built from two records, the body is the example to the byte, and the example parses."""
    header, records = two_passages()
    text = example("batch", LAST_HEAD=header.last_head.hex(), RECORDS=",".join(records))
    parsed = parse(compress(text.encode(), "zstd"), "zstd")
    assert parsed.header == header
    assert all(item.record is not None for item in parsed.records)
    for encoding in ENCODINGS:
        assert f"`{encoding}`" in PAGE
    assert batch_dictionary.SHA256 in PAGE
    statement = example("head_statement", LAST_HEAD=header.last_head.hex())
    assert head_statement(header) == statement.encode()


def test_the_answer_is_the_documented_one() -> None:
    """Field by field."""
    header, _ = two_passages()
    answer = Answer(
        request="00112233445566778899aabbccddeeff",
        store_epoch=1,
        server_us=MORNING_US + 3_600_250_000,
        acks=(StreamAck(incarnation=INCARNATION, stream=Stream.PASSAGE, acked=2, head=header.last_head),),
        result=Result.STORED,
        offers={"roster": "18"},
    )
    assert canonical(answer.to_wire()).decode() == example("answer", LAST_HEAD=header.last_head.hex())
    assert {str(result) for result in Result} == set(re.findall(r"^\| `(\w+)` \| (?:200|409) \|", PAGE, re.MULTILINE))


def test_the_heartbeat_is_the_documented_one() -> None:
    """The example parses, and comes out again as it stands."""
    header, _ = two_passages()
    text = example("heartbeat", LAST_HEAD=header.last_head.hex())
    assert Heartbeat.parse(text.encode()).to_bytes() == text.encode()


def test_the_enrolment_is_the_documented_one() -> None:
    """The example with a real signature is taken, and its code is made of the documented letters."""
    request = EnrolRequest(kiosk_id="gate-east", code="46T5F-3XPF4", public_key=keys.public_bytes(KEY))
    signature = keys.sign(KEY, keys.ENROL_CONTEXT, request.statement())
    text = example("enrol", PUBLIC_KEY=request.public_key.hex(), SIGNATURE=base64.b64encode(signature).decode())
    assert enrol_body(request, signature) == text.encode()
    assert parse_enrol(text.encode()) == request
    assert ALPHABET in PAGE
    assert '"FINGERPRINT"' in example("enrol_answer")
    assert re.fullmatch(r"([0-9a-f]{4}-){7}[0-9a-f]{4}", keys.fingerprint(request.public_key))


def test_the_document_is_the_documented_one() -> None:
    """Question and manifest, to the byte."""
    statement = fetch_statement("gate-east", DocumentKind.POLICY, "00112233445566778899aabbccddeeff")
    assert statement == example("fetch_statement").encode()
    manifest = Manifest.of(DocumentKind.POLICY, 17, b"rules 1", MORNING_US)
    assert manifest.to_bytes() == example("manifest", SHA256=manifest.sha256.hex()).encode()


def test_contexts_headers_and_caps_are_the_documented_ones() -> None:
    """Names and numbers that other programs would copy from the page."""
    contexts = (keys.BATCH_CONTEXT, keys.HEAD_CONTEXT, keys.HEARTBEAT_CONTEXT, keys.ENROL_CONTEXT)
    for context in (*contexts, SNAPSHOT_CONTEXT, FETCH_CONTEXT):
        assert f"| `{context.decode().strip()}` |" in PAGE
    for name in (KIOSK_HEADER, REQUEST_HEADER, SIGNATURE_HEADER, HEAD_SIGNATURE_HEADER):
        assert f"| `{name}` |" in PAGE
    assert (MAX_COMPRESSED_BYTES, MAX_BODY_BYTES, MAX_RECORDS) == (256 * 1024, 2 * 1024 * 1024, 500)
    assert "256 kB compressed, 2 MB of JSON, 500 records" in PAGE


def test_the_export_has_the_documented_columns() -> None:
    """In their order."""
    assert example("export_columns").split(",") == list(COLUMNS)


def test_the_view_that_the_kiosk_reads_is_there() -> None:
    """The documented statement runs on a fresh sync.db."""
    store = AckStore(":memory:")
    assert store._db.execute(example("acknowledged")).fetchall() == []


def test_a_signature_of_one_context_is_none_in_another() -> None:
    """The context line is part of what is signed."""
    key = Ed25519PrivateKey.from_private_bytes(bytes(32))
    signature = keys.sign(key, keys.BATCH_CONTEXT, b"x")
    assert keys.verify(keys.public_bytes(key), keys.BATCH_CONTEXT, b"x", signature)
    assert not keys.verify(keys.public_bytes(key), keys.HEARTBEAT_CONTEXT, b"x", signature)
