"""Which records of a kiosk somebody at the central should hear of at once, and in which words. Pure.

Alarms of the gate, emergencies, referrals (somebody with a finding waits for the guard), devices that fell silent and
trust stores that were not taken become alerts beside those that the central raises itself; what was wrong with whom
stays in the record, behind its own retention.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from kiosk.records import Kind, PayloadClass, Record

_CODE = re.compile(r"[a-z][a-z0-9_]{0,48}")
UNNAMED = "alarm"


@dataclass(frozen=True, slots=True)
class GateAlert:
    """``times`` records of one ``code``; ``detail`` is of the last one."""

    code: str
    detail: str
    times: int


def alerts_of(records: Iterable[Record]) -> list[GateAlert]:
    """The alerts that these new records of one kiosk raise, each code once."""
    found: dict[str, GateAlert] = {}
    for record in records:
        code = _code(record)
        if code:
            times = found[code].times + 1 if code in found else 1
            found[code] = GateAlert(code=f"kiosk_{code}", detail=_detail(record), times=times)
    return list(found.values())


def _code(record: Record) -> str:
    facts = _facts(record)
    match record.kind:
        case Kind.ALARM:
            code = facts.get("code")
            return code if isinstance(code, str) and _CODE.fullmatch(code) else UNNAMED
        case Kind.EMERGENCY if facts.get("open") is True:
            return "fire" if facts.get("why") == "fire_contact" else "emergency_open"
        case Kind.REFERRAL if facts.get("state") == "open":
            return "referral"
        case Kind.DEVICE if facts.get("up") is False:
            return "device_down"
        case Kind.POLICY if facts.get("event") in ("trust_refused", "trust_waits"):
            return str(facts["event"])
        case _:
            return ""


def _detail(record: Record) -> str:
    """Where, and when by the kiosk's own clock: an alarm of a kiosk that was offline may be a month old."""
    facts = _facts(record)
    said = [
        record.lane,
        facts.get("role") or facts.get("device") if record.kind is Kind.DEVICE else facts.get("detail"),
    ]
    words = [text for text in dict.fromkeys(said) if isinstance(text, str) and text]
    at = datetime.fromtimestamp(record.at_us / 1e6, UTC)
    return f"{' '.join(words)[:120]} ({at:%Y-%m-%d %H:%M} UTC)".lstrip()


def _facts(record: Record) -> Mapping[str, Any]:
    payload = record.payloads.get(PayloadClass.FACTS)
    return payload.body if payload is not None and payload.body is not None else {}
