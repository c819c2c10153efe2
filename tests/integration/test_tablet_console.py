"""The guard's console on a tablet: TLS or nothing, paired or nothing, and a log-in after that."""

from __future__ import annotations

import json
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from fastapi.routing import APIRoute
from typer.testing import CliRunner

from config.errors import ConfigError
from config.settings import load_settings
from config.tablet import Tablet
from kiosk import cli, release, tablet_certificate
from kiosk.board import CommandResult, Emergency, GuardCommand, MeasureAgain
from kiosk.clock import Instant, SystemClock
from kiosk.doctor import Level, examine
from kiosk.journal import JournalReader
from kiosk.reasons import ClockTrust
from kiosk.records import PayloadClass, Stream
from kiosk.screens import impatient_protocol
from kiosk.screens.app import create_app
from kiosk.screens.bounded_listener import MAX_PER_ADDRESS, BoundedListener
from kiosk.screens.guards import Guard, GuardBook, hash_secret
from kiosk.screens.hub import Hub
from kiosk.screens.preview import busy_view
from kiosk.screens.security import Role, declared_role
from kiosk.screens.server import ScreensServer
from kiosk.screens.tablet_door import COOKIE, FREE_TRIES, PUBLIC, ROUTES, TabletDoor
from kiosk.screens.tablet_pages import TabletDesk
from kiosk.tablet_book import CODE_LIFE_NS, TabletBook
from kiosk.tablet_certificate import AUTHORITY, CERTIFICATE, KEY, CertificateFiles, make_certificate, tls_context
from tests.integration.test_doctor import settings_in
from tests.integration.test_screens_app import CHEAP, SECRET, Gate, OnePass

