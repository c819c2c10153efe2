"""Reads typed settings from a TOML file and the environment, with errors that an installer can act on.

Precedence, lowest first: the defaults of the model, the TOML file, environment variables
``GATEPOST_<SECTION>__<KEY>`` (upper case, two underscores between the parts). Lists of tables (lanes) come from
the file only. A key that the model does not know is an error in either place, naming the nearest known one.
"""

from __future__ import annotations

import difflib
import json
import tomllib
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.fields import FieldInfo

from config.errors import ConfigError

PREFIX = "GATEPOST_"
#: Variables with our prefix that are not settings: the test data folder, and the file to read.
NOT_SETTINGS = frozenset({"GATEPOST_TEST_DATA", "GATEPOST_CONFIG"})
MAX_FILE_BYTES = 1_000_000

Model = TypeVar("Model", bound=BaseModel)


class Section(BaseModel):
    """Base of every group of settings: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


@dataclass(frozen=True, slots=True)
class Loaded(Generic[Model]):
    """Settings with where each dotted key came from: a file name, a variable name, or "default"."""

    settings: Model
    sources: Mapping[str, str]


def section_of(annotation: Any) -> type[BaseModel] | None:
    """The model inside an annotation such as ``X``, ``X | None``, ``tuple[X, ...]``; None for a plain value."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for inner in typing.get_args(annotation):
        found = section_of(inner)
        if found is not None:
            return found
    return None


def is_table_list(annotation: Any) -> bool:
    """Whether the annotation is a tuple of sections, written ``[[name]]`` in TOML."""
    return typing.get_origin(annotation) is tuple and section_of(annotation) is not None


def known_keys(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Every plain setting of a model as a dotted key with its field; list elements are written ``lane[].name``."""
    for name, field in model.model_fields.items():
        inner = section_of(field.annotation)
        if inner is None:
            yield prefix + name, field
        else:
            mark = "[]." if is_table_list(field.annotation) else "."
            yield from known_keys(inner, prefix + name + mark)


def nearest(word: str, known: list[str]) -> str:
    """A hint naming the nearest of the known words, or listing them all when none is near."""
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    if close:
        return f"did you mean {close[0]!r}?"
    return "known here: " + ", ".join(sorted(known))


def read_toml(path: Path) -> dict[str, Any]:
    """The table of a TOML file; ConfigError when it is missing, too large, unreadable or not TOML."""
    try:
        size = path.stat().st_size
        if size > MAX_FILE_BYTES:
            raise ConfigError(f"{path}", seen=f"{size} bytes", expected=f"at most {MAX_FILE_BYTES}")
        return parse_toml(path.read_bytes(), str(path))
    except FileNotFoundError:
        raise ConfigError(f"{path}", seen="no such file", hint="name the settings file with --config") from None
    except OSError as error:
        raise ConfigError(f"{path}", seen=error.strerror or str(error), expected="a readable file") from error


def parse_toml(body: bytes, source: str) -> dict[str, Any]:
    """The table of a TOML text of at most a megabyte; ConfigError naming ``source`` for anything else."""
    if len(body) > MAX_FILE_BYTES:
        raise ConfigError(source, seen=f"{len(body)} bytes", expected=f"at most {MAX_FILE_BYTES}")
    try:
        return tomllib.loads(body.decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(source, seen=str(error)[:200], expected="TOML in UTF-8") from error
    except RecursionError:
        raise ConfigError(source, seen="tables or lists too deep in one another", expected="TOML in UTF-8") from None


def load(model: type[Model], path: Path | None, environ: Mapping[str, str]) -> Loaded[Model]:
    """Read ``path`` (if any) and ``environ`` into ``model``; every error becomes one ConfigError naming all keys."""
    return load_table(model, read_toml(path) if path else {}, str(path or "settings"), environ)


def load_table(model: type[Model], table: dict[str, Any], source: str, environ: Mapping[str, str]) -> Loaded[Model]:
    """As :func:`load`, of a table that was read already; ``source`` names it in errors."""
    sources: dict[str, str] = {}
    _note_sources(table, "", source, sources)
    problems = list(_unknown(table, model, "", source))
    problems += _merge_environment(model, table, environ, sources)
    if problems:
        raise ConfigError("settings", seen="\n  " + "\n  ".join(problems))
    try:
        settings = model.model_validate(table)
    except ValidationError as error:
        raise ConfigError("settings", seen="\n  " + "\n  ".join(_explain(error, sources, source))) from None
    for key, _ in known_keys(model):
        if "[]" not in key:
            sources.setdefault(key, "default")
    return Loaded(settings, sources)


def _note_sources(table: Mapping[str, Any], prefix: str, source: str, into: dict[str, str]) -> None:
    for key, value in table.items():
        dotted = f"{prefix}{key}"
        if isinstance(value, Mapping):
            _note_sources(value, dotted + ".", source, into)
        elif isinstance(value, list) and value and all(isinstance(item, Mapping) for item in value):
            for index, item in enumerate(value):
                _note_sources(item, f"{dotted}[{index}].", source, into)
        else:
            into[dotted] = source


def _unknown(table: Mapping[str, Any], model: type[BaseModel], prefix: str, source: str) -> Iterator[str]:
    for key, value in table.items():
        field = model.model_fields.get(key)
        if field is None:
            yield f"{source}: unknown key {prefix + key!r}; {nearest(key, list(model.model_fields))}"
            continue
        inner = section_of(field.annotation)
        if inner is None:
            continue
        if isinstance(value, Mapping):
            yield from _unknown(value, inner, f"{prefix}{key}.", source)
        elif isinstance(value, list):
            for index, item in enumerate(value):
                if isinstance(item, Mapping):
                    yield from _unknown(item, inner, f"{prefix}{key}[{index}].", source)


def _merge_environment(
    model: type[BaseModel], table: dict[str, Any], environ: Mapping[str, str], sources: dict[str, str]
) -> Iterator[str]:
    by_variable = {
        PREFIX + key.upper().replace(".", "__"): (key, field) for key, field in known_keys(model) if "[]" not in key
    }
    for variable in sorted(environ):
        if not variable.startswith(PREFIX) or variable in NOT_SETTINGS:
            continue
        if variable not in by_variable:
            yield f"environment: unknown variable {variable!r}; {nearest(variable, list(by_variable))}"
            continue
        key, field = by_variable[variable]
        *path, last = key.split(".")
        place = table
        for part in path:
            place = place.setdefault(part, {})
        place[last] = _from_text(environ[variable], field)
        sources[key] = variable


def _from_text(text: str, field: FieldInfo) -> Any:
    # Collections are written as JSON in a variable; everything else is left for pydantic to convert.
    if typing.get_origin(field.annotation) in (tuple, list, dict):
        try:
            return json.loads(text)
        except ValueError:
            return text
    return text


def _explain(error: ValidationError, sources: Mapping[str, str], source: str) -> Iterator[str]:
    for problem in error.errors(include_url=False):
        dotted = ""
        for part in problem["loc"]:
            dotted += f"[{part}]" if isinstance(part, int) else (f".{part}" if dotted else str(part))
        where = sources.get(dotted) or source
        message = problem["msg"].removeprefix("Value error, ")
        seen = "" if problem["type"] == "missing" else f", seen {problem['input']!r:.120}"
        yield f"{where}: {dotted or 'settings'}: {message}{seen}"
