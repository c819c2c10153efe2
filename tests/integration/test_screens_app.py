"""The screens' application over HTTP: roles, tokens, headers, bounds, and what reaches the gate."""

from __future__ import annotations

import re
import stat
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from argon2 import PasswordHasher
from fastapi.routing import APIRoute
from starlette.routing import Mount
from starlette.testclient import TestClient
from typer.testing import CliRunner

from config.errors import ConfigError
from config.policy import load_policy
from drivers.camera import Frame
from drivers.qr_stream import CameraStats
from kiosk import guard_cli
from kiosk.board import (
    Acknowledge,
    Attest,
    CommandResult,
    Emergency,
    EnterTemperature,
    GuardCommand,
    MeasureAgain,
    Override,
    PassWish,
    RegisterVisitor,
)
from kiosk.credentials.bundle import TrustState
from kiosk.evidence import AttestedCode
from kiosk.id_desk import IdDesk
from kiosk.pass_book import IssuedPass, PassError
from kiosk.policy_keeper import PolicyInForce
from kiosk.screens.app import create_app
from kiosk.screens.guards import FREE_TRIES, Guard, GuardBook, hash_secret, set_guard
from kiosk.screens.holder_pages import People
from kiosk.screens.hub import Hub
from kiosk.screens.pass_pages import PassDesk
from kiosk.screens.policy_pages import PolicyDesk
from kiosk.screens.preview import busy_view
from kiosk.screens.security import MAX_BODY_BYTES, Role, declared_role, role
from kiosk.screens.server import ScreensServer
from kiosk.screens.sessions import IDLE_S
from kiosk.screens.trust_pages import TrustDesk
from kiosk.trust_keeper import TrustStatus
from tests.unit.test_camera_report import WELL

CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
SECRET = "correct horse"
S = 10**9
LANE = "/guard/lane/east-in"


@dataclass
class Gate:
    """The application with a recording gate behind it and a clock that stands still."""

    now_ns: int = 0
    result: CommandResult = field(default_factory=lambda: CommandResult(done=True))
    commands: list[GuardCommand] = field(default_factory=list)
    cameras: dict[str, AimedCamera] = field(default_factory=dict)
    people: People | None = None
    id_cards: IdDesk | None = None
    trust: TrustDesk | None = None
    policy: PolicyDesk | None = None
    passes: PassDesk | None = None

    def __post_init__(self) -> None:
        self.hub = Hub(clock_ns=lambda: self.now_ns)
        self.hub.publish(busy_view(2))
        guards = GuardBook({"wang": Guard("wang", "王师傅", hash_secret(SECRET, CHEAP))}, hasher=CHEAP)
        self.app = create_app(
            self.hub,
            self.carry_out,
            guards=guards,
            cameras=self.cameras,
            people=self.people,
            id_cards=self.id_cards,
            trust=self.trust,
            policy=self.policy,
            passes=self.passes,
            site_code_text="https://example.org/place/1",
            allowed_hosts=("testserver",),
            now_ns=lambda: self.now_ns,
        )
        self.client = TestClient(self.app, follow_redirects=False)

    def carry_out(self, command: GuardCommand) -> CommandResult:
        self.commands.append(command)
        return self.result

    def token(self, path: str = "/guard") -> str:
        found = re.search(r'name="token" value="([0-9a-f]{64})"', self.client.get(path).text)
        assert found
        return found[1]

    def open_token(self) -> str:
        found = re.search(r'name="gatepost-token" content="([0-9a-f]{64})"', self.client.get("/").text)
        assert found
        return found[1]

    def log_in(self, secret: str = SECRET) -> int:
        form = {"token": self.open_token(), "login": "wang", "secret": secret}
        return self.client.post("/guard/login", data=form).status_code

    def post(self, path: str, **form: str) -> tuple[int, str]:
        answer = self.client.post(path, data={"token": self.token(), **form})
        return answer.status_code, answer.text


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
def guarded(gate: Gate) -> Gate:
    assert gate.log_in() == 303
    return gate