LANE = "/guard/lane/east-in"
TABLET = Tablet(host="127.0.0.1", names=("localhost",))
START = Instant(at_us=1_772_000_000_000_000, clock_trust=ClockTrust.SYNCED, boot_id="boot-1", mono_ns=10**12)
#: What stays on the kiosk's own screen. A new route of the kiosk belongs here or into ROUTES: somebody has to decide.
KIOSK_ONLY = {
    "GET /",
    "GET /lane/{lane}",
    "GET /events/lane/{lane}",
    "GET /place-code",
    "GET /place-code.svg",
    "GET /voices/{language}/{name}",
    "POST /painted",
    "GET /guard/camera",
    "GET /guard/camera/{lane}",
    "GET /guard/camera/{lane}/picture",
    "GET /guard/camera/{lane}/figures",
    "GET /guard/trust",
    "POST /guard/trust/confirm",
    "GET /guard/policy",
    "GET /guard/clock",
    "POST /guard/clock",
    "POST /guard/clock/agree",
    "GET /guard/tablets",
    "POST /guard/tablets",
    "POST /guard/tablets/revoke",
}


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a certificate for 127.0.0.1 and localhost, and the authority behind it."""
    folder = tmp_path_factory.mktemp("tls")
    assert make_certificate(folder, TABLET, now=datetime.now(UTC))
    return folder


@dataclass
class Kiosk:
    """The second listener on a real TLS socket, with a clock that stands still and a recording gate."""

    folder: Path
    authority: Path
    now: Instant = START
    commands: list[GuardCommand] = field(default_factory=list)
    paired: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.book = TabletBook(self.folder)
        self.hub = Hub()
        self.hub.publish(busy_view(2))
        guards = GuardBook({"wang": Guard("wang", "王师傅", hash_secret(SECRET, CHEAP))}, hasher=CHEAP)
        self.app = create_app(
            self.hub,
            self.carry_out,
            guards=guards,
            passes=OnePass(),
            door=TabletDoor(self.book, lambda: self.now, lambda tablet: self.paired.append(tablet.tablet_id)),
            allowed_hosts=TABLET.known_as,
            now_ns=lambda: self.now.mono_ns,
            heartbeat_s=0.1,
        )
        files = CertificateFiles(self.authority / CERTIFICATE, self.authority / KEY)
        self.server = ScreensServer(self.app, tls=tls_context(files), setting="web.tablet.port")
        self.server.start()

    def carry_out(self, command: GuardCommand) -> CommandResult:
        self.commands.append(command)
        return CommandResult(done=True)

    def browser(self) -> httpx.Client:
        """A browser that trusts the authority and nobody else, and follows nothing by itself."""
        trust = ssl.create_default_context(cafile=str(self.authority / AUTHORITY))
        return httpx.Client(base_url=self.server.address, verify=trust, follow_redirects=False)

    def pair(self, browser: httpx.Client, code: str = "") -> httpx.Response:
        code = code or self.book.new_code("岗亭平板", now=self.now)
        return browser.post("/pair", data={"token": token_of(browser, "/pair"), "code": code})

    @contextmanager
    def paired_browser(self) -> Iterator[httpx.Client]:
        with self.browser() as browser:
            assert self.pair(browser).status_code == 303
            yield browser


def token_of(browser: httpx.Client, path: str) -> str:
    found = re.search(r'name="token" value="([0-9a-f]{64})"', browser.get(path).text)
    assert found
    return found[1]


def log_in(browser: httpx.Client) -> httpx.Response:
    form = {"token": token_of(browser, "/guard/login"), "login": "wang", "secret": SECRET}
    return browser.post("/guard/login", data=form)


@pytest.fixture
def kiosk(tmp_path: Path, authority: Path) -> Iterator[Kiosk]:
    kiosk = Kiosk(tmp_path, authority)
    yield kiosk
    kiosk.server.stop()


def routes_of(app: object) -> dict[str, APIRoute]:
    found = [route for route in app.routes if isinstance(route, APIRoute)]  # type: ignore[attr-defined]
    return {f"{method} {route.path}": route for route in found for method in route.methods}


def concrete(path: str) -> str:
    for name, value in (("{lane}", "east-in"), ("{sheet}", "visitor"), ("{language}", "en"), ("{name}", "x")):
        path = path.replace(name, value)
    return path


# --- the matrix: every route, for everybody ---------------------------------------------------------------------------


def test_every_route_of_the_kiosk_is_the_tablets_or_the_kiosks_alone(kiosk: Kiosk) -> None:
    """Nothing reaches a network because somebody forgot to think of it; every route of the listener has a role."""
    local, remote = routes_of(Gate(trust=None).app), routes_of(kiosk.app)
    assert set(local) <= ROUTES | KIOSK_ONLY
    assert set(local) >= ROUTES
    assert not ROUTES & KIOSK_ONLY
    assert set(remote) == ROUTES | {"GET /", "GET /pair", "POST /pair"}
    assert None not in {declared_role(route.endpoint) for route in remote.values()}


def test_an_unpaired_browser_sees_the_pairing_page_and_nothing_else(kiosk: Kiosk) -> None:
    """Every route of both listeners and every file, even with a guard's secret and a right token."""
    with kiosk.browser() as browser:
        token = token_of(browser, "/pair")
        everything = [*routes_of(Gate().app), *routes_of(kiosk.app), "GET /static/aim.js", "GET /nowhere"]
        for method, path in (name.split(" ") for name in everything if not name.endswith(" /pair")):
            form = {"token": token, "login": "wang", "secret": SECRET, "confirm": "yes", "code": "x"}
            answer = browser.request(method, concrete(path), **({"data": form} if method == "POST" else {}))
            if method == "GET" and not path.startswith(("/events/", "/static/")):
                assert (answer.status_code, answer.headers.get("location")) == (303, "/pair"), path
            else:
                assert answer.status_code == 403, path
            assert answer.text in ("", "This browser is not paired with the kiosk."), path
        assert browser.cookies.get("gatepost_guard") is None
        for path in PUBLIC:
            assert browser.get(path).status_code == 200
    assert kiosk.commands == []


def test_a_paired_tablet_still_needs_a_guard(kiosk: Kiosk) -> None:
    """Console and commands lead to the log-in; what belongs to the kiosk is not there, not even for a guard."""
    with kiosk.paired_browser() as browser:
        token = token_of(browser, "/guard/login")
        for name, route in routes_of(kiosk.app).items():
            method, path = name.split(" ")
            if declared_role(route.endpoint) is not Role.GUARD:
                continue
            answer = browser.request(method, concrete(path), **({"data": {"token": token}} if method == "POST" else {}))
            if method == "GET" and not path.startswith("/events/"):
                assert (answer.status_code, answer.headers["location"]) == (303, "/guard/login"), path
            else:
                assert answer.status_code == 401, path
        assert kiosk.commands == []
        assert log_in(browser).status_code == 303
        for name in KIOSK_ONLY - {"GET /"}:
            method, path = name.split(" ")
            assert browser.request(method, concrete(path)).status_code in (404, 405), path
        token = token_of(browser, "/guard")
        assert browser.post(f"{LANE}/measure-again", data={"token": token}).status_code == 303
    assert kiosk.commands == [MeasureAgain(lane="east-in", guard="wang")]


