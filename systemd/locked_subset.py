"""Prints the part of requirements.lock that some extras of the project need, with its hashes, for ``pip --no-deps``.

Usage: ``python3 locked_subset.py PYPROJECT LOCK EXTRA...``; the word ``build`` stands for what building a wheel needs.

The lock holds every extra at once, test tools too. Each entry of it says whom it is there for (``# via``), so the
entries that the wanted ones lead to are a closed set: never too few, at most a few too many. Standard library only,
because it runs before anything is installed.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

_NAME = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)")
_ENTRY = re.compile(r"^(?=[A-Za-z0-9])", re.MULTILINE)


def name_of(requirement: str) -> str:
    """The normalised name (PEP 503) that a requirement begins with; ValueError when it begins with none."""
    found = _NAME.match(requirement)
    if found is None:
        raise ValueError(f"no package name in {requirement!r}")
    return re.sub(r"[-_.]+", "-", found[1]).lower()


def wanted_roots(pyproject: str, extras: list[str]) -> set[str]:
    """The packages that the project asks for itself: always, and for each of ``extras``; KeyError for one unknown."""
    table = tomllib.loads(pyproject)
    asked: list[str] = []
    for extra in extras:
        if extra == "build":
            asked += table["build-system"]["requires"]
        else:
            asked += table["project"]["dependencies"] + table["project"]["optional-dependencies"][extra]
    return {name_of(requirement) for requirement in asked}


def subset(lock: str, roots: set[str]) -> str:
    """The entries of ``lock`` that ``roots`` lead to, as they stand; KeyError naming a root that is not in it."""
    entries: dict[str, str] = {}
    needs: dict[str, set[str]] = {}
    for entry in _ENTRY.split(lock):
        if not entry.strip() or entry.startswith("#"):
            continue
        name = name_of(entry)
        # A package may stand there twice, for older and newer Pythons; pip takes the one whose marker holds.
        entries[name] = entries.get(name, "") + entry
        for line in entry.partition("# via")[2].splitlines():
            parent = line.strip("# ").strip()
            if parent and not parent.startswith("-r "):
                needs.setdefault(name_of(parent), set()).add(name)
    taken: set[str] = set()
    following = set(roots)
    while following:
        name = following.pop()
        if name not in entries:
            raise KeyError(f"{name} is not in the lock; run make lock")
        taken.add(name)
        following |= needs.get(name, set()) - taken
    return "".join(entries[name] for name in sorted(taken))


def main() -> None:
    """The command line."""
    pyproject, lock, *extras = sys.argv[1:]
    print(subset(Path(lock).read_text(), wanted_roots(Path(pyproject).read_text(), extras)), end="")  # noqa: T201


if __name__ == "__main__":
    main()