def routes(gate: Gate) -> Iterator[tuple[str, str, Role | None]]:
    for route in gate.app.routes:
        if isinstance(route, Mount):
            assert route.path == "/static"
            continue
        assert isinstance(route, APIRoute), route
        for method in route.methods:
            path = route.path.replace("{lane}", "east-in").replace("{sheet}", "visitor")
            yield method, path, declared_role(route.endpoint)


def test_every_route_declares_its_role(gate: Gate) -> None:
    """No route exists without a role; emergency and what residents see are the only open ones."""
    roles = {f"{method} {path}": role for method, path, role in routes(gate)}
    assert None not in roles.values()
    assert {name for name, role in roles.items() if role is Role.OPEN} == {
        "GET /",
        "GET /lane/east-in",
        "GET /events/lane/east-in",
        "GET /place-code",
        "GET /place-code.svg",
        "GET /voices/{language}/{name}",
        "POST /alive",
        "POST /painted",
        "GET /emergency",
        "POST /emergency",
        "GET /guard/login",
        "POST /guard/login",
    }


def test_guards_routes_are_closed_to_everybody_else(gate: Gate) -> None:
    """Without a session every guard's page leads to the login and every command is refused."""
    token = gate.open_token()
    for method, path, needed in routes(gate):
        if needed is not Role.GUARD:
            continue
        answer = gate.client.request(method, path, **({"data": {"token": token}} if method == "POST" else {}))
        if method == "GET" and not path.startswith("/events/"):
            assert (answer.status_code, answer.headers["location"]) == (303, "/guard/login"), path
        else:
            assert answer.status_code == 401, path
    assert gate.commands == []


def test_every_post_needs_its_token(guarded: Gate) -> None:
    """No token, a wrong one, or the one of pages that need no login: nothing is commanded."""
    open_token = guarded.open_token()
    for method, path, needed in routes(guarded):
        if method != "POST":
            continue
        for token in ("", "0" * 64, *([open_token] if needed is Role.GUARD else [])):
            assert guarded.client.post(path, data={"token": token, "confirm": "yes"}).status_code == 403, path
    assert guarded.commands == []


def test_a_post_from_another_site_is_refused(guarded: Gate) -> None:
    """Even with a right token, another origin commands nothing."""
    form = {"token": guarded.open_token(), "confirm": "yes"}
    for headers in ({"origin": "http://evil.example"}, {"origin": "null"}, {"sec-fetch-site": "cross-site"}):
        assert guarded.client.post("/emergency", data=form, headers=headers).status_code == 403
    same = {"origin": "http://testserver", "sec-fetch-site": "same-origin", "accept": "application/json"}
    assert guarded.client.post("/emergency", data=form, headers=same).status_code == 200
    assert len(guarded.commands) == 1


def test_every_answer_has_the_strict_headers(gate: Gate) -> None:
    """CSP without inline script, no framing, nothing kept: on pages, errors, refusals and static files."""
    for path in ("/", "/lane/east-in", "/guard/login", "/nowhere", "/lane/nowhere", "/static/screens.js"):
        headers = gate.client.get(path).headers
        assert headers["content-security-policy"].startswith("default-src 'self'; "), path
        assert "unsafe" not in headers["content-security-policy"]
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
    assert gate.client.get("/", headers={"host": "evil.example"}).status_code == 421


def test_templates_hold_no_inline_script_or_style(guarded: Gate) -> None:
    """What the policy would block is not there in the first place."""
    for path in ("/", "/lane/east-in", "/guard", "/guard/login", "/place-code", f"{LANE}/sheet/visitor"):
        page = guarded.client.get(path).text
        assert not re.search(r"<script(?![^>]*src=)|<style|\son\w+=|\sstyle=|javascript:", page), path
        assert not re.search(r"(?:src|href|action)=\"(?!/)", page), path