def test_every_command_of_a_tablet_needs_its_token(kiosk: Kiosk) -> None:
    """Another site in the tablet's browser commands nothing."""
    with kiosk.paired_browser() as browser:
        log_in(browser)
        for name in routes_of(kiosk.app):
            method, path = name.split(" ")
            if method == "POST":
                form = {"token": "0" * 64, "confirm": "yes"}
                assert browser.post(concrete(path), data=form).status_code == 403, path
        form = {"token": token_of(browser, "/guard"), "confirm": "yes"}
        evil = {"origin": "https://evil.example"}
        assert browser.post(f"{LANE}/measure-again", data=form, headers=evil).status_code == 403
    assert kiosk.commands == []


def test_emergency_from_a_tablet_needs_pairing_and_no_log_in(kiosk: Kiosk) -> None:
    """A guard with the tablet in hand opens at once; a stranger in the same network does not."""
    with kiosk.paired_browser() as browser, kiosk.browser() as stranger:
        form = {"token": token_of(browser, "/guard/login"), "lane": "east-in", "confirm": "yes"}
        assert stranger.post("/emergency", data=form).status_code == 403
        assert kiosk.commands == []
        assert browser.post("/emergency", data=form).status_code == 303
    assert kiosk.commands == [Emergency(lane="east-in", open=True)]


# --- pairing ----------------------------------------------------------------------------------------------------------


def test_pairing_gives_a_cookie_that_stays_on_this_host(kiosk: Kiosk) -> None:
    """__Host-, Secure, HttpOnly, SameSite=Strict, long-lived; the guard's is Secure as well; HSTS on every answer."""
    with kiosk.browser() as browser:
        answer = kiosk.pair(browser)
        attributes = answer.headers["set-cookie"].lower()
        assert attributes.startswith(COOKIE.lower() + "=")
        for wanted in ("secure", "httponly", "samesite=strict", "path=/", "max-age=34560000"):
            assert wanted in attributes
        assert "domain" not in attributes
        assert "secure" in log_in(browser).headers["set-cookie"].lower()
        language = browser.get("/guard?lang=en")
        assert "secure" in language.headers["set-cookie"].lower()
        assert answer.headers["strict-transport-security"].startswith("max-age=")
    assert len(kiosk.paired) == 1
    assert kiosk.book.listed()[0].tablet_id == kiosk.paired[0]


def test_a_code_of_sixteen_minutes_ago_and_a_used_one_pair_nothing(kiosk: Kiosk) -> None:
    """The page says to make a new one, and no cookie is given."""
    code = kiosk.book.new_code("tablet", now=kiosk.now)
    kiosk.now = replace(START, mono_ns=START.mono_ns + CODE_LIFE_NS)
    with kiosk.browser() as browser:
        late = kiosk.pair(browser, code)
        assert late.status_code == 403
        assert "重新生成" in late.text
        used = kiosk.book.new_code("tablet", now=kiosk.now)
        with kiosk.browser() as first:
            assert kiosk.pair(first, used).status_code == 303
        assert kiosk.pair(browser, used).status_code == 403
        assert "set-cookie" not in late.headers


def test_guessing_codes_has_to_wait(kiosk: Kiosk) -> None:
    """After five wrong tries even the right code waits; the emergency of paired tablets does not."""
    code = kiosk.book.new_code("tablet", now=kiosk.now)
    with kiosk.browser() as browser:
        for _ in range(FREE_TRIES):
            assert kiosk.pair(browser, "2222-2222").status_code == 403
        assert kiosk.pair(browser, code).status_code == 429
        kiosk.now = replace(START, mono_ns=START.mono_ns + 2 * 10**9)
        assert kiosk.pair(browser, code).status_code == 303


