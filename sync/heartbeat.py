"""A heartbeat: where each stream of a kiosk stands, said when there is nothing to send. Pure.

An idle kiosk must notice a central that was restored from a backup, and the central a kiosk that went silent or
back; both compare ``positions``. The same context-bound signature as on a batch covers the bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from kiosk.records import ZERO_HASH, JsonValue, Stream, canonical
from sync.canonical_json import loads_canonical
from sync.errors import WireError
from sync.wire_fields import hash_of, short, stream_of, take

HEARTBEAT_VERSION = 1
MAX_HEARTBEAT_BYTES = 64 * 1024
MAX_POSITIONS = 192


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """One stream: ``last`` written with hash ``last_head``; what the kiosk believes the central holds of it.

    ``acked`` is stored, and for a forked stream everything up to ``set_aside`` (hash ``set_aside_head``) lies in
    quarantine; 0 and 32 zero bytes for a sound one.
    """

    incarnation: str
    stream: Stream
    last: int
    last_head: bytes
    acked: int
    set_aside: int = 0
    set_aside_head: bytes = ZERO_HASH


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat:
    """What the kiosk says of itself.

    ``store_epoch`` is the highest it has seen (0: none yet). ``offset_us`` is central minus kiosk time as
    measured in the last exchange and ``offset_error_us`` half that exchange's round trip; None before the first.
    ``alarms`` are short codes of what sync itself found (``journal_went_back``, ``stream_refused``, …).
    """

    kiosk_id: str
    wall_us: int
    mono_ns: int
    boot_id: str
    clock_trust: str
    software: str
    store_epoch: int
    positions: tuple[Position, ...]
    backlog: int = 0
    oldest_us: int | None = None
    offset_us: int | None = None
    offset_error_us: int | None = None
    held: dict[str, str] = field(default_factory=dict)
    alarms: tuple[str, ...] = ()

    def to_bytes(self) -> bytes:
        """Canonical JSON, ready to sign and send."""
        document: dict[str, JsonValue] = {
            "v": HEARTBEAT_VERSION,
            "kiosk_id": self.kiosk_id,
            "wall_us": self.wall_us,
            "mono_ns": self.mono_ns,
            "boot_id": self.boot_id,
            "clock_trust": self.clock_trust,
            "software": self.software,
            "store_epoch": self.store_epoch,
            "positions": [
                {
                    "incarnation": p.incarnation,
                    "stream": str(p.stream),
                    "last": p.last,
                    "last_head": p.last_head.hex(),
                    "acked": p.acked,
                    "set_aside": p.set_aside,
                    "set_aside_head": p.set_aside_head.hex(),
                }
                for p in self.positions
            ],
            "backlog": self.backlog,
            "oldest_us": self.oldest_us,
            "offset_us": self.offset_us,
            "offset_error_us": self.offset_error_us,
            "held": dict(self.held),
            "alarms": list(self.alarms),
        }
        return canonical(document)

    @classmethod
    def parse(cls, body: bytes) -> Heartbeat:
        """The heartbeat in canonical JSON ``body`` (at most 64 kB); raises WireError for anything else."""
        fields = take(loads_canonical(body, max_bytes=MAX_HEARTBEAT_BYTES), "heartbeat", _FIELDS)
        if fields["v"] != HEARTBEAT_VERSION:
            raise WireError("heartbeat v", seen=str(fields["v"]), expected=str(HEARTBEAT_VERSION))
        if len(fields["positions"]) > MAX_POSITIONS or len(fields["held"]) > 16 or len(fields["alarms"]) > 32:
            raise WireError("heartbeat", seen="too many positions, versions or alarms")
        return cls(
            kiosk_id=short(fields["kiosk_id"], "heartbeat kiosk_id"),
            wall_us=fields["wall_us"],
            mono_ns=fields["mono_ns"],
            boot_id=short(fields["boot_id"], "heartbeat boot_id"),
            clock_trust=short(fields["clock_trust"], "heartbeat clock_trust"),
            software=short(fields["software"], "heartbeat software"),
            store_epoch=fields["store_epoch"],
            positions=tuple(_position(item) for item in fields["positions"]),
            backlog=fields["backlog"],
            oldest_us=fields["oldest_us"],
            offset_us=fields["offset_us"],
            offset_error_us=fields["offset_error_us"],
            held={short(key, "held"): short(str(value), "held") for key, value in fields["held"].items()},
            alarms=tuple(short(str(item), "alarm") for item in fields["alarms"]),
        )


def _position(wire: Any) -> Position:
    fields = take(wire, "position", _POSITION_FIELDS)
    if min(fields["last"], fields["acked"], fields["set_aside"]) < 0:
        raise WireError("position", seen=str(fields)[:120], expected="no negative seq")
    return Position(
        incarnation=short(fields["incarnation"], "position incarnation"),
        stream=stream_of(fields["stream"]),
        last=fields["last"],
        last_head=hash_of(fields["last_head"], "position last_head"),
        acked=fields["acked"],
        set_aside=fields["set_aside"],
        set_aside_head=hash_of(fields["set_aside_head"], "position set_aside_head"),
    )


_POSITION_FIELDS: dict[str, tuple[type, ...]] = {
    "incarnation": (str,),
    "stream": (str,),
    "last": (int,),
    "last_head": (str,),
    "acked": (int,),
    "set_aside": (int,),
    "set_aside_head": (str,),
}
_FIELDS: dict[str, tuple[type, ...]] = {
    "v": (int,),
    "kiosk_id": (str,),
    "wall_us": (int,),
    "mono_ns": (int,),
    "boot_id": (str,),
    "clock_trust": (str,),
    "software": (str,),
    "store_epoch": (int,),
    "positions": (list,),
    "backlog": (int,),
    "oldest_us": (int, type(None)),
    "offset_us": (int, type(None)),
    "offset_error_us": (int, type(None)),
    "held": (dict,),
    "alarms": (list,),
}
