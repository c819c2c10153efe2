"""The EU Digital COVID Certificate's structure, schema 1.3.3, checked by hand. Pure.

Source: ehn-dcc-schema, release 1.3.0 (``DCC.combined-schema.json``). A JSON Schema library takes 0.7 ms for the
same, seven times the signature. Beyond the schema: a group that is null counts as absent (a real issuer writes
``"t": null``), and a date may have come as a CBOR date-time.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from kiosk.credentials.cbor import Tag

GROUPS = {"v": "vaccination", "t": "test", "r": "recovery"}
_VERSION = re.compile(r"\d+.\d+.\d+")
_BIRTH = re.compile(r"((19|20)\d\d(-\d\d){0,2})?")
_STANDARD_NAME = re.compile(r"[A-Z<]*")
_COUNTRY = re.compile(r"[A-Z]{1,10}")
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
MAX_TEXT = 80
#: SNOMED CT "detected" (EU value set, section 2.9): a genuine certificate of an infection is no green code.
DETECTED = "260373001"
#: Coded values have no limit in the schema; this is well above every published code.
MAX_CODE = 200

_TEXTS = {
    "v": (("tg", "vp", "mp", "ma", "co", "is", "ci"), ()),
    "t": (("tg", "tt", "tr", "co", "is", "ci"), ("nm", "ma", "tc")),
    "r": (("tg", "co", "is", "ci"), ()),
}
_DATES = {"v": ("dt",), "t": (), "r": ("fr", "df", "du")}
_LIMITED = frozenset({"is", "ci", "nm", "tc"})


class DccError(ValueError):
    """The certificate does not have the structure that the schema demands; the message names the field."""


@dataclass(frozen=True, slots=True)
class Dcc:
    """The few fields that a verdict needs, and the plain form that rules read (no tags, no null groups).
    ``infected``: a test that found the infection."""

    group: str
    surname: str
    given: str
    birth_date: str
    country: str
    certificate_id: str
    infected: bool
    plain: dict[str, Any]


def _plain(value: Any) -> Any:
    if isinstance(value, Tag):
        return _plain(value.value)
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value


def _text(entry: dict[str, Any], name: str, limit: int) -> str:
    value = entry.get(name)
    if not isinstance(value, str) or len(value) > limit:
        raise DccError(name)
    return value


def _date(entry: dict[str, Any], name: str) -> None:
    value = entry.get(name)
    if not isinstance(value, str) or len(value) > MAX_TEXT or not _DATE.match(value):
        raise DccError(name)
    try:
        datetime.fromisoformat(value)
    except ValueError:
        raise DccError(name) from None


def _positive(entry: dict[str, Any], name: str) -> None:
    value = entry.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 1 or value != int(value):
        raise DccError(name)


def _check_name(name: Any) -> tuple[str, str]:
    if not isinstance(name, dict) or not ("fnt" in name or "gnt" in name):
        raise DccError("nam")
    for field in ("fn", "gn", "fnt", "gnt"):
        if field in name:
            value = _text(name, field, MAX_TEXT)
            if field.endswith("t") and not _STANDARD_NAME.fullmatch(value):
                raise DccError(field)
    return name.get("fnt", ""), name.get("gnt", "")


def _check_entry(group: str, entry: Any) -> None:
    if not isinstance(entry, dict):
        raise DccError(group)
    required, optional = _TEXTS[group]
    for name in required:
        _text(entry, name, MAX_TEXT if name in _LIMITED else MAX_CODE)
    for name in optional:
        if name in entry:
            _text(entry, name, MAX_TEXT if name in _LIMITED else MAX_CODE)
    if not _COUNTRY.search(entry["co"]):
        raise DccError("co")
    for name in _DATES[group]:
        _date(entry, name)
    if group == "t":
        _date(entry, "sc")
    if group == "v":
        _positive(entry, "dn")
        _positive(entry, "sd")


def check_dcc(certificate: Any) -> Dcc:
    """The certificate's fields. Raises DccError where the schema (or this file's head) is not met."""
    plain = _plain(certificate)
    if not isinstance(plain, dict):
        raise DccError("not a map")
    version = plain.get("ver")
    if not isinstance(version, str) or not _VERSION.fullmatch(version):
        raise DccError("ver")
    surname, given = _check_name(plain.get("nam"))
    birth = plain.get("dob")
    if not isinstance(birth, str) or not _BIRTH.fullmatch(birth):
        raise DccError("dob")
    present = [group for group in GROUPS if plain.get(group) is not None]
    if len(present) != 1:
        raise DccError("not exactly one of v, t, r")
    group = present[0]
    entries = plain[group]
    if not isinstance(entries, list) or len(entries) != 1:
        raise DccError("not exactly one entry")
    _check_entry(group, entries[0])
    for absent in GROUPS:
        if absent != group:
            plain.pop(absent, None)
    return Dcc(
        group=group,
        surname=surname,
        given=given,
        birth_date=birth,
        country=entries[0]["co"],
        certificate_id=entries[0]["ci"],
        infected=group == "t" and entries[0]["tr"] == DETECTED,
        plain=plain,
    )
