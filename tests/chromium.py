"""Debian's headless Chromium for tests that look at pages."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

# No sandbox because tests may run as root; the rest keeps the browser from calling home.
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",  # as on a kiosk, where nobody touches the page
]


@contextmanager
def chromium() -> Iterator[Browser]:
    """A running browser; the test skips where none is installed, but fails in CI.

    Close it before other tests of the process use an event loop: playwright keeps one of its own.
    """
    program = shutil.which("chromium")
    if program is None:
        message = "no chromium: make env installs it"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield browser
        browser.close()


def wait_until(page: Page, expression: str, arg: object = None, *, timeout_ms: float = 15_000) -> None:
    """Wait until the expression holds on the page; fails after ``timeout_ms``.

    Not playwright's ``wait_for_function``: that polls by ``eval`` inside the page, which our policy forbids.
    """
    waited_ms = 0.0
    while not page.evaluate(expression, arg):
        assert waited_ms < timeout_ms, f"not so within {timeout_ms / 1000:.0f} s: {expression}"
        page.wait_for_timeout(50)
        waited_ms += 50