def test_what_is_too_large_is_refused_before_it_is_read(guarded: Gate) -> None:
    """Bodies, fields, addresses and other content types are bounded."""
    client, token = guarded.client, guarded.token()
    path = f"{LANE}/visitor"
    assert client.post(path, data={"token": token, "name": "x" * MAX_BODY_BYTES}).status_code == 413
    assert client.post(path, data={"token": token, "name": "x" * 1001}).status_code == 400
    assert client.post(path, data={"token": token, **{f"f{n}": "" for n in range(40)}}).status_code == 400
    assert client.post(path, content="token=1&token=2", headers=FORM).status_code == 400
    assert client.post(path, content=b"name=%ff%fe", headers=FORM).status_code == 400
    assert client.post(path, json={"token": token}).status_code == 415
    assert client.post(path, data={"token": token}, files={"f": b"x"}).status_code == 415
    assert client.get("/?" + "x" * 3000).status_code == 414
    chunks = (b"name=" + b"x" * 8000 for _ in range(4))
    assert client.post(path, content=chunks, headers=FORM).status_code == 413
    assert guarded.commands == []


FORM = {"content-type": "application/x-www-form-urlencoded"}


def test_emergency_opens_locked_and_closes_only_by_a_guard(gate: Gate) -> None:
    """No login to open, after one confirmation; ending it needs somebody who is known."""
    token = gate.open_token()
    assert "confirm" in gate.client.post("/emergency", data={"token": token, "lane": "east-in"}).text
    assert gate.commands == []
    assert gate.client.post("/emergency", data={"token": token, "lane": "east-in", "confirm": "yes"}).is_redirect
    assert gate.commands == [Emergency(lane="east-in", open=True)]
    assert gate.client.post(f"{LANE}/emergency-close", data={"token": token}).status_code == 401
    gate.log_in()
    assert gate.post(f"{LANE}/emergency-close")[0] == 303
    assert gate.commands[-1] == Emergency(lane="east-in", open=False, guard="wang")


def test_emergency_is_not_held_up_by_commands_that_hang() -> None:
    """Forty workers waiting for something dead leave the emergency its own."""
    gate, release, waiting = Gate(), threading.Event(), threading.Semaphore(0)

    def carry_out(command: GuardCommand) -> CommandResult:
        if not isinstance(command, Emergency):
            waiting.release()
            release.wait(60)
        return CommandResult(done=True)

    app = create_app(gate.hub, carry_out, guards=GuardBook(hasher=CHEAP), allowed_hosts=("testserver",))
    sessions_open = next(d.dependency for d in app.router.dependencies)._sessions
    session = sessions_open.open("wang", now_ns=10**30)
    with TestClient(app, cookies={"gatepost_guard": session}) as client:
        token = sessions_open.token(session)
        threads = [
            threading.Thread(target=client.post, args=(f"{LANE}/measure-again",), kwargs={"data": {"token": token}})
            for _ in range(45)
        ]
        for thread in threads:
            thread.start()
        for _ in range(40):
            assert waiting.acquire(timeout=30)
        form = {"token": sessions_open.token(), "confirm": "yes"}
        answer = client.post("/emergency", data=form, headers={"accept": "application/json"})
        assert answer.json()["done"]
        release.set()
        for thread in threads:
            thread.join()


def test_the_guards_buttons_become_commands(guarded: Gate) -> None:
    """Each form reaches the gate as the one command it means, with the guard's name."""
    who = {"lane": "east-in", "guard": "wang"}
    visitor = {"name": "李明", "phone_last4": "0042", "host": "3-501", "purpose": "visit", "category": "visitor"}
    override = {"admit": "yes", "reason": "urgent_need", "passage": "p5", "note": "救护车"}
    for path, form, command in [
        ("attest", {"code": "seen_green", "passage": "p5"}, Attest(**who, code=AttestedCode.SEEN_GREEN)),
        ("attest", {"trip": "clear"}, Attest(**who, trip_clear=True)),
        ("acknowledge", {"passage": "p5"}, Acknowledge(**who, passage="p5")),
        ("measure-again", {}, MeasureAgain(**who)),
        (
            "temperature",
            {"object_c": "36.6", "passage": "p5"},
            EnterTemperature(**who, object_centi_c=3660, passage="p5"),
        ),
        ("visitor", visitor, RegisterVisitor(**who, **visitor)),
        (
            "override",
            {**override, "confirm": "yes"},
            Override(**who, passage="p5", admit=True, reason="urgent_need", note="救护车"),
        ),
    ]:
        status, text = guarded.post(f"{LANE}/{path}", **form)
        assert status == 303, text
        assert guarded.commands[-1] == command


