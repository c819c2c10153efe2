"""The central's pages in a real browser: they fit desk and phone, accuse nobody's eyes, and refresh without disturbing.

With ``--screenshots`` the pictures of ``docs/img/central-*.png`` are made anew.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect
from sqlalchemy import delete

from sync.central.alert_mail import AlertChannel
from sync.central.alert_message import Bundle
from sync.central.alerts import raise_alert
from sync.central.notifier import Telling
from sync.central.tables import Session, table
from tests.browser.screenshots import MAX_BYTES, indexed_png
from tests.central_office import PASSPHRASE, Office, served
from tests.chromium import wait_until
from tests.conftest import ROOT

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]

PAGES = ("login", "kiosks", "sync-log", "passages", "report", "documents", "phones", "quarantine", "audit", "orders")
SIZES = {"desk": (1280, 800), "phone": (390, 844)}
NEW_KIOSK = "form.filter [name=kiosk_id]"
PICTURES = {
    ("kiosks", "desk", "zh-CN"): "kiosks",
    ("kiosks", "desk", "en"): "kiosks-en",
    ("kiosks", "phone", "zh-CN"): "kiosks-phone",
    ("passages", "desk", "zh-CN"): "passages",
    ("report", "desk", "zh-CN"): "report",
    ("documents", "desk", "zh-CN"): "documents",
    ("sync-log", "desk", "zh-CN"): "sync-log",
}


def keep(page: Page, name: str | None, wanted: bool) -> None:
    """A picture for the docs, when asked for."""
    if name is not None and wanted:
        picture = indexed_png(page.screenshot())
        assert len(picture) < MAX_BYTES, name
        (ROOT / f"docs/img/central-{name}.png").write_bytes(picture)


class NoMail:
    """A channel by name: the office's mail is down, and nothing is sent from here."""

    name = "email"

    def send(self, bundle: Bundle) -> None:
        """Never called: the channel rests after its failure."""


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Office:
    channel: AlertChannel = NoMail()
    office = Office(tmp_path_factory.mktemp("office"), telling=Telling(channels=(channel,))).furnish()
    office.mail_fails()
    return office


@pytest.fixture(scope="module")
def address(office: Office) -> Iterator[str]:
    with served(office) as address:
        yield address


class Desk:
    """One browser at the office; ``said`` is what its console complained of."""

    def __init__(self, browser: Browser, address: str, size: str, language: str) -> None:
        width, height = SIZES[size]
        self.context = browser.new_context(viewport={"width": width, "height": height}, locale=language)
        self.address, self.language = address, language
        self.page = self.context.new_page()
        self.said: list[str] = []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))

    def sign_in(self) -> Page:
        """As 李主任, an admin."""
        self.page.goto(f"{self.address}/admin/login?lang={self.language}")
        self.page.fill("[name=name]", "李主任")
        self.page.fill("[name=passphrase]", PASSPHRASE)
        self.page.click("form.login button")
        self.page.wait_for_url("**/admin/kiosks")
        return self.page


def violations(page: Page) -> list[dict[str, Any]]:
    """What axe-core has to say against a page."""
    found: list[dict[str, Any]] = Axe().run(page).response["violations"]
    return found


@pytest.mark.parametrize("language", ["zh-CN", "en"])
@pytest.mark.parametrize("size", SIZES)
def test_every_page_fits_and_can_be_read(
    browser: Browser, address: str, size: str, language: str, pytestconfig: pytest.Config
) -> None:
    """Nothing sticks out sideways, no policy is broken, and axe-core finds nothing to mend."""
    desk = Desk(browser, address, size, language)
    desk.sign_in()
    found: list[str] = []
    for name in PAGES:
        desk.page.goto(f"{address}/admin/{name}")
        assert desk.page.evaluate("document.documentElement.scrollWidth") == SIZES[size][0], name
        assert desk.page.evaluate("document.documentElement.lang") == language
        keep(desk.page, PICTURES.get((name, size, language)), bool(pytestconfig.getoption("--screenshots")))
        if (size == "desk") is (language == "zh-CN"):  # each size and each language once: axe takes its time
            found += [f"{name}: {each['id']} {each['nodes'][0]['html'][:200]}" for each in violations(desk.page)]
    assert found == []
    assert desk.said == []
    desk.context.close()


