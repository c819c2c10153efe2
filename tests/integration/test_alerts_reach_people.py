"""Alerts by mail and webhook: once each, bundled, retried, shown when they fail, sent by one process of many."""

from __future__ import annotations

import asyncio
import hmac
import json
import ssl
import threading
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from starlette.testclient import TestClient
from typer.testing import CliRunner

from config.central import Alerts, SmtpSecurity, load_central
from config.errors import ConfigError
from kiosk.records import Kind, Payload, PayloadClass, Record, Stream
from sync.central import access, alert_outbox
from sync.central import cli as central_cli
from sync.central.access import Role
from sync.central.admin.texts import Language
from sync.central.alert_channels import load_telling
from sync.central.alert_mail import AlertChannel, MailChannel
from sync.central.alert_outbox import LEASE_US, REST_US
from sync.central.alert_webhook import WebhookChannel
from sync.central.alerts import close_alert, raise_alert
from sync.central.app import create_app
from sync.central.committer import Committer
from sync.central.context import CentralOptions
from sync.central.ingest import Ingest
from sync.central.notifier import Notifier, Telling
from sync.central.retention import DAY_US, Retention, forget
from sync.central.store import Store
from sync.central.tables import Alert, AlertNotice, table
from tests.conftest import ROOT
from tests.fakes import FakeClock
from tests.integration import postgres_server
from tests.integration.postgres_server import PostgresServer
from tests.integration.test_sync_programs import certificate
from tests.mail_server import MailServer
from tests.sync_kit import KIOSK, ChainJournal, MemoryCentral, batch_of, make_record

SHANGHAI = ZoneInfo("Asia/Shanghai")
SECRET = b"0123456789abcdef0123456789abcdef"
CANARY = "canary-7d1e"


class Town:
    """A central's database, a clock that stands still, and as many central processes as are asked for."""

    def __init__(self, database: str) -> None:
        self.clock = FakeClock()
        self.database = database
        self.store = Store(database)
        self._open: list[tuple[Store, Committer]] = []

    def process(self, *channels: AlertChannel, language: Language = Language.ZH) -> Notifier:
        """The sender of one more central process, with connections and a writer of its own."""
        store = Store(self.database)
        committer = Committer(store)
        self._open.append((store, committer))
        return Notifier(
            store=store,
            committer=committer,
            now_us=lambda: self.clock.at_us,
            telling=Telling(channels=channels, language=language, link="https://central.test/admin/kiosks"),
            site="向阳街道",
            zone=SHANGHAI,
        )

    def raise_alert(self, code: str, kiosk_id: str = KIOSK, detail: str = "") -> None:
        """As ingest does it."""
        with self.store.writing() as connection:
            raise_alert(connection, self.clock.at_us, code, kiosk_id, detail)

    def close_all(self) -> None:
        """Somebody dealt with everything."""
        with self.store.writing() as connection:
            for row in connection.execute(table(Alert).select()).all():
                close_alert(connection, self.clock.at_us, row.alert_id, "li")

    def troubles(self) -> list[Any]:
        """What the kiosks page shows of channels that fail."""
        with self.store.reading() as connection:
            return alert_outbox.troubles(connection, ("email", "webhook"))

    def end(self) -> None:
        """Every process ends."""
        for store, committer in self._open:
            committer.close()
            store.close()
        self.store.close()


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Town]:
    town = Town(str(tmp_path / "central.db"))
    yield town
    town.end()


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    with postgres_server.running() as server:
        yield server


def mail_to(server: MailServer, **changes: Any) -> MailChannel:
    fields: dict[str, Any] = {
        "host": "127.0.0.1",
        "port": server.port,
        "security": SmtpSecurity.NONE,
        "sender": "gatepost@example.org",
        "to": ("zhiban@example.org", "wuye@example.org"),
    }
    return MailChannel(**{**fields, **changes})


def look(*notifiers: Notifier) -> None:
    """Every process looks once, all at the same time."""

    async def all_of_them() -> None:
        await asyncio.gather(*(n.once(channel) for n in notifiers for channel in n.telling.channels))

    asyncio.run(all_of_them())


# -- what is sent, and when ------------------------------------------------------------------------------------