def test_an_override_asks_twice(guarded: Gate) -> None:
    """The reason first, then a confirmation: one press alone opens nothing."""
    status, text = guarded.post(f"{LANE}/override", admit="yes", reason="urgent_need", passage="p5")
    assert status == 200
    assert 'name="confirm" value="yes"' in text
    status, _ = guarded.post(f"{LANE}/override", admit="yes", reason="", confirm="yes", passage="p5")
    assert status == 422
    assert guarded.commands == []


def test_a_click_meant_for_somebody_else_does_nothing(guarded: Gate) -> None:
    """When the person changed between look and press, the attestation is refused."""
    for path, form in (("attest", {"code": "seen_green"}), ("temperature", {"object_c": "36.6"})):
        status, text = guarded.post(f"{LANE}/{path}", passage="gone", **form)
        assert status == 409
        assert "已离开" in text
    assert guarded.commands == []


def test_a_refused_command_says_why(guarded: Gate) -> None:
    """The gate's message key becomes a sentence; an unknown key still says that nothing was done."""
    for key, sentence in (("nobody_here", "通道里现在没有人"), ("something_new", "没有执行")):
        guarded.result = CommandResult(done=False, message=key)
        status, text = guarded.post(f"{LANE}/measure-again")
        assert status == 409
        assert sentence in text


def test_wrong_fields_come_back_with_what_was_typed(guarded: Gate) -> None:
    """The visitor's form is not lost for one wrong digit."""
    status, text = guarded.post(f"{LANE}/visitor", name="李明", phone_last4="12", host="3-501", purpose="visit")
    assert status == 422
    assert 'value="李明"' in text
    assert "手机号后四位" in text


def test_login_waits_grow(gate: Gate) -> None:
    """Too many wrong tries are told to wait, and the right secret must wait as well."""
    for _ in range(FREE_TRIES - 1):
        assert gate.log_in("wrong secret") == 403
    assert gate.log_in("wrong secret") == 429
    assert gate.log_in() == 429
    gate.now_ns = 3 * S
    assert gate.log_in() == 303


def test_the_session_cookie_cannot_be_read_or_sent_from_elsewhere(guarded: Gate) -> None:
    """HttpOnly and SameSite=Strict."""
    form = {"token": guarded.open_token(), "login": "wang", "secret": SECRET}
    cookie = guarded.client.post("/guard/login", data=form).headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie


def test_an_idle_console_locks(guarded: Gate) -> None:
    """After half an hour the session is gone; a touch in between keeps it."""
    assert guarded.client.get("/guard").status_code == 200
    guarded.now_ns = IDLE_S * S
    beat = {"screen": "guard", "frames": "1", "active": "yes"}
    token = {"x-gatepost-token": guarded.open_token()}
    assert guarded.client.post("/alive", data=beat, headers=token).status_code == 204
    guarded.now_ns += IDLE_S * S
    guarded.hub.publish(busy_view(2))
    assert guarded.client.get("/guard").status_code == 200
    guarded.now_ns += IDLE_S * S + 1
    assert guarded.client.get("/guard").status_code == 303


def test_locking_ends_the_session(guarded: Gate) -> None:
    """After "lock" the old cookie opens nothing."""
    cookie = guarded.client.cookies["gatepost_guard"]
    assert guarded.post("/guard/logout")[0] == 303
    guarded.client.cookies.set("gatepost_guard", cookie)
    assert guarded.client.get("/guard").status_code == 303


