"""The journal as text: one JSON object a line, from which every chain can be walked again without the database.

A line ``{"chain": …}`` opens each chain and names the position before its first record; ``{"hash": …, "record": …}``
lines follow, and ``{"gap": …}`` where records are missing. ``docs/formats.md`` pins the form.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from kiosk.journal_reader import JournalReader
from kiosk.journal_types import BadRecord, ChainReport, Head, VerifyReport
from kiosk.records import Payload, PayloadClass, Record, RecordError, Stream

MAX_LINE_CHARS = 1_000_000


def export_lines(reader: JournalReader, *, facts_only: bool = False) -> Iterator[str]:
    """Every record of every chain, oldest incarnation first. Raises JournalError.

    With ``facts_only`` payloads about health and persons leave as their digests alone: nobody can be found in such
    an export, and its chains verify all the same.
    """
    bases = reader.bases()
    for (incarnation, stream), head in reader.positions().items():
        last = bases.get((incarnation, stream), Head())
        yield _line({"chain": _position(incarnation, stream, last)})
        while last.seq < head.seq:
            piece = reader.slice(incarnation, stream, last.seq)
            if not piece.records:
                break
            digest = piece.prev_head
            if piece.records[0].seq != last.seq + 1:
                yield _line({"gap": _position(incarnation, stream, Head(piece.records[0].seq - 1, digest))})
            for record in piece.records:
                digest = record.hash(digest)
                shown = _without_people(record) if facts_only else record
                yield _line({"hash": digest.hex(), "record": shown.to_wire()})
            last = Head(piece.records[-1].seq, digest)


def verify_export(lines: Iterable[str]) -> VerifyReport:
    """Walk the chains of an export; the first bad record of each. Never raises for what the text says."""
    chains: list[ChainReport] = []
    bads: list[BadRecord] = []
    walk: _Walk | None = None
    for number, line in enumerate(lines, start=1):
        try:
            item = _parsed(line)
            if "chain" in item:
                if walk is not None:
                    chains.append(walk.report())
                walk = _Walk(*_read_position(item["chain"]))
            elif walk is None:
                raise RecordError("the first line opens no chain")
            elif "gap" in item:
                walk.gap(*_read_position(item["gap"]))
            else:
                walk.record(item)
        except RecordError as error:
            if walk is None or not walk.bad:
                what = f"line {number}: {error}"
                bad = BadRecord("", None, 0, what)
                if walk is not None:
                    bad = BadRecord(walk.incarnation, walk.stream, walk.head.seq + 1, what)
                bads.append(bad)
            if walk is not None:
                walk.bad = True
    if walk is not None:
        chains.append(walk.report())
    elif not bads:
        bads.append(BadRecord("", None, 0, "the export is empty"))
    return VerifyReport(tuple(chains), tuple(bads))


class _Walk:
    """One chain of an export while it is read."""

    def __init__(self, incarnation: str, stream: Stream, base: Head) -> None:
        self.incarnation = incarnation
        self.stream = stream
        self.head = base
        self.base = base
        self.records = 0
        self.lost = 0
        self.erased = 0
        self.bad = False

    def gap(self, incarnation: str, stream: Stream, to: Head) -> None:
        """Records up to ``to`` are missing, and it is said so."""
        if (incarnation, stream) != (self.incarnation, self.stream) or to.seq <= self.head.seq:
            raise RecordError("a gap that does not belong here")
        self.lost += to.seq - self.head.seq
        self.head = to

    def record(self, item: dict[str, Any]) -> None:
        """The next record of the chain; one behind a bad record is only walked, not judged."""
        if set(item) != {"hash", "record"}:
            raise RecordError("expected hash and record")
        record = Record.from_wire(item["record"])
        if self.bad:
            return
        if (record.incarnation, record.stream) != (self.incarnation, self.stream):
            raise RecordError("a record of another chain")
        if record.seq != self.head.seq + 1:
            raise RecordError(f"record {record.seq}, expected {self.head.seq + 1}")
        digest = record.hash(self.head.hash)
        if digest.hex() != item["hash"]:
            raise RecordError("the hash does not follow from the record before it and its own content")
        self.head = Head(record.seq, digest)
        self.records += 1
        self.erased += sum(payload.erased for payload in record.payloads.values())

    def report(self) -> ChainReport:
        """What was found of the chain."""
        first, last = self.base.seq + 1, self.head.seq
        return ChainReport(
            self.incarnation, self.stream, first, last, self.records, self.erased, self.lost, self.head.hash
        )


def _parsed(line: str) -> dict[str, Any]:
    if len(line) > MAX_LINE_CHARS:
        raise RecordError(f"longer than {MAX_LINE_CHARS} characters")
    try:
        item = json.loads(line)
    except (ValueError, RecursionError):
        raise RecordError("not JSON") from None
    if not isinstance(item, dict):
        raise RecordError("not an object")
    return item


def _position(incarnation: str, stream: Stream, head: Head) -> dict[str, Any]:
    return {"incarnation": incarnation, "stream": str(stream), "seq": head.seq, "hash": head.hash.hex()}


def _read_position(value: Any) -> tuple[str, Stream, Head]:
    try:
        digest = bytes.fromhex(value["hash"])
        if len(digest) != 32 or not isinstance(value["seq"], int) or not isinstance(value["incarnation"], str):
            raise RecordError("a position of the wrong form")
        return value["incarnation"], Stream(value["stream"]), Head(value["seq"], digest)
    except (TypeError, KeyError, ValueError):
        raise RecordError("a position of the wrong form") from None


def _without_people(record: Record) -> Record:
    payloads = {
        cls: payload if cls is PayloadClass.FACTS else Payload(digest=payload.digest)
        for cls, payload in record.payloads.items()
    }
    return replace(record, payloads=payloads)


def _line(item: dict[str, Any]) -> str:
    return json.dumps(item, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
