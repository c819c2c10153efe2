"""README and docs tell the truth: lists are generated, commands exist, links lead somewhere."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.docs_pages import DOCS, PAGES

TEXTS = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *DOCS.glob("*.md")])


@pytest.mark.parametrize("name", sorted(PAGES))
def test_generated_page_is_current(name: str) -> None:
    """`python -m tests.docs_pages` has been run since the code changed."""
    assert (DOCS / name).read_text(encoding="utf-8") == PAGES[name]()


@pytest.mark.parametrize("text", TEXTS, ids=lambda path: path.name)
def test_every_file_named_in_the_docs_is_there(text: Path) -> None:
    """Paths in backquotes and link targets exist."""
    content = text.read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:kiosk|drivers|sync|config|systemd|tests|docs|\.ci)/[A-Za-z0-9_./-]+)`", content))
    linked = {target for target in re.findall(r"\]\(([^)#:]+?)(?:#[^)]*)?\)", content) if "://" not in target}
    missing = [name for name in named if not (ROOT / name.rstrip("/")).exists()]
    missing += [target for target in linked if not (text.parent / target).exists()]
    assert missing == []


def test_every_make_target_named_in_the_docs_exists() -> None:
    """`make …` in a text is a target of the Makefile."""
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    named = {word for text in TEXTS for word in re.findall(r"`make ([a-z]+)", text.read_text(encoding="utf-8"))}
    assert named <= targets, named - targets


def test_every_command_named_in_the_docs_exists() -> None:
    """`gatepost …` in a text is a command, down to its sub-command."""
    known = re.findall(r"^## (gatepost\S*(?: [a-z-]+)+)$", (DOCS / "commands.md").read_text(), flags=re.MULTILINE)
    groups = {" ".join(command.split()[:-1]) for command in known}
    # A span that ends in a number is a domain-separation string such as `gatepost kiosk key 1`.
    command = re.compile(r"`(gatepost(?:-sync|-central)?) ([a-z][a-z-]*)(?: ([a-z][a-z-]+))?(?![^`]* \d+`)")
    for text in TEXTS:
        for program, first, second in command.findall(text.read_text(encoding="utf-8")):
            here = f"{program} {first}"
            assert here in known or f"{here} {second}" in known or (here in groups and not second), (text.name, here)


def test_nothing_refers_to_the_machine_it_was_made_on() -> None:
    """No path of a workplace and no registry host name in any tracked file; only tests know the shared data."""
    found = subprocess.run(
        ["git", "grep", "-nIE", r"/(root|work|home/[a-z]+)/", "--", ".", ":!tests/unit/test_docs.py"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.stdout == ""
    shared = subprocess.run(
        ["git", "grep", "-lI", r"\.\./shared"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.split()
    assert set(shared) <= {"tests/conftest.py", "tests/unit/test_docs.py"}


def test_the_lock_names_no_index_and_every_package_has_a_hash() -> None:
    """requirements.lock can be used with any index and accepts nothing unpinned."""
    lock = (ROOT / "requirements.lock").read_text()
    assert "://" not in lock
    assert "--index" not in lock
    pins = re.findall(r"^[a-z0-9_.-]+(?:\[[a-z,]+\])?==\S+.*$", lock, flags=re.MULTILINE | re.IGNORECASE)
    assert len(pins) > 40
    assert all(pin.rstrip().endswith("\\") for pin in pins), "a pin without a hash"
