"""Base45 (RFC 9285): three characters of an alphabet of 45 for two bytes, as QR codes hold it. Pure.

value = c + 45 d + 2025 e      three characters c d e -> two bytes, value at most 65535
value = c + 45 d               two characters at the end -> one byte, value at most 255
"""

from __future__ import annotations

import struct

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:"
_INVALID = 0xFF
_VALUES = bytes(ALPHABET.find(chr(code)) & 0xFF for code in range(256))


class Base45Error(ValueError):
    """The text is not Base45."""


def decode(text: str) -> bytes:
    """The bytes behind ``text``.

    Raises Base45Error for a character outside the alphabet (lower case too), a length of 1 modulo 3, or a group
    above its limit. The caller bounds the length first.
    """
    try:
        values = text.encode("ascii").translate(_VALUES)
    except UnicodeEncodeError:
        raise Base45Error("a character outside the alphabet") from None
    if _INVALID in values:
        raise Base45Error("a character outside the alphabet")
    groups, rest = divmod(len(values), 3)
    if rest == 1:
        raise Base45Error("a length of 1 modulo 3")
    end = 3 * groups
    words = [
        c + 45 * d + 2025 * e
        for c, d, e in zip(values[0:end:3], values[1:end:3], values[2:end:3], strict=True)  # three equal thirds
    ]
    if words and max(words) > 0xFFFF:
        raise Base45Error("a group of three above 65535")
    decoded = struct.pack(f">{groups}H", *words)
    if rest == 0:
        return decoded
    last = values[end] + 45 * values[end + 1]
    if last > 0xFF:
        raise Base45Error("a group of two above 255")
    return decoded + bytes((last,))


def encode(data: bytes) -> str:
    """``data`` as Base45 text."""
    text = []
    for at in range(0, len(data) - 1, 2):
        value = data[at] << 8 | data[at + 1]
        text.append(ALPHABET[value % 45] + ALPHABET[value // 45 % 45] + ALPHABET[value // 2025])
    if len(data) % 2:
        text.append(ALPHABET[data[-1] % 45] + ALPHABET[data[-1] // 45])
    return "".join(text)
