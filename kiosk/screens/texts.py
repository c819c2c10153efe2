"""The screens' texts: ``messages/zh-CN.toml`` and ``messages/en.toml``, key for key the same.

A text is found by section, key and field (``word``, ``resident`` or ``guard``). Codes that come from outside this
package's closed enums (a site's own category, a device's role) fall back to the code itself.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib import resources

from config.errors import ConfigError


class Language(StrEnum):
    """The languages every screen speaks; the value is the ``lang`` attribute (it chooses the Han glyphs)."""

    ZH = "zh-CN"
    EN = "en"


Table = Mapping[str, Mapping[str, Mapping[str, str]]]


@dataclass(frozen=True, slots=True)
class Texts:
    """All texts of one language."""

    language: Language
    table: Table

    def get(self, section: str, key: str, field: str = "guard", /, **values: object) -> str:
        """The text, with ``{name}`` places filled from ``values``; raises ConfigError when it is missing."""
        try:
            text = self.table[section][key][field]
        except KeyError:
            raise ConfigError(
                f"screen text {section}.{key}.{field} ({self.language})",
                seen="no such text",
                hint=f"add it to kiosk/screens/messages/{self.language}.toml",
            ) from None
        return text.format(**values) if values else text

    def find(self, section: str, key: str, field: str = "guard", *, default: str | None = None) -> str:
        """The text, or ``default`` (the key itself) for a code that this package does not own."""
        return self.table.get(section, {}).get(key, {}).get(field, key if default is None else default)

    def keys(self, section: str) -> tuple[str, ...]:
        """The keys of a section in the order of the file: the order in which a list of choices is shown."""
        return tuple(self.table.get(section, {}))


@cache
def texts(language: Language) -> Texts:
    """The shipped texts of a language."""
    path = resources.files("kiosk.screens") / "messages" / f"{language}.toml"
    return Texts(language, tomllib.loads(path.read_text(encoding="utf-8")))


def pseudo_locale(original: Texts) -> Texts:
    """The texts made 40 % longer, as a longer language would be: what still fits then will fit a translation."""

    def longer(text: str) -> str:
        extra = -(-len(text) * 2 // 5)
        # Words of four letters: a longer language has more words, not one endless word.
        return text + ("字" * extra if original.language is Language.ZH else (" mmmm" * extra)[:extra].rstrip() + "m")

    return Texts(
        original.language,
        {
            section: {key: {field: longer(text) for field, text in fields.items()} for key, fields in keys.items()}
            for section, keys in original.table.items()
        },
    )