def test_a_revoked_tablet_is_out_at_once_with_the_page_it_shows(kiosk: Kiosk) -> None:
    """The next request meets the pairing page; the open console is told to lock, without anybody touching it."""
    with kiosk.paired_browser() as browser:
        log_in(browser)
        seen: list[str] = []
        ready, ended = threading.Event(), threading.Event()

        def listen() -> None:
            with browser.stream("GET", "/events/guard", timeout=20) as events:
                for line in events.iter_lines():
                    seen.append(line)
                    if line == "event: state":
                        ready.set()
            ended.set()

        listener = threading.Thread(target=listen)
        listener.start()
        assert ready.wait(20)
        kiosk.book.revoke(kiosk.paired[0])
        assert ended.wait(20)
        listener.join()
        assert "event: locked" in seen
        assert browser.get("/guard").headers["location"] == "/pair"
        assert browser.post("/emergency", data={"confirm": "yes"}).status_code == 403
    assert kiosk.commands == []


def test_the_kiosks_console_makes_a_code_lists_and_revokes(tmp_path: Path) -> None:
    """The guard at the kiosk: a name, a code shown once, the list, the end; not while locked."""
    book, told = TabletBook(tmp_path), []
    gate = Gate()
    desk = TabletDesk(book, lambda: START, "https://192.168.7.20:8473", "ab12 cd34", told.append)
    gate.app = create_app(
        gate.hub,
        gate.carry_out,
        guards=GuardBook({"wang": Guard("wang", "王师傅", hash_secret(SECRET, CHEAP))}, hasher=CHEAP),
        tablets=desk,
        allowed_hosts=("testserver",),
    )
    gate.client = type(gate.client)(gate.app, follow_redirects=False)
    assert gate.client.get("/guard/tablets").headers["location"] == "/guard/login"
    gate.log_in()
    assert gate.post("/guard/tablets", name="")[0] == 422
    status, page = gate.post("/guard/tablets", name="岗亭平板")
    code = re.search(r"<b>([2-9A-Z]{4}-[2-9A-Z]{4})</b>", page)
    assert status == 200
    assert code
    assert "https://192.168.7.20:8473" in page
    assert "ab12 cd34" in page
    tablet, cookie = book.pair(code[1], now=START)
    listed = gate.client.get("/guard/tablets").text
    assert "岗亭平板" in listed
    assert code[1] not in listed
    assert gate.post("/guard/tablets/revoke", tablet=tablet.tablet_id)[0] == 303
    assert (book.tablet_of(cookie), told) == (None, [tablet])
    assert gate.post("/guard/tablets/revoke", tablet=tablet.tablet_id)[0] == 409
    assert 'role="alert"' not in gate.client.get("/guard/tablets").text
    (tmp_path / "tablets.json").write_text("half a fi")
    assert 'role="alert"' in gate.client.get("/guard/tablets").text  # an empty list would look like no tablets at all


# --- TLS --------------------------------------------------------------------------------------------------------------


def test_another_authority_is_not_believed(kiosk: Kiosk, tmp_path: Path) -> None:
    """A browser without this site's authority, or with another's of the same name, gets no page."""
    make_certificate(tmp_path / "other", TABLET, now=datetime.now(UTC))
    for trust in (
        ssl.create_default_context(),
        ssl.create_default_context(cafile=str(tmp_path / "other" / AUTHORITY)),
    ):
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            httpx.get(kiosk.server.address + "/pair", verify=trust)


def test_plain_http_gets_no_page(kiosk: Kiosk) -> None:
    """Not even a redirect, which could be read and turned."""
    with socket.create_connection(("127.0.0.1", kiosk.server.port), timeout=10) as plain:
        plain.sendall(b"GET /pair HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")
        answer = b""
        while part := plain.recv(4096):
            answer += part
    assert b"HTTP/" not in answer