def test_the_resident_screen_holds_nothing_personal(guarded: Gate) -> None:
    """Category, temperature, checks, policy and guard's words never reach the public page or its events."""
    for shift in range(13):
        guarded.hub.publish(busy_view(1, shift))
        page = guarded.client.get("/lane/east-in").text
        for private in ("居民", "访客", "快递外卖", "偏高", "测温正常", "临界", "不通过", "case-7", "规则", "王师傅"):
            assert private not in page.replace("居民屏", ""), (shift, private)


def test_hostile_text_is_escaped_everywhere(guarded: Gate) -> None:
    """Names of sites, devices, alarms and categories are text, never markup."""
    bad = "<img src=x onerror=alert(1)>\"'"
    view = busy_view(1)
    row = replace(view.recent[0], category=bad, reason=bad, lane=bad, passage=bad)
    guarded.hub.publish(replace(view, site_name=bad, alarms=(bad,), duty_number=bad, recent=(row,)))
    for path in ("/", "/lane/east-in", "/guard"):
        page = guarded.client.get(path).text
        assert "<img src=x" not in page
        assert "&lt;img src=x" in page


def test_before_the_first_view_pages_say_so(gate: Gate) -> None:
    """A page asked for while the gate starts comes back by itself."""
    app = create_app(Hub(), gate.carry_out, guards=GuardBook(hasher=CHEAP), allowed_hosts=("testserver",))
    client = TestClient(app)
    answer = client.get("/lane/east-in")
    assert (answer.status_code, answer.headers["refresh"]) == (503, "1")
    assert client.get("/guard/login").status_code == 200


def test_the_place_code_is_a_readable_qr(gate: Gate) -> None:
    """The picture is there, offline, as SVG."""
    picture = gate.client.get("/place-code.svg")
    assert picture.headers["content-type"] == "image/svg+xml"
    assert b"<svg" in picture.content


def test_painted_counts_only_the_passage_of_the_lane(gate: Gate) -> None:
    """A stray acknowledgement measures nothing."""
    token = {"x-gatepost-token": gate.open_token()}
    for passage, status in (("p5", 204), ("other", 204)):
        assert (
            gate.client.post("/painted", data={"lane": "east-in", "passage": passage}, headers=token).status_code
            == status
        )
    assert [p.passage for p in gate.app.state.watch.painted_verdicts()] == ["p5"]
    assert gate.client.post("/painted", data={"lane": "no", "passage": "p5"}, headers=token).status_code == 404


def test_a_browser_that_paints_no_frames_grows_old(gate: Gate) -> None:
    """The same frame count again is no sign of life."""
    token, watch = {"x-gatepost-token": gate.open_token()}, gate.app.state.watch
    for now_s, frames, age_s in ((0, "1", 0), (5, "2", 0), (10, "2", 5), (25, "2", 20)):
        gate.now_ns = now_s * S
        gate.client.post("/alive", data={"screen": "lane/east-in", "frames": frames}, headers=token)
        assert watch.age_s("lane/east-in") == age_s
    assert watch.age_s("lane/other") is None


# --- the server ---------------------------------------------------------------------------------------------------


def test_the_server_reports_its_port_streams_and_stops(gate: Gate) -> None:
    """Port 0 takes a free one; an open event stream does not hold up the stop."""
    import httpx

    app = create_app(gate.hub, gate.carry_out, guards=GuardBook(hasher=CHEAP))
    server = ScreensServer(app)
    server.start()
    with httpx.Client(base_url=server.address) as client, client.stream("GET", "/events/lane/east-in") as answer:
        lines = answer.iter_lines()
        while not next(lines).startswith("event: state"):
            pass
        assert "text/event-stream" in answer.headers["content-type"]
        server.stop()
        assert not server.running


def test_a_page_that_breaks_is_told_to_the_programs_log(gate: Gate, caplog: pytest.LogCaptureFixture) -> None:
    """Through the one root of Python's logging, whose form the program sets; uvicorn's own would be plain text."""
    import httpx

    @role(Role.OPEN)
    async def breaks() -> None:
        raise LookupError("torn page")

    app = create_app(gate.hub, gate.carry_out, guards=GuardBook(hasher=CHEAP))
    app.add_api_route("/breaks", breaks)
    server = ScreensServer(app)
    server.start()
    try:
        assert httpx.get(f"{server.address}/breaks").status_code == 500
    finally:
        server.stop()
    (told,) = [record for record in caplog.records if record.name == "uvicorn.error"]
    assert told.exc_info is not None
    assert isinstance(told.exc_info[1], LookupError)


