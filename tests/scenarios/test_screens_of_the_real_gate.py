"""An admission and a refusal appear on both screens, in a real browser, through the whole real gate.

With ``--screenshots`` the pictures of ``docs/img/demo-*.png`` are made anew.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from kiosk.demo.house import GUARD_LOGIN
from tests.chromium import chromium
from tests.conftest import ROOT
from tests.scenarios.conftest import RunningGate

pytestmark = [
    pytest.mark.slow,
    pytest.mark.browser,
    pytest.mark.xdist_group("whole-gate"),
    pytest.mark.timeout(180),
]

SOON_MS = 15_000


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One Chromium for this file."""
    with chromium() as browser:
        yield browser


@pytest.fixture
def pages(gate: RunningGate, browser: Browser) -> Iterator[tuple[Page, Page]]:
    """The resident's screen and the guard's console, logged in."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    resident, guard = context.new_page(), context.new_page()
    resident.goto(f"{gate.house.addresses.gate}/lane/in")
    guard.goto(f"{gate.house.addresses.gate}/guard")
    guard.fill("[name=login]", GUARD_LOGIN)
    guard.fill("[name=secret]", gate.house.guard_secret)
    guard.click("button[type=submit]:has-text('登录')")
    guard.wait_for_selector(".lanes")
    yield resident, guard
    context.close()


def keep(page: Page, name: str, wanted: bool) -> None:
    """A picture for the docs, when asked for."""
    if wanted:
        page.screenshot(path=ROOT / f"docs/img/demo-{name}.png")


def test_an_admission_and_a_refusal_appear_on_both_screens(
    gate: RunningGate, pages: tuple[Page, Page], pytestconfig: pytest.Config
) -> None:
    """The resident reads 请通行 and sees no personal datum; the guard reads category, checks and reason."""
    wanted = bool(pytestconfig.getoption("--screenshots"))
    resident, guard = pages
    admit = gate.start("resident_well")
    expect(resident.locator("[data-face=admit]")).to_be_visible(timeout=SOON_MS)
    expect(guard.locator("[data-lane=in][data-face=admit]")).to_be_visible(timeout=SOON_MS)
    expect(resident.locator("h1")).to_have_text("请通行")
    keep(resident, "resident-admit", wanted)
    keep(guard, "guard-admit", wanted)
    assert admit.result(30).as_scripted

    deny = gate.start("staff_expired_code")
    expect(resident.locator("[data-face=deny]")).to_be_visible(timeout=SOON_MS)
    expect(guard.locator("[data-lane=in][data-face=deny]")).to_be_visible(timeout=SOON_MS)
    expect(guard.locator("[data-lane=in] .reason")).to_contain_text("过期")
    assert "staff" not in resident.content().lower()
    keep(resident, "resident-deny", wanted)
    keep(guard, "guard-deny", wanted)
    assert deny.result(30).as_scripted


def test_the_central_shows_what_was_synced(
    gate: RunningGate,
    browser: Browser,
    pytestconfig: pytest.Config,
) -> None:
    """An admin finds the kiosk's batches in the sync log and its passages in the list."""
    outcome = gate.play("resident_well")
    assert outcome.admit
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()
    page.goto(f"{gate.house.addresses.central}/")
    page.fill("[name=name]", "admin")
    page.fill("[name=passphrase]", gate.house.admin_secret)
    page.click("form.login button")
    page.wait_for_url("**/admin/kiosks")
    wanted = bool(pytestconfig.getoption("--screenshots"))
    for path, text in (("sync-log", "demo-north-1"), ("passages", "各项检查通过")):
        page.goto(f"{gate.house.addresses.central}/admin/{path}")
        for _ in range(20):
            if text in "".join(page.locator("tbody").all_inner_texts()):
                break
            page.wait_for_timeout(500)
            page.reload()
        assert text in "".join(page.locator("tbody").all_inner_texts())
        keep(page, f"central-{path}", wanted)
    context.close()
