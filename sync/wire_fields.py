"""Checks of single fields that came from outside: exact fields and types, short texts, hashes, streams. Pure."""

from __future__ import annotations

from typing import Any

from kiosk.records import Stream
from sync.errors import WireError

MAX_ID_CHARS = 64


def take(wire: Any, name: str, fields: dict[str, tuple[type, ...]]) -> dict[str, Any]:
    """``wire`` as an object of exactly these fields and types; bool is no int. Raises WireError otherwise."""
    if not isinstance(wire, dict):
        raise WireError(name, seen=type(wire).__name__, expected="an object")
    odd = sorted(set(wire) ^ set(fields))
    if odd:
        raise WireError(name, seen=f"missing or unknown: {', '.join(map(str, odd))[:200]}")
    for key, types in fields.items():
        if type(wire[key]) not in types:
            raise WireError(
                f"{name} {key}", seen=type(wire[key]).__name__, expected=" or ".join(t.__name__ for t in types)
            )
    return wire


def short(text: str, name: str) -> str:
    """``text`` if it is printable and 1 to 64 characters long; raises WireError otherwise."""
    if not 1 <= len(text) <= MAX_ID_CHARS or not text.isprintable():
        raise WireError(name, seen=repr(text[:80]), expected=f"1 to {MAX_ID_CHARS} printable characters")
    return text


def hash_of(text: str, name: str) -> bytes:
    """32 bytes from lower-case hexadecimal; raises WireError otherwise."""
    try:
        value = bytes.fromhex(text)
    except ValueError:
        value = b""
    if len(value) != 32 or value.hex() != text:
        raise WireError(name, seen=text[:80], expected="64 lower-case hexadecimal digits")
    return value


def stream_of(text: str) -> Stream:
    """The stream named ``text``; raises WireError for any other word."""
    try:
        return Stream(text)
    except ValueError:
        raise WireError("stream", seen=text[:80], expected=", ".join(Stream)) from None
