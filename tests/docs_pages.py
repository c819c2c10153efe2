"""Writes the docs pages that are lists of what the code has: ``python -m tests.docs_pages``.

``tests/unit/test_docs.py`` fails while a page differs from what this prints.
"""

from __future__ import annotations

import tomllib
import typing
from collections.abc import Iterator
from enum import StrEnum
from typing import Any

import typer.main

from config.central import CentralSettings
from config.loader import PREFIX, Section, known_keys
from config.settings import Settings
from kiosk.reasons import PRIVATE_REASONS, Reason
from tests.conftest import ROOT

DOCS = ROOT / "docs"


def settings_page() -> str:
    """docs/settings.md: every key of the kiosk's settings, and of the central's."""
    lines = [
        "# Settings",
        "",
        "One TOML file (`--config`, or the variable `GATEPOST_CONFIG`; `config/gate.toml` is a commented example),",
        f"then the environment: `[web] port` is `{PREFIX}WEB__PORT`. Lanes come from the file only. An unknown key or",
        "variable is an error that names the nearest known one. `gatepost config explain` prints this list with your",
        "values.",
        "",
        *_settings_table(Settings),
        "",
        "## The central's settings",
        "",
        "`gatepost-central serve --config FILE`; `config/central.toml` is a commented example. The environment",
        f"counts as above: `[central] port` is `{PREFIX}CENTRAL__PORT`.",
        "",
        *_settings_table(CentralSettings),
    ]
    return "\n".join(lines) + "\n"


def _settings_table(model: type[Section]) -> list[str]:
    rows = ["| key | default | meaning |", "|---|---|---|"]
    for key, field in known_keys(model):
        default = "*required*" if field.is_required() else f"`{_shown(field.get_default(call_default_factory=True))}`"
        rows.append(f"| `{key}` | {default} | {_cell(field.description or '')} |")
    return rows


def _shown(value: Any) -> str:
    if isinstance(value, StrEnum):
        return str(value)
    return "none" if value is None else str(value) if value != "" else '""'


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def reasons_page() -> str:
    """docs/reasons.md: every reason with what people are told."""
    messages = {
        language: tomllib.loads((ROOT / f"kiosk/screens/messages/{language}.toml").read_text(encoding="utf-8"))
        for language in ("zh-CN", "en")
    }
    lines = [
        "# Reasons",
        "",
        "Why a verdict is what it is, in the order in which the first is chosen when several are true. The code goes",
        "unchanged into the journal, the central and its exports. A private reason shows the resident one shared",
        "sentence; the detail is on the guard's console alone.",
        "",
        "| code | guard's console (zh-CN) | guard's console (en) | private |",
        "|---|---|---|---|",
    ]
    for reason in Reason:
        texts = [_guard_text(messages[language], reason) for language in ("zh-CN", "en")]
        private = "yes" if reason in PRIVATE_REASONS else ""
        lines.append(f"| `{reason}` | {_cell(texts[0])} | {_cell(texts[1])} | {private} |")
    return "\n".join(lines) + "\n"


def _guard_text(messages: dict[str, Any], reason: Reason) -> str:
    entry = messages["reason"][str(reason)]
    return str(entry["guard"] if isinstance(entry, dict) else entry)


def commands_page() -> str:
    """docs/commands.md: the help of every command."""
    from kiosk.cli import app as gatepost
    from sync.central.cli import app as central
    from sync.cli import app as sync

    lines = ["# Commands", "", "What `--help` says of each; a test keeps this page in step.", ""]
    for name, app in (("gatepost", gatepost), ("gatepost-sync", sync), ("gatepost-central", central)):
        for path, command in _commands(typer.main.get_command(app), name):
            lines += [f"## {path}", "", (command.help or "").strip(), ""]
            rows = list(_options(command))
            if rows:
                lines += ["| option | meaning |", "|---|---|", *rows, ""]
    return "\n".join(lines).rstrip() + "\n"


def _commands(command: Any, path: str) -> Iterator[tuple[str, Any]]:
    if hasattr(command, "commands"):
        if command.invoke_without_command:
            yield path, command
        for name in sorted(command.commands):
            yield from _commands(command.commands[name], f"{path} {name}")
    elif not command.hidden:
        yield path, command


def _options(command: Any) -> Iterator[str]:
    for parameter in command.params:
        if parameter.name == "help":
            continue
        is_argument = parameter.param_type_name == "argument"
        shown = parameter.name.upper() if is_argument else ", ".join(parameter.opts)
        yield f"| `{shown}` | {_cell(getattr(parameter, 'help', '') or '')} |"


PAGES: dict[str, typing.Callable[[], str]] = {
    "settings.md": settings_page,
    "reasons.md": reasons_page,
    "commands.md": commands_page,
}


def main() -> None:
    """Write every page."""
    for name, page in PAGES.items():
        (DOCS / name).write_text(page(), encoding="utf-8")
        print(f"docs/{name}")


if __name__ == "__main__":
    main()
