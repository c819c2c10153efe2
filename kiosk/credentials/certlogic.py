"""CertLogic: the small language in which health authorities write rules over certificates. Pure.

Source: ehn-dcc-development/eu-dcc-business-rules, ``certlogic/specification`` 1.3. A subset of JsonLogic without its
coercions, plus dates. An expression is a string, integer, boolean, a list of expressions, or an object of one
operation:

    var if and ! === in < > <= >= + reduce plusTime after before not-after not-before extractFromUVCI dccDateOfBirth

Nothing is coerced: a comparison of anything but integers, or of anything but dates, is an error and never false,
since a rule that cannot be evaluated must not admit. Depth and steps are bounded.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise
from typing import Any

MAX_DEPTH = 64
MAX_STEPS = 20_000
_DATE = re.compile(r"(\d{4})(?:-(\d\d)(?:-(\d\d))?)?")
_DATE_TIME = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d+))?(?:([Zz])|([+-])(\d{1,2}):?(\d\d)?)?", re.ASCII
)
_INDEX = re.compile(r"[0-9]{1,6}")
_UVCI_PREFIX = "URN:UVCI:"


class CertLogicError(ValueError):
    """An expression that is not CertLogic, or that cannot be evaluated over this data."""


def evaluate(logic: Any, data: Any) -> Any:
    """The value of ``logic`` over ``data`` (plain JSON values). A date comes out as an aware datetime.

    Raises CertLogicError for an expression outside the language, operands of another type, or beyond the bounds.
    """
    return _Evaluation().value(logic, data, 0)


def is_falsy(value: Any) -> bool:
    """false, null, 0, and the empty string, list and object. Everything else is truthy."""
    return value is None or value is False or (not isinstance(value, bool | datetime) and value in (0, "", [], {}))


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b  # Python holds 1 and True for equal
    if isinstance(a, list | dict) or isinstance(b, list | dict):
        return False  # two objects are never identical in the language's own implementation
    return bool(a == b)


def _integers(operands: list[Any]) -> list[int]:
    if not all(type(operand) is int for operand in operands):
        raise CertLogicError("an operand that is not an integer")
    return operands


def _dates(operands: list[Any]) -> list[datetime]:
    if not all(isinstance(operand, datetime) for operand in operands):
        raise CertLogicError("an operand that is not a date")
    return operands


def _chained(compare: Callable[[Any, Any], bool], operands: list[Any]) -> bool:
    if len(operands) not in (2, 3):
        raise CertLogicError("a comparison takes two or three operands")
    return all(compare(a, b) for a, b in pairwise(operands))


_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "<": lambda a, b: a < b,
    ">": lambda a, b: a > b,
    "<=": lambda a, b: a <= b,
    ">=": lambda a, b: a >= b,
}
_COMPARE_DATES = {"after": ">", "before": "<", "not-after": "<=", "not-before": ">="}


def variable(path: Any, data: Any) -> Any:
    """``data`` at a dotted path; "" is all of it, and what is not there is null."""
    if not isinstance(path, str):
        raise CertLogicError("a path that is not text")
    if path == "":
        return data
    for part in path.split("."):
        if isinstance(data, list):
            data = data[int(part)] if _INDEX.fullmatch(part) and int(part) < len(data) else None
        elif isinstance(data, dict):
            data = data.get(part)
        else:
            return None
    return data


def _last_day(year: int | None, month: int | None, day: int | None) -> datetime:
    if day is not None:
        return datetime(year or 0, month or 0, day, tzinfo=UTC)
    if month is None or month == 12:
        return datetime(year or 0, 12, 31, tzinfo=UTC)
    return datetime(year or 0, month + 1, 1, tzinfo=UTC) - timedelta(days=1)


def parse_date(text: Any) -> datetime:
    """A date or date-time as an aware datetime. Without a zone it is UTC; a month or year alone is its last day,
    which is how a certificate's incomplete birth date counts."""
    if not isinstance(text, str):
        raise CertLogicError("a date that is not text")
    try:
        if match := _DATE.fullmatch(text):
            year, month, day = (int(part) if part else None for part in match.groups())
            return _last_day(year, month, day)
        if match := _DATE_TIME.fullmatch(text):
            zone = UTC
            if match[9]:
                offset = timedelta(hours=int(match[10]), minutes=int(match[11] or 0))
                zone = timezone(offset if match[9] == "+" else -offset)
            date, hour, minute, second = _last_day(*map(int, match.group(1, 2, 3))), *map(int, match.group(4, 5, 6))
            micros = int((match[7] or "0")[:3].ljust(3, "0")) * 1000
            return date.replace(hour=hour, minute=minute, second=second, microsecond=micros, tzinfo=zone).astimezone(
                UTC
            )
    except (ValueError, OverflowError):
        pass
    raise CertLogicError(f"date {text[:40]!r}")


