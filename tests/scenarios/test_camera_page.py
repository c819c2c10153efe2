"""The guard aims a camera on the console while the real gate runs: a real browser, a film in place of the camera."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from drivers.opencv import cv2
from tests.browser.test_readable import OPTIONS
from tests.chromium import chromium, wait_until
from tests.conftest import ROOT
from tests.scenarios.camera_gate import GUARD, SECRET, CameraGate, code

pytestmark = [
    pytest.mark.slow,
    pytest.mark.browser,
    pytest.mark.xdist_group("whole-gate"),
    pytest.mark.timeout(180),
]

SOON_MS = 20_000
FPS = 15
TEXT = "HC1:NCFOXN%TSMAHN-HPS4G$J5E4PXI" + "6BFOXN" * 30


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One Chromium for this file."""
    with chromium() as browser:
        yield browser


@cache
def doorway() -> np.ndarray:
    """What is behind: far, so blurred."""
    y, x = np.mgrid[0:720, 0:1280]
    room = (70 + 50 * np.sin(x / 210) * np.cos(y / 170) + 40 * (x > 900)).astype(np.float32)
    return cv2.GaussianBlur(room, (0, 0), 9)


def lane(number: int) -> np.ndarray:
    """A hand and a phone with a code before a doorway, in a camera's noise: 1280x720."""
    rng = np.random.default_rng(number)
    picture = doorway().copy()
    sway = round(4 * np.sin(number / 6.4))
    hand = np.array([[380 + sway, 720], [430 + sway, 420], [860 + sway, 420], [960 + sway, 720]], np.int32)
    cv2.fillConvexPoly(picture, hand, 150.0)
    picture[110:640, 470 + sway : 800 + sway] = 28
    phone = code(TEXT, scale=4)
    phone = cv2.resize(phone, (290, 290), interpolation=cv2.INTER_AREA).astype(np.float32) * 0.8 + 25
    picture[200:490, 490 + sway : 780 + sway] = phone
    return np.clip(picture + rng.normal(0, 3, picture.shape), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CameraGate]:
    """The gate program over a film of four seconds, again and again."""
    folder: Path = tmp_path_factory.mktemp("camera")
    film = folder / "lane.avi"
    writer = cv2.VideoWriter(str(film), cv2.VideoWriter.fourcc(*"MJPG"), FPS, (1280, 720), False)
    for number in range(40):
        writer.write(lane(number))
    writer.release()
    gate = CameraGate(folder, "video", film)
    yield gate
    gate.stop()


@pytest.fixture
def page(gate: CameraGate, browser: Browser) -> Iterator[Page]:
    """The console, logged in."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()
    page.goto(f"{gate.address}/guard")
    page.fill("[name=login]", GUARD)
    page.fill("[name=secret]", SECRET)
    page.click("button[type=submit]:has-text('登录')")
    page.wait_for_selector(".lanes")
    yield page
    context.close()


def number_of(page: Page, word: str) -> float:
    """The figure beside a word."""
    text = page.locator("#figures dl div", has_text=word).locator("dd").inner_text()
    return float(text.split()[0])


def test_a_guard_sees_the_live_picture_with_boxes_rates_and_sharpness(
    gate: CameraGate, page: Page, pytestconfig: pytest.Config
) -> None:
    """From the console by two clicks; the picture moves, the code has its green box, the advice is that all is well."""
    assert page.evaluate("[document.documentElement.scrollWidth, document.documentElement.scrollHeight]") == [1280, 800]
    page.click("nav summary")
    page.click("a[href='/guard/camera']")
    expect(page.locator("h1")).to_contain_text("in")
    expect(page.locator(".advice-code_read")).to_be_visible(timeout=SOON_MS)
    wait_until(page, "document.getElementById('picture').src.endsWith('n=5')", timeout_ms=SOON_MS)
    wait_until(page, "document.getElementById('picture').naturalWidth === 640", timeout_ms=SOON_MS)
    jpeg = page.context.request.get(f"{gate.address}/guard/camera/in/picture").body()
    picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    green = (picture[:, :, 1].astype(int) - picture[:, :, 2]) > 80
    columns, rows = green.any(axis=0).nonzero()[0], green.any(axis=1).nonzero()[0]
    # The code's modules stand at 245 to 390 by 100 to 245 in the small picture, within a quiet zone.
    assert 243 <= columns[0] < columns[-1] <= 394, "the box lies around the code"
    assert 98 <= rows[0] < rows[-1] <= 247
    expect(page.locator("#sharpest")).to_contain_text("%")
    wait_until(page, "Number(document.querySelector('#figures dl dd').textContent) > 0", timeout_ms=SOON_MS)
    assert 5 < number_of(page, "每秒画面") < 25
    assert number_of(page, "每秒读出") > 0
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280
    if pytestconfig.getoption("--screenshots"):
        page.screenshot(path=ROOT / "docs/img/screen-guard-camera-zh.png")
        page.goto(f"{gate.address}/guard?lang=en")
        page.goto(f"{gate.address}/guard/camera")
        expect(page.locator(".advice-code_read")).to_be_visible(timeout=SOON_MS)
        wait_until(page, "document.getElementById('picture').src.endsWith('n=5')", timeout_ms=SOON_MS)
        page.wait_for_timeout(1500)
        page.screenshot(path=ROOT / "docs/img/screen-guard-camera-en.png")


def test_the_page_for_aiming_is_readable(page: Page, gate: CameraGate) -> None:
    """axe finds nothing, with the contrast of 7:1, in both languages; nothing is cut off on a small tablet."""
    for language in ("zh-CN", "en"):
        page.goto(f"{gate.address}/guard?lang={language}")
        assert page.locator("nav").bounding_box()["height"] < 60, "the console's strip still has one line"
        page.goto(f"{gate.address}/guard/camera/in")
        found = Axe().run(page, options=OPTIONS).response["violations"]
        assert [(v["id"], n["html"][:120]) for v in found for n in v["nodes"]] == []
    page.set_viewport_size({"width": 800, "height": 480})
    assert page.evaluate("document.documentElement.scrollWidth") <= 800


def test_a_page_that_nobody_sees_asks_for_nothing(page: Page, gate: CameraGate) -> None:
    """A hidden page makes the gate draw no picture."""
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "/camera/" in request.url else None)
    page.goto(f"{gate.address}/guard/camera/in")
    wait_until(page, "document.getElementById('picture').src.endsWith('n=2')", timeout_ms=SOON_MS)
    page.evaluate("Object.defineProperty(document, 'hidden', {get: () => true})")
    page.wait_for_timeout(1000)
    before = len(asked)
    page.wait_for_timeout(1500)
    assert len(asked) == before


def test_the_picture_is_gone_with_the_session(page: Page, gate: CameraGate) -> None:
    """Locking the console closes the page for aiming, and its address shows nothing to anybody else."""
    page.goto(f"{gate.address}/guard/camera/in")
    other = page.context.new_page()
    other.goto(f"{gate.address}/guard")
    other.click("form[action='/guard/logout'] button")
    page.wait_for_url("**/guard/login", timeout=SOON_MS)
    answer = page.context.request.get(f"{gate.address}/guard/camera/in/picture", max_redirects=0)
    assert answer.status == 303
