"""What the central answers to a batch or a heartbeat: acknowledgements. Pure.

``acked`` is the highest contiguous seq of a stream that the central's database has committed; nothing else ever
means "stored". ``store_epoch`` rises when that database went back to an earlier state, so that a lower ``acked``
with a newer epoch means "send again" and an answer with an older epoch comes from a central that was replaced.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from kiosk.records import JsonValue, Stream
from sync.canonical_json import loads_canonical
from sync.errors import WireError
from sync.wire_fields import hash_of, short, stream_of, take

ANSWER_VERSION = 1
MAX_ANSWER_BYTES = 256 * 1024


class Result(StrEnum):
    """What became of a batch."""

    STORED = "stored"
    DUPLICATE = "duplicate"
    PARTIAL = "partial"
    GAP = "gap"
    FORK = "fork"


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamAck:
    """Where the central stands with one stream: ``acked`` committed, ``head`` its hash there.

    ``resend_from`` is None or the seq from which the central needs the stream (again). ``quarantined_to`` is the
    highest seq of a forked stream that the central has set aside durably; 0 for every sound stream.
    """

    incarnation: str
    stream: Stream
    acked: int
    head: bytes
    resend_from: int | None = None
    quarantined_to: int = 0

    def to_wire(self) -> dict[str, JsonValue]:
        """The JSON object."""
        return {
            "incarnation": self.incarnation,
            "stream": str(self.stream),
            "acked": self.acked,
            "head": self.head.hex(),
            "resend_from": self.resend_from,
            "quarantined_to": self.quarantined_to,
        }

    @classmethod
    def from_wire(cls, wire: Any) -> StreamAck:
        """The acknowledgement of a JSON object; raises WireError naming the field that is wrong."""
        fields = take(wire, "ack", _ACK_FIELDS)
        if fields["acked"] < 0 or fields["quarantined_to"] < 0 or (fields["resend_from"] or 1) < 1:
            raise WireError("ack", seen=str(fields)[:120], expected="no negative seq")
        return cls(
            incarnation=short(fields["incarnation"], "ack incarnation"),
            stream=stream_of(fields["stream"]),
            acked=fields["acked"],
            head=hash_of(fields["head"], "ack head"),
            resend_from=fields["resend_from"],
            quarantined_to=fields["quarantined_to"],
        )


_ACK_FIELDS: dict[str, tuple[type, ...]] = {
    "incarnation": (str,),
    "stream": (str,),
    "acked": (int,),
    "head": (str,),
    "resend_from": (int, type(None)),
    "quarantined_to": (int,),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """One record that the central set aside in quarantine; it counts as acknowledged."""

    seq: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The central's answer to a batch or a heartbeat.

    ``request`` repeats the random id of the request, so that a late or repeated answer is known for one.
    ``store_epoch`` is 1 or more, ``server_us`` the central's clock (UTC, microseconds). ``result`` is None for a
    heartbeat. ``offers`` maps downlink documents (roster, policy, revocations, trust) to the newest versions.
    """

    request: str
    store_epoch: int
    server_us: int
    acks: tuple[StreamAck, ...]
    result: Result | None = None
    rejected: tuple[Rejected, ...] = ()
    offers: dict[str, str] = field(default_factory=dict)

    def to_wire(self) -> dict[str, JsonValue]:
        """The JSON object."""
        return {
            "v": ANSWER_VERSION,
            "request": self.request,
            "store_epoch": self.store_epoch,
            "server_us": self.server_us,
            "result": None if self.result is None else str(self.result),
            "acks": [ack.to_wire() for ack in self.acks],
            "rejected": [{"seq": item.seq, "reason": item.reason} for item in self.rejected],
            "offers": dict(self.offers),
        }

    @classmethod
    def parse(cls, body: bytes) -> Answer:
        """The answer in canonical JSON ``body`` (at most 256 kB); raises WireError for anything else."""
        fields = take(loads_canonical(body, max_bytes=MAX_ANSWER_BYTES), "answer", _ANSWER_FIELDS)
        if fields["v"] != ANSWER_VERSION or fields["store_epoch"] < 1:
            raise WireError("answer", seen=f"v {fields['v']}, store_epoch {fields['store_epoch']}")
        try:
            result = None if fields["result"] is None else Result(fields["result"])
        except ValueError:
            raise WireError("answer result", seen=fields["result"][:40], expected=", ".join(Result)) from None
        rejected = [take(item, "rejected", {"seq": (int,), "reason": (str,)}) for item in fields["rejected"]]
        if not all(isinstance(version, str) for version in fields["offers"].values()):
            raise WireError("answer offers", expected="strings")
        return cls(
            request=fields["request"],
            store_epoch=fields["store_epoch"],
            server_us=fields["server_us"],
            acks=tuple(StreamAck.from_wire(item) for item in fields["acks"]),
            result=result,
            rejected=tuple(Rejected(seq=item["seq"], reason=item["reason"]) for item in rejected),
            offers=fields["offers"],
        )


_ANSWER_FIELDS: dict[str, tuple[type, ...]] = {
    "v": (int,),
    "request": (str,),
    "store_epoch": (int,),
    "server_us": (int,),
    "result": (str, type(None)),
    "acks": (list,),
    "rejected": (list,),
    "offers": (dict,),
}
