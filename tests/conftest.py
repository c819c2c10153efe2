"""Fixtures that every folder of tests shares."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# How long it takes to draw an example says how busy the machine is, and nothing of the code.
settings.register_profile("gatepost", suppress_health_check=[HealthCheck.too_slow], deadline=None)
settings.load_profile("gatepost")

ROOT = Path(__file__).resolve().parent.parent
VECTORS = Path(__file__).resolve().parent / "vectors"


def data_folder() -> Path | None:
    """The third-party test data: GATEPOST_TEST_DATA, else ../shared/data; None where it is missing."""
    folder = Path(os.environ.get("GATEPOST_TEST_DATA", ROOT.parent / "shared" / "data"))
    return folder if folder.is_dir() else None


@pytest.fixture(scope="session")
def test_data() -> Path:
    """The third-party test data; skips with the reason where it is missing, but fails in CI."""
    folder = data_folder()
    if folder is None:
        message = "no third-party test data: set GATEPOST_TEST_DATA to its folder"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return folder


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A campaign may take four hours, however it is started."""
    for item in items:
        if item.get_closest_marker("campaign") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(14400))


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--screenshots``: the browser tests also write the pictures of the docs."""
    parser.addoption("--screenshots", action="store_true", help="write the pictures of docs/img anew")
