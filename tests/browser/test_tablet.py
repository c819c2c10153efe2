"""The console on a tablet, in a real browser over TLS: the pairing page, then a log-in, then verdicts by events."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Route, expect

from config.tablet import Tablet
from kiosk.board import Emergency
from kiosk.clock import SystemClock
from kiosk.screens.app import create_app
from kiosk.screens.guards import Guard, GuardBook, hash_secret
from kiosk.screens.hub import Hub
from kiosk.screens.preview import PreviewGate, busy_view, kiosk_view, scenes
from kiosk.screens.server import ScreensServer
from kiosk.screens.tablet_door import TabletDoor
from kiosk.tablet_book import TabletBook
from kiosk.tablet_certificate import CERTIFICATE, KEY, CertificateFiles, make_certificate, tls_context
from tests.browser.conftest import HASHER, SECRET
from tests.browser.test_readable import violations

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]


@dataclass
class Gatehouse:
    """The second listener, and a tablet's browser that has installed the site's authority."""

    hub: Hub
    gate: PreviewGate
    book: TabletBook
    server: ScreensServer
    context: BrowserContext

    def page(self) -> tuple[Page, list[str]]:
        page, bad = self.context.new_page(), []
        page.on("request", lambda r: None if r.url.startswith(self.server.address) else bad.append(r.url))
        page.on("pageerror", lambda error: bad.append(str(error)))
        page.add_init_script("addEventListener('securitypolicyviolation', (e) => console.error('CSP ' + e.blockedURI))")
        page.on("console", lambda m: bad.append(m.text) if m.type in ("error", "warning") else None)
        return page, bad

    def paired(self) -> tuple[Page, list[str]]:
        page, bad = self.page()
        page.goto(self.server.address)
        page.fill("[name=code]", self.book.new_code("tablet", now=SystemClock(None).now()))
        page.click("button[type=submit]")
        page.wait_for_selector("[name=login]")
        page.wait_for_load_state()  # the script that hears a held button has begun
        return page, bad


def log_in(page: Page) -> None:
    page.fill("[name=login]", "wang")
    page.fill("[name=secret]", SECRET)
    page.press("[name=secret]", "Enter")
    page.wait_for_selector(".lanes")
    page.wait_for_load_state()  # the script that hears keys has begun


@pytest.fixture
def gatehouse(tmp_path: Path, browser: Browser) -> Iterator[Gatehouse]:
    make_certificate(tmp_path, Tablet(host="127.0.0.1"), now=datetime.now(UTC))
    hub, book = Hub(clock_ns=lambda: 0), TabletBook(tmp_path)
    gate = PreviewGate(hub)
    guards = GuardBook({"wang": Guard("wang", "王师傅", hash_secret(SECRET, HASHER))}, hasher=HASHER)
    door = TabletDoor(book, SystemClock(None).now)
    app = create_app(hub, gate, guards=guards, door=door, allowed_hosts=("127.0.0.1",), heartbeat_s=0.1)
    hub.publish(busy_view(2))
    context = tls_context(CertificateFiles(tmp_path / CERTIFICATE, tmp_path / KEY))
    server = ScreensServer(app, tls=context)
    server.start()
    # Chromium keeps authorities in a store of its own; tests/integration/test_tablet_console.py checks the chain.
    tablet = browser.new_context(ignore_https_errors=True, viewport={"width": 800, "height": 1280}, has_touch=True)
    yield Gatehouse(hub, gate, book, server, tablet)
    tablet.close()
    server.stop()


def test_a_tablet_is_paired_logs_in_and_hears_verdicts(gatehouse: Gatehouse) -> None:
    """Typed as shown; then the same console as on the kiosk, live, with nothing blocked and nothing asked elsewhere."""
    page, bad = gatehouse.page()
    page.goto(gatehouse.server.address + "/guard")
    assert page.url.endswith("/pair")
    assert violations(page) == []
    code = gatehouse.book.new_code("岗亭平板", now=SystemClock(None).now())
    page.fill("[name=code]", code.lower())
    page.click("button[type=submit]")
    log_in(page)
    gatehouse.hub.publish(kiosk_view(*(replace(lane, passage="p9") for lane in busy_view(2, 1).lanes)))
    expect(page.locator("#panel-east-in .panel")).to_have_attribute("data-passage", "p9")
    assert bad == []
    assert page.evaluate("document.cookie") == ""


def test_a_paired_tablet_opens_in_an_emergency_while_locked(gatehouse: Gatehouse) -> None:
    """Two seconds of a finger on the locked console; no name, no secret."""
    page, _ = gatehouse.paired()
    page.locator("form.hold button").last.hover()
    page.mouse.down()
    expect(page.locator("#toast")).to_have_class("shown")
    page.mouse.up()
    assert gatehouse.gate.commands == [Emergency(lane="", open=True)]


def test_a_revoked_tablets_page_goes_by_itself(gatehouse: Gatehouse) -> None:
    """What it shows is gone within a heartbeat, without a touch."""
    page, _ = gatehouse.paired()
    log_in(page)
    gatehouse.hub.publish(kiosk_view(scenes()["fever"]))
    gatehouse.book.revoke(gatehouse.book.listed()[0].tablet_id)
    page.wait_for_url("**/pair")
    assert page.locator(".lanes").count() == 0


@pytest.mark.parametrize("held_back", ["**/static/sound.js", "**/events/guard"])
def test_a_tablet_revoked_while_its_page_loads_loses_it_too(gatehouse: Gatehouse, held_back: str) -> None:
    """Drawn, but not yet listening: its script or its events come after the door was closed."""
    page, _ = gatehouse.paired()
    tablet_id = gatehouse.book.listed()[0].tablet_id

    def too_late(route: Route) -> None:
        gatehouse.book.revoke(tablet_id)
        route.continue_()

    page.route(held_back, too_late)
    log_in(page)
    page.wait_for_url("**/pair")
    assert page.locator(".lanes").count() == 0
