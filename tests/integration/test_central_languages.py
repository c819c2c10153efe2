"""The central's pages in Chinese and English: every page, the choice, refusals, the count, and a session that idles."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any

import pytest
from starlette.testclient import TestClient

from sync.central.context import REFRESH_HEADER
from sync.central.lists import count_open_alerts
from tests.central_office import KIOSKS, PASSPHRASE, Office

PAGES = ("kiosks", "sync-log", "passages", "report", "documents", "phones", "quarantine", "audit", "orders")
DATA = {"gatepost", "Asia", "Shanghai", "CSV", "NDJSON", "kB", "gate", "east", "north", "west", "south", "xiangyang"}
"""Latin words of a Chinese page that are data: names of kiosks, a policy, the zone, formats, the program."""


class Reader(HTMLParser):
    """What people read or hear of a page; not what is marked as another language or as a code."""

    VOID = frozenset({"meta", "link", "input", "br", "path", "rect"})

    def __init__(self, language: str) -> None:
        super().__init__()
        self.language, self.words = language, [""]
        self._open: list[bool] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        found = dict(attributes)
        foreign = found.get("lang") not in (None, self.language)
        silent = tag in ("script", "style", "pre") or foreign or "code" in (found.get("class") or "").split()
        if tag not in self.VOID:
            self._open.append(silent or (bool(self._open) and self._open[-1]))
        if not silent:
            self.words += [found.get(name) or "" for name in ("placeholder", "aria-label", "alt", "data-head")]

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            self._open.pop()

    def handle_data(self, data: str) -> None:
        if not (self._open and self._open[-1]):
            self.words.append(data)


def words_of(html: str, language: str) -> str:
    reader = Reader(language)
    reader.feed(html)
    return " ".join(" ".join(reader.words).split())


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Office:
    return Office(tmp_path_factory.mktemp("office")).furnish()


@pytest.fixture(scope="module")
def opened(office: Office) -> Iterator[TestClient]:
    with TestClient(office.app, base_url="http://central.test", follow_redirects=False) as client:
        yield client


@pytest.fixture
def client(opened: TestClient) -> TestClient:
    """Signed in as an admin, no language chosen."""
    opened.cookies.clear()
    assert opened.post("/admin/login", data={"name": "李主任", "passphrase": PASSPHRASE}).status_code == 303
    return opened


def csrf_of(client: TestClient) -> str:
    found = re.search(r'name="csrf" value="([0-9a-f]+)"', client.get("/admin/kiosks").text)
    assert found is not None
    return found.group(1)


@pytest.mark.parametrize("name", [*PAGES, "login"])
def test_a_chinese_page_has_no_english_word_and_an_english_page_no_chinese_one(client: TestClient, name: str) -> None:
    """Codes, labels, sentences, units: what is left in the other language is data."""
    chinese = client.get(f"/admin/{name}").text
    assert '<html lang="zh-CN">' in chinese
    left = set(re.findall(r"[A-Za-z]{2,}", words_of(chinese, "zh-CN"))) - DATA
    assert left == set()
    english = words_of(client.get(f"/admin/{name}?lang=en").text, "en")
    data = ("向阳街道", "李主任", "王敏", "赵静", "京防", "号", "区疾控中心", "热线")
    assert not re.search(r"[\u4e00-\u9fff]", re.sub("|".join(data), "", english))
    assert "_" not in english


def test_the_language_is_chosen_once_and_kept(client: TestClient) -> None:
    """By the link in the header, for every page after; nonsense changes nothing; the filter stays as it was."""
    page = client.get("/admin/passages?verdict=deny").text
    assert "通行记录" in page
    assert 'href="/admin/passages?verdict=deny&amp;lang=en"' in page
    chosen = client.get("/admin/passages?verdict=deny&lang=en")
    assert "✕ deny" in chosen.text
    assert "Max-Age=31536000" in chosen.headers["Set-Cookie"]
    assert "Every check passed." in client.get("/admin/passages").text
    assert "Every check passed." in client.get("/admin/passages?lang=fr").text
    assert "各项检查通过。" in client.get("/admin/passages?lang=zh-CN").text
    assert "各项检查通过。" in client.get("/admin/passages").text


def test_a_category_is_found_by_its_word(client: TestClient) -> None:
    """Staff choose 快递外卖, the store has ``courier``; a site's own category is typed as it is."""
    for word in ("快递外卖", "courier"):
        page = client.get("/admin/passages", params={"category": word}).text
        assert page.count("<td") > 10
        assert set(re.findall(r'data-head="人员类别">([^<]*)<', page)) == {"快递外卖"}
    assert "没有符合条件的通行记录。" in client.get("/admin/passages", params={"category": "choir"}).text


