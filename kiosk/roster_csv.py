"""The roster's CSV: lines of people and cards into checked values, and a report of every bad line. Pure.

UTF-8 (a byte order mark is allowed), comma-separated, first line the column names in any order, one card a line, no
line breaks inside a field. ``docs/formats.md`` lists the columns. Everything is bounded before it is parsed, and what
a report repeats of a file cannot run as a formula in a spreadsheet.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import BinaryIO

from config.policy import DAYS, Hours
from kiosk.evidence import CardStrength

MAX_LINE_BYTES = 4096
MAX_LINES = 200_000
MAX_BAD_LINES_TOLD = 1000
MAX_FIELD_CHARS = 200

REQUIRED = ("person_id", "category")
OPTIONAL = (
    "name", "phone", "card_uid", "card_strength", "valid_from", "valid_until", "hours", "places", "registered",
    "revoked", "surname", "given", "birth_date", "lent_by",
)  # fmt: skip
_STRENGTHS = {str(s): s for s in (CardStrength.UID, CardStrength.SUN, CardStrength.EV2)}
_YES = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False, "": False}
_PERSON_ID = r"\w[\w./#-]{0,63}"
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_DAY_RANGE = re.compile(r"(?:(?P<first>[a-z]{3})(?:-(?P<last>[a-z]{3}))?)")


class RosterLineError(ValueError):
    """What is wrong with one line; the message names the column."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RosterLine:
    """One checked line: a person, and a card unless ``card_uid`` is empty. Times are UTC microseconds."""

    line: int
    person_id: str
    category: str
    name: str = ""
    phone: str = ""
    card_uid: bytes = b""
    card_strength: CardStrength = CardStrength.UID
    valid_from_us: int | None = None
    valid_until_us: int | None = None
    hours: str = ""
    places: tuple[str, ...] = ()
    registered: bool = False
    revoked: bool = False
    surname: str = ""
    given: str = ""
    birth_date: str = ""
    lent_by: str = ""

    def person(self) -> tuple[object, ...]:
        """What must be the same on every line of one person."""
        return (self.category, self.name, self.phone, self.registered, self.surname, self.given, self.birth_date)


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that was not taken, and why."""

    line: int
    why: str


@dataclass(slots=True)
class ImportReport:
    """What an import did. ``bad`` holds the first thousand bad lines, ``bad_lines`` counts them all."""

    people: int = 0
    cards: int = 0
    kept_revoked: int = 0
    bad_lines: int = 0
    bad: list[BadLine] = field(default_factory=list)

    def refuse(self, line: int, why: str) -> None:
        """Note a bad line."""
        self.bad_lines += 1
        if len(self.bad) < MAX_BAD_LINES_TOLD:
            self.bad.append(BadLine(line, why))


def read_lines(source: Iterable[bytes], report: ImportReport, *, zone: tzinfo) -> Iterator[RosterLine]:
    """The good lines of a file (an iterable of its raw lines), each bad one noted in ``report``.

    Dates without a time are days of ``zone``. A wrong first line ends the import at once, as does a file of more
    than 200,000 lines (what came before is still yielded; the caller may give the whole import up).
    """
    columns: list[str] | None = None
    for number, raw in enumerate(source, start=1):
        if number > MAX_LINES:
            report.refuse(number, f"more than {MAX_LINES} lines")
            return
        try:
            cells = _cells(raw, first=number == 1)
            if columns is None:
                columns = _columns(cells)
                continue
            if not any(cells):
                continue
            if len(cells) != len(columns):
                raise RosterLineError(f"{len(cells)} fields, expected {len(columns)} as in the first line")
            yield parse_line(number, dict(zip(columns, cells, strict=True)), zone=zone)
        except RosterLineError as error:
            report.refuse(number, str(error))
            if columns is None:
                return
    if columns is None and not report.bad_lines:
        report.refuse(1, "the file is empty; its first line should name the columns")


def _cells(raw: bytes, *, first: bool) -> list[str]:
    if len(raw) > MAX_LINE_BYTES:
        raise RosterLineError(f"longer than {MAX_LINE_BYTES} bytes")
    try:
        text = raw.decode("utf-8-sig" if first else "utf-8").rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise RosterLineError(f"not UTF-8 at byte {error.start + 1}: save the file as UTF-8") from None
    if _CONTROL.search(text):
        raise RosterLineError("a control character")
    cells = [cell.strip() for cell in _fields(text)]
    for cell in cells:
        if len(cell) > MAX_FIELD_CHARS:
            raise RosterLineError(f"a field of {len(cell)} characters, at most {MAX_FIELD_CHARS}")
    return cells


def _fields(text: str) -> list[str]:
    """The fields of a line. Most of 100,000 lines have no quotation mark and need no parser of their own."""
    if '"' not in text:
        return text.split(",") if text else []
    try:
        rows = list(csv.reader([text], strict=True))
    except csv.Error as error:
        raise RosterLineError(f"not CSV: {error}") from None
    return rows[0] if rows else []


def _columns(cells: list[str]) -> list[str]:
    names = [cell.lower() for cell in cells]
    unknown = [name for name in names if name not in REQUIRED + OPTIONAL]
    missing = [name for name in REQUIRED if name not in names]
    if unknown:
        raise RosterLineError(f"unknown column {inert(unknown[0])}; known: {', '.join(REQUIRED + OPTIONAL)}")
    if missing:
        raise RosterLineError(f"column {missing[0]} is missing")
    if len(set(names)) != len(names):
        raise RosterLineError("a column twice")
    return names


def parse_line(number: int, cells: dict[str, str], *, zone: tzinfo) -> RosterLine:
    """One line's cells as checked values; raises RosterLineError naming the column."""
    valid_from_us = _moment(cells.get("valid_from", ""), "valid_from", zone, end=False)
    valid_until_us = _moment(cells.get("valid_until", ""), "valid_until", zone, end=True)
    if valid_from_us is not None and valid_until_us is not None and valid_from_us >= valid_until_us:
        raise RosterLineError("valid_until is not after valid_from")
    hours = cells.get("hours", "").lower()
    parse_hours(hours)
    lent_by = _word(cells.get("lent_by", ""), "lent_by", rf"({_PERSON_ID})?")
    if lent_by and (valid_until_us is None or not cells.get("card_uid")):
        raise RosterLineError("lent_by is for a card that ends: give card_uid and valid_until")
    if lent_by and lent_by == cells["person_id"]:
        raise RosterLineError("lent_by is the holder; it names the member who answers for the card")
    strength = cells.get("card_strength", "").lower() or "uid"
    if strength not in _STRENGTHS:
        raise RosterLineError(f"card_strength {inert(strength)}, expected {', '.join(_STRENGTHS)}")
    return RosterLine(
        line=number,
        person_id=_word(cells["person_id"], "person_id", _PERSON_ID),
        category=_word(cells["category"].lower(), "category", r"[a-z][a-z0-9_]{0,31}"),
        name=_free(cells.get("name", ""), "name"),
        phone=_word(cells.get("phone", ""), "phone", r"(\+?[0-9][0-9 -]{2,30})?"),
        card_uid=_uid(cells.get("card_uid", "")),
        card_strength=_STRENGTHS[strength],
        valid_from_us=valid_from_us,
        valid_until_us=valid_until_us,
        hours=hours,
        places=tuple(_word(p.strip(), "places", r"[\w.-]{1,64}") for p in cells.get("places", "").split(";") if p),
        registered=_flag(cells.get("registered", ""), "registered"),
        revoked=_flag(cells.get("revoked", ""), "revoked"),
        surname=_free(cells.get("surname", ""), "surname"),
        given=_free(cells.get("given", ""), "given"),
        birth_date=_word(cells.get("birth_date", ""), "birth_date", r"(\d{4}-\d{2}-\d{2})?"),
        lent_by=lent_by,
    )


