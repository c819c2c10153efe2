"""What gate and sync say to each other over their local socket: one JSON object a line, bounded and checked. Pure.

    gate -> sync    hello     who this kiosk is, and the keys that neighbours and matches need (never on a disk of sync)
                    ask       look this token up; the answer is worth nothing after ``within_ms``
                    tell      facts for the neighbours
    sync -> gate    answered  what the server said, or why there is no answer
                    heard     facts of neighbours
                    silent    the neighbours that have not been heard for a while

Moments on the wire are nanoseconds of the machine's monotonic clock, which both programs read; spans are milliseconds.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from config.errors import GatepostError
from kiosk.evidence import CodeStatus
from kiosk.neighbours import Fact, FactKind, HeardFact

MAX_LINE_BYTES = 16 * 1024
MAX_TOKEN_CHARS = 2048
MAX_FACTS = 32
MAX_VALID_MS = 86_400_000
_MAX_NS = 2**63


class LineError(GatepostError):
    """Bytes on the local socket that are no message."""


class NoAnswer(StrEnum):
    """Why a lookup gave nothing: a closed list, safe to log and to show."""

    NOT_SET_UP = "not_set_up"
    NOT_REACHED = "not_reached"
    TOO_LATE = "too_late"
    BUSY = "busy"
    SERVER_ERROR = "server_error"
    BAD_ANSWER = "bad_answer"
    BAD_SIGNATURE = "bad_signature"
    OTHER_TOKEN = "other_token"
    OTHER_TIME = "other_time"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello:
    """The gate's first line. The keys are 32 bytes each."""

    kiosk_id: str
    peer_key: bytes
    match_key: bytes

    def __repr__(self) -> str:
        return f"Hello(kiosk_id={self.kiosk_id!r})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """Look ``token`` up. ``number`` comes back in the answer."""

    number: int
    token: str
    within_ms: int

    def __repr__(self) -> str:
        return f"Ask(number={self.number})"


@dataclass(frozen=True, slots=True)
class Tell:
    """Facts of this gate, for its neighbours."""

    facts: tuple[Fact, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """The answer to ``number``: ``no_answer`` says why there is none; else ``status`` is the colour, None for a token
    that the server does not know. It was given ``age_ms`` ago and counts for ``valid_ms`` from then."""

    number: int
    no_answer: NoAnswer | None = None
    status: CodeStatus | None = None
    age_ms: int = 0
    valid_ms: int = 0
    subject_match: str = ""


@dataclass(frozen=True, slots=True)
class Heard:
    """What neighbours told."""

    facts: tuple[HeardFact, ...]


@dataclass(frozen=True, slots=True)
class Silent:
    """How many of the neighbours have not been heard for a while."""

    neighbours: int


Message = Hello | Ask | Tell | Answered | Heard | Silent


def encode(message: Message) -> bytes:
    """The message as its line."""
    return json.dumps(_wire(message), ensure_ascii=True, separators=(",", ":")).encode("ascii") + b"\n"


def _wire(message: Message) -> dict[str, Any]:
    match message:
        case Hello():
            keys = {"peer_key": message.peer_key.hex(), "match_key": message.match_key.hex()}
            return {"t": "hello", "kiosk_id": message.kiosk_id} | keys
        case Ask():
            return {"t": "ask", "number": message.number, "token": message.token, "within_ms": message.within_ms}
        case Tell():
            return {"t": "tell", "facts": [_fact_wire(fact) for fact in message.facts]}
        case Answered():
            return {
                "t": "answered",
                "number": message.number,
                "no_answer": "" if message.no_answer is None else str(message.no_answer),
                "status": "" if message.status is None else str(message.status),
                "age_ms": message.age_ms,
                "valid_ms": message.valid_ms,
                "subject_match": message.subject_match,
            }
        case Heard():
            return {"t": "heard", "facts": [_fact_wire(heard.fact) | {"kiosk": heard.kiosk} for heard in message.facts]}
        case Silent():
            return {"t": "silent", "neighbours": message.neighbours}


def _fact_wire(fact: Fact) -> dict[str, Any]:
    return {
        "kind": int(fact.kind),
        "what": fact.what.hex(),
        "showing": fact.showing.hex(),
        "place": fact.place,
        "read_ctr": fact.read_ctr,
        "mono_ns": fact.mono_ns,
    }


def decode(line: bytes) -> Message:
    """The message of one line (with or without its line feed). Raises LineError for anything else."""
    if len(line) > MAX_LINE_BYTES:
        raise LineError("line on the local socket", seen=f"{len(line)} bytes", expected=f"at most {MAX_LINE_BYTES}")
    try:
        wire = json.loads(line)
        if not isinstance(wire, dict):
            raise ValueError("no object")
        return _READERS[wire["t"]](wire)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        # Never the content: a line may hold a token or a key.
        raise LineError("line on the local socket", seen=type(error).__name__, expected="a message") from None


def _hello(wire: dict[str, Any]) -> Hello:
    keys = [bytes.fromhex(_text(wire[name], 64)) for name in ("peer_key", "match_key")]
    if any(len(key) != 32 for key in keys):
        raise ValueError("keys")
    return Hello(kiosk_id=_text(wire["kiosk_id"], 40), peer_key=keys[0], match_key=keys[1])


def _ask(wire: dict[str, Any]) -> Ask:
    within_ms = _number(wire["within_ms"], 1, 10_000)
    return Ask(number=_number(wire["number"]), token=_text(wire["token"], MAX_TOKEN_CHARS), within_ms=within_ms)


def _answered(wire: dict[str, Any]) -> Answered:
    return Answered(
        number=_number(wire["number"]),
        no_answer=NoAnswer(wire["no_answer"]) if wire["no_answer"] else None,
        status=CodeStatus(wire["status"]) if wire["status"] else None,
        age_ms=_number(wire["age_ms"], 0, MAX_VALID_MS),
        valid_ms=_number(wire["valid_ms"], 0, MAX_VALID_MS),
        subject_match=_text(wire["subject_match"], 64),
    )


def _facts(wire: dict[str, Any]) -> list[Any]:
    facts = wire["facts"]
    if not isinstance(facts, list) or len(facts) > MAX_FACTS:
        raise ValueError("facts")
    return facts


def _fact(wire: dict[str, Any]) -> Fact:
    return Fact(
        kind=FactKind(_number(wire["kind"])),
        what=bytes.fromhex(_text(wire["what"], 32)),
        showing=bytes.fromhex(_text(wire["showing"], 32)),
        place=_text(wire["place"], 40),
        read_ctr=_number(wire["read_ctr"]),
        mono_ns=_number(wire["mono_ns"], -_MAX_NS),
    )


def _text(value: Any, longest: int) -> str:
    if not isinstance(value, str) or len(value) > longest:
        raise ValueError("text")
    return value


def _number(value: Any, lowest: int = 0, highest: int = _MAX_NS) -> int:
    if type(value) is not int or not lowest <= value <= highest:
        raise ValueError("number")
    return value


_READERS: dict[str, Callable[[dict[str, Any]], Message]] = {
    "hello": _hello,
    "ask": _ask,
    "tell": lambda wire: Tell(tuple(_fact(fact) for fact in _facts(wire))),
    "answered": _answered,
    "heard": lambda wire: Heard(tuple(HeardFact(_text(fact["kiosk"], 40), _fact(fact)) for fact in _facts(wire))),
    "silent": lambda wire: Silent(_number(wire["neighbours"], 0, 64)),
}