def test_the_number_of_open_alerts_is_in_every_menu_and_title(client: TestClient, office: Office) -> None:
    """Also on pages that do not refresh, and gone with the last alert."""
    with office.store.reading() as connection:
        count = count_open_alerts(connection)
    assert count > 5
    for name in PAGES:
        page = client.get(f"/admin/{name}").text
        assert f">{count}</b>" in page, name
        assert f"<title>({count}) " in page, name
    assert "<title>登录" in client.get("/admin/login").text


def test_alerts_are_sentences(client: TestClient) -> None:
    """No code is left where people read; the gate's own time stands in the site's zone."""
    page = words_of(client.get("/admin/kiosks").text, "zh-CN")
    assert "有人在门口等得太久。" in page
    assert "请立即给那里的保安打电话，或派人前往。" in page
    assert "kiosk_" not in page
    assert "(2026-11-21 16:00)" in client.get("/admin/kiosks").text


@pytest.mark.parametrize(
    ("path", "fields", "status", "says"),
    [
        ("kiosks/code", {"kiosk_id": "x" * 65}, 400, ("终端名称须为", "The kiosk's name must have")),
        ("kiosks/decide", {"do": "dance"}, 400, ("表单无法识别", "The form was not understood")),
        ("kiosks/decide", {"do": "approve", "kiosk_id": "gate-south"}, 409, ("密钥变了", "key has changed")),
        ("alerts/close", {"alert_id": "x"}, 400, ("表单无法识别", "The form was not understood")),
        ("phones/code", {"person_id": ""}, 400, ("人员编号须为", "The person's number")),
        ("orders", {"person_id": "R-1", "status": "blue"}, 400, ("只能是黄码或红码", "yellow or red")),
        ("orders", {"person_id": "R-1", "status": "red", "until": "?"}, 400, ("截止时间须", "must end on a day")),
        ("orders/decide", {"do": "approve", "order_id": "1"}, 404, ("没有等待批准", "No such order waits")),
        ("kiosks/code", {"csrf": "forged"}, 403, ("您的角色不能做", "Your role may not")),
    ],
)
def test_what_a_form_is_refused_for_is_said_in_a_sentence(
    client: TestClient, path: str, fields: dict[str, str], status: int, says: tuple[str, str]
) -> None:
    """A page with one sentence and a way back, in the language of the one who asks; never JSON, never a bare code."""
    token = csrf_of(client)
    for language, sentence in zip(("zh-CN", "en"), says, strict=True):
        client.cookies.set("gatepost_language", language)
        answer = client.post(f"/admin/{path}", data={"csrf": token, **fields})
        assert answer.status_code == status
        assert answer.headers["Content-Type"].startswith("text/html")
        assert sentence in words_of(answer.text, language)
        assert f'<a href="/admin/{path.split("/", maxsplit=1)[0].replace("alerts", "kiosks")}">' in answer.text


def test_pages_that_are_not_there_are_said_so(client: TestClient) -> None:
    """A mistyped address or query; programs are still answered in JSON."""
    for path, status in (("/admin/nowhere", 404), ("/admin/passages?before=x", 422), ("/admin/kiosks/code", 405)):
        answer = client.get(path)
        assert answer.status_code == status
        assert "返回" in answer.text
    assert client.get("/v1/nowhere").headers["Content-Type"] == "application/json"
    assert client.get("/v1/exports/passages?limit=x").headers["Content-Type"] == "application/json"


def test_a_page_that_refreshes_itself_keeps_no_session_alive(client: TestClient, office: Office) -> None:
    """Half an hour without a person ends the session, though the open page asked every 20 seconds."""

    def settle() -> Any:
        return office.app.state.central.committer.submit(lambda _connection: None).result()

    for minutes in range(29):
        assert client.get("/admin/kiosks", headers={REFRESH_HEADER: "1"}).status_code == 200, minutes
        settle()
        office.clock.advance(60)
    assert client.get("/admin/kiosks").status_code == 200  # somebody clicks
    settle()
    office.clock.advance(29 * 60)
    assert client.get("/admin/kiosks", headers={REFRESH_HEADER: "1"}).status_code == 200
    settle()
    office.clock.advance(2 * 60)
    assert client.get("/admin/kiosks", headers={REFRESH_HEADER: "1"}).status_code == 303


def test_the_kiosks_of_the_office_are_there(client: TestClient) -> None:
    """Guards the tests above against looking at empty pages."""
    for name in KIOSKS:
        assert name in client.get("/admin/sync-log").text
    assert "京防〔2026〕17号" in client.get("/admin/orders").text
    assert client.get("/admin/quarantine").text.count("<details>") >= 3