def test_old_versions_of_tls_are_refused_and_new_ones_are_not(kiosk: Kiosk) -> None:
    """1.2 and 1.3; nothing before."""
    spoken = []
    for version in (ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        context = ssl.create_default_context(cafile=str(kiosk.authority / AUTHORITY))
        context.set_ciphers("DEFAULT:@SECLEVEL=0")  # otherwise the client itself would refuse the old one
        context.minimum_version = context.maximum_version = version
        try:
            with (
                socket.create_connection(("127.0.0.1", kiosk.server.port), timeout=10) as raw,
                context.wrap_socket(raw, server_hostname="127.0.0.1") as wrapped,
            ):
                spoken.append(wrapped.version())
        except ssl.SSLError:
            continue
    assert spoken == ["TLSv1.2", "TLSv1.3"]
    # The library may refuse what our own bound lets through; ours holds with any library.
    files = CertificateFiles(kiosk.authority / CERTIFICATE, kiosk.authority / KEY)
    assert tls_context(files).minimum_version is ssl.TLSVersion.TLSv1_2


def test_a_foreign_name_is_refused(kiosk: Kiosk) -> None:
    """A page elsewhere cannot point its own name at the kiosk."""
    with kiosk.paired_browser() as browser:
        assert browser.get("/guard", headers={"host": "evil.example"}).status_code == 421
        assert browser.get("/guard/login", headers={"host": f"localhost:{kiosk.server.port}"}).status_code == 200


def test_strangers_take_a_bounded_number_of_connections(kiosk: Kiosk) -> None:
    """The seventeenth of one address is closed before TLS; when one leaves, the next gets its page."""
    with kiosk.browser() as browser:
        assert browser.get("/pair").status_code == 200
        held = [
            socket.create_connection(("127.0.0.1", kiosk.server.port), timeout=10) for _ in range(MAX_PER_ADDRESS - 1)
        ]
        with socket.create_connection(("127.0.0.1", kiosk.server.port), timeout=10) as one_more:
            assert closed(one_more)
        assert browser.get("/pair").status_code == 200
        for connection in held:
            connection.close()
    with kiosk.browser() as browser:
        for _ in range(50):
            try:
                assert browser.get("/pair").status_code == 200
                break
            except httpx.TransportError:
                continue  # the server has not yet noticed those that left
        else:
            pytest.fail("no page after the others had left")


def test_no_other_event_loop_accepts_past_the_bounds(kiosk: Kiosk) -> None:
    """uvloop, where something installed it, takes connections from the socket's number and not from the listener."""
    assert kiosk.server._server.config.loop == "asyncio"


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"GET /pair HTTP/1.1\r\nhost: 127.0.0.1\r\n",
        b"GET /pair HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\nGET /pair HT",
        b"POST /pair HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 20\r\n"
        b"content-type: application/x-www-form-urlencoded\r\n\r\ntoken=",
    ],
)
def test_who_never_asks_to_the_end_is_dropped(kiosk: Kiosk, monkeypatch: pytest.MonkeyPatch, sent: bytes) -> None:
    """No request, half a head, half of a second one, half a body: the place is free again."""
    monkeypatch.setattr(impatient_protocol, "LOOK_EVERY_S", 0.2)
    trust = ssl.create_default_context(cafile=str(kiosk.authority / AUTHORITY))
    with (
        socket.create_connection(("127.0.0.1", kiosk.server.port), timeout=20) as raw,
        trust.wrap_socket(raw, server_hostname="127.0.0.1") as slow,
    ):
        slow.sendall(sent)
        while not closed(slow):
            pass


