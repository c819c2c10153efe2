"""The journal's values: what goes in, what comes out, what can go wrong. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from config.errors import GatepostError
from kiosk.clock import Instant
from kiosk.database import Failure
from kiosk.records import ZERO_HASH, Kind, PayloadClass, Record, Stream


class JournalError(GatepostError):
    """Something was not written, or cannot be read, for certain; ``failure`` says of what kind.

    After a failed append the journal holds all of what was asked or nothing of it, and its chains are whole. The
    caller acts as if nothing was written.
    """

    def __init__(
        self, thing: str, *, failure: Failure = Failure.OTHER, seen: str = "", expected: str = "", hint: str = ""
    ) -> None:
        super().__init__(thing, seen=seen, expected=expected, hint=hint)
        self.failure = failure


@dataclass(frozen=True, slots=True)
class Head:
    """Where a chain stands: the last ``seq`` (0 before the first record) and its hash (32 zero bytes then)."""

    seq: int = 0
    hash: bytes = ZERO_HASH


StreamKey = tuple[str, Stream]
"""``(incarnation, stream)``: one chain."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One record to be; the journal adds identity, sequence number, salts and hash."""

    stream: Stream
    kind: Kind
    at: Instant
    lane: str = ""
    ref: str = ""
    payloads: Mapping[PayloadClass, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Slice:
    """Consecutive records of one chain. ``prev_head`` is the hash before the first, ``last_head`` after the last.

    Empty ``records`` mean that nothing newer is there. The first record's ``seq`` is the one asked for, or a later
    one where records in between were purged or dropped (a ``gap`` record in the alarm stream then says so).
    """

    records: tuple[Record, ...]
    prev_head: bytes
    last_head: bytes


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """The central's word, kept by the sync process: everything up to ``seq`` (whose hash is ``hash``) is committed
    there. ``at_us`` is when the kiosk learnt it, moved later by the time since the central last confirmed it
    (``kiosk/acks.py``); retention counts from then, not from the passage.
    """

    incarnation: str
    stream: Stream
    seq: int
    hash: bytes
    at_us: int


@dataclass(frozen=True, slots=True)
class BadRecord:
    """The first thing wrong in one chain (``seq`` 0: not a record, but the chain's own row or the file)."""

    incarnation: str
    stream: Stream | None
    seq: int
    what: str


@dataclass(frozen=True, slots=True)
class ChainReport:
    """What was found of one chain: records ``first_seq`` to ``last_seq``, payloads erased by retention or lost."""

    incarnation: str
    stream: Stream
    first_seq: int
    last_seq: int
    records: int
    erased: int
    lost: int
    head: bytes


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """The result of walking every chain of a file; ``ok`` when nothing is wrong anywhere."""

    chains: tuple[ChainReport, ...]
    bad: tuple[BadRecord, ...]

    @property
    def ok(self) -> bool:
        """Whether every chain holds from its first record to its head."""
        return not self.bad

    @property
    def records(self) -> int:
        """How many records were walked."""
        return sum(chain.records for chain in self.chains)


@dataclass(frozen=True, slots=True)
class PurgeReport:
    """How many records of each chain were deleted, and up to which ``seq``."""

    purged: dict[StreamKey, int]
    up_to: dict[StreamKey, int]