def test_new_alerts_go_in_one_mail_that_says_what_is_so_and_what_to_do(town: Town) -> None:
    """Sentences in the site's language and zone, to everybody named; no code stands for a sentence."""
    town.raise_alert("kiosk_stranded", detail="in (2026-11-21 22:56 UTC)")
    town.raise_alert("kiosk_disk_full", "gate-north")
    with MailServer() as server:
        look(town.process(mail_to(server)))
    assert server.envelopes == [["zhiban@example.org", "wuye@example.org"]]
    mail = server.mails[0]
    assert mail["Subject"] == "向阳街道：2 条新告警"
    assert mail["Auto-Submitted"] == "auto-generated"
    text = mail.get_content()
    assert "终端 gate-east" in text
    assert "有人在门口等得太久。" in text
    assert "请立即给那里的保安打电话，或派人前往。" in text
    assert "in (2026-11-22 06:56)" in text
    assert "终端的磁盘已满，通行可能没有记录。" in text
    assert "https://central.test/admin/kiosks" in text


def test_a_single_alert_is_its_own_subject(town: Town) -> None:
    """Somebody who reads only the line on a locked phone knows what is up, in English as well."""
    town.raise_alert("kiosk_fire")
    with MailServer() as server:
        look(town.process(mail_to(server), language=Language.EN))
    assert server.mails[0]["Subject"] == "向阳街道: The fire contact released a gate. (Kiosk gate-east)"


def test_each_alert_is_sent_once_and_again_when_it_comes_back(town: Town) -> None:
    """Counting up an open alert sends nothing; closed and raised anew it is sent anew."""
    with MailServer() as server:
        process = town.process(mail_to(server))
        town.raise_alert("kiosk_tamper")
        look(process)
        for _ in range(3):
            town.clock.advance(61)
            town.raise_alert("kiosk_tamper")
            look(process)
        assert len(server.mails) == 1
        town.close_all()
        town.clock.advance(61)
        look(process)
        assert len(server.mails) == 1
        town.raise_alert("kiosk_tamper")
        look(process)
        assert len(server.mails) == 2
        assert server.mails[0]["Message-ID"] != server.mails[1]["Message-ID"]


def test_at_most_one_message_a_minute(town: Town) -> None:
    """What comes within the minute goes together in the next; what was dealt with meanwhile is not sent."""
    with MailServer() as server:
        process = town.process(mail_to(server))
        town.raise_alert("kiosk_fire")
        look(process)
        town.clock.advance(REST_US / 1e6 - 1)
        town.raise_alert("kiosk_tamper")
        town.raise_alert("kiosk_stranded")
        look(process)
        assert len(server.mails) == 1
        town.clock.advance(1)
        look(process)
        assert len(server.mails) == 2
        assert "2 条新告警" in server.mails[1]["Subject"]
        town.raise_alert("kiosk_disk_low")
        town.close_all()
        town.clock.advance(61)
        look(process)
        assert len(server.mails) == 2


def test_a_flood_is_one_mail_of_fifty_and_the_rest_in_the_next(town: Town) -> None:
    """However many alerts open at once, a message stays readable."""
    for number in range(70):
        town.raise_alert("kiosk_silent", f"gate-{number:02d}")
    with MailServer() as server:
        process = town.process(mail_to(server))
        look(process)
        assert "70" in server.mails[0]["Subject"]
        assert "另有 20 条告警未处理。" in server.mails[0].get_content()
        town.clock.advance(61)
        look(process)
        town.clock.advance(61)
        look(process)
    assert [mail.get_content().count("超过五分钟") for mail in server.mails] == [50, 20]


# -- failures --------------------------------------------------------------------------------------------------


def test_a_mail_server_that_refuses_is_tried_ever_more_slowly_and_shown(town: Town) -> None:
    """After 1, 2, 4 minutes; the page says since when; once it takes the mail the trouble is over."""
    with MailServer() as server:
        server.refuse = "451 busy"
        process = town.process(mail_to(server))
        town.raise_alert("kiosk_fire")
        began_us = town.clock.at_us
        for wait_s in (60, 120, 240):
            look(process)
            trouble = town.troubles()[0]
            assert (trouble.channel, trouble.failing_since_us) == ("email", began_us)
            assert "451" in trouble.error
            assert trouble.next_us == town.clock.at_us + wait_s * 1_000_000
            town.clock.advance(wait_s - 1)
            asked = len(server.said)
            look(process)
            assert len(server.said) == asked
            town.clock.advance(1)
        server.refuse = ""
        look(process)
        assert len(server.mails) == 1
    assert town.troubles() == []


