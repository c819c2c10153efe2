"""The citizen identification number and its check digit.

Reference: GB 11643-1999. Six digits of a district, eight of the birth date, three of a sequence (odd: male), one
check digit: the weighted sum mod 11 picks one of ``1 0 X 9 8 7 6 5 4 3 2``.
"""

from __future__ import annotations

import re
import unicodedata
from datetime import date

WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
CHECK_DIGITS = "10X98765432"
MAX_INPUT = 64


def normalised(text: str) -> str | None:
    """The number in its one written form (full-width characters, spaces around and a small x are mended).

    None when it is not a number of 18 places with an existing birth date and a right check digit.
    """
    if len(text) > MAX_INPUT:
        return None
    number = unicodedata.normalize("NFKC", text).strip().upper()
    if not re.fullmatch(r"[0-9]{17}[0-9X]", number):
        return None
    try:
        date(int(number[6:10]), int(number[10:12]), int(number[12:14]))
    except ValueError:
        return None
    total = sum(weight * int(digit) for weight, digit in zip(WEIGHTS, number, strict=False))
    return number if CHECK_DIGITS[total % 11] == number[17] else None


def birth_of(number: str) -> str:
    """YYYYMMDD of a normalised number."""
    return number[6:14]


def sex_of(number: str) -> str:
    """``1`` male, ``2`` female (GB/T 2261.1), of a normalised number."""
    return "1" if int(number[16]) % 2 else "2"
