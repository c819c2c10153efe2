"""Takes JSON from outside only where it is canonical (RFC 8785, integers only). Pure."""

from __future__ import annotations

import json
import re
from typing import Any

from kiosk.nesting import deeper_than
from kiosk.records import MAX_SAFE_INTEGER
from sync.errors import WireError

MAX_BODY_BYTES = 2 * 1024 * 1024
"""The largest body that anybody parses: a batch, unpacked."""
MAX_NESTING = 24
"""Levels of lists and objects: 16 of a record's payload (``kiosk.records``) and those of the batch around it."""

# A number token of canonical JSON follows one of these three; digits inside a string follow a quote or a letter.
_LONG_NUMBER = re.compile(rb"[:,\[]-?(?:9\d{15}|\d{17})")

ABOVE_U_FFFF = re.compile(rb"[\xf0-\xf4]")
"""The first byte of a character above U+FFFF in UTF-8. Only beside one do keys in Python's order, by code point, differ
from those in RFC 8785's, by UTF-16 code unit (section 3.2.3)."""

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode
_encode_as_it_is = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def fast_canonical(value: Any) -> bytes:
    """Canonical JSON of a value that ``loads_canonical`` takes; what it refuses is not looked for: much faster."""
    quick = _encode(value).encode("utf-8")
    return _encode_as_it_is(_in_order(value)).encode("utf-8") if ABOVE_U_FFFF.search(quick) else quick


def _in_order(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _in_order(value[key]) for key in sorted(value, key=lambda key: key.encode("utf-16-be"))}
    return [_in_order(item) for item in value] if isinstance(value, list) else value


def _refuse_number(text: str) -> Any:
    raise WireError("JSON", seen=text[:40], expected="integers only")


def _bounded_int(text: str) -> int:
    value = int(text) if len(text) <= 17 else MAX_SAFE_INTEGER + 1
    if abs(value) > MAX_SAFE_INTEGER:
        raise WireError("JSON", seen=text[:40], expected="integers within ±(2^53 - 1)")
    return value


def loads_canonical(body: bytes, *, max_bytes: int = MAX_BODY_BYTES) -> Any:
    """The value of canonical JSON ``body``.

    Raises WireError when it is too large (413), not JSON, not canonical (other spacing, key order, escapes,
    repeated keys), nested deeper than 24, or holds a float, an integer beyond ±(2^53 - 1) or a lone surrogate.
    """
    if len(body) > max_bytes:
        raise WireError("JSON", status=413, seen=f"{len(body)} bytes", expected=f"at most {max_bytes}")
    try:
        # Asking about each integer is slow; most bodies have no run of digits that could be too large.
        parse_int = _bounded_int if body[:1] not in (b"{", b"[") or _LONG_NUMBER.search(body) else None
        value = json.loads(
            body.decode("utf-8"), parse_float=_refuse_number, parse_constant=_refuse_number, parse_int=parse_int
        )
        if deeper_than(MAX_NESTING, body, value):
            raise WireError("JSON", seen="deeper nesting", expected=f"at most {MAX_NESTING} levels")
        # Equality with the bytes received rules out repeated keys, another order and other spacing.
        if fast_canonical(value) != body:
            raise WireError("JSON", seen="another form", expected="canonical JSON (RFC 8785)")
    except (ValueError, RecursionError) as error:
        raise WireError("JSON", seen=type(error).__name__, expected="canonical JSON (RFC 8785)") from error
    return value