def test_a_mail_server_that_is_not_there_is_no_end_of_anything(town: Town) -> None:
    """Nobody listens: a failure like any other, and the wait never grows beyond an hour."""
    with MailServer() as server:
        gone = mail_to(server)
    process = town.process(gone)
    town.raise_alert("kiosk_fire")
    for _ in range(12):
        look(process)
        town.clock.advance(3600)
    assert town.troubles()[0].failures == 12


def test_the_kiosks_page_tells_that_mail_does_not_go_out(town: Town) -> None:
    """Who looks at the pages learns that the others hear nothing; a channel no longer in the settings is not shown."""
    town.raise_alert("kiosk_fire")
    with MailServer() as server:
        server.refuse = "550 no such <b>user</b>"
        channel = mail_to(server)
        look(town.process(channel))
    with town.store.writing() as connection:
        access.set_user(connection, town.clock.at_us, "li", Role.AUDITOR, "correct horse battery staple")

    def kiosks_page(telling: Telling) -> str:
        options = CentralOptions(telling=telling, zone=SHANGHAI)
        with TestClient(create_app(town.store, options=options, now_us=lambda: town.clock.at_us)) as client:
            client.post("/admin/login", data={"name": "li", "passphrase": "correct horse battery staple"})
            return client.get("/admin/kiosks").text

    page = kiosks_page(Telling(channels=(channel,)))
    assert "起告警邮件发不出去" in page
    assert "550 no such &lt;b&gt;user&lt;/b&gt;" in page
    assert "起告警邮件发不出去" not in kiosks_page(Telling())


# -- several processes -----------------------------------------------------------------------------------------


