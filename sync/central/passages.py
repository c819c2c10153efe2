"""How a passage, as people look for it, is derived from its records. Pure.

The kiosk writes a passage as one record of kind ``passage`` (payload ``facts``); what happens later to the same
passage comes as further records with the same ``ref``: ``passed`` (beam or door contact) and ``override``. Nothing
here trusts the kiosk's payload to be complete: what is missing or of another type becomes empty, never an error,
because the record itself is stored whole either way.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from kiosk.reasons import Passed
from kiosk.records import Kind, PayloadClass, Record

MAX_TEXT_CHARS = 400
_UNKNOWN = str(Passed.UNKNOWN)
_encode = json.JSONEncoder(ensure_ascii=False, sort_keys=True).encode


MAX_REMEMBERED_CHECKS = 12


def _checks_text(checks: dict[str, str]) -> str:
    if len(checks) > MAX_REMEMBERED_CHECKS:
        return _encode(checks)[:MAX_TEXT_CHARS]
    return _remembered_text(tuple(checks.items()))


@lru_cache(1024)
def _remembered_text(checks: tuple[tuple[str, str], ...]) -> str:
    # Gates know some dozens of outcomes; writing one as JSON costs more than looking it up.
    return _encode(dict(checks))[:MAX_TEXT_CHARS]


def _text(value: Any, most_chars: int = MAX_TEXT_CHARS) -> str:
    if type(value) is not str:
        return ""
    return _storable(value[:most_chars])


def _storable(text: str) -> str:
    """PostgreSQL takes no NUL in a text, and one kiosk's record must not stop its stream for ever."""
    return text.replace("\0", " ") if "\0" in text else text


def _facts(record: Record) -> Mapping[str, Any]:
    payload = record.payloads.get(PayloadClass.FACTS)
    return payload.body if payload is not None and payload.body is not None else {}


def _checks(checks: Any) -> dict[str, str]:
    """``{"pass": "pass", "temperature": "waived"}`` of a list or an object of checks."""
    if type(checks) is list:
        return {_text(check.get("name"), 40): _text(check.get("state"), 40) for check in checks if type(check) is dict}
    if type(checks) is dict:
        return {str(name)[:40]: _state(value) for name, value in checks.items()}
    return {}


def _state(value: Any) -> str:
    return _text(value.get("state"), 40) if type(value) is dict else str(value)[:40]


def passage_row(record: Record) -> dict[str, Any] | None:
    """The columns of table ``passages`` that the record gives, or None when it is no passage."""
    if record.kind is not Kind.PASSAGE:
        return None
    found = _facts(record).get
    listed = found("reasons")
    reasons = (
        [_storable(reason[:60]) for reason in listed if isinstance(reason, str)] if isinstance(listed, list) else []
    )
    admit, took_ms = found("admit"), found("credential_to_verdict_ms")
    return {
        "kiosk_id": record.kiosk_id,
        "incarnation": record.incarnation,
        "seq": record.seq,
        "ref": record.ref,
        "at_us": record.at_us,
        "clock_trust": record.clock_trust,
        "lane": record.lane,
        "direction": _text(found("direction")),
        "admit": admit if isinstance(admit, bool) else None,
        "reason": reasons[0] if reasons else "",
        "reasons": " ".join(reasons)[:MAX_TEXT_CHARS],
        "category": _text(found("category")),
        "place": _text(found("place")),
        "credential": _text(found("credential")),
        "code_kind": _text(found("code_kind")),
        "policy_version": _text(found("policy_version")) or _text(found("policy")),
        "checks": _checks_text(_checks(found("checks"))),
        "credential_to_verdict_ms": took_ms if type(took_ms) is int else None,
        "passed": _UNKNOWN,
        "overridden": "",
    }


def later_change(record: Record) -> tuple[str, str] | None:
    """The column of a passage that a later record of the same ``ref`` changes, and its value; or None."""
    if record.kind is Kind.PASSED:
        passed = _text(_facts(record).get("passed"))
        return "passed", passed if passed in set(Passed) else _UNKNOWN
    if record.kind is Kind.OVERRIDE:
        admit = _facts(record).get("admit")
        return "overridden", ("admit" if admit else "deny") if isinstance(admit, bool) else "yes"
    return None