@lru_cache(maxsize=4096)
def parse_hours(text: str) -> tuple[Hours, ...]:
    """``mon-fri 07:00-19:00; sat 08:00-12:00`` as windows; "" is always. Raises RosterLineError."""
    windows = []
    for part in filter(None, (p.strip() for p in text.lower().split(";"))):
        days_text, _, times = part.rpartition(" ")
        opens, _, closes = times.partition("-")
        try:
            windows.append(Hours(days=_days(days_text), opens=opens, closes=closes))
        except ValueError:
            example = "mon-fri 07:00-19:00; sat 08:00-12:00"
            raise RosterLineError(f"hours {inert(part)}, expected a form like {example!r}") from None
    return tuple(windows)


def _days(text: str) -> tuple[str, ...]:
    if not text.strip():
        return tuple(DAYS)
    days: list[str] = []
    for part in text.replace(" ", "").split(","):
        match = _DAY_RANGE.fullmatch(part)
        if match is None:
            raise ValueError(part)
        first = DAYS.index(match["first"])
        last = DAYS.index(match["last"]) if match["last"] else first
        count = (last - first) % 7 + 1
        days += [DAYS[(first + i) % 7] for i in range(count)]
    return tuple(dict.fromkeys(days))


def _uid(text: str) -> bytes:
    bare = re.sub(r"[ :-]", "", text)
    if not bare:
        return b""
    try:
        uid = bytes.fromhex(bare)
    except ValueError:
        raise RosterLineError(f"card_uid {inert(text)} is not hexadecimal") from None
    if not 3 <= len(uid) <= 10:
        raise RosterLineError(f"card_uid of {len(uid)} bytes, expected 3 to 10")
    if len(uid) == 4 and uid[0] == 0x08:
        raise RosterLineError("card_uid is a random one (4 bytes beginning 08, ISO/IEC 14443-3): it names nobody")
    return uid


