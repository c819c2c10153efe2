"""Takes JSON from outside only where it is canonical (RFC 8785, integers only). Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from kiosk.nesting import deeper_than
from kiosk.records import MAX_SAFE_INTEGER, canonical
from sync.errors import WireError

MAX_BODY_BYTES = 2 * 1024 * 1024
"""The largest body that anybody parses: a batch, unpacked."""
MAX_NESTING = 24
"""Levels of lists and objects: 16 of a record's payload (``kiosk.records``) and those of the batch around it."""

# A number token of canonical JSON follows one of these three; digits inside a string follow a quote or a letter.
_LONG_NUMBER = re.compile(rb"[:,\[]-?(?:9\d{15}|\d{17})")

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode


def fast_canonical(value: Any) -> bytes:
    """Canonical JSON of a value that ``loads_canonical`` has proved canonical already: no checks, much faster."""
    return _encode(value).encode("utf-8")


def _refuse_number(text: str) -> Any:
    raise WireError("JSON", seen=text[:40], expected="integers only")


def _bounded_int(text: str) -> int:
    value = int(text) if len(text) <= 17 else MAX_SAFE_INTEGER + 1
    if abs(value) > MAX_SAFE_INTEGER:
        raise WireError("JSON", seen=text[:40], expected="integers within ±(2^53 - 1)")
    return value


def loads_canonical(body: bytes, *, max_bytes: int = MAX_BODY_BYTES, spelt: Callable[[Any], bytes] = canonical) -> Any:
    """The value of canonical JSON ``body``; ``spelt`` gives a value's canonical JSON where the quick form differs.

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
        # Python sorts keys by code point, RFC 8785 by UTF-16 code unit; they differ above U+FFFF only, and the
        # slow form decides then. Equality with the bytes received also rules out repeated keys and other spacing.
        if fast_canonical(value) != body and spelt(value) != body:
            raise WireError("JSON", seen="another form", expected="canonical JSON (RFC 8785)")
    except (ValueError, RecursionError) as error:
        raise WireError("JSON", seen=type(error).__name__, expected="canonical JSON (RFC 8785)") from error
    return value