def raise_now(office: Office, kiosk_id: str) -> None:
    with office.store.writing() as connection:
        raise_alert(connection, office.clock.at_us, "kiosk_tamper", kiosk_id, "")


def pass_time(page: Page, seconds: int) -> None:
    """The page's own timers, in no time."""
    page.clock.fast_forward(seconds * 1000)


def test_a_live_page_refreshes_without_disturbing(browser: Browser, address: str, office: Office) -> None:
    """A new alert appears and is counted in menu and title; the half-filled form, focus and scroll position stay."""
    desk = Desk(browser, address, "phone", "zh-CN")
    desk.page.clock.install()
    page = desk.sign_in()
    before = int(page.locator("#open-alerts b").inner_text())
    page.fill(NEW_KIOSK, "gate-of-tomo")
    page.evaluate("scrollTo(0, 700)")
    top = page.evaluate("scrollY")
    assert top == 700
    raise_now(office, "gate-live-1")
    pass_time(page, 21)
    expect(page.locator("#alerts")).to_contain_text("gate-live-1")
    assert page.locator("#open-alerts b").inner_text() == str(before + 1)
    assert page.title().startswith(f"({before + 1}) ")
    assert page.input_value(NEW_KIOSK) == "gate-of-tomo"
    assert page.evaluate("document.activeElement.name") == "kiosk_id"
    assert page.evaluate("scrollY") == top
    assert desk.said == []
    desk.context.close()


def test_a_button_under_the_pointer_does_not_run_away(browser: Browser, address: str, office: Office) -> None:
    """While somebody is about to press, the list waits; the count does not, and the list follows later."""
    desk = Desk(browser, address, "desk", "zh-CN")
    desk.page.clock.install()
    page = desk.sign_in()
    pass_time(page, 19)
    page.hover("#alerts li:first-child button")
    before = page.locator("#alerts li").count()
    raise_now(office, "gate-live-2")
    with page.expect_response("**/admin/kiosks"):
        pass_time(page, 2)
    wait_until(page, "n => document.querySelector('#open-alerts b').innerText === String(n)", before + 1)
    assert page.locator("#alerts li").count() == before
    pass_time(page, 6)
    expect(page.locator("#alerts li")).to_have_count(before + 1)
    desk.context.close()


def test_the_focus_stays_on_its_button_in_a_list_that_changed(browser: Browser, address: str, office: Office) -> None:
    """Somebody who works by keyboard is on the same alert as before."""
    desk = Desk(browser, address, "desk", "zh-CN")
    desk.page.clock.install()
    page = desk.sign_in()
    button = page.locator("#alerts li:nth-child(2) button")
    name = button.get_attribute("id")
    button.focus()
    raise_now(office, "gate-live-3")
    pass_time(page, 21)
    expect(page.locator("#alerts")).to_contain_text("gate-live-3")
    assert page.evaluate("document.activeElement.id") == name
    desk.context.close()


def test_a_page_that_is_out_of_date_says_so(browser: Browser, address: str, office: Office) -> None:
    """Signed out elsewhere, or no network: the page does not go on showing an old calm; the form is still there."""
    desk = Desk(browser, address, "desk", "zh-CN")
    desk.page.clock.install()
    page = desk.sign_in()
    page.fill(NEW_KIOSK, "gate-of-tomo")
    desk.context.set_offline(True)
    pass_time(page, 21)
    expect(page.locator("#stale")).to_be_visible()
    assert page.title().startswith("⚠")
    desk.context.set_offline(False)
    pass_time(page, 21)
    expect(page.locator("#stale")).to_be_hidden()
    assert not page.title().startswith("⚠")
    with office.store.writing() as connection:
        connection.execute(delete(table(Session)))
    pass_time(page, 21)
    expect(page.locator("#stale")).to_be_visible()
    assert page.input_value(NEW_KIOSK) == "gate-of-tomo"
    desk.context.close()