def test_a_page_that_listens_is_not_dropped(kiosk: Kiosk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Events go on for a whole shift: nothing is owed while an answer is being sent."""
    monkeypatch.setattr(impatient_protocol, "LOOK_EVERY_S", 0.05)
    with kiosk.paired_browser() as browser:
        log_in(browser)
        with browser.stream("GET", "/events/guard", timeout=20) as events:
            beats = (line for line in events.iter_lines() if line == "event: alive")
            assert [next(beats) for _ in range(6)]  # 0.1 s each: several looks


def test_a_gate_does_not_wait_for_its_network() -> None:
    """The address may come later, by Wi-Fi or a cable: until then the listener stands and the gate runs."""
    with BoundedListener(socket.AF_INET) as listener:
        listener.bind_early("192.0.2.77", 0)  # RFC 5737: no machine has it
        listener.listen(1)
        assert listener.getsockname()[0] == "192.0.2.77"


def closed(connection: socket.socket) -> bool:
    try:
        return connection.recv(4096) == b""
    except (ConnectionResetError, ssl.SSLEOFError):
        return True


def test_the_authority_can_vouch_for_nobody_else(tmp_path: Path) -> None:
    """Its key, stolen from the kiosk, makes no certificate that a tablet would believe for another host."""
    now = datetime.now(UTC)
    make_certificate(tmp_path, TABLET, now=now)
    key = serialization.load_pem_private_key((tmp_path / "authority-key.pem").read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    root = tablet_certificate._certificate(tmp_path / AUTHORITY)
    forged_key = ec.generate_private_key(ec.SECP256R1())
    for names, believed in ((("localhost",), True), (("bank.example",), False), (("127.0.0.2",), False)):
        forged = tablet_certificate._signed(forged_key, names, key, root, now)
        (tmp_path / "forged.pem").write_bytes(forged.public_bytes(serialization.Encoding.PEM))
        (tmp_path / "forged.key").write_bytes(tablet_certificate._pem(forged_key))
        (tmp_path / "forged.key").chmod(0o600)
        context = tls_context(CertificateFiles(tmp_path / "forged.pem", tmp_path / "forged.key"))
        assert handshake(context, names[0], tmp_path / AUTHORITY) is believed, names


def handshake(server: ssl.SSLContext, name: str, authority: Path) -> bool:
    """Whether a client that trusts the authority takes this server for ``name``; both in memory."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = ssl.create_default_context(cafile=str(authority)).wrap_bio(to_client, to_server, server_hostname=name)
    other = server.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(10):
        for end in (client, other):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLCertVerificationError:
                return False
    return client.version() is not None


def test_a_renewed_certificate_keeps_its_authority_and_another_name_needs_a_new_one(tmp_path: Path) -> None:
    """Tablets need no visit once a year; a kiosk that moves to another address does."""
    now = datetime.now(UTC)
    assert make_certificate(tmp_path, TABLET, now=now)
    before = (tmp_path / AUTHORITY).read_bytes(), (tmp_path / CERTIFICATE).read_bytes()
    assert not make_certificate(tmp_path, TABLET, now=now)
    assert (tmp_path / AUTHORITY).read_bytes() == before[0]
    assert (tmp_path / CERTIFICATE).read_bytes() != before[1]
    assert make_certificate(tmp_path, Tablet(host="127.0.0.1", names=("gate.lan",)), now=now)
    assert (tmp_path / KEY).stat().st_mode & 0o077 == 0


# --- the settings -----------------------------------------------------------------------------------------------------


def gate_with(folder: Path, text: str) -> Path:
    settings_in(folder)
    path = folder / "gate.toml"
    path.write_text(path.read_text() + text)
    return path


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('[web]\nhost = "192.168.7.20"\n', "plain HTTP is for loopback alone"),
        ('[web]\nhost = "0.0.0.0"\n', "plain HTTP is for loopback alone"),
        ('[web.tablet]\nhost = "gate.lan"\n', "an IP address"),
        ('[web.tablet]\nhost = "0.0.0.0"\n', "set names"),
        ('[web.tablet]\nhost = "192.168.7.20"\ncertificate = "/x.pem"\n', "belong together"),
        ('[web.tablet]\nhost = "192.168.7.20"\nnames = ["a b"]\n', "neither a host name"),
    ],
)
def test_a_network_without_tls_is_refused_by_name(tmp_path: Path, text: str, complaint: str) -> None:
    """The error names the key and what to set instead."""
    with pytest.raises(ConfigError, match=complaint):
        load_settings(gate_with(tmp_path, text), {})


def test_the_server_itself_refuses_a_network_without_tls(kiosk: Kiosk) -> None:
    """Whatever the settings let through."""
    with pytest.raises(ConfigError, match="without TLS"):
        ScreensServer(kiosk.app, host="192.168.7.20")


def test_a_gate_without_the_tablets_certificate_starts_without_tablets(tmp_path: Path) -> None:
    """What it says then: ``test_left_out.py``; the doctor calls it bad."""
    path = gate_with(tmp_path, '[web]\nport = 0\n[web.tablet]\nhost = "127.0.0.1"\nport = 0\n')
    result = CliRunner().invoke(cli.app, ["run", "--config", str(path), "--until-idle-s", "0.1"])
    assert result.exit_code == 0, result.output
    settings = load_settings(path, {}).settings
    (found,) = [f for f in examine(settings, devices=False) if f.what == "tablets"]
    assert found.level is Level.BAD


def test_a_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    """As every secret."""
    path = gate_with(tmp_path, '[web.tablet]\nhost = "127.0.0.1"\n')
    settings = load_settings(path, {}).settings
    make_certificate(tmp_path / "state/tablet", settings.web.tablet, now=datetime.now(UTC))
    assert tablet_certificate.certificate_files(settings).key.name == KEY
    (tmp_path / "state/tablet" / KEY).chmod(0o644)
    with pytest.raises(ConfigError, match="no group or other bit"):
        tablet_certificate.certificate_files(settings)


