"""The central's pages and exports: who may see what, forged forms, hostile text, cursors."""

from __future__ import annotations

import csv
import io
import json
import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fastapi import FastAPI
from fastapi.routing import APIRoute
from sqlalchemy import select
from starlette.testclient import TestClient

from kiosk.records import Kind, Stream
from sync import keys
from sync.central import access, audit, lists
from sync.central.access import Role
from sync.central.alerts import raise_alert
from sync.central.app import create_app
from sync.central.store import Store
from sync.central.tables import Alert, Audit, EnrolmentCode, Session, table
from sync.enrol import EnrolRequest, enrol_body
from sync.errors import SyncError
from sync.request_headers import HEAD_SIGNATURE_HEADER, KIOSK_HEADER, REQUEST_HEADER, SIGNATURE_HEADER
from tests.fakes import FakeClock
from tests.sync_kit import KIOSK, ChainJournal, MemoryCentral, batch_of

PASSPHRASE = "correct horse battery staple"
OPEN_ROUTES = {
    "/": "leads to the kiosks page",
    "/admin": "likewise",
    "/admin/login": "the way in",
    "/health": "up or not, and the epoch",
    "/v1/enrol": "a one-time code and a signature",
    "/v1/phones/code": "a phone's signature",
    "/v1/phones/enrol": "a one-time code and a phone's signature",
    "/v1/sync/batches": "a kiosk's signature",
    "/v1/sync/documents/{kind}": "a kiosk's signature",
    "/v1/sync/heartbeat": "a kiosk's signature",
    "/v1/sync/news": "a kiosk's signature",
    "/v1/sync/pass-certificate": "a kiosk's signature",
}


class Site:
    """A central over a file, a clock that stands still, users of each role, and some passages."""

    def __init__(self, folder: Any) -> None:
        self.clock = FakeClock()
        self.store = Store(folder / "central.db")
        self.app: FastAPI = create_app(self.store, now_us=lambda: self.clock.at_us)
        with self.store.writing() as connection:
            for role in Role:
                access.set_user(connection, self.clock.at_us, str(role), role, PASSPHRASE)
        # The in-memory central's admit() writes the same row that approval leaves.
        helper = MemoryCentral.__new__(MemoryCentral)
        helper._now = self.clock.now
        helper.store = self.store
        helper.admit(KIOSK)
        self.journal = ChainJournal()

    def log_in(self, client: TestClient, role: Role) -> str:
        """Sign in and return the form token."""
        answer = client.post("/admin/login", data={"name": str(role), "passphrase": PASSPHRASE}, follow_redirects=False)
        assert answer.status_code == 303
        found = re.search(r'name="csrf" value="([0-9a-f]+)"', client.get("/admin/kiosks").text)
        assert found is not None
        return found.group(1)

    def token(self) -> dict[str, str]:
        """A program's header."""
        with self.store.writing() as connection:
            return {"Authorization": f"Bearer {access.make_token(connection, self.clock.at_us, 'robot', Role.AUDITOR)}"}

    def send(self, client: TestClient, first: int, last: int, *, stream: Stream = Stream.PASSAGE) -> Any:
        """A signed batch through HTTP."""
        import base64

        request = batch_of(self.journal, stream, first, last)
        return client.post(
            request.path,
            content=request.body,
            headers={
                KIOSK_HEADER: request.kiosk_id,
                REQUEST_HEADER: request.request,
                SIGNATURE_HEADER: base64.b64encode(request.signature).decode(),
                HEAD_SIGNATURE_HEADER: base64.b64encode(request.head_signature).decode(),
                "Content-Encoding": request.encoding,
            },
        )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return Site(tmp_path_factory.mktemp("central"))


@pytest.fixture
def client(site: Site) -> Iterator[TestClient]:
    with TestClient(site.app, base_url="http://central.test", follow_redirects=False) as client:
        yield client


def role_of(route: APIRoute) -> Role | None:
    for dependency in route.dependant.dependencies:
        role = getattr(dependency.call, "required_role", None)
        if role is not None:
            return Role(role)
    return None


def routes(app: Any) -> list[APIRoute]:
    found: list[APIRoute] = []
    for route in app.routes:
        if isinstance(route, APIRoute):
            found.append(route)
        elif hasattr(route, "original_router"):
            found += routes(route.original_router)
    return found


def test_every_route_declares_a_role_or_is_listed_as_open(site: Site) -> None:
    """A route without a role is an oversight, unless it is on the short list with its reason."""
    seen = routes(site.app)
    assert len(seen) >= 14
    undeclared = {route.path for route in seen if role_of(route) is None}
    assert undeclared == set(OPEN_ROUTES)