def test_of_several_processes_one_sends(town: Town) -> None:
    """Four look in the same moment, and again while the mail server takes its time: one mail."""
    with MailServer() as server:
        server.hold = threading.Event()
        processes = [town.process(mail_to(server)) for _ in range(4)]
        town.raise_alert("kiosk_fire")
        sending = threading.Thread(target=look, args=processes)
        sending.start()
        assert server.reached.wait(10)
        look(*processes[1:])
        server.hold.set()
        sending.join(20)
        town.clock.advance(61)
        look(*processes)
        assert len(server.mails) == 1
        assert sum(words.upper() == "DATA" for words in server.said) == 1


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_claim_is_one_processs_alone_until_its_lease_ends(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Sixteen processes ask at once and one gets it; when that one dies, another goes on after the lease."""
    database = str(tmp_path / "central.db") if kind == "sqlite" else request.getfixturevalue("postgres").new_database()
    town = Town(database)
    town.raise_alert("kiosk_fire")
    got: list[alert_outbox.Claim] = []
    ready = threading.Barrier(16)

    def ask(name: str) -> None:
        ready.wait(10)
        with town.store.writing() as connection:
            claim = alert_outbox.claim(connection, "email", town.clock.at_us, name)
        if claim is not None:
            got.append(claim)

    def everybody() -> None:
        threads = [threading.Thread(target=ask, args=(f"process-{number}",)) for number in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)

    everybody()
    assert len(got) == 1
    town.clock.advance(LEASE_US / 1e6 - 1)
    with town.store.reading() as connection:
        assert not alert_outbox.is_due(connection, "email", town.clock.at_us)
    town.clock.advance(1)
    everybody()
    assert len(got) == 2
    for late in got:  # the first was only slow after all: its word changes nothing any more
        with town.store.writing() as connection:
            alert_outbox.settle_sent(connection, late, town.clock.at_us)
    with town.store.reading() as connection:
        assert len(connection.execute(table(AlertNotice).select()).all()) == 1
    town.end()


# -- webhook ---------------------------------------------------------------------------------------------------


class Hook:
    """A receiver that keeps what was posted and answers as it is told."""

    def __init__(self) -> None:
        self.posts: list[tuple[str, dict[str, str], bytes]] = []
        self.status = 204


@contextmanager
def listening(hook: Hook) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            hook.posts.append((self.path, dict(self.headers), body))
            self.send_response(hook.status)
            if 300 <= hook.status < 400:
                self.send_header("Location", "/elsewhere")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/alerts"
    server.shutdown()
    server.server_close()


def test_a_webhook_gets_signed_json(town: Town) -> None:
    """What docs/sync.md promises: fields, UTC times, and a signature over time and body that the receiver can check."""
    hook = Hook()
    town.raise_alert("clock_offset", detail="-42 s")
    with listening(hook) as url:
        look(town.process(WebhookChannel(url=url, secret=SECRET), language=Language.EN))
    path, headers, body = hook.posts[0]
    assert path == "/alerts"
    at, _, given = headers["Gatepost-Signature"].removeprefix("t=").partition(",v1=")
    assert int(at) == town.clock.at_us // 1_000_000
    assert hmac.compare_digest(given, hmac.new(SECRET, f"{at}.".encode() + body, "sha256").hexdigest())
    document = json.loads(body)
    assert document["alerts"] == [
        {
            "code": "clock_offset",
            "kiosk": KIOSK,
            "detail": "-42 s",
            "sentence": "The kiosk's clock is more than 30 seconds off.",
            "do": "Look at its network time and its clock battery; times of its passages are doubtful until then.",
            "times": 1,
            "at": "2026-11-21T08:00:00.000000Z",
            "last": "2026-11-21T08:00:00.000000Z",
        }
    ]
    assert (document["site"], document["more"]) == ("向阳街道", 0)


@pytest.mark.parametrize("status", [302, 307, 400, 500])
def test_a_webhook_that_does_not_take_it_is_asked_again(town: Town, status: int) -> None:
    """Redirects are not followed: the alerts are for the address in the settings. The same message has the same id."""
    hook = Hook()
    hook.status = status
    town.raise_alert("kiosk_fire")
    with listening(hook) as url:
        process = town.process(WebhookChannel(url=url, secret=SECRET))
        look(process)
        assert [path for path, _, _ in hook.posts] == ["/alerts"]
        assert str(status) in town.troubles()[0].error
        hook.status = 200
        town.clock.advance(60)
        look(process)
    assert town.troubles() == []
    assert json.loads(hook.posts[0][2])["id"] == json.loads(hook.posts[1][2])["id"]


def test_one_channel_that_fails_does_not_hold_the_other(town: Town) -> None:
    """Mail is down, the webhook goes out, and the other way round nothing is sent twice."""
    hook = Hook()
    town.raise_alert("kiosk_fire")
    with MailServer() as server, listening(hook) as url:
        server.refuse = "421 closed"
        process = town.process(mail_to(server), WebhookChannel(url=url, secret=SECRET))
        look(process)
        assert (len(server.mails), len(hook.posts)) == (0, 1)
        server.refuse = ""
        town.clock.advance(61)
        look(process)
        assert (len(server.mails), len(hook.posts)) == (1, 1)


# -- the way to the mail server --------------------------------------------------------------------------------


def contexts(folder: Path, name: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's and a client's, with a certificate that is its own authority."""
    cert, key = certificate(folder, name, days=10)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(cert, key)
    return server, ssl.create_default_context(cafile=str(cert))


@pytest.mark.parametrize("security", [SmtpSecurity.TLS, SmtpSecurity.STARTTLS])
def test_mail_goes_over_tls_with_a_login_and_to_nobody_else(town: Town, tmp_path: Path, security: SmtpSecurity) -> None:
    """The right authority and password: taken. Another authority: not one word of the mail, and no password, leaves."""
    served, trusted = contexts(tmp_path, "mail")
    _, stranger = contexts(tmp_path, "other")
    tls = {"tls" if security is SmtpSecurity.TLS else "starttls": served}
    town.raise_alert("kiosk_fire")
    with MailServer(login="gate:s3cret", **tls) as server:
        login = {"security": security, "user": "gate", "password": "s3cret"}
        look(town.process(mail_to(server, tls=stranger, **login)))
        assert "CERTIFICATE_VERIFY_FAILED" in town.troubles()[0].error
        assert not any(words.upper().startswith(("AUTH", "MAIL")) for words in server.said)
        town.clock.advance(60)
        look(town.process(mail_to(server, tls=trusted, **{**login, "password": "wrong"})))
        assert "535" in town.troubles()[0].error
        assert "s3cret" not in repr(mail_to(server, **login))
        town.clock.advance(120)
        look(town.process(mail_to(server, tls=trusted, **login)))
        assert len(server.mails) == 1


def test_without_starttls_nothing_is_sent_where_it_was_asked_for(town: Town) -> None:
    """A server (or somebody before it) that does not offer it gets no password and no mail."""
    town.raise_alert("kiosk_fire")
    with MailServer(login="gate:s3cret") as server:
        look(town.process(mail_to(server, security=SmtpSecurity.STARTTLS, user="gate", password="s3cret")))
    assert server.mails == []
    assert not any(words.upper().startswith("AUTH") for words in server.said)
    assert "STARTTLS" in town.troubles()[0].error


# -- what is never in it, and what never waits -----------------------------------------------------------------


def alarm_with_payloads(journal: ChainJournal, kind: Kind, facts: dict[str, Any]) -> None:
    """A record that also says something about somebody's health and who it was."""
    key = (journal.incarnation, Stream.ALARM)
    head = journal.head(key)
    plain = make_record(head.seq + 1, stream=Stream.ALARM, kind=kind, facts=facts)
    about = {
        cls: Payload.of(bytes(16), {"of": f"{CANARY}-{cls}"}) for cls in (PayloadClass.HEALTH, PayloadClass.PERSON)
    }
    values = {name: getattr(plain, name) for name in Record.__slots__}
    record = Record(**{**values, "payloads": {**plain.payloads, **about}})
    journal.chains.setdefault(key, []).append((record, record.hash(head.hash)))


def test_a_message_says_nothing_of_anybody(town: Town) -> None:
    """A referral and somebody under observation who left: the message has the gate, never a name or a finding."""
    central = MemoryCentral.__new__(MemoryCentral)
    central._now, central.store = town.clock.now, town.store
    central.ingest = Ingest(town.store, now_us=lambda: town.clock.at_us)
    central.admit(KIOSK)
    journal = ChainJournal()
    alarm_with_payloads(journal, Kind.REFERRAL, {"state": "open", "passage": "p1", "why": f"{CANARY}-fever"})
    alarm_with_payloads(journal, Kind.ALARM, {"code": "left_under_observation", "detail": "p2", "who": CANARY})
    assert central.exchange(batch_of(journal, Stream.ALARM, 1, 2)).status == 200
    hook = Hook()
    with MailServer() as server, listening(hook) as url:
        look(town.process(mail_to(server), WebhookChannel(url=url, secret=SECRET)))
    said = server.mails[0].as_string() + server.mails[0].get_content() + hook.posts[0][2].decode()
    assert CANARY not in said
    assert "有人正在门口等保安处理。" in said
    for word in ("温", "烧", "红码", "观察", "fever", "observation "):
        assert word not in said


def test_a_mail_server_that_hangs_keeps_nobody_waiting(town: Town) -> None:
    """The application runs, the mail hangs, and the page is answered all the same; stopped now, it still writes down
    that the mail went out, so that the next start does not send it again."""
    town.raise_alert("kiosk_fire")
    with MailServer() as server:
        server.hold = threading.Event()
        options = CentralOptions(telling=Telling(channels=(mail_to(server),)))
        with TestClient(create_app(town.store, options=options, now_us=lambda: town.clock.at_us)) as client:
            assert server.reached.wait(20)
            assert client.get("/health").status_code == 200
            town.raise_alert("kiosk_tamper")
            threading.Timer(0.3, server.hold.set).start()
        assert len(server.mails) == 1
    with town.store.reading() as connection:
        assert [row.channel for row in connection.execute(table(AlertNotice).select())] == ["email"]


def test_a_mail_server_that_hangs_keeps_no_webhook_waiting(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    """While one mail hangs, the webhook tells of what came later as well."""
    monkeypatch.setattr("sync.central.notifier.LOOK_EVERY_S", 0.01)
    hook = Hook()

    def written_down() -> list[str]:
        with town.store.reading() as connection:
            return [row.channel for row in connection.execute(table(AlertNotice).select())]

    async def while_the_mail_hangs(url: str) -> None:
        process = town.process(mail_to(server), WebhookChannel(url=url, secret=SECRET))
        running = asyncio.create_task(process.run())
        for count, code in enumerate(("kiosk_fire", "kiosk_tamper"), start=1):
            town.raise_alert(code)
            while len(written_down()) < count:
                assert not running.done()
                await asyncio.sleep(0.01)
            town.clock.advance(61)
        assert set(written_down()) == {"webhook"}
        assert server.hold is not None
        server.hold.set()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    with MailServer() as server, listening(hook) as url:
        server.hold = threading.Event()
        asyncio.run(asyncio.wait_for(while_the_mail_hangs(url), 20))
    assert len(hook.posts) == 2


def test_a_surprise_in_one_round_is_not_the_end(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever goes wrong once is logged, and the next round sends."""
    monkeypatch.setattr("sync.central.notifier.LOOK_EVERY_S", 0.01)

    class Surprise(WebhookChannel):
        rounds = 0

        def send(self, bundle: Any) -> None:
            Surprise.rounds += 1
            town.clock.advance(LEASE_US / 1e6)
            if Surprise.rounds == 1:
                raise RuntimeError("nobody thought of this")

    town.raise_alert("kiosk_fire")

    async def some_rounds() -> None:
        running = asyncio.create_task(town.process(Surprise(url="http://127.0.0.1/", secret=SECRET)).run())
        while Surprise.rounds < 2:
            assert not running.done()
            await asyncio.sleep(0.01)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    asyncio.run(asyncio.wait_for(some_rounds(), 20))


def test_what_was_sent_is_forgotten_with_its_alert(town: Town) -> None:
    """Their rows go together: SQLite gives an alert's number out again, and the new one must be sent."""
    with MailServer() as server:
        process = town.process(mail_to(server))
        town.raise_alert("kiosk_fire")
        look(process)
        town.close_all()
        town.clock.advance(91 * DAY_US / 1e6)
        with town.store.writing() as connection:
            forget(connection, town.clock.at_us, Retention())
        town.raise_alert("kiosk_fire")
        look(process)
        assert len(server.mails) == 2


# -- settings and the trial ------------------------------------------------------------------------------------


def settings(folder: Path, lines: str) -> Path:
    path = folder / "central.toml"
    path.write_text(f'[central]\ndatabase = "{folder / "central.db"}"\n[alerts]\n{lines}', encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ('email_to = ["a@example.org"]', "smtp_host"),
        ('email_to = ["nobody"]', "email_to"),
        ('smtp_host = "mail.example.org"\nsmtp_security = "none"', "this machine"),
        ('smtp_host = "mail.example.org"\nsmtp_user = "gate"', "smtp_password_file"),
        ('webhook = "http://example.org/x"\nwebhook_secret_file = "s"', "https"),
        ('webhook = "https:///x"\nwebhook_secret_file = "s"', "https"),
        ('webhook = "https://example.org/x"', "webhook_secret_file"),
        ('language = "fr"', "language"),
    ],
)
def test_half_a_channel_is_refused(tmp_path: Path, lines: str, says: str) -> None:
    """An error at start that names the key, not alerts that reach nobody."""
    with pytest.raises(ConfigError, match=says):
        load_central(settings(tmp_path, lines), {})


def test_secrets_must_be_the_owners_alone_and_long_enough(tmp_path: Path) -> None:
    """A file that others may read, or a short secret, is refused by name."""
    secret = tmp_path / "secret"
    secret.write_text("short\n")
    alerts = Alerts(webhook="https://example.org/x", webhook_secret_file=secret)
    secret.chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        load_telling(alerts)
    secret.chmod(0o600)
    with pytest.raises(ConfigError, match="openssl"):
        load_telling(alerts)
    secret.write_text("0123456789abcdef\n")
    assert [channel.name for channel in load_telling(alerts).channels] == ["webhook"]
    assert "0123456789" not in repr(load_telling(alerts))


def test_the_trial_command_sends_one_of_each(tmp_path: Path) -> None:
    """An installer sees at once whether mail arrives; exit status 1 and the server's own words when not."""
    hook, runner = Hook(), CliRunner()
    secret = tmp_path / "secret"
    secret.write_bytes(SECRET)
    secret.chmod(0o600)
    with MailServer() as server, listening(hook) as url:
        path = settings(
            tmp_path,
            f'email_to = ["a@example.org"]\nemail_from = "g@example.org"\nsmtp_host = "127.0.0.1"\n'
            f'smtp_port = {server.port}\nsmtp_security = "none"\nwebhook = "{url}"\nwebhook_secret_file = "{secret}"\n',
        )
        done = runner.invoke(central_cli.app, ["alerts", "trial", "--config", str(path)])
        assert (done.exit_code, done.output) == (0, "email: sent\nwebhook: sent\n")
        server.refuse = "554 no"
        failed = runner.invoke(central_cli.app, ["alerts", "trial", "--config", str(path)])
    assert failed.exit_code == 1
    assert "554 no" in failed.output
    assert "试发" in server.mails[0]["Subject"]
    assert json.loads(hook.posts[0][2])["alerts"][0]["code"] == "trial"


def test_the_example_settings_name_every_channel() -> None:
    """config/central.toml with its section of alerts uncommented is taken."""
    text = (ROOT / "config/central.toml").read_text(encoding="utf-8")
    section = text[text.index("# [alerts]") :]
    table_of_alerts = tomllib.loads("\n".join(line.removeprefix("# ") for line in section.splitlines()))["alerts"]
    found = Alerts(**table_of_alerts)
    assert found.email_to
    assert found.webhook