def test_a_taken_port_is_named(gate: Gate) -> None:
    """The error says which address, and which key to set."""
    first = ScreensServer(gate.app)
    first.start()
    try:
        with pytest.raises(ConfigError, match=rf"web\.port 127\.0\.0\.1:{first.port}.*another web\.port"):
            ScreensServer(gate.app, port=first.port).start()
    finally:
        first.stop()


# --- the guards' file ---------------------------------------------------------------------------------------------


def guards_file(folder: Path, text: str, mode: int = 0o600) -> Path:
    path = folder / "guards.toml"
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
    return path


def good(secret: str = SECRET) -> str:
    return f'[guards.wang]\nname = "王师傅"\nsecret = "{hash_secret(secret, CHEAP)}"\n'


def test_guards_are_read_from_their_file(tmp_path: Path) -> None:
    """Name and hash; the secret itself stands nowhere."""
    book = GuardBook.load(guards_file(tmp_path, good()))
    assert book.log_in("wang", SECRET, now_ns=0).guard == Guard("wang", "王师傅", book._guards["wang"].secret_hash)


@pytest.mark.parametrize(
    ("text", "mode", "complaint"),
    [
        (good(), 0o640, "mode 0640"),
        (good(), 0o604, "chmod 600"),
        ("guards = 1", 0o600, "tables"),
        ('[guards.wang]\nname = "w"\nsecret = "plain words"', 0o600, "argon2id hash"),
        ('[guards."Wang!"]\nname = "w"\nsecret = "x"', 0o600, "a-z, 0-9"),
        ('[guards.wang]\nname = "w"', 0o600, "name and secret"),
        ("[guards", 0o600, "TOML"),
    ],
)
def test_a_bad_guards_file_is_refused_by_name(tmp_path: Path, text: str, mode: int, complaint: str) -> None:
    """Readable by others, malformed, or with a secret in the clear."""
    with pytest.raises(ConfigError, match=complaint):
        GuardBook.load(guards_file(tmp_path, text, mode))


def test_a_guard_is_added_and_given_a_new_secret(tmp_path: Path) -> None:
    """The file is made private, other guards stay, and only the new secret works."""
    path = tmp_path / "guards.toml"
    set_guard(path, "wang", '王"师傅"\\', SECRET, hasher=CHEAP)
    set_guard(path, "li", "李师傅", "another secret", hasher=CHEAP)
    set_guard(path, "wang", "王师傅", "a newer secret", hasher=CHEAP)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    book = GuardBook.load(path)
    assert book.name_of("wang") == "王师傅"
    assert book.log_in("wang", SECRET, now_ns=0).guard is None
    assert book.log_in("wang", "a newer secret", now_ns=0).guard is not None
    assert book.log_in("li", "another secret", now_ns=0).guard is not None


def test_guards_are_kept_by_the_command_line(tmp_path: Path) -> None:
    """The secret is asked for twice and hidden; it stands in no argument and in no output."""
    path, runner = tmp_path / "guards.toml", CliRunner()
    arguments = ["set", str(path), "wang", "--name", "王师傅"]
    answer = runner.invoke(guard_cli.app, arguments, input=f"{SECRET}\n{SECRET}\n")
    assert answer.exit_code == 0, answer.output
    assert SECRET not in answer.output
    listed = runner.invoke(guard_cli.app, ["list", str(path)])
    assert listed.output.split() == ["wang", "王师傅"]
    assert runner.invoke(guard_cli.app, arguments, input=f"{SECRET}\nanother one\n").exit_code != 0