def test_the_matrix_of_routes_and_roles_is_kept(site: Site, client: TestClient) -> None:
    """Nobody, auditor, operator, admin: each gets what the route's role says, and no more."""
    closed = [route for route in routes(site.app) if role_of(route) is not None and "logout" not in route.path]
    for who in (None, *Role):
        client.cookies.clear()
        if who is not None:
            site.log_in(client, who)
        for route in closed:
            needed = role_of(route)
            assert needed is not None
            allowed = who is not None and access.Visitor(who, who, "").may(needed)
            method = next(iter(route.methods))
            status = client.request(method, route.path, data={"any": "1"} if method == "POST" else None).status_code
            if who is None:
                assert status in (303, 401), (route.path, status)
            elif method == "POST":
                assert status == 403, (route.path, status)  # no form token, whoever asks
            else:
                assert status == (200 if allowed else 403), (route.path, who, status)


def test_forms_need_the_sessions_token(site: Site, client: TestClient) -> None:
    """A form sent from elsewhere changes nothing, also with a valid cookie; another origin is refused outright."""
    token = site.log_in(client, Role.ADMIN)
    fields = {"kiosk_id": "gate-north"}
    before = len(_rows(site, EnrolmentCode))
    assert client.post("/admin/kiosks/code", data=fields).status_code == 403
    assert client.post("/admin/kiosks/code", data={**fields, "csrf": "0" * 64}).status_code == 403
    good = {**fields, "csrf": token}
    assert client.post("/admin/kiosks/code", data=good, headers={"Origin": "http://evil.test"}).status_code == 403
    assert len(_rows(site, EnrolmentCode)) == before
    answer = client.post("/admin/kiosks/code", data=good, headers={"Origin": "http://central.test"})
    assert answer.status_code == 200
    assert len(_rows(site, EnrolmentCode)) == before + 1


def _rows(site: Site, model: Any) -> list[Any]:
    with site.store.reading() as connection:
        return list(connection.execute(table(model).select()).all())


def test_wrong_passphrases_make_the_next_try_wait(site: Site, client: TestClient) -> None:
    """After a few failures even the right passphrase has to wait, and the wait grows."""
    with site.store.writing() as connection:
        access.set_user(connection, site.clock.at_us, "slow", Role.AUDITOR, PASSPHRASE)

    def attempt(passphrase: str) -> int:
        return client.post("/admin/login", data={"name": "slow", "passphrase": passphrase}).status_code

    assert [attempt("wrong") for _ in range(6)] == [403] * 6
    assert attempt(PASSPHRASE) == 403
    site.clock.advance(2.5)
    assert attempt("wrong") == 403
    site.clock.advance(2.5)
    assert attempt(PASSPHRASE) == 403
    site.clock.advance(2.5)
    assert attempt(PASSPHRASE) == 303
    assert client.post("/admin/login", data={"name": "nobody", "passphrase": PASSPHRASE}).status_code == 403


