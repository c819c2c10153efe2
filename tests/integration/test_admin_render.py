"""How the central's pages are made (``sync/central/admin/render.py``): language, menu, address, headers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

import pytest
from fastapi import Request
from fastapi.responses import HTMLResponse

from sync.central.access import Role, Visitor
from sync.central.admin.render import (
    ADMIN_MENU,
    LANGUAGE_COOKIE,
    MENU,
    REFRESH_EVERY_S,
    home_of,
    language_of,
    page,
    texts_for,
)
from sync.central.admin.texts import Language
from sync.central.alerts import raise_alert
from sync.central.context import CentralOptions
from sync.central.security import CSP_LIVE
from sync.central.store import Store
from tests.fakes import MORNING_US

SHANGHAI = ZoneInfo("Asia/Shanghai")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An empty central's database."""
    store = Store(str(tmp_path / "central.db"))
    yield store
    store.close()


def request(path: str = "/admin/login", query: dict[str, str] | None = None, cookie: str = "") -> Request:
    scope: dict[str, Any] = {
        "type": "http",
        "method": "GET",
        "path": path,
        "query_string": urlencode(query or {}).encode(),
        "headers": [(b"cookie", f"{LANGUAGE_COOKIE}={cookie}".encode())] if cookie else [],
        "server": ("central.test", 443),
        "scheme": "https",
    }
    return Request(scope)


def visitor(role: Role) -> Visitor:
    return Visitor(name="li", role=role, csrf="c5rf")


def drawn(
    store: Store, asked: Request, who: Visitor | None = None, *, live: bool = False, secure: bool = False
) -> tuple[str, HTMLResponse]:
    """The login page, which shows everything that all pages have."""
    options = CentralOptions(site_name="Garden <1>", zone=SHANGHAI, secure_cookies=secure)
    asked.scope["app"] = SimpleNamespace(state=SimpleNamespace(central=SimpleNamespace(options=options, store=store)))
    answer = page(asked, "login.html", who, live=live, status=403, wrong=False)
    assert answer.status_code == 403
    return bytes(answer.body).decode(), answer


@pytest.mark.parametrize(
    ("asked", "chosen_before", "language"),
    [
        ("", "", Language.ZH),
        ("en", "", Language.EN),
        ("", "en", Language.EN),
        ("zh-CN", "en", Language.ZH),
        ("fr", "en", Language.EN),
        ("fr", "tlh", Language.ZH),
    ],
)
def test_the_language_is_the_one_asked_for_else_the_one_chosen_before(
    asked: str, chosen_before: str, language: Language
) -> None:
    """One that nobody translated is as good as none."""
    wanted = request(query={"lang": asked} if asked else {}, cookie=chosen_before)
    assert language_of(wanted) is language
    assert texts_for(wanted).language is language


@pytest.mark.parametrize(
    ("path", "home"),
    [
        ("/admin/passages", "/admin/passages"),
        ("/admin/phones/7", "/admin/phones"),
        ("/admin/orders/close", "/admin/orders"),
        ("/admin/phonesome", "/admin/kiosks"),
        ("/admin/login", "/admin/login"),
        ("/admin/logout", "/admin/kiosks"),
        ("/nowhere", "/admin/kiosks"),
    ],
)
def test_an_answer_to_a_form_can_be_asked_for_again_at_its_page(path: str, home: str) -> None:
    """A reload or a change of language never sends a form twice."""
    assert home_of(path) == home


def test_a_stranger_sees_no_menu_and_no_count(store: Store) -> None:
    """Names are escaped, the times' zone is said; nothing is kept in the browser."""
    with store.writing() as connection:
        raise_alert(connection, MORNING_US, "kiosk_silent", "gate-1", "")
    html, answer = drawn(store, request())
    assert "Garden &lt;1&gt;" in html
    assert "Asia/Shanghai" in html
    assert "<nav" not in html
    assert "(1)" not in html
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    ("role", "pages"),
    [(Role.AUDITOR, MENU), (Role.OPERATOR, MENU), (Role.ADMIN, MENU + ADMIN_MENU)],
)
def test_the_menu_is_what_the_visitor_may_see(store: Store, role: Role, pages: tuple[tuple[str, str], ...]) -> None:
    """With the page they are on marked, and how many alerts are open in the title."""
    with store.writing() as connection:
        raise_alert(connection, MORNING_US, "kiosk_silent", "gate-1", "")
    html, _ = drawn(store, request("/admin/passages/x"), visitor(role))
    links = [path for path, _ in MENU + ADMIN_MENU if f'<a href="{path}"' in html]
    assert links == [path for path, _ in pages]
    assert '<a href="/admin/passages" aria-current="page"' in html
    assert html.count("aria-current") == 1
    assert "<title>(1) " in html
    assert 'value="c5rf"' in html


def test_a_live_page_asks_for_itself_again_without_the_language(store: Store) -> None:
    """What was filtered stays filtered; the one script is allowed on it, and on no other page."""
    asked = request("/admin/passages", {"kiosk": "gate east", "lang": "en"})
    html, answer = drawn(store, asked, visitor(Role.AUDITOR), live=True)
    assert 'data-live-url="/admin/passages?kiosk=gate+east"' in html
    assert f'data-live-every-s="{REFRESH_EVERY_S}"' in html
    assert answer.headers["content-security-policy"] == CSP_LIVE
    for who, live in ((None, True), (visitor(Role.AUDITOR), False)):
        html, answer = drawn(store, asked, who, live=live)
        assert "live.js" not in html
        assert "content-security-policy" not in answer.headers


def test_the_other_language_is_a_link_to_the_same_page(store: Store) -> None:
    """With the same question; a page without one gets one."""
    html, _ = drawn(store, request("/admin/passages", {"kiosk": "east", "lang": "en"}), visitor(Role.AUDITOR))
    assert 'href="/admin/passages?kiosk=east&amp;lang=zh-CN"' in html
    assert "lang=en" not in html
    html, _ = drawn(store, request("/admin/passages"), visitor(Role.AUDITOR))
    assert 'href="/admin/passages?lang=en"' in html


@pytest.mark.parametrize("secure", [False, True])
def test_a_language_that_was_asked_for_is_remembered_for_a_year(store: Store, secure: bool) -> None:
    """Out of any script's reach, and by TLS alone where the central has it."""
    _, answer = drawn(store, request(query={"lang": "en"}), secure=secure)
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith(f"{LANGUAGE_COOKIE}=en; HttpOnly; Max-Age=31536000; ")
    assert "SameSite=lax" in cookie
    assert ("Secure" in cookie) is secure
    _, answer = drawn(store, request(query={"lang": "fr"}, cookie="en"))
    assert "set-cookie" not in answer.headers
