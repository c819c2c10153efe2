"""The keyed hash of a name and a birth date: how a health code is matched to a pass without storing either. Pure.

The hash is HMAC-SHA-256 under a key of the site, cut to 16 bytes, over the letters of surname and given names in that
order and the birth date. Where surname ends and how given names are split is left out, since formats disagree on both
(VDS-NC has one field; "Xiao Ming" is "XIAOMING" elsewhere). Without the key nobody can try out names; two sites'
hashes do not compare.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import unicodedata

MATCH_BYTES = 16
MIN_KEY_BYTES = 16
_FULL_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_NO_LETTER = re.compile(r"[^A-Z]")
_PURPOSE = b"gatepost person match 1\x00"
#: ICAO Doc 9303 part 3, section 6: letters that do not decompose into a base letter and a mark.
_TRANSLITERATION = str.maketrans(
    {
        "Æ": "AE",
        "Œ": "OE",
        "Ø": "OE",
        "Ð": "D",
        "Þ": "TH",
        "Ł": "L",
        "Đ": "D",
        "Ħ": "H",
        "ẞ": "SS",
        "ß": "SS",
        "ı": "I",
        "Ŋ": "N",
        "Ŧ": "T",
        "ĸ": "Q",
    }
)


def normal_name(name: str) -> str:
    """``name`` as letters only: upper case, marks removed, ICAO transliteration; Chinese characters stay.

    ``JIRINA<MARIA``, ``Jiřina Maria`` and ``jirina-maria`` come out alike.
    """
    if name.isascii():  # most of a large roster: the same result without asking for the category of each letter
        return _NO_LETTER.sub("", name.upper())
    upper = unicodedata.normalize("NFKC", name).upper().translate(_TRANSLITERATION)
    decomposed = unicodedata.normalize("NFKD", upper)
    return "".join(character for character in decomposed if unicodedata.category(character).startswith("L"))


def person_match(key: bytes, surname: str, given: str, birth_date: str) -> str:
    """The match as 32 hex digits; "" without a key, a name, or a full birth date (``YYYY-MM-DD``).

    A name alone would match every namesake, so a code with only a birth year matches nobody and the guard looks.
    """
    name = normal_name(surname) + normal_name(given)
    if len(key) < MIN_KEY_BYTES or not name or not _FULL_DATE.fullmatch(birth_date):
        return ""
    text = f"{name}\x00{birth_date}".encode()
    return hmac.new(key, _PURPOSE + text, hashlib.sha256).digest()[:MATCH_BYTES].hex()