def test_a_slow_log_in_keeps_no_kiosk_waiting(site: Site, client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Passphrases are compared beside the writer, two at a time: records come in, and pages write, all the while."""
    comparing, go_on, most = threading.Semaphore(0), threading.Event(), []
    real = access._verifies

    def slow(secret: str, passphrase: str) -> bool:
        most.append(1)
        comparing.release()
        assert go_on.wait(30)
        return real(secret, passphrase)

    monkeypatch.setattr(access, "_verifies", slow)
    with ThreadPoolExecutor(4) as pool:
        tries = [
            pool.submit(client.post, "/admin/login", data={"name": "auditor", "passphrase": "wrong"}) for _ in range(4)
        ]
        try:
            assert comparing.acquire(timeout=30)
            assert comparing.acquire(timeout=30)
            site.journal.append(Stream.DIAGNOSTIC, kind=Kind.DEVICE, facts={"up": True})
            assert site.send(client, 1, 1, stream=Stream.DIAGNOSTIC).status_code == 200
            assert len(most) == 2
        finally:
            go_on.set()
        assert [each.result().status_code for each in tries] == [403] * 4


def test_many_tries_at_once_are_no_way_round_the_waits(site: Site) -> None:
    """Five wrong ones and the right one, compared together: counted one by one, the right one comes too soon."""
    with site.store.writing() as connection:
        access.set_user(connection, site.clock.at_us, "crowd", Role.AUDITOR, PASSPHRASE)
        wrong = access.compare(access.secret_of(connection, "crowd"), "wrong")
        right = access.compare(access.secret_of(connection, "crowd"), PASSPHRASE)
        for _ in range(5):
            assert access.log_in(connection, site.clock.at_us, "crowd", wrong) is None
        assert access.log_in(connection, site.clock.at_us, "crowd", right) is None
        assert access.log_in(connection, site.clock.at_us + 3_000_000, "crowd", right) is not None
        access.set_user(connection, site.clock.at_us, "crowd", Role.AUDITOR, PASSPHRASE + "!")
        assert access.log_in(connection, site.clock.at_us + 3_000_000, "crowd", right) is None


def test_somebody_who_left_and_a_token_that_was_lost_end_at_once(site: Site, client: TestClient) -> None:
    """The open page, the next log-in and the program's token; the last admin stays."""
    with site.store.writing() as connection:
        access.set_user(connection, site.clock.at_us, "leaver", Role.AUDITOR, PASSPHRASE)
        lost = access.make_token(connection, site.clock.at_us, "leaver", Role.AUDITOR)
    enter = {"name": "leaver", "passphrase": PASSPHRASE}
    assert client.post("/admin/login", data=enter).status_code == 303
    header = {"Authorization": f"Bearer {lost}"}
    assert client.get("/admin/kiosks").status_code == 200
    assert client.get("/v1/kiosks/status", headers=header).status_code == 200
    with site.store.writing() as connection:
        assert access.remove(connection, "leaver") == (1, 2)
        assert access.remove(connection, "leaver") == (0, 0)
        with pytest.raises(SyncError, match="the last admin"):
            access.remove(connection, str(Role.ADMIN))
    assert client.get("/admin/kiosks").headers["location"] == "/admin/login"
    assert client.get("/v1/kiosks/status", headers=header).status_code == 401
    assert client.post("/admin/login", data=enter).status_code == 403


def test_who_did_what_can_be_read(site: Site, client: TestClient) -> None:
    """Log-ins and refused ones, closed alerts, codes; what was ordered for whom is shown to admins alone."""
    with site.store.writing() as connection:
        raise_alert(connection, site.clock.at_us, "fork", "gate-<east>", "")
        audit.note(connection, site.clock.at_us, "王敏", "status_proposed", "17 d5f1 red")
        audit.note(connection, site.clock.at_us, "王敏", "statusless", "")
    with site.store.reading() as connection:
        (number,) = connection.execute(
            select(table(Alert).c.alert_id).where(table(Alert).c.kiosk_id != KIOSK)
        ).scalars()
    client.post("/admin/login", data={"name": "operator", "passphrase": "wrong"})
    csrf = site.log_in(client, Role.OPERATOR)
    assert client.post("/admin/alerts/close", data={"csrf": csrf, "alert_id": str(number)}).status_code == 303
    assert client.post("/admin/alerts/close", data={"csrf": csrf, "alert_id": str(number)}).status_code == 303
    shown = client.get("/admin/audit?lang=en").text
    for words in ("signed in", "was refused: wrong passphrase", "dealt with an alert", "fork gate-&lt;east&gt;"):
        assert words in shown, words
    assert shown.count("fork gate-&lt;east&gt;") == 1
    assert "statusless" in shown
    assert "d5f1" not in shown
    client.cookies.clear()
    site.log_in(client, Role.ADMIN)
    assert "d5f1 red" in client.get("/admin/audit").text


def test_the_audit_log_goes_back_page_by_page(site: Site, client: TestClient) -> None:
    """Fifty lines a page, each line on one page alone, and the last page leads no further."""
    with site.store.writing() as connection:
        for number in range(120):
            audit.note(connection, site.clock.at_us, f"robot-{number:03}", "export", "")
    site.log_in(client, Role.AUDITOR)
    seen: list[str] = []
    rows: list[int] = []
    path = "/admin/audit"
    while path:
        page = client.get(path).text
        seen += re.findall(r"robot-\d{3}", page)
        rows.append(page.count("<tr>") - 1)
        older = re.search(r'href="(\?before=\d+)"', page)
        path = f"/admin/audit{older[1]}" if older else ""
    assert seen == [f"robot-{number:03}" for number in reversed(range(120))]
    assert rows[:-1] == [50] * (len(rows) - 1)
    assert rows[-1] < 50


def test_short_and_common_passphrases_are_refused(site: Site) -> None:
    """Fifteen characters or more."""
    with site.store.writing() as connection:
        for passphrase in ("short", "passwordpassword", "x" * 300):
            with pytest.raises(SyncError):
                access.set_user(connection, 0, "new", Role.ADMIN, passphrase)


def test_sessions_end(site: Site, client: TestClient) -> None:
    """After half an hour without a click, and at sign-out; only hashes of cookies are stored."""
    token = site.log_in(client, Role.AUDITOR)
    cookie = client.cookies["gatepost_session"]
    assert cookie.encode() not in b"".join(bytes(row.token_hash) for row in _rows(site, Session))
    site.clock.advance(29 * 60)
    assert client.get("/admin/passages").status_code == 200
    site.app.state.central.committer.submit(lambda _connection: None).result()
    site.clock.advance(29 * 60)
    assert client.get("/admin/passages").status_code == 200
    site.clock.advance(31 * 60)
    assert client.get("/admin/passages").status_code == 303
    token = site.log_in(client, Role.AUDITOR)
    assert client.post("/admin/logout", data={"csrf": token}).status_code == 303
    assert client.get("/admin/passages").status_code == 303


def test_every_answer_forbids_scripts_framing_and_sniffing(site: Site, client: TestClient) -> None:
    """The policy is on pages, errors, files and redirects alike, and no page holds inline script or style.

    Pages that refresh themselves run one script of ours, which may ask this central alone; the others run none.
    """
    site.log_in(client, Role.ADMIN)
    paths = (
        "/admin/kiosks",
        "/admin/sync-log",
        "/admin/passages",
        "/admin/documents",
        "/admin/quarantine",
        "/admin/audit",
        "/admin/login",
        "/nothing",
        "/static/admin.css",
        "/",
    )
    for path in paths:
        answer = client.get(path)
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        own = '<script src="/static/live.js" defer></script>'
        assert (own in answer.text) is (path in ("/admin/kiosks", "/admin/sync-log", "/admin/documents")), path
        assert ("script-src 'self'; connect-src 'self'" in policy) is (own in answer.text)
        assert ("script-src" in policy) is (own in answer.text)
        assert not re.search(r"<script|<style|\sstyle=|\son\w+=|https?://", answer.text.replace(own, "")), path


def test_batches_arrive_over_http_and_are_shown(site: Site, client: TestClient) -> None:
    """A batch posted as a kiosk posts it is acknowledged, listed in the sync log, and its passages are found."""
    for number in range(60):
        site.journal.append(
            Stream.PASSAGE, facts={"admit": number % 2 == 0, "reasons": ["out_of_hours"], "category": "<b>courier</b>"}
        )
    answer = site.send(client, 1, 60)
    assert answer.status_code == 200
    assert answer.json()["acks"][0]["acked"] == 60
    assert site.send(client, 1, 60).json()["result"] == "duplicate"
    site.log_in(client, Role.AUDITOR)
    log = client.get("/admin/sync-log").text
    assert "1–60" in log
    assert '<span class="state duplicate">重复</span>' in log
    page = client.get("/admin/passages", params={"verdict": "deny", "reason": "out_of_hours"}).text
    assert page.count("✕ 未放行") == 30
    assert "<b>courier" not in page
    assert "&lt;b&gt;courier" in page
    newest = client.get("/admin/passages").text
    older = re.search(r'href="(\?before=\d+)"', newest)
    assert older is not None
    assert client.get("/admin/passages" + older.group(1)).text.count("<tr>") == 11


def test_the_exports_cursor_goes_on_without_loss_or_repeat(site: Site, client: TestClient) -> None:
    """Whatever arrives between two pulls, the reader that goes on from its last row has each passage once."""
    header = site.token()
    assert client.get("/v1/exports/passages").status_code == 401
    for _ in range(30):
        site.journal.append(Stream.PASSAGE)
    last = site.journal.head((site.journal.incarnation, Stream.PASSAGE)).seq
    site.send(client, 1, last)
    first = client.get("/v1/exports/passages", params={"limit": 25}, headers=header)
    rows = [json.loads(line) for line in first.text.splitlines()]
    assert len(rows) == 25
    site.journal.append(Stream.PASSAGE)
    last += 1
    site.send(client, last, last)
    rest = client.get("/v1/exports/passages", params={"cursor": rows[-1]["cursor"]}, headers=header)
    rows += [json.loads(line) for line in rest.text.splitlines()]
    assert [row["seq"] for row in rows] == list(range(1, last + 1))
    assert any(row.action == "export" and row.name == "robot" for row in _rows(site, Audit))


def test_no_cell_of_the_csv_is_a_formula(site: Site, client: TestClient) -> None:
    """Text from a gate that begins like a formula is defused, and the file parses back to as many rows."""
    last = site.journal.head((site.journal.incarnation, Stream.PASSAGE)).seq
    for start in ("=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx", 'plain, "quoted"\nline'):
        site.journal.append(Stream.PASSAGE, facts={"category": start})
    site.send(client, 1, last + 7)
    text = client.get("/v1/exports/passages?format=csv", headers=site.token()).text
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert len(rows) == last + 7
    for row in rows:
        assert not any(value.startswith(("=", "+", "-", "@", "\t", "\r")) for value in row.values())
    assert rows[-1]["category"] == 'plain, "quoted"\nline'
    assert rows[-7]["category"] == "'=1+1"


def open_alerts(site: Site) -> list[str]:
    with site.store.reading() as connection:
        return [row.code for row in lists.open_alerts(connection)]


def test_enrolment_takes_a_code_once_and_waits_for_the_admin(site: Site, client: TestClient) -> None:
    """A wrong, used or old code enrols nobody; a right one leaves a pending key that an admin must approve."""
    token = site.log_in(client, Role.ADMIN)
    made = client.post("/admin/kiosks/code", data={"kiosk_id": "gate-south", "csrf": token})
    found = re.search(r"([2-9A-Z]{5}-[2-9A-Z]{5})", made.text)
    assert found is not None
    key = Ed25519PrivateKey.generate()

    def enrol(code: str, kiosk_id: str = "gate-south", signer: Ed25519PrivateKey = key) -> Any:
        request = EnrolRequest(kiosk_id=kiosk_id, code=code, public_key=keys.public_bytes(key))
        body = enrol_body(request, keys.sign(signer, keys.ENROL_CONTEXT, request.statement()))
        return client.post("/v1/enrol", content=body)

    assert enrol("AAAAA-AAAAA").status_code == 403
    assert enrol(found.group(1), kiosk_id="gate-west").status_code == 403
    assert enrol(found.group(1), signer=Ed25519PrivateKey.generate()).status_code == 401
    answer = enrol(found.group(1))
    assert (answer.status_code, answer.json()["state"]) == (202, "pending")
    assert enrol(found.group(1)).status_code == 202
    fingerprint = keys.fingerprint(keys.public_bytes(key))
    assert answer.json()["fingerprint"] == fingerprint
    assert fingerprint in client.get("/admin/kiosks").text
    assert open_alerts(site) == ["kiosk_waits_for_approval"]
    fields = {"kiosk_id": "gate-south", "fingerprint": fingerprint, "do": "approve", "csrf": token}
    assert client.post("/admin/kiosks/decide", data=fields).status_code == 303
    states = {kiosk["kiosk_id"]: kiosk["state"] for kiosk in client.get("/v1/kiosks/status").json()["kiosks"]}
    assert states["gate-south"] == "approved"
    assert open_alerts(site) == [], "what was asked for is done"
    with site.store.writing() as connection:
        from sync.central.enrolment import make_code

        old = make_code(connection, site.clock.at_us, "gate-north", "test")
    site.clock.advance(15 * 60 + 1)
    assert enrol(old, kiosk_id="gate-north").status_code == 403


@pytest.mark.parametrize("path", ["/v1/sync/batches", "/v1/sync/heartbeat", "/v1/enrol"])
def test_hostile_bodies_get_a_short_no(client: TestClient, path: str) -> None:
    """Empty, random, huge and headerless requests are refused with a reason in one shape, never with a 500."""
    headers = {KIOSK_HEADER: KIOSK, REQUEST_HEADER: "r", SIGNATURE_HEADER: "!!", "Content-Encoding": "zstd"}
    cases: list[tuple[bytes, dict[str, str]]] = [
        (b"", {}),
        (b"\x00" * 100, {}),
        (b"[" * 5000, {}),
        (b"x" * 400_000, {**headers, SIGNATURE_HEADER: "AAAA"}),
        (b"x", headers),
        (b"x", {**headers, SIGNATURE_HEADER: "AAAA"}),
        (b"x", {**headers, KIOSK_HEADER: "k" * 100}),
    ]
    for body, extra in cases:
        answer = client.post(path, content=body, headers=extra)
        assert answer.status_code in (400, 401, 413, 422), (path, body[:10], answer.status_code)
        assert set(answer.json()["error"]) == {"thing", "seen", "expected", "hint"}


def test_the_phone_page_is_open_and_alone_may_run_script(client: TestClient) -> None:
    """Anybody opens it; its policy lets its own script run, and no other page's does."""
    page = client.get("/code/")
    assert page.status_code == 200
    assert "script-src 'self'" in page.headers["Content-Security-Policy"]
    assert page.headers["Referrer-Policy"] == "no-referrer"
    assert "script" not in client.get("/health").headers["Content-Security-Policy"]
    assert client.get("/code/gc1.js").headers["Content-Type"].startswith(("text/javascript", "application/javascript"))
