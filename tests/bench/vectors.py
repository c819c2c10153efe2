"""Runs folders of test vectors: ``python -m tests.bench.vectors --data DIR``.

DIR is a folder of the layout of ``tests/vectors/cards`` or ``tests/vectors/thermometers``, or the folder above both.
Prints each failing case by its id and exits 1 when there is one. A file, or a list inside a file, that no runner
knows is a failure, because cases that nobody ran look like cases that passed; an absent file or list is none. No
case at all is a failure too.

A runner (``RUNNERS`` in ``vectors_cards.py`` and ``vectors_thermometers.py``) takes a file's contents and yields a
case's id with what is wrong with it, or None.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, ItemsView, Iterable, Iterator, ValuesView
from pathlib import Path
from typing import Any

from tests.bench import vectors_cards, vectors_thermometers

Outcome = tuple[str, str | None]
Runner = Callable[[dict[str, Any]], Iterable[Outcome]]

RUNNERS: dict[str, dict[str, Runner]] = {
    "cards": vectors_cards.RUNNERS,
    "thermometers": vectors_thermometers.RUNNERS,
}


class _Watched(dict[str, Any]):
    """A file's contents that remember which of their lists were asked for."""

    def __init__(self, contents: dict[str, Any]) -> None:
        super().__init__(contents)
        self.asked: set[str] = set()

    def __getitem__(self, key: str) -> Any:
        self.asked.add(key)
        return super().__getitem__(key)

    def get(self, key: str, default: Any = None) -> Any:
        self.asked.add(key)
        return super().get(key, default)

    def items(self) -> ItemsView[str, Any]:
        self.asked |= set(self)
        return super().items()

    def values(self) -> ValuesView[Any]:
        self.asked |= set(self)
        return super().values()

    def unasked(self) -> list[str]:
        """The lists (and tables of lists) that no runner looked at."""
        return [
            key
            for key, value in super().items()
            if key not in self.asked and not key.startswith("_") and isinstance(value, list | dict)
        ]


def run_file(path: Path, runners: dict[str, Runner]) -> Iterator[Outcome]:
    """Every case of one file; what goes wrong with the file itself is a failing case named after it."""
    runner = runners.get(path.stem)
    if runner is None:
        yield path.name, f"no runner knows this file (known: {', '.join(sorted(runners))})"
        return
    try:
        contents = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        yield path.name, f"not JSON: {error}"
        return
    if not isinstance(contents, dict):
        yield path.name, "not an object with lists of cases"
        return
    watched = _Watched(contents)
    try:
        yield from runner(watched)
    except Exception as error:  # noqa: BLE001 - a decoder that raises is the finding, and the next file must run too
        yield path.name, f"the runner ended with {type(error).__name__}: {error}"
        return
    for key in watched.unasked():
        yield f"{path.name}/{key}", "a list that no runner knows"


def files_of(data: Path) -> Iterator[tuple[Path, dict[str, Runner]]]:
    """The vector files of a folder with the runners that may know them."""
    anything = {stem: runner for runners in RUNNERS.values() for stem, runner in runners.items()}
    for path in sorted(data.glob("*.json")):
        yield path, anything
    for kind, runners in RUNNERS.items():
        for path in sorted((data / kind).glob("*.json")):
            yield path, runners


def main(arguments: list[str] | None = None) -> int:
    """Run the folder; 0 when every case passed."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.vectors", description="Runs folders of test vectors.")
    parser.add_argument("--data", type=Path, required=True, help="folder with the vector files")
    data: Path = parser.parse_args(arguments).data
    total = failed = 0
    for path, runners in files_of(data):
        outcomes = list(run_file(path, runners))
        failures = [(case, failure) for case, failure in outcomes if failure is not None]
        total, failed = total + len(outcomes), failed + len(failures)
        print(f"{'FAIL' if failures else 'ok  '} {path.name}: {len(outcomes) - len(failures)} of {len(outcomes)}")
        for case, failure in failures:
            print(f"     {case}: {failure}")
    if total == 0:
        print(f"no vector file under {data}")
    print(f"{total - failed} of {total} passed")
    return 1 if failed or total == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