def _moment(text: str, column: str, zone: tzinfo, *, end: bool) -> int | None:
    if not text:
        return None
    try:
        if len(text) == 10:
            day = date.fromisoformat(text) + timedelta(days=1 if end else 0)
            moment = datetime(day.year, day.month, day.day, tzinfo=zone)
        else:
            moment = datetime.fromisoformat(text)
            moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=zone)
        return round(moment.timestamp() * 1_000_000)
    except (ValueError, OverflowError):
        raise RosterLineError(f"{column} {inert(text)}, expected 2026-11-21 or 2026-11-21T18:00") from None


def _flag(text: str, column: str) -> bool:
    try:
        return _YES[text.lower()]
    except KeyError:
        raise RosterLineError(f"{column} {inert(text)}, expected yes or no") from None


def _word(text: str, column: str, form: str) -> str:
    if not re.fullmatch(form, text):
        raise RosterLineError(f"{column} {inert(text)} is not of the form {form}")
    return text


def _free(text: str, column: str) -> str:
    if text[:1] in ("=", "+", "-", "@", "\t"):
        raise RosterLineError(f"{column} {inert(text)} begins like a spreadsheet formula")
    return text


def inert(text: str) -> str:
    """A piece of a file as a report may repeat it: quoted, short, no control characters, never a formula."""
    shown = "".join(c if c.isprintable() else "?" for c in text[:40])
    return f"'{shown}'" if len(text) <= 40 else f"'{shown}…'"


def bounded_lines(file: BinaryIO) -> Iterator[bytes]:
    """The raw lines of a file; one that is too long is cut one byte past the limit: it is seen as such, and is one."""
    while line := file.readline(MAX_LINE_BYTES + 1):
        rest = line
        while len(rest) > MAX_LINE_BYTES and not rest.endswith(b"\n"):
            rest = file.readline(MAX_LINE_BYTES + 1)
        yield line


def agreeing(lines: list[RosterLine], report: ImportReport) -> list[RosterLine]:
    """The lines without those that contradict an earlier one: another person of the same id, the same card twice."""
    first_of: dict[str, RosterLine] = {}
    card_of: dict[bytes, RosterLine] = {}
    good = []
    for line in lines:
        person = first_of.setdefault(line.person_id, line)
        if person.person() != line.person():
            report.refuse(line.line, f"person {line.person_id!r} differs from line {person.line}")
            continue
        if line.card_uid:
            card = card_of.setdefault(line.card_uid, line)
            if card is not line:
                report.refuse(line.line, f"the card stands on line {card.line} already")
                continue
        good.append(line)
    return good
