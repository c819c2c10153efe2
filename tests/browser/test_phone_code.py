"""The phone page in a real browser: its QR codes, judged by the gate's own verifier."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from datetime import timedelta
from urllib.parse import quote

import cv2
import numpy as np
import pytest
import uvicorn
import zxingcpp
from playwright.sync_api import Browser, Page
from starlette.applications import Starlette
from starlette.routing import Mount

from kiosk.credentials import CodeReason, CodeState, GateContext, gc1, verify_health_code
from kiosk.credentials.finding import code_finding
from kiosk.reasons import Reason
from sync.central.phone import phone_app
from tests.chromium import wait_until
from tests.unit.test_community_codes import COMMUNITY, NOW, a_code, trusting

pytestmark = pytest.mark.browser
STORE = trusting()
START = NOW + timedelta(hours=1)


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """The page, served as the central serves it."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        app = Starlette(routes=[Mount("/code", phone_app())])
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, log_level="error"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/code/"
        server.should_exit = True
        thread.join()


@pytest.fixture
def phone(browser: Browser, address: str) -> Iterator[Page]:
    """A phone whose clock stands at START; errors of the page fail the test."""
    context = browser.new_context(viewport={"width": 390, "height": 844})
    page = context.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    page.clock.install(time=START)
    page.goto(address)
    page.wait_for_selector("[data-when=no-code]:visible")
    yield page
    context.close()
    assert problems == []


def give(page: Page, address: str, **changes: object) -> None:
    """Issues a code for the phone's key and opens the link."""
    key = bytes.fromhex(page.text_content("#holder-key") or "")
    text = gc1.issue(
        a_code(issued_at=START, expires_at=START + timedelta(hours=2), holder_key=key, **changes), COMMUNITY
    )
    page.goto("about:blank")
    page.goto(address + "#" + quote(text))
    page.wait_for_selector("[data-when=ready]:visible")


def seen(page: Page) -> str:
    """What a scanner reads off the screen."""
    picture = cv2.imdecode(np.frombuffer(page.screenshot(), np.uint8), cv2.IMREAD_GRAYSCALE)
    found = zxingcpp.read_barcodes(picture)
    assert [code.text for code in found] == [page.get_attribute("body", "data-shown")]
    return str(found[0].text)


def test_the_phones_code_opens_the_gate_and_changes_every_thirty_seconds(phone: Page, address: str) -> None:
    """Read off the screen by the scanner's engine, valid at the gate, and another one half a minute later."""
    give(phone, address)
    first = seen(phone)
    assert verify_health_code(first, STORE, START).state is CodeState.VALID
    phone.clock.fast_forward(30_000)
    wait_until(phone, "text => document.body.dataset.shown !== text", first)
    second = seen(phone)
    assert verify_health_code(second, STORE, START + timedelta(seconds=30)).state is CodeState.VALID
    assert "GC1" not in phone.url


def test_a_screenshot_is_worthless_after_three_minutes(phone: Page, address: str) -> None:
    """The picture says so with the reason for which the resident's screen has the words "refresh your code"."""
    give(phone, address)
    screenshot = seen(phone)
    assert verify_health_code(screenshot, STORE, START + timedelta(seconds=180)).state is CodeState.VALID
    late = verify_health_code(screenshot, STORE, START + timedelta(seconds=211))
    assert late.reason is CodeReason.STALE
    assert code_finding(late, screenshot).refusal is Reason.CODE_STALE


def test_the_digits_on_the_gates_screen_are_signed_in(phone: Page, address: str) -> None:
    """Typed on the phone, they are in the next code at once."""
    give(phone, address)
    gate = GateContext(challenges=frozenset({"417"}))
    before = seen(phone)
    assert verify_health_code(before, STORE, START, gate).reason is CodeReason.CHALLENGE
    phone.fill("#challenge", "417")
    wait_until(phone, "text => document.body.dataset.shown !== text", before)
    assert verify_health_code(seen(phone), STORE, START, gate).state is CodeState.VALID


def test_a_forwarded_link_shows_nothing_on_another_phone(phone: Page, address: str, browser: Browser) -> None:
    """The code is for the first phone's key; a friend's phone says so and draws no code."""
    key = bytes.fromhex(phone.text_content("#holder-key") or "")
    text = gc1.issue(a_code(issued_at=START, expires_at=START + timedelta(hours=2), holder_key=key), COMMUNITY)
    friend = browser.new_context().new_page()
    friend.clock.install(time=START)
    friend.goto(address + "#" + quote(text))
    friend.wait_for_selector("[data-when=other-phone]:visible")
    assert friend.is_hidden("#code")
    friend.context.close()


def test_the_key_survives_a_restart_and_an_expired_code_says_so(phone: Page, address: str) -> None:
    """Opened again without the link the code is there; after its end the page asks for a new one."""
    give(phone, address)
    key = phone.text_content("#holder-key")
    phone.goto(address)
    phone.wait_for_selector("[data-when=ready]:visible")
    assert phone.text_content("#holder-key") == key
    phone.clock.fast_forward(2 * 3600 * 1000)
    phone.wait_for_selector("[data-when=expired]:visible")


def test_a_damaged_link_says_so(phone: Page, address: str) -> None:
    """Half a link is no code and no error of the page."""
    phone.goto("about:blank")
    phone.goto(address + "#GC1:ABC")
    phone.wait_for_selector("[data-when=broken]:visible")


def test_the_pages_own_qr_encoder_is_read_at_every_size(phone: Page) -> None:
    """Versions 1 to 20 through the scanner's engine, odd lengths too; one character more is refused."""
    alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:"
    lengths = [1, 20, 21, 38, 61, 90, 122, 154, 178, 221, 262, 311, 366, 419, 483, 528, 600, 656, 734, 816, 909, 970]
    texts = ["".join(alphabet[(index * 7 + length) % 45] for index in range(length)) for length in lengths]
    codes = phone.evaluate("async texts => { const { qr } = await import('./qr.js'); return texts.map(qr); }", texts)
    assert sorted({(len(rows) - 17) // 4 for rows in codes}) == list(range(1, 21))
    for rows, text in zip(codes, texts, strict=True):
        paper = np.pad(np.where(np.array(rows, dtype=bool), 0, 255).astype(np.uint8), 4, constant_values=255)
        found = zxingcpp.read_barcodes(np.kron(paper, np.ones((4, 4), np.uint8)))
        assert [code.text for code in found] == [text]
    refused = "text => import('./qr.js').then(({ qr }) => qr(text)).catch(error => error.name)"
    assert [phone.evaluate(refused, text) for text in ("0" * 971, "a")] == ["RangeError", "RangeError"]
