"""The texts of the pages and of the messages about alerts: ``messages/zh-CN.toml`` and ``en.toml``, key for key alike.

A text is found by section and key. What comes from outside this program's closed lists (a site's own category, the
alarm of a newer kiosk) falls back to its code. Numbers of seconds and checks are put into words here as well, since
their units and order belong to the language.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import cache
from importlib import resources
from typing import Any
from zoneinfo import ZoneInfo

from markupsafe import Markup

from config.errors import ConfigError

_UTC_TIME = re.compile(r"\((\d{4}-\d\d-\d\d \d\d:\d\d) UTC\)")


class Language(StrEnum):
    """The languages of every page; the value is the ``lang`` attribute (it chooses the Han glyphs)."""

    ZH = "zh-CN"
    EN = "en"

    @property
    def own_name(self) -> str:
        """The language's name in itself, as the link that chooses it says it."""
        return {Language.ZH: "中文", Language.EN: "English"}[self]


@dataclass(frozen=True, slots=True)
class AlertText:
    """An alert as a sentence, and what to do next ("" for a code that has no text)."""

    sentence: str
    do: str


@dataclass(frozen=True, slots=True)
class Texts:
    """All texts of one language."""

    language: Language
    table: Mapping[str, Mapping[str, Any]]

    def get(self, key: str, /, **values: object) -> str:
        """The text of ``section.key`` with its ``{name}`` places filled; raises ConfigError when it is missing."""
        section, _, name = key.partition(".")
        try:
            text: str = self.table[section][name]
        except KeyError:
            raise ConfigError(
                f"text {key} ({self.language})",
                seen="no such text",
                hint=f"add it to sync/central/admin/messages/{self.language}.toml",
            ) from None
        return text.format(**values) if values else text

    def marked(self, key: str, /, **values: object) -> Markup:
        """The same for a text that carries marks of its own; what is filled in is escaped."""
        return Markup(self.get(key)).format(**values)  # noqa: S704 - our own catalogue; Markup escapes the values

    def word(self, section: str, code: str) -> str:
        """The word for a code, or the code itself with spaces for one that is not ours."""
        found = self.table[section].get(code)
        return found if isinstance(found, str) else code.replace("_", " ")

    def words(self, section: str) -> Mapping[str, str]:
        """Every code of a section with its word, in the order of the file."""
        return self.table[section]

    def code_of(self, section: str, word: str) -> str:
        """The code of a word as it was chosen or typed; what is no word of the section is returned unchanged."""
        return next((code for code, known in self.table[section].items() if known == word), word)

    def alert(self, code: str) -> AlertText:
        """An alert's sentence and what to do; a code without a text stands for itself."""
        found = self.table["alert"].get(code)
        return AlertText(code.replace("_", " "), "") if found is None else AlertText(found["sentence"], found["do"])

    def span(self, span_us: int | None) -> str:
        """``850 ms``, ``4.2 s``, ``12 min``, ``3.5 h``, ``2.1 d``, or a dash."""
        if span_us is None:
            return "–"
        seconds = span_us / 1e6
        for limit, unit, divisor in (
            (1.0, "ms", 0.001),
            (120.0, "s", 1.0),
            (7200.0, "min", 60.0),
            (172_800.0, "h", 3600.0),
        ):
            if abs(seconds) < limit:
                value = seconds / divisor
                whole = unit in ("ms", "min") or value == int(value)
                return self.get(f"span.{unit}", n=f"{round(value)}" if whole else f"{value:.1f}")
        return self.get("span.d", n=f"{seconds / 86_400:.1f}")

    def reasons(self, codes: str) -> str:
        """The sentences of reasons, given as codes between spaces."""
        between = "" if self.language is Language.ZH else " "
        return between.join(self.word("reason", code) for code in codes.split())

    def checks(self, checks: str) -> str:
        """The checks that did not simply pass, in words; that all passed when there is none."""
        try:
            states: dict[str, str] = json.loads(checks)
        except ValueError:
            return checks
        other = [
            self.get("check_line.one", check=self.word("check", name), state=self.word("check_state", str(state)))
            for name, state in states.items()
            if state != "pass"
        ]
        return self.get("check_line.between").join(other) or (self.get("passages.all_passed") if states else "–")


@cache
def texts(language: Language) -> Texts:
    """The shipped texts of a language."""
    path = resources.files("sync.central.admin") / "messages" / f"{language}.toml"
    return Texts(language, tomllib.loads(path.read_text(encoding="utf-8")))


def local_time(at_us: int | None, zone: ZoneInfo) -> str:
    """``2026-11-21 22:56:02`` in the site's zone, or a dash."""
    if at_us is None:
        return "–"
    try:
        moment = datetime.fromtimestamp(0, UTC) + timedelta(microseconds=at_us)
        return moment.astimezone(zone).strftime("%Y-%m-%d %H:%M:%S")
    except (OverflowError, ValueError):
        return f"{at_us} µs"


def size(count: int) -> str:
    """``812 B``, ``4.1 kB``, ``1.2 MB``."""
    if count < 1000:
        return f"{count} B"
    return f"{count / 1000:.1f} kB" if count < 1_000_000 else f"{count / 1_000_000:.1f} MB"


def local_detail(detail: str, zone: ZoneInfo) -> str:
    """An alert's detail with its ``(2026-11-21 08:00 UTC)`` in the site's zone: ``(2026-11-21 16:00)``."""
    return _UTC_TIME.sub(lambda found: f"({_in_zone(found[1], zone)})", detail)


def _in_zone(utc_text: str, zone: ZoneInfo) -> str:
    try:
        moment = datetime.strptime(utc_text, "%Y-%m-%d %H:%M").replace(tzinfo=UTC)
        return moment.astimezone(zone).strftime("%Y-%m-%d %H:%M")
    except (ValueError, OverflowError):
        return f"{utc_text} UTC"