@pytest.mark.parametrize(
    ("login", "name", "secret"),
    [("Wang!", "王", SECRET), ("wang", "王\n[guards.x]", SECRET), ("wang", "王", "12345678")],
)
def test_a_bad_guard_is_not_written(tmp_path: Path, login: str, name: str, secret: str) -> None:
    """What could not be read back, or guessed at once, never reaches the file."""
    with pytest.raises(ConfigError):
        set_guard(tmp_path / "guards.toml", login, name, secret, hasher=CHEAP)
    assert list(tmp_path.iterdir()) == []


def test_pulling_the_plug_gives_no_new_tries(tmp_path: Path) -> None:
    """The count of wrong tries is on disk, private, and the wait begins anew after a restart."""
    path, tries = guards_file(tmp_path, good()), tmp_path / "tries.json"
    book = GuardBook.load(path, tries_file=tries)
    for _ in range(FREE_TRIES):
        book.log_in("wang", "wrong", now_ns=0)
    assert stat.S_IMODE(tries.stat().st_mode) == 0o600
    again = GuardBook.load(path, tries_file=tries, now_ns=7 * S)
    assert again.log_in("wang", SECRET, now_ns=8 * S).wait_s == 1
    assert again.log_in("wang", SECRET, now_ns=9 * S).guard is not None
    tries.write_text("not json")
    assert GuardBook.load(path, tries_file=tries).log_in("wang", SECRET, now_ns=0).wait_s > 0


# Aiming a camera


class AimedCamera:
    """A camera in service with one frame."""

    def latest_frame(self) -> Frame:
        return Frame(np.full((480, 640), 120, np.uint8), 0, 1)

    def stats(self) -> CameraStats:
        return WELL


def test_the_camera_page_is_the_guards_and_keeps_nothing() -> None:
    """The picture may not be stored by anything on its way; figures and page in the guard's language."""
    gate = Gate(cameras={"east-in": AimedCamera()})
    assert gate.client.get("/guard/camera/east-in/picture").status_code == 303
    gate.log_in()
    assert 'href="/guard/camera"' in gate.client.get("/guard").text
    assert gate.client.get("/guard/camera").headers["location"] == "/guard/camera/east-in"
    assert "调摄像头" in gate.client.get("/guard/camera/east-in").text
    picture = gate.client.get("/guard/camera/east-in/picture")
    assert (picture.status_code, picture.headers["content-type"]) == (200, "image/jpeg")
    assert picture.headers["cache-control"] == "no-store"
    assert "etag" not in picture.headers
    assert picture.content.startswith(b"\xff\xd8\xff")
    assert 'data-sharpness="–"' in gate.client.get("/guard/camera/east-in/figures").text


def test_a_page_for_aiming_that_was_left_open_does_not_keep_the_console_unlocked() -> None:
    """Pictures ask for themselves: they are no touch of the guard's."""
    gate = Gate(cameras={"east-in": AimedCamera()})
    gate.log_in()
    for _ in range(4):
        gate.now_ns += IDLE_S * S // 3
        answers = [gate.client.get(f"/guard/camera/east-in/{part}").status_code for part in ("picture", "figures")]
    assert answers == [303, 303]


def test_a_lane_without_a_camera_has_no_such_page(guarded: Gate) -> None:
    """And the console of a kiosk without cameras does not offer it."""
    assert "/guard/camera" not in guarded.client.get("/guard").text
    for path in ("/guard/camera", "/guard/camera/east-in", "/guard/camera/east-in/picture"):
        assert guarded.client.get(path).status_code == 404


class WaitingTrust:
    """A trust store whose next version is far shorter."""

    def __init__(self) -> None:
        self.waiting = "trust bundle's community_keys.json: seen 1 keys, expected about 9"
        self.confirmed_by: list[str] = []

    def status(self) -> TrustStatus:
        at = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
        state = TrustState(version=17, roots=(), created_at=at, next_update=at + timedelta(days=7))
        return TrustStatus(state=state, keys=9, skipped=2, refused="", waiting=self.waiting)

    def confirm(self, guard: str) -> bool:
        self.confirmed_by += [guard] if self.waiting else []
        waited, self.waiting = bool(self.waiting), ""
        return waited


