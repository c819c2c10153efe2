"""Inflating and reading JSON from a stranger: bounded before anything is believed. Pure.

A compressed body is inflated before its signature can be checked, so its output is capped; JSON is read without
duplicate keys, NaN, floats beyond what can be compared, or integers above 2^53, and never deeper than 32.
"""

from __future__ import annotations

import json
import math
import zlib
from typing import Any

#: Largest valid body met in real codes: 870 bytes (HCERT), about 5 kB (SMART Health Card).
MAX_INFLATED_BYTES = 16 * 1024
MAX_JSON_BYTES = 64 * 1024
MAX_JSON_DEPTH = 32
MAX_SAFE_INTEGER = 2**53
_RAW_DEFLATE = -15
_ZLIB = 15
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


class BoundError(ValueError):
    """The input is broken, or larger or deeper than a signed code may be."""


def inflate(data: bytes, *, raw: bool = False, max_bytes: int = MAX_INFLATED_BYTES) -> bytes:
    """The body behind a zlib stream, or behind bare DEFLATE with ``raw``.

    Raises BoundError when the stream is broken, unfinished, followed by more bytes, or larger than ``max_bytes``.
    """
    stream = zlib.decompressobj(_RAW_DEFLATE if raw else _ZLIB)
    try:
        body = stream.decompress(data, max_bytes + 1)
    except zlib.error:
        raise BoundError("a broken compressed stream") from None
    if len(body) > max_bytes:
        raise BoundError(f"more than {max_bytes} bytes inflated")
    if not stream.eof or stream.unused_data:
        raise BoundError("a compressed stream that is unfinished or followed by more")
    return body


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    seen = dict(pairs)
    if len(seen) != len(pairs):
        raise BoundError("a key twice in one object")
    return seen


def _integer(digits: str) -> int:
    if len(digits) > 17 or abs(int(digits)) > MAX_SAFE_INTEGER:
        raise BoundError("an integer above 2^53")
    return int(digits)


def _real(digits: str) -> float:
    if len(digits) > 32:
        raise BoundError("a number of more than 32 characters")
    number = float(digits)
    if not math.isfinite(number):
        raise BoundError("a number that is not finite")
    return number


def _constant(name: str) -> Any:
    raise BoundError(f"{name} is not JSON")


def _depth(data: bytes) -> int:
    # Counted over all brackets, those inside strings too: an honest code comes nowhere near, and it costs one pass.
    deepest = depth = 0
    for bracket in data.translate(None, _NO_BRACKETS):
        if bracket in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        else:
            depth -= 1
    return deepest


def read_json(data: bytes, *, max_bytes: int = MAX_JSON_BYTES) -> Any:
    """The JSON value in ``data`` (UTF-8). Raises BoundError for anything this file's head rules out."""
    if len(data) > max_bytes:
        raise BoundError(f"more than {max_bytes} bytes of JSON")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise BoundError("JSON that is not UTF-8") from None
    if _depth(data) > MAX_JSON_DEPTH:
        raise BoundError(f"JSON nested deeper than {MAX_JSON_DEPTH}")
    try:
        return json.loads(
            text, object_pairs_hook=_unique, parse_int=_integer, parse_float=_real, parse_constant=_constant
        )
    except BoundError:
        raise
    except (ValueError, RecursionError):
        raise BoundError("text that is not JSON") from None