def test_the_commands_make_a_certificate_pair_list_and_revoke(tmp_path: Path) -> None:
    """What an installer types, one after the other."""
    path = gate_with(tmp_path, '[web.tablet]\nhost = "192.168.7.20"\n')

    def run(*arguments: str) -> str:
        result = CliRunner().invoke(cli.app, ["console", *arguments, "--config", str(path)])
        assert result.exit_code == 0, result.exception
        return result.output

    assert "install on each tablet" in run("certificate")
    assert "installed before" in run("certificate")
    told = run("pair", "岗亭平板")
    assert "https://192.168.7.20:8473" in told
    book = TabletBook(tmp_path / "state")
    code = told.split("code ")[1].strip()
    tablet, cookie = book.pair(code, now=SystemClock(None).now())
    assert "岗亭平板" in run("list")
    assert "revoked" in run("revoke", tablet.tablet_id)
    assert book.tablet_of(cookie) is None
    assert run("list") == ""


def test_a_kiosk_without_a_time_makes_a_certificate_of_its_releases_day(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clock that begins in 1970 would have it ended before the tablets first see it; the release's day has passed."""
    released = datetime(2090, 1, 1, tzinfo=UTC)
    monkeypatch.setattr(release, "RELEASED", released)
    path = gate_with(tmp_path, '[web.tablet]\nhost = "192.168.7.20"\n')
    assert CliRunner().invoke(cli.app, ["console", "certificate", "--config", str(path)]).exit_code == 0
    files = tablet_certificate.certificate_files(load_settings(path, {}).settings)
    assert tablet_certificate.valid_until(files) > released


# --- the whole program ------------------------------------------------------------------------------------------------


def test_a_running_gate_pairs_shows_and_revokes_a_tablet(tmp_path: Path) -> None:
    """`gatepost run` with both listeners; certificate, code and revocation by the command line beside it."""
    listen = '[web]\nport = 0\n[web.tablet]\nhost = "127.0.0.1"\nport = 0\n[policy]\nfile = "building_door"\n'
    path = gate_with(tmp_path, listen)

    def console(*arguments: str) -> str:
        result = CliRunner().invoke(cli.app, ["console", *arguments, "--config", str(path)])
        assert result.exit_code == 0, result.exception
        return result.output

    console("certificate")
    log = tmp_path / "log"
    with log.open("w") as out:
        command = [sys.executable, "-m", "kiosk.cli", "run", "--config", str(path)]
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)
    try:
        address = ""
        deadline = time.monotonic() + 60
        while not address and process.poll() is None and time.monotonic() < deadline:
            lines = [line for line in log.read_text().splitlines() if '"event": "tablets"' in line]
            address = json.loads(lines[0])["address"] if lines else ""
            time.sleep(0.1)
        assert address.startswith("https://127.0.0.1:"), log.read_text()
        trust = ssl.create_default_context(cafile=str(tmp_path / "state/tablet" / AUTHORITY))
        with httpx.Client(base_url=address, verify=trust, follow_redirects=False, timeout=30) as browser:
            assert browser.get("/guard/login").headers["location"] == "/pair"
            code = console("pair", "gatehouse").split("code ")[1].strip()
            form = {"token": token_of(browser, "/pair"), "code": code}
            assert browser.post("/pair", data=form).headers["location"] == "/guard"
            assert "全部紧急开放" in browser.get("/guard/login").text
            tablet_id = console("list").split()[0]
            console("revoke", tablet_id)
            assert browser.get("/guard/login").headers["location"] == "/pair"
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0
    finally:
        process.kill()
        process.wait()
    with closing(JournalReader(tmp_path / "state/journal.db")) as reader:
        ((incarnation, stream),) = [key for key in reader.positions() if key[1] is Stream.DIAGNOSTIC]
        facts = [r.payloads[PayloadClass.FACTS].body for r in reader.slice(incarnation, stream, 0).records]
    told = [fact for fact in facts if fact and fact.get("device") == "tablet"]
    assert told == [{"device": "tablet", "role": tablet_id, "detail": "paired"}]
