"""A headless Chromium and the screens' real server, with a scripted gate behind it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from argon2 import PasswordHasher
from playwright.sync_api import Browser, BrowserContext, Page, expect

from kiosk.board import KioskView
from kiosk.clock import SystemClock
from kiosk.screens.app import create_app
from kiosk.screens.guards import Guard, GuardBook, hash_secret
from kiosk.screens.hub import Hub
from kiosk.screens.preview import PreviewGate, busy_view
from kiosk.screens.server import ScreensServer
from kiosk.screens.speech import Speech
from kiosk.screens.tablet_pages import TabletDesk
from kiosk.screens.texts import Language, Texts, texts
from kiosk.tablet_book import TabletBook
from tests.chromium import chromium
from tests.integration.test_screens_app import OnePass, WaitingTrust

SECRET = "correct horse"
HASHER = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
# A loaded machine is slow, not wrong: every expectation waits this long before it fails.
PATIENCE_MS = 30_000
expect.set_options(timeout=PATIENCE_MS)

SIZES = {"7-inch": (800, 480), "10-inch": (1280, 800), "portrait": (1080, 1920)}


@dataclass
class Stage:
    """The served screens; a later ``clock["now_ns"]`` makes the hub's view older."""

    hub: Hub
    gate: PreviewGate
    server: ScreensServer
    context: BrowserContext
    clock: dict[str, int]

    def show(self, view: KioskView) -> None:
        """Publish a view."""
        self.hub.publish(view)

    def open(self, path: str, size: str = "10-inch", page: Page | None = None) -> Page:
        """A page of the kiosk in a window of one of the three sizes."""
        width, height = SIZES[size]
        page = page or self.context.new_page()
        page.set_viewport_size({"width": width, "height": height})
        page.goto(self.server.address + path)
        return page

    def log_in(self, size: str = "10-inch", page: Page | None = None) -> Page:
        """The console, logged in."""
        page = self.open("/guard", size, page)
        page.fill("[name=login]", "wang")
        page.fill("[name=secret]", SECRET)
        page.click("button[type=submit]:has-text('登录')")
        page.wait_for_selector(".lanes")
        page.wait_for_load_state()  # the script that hears keys has begun
        return page


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """One Chromium for all browser tests; closed before other tests use an event loop of their own."""
    with chromium() as browser:
        yield browser


@pytest.fixture
def make_stage(browser: Browser, tmp_path: Path) -> Iterator[Callable[..., Stage]]:
    """Stages with options of their own: texts, theme, a browser without script."""
    made: list[Stage] = []

    def make(
        *,
        texts_of: Callable[[Language], Texts] = texts,
        view: KioskView | None = None,
        speech: Speech | None = None,
        **context_options: object,
    ) -> Stage:
        # The gate's clock stands still, so that a view stays fresh however slow the machine is.
        clock = {"now_ns": 0}
        hub = Hub(clock_ns=lambda: clock["now_ns"])
        now = SystemClock(None).now
        tablets = TabletDesk(TabletBook(tmp_path), now, "https://192.168.7.20:8473", "5802 205c", lambda _: None)
        if not tablets.book.listed():
            tablets.book.pair(tablets.book.new_code("岗亭平板", now=now()), now=now())
        gate = PreviewGate(hub)
        guards = GuardBook({"wang": Guard("wang", "王师傅", hash_secret(SECRET, HASHER))}, hasher=HASHER)
        app = create_app(
            hub,
            gate,
            guards=guards,
            trust=WaitingTrust(),
            passes=OnePass(),
            speech=speech,
            tablets=tablets,
            site_code_text="https://example.org/place/east-gate",
            zone=ZoneInfo("Asia/Shanghai"),
            texts_of=texts_of,
            heartbeat_s=0.1,
        )
        hub.publish(view or busy_view(1))
        server = ScreensServer(app)
        server.start()
        stage = Stage(hub, gate, server, browser.new_context(**context_options), clock)  # type: ignore[arg-type]
        made.append(stage)
        return stage

    yield make
    for stage in made:
        stage.context.close()
        stage.server.stop()


@pytest.fixture
def stage(make_stage: Callable[..., Stage]) -> Stage:
    """A kiosk with one lane."""
    return make_stage()