def test_a_guard_reads_the_trust_stores_age_and_takes_a_shorter_list() -> None:
    """The page names version and dates in the site's time; the word is given once, by a guard who is known."""
    desk = WaitingTrust()
    gate = Gate(trust=desk)
    gate.log_in()
    page = gate.client.get("/guard/trust").text
    assert all(text in page for text in ("17", "2026-03-02 08:00", "2026-03-09 08:00", "seen 1 keys"))
    assert gate.post("/guard/trust/confirm")[0] == 303
    assert gate.post("/guard/trust/confirm")[0] == 409
    assert desk.confirmed_by == ["wang"]
    assert "/guard/trust" in gate.client.get("/guard").text


def test_without_bundles_there_is_no_page_of_their_age(guarded: Gate) -> None:
    """A plain folder of keys has no version: no button leads nowhere."""
    assert guarded.client.get("/guard/trust").status_code == 404
    assert "/guard/trust" not in guarded.client.get("/guard").text


@dataclass
class PolicyOfTheCentral:
    """A policy that came down as document 12, and one after it that was refused."""

    in_force: PolicyInForce = field(
        default_factory=lambda: PolicyInForce(policy=load_policy("case"), document=12, unnamed=("acrobat",))
    )
    why_refused: str = "policy case-9: kiosks; seen: <south-1>; expected: north-1"


def test_a_guard_reads_which_policy_is_in_force_and_why_the_newest_is_not() -> None:
    """Version, where it came from, the order and its end in the site's time, and the reason, escaped."""
    gate = Gate(policy=PolicyOfTheCentral())
    gate.log_in()
    gate.client.get("/guard?lang=en")
    page = gate.client.get("/guard/policy").text
    wanted = ("case-1", "the central, document 12", "EXAMPLE-2", "2029-12-31 16:00", "acrobat", "seen: &lt;south-1&gt;")
    assert [text for text in wanted if text not in page] == []
    assert 'href="/guard/policy"' in gate.client.get("/guard").text
    own = Gate(policy=PolicyOfTheCentral(PolicyInForce(policy=load_policy("building_door")), ""))
    own.log_in()
    own.client.get("/guard?lang=en")
    page = own.client.get("/guard/policy").text
    assert "this gate&#39;s own settings" in page
    assert 'role="alert"' not in page


class OnePass:
    """A desk that issues one pass and then has lost its certificate."""

    def __init__(self) -> None:
        self.wishes: list[PassWish] = []
        self.revoked: list[tuple[str, str]] = []
        until = datetime(2026, 3, 2, 20, 0, tzinfo=UTC)
        self.issued = IssuedPass(
            pass_id="0123456789abcdef", category="courier", places=("north",), once=True, expires_at=until, guard="wang"
        )

    def listed(self) -> tuple[IssuedPass, ...]:
        return (self.issued,)

    def issue(self, wish: PassWish) -> tuple[IssuedPass, str]:
        if self.wishes:
            raise PassError("no_certificate", "certificate")
        self.wishes.append(wish)
        return self.issued, "GP1:ABC"

    def revoke(self, pass_id: str, guard: str) -> None:
        self.revoked.append((pass_id, guard))


def test_a_guard_issues_a_pass_sees_it_once_and_revokes_it() -> None:
    """The answer draws the code; the list names passes by their id alone; what cannot be done says why."""
    desk = OnePass()
    gate = Gate(passes=desk)
    gate.log_in()
    wish = {"category": "courier", "use": "once", "hours": "4"}
    assert gate.post("/guard/passes", **{**wish, "hours": "5"})[0] == 422
    status, page = gate.post("/guard/passes", **wish)
    assert status == 200
    assert "<svg" in page
    assert desk.wishes[0].guard == "wang"
    assert "<svg" not in gate.client.get("/guard/passes").text.partition('class="passes"')[2]
    status, page = gate.post("/guard/passes", **wish)
    assert status == 409
    assert "授权" in page
    assert gate.post("/guard/passes/revoke", pass_id="0123456789abcdef")[0] == 303
    assert desk.revoked == [("0123456789abcdef", "wang")]
