"""CBOR (RFC 8949) for signed codes: a strict bounded reader and a deterministic writer. Pure.

Health codes are read *before* their signature can be checked, so the reader does only what they need, and every
step is bounded by the bytes at hand: no tag has a meaning that costs anything (no bignum, decimal, regular
expression or shared reference), a length beyond the remaining bytes fails at once, nesting ends at 16, items at
4,096, a map key is an integer or text and stands once, and bytes after the item are an error.

Rejected: ``cbor2``, whose tag handlers run before a signature is checked and must each be switched off.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import Any

MAX_DEPTH = 16
MAX_ITEMS = 4096
#: COSE_Sign1, CWT, and the two kinds of time; any other tag is an error.
ALLOWED_TAGS = frozenset({0, 1, 18, 61})
_BREAK = object()


class CborError(ValueError):
    """The bytes are not CBOR that a signed code may hold."""


@dataclass(frozen=True, slots=True)
class Tag:
    """An allowed tag around a value; its number has no effect on the value here."""

    number: int
    value: Any


class _Reader:
    __slots__ = ("_at", "_data", "_items")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0
        self._items = 0

    def whole(self) -> Any:
        value = self._item(0)
        if value is _BREAK:
            raise CborError("a break outside an indefinite item")
        if self._at != len(self._data):
            raise CborError("bytes after the item")
        return value

    def _take(self, count: int) -> bytes:
        end = self._at + count
        if end > len(self._data):
            raise CborError("the item is cut short")
        taken = self._data[self._at : end]
        self._at = end
        return taken

    def _item(self, depth: int) -> Any:
        self._items += 1
        if depth > MAX_DEPTH or self._items > MAX_ITEMS:
            raise CborError("nested too deep or too many items")
        if self._at >= len(self._data):
            raise CborError("the item is cut short")
        head = self._data[self._at]
        self._at += 1
        major, info = head >> 5, head & 31
        if major == 7:
            return self._simple(info)
        if info < 24:
            number = info
        elif info < 28:
            number = int.from_bytes(self._take(1 << (info - 24)), "big")
        elif info == 31 and 2 <= major <= 5:
            return self._indefinite(major, depth)
        else:
            raise CborError("a reserved length")
        if major == 0:
            return number
        if major == 1:
            return -1 - number
        if major == 2:
            return self._take(number)
        if major == 3:
            return self._text(self._take(number))
        if major == 6:
            if number not in ALLOWED_TAGS:
                raise CborError(f"tag {number}")
            return Tag(number, self._value(depth + 1))
        if number > len(self._data) - self._at:
            raise CborError("more items than bytes")
        if major == 4:
            return [self._value(depth + 1) for _ in range(number)]
        pairs: dict[Any, Any] = {}
        for _ in range(number):
            self._pair(pairs, self._value(depth + 1), depth)
        return pairs

    def _value(self, depth: int) -> Any:
        value = self._item(depth)
        if value is _BREAK:
            raise CborError("a break outside an indefinite item")
        return value

    def _pair(self, pairs: dict[Any, Any], key: Any, depth: int) -> None:
        if type(key) is not int and type(key) is not str:  # True would equal 1
            raise CborError("a map key that is neither integer nor text")
        if key in pairs:
            raise CborError("a map key twice")
        pairs[key] = self._value(depth + 1)

    def _simple(self, info: int) -> Any:
        if info == 20:
            return False
        if info == 21:
            return True
        if info == 22:
            return None
        if info == 31:
            return _BREAK
        formats = {25: (">e", 2), 26: (">f", 4), 27: (">d", 8)}
        if info not in formats:
            raise CborError(f"simple value {info}")
        form, size = formats[info]
        number: float = struct.unpack(form, self._take(size))[0]
        if not math.isfinite(number):
            raise CborError("a number that is not finite")
        return number

    def _indefinite(self, major: int, depth: int) -> Any:
        if major in (2, 3):
            chunks: list[Any] = []
            while (chunk := self._item(depth + 1)) is not _BREAK:
                if not isinstance(chunk, bytes if major == 2 else str):
                    raise CborError("a chunk of another type")
                chunks.append(chunk)
            return b"".join(chunks) if major == 2 else "".join(chunks)
        if major == 4:
            items: list[Any] = []
            while (item := self._item(depth + 1)) is not _BREAK:
                items.append(item)
            return items
        pairs: dict[Any, Any] = {}
        while (key := self._item(depth + 1)) is not _BREAK:
            self._pair(pairs, key, depth)
        return pairs

    @staticmethod
    def _text(raw: bytes) -> str:
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError:
            raise CborError("text that is not UTF-8") from None


def loads(data: bytes) -> Any:
    """The one value in ``data``: int, float, bytes, str, bool, None, list, dict or :class:`Tag`.

    Raises CborError for anything else, and for anything outside the bounds in this file's head.
    """
    return _Reader(data).whole()


def _head(major: int, number: int) -> bytes:
    if number < 24:
        return bytes((major << 5 | number,))
    for info, size in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if number < 1 << (8 * size):
            return bytes((major << 5 | info,)) + number.to_bytes(size, "big")
    raise CborError(f"{number} needs more than 64 bits")


def dumps(value: Any) -> bytes:
    """``value`` in the deterministic form of RFC 8949, 4.2.1: shortest lengths, map keys in byte order.

    Takes int, bytes, str, bool, None, list, tuple, dict and :class:`Tag`; raises CborError for others.
    """
    if value is None:
        return b"\xf6"
    if value is True:
        return b"\xf5"
    if value is False:
        return b"\xf4"
    if isinstance(value, int):
        return _head(0, value) if value >= 0 else _head(1, -1 - value)
    if isinstance(value, bytes):
        return _head(2, len(value)) + value
    if isinstance(value, str):
        raw = value.encode("utf-8")
        return _head(3, len(raw)) + raw
    if isinstance(value, list | tuple):
        return _head(4, len(value)) + b"".join(map(dumps, value))
    if isinstance(value, dict):
        pairs = sorted((dumps(key), dumps(item)) for key, item in value.items())
        return _head(5, len(pairs)) + b"".join(key + item for key, item in pairs)
    if isinstance(value, Tag):
        return _head(6, value.number) + dumps(value.value)
    raise CborError(f"{type(value).__name__} has no place in a signed code")