def plus_time(text: Any, amount: Any, unit: Any) -> datetime:
    """A date moved by ``amount`` years, months, days or hours. The 29th of February plus a year is the 1st of
    March."""
    if type(amount) is not int:
        raise CertLogicError("an amount that is not an integer")
    moment = text if isinstance(text, datetime) else parse_date(text)
    try:
        if unit == "day":
            return moment + timedelta(days=amount)
        if unit == "hour":
            return moment + timedelta(hours=amount)
        if unit in ("year", "month"):
            months = moment.year * 12 + moment.month - 1 + (amount * 12 if unit == "year" else amount)
            first = moment.replace(year=months // 12, month=months % 12 + 1, day=1)
            return first + timedelta(days=moment.day - 1)
    except (ValueError, OverflowError):
        raise CertLogicError("a date out of range") from None
    raise CertLogicError(f"time unit {unit!r}")


def extract_from_uvci(uvci: Any, index: Any) -> str | None:
    """The ``index``-th part of a certificate identifier, cut at ``/ # :`` after an optional ``URN:UVCI:``."""
    if type(index) is not int:
        raise CertLogicError("an index that is not an integer")
    if uvci is None or index < 0:
        return None
    if not isinstance(uvci, str):
        raise CertLogicError("an identifier that is not text")
    parts = re.split(r"[/#:]", uvci.removeprefix(_UVCI_PREFIX))
    return parts[index] if index < len(parts) else None


class _Evaluation:
    def __init__(self) -> None:
        self._steps = 0

    def value(self, logic: Any, data: Any, depth: int) -> Any:
        self._steps += 1
        if depth > MAX_DEPTH or self._steps > MAX_STEPS:
            raise CertLogicError("nested too deep or too many steps")
        if isinstance(logic, str | bool | int):
            return logic
        if isinstance(logic, list):
            return [self.value(item, data, depth + 1) for item in logic]
        if not isinstance(logic, dict) or len(logic) != 1:
            raise CertLogicError("neither a literal nor one operation")
        ((operation, operands),) = logic.items()
        if operation == "var":
            return variable(operands, data)
        if not isinstance(operands, list) or not operands:
            raise CertLogicError(f"{operation} without a list of operands")
        return self._operation(operation, operands, data, depth + 1)

    def _operation(self, operation: str, operands: list[Any], data: Any, depth: int) -> Any:
        if operation == "if":
            condition, then, otherwise = self._exactly(operands, 3)
            return self.value(otherwise if is_falsy(self.value(condition, data, depth)) else then, data, depth)
        if operation == "and":
            return self._and(operands, data, depth)
        if operation == "reduce":
            return self._reduce(operands, data, depth)
        values = [self.value(operand, data, depth) for operand in operands]
        if operation == "!":
            return is_falsy(self._exactly(values, 1)[0])
        if operation == "===":
            return _same(*self._exactly(values, 2))
        if operation == "in":
            return self._in(*self._exactly(values, 2))
        if operation == "+":
            return sum(_integers(values))
        if operation in _COMPARE:
            return _chained(_COMPARE[operation], _integers(values))
        if operation in _COMPARE_DATES:
            return _chained(_COMPARE[_COMPARE_DATES[operation]], _dates(values))
        if operation == "plusTime":
            return plus_time(*self._exactly(values, 3))
        if operation == "extractFromUVCI":
            return extract_from_uvci(*self._exactly(values, 2))
        if operation == "dccDateOfBirth":
            return parse_date(*self._exactly(values, 1))
        raise CertLogicError(f"operation {operation[:40]!r}")

    @staticmethod
    def _exactly(operands: list[Any], count: int) -> list[Any]:
        if len(operands) != count:
            raise CertLogicError(f"{len(operands)} operands instead of {count}")
        return operands

    @staticmethod
    def _in(item: Any, items: Any) -> bool:
        if items is None:
            return False
        if not isinstance(items, list):
            raise CertLogicError("in looks into a list")
        return any(_same(item, other) for other in items)

    def _and(self, operands: list[Any], data: Any, depth: int) -> Any:
        if len(operands) < 2:
            raise CertLogicError("and takes two operands or more")
        value: Any = None
        for operand in operands:
            value = self.value(operand, data, depth)
            if is_falsy(value):
                break
        return value

    def _reduce(self, operands: list[Any], data: Any, depth: int) -> Any:
        source, step, initial = self._exactly(operands, 3)
        items = self.value(source, data, depth)
        total = self.value(initial, data, depth)
        if items is None:
            return total
        if not isinstance(items, list):
            raise CertLogicError("reduce goes over a list")
        for item in items:
            total = self.value(step, {"accumulator": total, "current": item}, depth)
        return total
