"""The header of a batch: whose it is, which records of which stream, the chain heads around them. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from kiosk.records import JsonValue, Stream, canonical
from sync.errors import WireError
from sync.wire_fields import MAX_ID_CHARS, hash_of, short, stream_of, take

MAX_RECORDS = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchHeader:
    """What a batch says of itself and of its kiosk.

    ``prev_head`` is the hash of record ``first - 1`` (32 zero bytes for the first), ``last_head`` that of record
    ``last``. ``held`` maps roster, policy, revocations and trust to the versions held. ``wall_us`` (UTC, believed
    as far as ``clock_trust`` says), ``mono_ns`` and ``boot_id`` are the kiosk's clocks when the batch was made.
    ``backlog`` counts the records of this stream still to send, these included; ``oldest_us`` is the ``at_us`` of
    the oldest. ``gap_first`` is None, or says that records ``gap_first`` to ``first - 1`` exist no more.
    """

    kiosk_id: str
    incarnation: str
    stream: Stream
    first: int
    last: int
    prev_head: bytes
    last_head: bytes
    wall_us: int
    mono_ns: int
    boot_id: str
    clock_trust: str
    software: str
    backlog: int = 0
    oldest_us: int | None = None
    gap_first: int | None = None
    held: dict[str, str] = field(default_factory=dict)

    def to_wire(self) -> dict[str, JsonValue]:
        """The header's JSON object."""
        return {
            "kiosk_id": self.kiosk_id,
            "incarnation": self.incarnation,
            "stream": str(self.stream),
            "first": self.first,
            "last": self.last,
            "prev_head": self.prev_head.hex(),
            "last_head": self.last_head.hex(),
            "wall_us": self.wall_us,
            "mono_ns": self.mono_ns,
            "boot_id": self.boot_id,
            "clock_trust": self.clock_trust,
            "software": self.software,
            "backlog": self.backlog,
            "oldest_us": self.oldest_us,
            "gap_first": self.gap_first,
            "held": dict(self.held),
        }

    @classmethod
    def from_wire(cls, wire: Any) -> BatchHeader:
        """The header of a JSON object; raises WireError naming the field that is wrong."""
        fields = take(wire, "batch header", _HEADER_FIELDS)
        held = fields["held"]
        if len(held) > 16 or not all(isinstance(v, str) and len(v) <= MAX_ID_CHARS for v in held.values()):
            raise WireError("batch header held", seen=str(held)[:80], expected="at most 16 short strings")
        header = cls(
            kiosk_id=fields["kiosk_id"],
            incarnation=fields["incarnation"],
            stream=stream_of(fields["stream"]),
            first=fields["first"],
            last=fields["last"],
            prev_head=hash_of(fields["prev_head"], "prev_head"),
            last_head=hash_of(fields["last_head"], "last_head"),
            wall_us=fields["wall_us"],
            mono_ns=fields["mono_ns"],
            boot_id=fields["boot_id"],
            clock_trust=fields["clock_trust"],
            software=fields["software"],
            backlog=fields["backlog"],
            oldest_us=fields["oldest_us"],
            gap_first=fields["gap_first"],
            held=held,
        )
        for name in ("kiosk_id", "incarnation", "boot_id", "clock_trust", "software"):
            short(getattr(header, name), name)
        if header.first < 1 or header.last < header.first or header.last - header.first >= MAX_RECORDS:
            raise WireError(
                "batch header", seen=f"first {header.first}, last {header.last}", expected=f"1 to {MAX_RECORDS} records"
            )
        if header.gap_first is not None and not 1 <= header.gap_first < header.first:
            raise WireError("batch header gap_first", seen=str(header.gap_first), expected=f"1 to {header.first - 1}")
        return header


_HEADER_FIELDS: dict[str, tuple[type, ...]] = {
    "kiosk_id": (str,),
    "incarnation": (str,),
    "stream": (str,),
    "first": (int,),
    "last": (int,),
    "prev_head": (str,),
    "last_head": (str,),
    "wall_us": (int,),
    "mono_ns": (int,),
    "boot_id": (str,),
    "clock_trust": (str,),
    "software": (str,),
    "backlog": (int,),
    "oldest_us": (int, type(None)),
    "gap_first": (int, type(None)),
    "held": (dict,),
}


def head_statement(header: BatchHeader) -> bytes:
    """What the kiosk signs besides the batch: "my chain stands here".

    The compressed bytes are not kept for ever, this is: with it the central proves later, payloads erased or not,
    that the records up to ``last`` came from the holder of the kiosk's key.
    """
    return canonical(
        {
            "kiosk_id": header.kiosk_id,
            "incarnation": header.incarnation,
            "stream": str(header.stream),
            "last": header.last,
            "last_head": header.last_head.hex(),
        }
    )
